#!/usr/bin/env bats
# Commands that work on the same thing at the same time.

bats_require_minimum_version 1.5.0
load ../lib/oracle
load ../lib/hostile

setup_file() {
	hostile_setup
	hostile_image
}

teardown_file() {
	remove_test_cgroups
}

# Creates and removes containers with a volume while another process tries to remove the volume.
race_for_volume() {
	local program=${OCI_MASU:-$MASU} i verdict=held remover
	: >"$BATS_TEST_TMPDIR/on"
	(while [ -e "$BATS_TEST_TMPDIR/on" ]; do "$program" volume rm shared; done >/dev/null 2>&1 3>&-) &
	remover=$!
	for ((i = 0; i < $1; i++)); do
		"$program" create --name racer --rm --privileged -v shared:/data busybox:local true >/dev/null 3>&-
		[ -d "$MASU_ROOT/volumes/shared/_data" ] || verdict=breached
		"$program" rm racer >/dev/null
		[ $verdict = held ] || break
	done
	rm "$BATS_TEST_TMPDIR/on"
	wait $remover
	"$program" volume rm -f shared >/dev/null
	echo "$verdict"
}

@test "a volume is not removed while a container that uses it is created" {
	held race_for_volume 100
	without volumes-lock breached race_for_volume 400
}
