#!/usr/bin/env bats
# Restart policies: who is started again, when, how it is stopped, and what a crash leaves.

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

count_is() { # name, restarts
	[ "$(field "$1" .RestartCount)" = "$2" ]
}

count_above() { # name, restarts
	[ "$(field "$1" .RestartCount)" -gt "$2" ]
}

# A container that always fails is, sooner or later, between an end and its next start for seconds.
failing() { # name, policy
	m_run -d --name "$1" --restart "$2" busybox:local sh -c 'echo run; exit 3' >/dev/null
	wait_until 20 count_above "$1" 5
	wait_until 5 status_is "$1" restarting
}

@test "on-failure is tried again so many times, and a success is left alone" {
	m_run -d --name fails --restart on-failure:2 busybox:local sh -c 'echo run; exit 3' >/dev/null
	wait_until 10 status_is fails exited
	count_is fails 2
	[ "$(field fails .State.ExitCode)" = 3 ]
	# The log goes on over all runs.
	[ "$(m logs fails | grep -c run)" = 3 ]
	m_run -d --name works --restart on-failure busybox:local true >/dev/null
	wait_until 5 status_is works exited
	count_is works 0
	m rm fails works
	wait_until 5 nothing_left
}

@test "restarting shows how it ended and when, and holds no process, cgroup or live pid" {
	failing web always
	[ "$(field web .State.ExitCode)" = 3 ]
	[ "$(field web .State.Restarting)" = true ]
	[ "$(field web .State.Running)" = true ]
	[ "$(field web .State.Pid)" = 0 ]
	[ "$(field web .State.FinishedAt)" != 0001-01-01T00:00:00Z ]
	[[ "$(m ps --format '{{.Status}}')" == "Restarting (3) "*"ago" ]]
	[ "$(jq -r .Pid "$MASU_RUNROOT/containers/$(field web .Id)/live.json")" = 0 ]
	[ -z "$(find /sys/fs/cgroup -path "*$GROUP/*" -type d 2>/dev/null)" ]
	run m exec web true
	[[ "$output" == *"container web is restarting"* ]]
	run m attach web
	[[ "$output" == *"cannot attach to a restarting container"* ]]
	run m rm web
	[ "$status" -ne 0 ]
	m rm -f web
	nothing_left
}

@test "stop, kill and rm -f end the wait for the next start" {
	local verb
	for verb in stop "kill" "kill -s HUP"; do
		failing waiting always
		run m $verb waiting
		[ "$status" -eq 0 ]
		status_is waiting exited
		[ "$(field waiting .State.ExitCode)" = 3 ]
		m rm waiting
		nothing_left
	done
}

@test "start while it waits starts it now and counts anew" {
	m_run -d --name impatient --restart always busybox:local sh -c \
		'[ -e /stay ] || exit 1; exec sleep 100' >/dev/null
	wait_until 20 count_above impatient 4
	wait_until 5 status_is impatient restarting
	mkdir -p "$BATS_TEST_TMPDIR/x"
	touch "$MASU_ROOT/containers/$(field impatient .Id)"/upper/stay 2>/dev/null ||
		touch "$(find "$MASU_ROOT/containers/$(field impatient .Id)" -maxdepth 2 -type d \( -name diff -o -name upper \) | head -1)/stay"
	run m start impatient
	[ "$status" -eq 0 ]
	status_is impatient running
	count_is impatient 0
	[ "$(m exec impatient echo in)" = in ]
	m stop -t 0 impatient
	status_is impatient exited
}

@test "a container that is stopped or killed stays down, and a start by hand renews the policy" {
	local policy
	for policy in always unless-stopped on-failure; do
		m_run -d --name pol --restart $policy busybox:local sleep 100 >/dev/null
		m stop -t 0 pol
		status_is pol exited
		m start pol
		status_is pol running
		m kill pol
		status_is pol exited
		m start pol
		# Nobody asked for this end.
		kill -KILL "$(field pol .State.Pid)"
		wait_until 5 count_is pol 1
		wait_until 5 status_is pol running
		m rm -f pol
	done
	nothing_left
}

@test "a signal that ends nothing does not switch the policy off" {
	m_run -d --name told --restart always busybox:local sh -c \
		'trap "echo got" HUP; trap "exit 4" USR2; echo up; while :; do sleep 0.05; done' >/dev/null
	wait_until 5 logged told up
	m kill -s HUP told
	wait_until 5 logged told got
	m kill -s USR2 told
	wait_until 5 count_is told 1
	wait_until 5 status_is told running
}

@test "the attached run and wait return at the first end" {
	run -3 m_run --name att --restart always busybox:local sh -c 'echo once; exit 3'
	[ "$output" = once ]
	m rm -f att
	m_run -d --name wai --restart always busybox:local sh -c 'sleep 0.5; exit 6' >/dev/null
	run m wait wai
	[ "$output" = 6 ]
	m rm -f wai
}

@test "what was attached before the restart does not see the next run" {
	m_run -d --name again --restart always busybox:local sh -c \
		'n=$(cat /n 2>/dev/null || echo 0); n=$((n+1)); echo $n >/n; sleep 0.5; echo run $n; exit 1' >/dev/null
	run m attach again
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" = 1 ]
}

@test "stdin, files and hosts are there again after a restart" {
	NETWORK=bridge m_run -d -i --name files --restart always --hostname box busybox:local sh -c \
		'hostname; grep box /etc/hosts; sleep 0.3; exit 1' >/dev/null
	wait_until 10 count_above files 1
	[ "$(m logs files | grep -c '^box$')" -ge 2 ]
	# One IPv4 and one IPv6 address, the same in every run.
	[ "$(m logs files | grep '\sbox$' | sort -u | wc -l)" = 2 ]
	m rm -f files
}

@test "address and published port are the same after a restart" {
	NETWORK=bridge m_run -d --name served --restart always -p 18080:80 busybox:local \
		sh -c 'mkdir -p /www; hostname >/www/index.html; exec httpd -f -h /www' >/dev/null
	local before
	before=$(field served .NetworkSettings.IPAddress)
	kill -KILL "$(field served .State.Pid)"
	wait_until 5 count_is served 1
	wait_until 5 status_is served running
	[ "$(field served .NetworkSettings.IPAddress)" = "$before" ]
	wait_until 5 wget -q -O /dev/null http://127.0.0.1:18080/
	m rm -f served
}

@test "update --restart counts from the next end on" {
	m_run -d --name later busybox:local sleep 100 >/dev/null
	m update --restart always later
	kill -KILL "$(field later .State.Pid)"
	wait_until 5 count_is later 1
	wait_until 5 status_is later running
	m update --restart no later
	kill -KILL "$(field later .State.Pid)"
	wait_until 5 status_is later exited
	[ "$(field later .State.ExitCode)" = 137 ]
	m_run -d --rm --name once busybox:local sleep 100 >/dev/null
	run m update --restart always once
	[ "$status" -ne 0 ]
	m rm -f later once
	# Also while it waits: this start still comes, as with docker, and no other.
	failing waiting always
	m update --restart no waiting
	wait_until 10 status_is waiting exited
	[ "$(field waiting .State.ExitCode)" = 3 ]
}

@test "a restart that cannot start ends with the reason" {
	m_run -d --name broken --restart always -v "$BATS_TEST_TMPDIR/bind:/bind" busybox:local \
		sh -c 'sleep 0.3; exit 5' >/dev/null
	rmdir "$BATS_TEST_TMPDIR/bind"
	touch "$BATS_TEST_TMPDIR/other"
	mkfifo "$BATS_TEST_TMPDIR/bind.fifo"
	ln -s nowhere "$BATS_TEST_TMPDIR/bind"
	wait_until 10 status_is broken exited
	[ "$(field broken .State.ExitCode)" = 5 ]
	[ -n "$(field broken .State.Error)" ]
	m rm broken
	wait_until 5 nothing_left
}

@test "a monitor killed while it waits leaves an exited container with the reason" {
	failing lost always
	kill -KILL "$(monitor_of lost)"
	wait_until 5 status_is lost exited
	[ "$(field lost .State.ExitCode)" = 3 ]
	[[ "$(field lost .State.Error)" == *"monitor was killed"* ]]
	m start lost
	wait_until 5 count_above lost 0
	m rm -f lost
	wait_until 5 nothing_left
}

@test "a monitor killed anywhere around a restart wedges nothing" {
	local i monitor
	for i in $(seq 15); do
		m_run -d --name killed --restart always busybox:local sh -c 'exit 1' >/dev/null
		monitor=$(monitor_of killed) || monitor=
		sleep "0.$(printf %03d $(((i * 37) % 200)))"
		[ -z "$monitor" ] || kill -KILL "$monitor" 2>/dev/null || true
		wait_until 5 status_is killed exited
		m start killed
		m rm -f killed
	done
	wait_until 5 nothing_left
}

@test "a pid that was given out again is not taken for a restarting container's" {
	failing old always
	local live monitor
	live=$MASU_RUNROOT/containers/$(field old .Id)/live.json
	monitor=$(monitor_of old)
	kill -KILL "$monitor"
	wait_until 5 pid_gone "$monitor"
	sleep 1000 3>&- &
	local bystander=$!
	[ ! -e "$live" ] || { jq -c --argjson p "$bystander" '.MonitorPid = $p' "$live" >"$live.new" && mv "$live.new" "$live"; }
	status_is old exited
	run m kill old
	[ "$status" -ne 0 ]
	m rm -f old
	kill -0 "$bystander"
	kill "$bystander"
}

@test "a stop without a monitor is remembered, too" {
	m_run -d --name mute --restart unless-stopped busybox:local sleep 100 >/dev/null
	local monitor
	monitor=$(monitor_of mute)
	kill -KILL "$monitor"
	wait_until 5 pid_gone "$monitor"
	m stop -t 0 mute
	status_is mute exited
	[ "$(jq .ManuallyStopped "$MASU_ROOT/containers/$(field mute .Id)/state.json")" = true ]
}

@test "a monitor is small again after restarts" {
	[ -e /proc/self/smaps_rollup ] || skip "needs smaps_rollup"
	m_run -d --name small --restart always busybox:local sh -c \
		'n=$(cat /n 2>/dev/null || echo 0); echo $((n+1)) >/n; [ "$n" -lt 3 ] && exit 1; exec sleep 100' >/dev/null
	wait_until 10 count_is small 3
	wait_until 5 status_is small running
	is_small() {
		[ "$(awk '/^Pss:/ {print $2}' "/proc/$(monitor_of small)/smaps_rollup")" -le 64 ]
	}
	wait_until 5 is_small
}

@test "conflicts are refused in docker's words" {
	run -125 m_run --rm --restart always busybox:local true
	[[ "$output" == *"conflicting options: cannot specify both --restart and --rm"* ]]
	run -125 m_run --restart sometimes busybox:local true
	[[ "$output" == *"invalid restart policy"* ]]
	run -125 m_run --restart always:3 busybox:local true
	[ "$status" -eq 125 ]
}
