#!/usr/bin/env bats
# Killed monitors and command lines, reused pids, damaged records: the state told is true, nothing is
# lost, nothing is left.

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

@test "a killed monitor: the container is shown as running and can be ended (HOSTILE 42)" {
	m_run -d --name alone busybox:local sleep 60 >/dev/null
	local pid monitor
	pid=$(field alone .State.Pid)
	monitor=$(monitor_of alone)
	kill -KILL "$monitor"
	wait_until 5 pid_gone "$monitor"
	status_is alone running
	[ "$(field alone .State.Pid)" = "$pid" ]
	m exec alone true
	m kill alone
	wait_until 5 pid_gone "$pid"
	status_is alone exited
	[ "$(field alone .State.ExitCode)" = 255 ]
	[[ "$(field alone .State.Error)" == *"monitor"* ]]
	m start alone
	status_is alone running
	m rm -f alone
	wait_until 5 nothing_left
}

@test "a killed monitor of a --rm container: the next look removes what is left" {
	m_run -d --rm --name alone busybox:local sleep 60 >/dev/null
	local pid
	pid=$(field alone .State.Pid)
	kill -KILL "$(monitor_of alone)"
	kill -KILL "$pid"
	wait_until 5 pid_gone "$pid"
	m ps -a >/dev/null
	wait_until 5 nothing_left
}

# Where other engines have a server that 50 containers depend on, there are their clients and monitors.
@test "the clients of 50 containers killed at once: all keep running, and obey the next ones (HOSTILE 41)" {
	local i clients=() client running
	for i in {1..50}; do
		"$MASU" run --network none --cgroup-parent "$GROUP" --name "many-$i" busybox:local \
			sh -c 'trap "exit 3" TERM; echo up; while :; do sleep 1; done' >/dev/null 2>&1 </dev/null 3>&- 4>&- &
		clients+=($!)
	done
	all_up() { [ "$(m ps -q --filter name=many- | wc -l)" -eq 50 ]; }
	wait_until 30 all_up
	kill -KILL "${clients[@]}"
	for client in "${clients[@]}"; do
		running=0
		wait "$client" 2>/dev/null || running=$?
		[ "$running" -eq 137 ] # it was there to be killed
	done
	all_up
	wait_until 10 logged many-50 up
	for i in 1 25 50; do
		m exec "many-$i" true
		kill -0 "$(monitor_of "many-$i")"
	done
	m stop -t 10 many-{1..50} >/dev/null
	[ "$(m ps -aq --filter name=many- --filter exited=3 | wc -l)" -eq 50 ]
	m rm many-{1..50} >/dev/null
	nothing_left
}

@test "monitor and container killed at once: exited, restartable" {
	m_run -d --name both busybox:local sleep 60 >/dev/null
	kill -KILL "$(monitor_of both)" "$(field both .State.Pid)"
	wait_until 5 status_is both exited
	m start both
	status_is both running
}

@test "a pid that belongs to somebody else by now is neither shown nor signalled (HOSTILE 43)" {
	m_run -d --name victim busybox:local sleep 60 >/dev/null
	local live id
	id=$(field victim .Id)
	live=$MASU_RUNROOT/containers/$id/live.json
	kill -KILL "$(monitor_of victim)" "$(field victim .State.Pid)"
	sleep 1000 3>&- &
	local bystander=$!
	# As if the pid had been given out again.
	jq -c --argjson pid "$bystander" '.Pid = $pid | .MonitorPid = $pid' "$live" >"$live.new"
	mv "$live.new" "$live"
	run m kill victim
	[ "$status" -ne 0 ]
	m rm -f victim
	kill -0 "$bystander"
	kill "$bystander"
}

@test "a live record of another boot says nothing" {
	m_run -d --name old busybox:local sleep 60 >/dev/null
	local live
	live=$MASU_RUNROOT/containers/$(field old .Id)/live.json
	local pid monitor
	pid=$(field old .State.Pid)
	monitor=$(monitor_of old)
	kill -STOP "$monitor"
	jq -c '.BootId = "another"' "$live" >"$live.new"
	mv "$live.new" "$live"
	status_is old exited
	kill -KILL "$monitor" "$pid"
}

@test "creations killed anywhere leave nothing, and their name is free again" {
	local i delay
	for i in $(seq 40); do
		delay=0.00$((i % 10))$((i % 7))
		m_create --name killed busybox:local true >/dev/null 2>&1 &
		local cli=$!
		sleep "$delay"
		pkill -KILL -P "$cli" 2>/dev/null || true
		wait "$cli" 2>/dev/null || true
		# Whether it got so far or not: afterwards the name can be had.
		m rm -f killed >/dev/null 2>&1 || true
		m_create --name killed busybox:local true >/dev/null
		m rm killed >/dev/null
	done
	m ps -a >/dev/null
	wait_until 5 nothing_left
}

@test "a damaged record does not hide the others" {
	m_create --name good busybox:local true
	m_create --name bad busybox:local true
	local record
	record=$MASU_ROOT/containers/$(field bad .Id)/container.json
	cp "$record" "$BATS_TEST_TMPDIR/record"
	echo '{"Name": "bad"' >"$record"
	run m ps -a
	[ "$status" -eq 0 ]
	[[ "$output" == *good* ]]
	run m inspect bad
	[ "$status" -ne 0 ]
	cp "$BATS_TEST_TMPDIR/record" "$record"
	m rm bad good
}

@test "a container whose record is damaged is removed by force, whatever it does" {
	local kind id monitor name
	for kind in parked running exited unsupervised; do
		case $kind in
		parked) m_create --name bad busybox:local true >/dev/null ;;
		exited) m_run --name bad busybox:local true ;;
		*) NETWORK=bridge m_run -d --name bad -p 80 busybox:local sleep 100 >/dev/null ;;
		esac
		id=$(field bad .Id)
		monitor=$(jq -r .MonitorPid "$MASU_RUNROOT/containers/$id/live.json" 2>/dev/null || true)
		[ $kind != unsupervised ] || kill -9 "$monitor"
		echo '{"Name": "bad"' >"$MASU_ROOT/containers/$id/container.json"
		run ! m rm bad
		[ -d "$MASU_ROOT/containers/$id" ]
		m_create --name other busybox:local true >/dev/null
		run -0 m rm -f bad other
		[ "$(sort <<<"$output")" = "$(printf 'bad\nother')" ]
		[ -z "$monitor" ] || wait_until 5 pid_gone "$monitor"
		m ps -a >/dev/null
		wait_until 5 nothing_left
		# The name is free.
		m_create --name bad busybox:local true >/dev/null
		m rm bad >/dev/null
	done
	# That a record is whole is looked at once more.
	m_create --name good busybox:local true >/dev/null
	run -0 m rm -f good nosuch
	[ "${lines[*]}" = "good masu: No such container: nosuch" ]
}

@test "check --repair removes a damaged container that was never started, and no other" {
	m_create --name fresh busybox:local true >/dev/null
	m_run --name used busybox:local true
	local fresh used
	fresh=$(field fresh .Id) used=$(field used .Id)
	truncate -s 0 "$MASU_ROOT/containers/$fresh/container.json" "$MASU_ROOT/containers/$used/container.json"
	run -1 m system check --repair
	[ ! -e "$MASU_ROOT/containers/$fresh" ]
	[ -e "$MASU_ROOT/containers/$used" ]
	[[ "$output" == *"masu rm -f it, or put the record back"* ]]
	m rm -f used
	run -0 m system check
	wait_until 5 nothing_left
}

@test "a live.json that a power cut left empty is of nothing that runs" {
	m_run -d --name cut busybox:local sh -c 'trap "exit 0" TERM; while :; do sleep 0.05; done' >/dev/null
	local id
	id=$(field cut .Id)
	local live=$MASU_RUNROOT/containers/$id/live.json
	local monitor init
	monitor=$(jq -r .MonitorPid "$live") init=$(jq -r .Pid "$live")
	kill -9 "$monitor" "$init"
	# After a power cut nothing of it runs.
	wait_until 10 eval "[ ! -e /proc/$monitor ] && [ ! -e /proc/$init ]"
	: >"$live"
	[ "$(field cut .State.Status)" = exited ]
	[ "$(field cut .State.ExitCode)" = 255 ]
	[ ! -e "$live" ]
	m start cut
	status_is cut running
	m rm -f cut
	wait_until 5 nothing_left
}

@test "a container that cannot start is left as created with the reason" {
	m_create --name broken busybox:local /nosuch
	run m start broken
	[ "$status" -ne 0 ]
	[[ "$output" == *"/nosuch"* ]]
	status_is broken created
	[ "$(field broken .State.ExitCode)" = 127 ]
	[[ "$(field broken .State.Error)" == *"/nosuch"* ]]
	m rm broken
	# However early it fails, the reason arrives.
	local i
	for i in $(seq 30); do
		m_create --name broken busybox:local /nosuch
		run m start broken
		[[ "$output" == *"/nosuch"* ]]
		m rm broken
	done
	wait_until 5 nothing_left
}

@test "a runroot that cannot be written is refused and nothing is left" {
	mkdir "$BATS_TEST_TMPDIR/ro"
	mount -t tmpfs -o ro none "$BATS_TEST_TMPDIR/ro"
	run "$MASU" --runroot "$BATS_TEST_TMPDIR/ro/run" run --rm --network none busybox:local true
	umount "$BATS_TEST_TMPDIR/ro"
	[ "$status" -eq 125 ]
	[[ "$output" == *"ro/run"* ]]
	nothing_left
}

@test "however much a killed removal left in the trash, the next end of a container empties it" {
	mkdir -p "$MASU_ROOT/trash/left/below"
	seq 1500 | sed "s,^,$MASU_ROOT/trash/left/below/," | xargs touch
	seq 300 | sed "s,^,$MASU_ROOT/trash/," | xargs mkdir
	m_run --rm busybox:local true
	wait_until 10 sh -c '[ -z "$(ls -A "$MASU_ROOT/trash")" ]'
}
