#!/usr/bin/env bats
# `masu diff`: docker's list of what a container changed, with podman as the oracle.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	export ORACLE_PODMAN_RUNROOT=$(mktemp -d /tmp/cp-XXXXXX) # podman's may have 50 characters
	oracle_crun_ready
	local tree=$BATS_FILE_TMPDIR/tree
	mkdir -p "$tree/opt/keep/deep" "$tree/opt/gone" "$tree/opt/again/sub" "$tree/opt/quiet" "$tree/opt/swap"
	echo a >"$tree/opt/keep/file"
	echo b >"$tree/opt/keep/deep/file"
	echo c >"$tree/opt/gone/file"
	echo d >"$tree/opt/again/old"
	echo e >"$tree/opt/again/sub/old"
	echo f >"$tree/opt/quiet/file"
	echo g >"$tree/opt/file"
	echo h >"$tree/opt/exec"
	tar -C "$tree" -c . | "$MASU" import - changes:1 >/dev/null
	tar -C "$tree" -c . | oracle_podman import - changes:1 >/dev/null
}

teardown_file() {
	rm -rf "$ORACLE_PODMAN_RUNROOT"
	engine_teardown_file
}

teardown() {
	remove_all
}

# The same commands in both, then the same lists. Podman sorts neither, and tells where it mounts.
same_as_podman() { # shell text
	m_run --name ours changes:1 sh -c "$1"
	oracle_podman run --name theirs --network none changes:1 sh -c "$1"
	m diff ours | sort >ours.txt
	oracle_podman diff theirs | grep -v -E '^[AC] /(etc|proc|sys|dev|run)(/|$)' | sort >theirs.txt
	oracle_podman rm -f theirs >/dev/null
	diff ours.txt theirs.txt
}

@test "added, changed and deleted are as with podman" {
	cd "$BATS_TEST_TMPDIR"
	same_as_podman 'echo x >/opt/new; echo x >/opt/keep/file; rm -r /opt/gone; mkdir -p /made/a/b; echo y >/made/a/b/c
		chmod 700 /opt/exec; ln -s x /opt/keep/deep/link; mkfifo /tmp/fifo'
	grep -qx 'A /made/a/b/c' ours.txt
	grep -qx 'C /opt' ours.txt
	grep -qx 'D /opt/gone' ours.txt
}

@test "sorted, a directory before what is in it" {
	m_run --name ours changes:1 sh -c 'echo x >/zzz; echo x >/opt/keep/deep/new; echo x >/opt/a; rm /opt/file; mkdir /opt/keep-not'
	run m diff ours
	[ "$output" = "C /opt
A /opt/a
D /opt/file
C /opt/keep
C /opt/keep/deep
A /opt/keep/deep/new
A /opt/keep-not
A /zzz" ] || { echo "$output"; return 1; }
}

@test "a directory that was replaced: what it had is deleted" {
	m_run --name ours changes:1 sh -c 'rm -r /opt/again && mkdir -p /opt/again/sub && echo n >/opt/again/new'
	run m diff ours
	[ "$output" = "C /opt
C /opt/again
A /opt/again/new
D /opt/again/old
C /opt/again/sub
D /opt/again/sub/old" ] || { echo "$output"; return 1; }
}

@test "kinds that change, and what is as it was in the end" {
	m_run --name ours changes:1 sh -c 'rm -r /opt/swap; echo x >/opt/swap; rm /opt/exec; mkdir /opt/exec; echo x >/opt/exec/in; echo more >>/opt/quiet/file; chmod 600 /opt/keep/file; chmod 644 /opt/keep/file'
	run m diff ours
	[ "$output" = "C /opt
C /opt/exec
A /opt/exec/in
C /opt/quiet
C /opt/quiet/file
C /opt/swap" ] || { echo "$output"; return 1; }
}

@test "what masu makes to mount on is not told, what the user mounts is" {
	m_run --name ours --init -v here:/mounted changes:1 sh -c 'echo x >/mounted/file; echo x >/proc/self/comm'
	run m diff ours
	[ "$output" = "A /mounted" ] || { echo "$output"; return 1; }
	m_create --name fresh changes:1 true
	run m diff fresh
	[ "$status" -eq 0 ]
	[ -z "$output" ] || { echo "$output"; return 1; }
	run ! m diff nosuch
	[[ "$output" == *"No such container: nosuch"* ]]
}

@test "a running container, odd names, and one that nests without end" {
	m_run -d --name ours changes:1 sh -c 'printf x >"/opt/a
b"; mkdir /deep; cd /deep; while mkdir d && cd d; do i=$((i+1)); [ $i -lt 600 ] || break; done; echo ready; sleep 100'
	wait_until 20 logged ours ready
	run ! m diff ours
	[[ "$output" == *"/deep/d/d"* ]]
	m exec ours sh -c 'rm -rf /deep'
	run m diff ours
	[[ "$output" == *"A /opt/a
b"* ]]
	! grep -q "$MASU_ROOT/containers" /proc/self/mountinfo
}
