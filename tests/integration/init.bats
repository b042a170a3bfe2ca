#!/usr/bin/env bats
# masu-init as process 1 of a pid namespace.

bats_require_minimum_version 1.5.0
load ../lib/oracle

setup_file() {
	export INIT=${MASU_LIBEXEC:-$REPO/build/libexec/masu}/masu-init
	export ORPHANS=$BATS_FILE_TMPDIR/orphans
	cc -O1 -static -o "$ORPHANS" "$BATS_TEST_DIRNAME/src/orphans.c"
}

# Runs masu-init with these arguments as process 1, in the foreground.
as_init() {
	unshare --pid --fork --mount-proc --kill-child "$INIT" "$@"
}

@test "the release program is static and under 60 KiB" {
	[ "$MASU" = "$REPO/build/masu" ] || skip "not the release build"
	[ "$(stat -c %s "$INIT")" -lt $((60 * 1024)) ]
	run file -b "$INIT"
	[[ "$output" == *"static"* ]]
}

@test "the command's status is the init's" {
	run -42 as_init -- sh -c 'exit 42'
	run -0 as_init sh -c 'exit 0'
	run -255 as_init -- sh -c 'exit 255'
}

@test "a command ended by a signal is 128 and the signal" {
	run -143 as_init -- sh -c 'kill -TERM $$; sleep 10'
	run -137 as_init -- sh -c 'kill -KILL $$; sleep 10'
	run -139 as_init -- sh -c 'kill -SEGV $$; sleep 10'
}

@test "what cannot be started is 127 or 126, and named" {
	run -127 as_init -- /no/such/program
	[[ "$output" == "masu-init: /no/such/program: No such file or directory" ]]
	run -127 as_init -- nosuchprogram
	run -126 as_init -- /etc
	[[ "$output" == "masu-init: /etc: "* ]]
	run -126 as_init -- /etc/passwd
	run -126 as_init
	[[ "$output" == *"usage"* ]]
	run -126 as_init --
}

@test "arguments after -- are the command's own" {
	run -0 as_init -- echo -- -x "a b"
	[ "$output" = "-- -x a b" ]
}

@test "the command is not process 1 and has a process group of its own" {
	run -0 as_init -- sh -c 'echo $$; ps -o pid=,pgid= -p $$'
	[ "${lines[0]}" != 1 ]
	read -r pid group <<<"${lines[1]}"
	[ "$pid" = "$group" ]
}

@test "the command has the signal mask that init was given" {
	run -0 as_init -- grep SigBlk /proc/self/status
	[[ "$output" == *$'\t0000000000000000' ]]
}

@test "signals reach the command" {
	for signal in TERM INT HUP USR1 USR2 QUIT WINCH RTMIN; do
		rm -f "$BATS_TEST_TMPDIR"/*
		# A shell's background jobs ignore INT and QUIT, and bash cannot trap what it ignored.
		env --default-signal unshare --pid --fork --mount-proc --kill-child "$INIT" -- bash -c "
			trap 'echo $signal >$BATS_TEST_TMPDIR/got; exit 7' $signal
			: >$BATS_TEST_TMPDIR/ready
			for i in \$(seq 400); do sleep 0.05; done" 3>&- &
		local unshare=$!
		wait_until 10 test -e "$BATS_TEST_TMPDIR/ready"
		local init
		init=$(pgrep -P "$unshare" -x masu-init)
		kill -"$signal" "$init"
		local status=0
		wait "$unshare" || status=$?
		[ "$status" -eq 7 ] || { echo "$signal: $status"; return 1; }
		[ "$(cat "$BATS_TEST_TMPDIR/got")" = "$signal" ]
	done
}

@test "a job in a terminal has the foreground" {
	run -0 script -qec "unshare --pid --fork --mount-proc $INIT -- sh -c 'ps -o pgid=,tpgid= -p \$\$'" /dev/null
	read -r group foreground <<<"${output//$'\r'/}"
	[ "$group" = "$foreground" ]
}

@test "process 1 ends with the command and takes the rest with it" {
	run -3 timeout 60 unshare --pid --fork --mount-proc "$INIT" -- sh -c 'sleep 1000 & exit 3'
}

@test "10,000 zombies are reaped (HOSTILE 45)" {
	run -0 as_init -- "$ORPHANS" 100 100
	[ "$output" = 0 ]
	# The same without an init must leave them, or the test shows nothing.
	run -1 unshare --pid --fork --mount-proc --kill-child "$ORPHANS" 10 100
	[ "$output" -ge 1000 ]
}

@test "beside another process 1 it adopts orphans too" {
	run -0 "$INIT" -- sh -c '(sh -c "sleep 0.1; ps -o ppid= -p \$\$ >$1.new; mv $1.new $1" &)
		until [ -e $1 ]; do sleep 0.05; done; cat $1; echo $PPID' sh "$BATS_TEST_TMPDIR/parent"
	[ "${lines[0]// /}" = "${lines[1]}" ]
}
