#!/usr/bin/env bats
# masu-seccomp as a program: it confines itself before it reads what it is not to trust.

bats_require_minimum_version 1.5.0

setup_file() {
	export COMPILER=${MASU_LIBEXEC:-$REPO/build/libexec/masu}/masu-seccomp
	[ "$MASU" = "$REPO/build/masu" ] || skip "the debug build's sanitizers need more than it allows itself"
}

@test "privileges are gone and calls forbidden before the first byte is read" {
	echo '{"defaultAction":"SCMP_ACT_ALLOW"}' >"$BATS_TEST_TMPDIR/section"
	run -0 strace -o "$BATS_TEST_TMPDIR/trace" "$COMPILER" <"$BATS_TEST_TMPDIR/section"
	local first
	first=$(grep -n '^read(0' "$BATS_TEST_TMPDIR/trace" | head -1 | cut -d: -f1)
	[ -n "$first" ]
	for call in 'setresuid(65534, 65534, 65534) *= 0' 'setgroups(0' 'prctl(PR_SET_NO_NEW_PRIVS, 1' \
		'prlimit64(0, RLIMIT_NOFILE' 'prlimit64(0, RLIMIT_AS' 'seccomp(SECCOMP_SET_MODE_FILTER'; do
		at=$(grep -n "^$call" "$BATS_TEST_TMPDIR/trace" | head -1 | cut -d: -f1)
		[ -n "$at" ] && [ "$at" -lt "$first" ] || { echo "$call"; return 1; }
	done
	# And with the same limits it does its work on the largest that is accepted.
	[ "$(tail -1 "$BATS_TEST_TMPDIR/trace")" = "+++ exited with 0 +++" ]
}

@test "what it cannot accept is one line, whatever its size" {
	run -1 --separate-stderr "$COMPILER" <<<'{"defaultAction":"SCMP_ACT_SHRUG"}'
	[ "$stderr" = 'seccomp: defaultAction: unknown action "SCMP_ACT_SHRUG"' ]
	for input in 'print("[" * 4000000)' 'print("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"x\":[" + "1," * 1000000 + "1]}")' \
		'print("x" * 6000000)' \
		'print("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"action\":\"SCMP_ACT_KILL\",\"names\":[" + "\"read\"," * 100000 + "\"read\"]}]}")'; do
		python3 -c "$input" >"$BATS_TEST_TMPDIR/input"
		run --separate-stderr timeout 60 "$COMPILER" <"$BATS_TEST_TMPDIR/input"
		# "x": a million numbers in a member that means nothing may be too much or not
		[[ "$status" -eq 1 && "$stderr" == *seccomp* ]] || [[ "$status" -eq 0 && "$input" == *'x\'* ]] ||
			{ echo "$input: $status $stderr"; return 1; }
		[ "$(grep -c . <<<"$stderr")" -le 1 ]
	done
}
