#!/usr/bin/env bats
# Health checks: made by the monitor, told by ps, inspect and events, and what an unhealthy container
# comes to.

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

# A container that is healthy while it has a file /ok.
checked() { # name, more options...
	local name=$1
	shift
	m_run -d --name "$name" --health-cmd 'echo "checked $HOSTNAME"; test -e /ok' --health-interval 100ms \
		--health-retries 2 "$@" busybox:local sleep 100 >/dev/null
}

health_is() { # name, status
	[ "$(field "$1" .State.Health.Status)" = "$2" ]
}

restarted() { # name, times
	[ "$(field "$1" .RestartCount)" -ge "$2" ]
}

event_count() { # pattern
	grep -c -- "$1" "$MASU_RUNROOT/events.log" || true
}

has_event() { # pattern
	[ "$(event_count "$1")" -gt 0 ]
}

@test "a container is starting, unhealthy and healthy as its checks say" {
	checked web --health-start-period 500ms --health-start-interval 100ms
	health_is web starting
	[[ "$(m ps --format '{{.Status}}')" == "Up "*" (health: starting)" ]]
	wait_until 5 health_is web unhealthy
	[[ "$(m ps --format '{{.Status}}')" == "Up "*" (unhealthy)" ]]
	[ "$(field web .State.Health.FailingStreak)" -ge 2 ]
	[ "$(m ps --filter health=unhealthy --format '{{.Names}}')" = web ]
	[ -z "$(m ps -q --filter health=healthy)" ]
	m exec web touch /ok
	wait_until 5 health_is web healthy
	[[ "$(m ps --format '{{.Status}}')" == "Up "*" (healthy)" ]]
	[ "$(field web .State.Health.FailingStreak)" = 0 ]
	wait_until 5 has_event 'health_status: unhealthy'
	wait_until 5 has_event 'health_status: healthy'
	has_event 'exec_create: /bin/sh -c echo'
	has_event 'exec_start: /bin/sh -c echo'
	has_event '"exec_die"'
}

@test "the log has the last five results, with times, exit code and output" {
	checked logged
	five() { [ "$(field logged '.State.Health.Log|length')" = 5 ]; }
	wait_until 5 five
	local id
	id=$(field logged .Id)
	[ "$(field logged '.State.Health.Log[4].Output')" = "checked ${id:0:12}" ]
	[ "$(field logged '.State.Health.Log[4].ExitCode')" = 1 ]
	[[ "$(field logged '.State.Health.Log[4].Start')" == 20*T*Z ]]
	[ "$(field logged '.State.Health.Log[3].End < .[0].State.Health.Log[4].Start')" != false ]
	wait_until 5 five
}

@test "output is kept up to 4096 bytes, from both streams and whatever it is" {
	m_run -d --name loud --health-cmd 'head -c 3000 /dev/zero | tr "\0" a; head -c 300000 /dev/zero | tr "\0" b >&2; exit 3' \
		--health-interval 100ms --health-retries 100 busybox:local sleep 100 >/dev/null
	m_run -d --name binary --health-cmd 'printf "a\000b\377c"' --health-interval 100ms busybox:local sleep 100 >/dev/null
	wait_until 5 test -e "$MASU_RUNROOT/containers/$(field loud .Id)/health.json"
	[ "$(field loud '.State.Health.Log[0].ExitCode')" = 3 ]
	[ "$(field loud '.State.Health.Log[0].Output|length')" = 4099 ]
	[[ "$(field loud '.State.Health.Log[0].Output')" == *... ]]
	wait_until 5 health_is binary healthy
	[[ "$(field binary '.State.Health.Log[0].Output')" == ab*c ]]
}

@test "a check that takes too long fails, and nothing of it is left" {
	m_run -d --name slow --health-cmd 'echo begun; sleep 1000 & sleep 1001' --health-interval 100ms \
		--health-timeout 1s --health-retries 1 busybox:local sleep 100 >/dev/null
	wait_until 5 health_is slow unhealthy
	[ "$(field slow '.State.Health.Log[0].ExitCode')" = -1 ]
	[[ "$(field slow '.State.Health.Log[0].Output')" == "Health check exceeded timeout (1s): begun"* ]]
	# At most the check that runs now.
	[ "$(m exec slow ps | grep -c 'sleep 1000$')" -le 1 ]
	[ "$(m exec slow ps | grep -c 'sleep 1001$')" -le 1 ]
}

@test "a check that cannot be made is a failure with the reason" {
	m_run -d --name nosh --health-cmd true --health-interval 100ms --health-retries 1 --user nobodyhere \
		busybox:local sleep 100 >/dev/null 2>&1 || true
	m rm -f nosh >/dev/null 2>&1 || true
	checked gone --workdir /tmp/here
	m exec gone rm -rf /tmp/here /bin
	wait_until 5 health_is gone unhealthy
	[ -n "$(field gone '.State.Health.Log[-1].Output')" ]
}

@test "the image's check is taken over, changed by options, and switched off" {
	tar -C "$BATS_FILE_TMPDIR/tree" -c . | "$MASU" import \
		--change 'HEALTHCHECK --interval=100ms --retries=7 CMD ["test", "-e", "/ok"]' - checked:local >/dev/null ||
		skip "import knows no HEALTHCHECK"
	m_run -d --name own checked:local sleep 100 >/dev/null
	[ "$(field own .Config.Healthcheck.Retries)" = 7 ]
	m exec own touch /ok
	wait_until 5 health_is own healthy
	m_create --name changed --health-retries 2 checked:local sleep 100 >/dev/null
	[ "$(field changed .Config.Healthcheck.Retries)" = 2 ]
	[ "$(field changed .Config.Healthcheck.Interval)" = 100000000 ]
	[ "$(field changed .State.Health)" = null ]
	m_run -d --name off --no-healthcheck checked:local sleep 100 >/dev/null
	[ "$(field off '.Config.Healthcheck.Test[0]')" = NONE ]
	[ "$(field off .State.Health)" = null ]
	[[ "$(m ps --filter name=off --format '{{.Status}}')" != *health* ]]
	[ "$(m ps --filter health=none --format '{{.Names}}')" = off ]
}

@test "a paused container is not checked" {
	checked frozen
	m exec frozen touch /ok
	wait_until 5 health_is frozen healthy
	m pause frozen
	local runs
	sleep 0.2
	runs=$(event_count '"exec_die"')
	sleep 0.2
	sleep 0.2
	[ "$(event_count '"exec_die"')" = "$runs" ]
	m unpause frozen
	more() { [ "$(event_count '"exec_die"')" -gt "$runs" ]; }
	wait_until 5 more
	health_is frozen healthy
}

@test "--health-on-failure=kill ends it, and the restart policy says what follows" {
	checked once --health-on-failure kill
	wait_until 5 status_is once exited
	[ "$(field once .State.ExitCode)" = 137 ]
	health_is once unhealthy
	checked twice --health-on-failure kill --restart on-failure:2
	wait_until 10 status_is twice exited
	[ "$(field twice .RestartCount)" = 2 ]
}

@test "--health-on-failure=stop stops it for good" {
	m_run -d --name stopped --restart always --health-cmd false --health-interval 100ms --health-retries 1 \
		--health-on-failure stop busybox:local sh -c 'trap "exit 9" TERM; while :; do sleep 0.05; done' >/dev/null
	wait_until 5 status_is stopped exited
	[ "$(field stopped .State.ExitCode)" = 9 ]
	[ "$(field stopped .RestartCount)" = 0 ]
	# And kills what does not obey.
	checked deaf --health-on-failure stop --stop-timeout 0
	wait_until 5 status_is deaf exited
	[ "$(field deaf .State.ExitCode)" = 137 ]
}

@test "--health-on-failure=restart restarts it without a policy, again and again" {
	checked phoenix --health-on-failure restart --stop-timeout 0
	wait_until 10 restarted phoenix 2
	m exec phoenix touch /ok || wait_until 5 m exec phoenix touch /ok
	wait_until 5 health_is phoenix healthy
	m stop -t 0 phoenix
	status_is phoenix exited
	m start phoenix
	m exec phoenix rm /ok
	wait_until 10 restarted phoenix 1
	m rm -f phoenix
	wait_until 5 nothing_left
}

@test "a stop, a kill and an rm during a check end at once and leave nothing" {
	local verb
	for verb in 'stop -t 0' kill 'rm -f'; do
		m_run -d --name busy --health-cmd 'sleep 1000' --health-interval 50ms busybox:local sleep 100 >/dev/null
		probing() { m exec busy ps | grep -q 'sleep 1000'; }
		wait_until 5 probing
		m $verb busy
		m rm -f busy >/dev/null
		nothing_left
	done
}

@test "a killed monitor takes the checks with it and the container counts as unhealthy" {
	checked orphan
	m exec orphan touch /ok
	wait_until 5 health_is orphan healthy
	local monitor
	monitor=$(monitor_of orphan)
	kill -KILL "$monitor"
	wait_until 5 pid_gone "$monitor"
	status_is orphan running
	health_is orphan unhealthy
	m stop -t 0 orphan
	status_is orphan exited
	m start orphan
	health_is orphan starting
}

@test "checks survive restarts, and a new run is starting again" {
	m_run -d --name again --restart always --health-cmd true --health-interval 100ms busybox:local \
		sh -c 'sleep 1; [ -e /stay ] && exec sleep 100; touch /stay; exit 1' >/dev/null
	wait_until 5 health_is again healthy
	wait_until 5 restarted again 1
	wait_until 5 status_is again running
	wait_until 5 health_is again healthy
}

@test "a monitor with checks is small, and without them it has no more than before" {
	[ -e /proc/self/smaps_rollup ] || skip "needs smaps_rollup"
	checked small --health-interval 1s
	m_run -d --name plain busybox:local sleep 100 >/dev/null
	m exec small touch /ok
	wait_until 5 health_is small healthy
	is_small() {
		[ "$(awk '/^Pss:/ {print $2}' "/proc/$(monitor_of small)/smaps_rollup")" -le 64 ]
	}
	wait_until 5 is_small
	! ls -l "/proc/$(monitor_of plain)/fd" | grep -q timerfd
	[ ! -e "$MASU_RUNROOT/containers/$(field plain .Id)/health.json" ]
	# No process stays between the checks.
	idle() { [ -z "$(pgrep -P "$(monitor_of small)" -x masu)" ]; }
	wait_until 5 idle
}

@test "a check cannot reach the monitor's program or files" {
	# CVE-2019-5736: what enters the container runs from a read-only mount; and brings nothing along.
	local before
	before=$(sha256sum <"$MASU")
	m_run -d --name prober --health-cmd 'for p in /proc/[0-9]*; do ( : 3<>$p/exe ) 2>&1; done | grep -v -e "Text file busy" -e "No such" -e "nonexistent" -e "Read-only"; ls -l /proc/self/fd 2>/dev/null | grep -c -e socket -e eventpoll -e json; true' \
		--health-interval 100ms busybox:local sleep 100 >/dev/null
	wait_until 5 health_is prober healthy
	[ "$(field prober '.State.Health.Log[0].Output')" = 0 ]
	[ "$(sha256sum <"$MASU")" = "$before" ]
}

@test "options are refused in docker's and podman's words" {
	run -125 m_run --health-interval -1s busybox:local true
	[[ "$output" == *"--health-interval cannot be negative"* ]]
	run -125 m_run --health-retries -1 busybox:local true
	[[ "$output" == *"--health-retries cannot be negative"* ]]
	run -125 m_run --health-timeout soon busybox:local true
	[[ "$output" == *'invalid duration "soon"'* ]]
	run -125 m_run --no-healthcheck --health-cmd true busybox:local true
	[[ "$output" == *"--no-healthcheck conflicts with --health-* options"* ]]
	run -125 m_run --health-cmd true --health-interval 10us busybox:local true
	[[ "$output" == *"Interval in Healthcheck cannot be less than 1ms"* ]]
	run -125 m_run --health-on-failure explode --health-cmd true busybox:local true
	[[ "$output" == *"invalid on-failure action"* ]]
	run -125 m_run --health-on-failure kill busybox:local true
	[[ "$output" == *"without a health check"* ]]
	nothing_left
}

# "STATUS STREAK" of podman's container after one more check.
podman_checks() { # name
	oracle_podman healthcheck run "$1" >/dev/null || true
	oracle_podman inspect "$1" --format '{{.State.Health.Status}} {{.State.Health.FailingStreak}}'
}

@test "states and streaks are podman's" {
	command -v podman >/dev/null || skip "no podman"
	oracle_crun_ready
	export ORACLE_PODMAN_RUNROOT=/run/podman-health # the path may not be long
	tar -C "$BATS_FILE_TMPDIR/tree" -c . | oracle_podman import -q - busybox:local >/dev/null
	# Without systemd podman makes its checks when it is told to.
	oracle_podman run -d --name same --network none --health-interval disable --health-cmd 'test -e /ok' --health-retries 2 \
		busybox:local sleep 1000 >/dev/null
	local i step
	for step in true 'touch /ok' 'rm /ok'; do
		oracle_podman exec same $step
		for i in $(seq 12); do
			podman_checks same
		done
	done >"$BATS_TEST_TMPDIR/podman"
	oracle_podman rm -f -t 0 same >/dev/null
	m_run -d --name same --health-interval 250ms --health-cmd 'test -e /ok' --health-retries 2 busybox:local sleep 1000 >/dev/null
	seen() { # until STATUS STREAK
		local pair="" end=$((SECONDS + 60))
		until [ "$pair" = "$1" ]; do
			[ $SECONDS -lt $end ]
			pair=$(m inspect same -f '{{.State.Health.Status}} {{.State.Health.FailingStreak}}')
			echo "$pair" >>"$BATS_TEST_TMPDIR/masu"
		done
	}
	seen "unhealthy 3"
	m exec same touch /ok
	seen "healthy 0"
	m exec same rm /ok
	seen "unhealthy 2"
	m rm -f same
	sort -u "$BATS_TEST_TMPDIR/masu"
	# Before the first check it is "starting 0" for both.
	! grep -vxF -e "starting 0" -f "$BATS_TEST_TMPDIR/podman" "$BATS_TEST_TMPDIR/masu"
}

@test "results and output are podman's, also in the start period" {
	command -v podman >/dev/null || skip "no podman"
	oracle_crun_ready
	export ORACLE_PODMAN_RUNROOT=/run/podman-health
	oracle_podman image exists busybox:local || tar -C "$BATS_FILE_TMPDIR/tree" -c . | oracle_podman import -q - busybox:local >/dev/null
	local check period
	for check in true false 'exit 2' 'exit 3' nosuch 'echo out; echo err >&2; exit 1' 'echo "a b"'; do
		for period in 0s 1h; do
			local -a options=(--name same --network none --health-retries 1 --health-cmd "$check" --health-start-period "$period")
			oracle_podman run -d "${options[@]}" --health-interval disable busybox:local sleep 1000 >/dev/null
			oracle_podman healthcheck run same >/dev/null || true
			oracle_podman inspect same | jq -c '.[0].State.Health | [.Status, (.Log[0] | .ExitCode == 0, (.Output | rtrimstr("\n")))]' \
				>"$BATS_TEST_TMPDIR/podman"
			oracle_podman rm -f -t 0 same >/dev/null
			m_run -d "${options[@]}" --health-interval 100ms --health-start-interval 100ms busybox:local sleep 1000 >/dev/null
			once() { [ "$(field same '.State.Health.Log | length')" -ge 1 ]; }
			wait_until 5 once
			m inspect same | jq -c '.[0].State.Health | [.Status, (.Log[0] | .ExitCode == 0, (.Output | rtrimstr("\n")))]' \
				>"$BATS_TEST_TMPDIR/masu"
			m rm -f same >/dev/null
			diff "$BATS_TEST_TMPDIR/podman" "$BATS_TEST_TMPDIR/masu" || {
				echo "$check, start period $period"
				return 1
			}
		done
	done
}
