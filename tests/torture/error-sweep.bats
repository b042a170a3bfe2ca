#!/usr/bin/env bats
# Any state-changing system call of masu may fail: with no space or quota, no descriptors in the process
# or the system, no memory, an input or output error, or because a signal came (HOSTILE 35-37). Then
# masu ends by itself with an error that says why, or copes; it does not hang, leaves nothing that the
# next command does not clear, and the same command with the same name succeeds afterwards. POINTS
# (default 10) calls are sampled for each error; 0: all.

load ../lib/oracle
load ../lib/hostile
load ../lib/sample

setup_file() {
	hostile_setup
	hostile_image
	gcc -O1 -Wall -D_GNU_SOURCE "$REPO/tests/torture/stepper.c" -o "$BATS_FILE_TMPDIR/stepper"
	masu "${RUN[@]}" --network none busybox:local true
}

teardown_file() {
	remove_test_cgroups
}

# sweep COMMAND: shell text that ends by itself and leaves nothing.
sweep() {
	local command=$1 total step at before errno status points=${POINTS:-10}
	sh -c "$command" >/dev/null 2>&1
	before=$(settled_state)
	total=$("$BATS_FILE_TMPDIR/stepper" -c masu count sh -c "$command" 3>&1 >/dev/null 2>/dev/null)
	[ "$total" -gt 20 ]
	step=1
	[ "$points" -eq 0 ] || [ "$total" -le "$points" ] || step=$((total / points))
	echo "# $total calls, every ${step}th: $command" >&3
	sample_points
	for errno in 28 122 24 23 12 5 4; do # ENOSPC EDQUOT EMFILE ENFILE ENOMEM EIO EINTR
		for ((at = 2 + RANDOM % step; at <= total; at += step)); do
			status=0
			"$BATS_FILE_TMPDIR/stepper" -t 20 -v -c masu error $at $errno sh -c "$command" \
				>"$BATS_TEST_TMPDIR/out" 2>&1 </dev/null || status=$?
			if [ $status -eq 124 ] || [ $status -eq 139 ] || [ $status -eq 134 ]; then
				echo "call $at of $total fails with $errno: status $status: $(cat "$BATS_TEST_TMPDIR/out")"
				return 1
			fi
			if [ $status -ne 0 ] && [ $status -ne 99 ] && ! grep -q '^masu.*: ' "$BATS_TEST_TMPDIR/out"; then
				echo "call $at of $total fails with $errno: status $status and no reason: $(cat "$BATS_TEST_TMPDIR/out")"
				return 1
			fi
			if ! sh -c "$command" >"$BATS_TEST_TMPDIR/again" 2>&1 </dev/null; then
				echo "call $at of $total failed with $errno ($(cat "$BATS_TEST_TMPDIR/out")):" \
					"the same command then fails: $(cat "$BATS_TEST_TMPDIR/again")"
				return 1
			fi
			left_nothing "$before" || {
				echo "call $at of $total failed with $errno: $(cat "$BATS_TEST_TMPDIR/out")"
				return 1
			}
		done
	done
}

@test "oci run" {
	make_bundle ".process.args=[\"/bin/true\"] | .linux.cgroupsPath=\"$CGROUP_PARENT/masu-sweep\""
	sweep "exec '$MASU' oci --root '$MASU_RUNROOT/oci' run -b '$BUNDLE' masu-sweep"
}

@test "run --rm" {
	sweep "exec '$MASU' ${RUN[*]} --name masu-sweep --network none busybox:local true"
}

@test "run --rm on the bridge with a published port" {
	sweep "exec '$MASU' ${RUN[*]} --name masu-sweep -p 8080:80 busybox:local true"
}

@test "import" {
	sweep "'$MASU' import '$BATS_FILE_TMPDIR/busybox.tar' sweep:local && '$MASU' rmi sweep:local"
}

@test "create, start, exec, stop, rm" {
	sweep "'$MASU' rm -f masu-sweep 2>/dev/null
		'$MASU' create --name masu-sweep --network none --cgroup-parent '$CGROUP_PARENT' busybox:local sleep 600 >/dev/null &&
		'$MASU' start masu-sweep && '$MASU' exec masu-sweep true && '$MASU' stop -t 0 masu-sweep && '$MASU' rm masu-sweep || {
		status=\$?; '$MASU' rm -f masu-sweep >/dev/null 2>&1; exit \$status; }"
}

@test "pause, unpause, rename, update" {
	sweep "'$MASU' rm -f masu-sweep masu-swept 2>/dev/null
		'$MASU' run -d --name masu-sweep --network none --cgroup-parent '$CGROUP_PARENT' busybox:local sleep 600 >/dev/null &&
		'$MASU' pause masu-sweep && '$MASU' unpause masu-sweep && '$MASU' rename masu-sweep masu-swept &&
		'$MASU' update --pids-limit 50 --memory-reservation 64m masu-swept && '$MASU' rm masu-swept -f || {
		status=\$?; '$MASU' rm -f masu-sweep masu-swept >/dev/null 2>&1; exit \$status; }"
}

@test "run -d with a named volume" {
	sweep "'$MASU' run -d --name masu-sweep -v masu-sweep:/x --network none --cgroup-parent '$CGROUP_PARENT' busybox:local sleep 600
		status=\$?; '$MASU' rm -f masu-sweep 2>/dev/null || '$MASU' rm -f masu-sweep
		'$MASU' volume rm masu-sweep 2>/dev/null || '$MASU' volume rm masu-sweep; exit \$status"
}
