#!/usr/bin/env bats
# Verbs on containers that exist: pause and unpause, rename, port, wait for a condition, and several
# containers at once. The reference for what a user sees is podman.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	export ORACLE_PODMAN_RUNROOT=/run/podman # the path may not be long
}

teardown_file() {
	engine_teardown_file
}

teardown() {
	remove_all
	[ ! -d "$BATS_FILE_TMPDIR/podman" ] || oracle_podman rm -fa -t 0 >/dev/null 2>&1 || true
}

# A program that counts, so that one sees whether it goes on, and ends with 3 on SIGTERM, 4 on SIGUSR1.
COUNTS='trap "exit 3" TERM; trap "exit 4" USR1; n=0; while :; do n=$((n+1)); echo $n >/tmp/n; sleep 0.02; done'

up() { # name [option...]
	local name=$1
	shift
	m_run -d --name "$name" "$@" busybox:local sh -c "$COUNTS" >/dev/null
	wait_until 5 test -s "$(root_of "$name")/tmp/n"
}

root_of() { # name
	echo "/proc/$(field "$1" .State.Pid)/root"
}

counted() { # name
	cat "$(root_of "$1")/tmp/n"
}

goes_on() { # name
	local before=$(counted "$1")
	changed() { [ "$(counted "$1")" != "$2" ]; }
	wait_until 5 changed "$1" "$before"
}

freezer_of() { # name: its cgroup2 or freezer file
	local id=$(field "$1" .Id)
	ls -d /sys/fs/cgroup/unified"$GROUP/$id"/cgroup.freeze /sys/fs/cgroup"$GROUP/$id"/cgroup.freeze \
		2>/dev/null | head -n 1
}

live() { # name
	echo "$MASU_RUNROOT/containers/$(field "$1" .Id)"
}

# killed_at CALL N COMMAND...: true where masu was killed as it came to its Nth CALL.
killed_at() {
	local call=$1 n=$2 status=0
	shift 2
	timeout 60 strace -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$n" "$MASU" "$@" \
		>/dev/null 2>&1 3>&- 4>&- || status=$?
	[ "$status" -eq 137 ]
}

@test "pause stops every process, unpause lets them go on" {
	up one
	run m pause one
	[ "$status" -eq 0 ] && [ "$output" = one ]
	status_is one paused
	[ "$(field one .State.Paused)" = true ]
	[ "$(field one .State.Running)" = true ]
	local before=$(counted one)
	sleep 0.2
	[ "$(counted one)" = "$before" ]
	[[ "$(m ps --format '{{.Status}}')" == "Up "*"(Paused)" ]]
	[ "$(m ps -q --filter status=paused | wc -l)" = 1 ]
	run m unpause one
	[ "$status" -eq 0 ] && [ "$output" = one ]
	status_is one running
	goes_on one
}

@test "pause in the wrong state is refused, the others of the line are paused" {
	up one
	m_create --name idle busybox:local true >/dev/null
	run --separate-stderr m pause idle one nosuch
	[ "$status" -eq 1 ]
	[ "$output" = one ]
	[[ "$stderr" == *"container idle is not running"* ]]
	[[ "$stderr" == *"No such container: nosuch"* ]]
	run m pause one
	[ "$status" -eq 1 ]
	[[ "$output" == *"container one is already paused"* ]]
	m unpause one
	run m unpause one
	[ "$status" -eq 1 ]
	[[ "$output" == *"container one is not paused"* ]]
	run m pause
	[ "$status" -eq 1 ]
	[[ "$output" == *'"masu pause" requires at least 1 argument.'* ]]
}

@test "a paused container takes no exec, attach or start; stop ends it by its own handler" {
	up one
	m pause one
	run m exec one true
	[ "$status" -ne 0 ]
	[[ "$output" == *"is paused, unpause the container before exec"* ]]
	run m attach one
	[[ "$status" -ne 0 && "$output" == *"unpause it first"* ]]
	run m start one
	[[ "$status" -ne 0 && "$output" == *"try unpause instead"* ]]
	run m rm one
	[[ "$status" -ne 0 && "$output" == *"paused container one"* ]]
	m stop -t 5 one
	status_is one exited
	[ "$(field one .State.ExitCode)" = 3 ]
	m start one
	status_is one running
}

@test "kill and rm -f end a paused container; a signal it was not told to stop with lets it go on, as docker" {
	up one
	m pause one
	m kill one
	status_is one exited
	[ "$(field one .State.ExitCode)" = 137 ]
	up two
	m pause two
	m kill -s USR1 two # no --stop-signal: docker thaws for any
	wait_until 5 status_is two exited
	up three --stop-signal TERM
	m pause three
	m kill -s USR1 three
	status_is three paused
	m unpause three
	wait_until 5 status_is three exited
	up four
	m pause four
	m rm -f four
	gone four
	m_run -d --rm --name five busybox:local sleep 60 >/dev/null
	m pause five
	m kill five
	wait_until 5 gone five
}

@test "what is paused is said by the freezer, whoever was killed in between" {
	up one
	# Killed after the mark and before the freeze: it runs.
	touch "$(live one)/paused"
	status_is one running
	goes_on one
	m pause one
	status_is one paused
	# Killed after the thaw and before the mark is gone: it runs.
	echo 0 >"$(freezer_of one)"
	wait_until 5 status_is one running
	run m unpause one
	[[ "$status" -eq 1 && "$output" == *"is not paused"* ]]
	# Frozen again by whoever: the mark counts only with the freezer.
	m pause one
	status_is one paused
	kill -KILL "$(monitor_of one)"
	status_is one paused
	m unpause one
	status_is one running
}

# The kernel has frozen, or not, what it was told to: that takes a moment.
frozen_as_asked() { # name
	local group
	group=$(dirname "$(freezer_of "$1")")
	grep -q "^frozen $(cat "$group/cgroup.freeze")" "$group/cgroup.events"
}

@test "pause killed at any point leaves a container that is what it is called" {
	up one
	local call n paused=0 running=0
	for call in openat write close; do
		n=1
		while killed_at "$call" "$n" pause one; do
			wait_until 5 frozen_as_asked one
			if [ "$(field one .State.Status)" = paused ]; then
				grep -q '^frozen 1' "$(dirname "$(freezer_of one)")/cgroup.events"
				m unpause one
				paused=$((paused + 1))
			else
				running=$((running + 1))
			fi
			status_is one running
			goes_on one
			n=$((n + 1))
		done
		# This one was not killed.
		m unpause one
	done
	[ "$paused" -gt 0 ] && [ "$running" -gt 10 ]
}

@test "rename: the old name is free, the new one leads to the container, its hostname stays" {
	up one --hostname box
	local id=$(field one .Id)
	run m rename one two
	[ "$status" -eq 0 ] && [ -z "$output" ]
	[ "$(field two .Id)" = "$id" ]
	[ "$(field two .Name)" = /two ]
	gone one
	[ "$(m exec two hostname)" = box ]
	[ "$(m ps --format '{{.Names}}')" = two ]
	m rename "/two" "/three"
	m rename "${id:0:12}" four
	[ "$(field four .Id)" = "$id" ]
	[ "$(ls "$MASU_ROOT/names")" = four ]
	m_create --name one busybox:local true >/dev/null
	m rm -f four
	[ "$(ls "$MASU_ROOT/names")" = one ]
}

@test "rename refuses names that are taken, the same, empty or no names" {
	m_create --name one busybox:local true >/dev/null
	m_create --name two busybox:local true >/dev/null
	run m rename one two
	[ "$status" -eq 1 ]
	[[ "$output" == *'Error when allocating new name: Conflict. The container name "/two" is already in use by container'* ]]
	run m rename one one
	[ "$status" -eq 1 ]
	[[ "$output" == *"Renaming a container with the same name as its current name"* ]]
	run m rename one ""
	[ "$status" -eq 1 ]
	[[ "$output" == *"Neither old nor new names may be empty"* ]]
	run m rename one "a/b"
	[ "$status" -eq 1 ]
	[[ "$output" == *"Invalid container name (a/b)"* ]]
	run m rename nosuch three
	[ "$status" -eq 1 ]
	[[ "$output" == *"No such container: nosuch"* ]]
	[ "$(field one .Name)" = /one ]
	[ "$(field two .Name)" = /two ]
}

@test "of many that rename to one name one wins" {
	local i
	for i in 1 2 3 4 5 6; do
		m_create --rm --name "racer$i" busybox:local true >/dev/null
	done
	for i in 1 2 3 4 5 6; do
		m rename "racer$i" winner 2>/dev/null &
	done
	wait || true
	[ "$(m ps -a --format '{{.Names}}' | grep -c '^winner$')" = 1 ]
	[ "$(m ps -a --format '{{.Names}}' | grep -c '^racer')" = 5 ]
	[ "$(ls "$MASU_ROOT/names" | wc -l)" = 6 ]
	for i in $(m ps -a --format '{{.Names}}'); do
		[ "$(field "$i" .Name)" = "/$i" ]
	done
}

@test "a container that is renamed and goes by itself frees its names" {
	m_run -d --rm --name one busybox:local sh -c 'until [ -e /go ]; do sleep 0.02; done' >/dev/null
	m rename one two
	touch "$(root_of two)/go"
	wait_until 5 gone two
	wait_until 5 nothing_left
	m_run -d --rm --name one busybox:local sleep 0.1 >/dev/null
	# It may have gone before.
	m rename one two || gone one
	wait_until 5 gone two
	wait_until 5 nothing_left
}

@test "rename killed at any point leaves one name, and can be done again" {
	local call n name before=0 after=0
	m_create --name one busybox:local true >/dev/null
	local id=$(field one .Id)
	for call in symlinkat symlink renameat rename unlinkat fsync openat; do
		n=1
		while killed_at "$call" "$n" rename one two; do
			name=$(m ps -a --format '{{.Names}}')
			[ "$(field "$name" .Id)" = "$id" ]
			if [ "$name" = one ]; then
				gone two
				before=$((before + 1))
				m rename one two
			else
				gone one
				after=$((after + 1))
			fi
			[ "$(field two .Id)" = "$id" ]
			# A name that nobody has can be given.
			m_create --name one busybox:local true >/dev/null
			m rm one >/dev/null
			m rename two one
			[ "$(ls -A "$MASU_ROOT/names")" = one ]
			n=$((n + 1))
		done
		m rename two one
	done
	[ "$before" -gt 5 ] && [ "$after" -gt 0 ]
}

@test "several containers are stopped at once" {
	local i out=$BATS_TEST_TMPDIR/out
	mkdir "$out"
	# Each ends as asked for once all have been told; told one after another, none would.
	for i in 1 2 3 4; do
		m_run -d --name "slow$i" -v "$out:/out" -e N="$i" busybox:local sh -c \
			'end() { touch /out/told$N; while [ "$(ls /out | grep -c told)" -lt 4 ]; do sleep 0.02; done; exit 4; }
			trap end TERM; touch /out/up$N; while :; do sleep 0.02; done' >/dev/null
		wait_until 5 test -e "$out/up$i"
	done
	run m stop -t 20 slow1 slow2 slow3 slow4
	[ "$status" -eq 0 ]
	[ "$output" = $'slow1\nslow2\nslow3\nslow4' ]
	for i in 1 2 3 4; do
		[ "$(field "slow$i" .State.ExitCode)" = 4 ]
	done
}

@test "stop: own signal, -s, -t 0; one that does not obey holds up no other's end" {
	up own --stop-signal USR1
	m_run -d --name deaf busybox:local sh -c 'trap "" TERM USR1; touch /tmp/n; while :; do sleep 0.02; done' >/dev/null
	wait_until 5 test -e "$(root_of deaf)/tmp/n"
	run --separate-stderr m stop -t 1 deaf nosuch own
	[ "$status" -eq 1 ]
	[ "$output" = $'deaf\nown' ]
	[[ "$stderr" == *"No such container: nosuch"* ]]
	[ "$(field deaf .State.ExitCode)" = 137 ]
	[ "$(field own .State.ExitCode)" = 4 ]
	up named --stop-signal USR1
	m stop -s TERM named
	[ "$(field named .State.ExitCode)" = 3 ]
	up at_once
	m stop --time 0 at_once
	status_is at_once exited
	run m stop -s NOSUCH at_once
	[[ "$status" -eq 1 && "$output" == *"invalid signal: NOSUCH"* ]]
	run m stop at_once
	[ "$status" -eq 0 ]
}

@test "kill, rm and restart of several" {
	up one
	up two
	run m kill -s TERM one two
	[ "$status" -eq 0 ]
	[ "$output" = $'one\ntwo' ]
	wait_until 5 status_is one exited
	wait_until 5 status_is two exited
	run --separate-stderr m kill one nosuch
	[ "$status" -eq 1 ]
	[[ "$stderr" == *"container one is not running"* && "$stderr" == *"No such container: nosuch"* ]]
	run m restart -s TERM -t 3 one two
	[ "$status" -eq 0 ]
	[ "$output" = $'one\ntwo' ]
	status_is one running
	status_is two running
	local pid=$(field one .State.Pid)
	m restart one
	[ "$(field one .State.Pid)" != "$pid" ]
	m_run -d --rm --name three busybox:local sleep 60 >/dev/null
	run m rm one two
	[ "$status" -eq 1 ]
	run --separate-stderr m rm -f one two three nosuch
	[ "$status" -eq 0 ]
	[ "$output" = $'one\ntwo\nthree' ]
	wait_until 5 nothing_left
}

@test "restart keeps a container with --rm, which goes when it ends by itself; a paused one goes on" {
	m_run -d --rm --name once busybox:local sh -c "$COUNTS" >/dev/null
	wait_until 5 test -s "$(root_of once)/tmp/n"
	local id=$(field once .Id)
	m restart -t 5 once
	[ "$(field once .Id)" = "$id" ]
	status_is once running
	m pause once
	m restart -t 5 once
	status_is once running
	m kill once
	wait_until 5 gone once
	wait_until 5 nothing_left
}

@test "wait: not-running, next-exit, removed, running, paused" {
	m_create --name one busybox:local sh -c 'until [ -e /go ]; do sleep 0.02; done; exit 5' >/dev/null
	[ "$(m wait one)" = 0 ]
	[ "$(m wait --condition created one)" = 0 ]
	"$MASU" wait --condition running one >"$BATS_TEST_TMPDIR/running" 3>&- 4>&- &
	local running=$!
	"$MASU" wait --condition next-exit one >"$BATS_TEST_TMPDIR/exit" 3>&- 4>&- &
	local next=$!
	"$MASU" wait --condition removed one >"$BATS_TEST_TMPDIR/removed" 3>&- 4>&- &
	local removed=$! pid
	for pid in $running $next $removed; do
		wait_until 5 watches_files "$pid"
	done
	m start one
	wait "$running"
	touch "$(root_of one)/go"
	wait "$next"
	[ "$(cat "$BATS_TEST_TMPDIR/exit")" = 5 ]
	[ "$(m wait one)" = 5 ]
	kill -0 "$removed"
	m rm one
	wait "$removed"
	[ "$(cat "$BATS_TEST_TMPDIR/removed")" = 5 ]
	up two
	"$MASU" wait --condition paused two >"$BATS_TEST_TMPDIR/paused" 3>&- 4>&- &
	local paused=$!
	sleep 0.1
	kill -0 "$paused"
	m pause two
	wait "$paused"
	m unpause two
	m_run -d --rm --name three busybox:local sh -c 'sleep 2; exit 6' >/dev/null
	[ "$(m wait --condition=removed three)" = 6 ]
	run m wait --condition nosuch two
	[[ "$status" -eq 1 && "$output" == *'invalid condition: "nosuch"'* ]]
	run m wait nosuch
	[[ "$status" -eq 1 && "$output" == *"No such container: nosuch"* ]]
}

@test "wait for health" {
	m_run -d --name ill --health-cmd 'test -e /tmp/well' --health-interval 100ms --health-retries 2 busybox:local sleep 60 >/dev/null
	m wait --condition unhealthy ill
	[ "$(field ill .State.Health.Status)" = unhealthy ]
	m wait --condition healthy ill >/dev/null 3>&- 4>&- &
	local healthy=$!
	m exec ill touch /tmp/well
	wait "$healthy"
	[ "$(field ill .State.Health.Status)" = healthy ]
	m_run -d --name plain busybox:local sleep 60 >/dev/null
	run m wait --condition healthy plain
	[[ "$status" -eq 1 && "$output" == *"container plain has no health check"* ]]
}

@test "port lists what is published, and one port" {
	NETWORK=bridge m_run -d --name web -p 127.0.0.1:18080:80 -p 18053:53/udp -p 18081:81 busybox:local sleep 60 >/dev/null
	run m port web
	[ "$status" -eq 0 ]
	[[ "$output" == *"80/tcp -> 127.0.0.1:18080"* ]]
	[[ "$output" == *"53/udp -> 0.0.0.0:18053"* ]]
	[[ "${lines[0]}" == "53/udp"* ]]
	run m port web 80
	[ "$output" = 127.0.0.1:18080 ]
	run m port web 53/udp
	[[ "${lines[0]}" == 0.0.0.0:18053 ]]
	run m port web 82
	[ "$status" -eq 1 ]
	[[ "$output" == *"No public port '82' published for web"* ]]
	run m port web x
	[[ "$status" -eq 1 && "$output" == *"invalid port (x)"* ]]
	m stop -t 0 web
	run m port web
	[ "$status" -eq 0 ] && [ -z "$output" ]
}

@test "the container group has the same verbs" {
	up one
	m container pause one
	m container unpause one
	m container rename one two
	m container port two
	m container stop -t 0 two
	m container wait two
}

@test "podman succeeds and fails where masu does, and says the same" {
	command -v podman >/dev/null || skip "podman is not installed"
	oracle_crun_ready
	tar -C "$BATS_FILE_TMPDIR/tree" -cf "$BATS_FILE_TMPDIR/busybox.tar" .
	oracle_podman import "$BATS_FILE_TMPDIR/busybox.tar" localhost/busybox:local >/dev/null
	# No name may be the beginning of an id: then it means that container once it is free.
	local options=(-d --network none --stop-timeout 1) line mine theirs
	oracle_podman run "${options[@]}" --name ann busybox:local sh -c "$COUNTS" >/dev/null
	oracle_podman run "${options[@]}" --name ben busybox:local sh -c "$COUNTS" >/dev/null
	m_run "${options[@]}" --name ann busybox:local sh -c "$COUNTS" >/dev/null
	m_run "${options[@]}" --name ben busybox:local sh -c "$COUNTS" >/dev/null
	wait_until 5 test -s "$(root_of ben)/tmp/n"
	while read -r line; do
		mine=ok theirs=ok
		m $line >"$BATS_TEST_TMPDIR/mine" 2>/dev/null || mine=failed
		oracle_podman $line 2>/dev/null >"$BATS_TEST_TMPDIR/theirs" 3>&- 4>&- || theirs=failed
		echo "$line: masu $mine, podman $theirs"
		[ "$mine" = "$theirs" ]
		# podman prints ids where docker prints what was typed.
		[ "${line%% *}" != wait ] || diff "$BATS_TEST_TMPDIR/mine" "$BATS_TEST_TMPDIR/theirs"
	done <<-'END'
		unpause ann
		pause ann
		pause ann
		exec ann true
		unpause ann
		pause nosuch
		rename ann ben
		rename ann cyn
		rename ann don
		rename nosuch evy
		inspect ann
		inspect cyn
		port cyn
		stop cyn ben
		stop cyn ben
		kill cyn
		pause cyn
		top cyn
		wait cyn
		wait ben
		update nosuch
		restart cyn
		kill -s TERM cyn
		wait cyn
		rm cyn
		rm cyn
		rm ben
	END
}
