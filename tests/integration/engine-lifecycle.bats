#!/usr/bin/env bats
# The life of a container: every verb in the states that matter, and what is left after.

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

@test "run passes output and exit status through" {
	run --separate-stderr -7 m_run --rm busybox:local sh -c 'echo out; echo err >&2; exit 7'
	[ "$output" = out ]
	[ "$stderr" = err ]
	nothing_left
}

@test "exit statuses are docker's: 125, 126, 127, 128 + signal" {
	run -125 m_run --rm --pull never nosuchimage:local true
	[[ "$output" == *"No such image: nosuchimage:local"* ]]
	run -126 m_run --rm busybox:local /etc/passwd
	[[ "$output" == *"permission denied"* ]]
	run -127 m_run --rm busybox:local /nosuch
	[[ "$output" == *"/nosuch"*"no such file"* ]]
	run -127 m_run --rm busybox:local nosuch
	[[ "$output" == *'executable file not found in $PATH'* ]]
	run -137 m_run --rm --init busybox:local sh -c 'kill -9 $$'
	nothing_left
}

@test "a container goes through created, running, exited and away" {
	run m_create --name one busybox:local sh -c 'trap "exit 3" TERM; echo up; while :; do sleep 0.05; done'
	[ "$status" -eq 0 ]
	local id=$output
	[ "${#id}" -eq 64 ]
	status_is one created
	[ "$(field one .State.Pid)" = 0 ]
	run m start one
	[ "$output" = one ]
	status_is one running
	[ "$(field one .State.Pid)" -gt 0 ]
	wait_until 5 logged one up
	run m stop one
	[ "$status" -eq 0 ]
	status_is one exited
	[ "$(field one .State.ExitCode)" = 3 ]
	m start one
	status_is one running
	run m rm one
	[ "$status" -ne 0 ]
	[[ "$output" == *"running container"* ]]
	m rm -f one
	gone one
	nothing_left
}

@test "a parked container starts at once; without its monitor it starts as well" {
	m_create --name parked busybox:local echo first
	local run_dir=$MASU_RUNROOT/containers/$(field parked .Id)
	wait_until 5 test -e "$run_dir/live.json"
	run m start -a parked
	[ "$output" = first ]
	m rm parked
	m_create --name orphan busybox:local echo second
	run_dir=$MASU_RUNROOT/containers/$(field orphan .Id)
	wait_until 5 test -e "$run_dir/live.json"
	local monitor=$(monitor_of orphan) init=$(jq -r .Pid "$run_dir/live.json")
	kill -KILL "$monitor"
	wait_until 5 pid_gone "$init"
	status_is orphan created
	run m start -a orphan
	[ "$output" = second ]
}

@test "a parked container is removed with all that was prepared" {
	m_create --name parked busybox:local true
	local run_dir=$MASU_RUNROOT/containers/$(field parked .Id)
	wait_until 5 test -e "$run_dir/live.json"
	local init=$(jq -r .Pid "$run_dir/live.json")
	m rm parked
	pid_gone "$init"
	nothing_left
	# Also before it is prepared.
	m_create --name parked busybox:local true
	m rm parked
	wait_until 5 nothing_left
}

@test "a created --rm container stays until it has run" {
	m_create --rm --name once busybox:local true
	status_is once created
	kill -KILL "$(monitor_of once)" || true
	status_is once created
	m start once
	wait_until 5 gone once
	wait_until 5 nothing_left
}

@test "verbs in the wrong state are refused by name" {
	m_create --name idle busybox:local true
	run m exec idle true
	[ "$status" -ne 0 ]
	[[ "$output" == *"container idle is not running"* ]]
	run m kill idle
	[ "$status" -ne 0 ]
	[[ "$output" == *"is not running"* ]]
	run m stop idle
	[ "$status" -eq 0 ]
	run m rm nosuch
	[ "$status" -ne 0 ]
	[[ "$output" == *"No such container: nosuch"* ]]
}

@test "wait returns the exit status, also of a container that removes itself" {
	m_run -d --rm --name short busybox:local sh -c 'sleep 2; exit 9' >/dev/null
	run m wait short
	[ "$output" = 9 ]
	gone short
	m_run --name done busybox:local sh -c 'exit 4' || true
	run m wait done
	[ "$output" = 4 ]
}

@test "stop waits for the timeout, then kills" {
	m_run -d --name deaf busybox:local sh -c 'trap "" TERM; while :; do sleep 0.05; done' >/dev/null
	run m stop -t 1 deaf
	[ "$status" -eq 0 ]
	[ "$(field deaf .State.ExitCode)" = 137 ]
	m_run -d --name polite --stop-signal USR1 busybox:local \
		sh -c 'trap "exit 5" USR1; echo up; while :; do sleep 0.05; done' >/dev/null
	wait_until 5 logged polite up
	m stop polite
	[ "$(field polite .State.ExitCode)" = 5 ]
}

@test "kill sends the signal that was asked for" {
	m_run -d --name sig busybox:local sh -c 'trap "echo hup" HUP; echo up; while :; do sleep 0.05; done' >/dev/null
	wait_until 5 logged sig up
	m kill -s HUP sig
	wait_until 5 logged sig hup
	run m kill -s NOSUCH sig
	[ "$status" -ne 0 ]
	m kill sig
	[ "$(field sig .State.ExitCode)" = 137 ]
}

@test "names are one container's; 100 parallel creates have one winner" {
	local i winners=0 pids=()
	for i in $(seq 100); do
		m_create --name contested busybox:local true >"$BATS_TEST_TMPDIR/$i" 2>&1 &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		if wait "$i"; then winners=$((winners + 1)); fi
	done
	[ "$winners" -eq 1 ]
	[ "$(m ps -aq | wc -l)" -eq 1 ]
	[ "$(grep -l 'is already in use by container' "$BATS_TEST_TMPDIR"/* | wc -l)" -eq 99 ]
	m rm contested
	nothing_left
}

@test "hostile names and ids are refused" {
	local name
	for name in ../../x a/b "" .x "$(printf 'a%.0s' $(seq 300))"; do
		run m_create --name "$name" busybox:local true
		[ -z "$name" ] || [ "$status" -eq 125 ]
		run m rm "../../$name"
		[ "$status" -ne 0 ]
	done
}

@test "exec runs in the container, as the user and in the directory asked for" {
	m_run -d --name host -e ONE=1 busybox:local sleep 60 >/dev/null
	run m exec host sh -c 'echo $ONE $FROM_IMAGE $TWO; pwd; id -u; exit 6'
	[ "$status" -eq 6 ]
	[ "${lines[0]}" = "1 yes" ]
	[ "${lines[1]}" = / ]
	run m exec -u bob -w /data -e TWO=2 host sh -c 'id -un; pwd; echo $TWO $HOME; grep CapEff /proc/self/status'
	[ "${lines[0]}" = bob ]
	[ "${lines[1]}" = /data ]
	[ "${lines[2]}" = "2 /home/bob" ]
	[[ "${lines[3]}" == *0000000000000000 ]]
	run -127 m exec host nosuch
	run -126 m exec host /etc/passwd
	run m exec host sh -c 'grep Seccomp: /proc/self/status'
	[[ "$output" == *2 ]]
	echo input >"$BATS_TEST_TMPDIR/in"
	run bash -c '"$MASU" exec -i host cat <"$0" 3>&-' "$BATS_TEST_TMPDIR/in"
	[ "$output" = input ]
}

@test "an OOM kill is exit status 137 and OOMKilled, also when a child was killed" {
	run m_run --name oom --memory 16m busybox:local sh -c 'head -c 64m /dev/zero | tail >/dev/null; exit 0'
	[ "$(field oom .State.OOMKilled)" = true ]
	run m_run --name oom1 --memory 16m busybox:local tail /dev/zero
	[ "$status" -eq 137 ]
	[ "$(field oom1 .State.OOMKilled)" = true ]
	run m_run --name noom --memory 16m busybox:local true
	[ "$(field noom .State.OOMKilled)" = false ]
}

@test "a container's pid 1 takes everything with it" {
	m_run -d --name tree busybox:local sh -c 'sleep 1000 & sleep 1000 & sleep 1000' >/dev/null
	local pid=$(field tree .State.Pid)
	has_children() { [ "$(pgrep -c -P "$pid")" -ge 2 ]; }
	wait_until 5 has_children
	m rm -f tree
	pid_gone "$pid"
	nothing_left
}
