#!/usr/bin/env bats
# The test host itself: what every other file relies on.

@test "a test host has its own network with only lo" {
	run ip -o link
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ "${lines[0]}" == *"lo:"*"UP"* ]]
}

@test "a test host has an empty firewall" {
	run nft list ruleset
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}

@test "mounts made here do not reach the machine" {
	mkdir -p "$BATS_TEST_TMPDIR/m"
	mount -t tmpfs none "$BATS_TEST_TMPDIR/m"
	! grep -q "$BATS_TEST_TMPDIR/m" /proc/1/mountinfo
	umount "$BATS_TEST_TMPDIR/m"
}

@test "masu answers with its version" {
	run "$MASU" --version
	[ "$status" -eq 0 ]
	[[ "$output" =~ ^masu\ version\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "an unknown verb is refused and the nearest one named" {
	run "$MASU" rnu
	[ "$status" -eq 1 ]
	[[ "$output" == *"'rnu' is not a masu command"* ]]
}
