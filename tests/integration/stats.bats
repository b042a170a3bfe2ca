#!/usr/bin/env bats
# `masu stats`: docker's table and fields; what they say is what the kernel says.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
}

teardown_file() {
	engine_teardown_file
}

teardown() {
	remove_all
}

stat_of() { # name, template
	m stats --no-stream --format "$2" "$1"
}

# bytes "1.5MiB": docker's units as a number.
bytes() {
	numfmt --from=iec-i "$(sed 's/B$//' <<<"$1")"
}

group_of() { # name
	ls -d /sys/fs/cgroup/unified"$GROUP/$(field "$1" .Id)" /sys/fs/cgroup"$GROUP/$(field "$1" .Id)" 2>/dev/null |
		head -n 1
}

@test "docker's table" {
	m_run -d --name one busybox:local sleep 60 >/dev/null
	m_run -d --name two busybox:local sleep 60 >/dev/null
	run m stats --no-stream
	[ "$status" -eq 0 ]
	[[ "${lines[0]}" =~ ^"CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT     MEM %     NET I/O   BLOCK I/O   PIDS"$ ||
		"${lines[0]}" =~ ^"CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT"\ +"MEM %     NET I/O"\ +"BLOCK I/O   PIDS"$ ]]
	[ "${#lines[@]}" -eq 3 ]
	[[ "$output" != *$'\033'* ]]
	run m stats --no-stream one
	[ "${#lines[@]}" -eq 2 ]
	[[ "${lines[1]}" == "$(field one .Id | cut -c1-12)"*one*%*B\ /\ *B*%*B\ /\ *B*1 ]]
	run m stats --no-stream --no-trunc one
	[[ "${lines[1]}" == "$(field one .Id) "* ]]
	run m container stats --no-stream one
	[ "$status" -eq 0 ]
}

@test "json, templates, tables of one's own; pressure besides docker's fields" {
	m_run -d --name one busybox:local sleep 60 >/dev/null
	run m stats --no-stream --format json one
	[ "$status" -eq 0 ]
	[ "$(jq -r 'keys_unsorted | join(" ")' <<<"$output")" = "BlockIO CPUPerc CPUPressure Container ID IOPressure MemPerc MemPressure MemUsage Name NetIO PIDs" ]
	[ "$(jq -r .Name <<<"$output")" = one ]
	[ "$(jq -r .Container <<<"$output")" = one ]
	[ "$(jq -r .PIDs <<<"$output")" = 1 ]
	[ "$(stat_of one '{{.Name}}:{{.NetIO}}')" = "one:0B / 0B" ]
	run m stats --no-stream --format 'table {{.Name}}\t{{.PIDs}}' one
	[[ "${lines[0]}" == "NAME"*"PIDS" && "${lines[1]}" == one*1 ]]
	[[ "$(stat_of one '{{.CPUPressure}} {{.MemPressure}} {{.IOPressure}}')" =~ ^([0-9.]+%\ /\ [0-9.]+%\ ?){3}$ ]] ||
		[ ! -e "$(group_of one)/cpu.pressure" ]
	run m stats --no-stream --format '{{.Nosuch}}' one
	[ "$status" -ne 0 ]
}

@test "CPU: what the kernel counts" {
	m_run -d --name busy --cpus 0.5 busybox:local sh -c 'while :; do :; done' >/dev/null
	m_run -d --name idle busybox:local sleep 60 >/dev/null
	local busy=$(stat_of busy '{{.CPUPerc}}') idle=$(stat_of idle '{{.CPUPerc}}')
	echo "busy $busy idle $idle"
	# Half a CPU at most, and more than nothing on a loaded machine; the period is 100 ms.
	[ "$(jq -n "${busy%\%} > 0.5 and ${busy%\%} < 75")" = true ]
	[ "$(jq -n "${idle%\%} < 2")" = true ]
}

@test "memory with a limit is the group's, without page cache; the limit is the limit" {
	m_run -d --name one -m 64m --memory-swap 64m busybox:local sh -c 'head -c 20000000 /dev/zero >/dev/shm/x; touch /tmp/ready; sleep 60' >/dev/null
	wait_until 5 test -e "/proc/$(field one .State.Pid)/root/tmp/ready"
	local usage=$(stat_of one '{{.MemUsage}}') percent=$(stat_of one '{{.MemPerc}}')
	[ "${usage##* / }" = 64MiB ]
	[ "$(bytes "${usage%% / *}")" -gt 20000000 ]
	[ "$(bytes "${usage%% / *}")" -lt 40000000 ]
	[ "$(jq -n "${percent%\%} > 29 and ${percent%\%} < 60")" = true ]
}

@test "memory without a limit is true as well; the limit is the machine's" {
	m_run -d --name one busybox:local sh -c 'x=$(head -c 30000000 /dev/zero | tr "\0" x); touch /tmp/ready; sleep 60; echo $x' >/dev/null
	wait_until 10 test -e "/proc/$(field one .State.Pid)/root/tmp/ready"
	local usage=$(stat_of one '{{.MemUsage}}')
	[ "$(bytes "${usage%% / *}")" -gt 29000000 ]
	[ "$(bytes "${usage%% / *}")" -lt 200000000 ]
	local total=$(awk '/^MemTotal:/ { printf "%d", $2 * 1024 }' /proc/meminfo)
	[ "$(($(bytes "${usage##* / }") * 100 / total))" -ge 99 ]
	# A group that is joined later counts from then on.
	m update --memory-reservation 100m one 2>/dev/null
	[[ "$(stat_of one '{{.MemUsage}}')" == *" / "* ]]
}

@test "tasks are counted, threads and children" {
	m_run -d --name many busybox:local sh -c 'for i in 1 2 3 4; do sleep 60 & done; wait' >/dev/null
	five() { [ "$(stat_of many '{{.PIDs}}')" = 5 ]; }
	wait_until 5 five
	m update --pids-limit 50 many
	five
}

@test "network: the interfaces of the container's namespace" {
	NETWORK=bridge m_run -d --name web busybox:local sleep 60 >/dev/null
	local gateway=$(field web .NetworkSettings.Gateway)
	m exec web ping -c 3 -i 0.1 -s 1000 "$gateway" >/dev/null || m exec web ping -c 3 "$gateway" >/dev/null
	local io=$(stat_of web '{{.NetIO}}')
	[[ "$io" != "0B / 0B" ]]
	local sent=$(awk '$1 != "lo:" && /:/ { sum += $10 } END { print sum }' "/proc/$(field web .State.Pid)/net/dev")
	[ "$(numfmt --to=si --format=%.0f "$sent" | tr -d KkB)" -le "$(($(numfmt --from=si "$(sed 's/.* \/ //; s/B$//; s/k/K/' <<<"$io" | sed 's/\.[0-9]*//')") / 1000 + 2))" ]
	NETWORK=host m_run -d --name host busybox:local sleep 60 >/dev/null
	[ "$(stat_of host '{{.NetIO}}')" = "0B / 0B" ]
}

@test "block I/O: counted where the container is in the group that counts it, else not guessed" {
	m_run -d --name plain busybox:local sleep 60 >/dev/null
	local device io=$(stat_of plain '{{.BlockIO}}')
	if [ -e "$(group_of plain)/io.stat" ]; then
		[[ "$io" == *" / "* ]]
	else
		[ "$io" = -- ]
	fi
	for device in /sys/block/*; do
		device=/dev/${device##*/}
		[ -b "$device" ] || continue
		m_run -d --name limited --device-read-bps "$device:100mb" busybox:local sleep 60 >/dev/null || continue
		[[ "$(stat_of limited '{{.BlockIO}}')" == *"B / "*B ]]
		return 0
	done
	skip "no block device"
}

@test "containers that do not run show zeroes, with -a or by name; a paused one is there" {
	m_create --name idle busybox:local true >/dev/null
	m_run -d --name paused busybox:local sleep 60 >/dev/null
	m pause paused
	[ "$(m stats --no-stream --format '{{.Name}}')" = paused ]
	[ "$(m stats --no-stream -a --format '{{.Name}}' | sort | paste -sd' ')" = "idle paused" ]
	[ "$(stat_of idle '{{.CPUPerc}} {{.MemUsage}} {{.MemPerc}} {{.NetIO}} {{.BlockIO}} {{.PIDs}}')" = "0.00% 0B / 0B 0.00% 0B / 0B 0B / 0B 0" ]
	[ "$(stat_of paused '{{.PIDs}}')" = 1 ]
	run m stats --no-stream nosuch paused
	[[ "$status" -eq 1 && "$output" == *"No such container: nosuch"* ]]
	run m stats --no-such-flag
	[ "$status" -eq 125 ]
}

@test "the stream goes on, takes in new containers, and ends with those that were named" {
	m_run -d --name one busybox:local sleep 60 >/dev/null
	m stats --format '{{.Name}}' one >"$BATS_TEST_TMPDIR/one" 3>&- 4>&- &
	local named=$!
	m stats --format '{{.Name}}' >"$BATS_TEST_TMPDIR/all" 3>&- 4>&- &
	local all=$!
	at_least() { [ "$(grep -c "^$2$" "$BATS_TEST_TMPDIR/$1")" -ge "$3" ]; }
	wait_until 10 at_least one one 2
	m_run -d --name two busybox:local sleep 60 >/dev/null
	wait_until 10 at_least all two 1
	kill -0 "$named"
	m rm -f one >/dev/null
	wait "$named"
	kill "$all"
	! grep -q $'\033' "$BATS_TEST_TMPDIR/all"
	! grep -q two "$BATS_TEST_TMPDIR/one"
}

@test "on a terminal the table is drawn anew in its place" {
	m_run -d --name one busybox:local sleep 60 >/dev/null
	python3 - "$MASU" >"$BATS_TEST_TMPDIR/screen" 3>&- 4>&- <<-'PYTHON'
		import os, pty, sys, time
		pid, fd = pty.fork()
		if pid == 0:
		    os.execv(sys.argv[1], [sys.argv[1], "stats"])
		text = b""
		end = time.time() + 15
		while text.count(b"\x1b[H") < 2 and time.time() < end:
		    text += os.read(fd, 4096)
		os.kill(pid, 9)
		os.write(1, text)
	PYTHON
	[ "$(grep -c $'^\033\\[H\033\\[JCONTAINER ID' "$BATS_TEST_TMPDIR/screen")" -ge 1 ]
}
