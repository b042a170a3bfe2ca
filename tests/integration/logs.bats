#!/usr/bin/env bats
# Logs: drivers and their options, `masu logs` with podman as its oracle, following across rotation and
# restarts, and what a slow, hanging or full disk does (HOSTILE 40).

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
}

teardown_file() {
	engine_teardown_file
}

teardown() {
	[ -z "${disk:-}" ] || fsfreeze -u "$disk" 2>/dev/null || true # before anything waits for it
	remove_all
	[ -z "${journald:-}" ] || kill "$journald" || true
	[ -z "${syslog:-}" ] || kill "$syslog" || true
	[ -z "${disk:-}" ] || umount -l "$disk" || true
}

log_path() { # name
	field "$1" .LogPath
}

ended() { # name
	status_is "$1" exited
}

# ---- what masu logs shows ----

# A program that prints lines of both streams, a long one too, the same everywhere. (Podman's --tail counts
# parts of a long line and mixes them up, and puts a newline in front of one that is not finished.)
chatter() {
	cat <<-'SH'
	head -c 50000 /dev/zero | tr "\0" x; echo
	i=0
	while [ $i -lt 20 ]; do echo "line $i"; i=$((i+1)); done
	printf "a\"b\\\\c\t<&>\n"
	sleep 0.2
	echo "to stderr" >&2
	sleep 0.2
	echo last
	SH
}

@test "logs and its options print what podman prints" {
	command -v podman >/dev/null || skip "podman is the oracle"
	export ORACLE_PODMAN_RUNROOT=/run/podman-logs # the path may not be long
	oracle_crun_ready
	tar -C "$BATS_FILE_TMPDIR/tree" -c . | oracle_podman import - localhost/busybox:local >/dev/null 2>&1
	oracle_podman run --name same --log-driver k8s-file --network none localhost/busybox:local sh -c "$(chatter)" >/dev/null 2>&1
	m_run --name same busybox:local sh -c "$(chatter)" >/dev/null 2>&1
	m_run --name local --log-driver local busybox:local sh -c "$(chatter)" >/dev/null 2>&1
	local options name
	while read -r options; do
		oracle_podman logs $options same >"$BATS_TEST_TMPDIR/podman.out" 2>"$BATS_TEST_TMPDIR/podman.err"
		for name in same local; do
			m logs $options $name >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
			cmp "$BATS_TEST_TMPDIR/podman.out" "$BATS_TEST_TMPDIR/out" || { echo "# $name $options"; false; }
			cmp "$BATS_TEST_TMPDIR/podman.err" "$BATS_TEST_TMPDIR/err" || { echo "# $name $options"; false; }
		done
	done <<-'OPTIONS'

	--tail 0
	--tail 2
	--tail 5
	--since 1h
	-f
	OPTIONS
}

@test "timestamps, --since and --until cut between lines" {
	m_run --name timed busybox:local sh -c 'echo one; sleep 0.1; echo two; sleep 0.1; echo three' >/dev/null
	run m logs -t timed
	[ "${#lines[@]}" -eq 3 ]
	local second=${lines[1]%% *}
	[[ "$second" =~ ^20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}Z$ ]]
	[ "${lines[1]}" = "$second two" ]
	run m logs --since "$second" timed
	[ "$output" = $'two\nthree' ]
	run m logs --until "$second" timed
	[ "$output" = $'one\ntwo' ]
	run m logs --since "$second" --until "$second" timed
	[ "$output" = two ]
	# A time that comes: following ends with it, not with the container.
	m_run -d --name later busybox:local sh -c 'echo now; sleep 60' >/dev/null
	wait_until 5 logged later now
	run timeout -s KILL 60 "$MASU" logs -f --until "$(date -u -d '+1 second' +%Y-%m-%dT%H:%M:%S)" later
	[ "$status" -eq 0 ]
	[ "$output" = now ]
}

@test "a line longer than a record is one line again" {
	m_run --name long busybox:local sh -c 'head -c 100000 /dev/zero | tr "\0" y; echo; echo short' >/dev/null
	[ "$(m logs long | head -n 1 | wc -c)" -eq 100001 ]
	[ "$(m logs -t long | wc -l)" -eq 2 ]
	[ "$(m logs --tail 2 long | wc -c)" -eq 100007 ]
	[ "$(m logs --tail 1 long)" = short ]
	jq -se '.[0].log | length == 16384' "$(log_path long)"
}

# ---- drivers ----

@test "json-file: every record is one of Docker's, with the attributes that were asked for" {
	m_run --name attrs --label team=a --label other=b -e LANG=C -e SECRET=s --log-opt labels=team,absent \
		--log-opt env-regex='^LA' --log-opt tag='{{.Name}}/{{.ImageName}}' busybox:local \
		sh -c 'printf "\033[1mbold\377\n"; echo "<&>"' >/dev/null
	jq -se 'length == 2 and all((keys == ["attrs","log","stream","time"]) and
		.attrs == {"LANG":"C","tag":"attrs/busybox:local","team":"a"}) and
		.[0].log == "\u001b[1mbold\ufffd\n" and .[1].log == "<&>\n"' "$(log_path attrs)"
	run m logs --details attrs
	[ "${lines[1]}" = "LANG=C,tag=attrs%2Fbusybox%3Alocal,team=a <&>" ]
	m_run --name plain busybox:local echo x >/dev/null
	jq -se '.[0] | keys == ["log","stream","time"]' "$(log_path plain)"
	[ "$(m logs --details plain)" = " x" ]
}

@test "local: its own format, rotated, read back like the other" {
	m_run --name compact --log-driver local --log-opt max-size=20k --log-opt max-file=3 busybox:local \
		sh -c 'i=0; while [ $i -lt 3000 ]; do echo "line number $i"; i=$((i+1)); done' >/dev/null
	local log
	log=$(log_path compact)
	[ -e "$log.1" ] && [ -e "$log.2" ] && [ ! -e "$log.3" ]
	[ "$(stat -c %s "$log.2")" -le 20480 ]
	run m logs compact
	[ "${lines[-1]}" = "line number 2999" ]
	[ "${#lines[@]}" -gt 900 ]
	[ "$(m logs --tail 700 compact | head -n 1)" = "line number 2300" ]
	run m_run --log-driver local --log-opt labels=x busybox:local true
	[ "$status" -eq 125 ]
}

@test "journald: one message a line, by journald's own protocol" {
	python3 "$REPO/tests/lib/fake-journald.py" /run/systemd/journal/socket "$BATS_TEST_TMPDIR/journal" 3>&- 4>&- &
	journald=$!
	wait_until 5 test -S /run/systemd/journal/socket
	local value
	value=$(head -c 4000 /dev/zero | tr '\0' v)
	m_run --name noted --label my-team=a -e $'MULTI=one\ntwo' -e BIG="$value" --log-driver journald --log-opt labels=my-team \
		--log-opt env=MULTI,BIG --log-opt tag='t-{{.ID}}' busybox:local \
		sh -c 'echo out; echo err >&2; sleep 0.3; head -c 20000 /dev/zero | tr "\0" z; echo' >/dev/null 2>&1
	local id
	id=$(field noted .Id)
	wait_until 5 eval '[ "$(wc -l <"$BATS_TEST_TMPDIR/journal")" -ge 4 ]'
	jq -se --arg id "$id" --arg big "$value" 'all(.CONTAINER_ID == $id[0:12] and .CONTAINER_ID_FULL == $id and
		.CONTAINER_NAME == "noted" and .CONTAINER_TAG == "t-" + $id[0:12] and .SYSLOG_IDENTIFIER == .CONTAINER_TAG and
		.IMAGE_NAME == "busybox:local" and .MY_TEAM == "a" and .MULTI == "one\ntwo" and .BIG == $big)' "$BATS_TEST_TMPDIR/journal"
	jq -se 'any(.MESSAGE == "out" and .PRIORITY == "6") and any(.MESSAGE == "err" and .PRIORITY == "3")' "$BATS_TEST_TMPDIR/journal"
	jq -se 'map(select(.MESSAGE | startswith("z"))) | length == 2 and (map(.MESSAGE | length) == [16384, 3616]) and
		.[0].CONTAINER_PARTIAL_MESSAGE == "true" and .[0].CONTAINER_PARTIAL_LAST == "false" and
		.[1].CONTAINER_PARTIAL_MESSAGE == null and .[1].CONTAINER_PARTIAL_LAST == "true" and
		.[0].CONTAINER_PARTIAL_ID == .[1].CONTAINER_PARTIAL_ID' "$BATS_TEST_TMPDIR/journal"
	# It is journalctl that reads it.
	mkdir "$BATS_TEST_TMPDIR/bin"
	PATH=$BATS_TEST_TMPDIR/bin run m logs noted
	[ "$status" -ne 0 ]
	[[ "$output" == *"journalctl CONTAINER_ID_FULL=$id"* ]]
	# A journal that is started again is found again; without one nothing starts.
	kill "$journald"
	wait "$journald" || true
	rm /run/systemd/journal/socket
	run -125 m_run --log-driver journald busybox:local true
	[[ "$output" == *"journald is not enabled"* ]]
	journald=
}

syslog_server() { # scheme, address: its messages come in the file "syslog", one JSON string a line
	rm -f "$BATS_TEST_TMPDIR/syslog"
	python3 "$REPO/tests/lib/fake-syslog.py" "$1" "$2" "$BATS_TEST_TMPDIR/syslog" 3>&- 4>&- &
	syslog=$!
	wait_until 5 test -e "$BATS_TEST_TMPDIR/syslog"
}

syslog_gone() {
	kill "$syslog"
	wait "$syslog" || true
	syslog=
}

# Two lines and an empty one, which docker leaves out; what came as text.
syslogged() { # the options
	m_run --name logged --log-driver syslog "$@" busybox:local sh -c 'echo out; echo; sleep 0.3; echo "err %d" >&2' >/dev/null 2>&1
	wait_until 5 eval '[ "$(wc -l <"$BATS_TEST_TMPDIR/syslog")" -ge 2 ]'
	m rm logged >/dev/null
	jq -r . "$BATS_TEST_TMPDIR/syslog" | sed '/^$/d'
}

@test "syslog: docker's formats, facilities and addresses" {
	local day='[A-Z][a-z][a-z] [ 0-9][0-9] [0-9:]{8}' iso='[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}'
	local zone='(Z|[+-][0-9]{2}:[0-9]{2})' host
	host=$(uname -n)
	syslog_server udp 5514
	syslogged --log-opt syslog-address=udp://127.0.0.1:5514 >"$BATS_TEST_TMPDIR/out"
	grep -Exq "<30>$day [0-9a-f]{12}\[[0-9]+\]: out" "$BATS_TEST_TMPDIR/out"
	grep -Exq "<27>$day [0-9a-f]{12}\[[0-9]+\]: err %d" "$BATS_TEST_TMPDIR/out"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" = 2 ]
	syslog_gone
	syslog_server tcp 5514
	syslogged --log-opt syslog-address=tcp://localhost:5514 --log-opt syslog-format=rfc3164 --log-opt syslog-facility=local7 \
		--log-opt tag='x-{{.Name}}' >"$BATS_TEST_TMPDIR/out"
	grep -Exq "<190>$day $host x-logged\[[0-9]+\]: out" "$BATS_TEST_TMPDIR/out"
	grep -Exq "<187>$day $host x-logged\[[0-9]+\]: err %d" "$BATS_TEST_TMPDIR/out"
	syslog_gone
	syslog_server unixgram "$BATS_TEST_TMPDIR/sock"
	syslogged --log-opt "syslog-address=unixgram://$BATS_TEST_TMPDIR/sock" --log-opt syslog-format=rfc5424 \
		--log-opt syslog-facility=1 >"$BATS_TEST_TMPDIR/out"
	grep -Exq "<14>1 $iso$zone $host [0-9a-f]{12} [0-9]+ [0-9a-f]{12} - out" "$BATS_TEST_TMPDIR/out"
	syslog_gone
	syslog_server unix "$BATS_TEST_TMPDIR/sock"
	syslogged --log-opt "syslog-address=unix://$BATS_TEST_TMPDIR/sock" --log-opt syslog-format=rfc5424micro >"$BATS_TEST_TMPDIR/out"
	grep -Exq "<30>1 $iso\.[0-9]{6}$zone $host [0-9a-f]{12} [0-9]+ [0-9a-f]{12} - out" "$BATS_TEST_TMPDIR/out"
	syslog_gone
}

@test "syslog: a server that goes and comes loses what it was not there for, and is told" {
	mkfifo "$BATS_TEST_TMPDIR/go"
	syslog_server tcp 5515
	m_run -d --name steps -v "$BATS_TEST_TMPDIR/go:/go" --log-driver syslog --log-opt syslog-address=tcp://127.0.0.1:5515 \
		busybox:local sh -c 'exec 5<>/go; while read -r line <&5; do echo "$line"; done' >/dev/null
	echo one >"$BATS_TEST_TMPDIR/go"
	wait_until 5 grep -q one "$BATS_TEST_TMPDIR/syslog"
	syslog_gone
	# The first is sent into a connection that is only then found to be broken.
	local i
	for i in 1 2 3; do
		echo "lost $i" >"$BATS_TEST_TMPDIR/go"
		sleep 0.1
	done
	syslog_server tcp 5515
	again() {
		echo back >"$BATS_TEST_TMPDIR/go"
		sleep 0.1
		grep -q back "$BATS_TEST_TMPDIR/syslog"
	}
	wait_until 5 again
	jq -r . "$BATS_TEST_TMPDIR/syslog" | grep -Eq 'masu: [1-9][0-9]* lines are missing here: the log could not be written'
	run -1 m logs steps
	[[ "$output" == *"configured logging driver does not support reading"* ]]
	m rm -f steps
	syslog_gone
	run -125 m_run --log-driver syslog --log-opt syslog-address=tcp://127.0.0.1:5515 busybox:local true
	[[ "$output" == *"failed to initialize logging driver"*refused* ]]
}

@test "syslog: a server that reads nothing holds up neither the container nor its end" {
	python3 -c 'import socket, time; s = socket.socket(); s.bind(("127.0.0.1", 5516)); s.listen(); open("'"$BATS_TEST_TMPDIR"'/up", "w"); c = s.accept(); time.sleep(60)' 3>&- 4>&- &
	syslog=$!
	wait_until 5 test -e "$BATS_TEST_TMPDIR/up"
	# More than sockets and the ring hold.
	timeout 60 "$MASU" run --name stuck --cgroup-parent "$GROUP" --network none --log-driver syslog \
		--log-opt syslog-address=tcp://127.0.0.1:5516 busybox:local sh -c 'yes "$(printf %1000s x)" | head -c 20000000' 3>&- 4>&- >/dev/null
	[ "$(field stuck .LogDropped)" -gt 0 ]
	m rm stuck
	syslog_gone
}

@test "journald: what a real one has kept is read back" {
	local program=/lib/systemd/systemd-journald
	[ -x $program ] && command -v journalctl >/dev/null || skip "needs systemd-journald"
	rm -rf /run/systemd/journal /run/log/journal
	mkdir -p /run/systemd/journal /run/log
	$program >/dev/null 2>&1 3>&- 4>&- &
	journald=$!
	wait_until 10 test -S /run/systemd/journal/socket
	m_run --name kept --log-driver journald busybox:local \
		sh -c 'echo one; echo err >&2; sleep 0.3; printf "\033[1mbold \377\n"; head -c 20000 /dev/zero | tr "\0" z; echo; echo last' >/dev/null 2>&1
	m logs kept >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	[ "$(cat "$BATS_TEST_TMPDIR/err")" = err ]
	(printf 'one\n\033[1mbold \377\n'; head -c 20000 /dev/zero | tr '\0' z; printf '\nlast\n') | cmp - "$BATS_TEST_TMPDIR/out"
	[ "$(m logs --tail 1 kept)" = last ]
	[[ "$(m logs -t --tail 1 kept)" =~ ^20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}Z\ last$ ]]
	[ -z "$(m logs --until 1h kept)" ]
	# Followed to the end of the container, across a restart.
	m_run -d --name lives --restart on-failure:1 --log-driver journald busybox:local sh -c 'echo run; sleep 0.3; exit 1' >/dev/null
	run timeout -s KILL 60 "$MASU" logs -f lives
	[ "$status" -eq 0 ]
	[ "$output" = $'run\nrun' ]
}

# ---- following ----

# Numbered lines, as fast as they come, with a small log.
count_to() { # lines
	echo "i=0; while [ \$i -lt $1 ]; do echo \$i; i=\$((i+1)); done"
}

@test "following neither loses nor repeats a line when the log rotates" {
	local driver
	for driver in json-file local; do
		m_run -d --name "fast-$driver" --log-driver $driver --log-opt max-size=10k --log-opt max-file=200 busybox:local \
			sh -c "sleep 0.3; $(count_to 20000)" >/dev/null
		timeout -s KILL 60 "$MASU" logs -f "fast-$driver" >"$BATS_TEST_TMPDIR/followed" 2>"$BATS_TEST_TMPDIR/errors" 3>&- 4>&-
		[ ! -s "$BATS_TEST_TMPDIR/errors" ]
		seq 0 19999 | cmp - "$BATS_TEST_TMPDIR/followed"
		[ -e "$(log_path "fast-$driver").20" ]
	done
}

@test "a follower that is too slow says so, and holds nobody up" {
	m_run -d --name rushed --log-opt max-size=2k --log-opt max-file=2 busybox:local \
		sh -c "$(count_to 300); sleep 0.5; $(count_to 30000)" >/dev/null
	(timeout -s KILL 60 "$MASU" logs -f rushed 2>&1 3>&- 4>&- | { head -n 5; wait_until 20 ended rushed; cat; }) >"$BATS_TEST_TMPDIR/seen"
	grep -q "masu: lines are missing here: the log was rotated faster than it was read" "$BATS_TEST_TMPDIR/seen"
	[ "$(tail -n 1 "$BATS_TEST_TMPDIR/seen")" = 29999 ]
	ended rushed
}

@test "following goes on when the container is restarted by its policy, and ends with it" {
	m_run -d --name again --restart on-failure:2 busybox:local sh -c 'echo run; sleep 0.2; exit 1' >/dev/null
	run timeout -s KILL 60 "$MASU" logs -f again
	[ "$status" -eq 0 ]
	[ "$output" = $'run\nrun\nrun' ]
	# What is there already, of one that has ended.
	run timeout -s KILL 60 "$MASU" logs -f --tail 1 again
	[ "$output" = run ]
}

@test "many follow one container" {
	m_run -d --name popular busybox:local sh -c "sleep 0.5; $(count_to 3000)" >/dev/null
	local i pids=()
	for i in 1 2 3 4 5 6 7 8; do
		timeout -s KILL 60 "$MASU" logs -f popular >"$BATS_TEST_TMPDIR/f$i" 3>&- 4>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	for i in 1 2 3 4 5 6 7 8; do
		seq 0 2999 | cmp - "$BATS_TEST_TMPDIR/f$i"
	done
}

# ---- when the log cannot keep up ----

# A filesystem of its own for the log alone: the container's directory stays where it is.
small_disk() { # megabytes
	disk=$BATS_TEST_TMPDIR/disk
	mkdir -p "$disk"
	truncate -s "${1}M" "$disk.img"
	mkfs.ext4 -q -O ^has_journal "$disk.img"
	mount -o loop "$disk.img" "$disk" || skip "no loop device"
	export MASU_ROOT=$disk/root
	mkdir "$MASU_ROOT"
	tar -C "$BATS_FILE_TMPDIR/tree" -c . | m import - busybox:local >/dev/null
}

@test "much output: rotated, nothing waits, the rest is there (HOSTILE 40, in small)" {
	m_run -d --name flood --log-opt max-size=1m --log-opt max-file=3 busybox:local \
		sh -c 'yes "some line of a program that prints a lot of them.." | head -c 255000000; echo end' >/dev/null
	wait_until 120 ended flood
	local log
	log=$(log_path flood)
	[ "$(cat "$log" "$log".* | wc -c)" -le $((3 * 1024 * 1024)) ]
	[ "$(m logs --tail 1 flood)" = end ]
	[ "$(field flood .LogDropped)" = null ]
}

@test "a disk that hangs: the container goes on, and the log says what it lacks" {
	small_disk 64
	mkdir "$BATS_TEST_TMPDIR/out"
	m_run -d --name stuck -v "$BATS_TEST_TMPDIR/out:/out" busybox:local \
		sh -c 'echo begin; while [ ! -e /out/frozen ]; do sleep 0.05; done; i=0; while [ $i -lt 60000 ]; do echo "line $i ......................................................"; i=$((i+1)); done
			echo done >/out/done; while [ ! -e /out/thawed ]; do sleep 0.05; done; sleep 0.2; echo last' >/dev/null
	wait_until 5 logged stuck begin
	fsfreeze -f "$disk" || skip "cannot freeze a filesystem"
	touch "$BATS_TEST_TMPDIR/out/frozen"
	# 4 MB: more than pipe and ring hold. It is held up for a second or so and no longer.
	wait_until 30 test -e "$BATS_TEST_TMPDIR/out/done"
	# Who asks the monitor meanwhile gets an answer.
	run timeout -s KILL 5 "$MASU" attach --no-stdin --sig-proxy=false stuck 3>&- </dev/null
	[ "$(jq -n --argjson n "$(cat "$MASU_RUNROOT"/containers/*/log-dropped)" '$n > 100')" = true ]
	fsfreeze -u "$disk"
	touch "$BATS_TEST_TMPDIR/out/thawed"
	wait_until 20 ended stuck
	m logs stuck >"$BATS_TEST_TMPDIR/log" 2>"$BATS_TEST_TMPDIR/notes"
	local lost kept
	lost=$(sed -n 's/^masu: \([0-9]*\) lines are missing here: the log could not be written fast enough$/\1/p' "$BATS_TEST_TMPDIR/notes" |
		awk '{ n += $1 } END { print n }')
	kept=$(grep -c '^line' "$BATS_TEST_TMPDIR/log")
	[ "$lost" -gt 1000 ]
	# A line that was cut counts as lost, and what is there of it is there.
	[ $((lost + kept)) -ge 60000 ] && [ $((lost + kept)) -le 60002 ]
	[ "$(field stuck .LogDropped)" = "$lost" ]
	[ "$(tail -n 1 "$BATS_TEST_TMPDIR/log")" = last ]
}

@test "a full disk: the container does not notice, and what was lost is told" {
	small_disk 16
	mkdir "$BATS_TEST_TMPDIR/out"
	head -c 2000000 /dev/zero >"$disk/filler"
	m_run -d --name full -v "$BATS_TEST_TMPDIR/out:/out" --log-opt max-size=-1 busybox:local \
		sh -c 'yes "a line of output of a program that does not stop" | head -n 600000; echo done >/out/done
			while [ ! -e /out/room ]; do sleep 0.05; done; echo again; sleep 0.3; echo last' >/dev/null
	wait_until 60 test -e "$BATS_TEST_TMPDIR/out/done"
	status_is full running
	# All that was written is whole.
	jq -se 'length > 1000' "$(log_path full)" >/dev/null
	rm "$disk/filler"
	touch "$BATS_TEST_TMPDIR/out/room"
	wait_until 20 ended full
	m logs full >"$BATS_TEST_TMPDIR/log" 2>"$BATS_TEST_TMPDIR/notes"
	[ "$(tail -n 1 "$BATS_TEST_TMPDIR/log")" = last ]
	local lost
	lost=$(sed -n 's/^masu: \([0-9]*\) lines are missing here: the log could not be written$/\1/p' "$BATS_TEST_TMPDIR/notes" |
		awk '{ n += $1 } END { print n }')
	[ "$lost" -gt 1000 ]
	[ $((lost + $(wc -l <"$BATS_TEST_TMPDIR/log"))) -eq 600002 ]
	[ "$(field full .LogDropped)" = "$lost" ]
}

@test "mode=non-blocking: more than the buffer is lost at once; options are checked as docker's" {
	small_disk 64
	mkdir "$BATS_TEST_TMPDIR/out"
	m_run -d --name free -v "$BATS_TEST_TMPDIR/out:/out" --log-opt mode=non-blocking --log-opt max-buffer-size=512k busybox:local \
		sh -c 'echo begin; sleep 0.5; yes "a line of output" | head -c 3000000; echo done >/out/done; sleep 60' >/dev/null
	wait_until 5 logged free begin
	fsfreeze -f "$disk" || skip "cannot freeze a filesystem"
	touch "$BATS_TEST_TMPDIR/out/frozen"
	wait_until 20 test -e "$BATS_TEST_TMPDIR/out/done"
	fsfreeze -u "$disk"
	wait_until 10 eval 'm logs free 2>&1 | grep -q "lines are missing here"'
	run -125 m_run --log-opt max-buffer-size=1m busybox:local true
	[[ "$output" == *"only supported with 'mode=non-blocking'"* ]]
	run -125 m_run --log-opt mode=fast busybox:local true
	[[ "$output" == *"logging mode not supported: fast"* ]]
	run -125 m_run --log-driver gelf busybox:local true
	[[ "$output" == *'"gelf" is not supported'* ]]
}

@test "the monitor of a container that has printed is small again" {
	[ -e /proc/self/smaps_rollup ] || skip "needs smaps_rollup"
	m_run -d --name calm busybox:local sh -c "$(count_to 20000); sleep 60" >/dev/null
	wait_until 20 logged calm 19999
	is_small() {
		[ "$(awk '/^Pss:/ {print $2}' "/proc/$(monitor_of calm)/smaps_rollup")" -le 64 ] &&
			[ "$(ls "/proc/$(monitor_of calm)/task" | wc -l)" -eq 1 ]
	}
	wait_until 5 is_small
	m exec calm true
	logged calm 19999
}
