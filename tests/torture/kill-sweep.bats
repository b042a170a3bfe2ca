#!/usr/bin/env bats
# SIGKILL of the whole process tree at any state-changing system call leaves nothing wedged and nothing
# behind: the same command with the same name then succeeds, and after the usual clean-up the machine is
# as it was. POINTS (default 40) kill points a command are sampled evenly; POINTS=0 takes every one. WORKERS
# (default 8) hosts share them, where a command is followed by waiting.
# `masu run` and its like are swept with the monitor and the container in the tree.

load ../lib/oracle
load ../lib/sample

setup_file() {
	export MASU_ROOT=$BATS_FILE_TMPDIR/root MASU_RUNROOT=$BATS_FILE_TMPDIR/run
	gcc -O1 -Wall -D_GNU_SOURCE "$REPO/tests/torture/stepper.c" -o "$BATS_FILE_TMPDIR/stepper"
	make_busybox_root "$BATS_FILE_TMPDIR/rootfs"
	tar -C "$BATS_FILE_TMPDIR/rootfs" --numeric-owner -cf "$BATS_FILE_TMPDIR/busybox.tar" .
	"$MASU" import "$BATS_FILE_TMPDIR/busybox.tar" busybox:local
	# Its own cgroup parent: what other tests do at the same time is none of this file's business.
	export PARENT=/masu-sweep-$$
	# What is made once a machine (bridge definition, filter cache, group parent) is there before counting.
	"$MASU" run --rm --cgroup-parent "$PARENT" busybox:local true
}

teardown_file() {
	find /sys/fs/cgroup -depth -type d -path "*$PARENT*" -exec rmdir {} + 2>/dev/null || true
}

# Processes of masu, its monitors and parked containers among them, that belong to this file's state.
masu_processes() {
	local environ
	for environ in $(grep -lsz "^MASU_ROOT=$MASU_ROOT$" /proc/[0-9]*/environ); do
		case $(cat "${environ%/environ}/comm" 2>/dev/null) in
		masu*) echo "${environ%/environ}" ;;
		esac
	done
}

all_have_ended() { [ -z "$(masu_processes)" ]; }

# Everything that outlives a process and that masu could have left, as text.
machine_state() {
	find "$MASU_ROOT" "$MASU_RUNROOT" -printf '%y %P\n' | grep -v -e ' \.lock$' -e ' lock$' -e ' events\.log' | sort
	find /sys/fs/cgroup -type d -path "*$PARENT*" 2>/dev/null | sort
	ip -o link | awk '{ print $2 }'
	nft list ruleset
	wc -l </proc/self/mountinfo
	masu_processes | wc -l
}

is_as_before() { [ "$(machine_state)" = "$before" ]; }

# sweep CLEANUP COMMAND: both are shell text. WORKER of WORKERS takes every WORKERS-th of the points.
sweep() {
	local cleanup=$1 command=$2 total step at before after points=${POINTS:-40} workers=${WORKERS:-1} worker=${WORKER:-0}
	sh -c "$command" >/dev/null 2>&1
	sh -c "$cleanup" >/dev/null 2>&1
	# Bridge and trash go behind the reply.
	wait_until 10 sh -c '! ip link show masu0' >/dev/null 2>&1
	wait_until 10 sh -c '[ -z "$(find "$MASU_ROOT/trash" "$MASU_ROOT/containers/.new" -mindepth 1 2>/dev/null)" ]'
	# Nor is a monitor that still tidies up part of what must be there again.
	wait_until 10 all_have_ended || true
	before=$(machine_state)
	total=$("$BATS_FILE_TMPDIR/stepper" count sh -c "$command" 3>&1 >/dev/null 2>/dev/null)
	sh -c "$cleanup" >/dev/null 2>&1
	[ "$total" -gt 20 ]
	step=1
	[ "$points" -eq 0 ] || [ "$total" -le "$points" ] || step=$((total / points))
	[ "$worker" -ne 0 ] || echo "# $total calls, every ${step}th: $command" >&3
	sample_points
	for ((at = 1 + RANDOM % step + worker * step; at <= total; at += step * workers)); do
		"$BATS_FILE_TMPDIR/stepper" kill $at sh -c "$command" >/dev/null 2>&1 </dev/null || true
		if ! sh -c "$command" >"$BATS_TEST_TMPDIR/again$worker" 2>&1 </dev/null; then
			echo "killed at call $at of $total: the same command then fails: $(cat "$BATS_TEST_TMPDIR/again$worker")"
			return 1
		fi
		sh -c "$cleanup" >"$BATS_TEST_TMPDIR/cleanup$worker" 2>&1 ||
			{ echo "killed at $at: $(cat "$BATS_TEST_TMPDIR/cleanup$worker")"; return 1; }
		# The last monitor cleans up behind the reply.
		if ! wait_until 5 is_as_before; then
			after=$(machine_state)
			echo "killed at call $at of $total: left behind:"
			diff <(echo "$before") <(echo "$after")
			return 1
		fi
	done
}

# One of several hosts that share a sweep's points: a network, a root and a cgroup parent of its own.
sweep_on_a_host() { # cleanup, command
	set -e
	export MASU_ROOT=$BATS_TEST_TMPDIR/host$WORKER/root MASU_RUNROOT=$BATS_TEST_TMPDIR/host$WORKER/run PARENT=$PARENT-$WORKER
	ip link set lo up
	"$MASU" import "$BATS_FILE_TMPDIR/busybox.tar" busybox:local >/dev/null
	"$MASU" run --rm --cgroup-parent "$PARENT" busybox:local true
	sweep "$@"
}

# The same sweep on WORKERS hosts at once, for commands after which time passes: a bridge outlives its last
# container by two seconds. MASU_ROOT, MASU_RUNROOT and PARENT are each host's: the text says \$PARENT.
sweep_on_hosts() { # cleanup, command
	export WORKERS=${WORKERS:-8} WORKER BATS_TEST_DESCRIPTION
	local pids=() failed=""
	for ((WORKER = 0; WORKER < WORKERS; WORKER++)); do
		unshare --mount --net bash -c 'sweep_on_a_host "$@"' host "$@" >"$BATS_TEST_TMPDIR/host$WORKER.out" 2>&1 &
		pids+=($!)
	done
	for ((WORKER = 0; WORKER < WORKERS; WORKER++)); do
		wait "${pids[WORKER]}" || { failed=yes; cat "$BATS_TEST_TMPDIR/host$WORKER.out"; }
	done
	[ -z "$failed" ]
}

export -f wait_seconds wait_until sample_points masu_processes all_have_ended machine_state is_as_before sweep sweep_on_a_host

@test "oci run" {
	mkdir -p "$BATS_TEST_TMPDIR/bundle"
	cp -a "$BATS_FILE_TMPDIR/rootfs" "$BATS_TEST_TMPDIR/bundle/rootfs"
	(cd "$BATS_TEST_TMPDIR/bundle" && "$MASU" oci spec &&
		jq '.process.args=["/bin/true"] | .process.terminal=false | del(.process.rlimits) | .linux.cgroupsPath=env.PARENT + "/sweep"' config.json >c && mv c config.json)
	sweep true "'$MASU' oci --root '$MASU_RUNROOT/oci' run -b '$BATS_TEST_TMPDIR/bundle' masu-sweep"
}

@test "oci create, start, delete" {
	mkdir -p "$BATS_TEST_TMPDIR/bundle"
	cp -a "$BATS_FILE_TMPDIR/rootfs" "$BATS_TEST_TMPDIR/bundle/rootfs"
	(cd "$BATS_TEST_TMPDIR/bundle" && "$MASU" oci spec &&
		jq '.process.args=["/bin/true"] | .process.terminal=false | del(.process.rlimits) | .linux.cgroupsPath=env.PARENT + "/sweep"' config.json >c && mv c config.json)
	local oci="'$MASU' oci --root '$MASU_RUNROOT/oci'"
	sweep "$oci delete --force masu-sweep" \
		"$oci delete --force masu-sweep 2>/dev/null; $oci create -b '$BATS_TEST_TMPDIR/bundle' masu-sweep && $oci start masu-sweep && $oci delete --force masu-sweep"
}

@test "run --rm" {
	sweep_on_hosts "'$MASU' rm -f masu-sweep" \
		"'$MASU' rm -f masu-sweep 2>/dev/null; exec '$MASU' run --rm --name masu-sweep --network none --cgroup-parent \$PARENT busybox:local true"
}

@test "run --rm on the bridge with a published port" {
	sweep_on_hosts "'$MASU' rm -f masu-sweep" \
		"'$MASU' rm -f masu-sweep 2>/dev/null; exec '$MASU' run --rm --name masu-sweep -p 8080:80 --cgroup-parent \$PARENT busybox:local true"
}

@test "create, start, exec, stop, rm" {
	sweep_on_hosts "'$MASU' rm -f masu-sweep" \
		"'$MASU' rm -f masu-sweep 2>/dev/null; '$MASU' create --name masu-sweep --init --network none --cgroup-parent \$PARENT busybox:local sleep 600 &&
			'$MASU' start masu-sweep && '$MASU' exec masu-sweep true && '$MASU' stop -t 5 masu-sweep && '$MASU' rm masu-sweep"
}

# Until the container's inspect shows @3 for the template @2.
until_shown() { # name, template, value
	echo "until [ \"\$('$MASU' inspect -f '$2' $1 2>/dev/null)\" = $3 ]; do sleep 0.05; done"
}

@test "restarts in place, on the bridge" {
	sweep_on_hosts "'$MASU' rm -f masu-sweep" \
		"'$MASU' rm -f masu-sweep 2>/dev/null; '$MASU' run -d --name masu-sweep --restart on-failure:2 -p 8080:80 --cgroup-parent \$PARENT busybox:local false &&
			$(until_shown masu-sweep '{{.RestartCount}}{{.State.Status}}' 2exited) && '$MASU' rm masu-sweep"
}

@test "a restart in place with connections without packets" {
	[ "$(printf '%s\n' 6.13 "$(uname -r)" | sort -V | head -n 1)" = 6.13 ] || skip "needs Linux 6.13"
	sweep_on_hosts "'$MASU' rm -f masu-sweep" \
		"'$MASU' rm -f masu-sweep 2>/dev/null; '$MASU' run -d --name masu-sweep --network-opt accel=sockmap --restart on-failure:1 --network none --cgroup-parent \$PARENT busybox:local false &&
			$(until_shown masu-sweep '{{.RestartCount}}{{.State.Status}}' 1exited) && '$MASU' rm masu-sweep"
}

@test "health checks and what follows them" {
	sweep_on_hosts "'$MASU' rm -f masu-sweep" \
		"'$MASU' rm -f masu-sweep 2>/dev/null; '$MASU' run -d --name masu-sweep --health-cmd false --health-interval 20ms --health-retries 2 --health-on-failure kill --network none --cgroup-parent \$PARENT busybox:local sleep 600 &&
			$(until_shown masu-sweep '{{.State.Status}}' exited) && '$MASU' rm masu-sweep"
}

@test "network create, inspect, rm" {
	local all="masu-swept-n masu-sweep-r"
	sweep_on_hosts "'$MASU' network rm -f $all" \
		"'$MASU' network rm -f $all >/dev/null
			'$MASU' network create --subnet 10.91.0.0/24 --label a=b masu-swept-n && '$MASU' network create -d routed --ipv6 masu-sweep-r &&
			'$MASU' network inspect $all && '$MASU' network rm $all"
}

@test "network connect and disconnect, live; a container of a routed network" {
	local all="masu-swept-n masu-sweep-r" gone
	# Interfaces go with the killed container's namespace, which the kernel takes down in its own time.
	gone="for i in 1 2 3 4 5 6 7 8 9 10; do '$MASU' network rm -f $all >/dev/null && break; sleep 0.1; done"
	sweep_on_hosts "'$MASU' rm -f masu-sweep; $gone" \
		"'$MASU' rm -f masu-sweep 2>/dev/null; $gone
			'$MASU' network create masu-swept-n && '$MASU' network create -d routed --ipv6 masu-sweep-r &&
			'$MASU' run -d --name masu-sweep --network masu-sweep-r -p 8080:80 --cgroup-parent \$PARENT busybox:local sleep 600 &&
			'$MASU' network connect --alias other masu-swept-n masu-sweep && '$MASU' network disconnect masu-sweep-r masu-sweep &&
			'$MASU' rm -f masu-sweep && '$MASU' network rm $all"
}

@test "pause, unpause, rename, update" {
	sweep_on_hosts "'$MASU' rm -f masu-sweep masu-swept" \
		"'$MASU' rm -f masu-sweep masu-swept 2>/dev/null
			'$MASU' run -d --name masu-sweep --network none --cgroup-parent \$PARENT busybox:local sleep 600 &&
			'$MASU' pause masu-sweep && '$MASU' unpause masu-sweep && '$MASU' rename masu-sweep masu-swept &&
			'$MASU' update --pids-limit 50 --memory-reservation 64m masu-swept && '$MASU' rm -f masu-swept"
}

@test "run with a named volume" {
	sweep_on_hosts "'$MASU' rm -f masu-sweep; '$MASU' volume rm masu-sweep-v || true" \
		"'$MASU' rm -f masu-sweep 2>/dev/null; '$MASU' run --rm --name masu-sweep -v masu-sweep-v:/etc --network none --cgroup-parent \$PARENT busybox:local true && '$MASU' volume rm masu-sweep-v"
}

@test "import" {
	# A run that was killed before its start has left a container that was created, as with docker.
	sweep_on_hosts "'$MASU' ps -aq | xargs -r '$MASU' rm -f; '$MASU' rmi sweep:local" \
		"'$MASU' import --change 'LABEL a=b' '$BATS_FILE_TMPDIR/busybox.tar' sweep:local &&
			exec '$MASU' run --rm --network none --cgroup-parent \$PARENT sweep:local true"
}

@test "tag and rmi" {
	sweep true "'$MASU' tag busybox:local sweep:tag && '$MASU' rmi sweep:tag"
}
