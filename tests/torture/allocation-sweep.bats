#!/usr/bin/env bats
# Any allocation of masu may fail (HOSTILE 37): then it ends with an error, or copes; no sanitizer has
# anything to say, and the same command then succeeds and leaves nothing. The debug build counts and
# fails them (base/fault.h). About POINTS (default 40) numbers are sampled, denser at the start; 0: all.

load ../lib/oracle
load ../lib/hostile

setup_file() {
	hostile_setup
	hostile_image
	masu "${RUN[@]}" --network none busybox:local true
}

teardown_file() {
	remove_test_cgroups
}

# The debug build with allocation number $1 failing in each of its processes.
fails_at() {
	local number=$1
	shift
	MASU_TEST_FAIL_ALLOCATION=$number without none timeout 60 "$MASU_DEBUG" "$@"
}

# sweep ARGUMENT...: of masu, ends by itself and leaves nothing.
sweep() {
	local before number step status fired=0 failed=0
	masu "$@" >/dev/null
	before=$(settled_state)
	for ((number = 1; ; number += step)); do
		step=$([ "${POINTS:-40}" -eq 0 ] && echo 1 || echo $((1 + number * 8 / ${POINTS:-40})))
		status=0
		fails_at $number "$@" >"$BATS_TEST_TMPDIR/out" 2>&1 </dev/null || status=$?
		if grep -q -e Sanitizer -e 'runtime error' "$BATS_TEST_TMPDIR/out" || [ $status -eq 124 ]; then
			echo "allocation $number fails: status $status"
			cat "$BATS_TEST_TMPDIR/out"
			return 1
		fi
		grep -q 'fault: an allocation fails' "$BATS_TEST_TMPDIR/out" || break
		fired=$((fired + 1))
		[ $status -eq 0 ] || failed=$((failed + 1))
		if ! masu "$@" >"$BATS_TEST_TMPDIR/again" 2>&1 </dev/null; then
			echo "after the failure of allocation $number ($(cat "$BATS_TEST_TMPDIR/out"))"
			cat "$BATS_TEST_TMPDIR/again"
			return 1
		fi
		left_nothing "$before" || { echo "allocation $number"; cat "$BATS_TEST_TMPDIR/out"; return 1; }
	done
	echo "# about $number allocations; $fired failed, which ended the command $failed times: $1 $2" >&3
	[ $fired -gt 10 ] && [ $failed -gt 5 ]
	[ $status -eq 0 ]
}

@test "oci run" {
	make_bundle ".process.args=[\"/bin/true\"] | .linux.cgroupsPath=\"$CGROUP_PARENT/masu-sweep\""
	sweep oci --root "$MASU_RUNROOT/oci" run -b "$BUNDLE" masu-sweep
}

@test "run --rm" {
	sweep "${RUN[@]}" --name masu-sweep --network none busybox:local true
}

@test "run --rm on the bridge with a published port" {
	sweep "${RUN[@]}" --name masu-sweep -p 8080:80 busybox:local true
}
