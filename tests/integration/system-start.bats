#!/usr/bin/env bats
# `masu system start` after a reboot: what policies promise comes back, and only that; and the units
# that systemd runs it with.

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

# The machine goes down: every process is gone at once, and so is what a tmpfs held.
reboot_machine() {
	local live pids=()
	for live in "$MASU_RUNROOT"/containers/*/live.json; do
		[ -e "$live" ] || continue
		pids+=("$(jq -r .MonitorPid "$live")" "$(jq -r .Pid "$live")")
	done
	local pid
	for pid in "${pids[@]}"; do
		[ "$pid" = 0 ] || kill -KILL "$pid" 2>/dev/null || true
	done
	for pid in "${pids[@]}"; do
		[ "$pid" = 0 ] || wait_until 5 pid_gone "$pid"
	done
	rm -rf "${MASU_RUNROOT:?}"
	find /sys/fs/cgroup -depth -path "*$GROUP/*" -type d -exec rmdir {} + 2>/dev/null || true
}

long() { # name, options...
	local name=$1
	shift
	m_run -d --name "$name" "$@" busybox:local sleep 1000 >/dev/null
}

@test "policies decide who comes back" {
	long always --restart always
	long always-stopped --restart always
	long unless --restart unless-stopped
	long unless-stopped --restart unless-stopped
	long failing --restart on-failure
	long none
	m_run -d --name succeeded --restart on-failure busybox:local true >/dev/null
	m_create --name never --restart always busybox:local sleep 1000 >/dev/null
	m stop -t 0 always-stopped unless-stopped >/dev/null
	wait_until 5 status_is succeeded exited
	reboot_machine
	status_is always exited
	status_is none exited
	[ "$(field always .State.ExitCode)" = 255 ]
	run --separate-stderr m system start
	[ "$status" -eq 0 ]
	[ "$(LC_ALL=C sort <<<"$output")" = "$(printf '%s: started\n' always always-stopped failing unless | LC_ALL=C sort)" ]
	[ -z "$stderr" ]
	status_is always running
	status_is always-stopped running
	status_is unless running
	status_is failing running
	status_is unless-stopped exited
	status_is none exited
	status_is succeeded exited
	status_is never created
	# What runs is told and left alone; the promise is as good as before.
	local pid
	pid=$(field always .State.Pid)
	run m system start
	[[ "$output" == *"always: running"* ]]
	[ "$(field always .State.Pid)" = "$pid" ]
	kill -KILL "$pid"
	again() { [ "$(field always .RestartCount)" = 1 ]; }
	wait_until 5 again
}

@test "a start promises durably, and a container that waited for its restart comes back" {
	m_run -d --name waiting --restart always busybox:local sh -c '[ -e /ok ] && exec sleep 1000; exit 1' >/dev/null
	often() { [ "$(field waiting .RestartCount)" -gt 4 ]; }
	wait_until 20 often
	wait_until 5 status_is waiting restarting
	reboot_machine
	status_is waiting exited
	run m system start
	[ "$output" = "waiting: started" ]
	[ "$(field waiting .RestartCount)" -lt 4 ]
}

@test "one that cannot be started is told with the reason, and the others are started" {
	mkdir "$BATS_TEST_TMPDIR/bind"
	long broken --restart always -v "$BATS_TEST_TMPDIR/bind:/b"
	long fine --restart always
	reboot_machine
	rmdir "$BATS_TEST_TMPDIR/bind"
	ln -s nowhere "$BATS_TEST_TMPDIR/bind"
	run --separate-stderr -1 m system start
	[ "$output" = "fine: started" ]
	[[ "$stderr" == "masu: broken: "* ]]
	[ "$(wc -l <<<"$stderr")" = 1 ]
	status_is fine running
}

@test "those whose namespaces others join are started first" {
	long front --restart always
	NETWORK=container:front long user --restart always
	m stop -t 0 user front >/dev/null
	# By age the wrong one would be first.
	NETWORK=none long base --restart always
	m rm -f front >/dev/null
	m rename base front
	m start user
	reboot_machine
	run m system start
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "front: started" ]
	[ "${lines[1]}" = "user: started" ]
}

@test "one whose monitor was killed is told" {
	long orphan --restart always
	local monitor
	monitor=$(monitor_of orphan)
	kill -KILL "$monitor"
	wait_until 5 pid_gone "$monitor"
	run m system start
	[ "$status" -eq 0 ]
	[[ "$output" == "orphan: running, but its monitor was killed"* ]]
}

@test "containers with --rm that the reboot ended are gone" {
	long once --rm
	m_create --rm --name later busybox:local true >/dev/null
	reboot_machine
	# It was made in an earlier boot.
	local record
	record=$MASU_ROOT/containers/$(field once .Id)/container.json
	sed -i 's/"Created":"20[0-9][0-9]/"Created":"2001/' "$record"
	run m system start
	[ "$status" -eq 0 ]
	gone once
	status_is later created
}

verified() { # unit file
	systemd-analyze verify --man=no "$1"
}

@test "a generated unit is what systemd takes, and says what was asked for" {
	command -v systemd-analyze >/dev/null || skip "no systemd-analyze"
	m_create --name web --stop-timeout 7 busybox:local sleep 1000 >/dev/null
	cd "$BATS_TEST_TMPDIR"
	run m generate systemd --files --name --restart-policy always --restart-sec 3 --after db.service \
		--wants db.service -e 'A=b "c" 100% $x' web
	[ "$status" -eq 0 ]
	[ "$output" = "$BATS_TEST_TMPDIR/container-web.service" ]
	run verified ./container-web.service
	[ "$status" -eq 0 ]
	grep -q '^Restart=always$' container-web.service
	grep -q '^RestartSec=3$' container-web.service
	grep -q '^TimeoutStopSec=67$' container-web.service
	grep -q '^After=db.service$' container-web.service
	grep -qxF 'Environment="A=b \"c\" 100%% $x"' container-web.service
	grep -q -- "^ExecStop=.* stop --timeout 7 web$" container-web.service
	grep -q -- "^ExecStart=$MASU --root $MASU_ROOT --runroot $MASU_RUNROOT start --attach web$" container-web.service
	# What it runs works.
	local line
	line=$(sed -n 's/^ExecStart=//p' container-web.service)
	$line 3>&- 4>&- &
	wait_until 5 status_is web running
	line=$(sed -n 's/^ExecStop=//p' container-web.service)
	${line/--timeout 7/--timeout 0} 3>&- 4>&-
	status_is web exited
	wait
}

@test "units are refused for what they would break" {
	m_create --name own --restart always busybox:local true >/dev/null
	run m generate systemd own
	[ "$status" -ne 0 ]
	[[ "$output" == *"has a restart policy of its own"* ]]
	m_create --name plain busybox:local true >/dev/null
	run m generate systemd --restart-policy sometimes plain
	[[ "$output" == *"sometimes is not a valid restart policy"* ]]
	run m generate systemd --after $'a\nExecStart=/bin/evil' plain
	[ "$status" -ne 0 ]
	run m generate systemd --container-prefix ../x plain
	[ "$status" -ne 0 ]
	# Without a name it is the id's.
	run m generate systemd plain
	[ "${lines[0]}" = "# container-$(field plain .Id).service" ]
}

@test "the service that runs at boot is what systemd takes" {
	command -v systemd-analyze >/dev/null || skip "no systemd-analyze"
	sed "s|@BINDIR@/masu|$MASU|" "$REPO/units/masu.service.in" >"$BATS_TEST_TMPDIR/masu.service"
	run verified "$BATS_TEST_TMPDIR/masu.service"
	[ "$status" -eq 0 ]
}

@test "system stop stops all, and system start brings back what it stopped" {
	long kept --restart unless-stopped
	long by-hand --restart unless-stopped
	long plain
	m stop -t 0 by-hand >/dev/null
	run m system stop -t 0
	[ "$status" -eq 0 ]
	[ "$(sort <<<"$output")" = "$(printf 'kept\nplain')" ]
	status_is kept exited
	run m system start
	[ "$output" = "kept: started" ]
	status_is by-hand exited
	status_is plain exited
}
