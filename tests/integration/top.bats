#!/usr/bin/env bats
# `masu top`: what it prints is what the host's ps prints of the same processes, in docker's table.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	NETWORK=none m_run -d --name one busybox:local sh -c \
		'sleep 1000 & sleep 1001 & exec sleep 1002' >/dev/null
	NETWORK=none m_run -d -t -u bob --name tty busybox:local sleep 1003 >/dev/null
	wait_until 5 has_three
}

has_three() {
	[ "$(m top one | grep -c sleep)" = 3 ] || [ "$(m top one -o pid | wc -l)" = 4 ]
}

teardown_file() {
	engine_teardown_file
}

pids_of() { # name
	cat /sys/fs/cgroup/unified"$GROUP/$(field "$1" .Id)"/cgroup.procs \
		/sys/fs/cgroup"$GROUP/$(field "$1" .Id)"/cgroup.procs 2>/dev/null | sort -n | paste -sd,
}

# same_as_ps NAME PS-OPTION...: but for the width of columns.
same_as_ps() {
	local name=$1 expected
	shift
	run m top "$name" "$@"
	[ "$status" -eq 0 ]
	# ps knows a container's terminal only where the host has one of that number.
	expected=$(ps -q "$(pids_of "$name")" "$@" | sed 's/  */ /g; s/^ //; s/ *$//; s#pts/[0-9]*#?#g')
	diff <(echo "$expected") <(sed 's/  */ /g; s/ *$//; s#pts/[0-9]*#?#g' <<<"$output")
}

@test "docker's columns without options" {
	run m top one
	[ "$status" -eq 0 ]
	[[ "${lines[0]}" == "UID                 PID                 PPID                C                   STIME               TTY                 TIME                CMD" ]]
	[ "${#lines[@]}" -eq 4 ]
	[[ "$output" == *"sleep 1000"* && "$output" == *"sleep 1001"* && "$output" == *"sleep 1002"* ]]
	same_as_ps one -ef
	[ "$(m container top one)" = "$(m top one)" ]
}

@test "aux, -e, ax and lists are ps's" {
	same_as_ps one aux
	same_as_ps one -aux
	same_as_ps one -e
	same_as_ps one ax
	same_as_ps one -eF
	same_as_ps one -o pid,ppid,pgid,sid,comm
	same_as_ps one -eo pid,user,group,uid,gid,ruser,ruid,euser,egroup
	same_as_ps one -o pid,ni,pri,psr,nlwp,class,stat,s,tty,tname,tpgid,rtprio
	same_as_ps one -o pid,vsz,rss,sz,pmem,args
	same_as_ps one --format pid,time,cputime,bsdtime,stime,start_time,lstart,cmd
	same_as_ps one axo pid,cmd
	same_as_ps one -o pid -o comm
	same_as_ps tty -ef
	same_as_ps tty aux
	same_as_ps tty -o pid,tty,tname,tpgid,stat,user
	[[ "$(m top tty -o tty)" == TT$'\n'pts/0 ]]
	# Names that are too long for the column, and ids without a name.
	local uid
	for uid in $(awk -F: 'length($1) > 8 { print $3; exit }' /etc/passwd) 54321; do
		m_run -d -u "$uid" --name named busybox:local sleep 1004 >/dev/null
		same_as_ps named -ef
		same_as_ps named -o user,uid,group,pid
		m rm -f named
	done
	# One argument, as people write it in quotes.
	[ "$(m top one "-o pid,comm")" = "$(m top one -o pid,comm)" ]
}

@test "podman's titles are the same" {
	command -v podman >/dev/null || skip "podman is not installed"
	export ORACLE_PODMAN_RUNROOT=/run/podman # the path may not be long
	oracle_crun_ready
	tar -C "$BATS_FILE_TMPDIR/tree" -cf "$BATS_FILE_TMPDIR/busybox.tar" .
	oracle_podman import "$BATS_FILE_TMPDIR/busybox.tar" localhost/busybox:local >/dev/null
	oracle_podman run -d --name peer --network none busybox:local sleep 1000 >/dev/null
	oracle_podman top peer pid user ppid comm vsz args etime time nice pgid group >"$BATS_TEST_TMPDIR/peer"
	oracle_podman rm -f -t 0 peer >/dev/null
	run m top one -o pid,user,ppid,ucmd,vsz,args,etime,time,ni,pgid,group
	diff <(head -n 1 "$BATS_TEST_TMPDIR/peer" | sed 's/  */ /g; s/ $//; s/ COMMAND VSZ/ CMD VSZ/') \
		<(head -n 1 <<<"$output" | sed 's/  */ /g; s/ $//')
}

@test "nothing is executed" {
	strace -f -qq -e trace=execve,fork,vfork,clone,clone3 -o "$BATS_TEST_TMPDIR/trace" "$MASU" top one >/dev/null 3>&- 4>&-
	# By strace masu, and by that its other program; nothing else, and nobody forks.
	cat "$BATS_TEST_TMPDIR/trace"
	! grep -v 'execve(".*/masu[^/]*"' "$BATS_TEST_TMPDIR/trace"
}

@test "a process that calls itself names moves no cursor" {
	m_run -d --name evil busybox:local sh -c 'printf "c\033[2Jm" >/proc/$$/comm; while :; do sleep 0.1; done' \
		"$(printf 'x\033[2J\ny\177\302\233z')" >/dev/null
	evil_runs() { m top evil -o pid,comm | grep -q 'c?\[2Jm'; }
	wait_until 5 evil_runs
	run m top evil
	[[ "$output" != *$'\033'* && "$output" != *$'\177'* && "$output" != *$'\302\233'* ]]
	[[ "$output" == *"x?[2J?y???z"* ]]
	m rm -f evil
}

@test "a paused container has processes, one that does not run has none" {
	m pause tty
	run m top tty
	[[ "$status" -eq 0 && "$output" == *"sleep 1003"* ]]
	m unpause tty
	m_create --name idle busybox:local true >/dev/null
	run m top idle
	[ "$status" -eq 1 ]
	[[ "$output" == *"container idle is not running"* ]]
	run m top nosuch
	[[ "$status" -eq 1 && "$output" == *"No such container: nosuch"* ]]
	run m top
	[[ "$status" -eq 1 && "$output" == *"requires at least 1 argument"* ]]
	m rm idle
}

@test "what is not understood is refused by name" {
	run m top one -o pid,nosuch
	[[ "$status" -eq 1 && "$output" == *'unknown user-defined format specifier "nosuch"'* ]]
	run m top one -L
	[[ "$status" -eq 1 && "$output" == *'ps option "-L" is not supported'* ]]
	run m top one --forest
	[[ "$status" -eq 1 && "$output" == *'ps option "--forest" is not supported'* ]]
	run m top one -o pid=PID,comm=PID
	[[ "$status" -eq 1 && "$output" == *"headings of one's own"* ]]
	run m top one -o
	[[ "$status" -eq 1 && "$output" == *"format specification must follow -o"* ]]
	run m top one -f -o pid
	[[ "$status" -eq 1 && "$output" == *"conflicting format options"* ]]
}
