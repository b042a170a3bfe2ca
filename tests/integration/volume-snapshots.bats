#!/usr/bin/env bats
# Snapshots of volumes, and volumes as archives: what was kept comes back, whatever happened since.
# By the name volume-snapshots-btrfs.bats: the same where volumes are subvolumes.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/storage

setup_file() {
	[[ "$BATS_TEST_FILENAME" != *-btrfs.bats ]] || loop_filesystem "$BATS_FILE_TMPDIR/root" 600M btrfs
	engine_setup_file
}

teardown_file() {
	engine_teardown_file
	[[ "$BATS_TEST_FILENAME" != *-btrfs.bats ]] || umount -l "$BATS_FILE_TMPDIR/root"
}

setup() {
	m volume create data >/dev/null
	DATA=$MASU_ROOT/volumes/data/_data
	mkdir -p "$DATA/dir"
	echo first >"$DATA/file"
	ln "$DATA/file" "$DATA/dir/same"
	ln -s ../file "$DATA/dir/link"
	truncate -s 1M "$DATA/hole"
	mkfifo "$DATA/fifo"
	chown -h 1000:100 "$DATA/dir/link" "$DATA/file"
	chmod 4750 "$DATA/file"
	chmod 1777 "$DATA"
	touch -d '2001-02-03 04:05:06.789012345' "$DATA/dir"
	python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.note", b"kept")' "$DATA/file"
}

teardown() {
	remove_all
	m volume prune -af >/dev/null
}

# Everything of a tree that a copy has to keep.
tree() {
	(cd "$1" && find . -printf '%p %y %m %U:%G %s %n %l %T@\n' | grep -v '^\. ' | sort
		find . -type f ! -name hole -exec sha256sum {} + | sort
		python3 -c 'import os; print(os.getxattr("file", "user.note"))')
}

@test "a snapshot stays what it was, and comes back" {
	local before
	before=$(tree "$DATA")
	run -0 m volume snapshot data one
	[ "$output" = data@one ]
	[ "$(tree "$MASU_ROOT/volumes/data/snapshots/one/_data")" = "$before" ]
	[ "$(stat -c %a "$MASU_ROOT/volumes/data/snapshots/one/_data")" = 1777 ]
	[ "$(stat -c %b "$MASU_ROOT/volumes/data/snapshots/one/_data/hole")" -le 8 ]
	rm -r "$DATA/dir"
	echo second >"$DATA/file"
	echo more >"$DATA/more"
	m volume snapshot data two >/dev/null
	run -0 m volume snapshots -q data
	[ "$output" = $'data@one\ndata@two' ]
	run -0 m volume restore data@one
	[ "$output" = data ]
	[ "$(tree "$DATA")" = "$before" ]
	m volume restore data@two >/dev/null
	[ "$(cat "$DATA/file" "$DATA/more")" = $'second\nmore' ]
	[ "$(m volume inspect -f '{{range .Snapshots}}{{.Name}} {{end}}' data)" = "one two " ]
}

@test "a name of its own, taken names, wrong names" {
	run -0 m volume snapshot data
	[[ "$output" =~ ^data@[0-9]{8}T[0-9]{6}Z$ ]]
	m volume snapshot data@named >/dev/null
	run -1 m volume snapshot data named
	[ "$output" = "masu: data@named: there is a snapshot of that name" ]
	run -1 m volume snapshot data ../../x
	[[ "$output" == *'"../../x" is no name for a snapshot'* ]]
	run -1 m volume snapshot nosuch
	[[ "$output" == *"no such volume"* ]]
	run -1 m volume restore data
	[[ "$output" == *"which snapshot?"* ]]
	run -1 m volume restore data@nosuch
	[ "$output" = "masu: data@nosuch: no such snapshot" ]
	[ -z "$(ls -A "$MASU_ROOT/volumes/data" | grep new)" ]
}

@test "a container mounts a snapshot, and cannot change it" {
	m volume snapshot data one >/dev/null
	echo second >"$DATA/file"
	run -0 m_run --rm -v data@one:/data -v data:/live busybox:local cat /data/file /live/file
	[ "$output" = $'first\nsecond' ]
	run -1 m_run --rm --mount source=data@one,target=/data busybox:local touch /data/new
	[[ "$output" == *"Read-only file system"* ]]
	run -125 m_run --rm -v data@nosuch:/data busybox:local true
	[[ "$output" == *"data@nosuch: no such snapshot"* ]]
	m_create --name holder -v data@one:/data busybox:local cat /data/file >/dev/null
	run -1 m volume rm data@one
	[[ "$output" == *"in use"* ]]
	run -1 m volume rm data
	[[ "$output" == *"in use"* ]]
	[ "$(m start -a holder)" = first ]
	[ "$(field holder '.Mounts[0] | "\(.Name) \(.RW) \(.Source)"')" = "data@one false $MASU_ROOT/volumes/data/snapshots/one/_data" ]
	m rm holder >/dev/null
	run -0 m volume rm data@one
	[ "$output" = data@one ]
	[ -z "$(m volume snapshots -q)" ]
}

@test "restore waits for no container that runs, and keeps others from starting" {
	m volume snapshot data one >/dev/null
	m_run -d --name runs -v data:/data busybox:local sleep 60 >/dev/null
	run -1 m volume restore data@one
	[[ "$output" == *"container runs runs and has it mounted; stop it first" ]]
	m stop -t 0 runs >/dev/null
	# Created ones are prepared with what the volume was.
	m_create --name waits -v data:/data busybox:local cat /data/file >/dev/null
	echo second >"$DATA/file"
	m volume restore data@one >/dev/null
	[ "$(m start -a waits)" = first ]
}

@test "what writes stands still while it is copied" {
	# Two files that are the same except in the middle of a change.
	m_run -d --name writer -v data:/data busybox:local sh -c \
		'i=0; while :; do i=$((i+1)); echo $i >/data/a; echo $i >/data/b; done' >/dev/null
	m_run -d --name paused -v data:/data busybox:local sleep 60 >/dev/null
	m pause paused >/dev/null
	wait_until 5 test -s "$DATA/b"
	for i in 1 2 3 4 5; do
		m volume snapshot data s$i >/dev/null
		a=$(cat "$MASU_ROOT/volumes/data/snapshots/s$i/_data/a") b=$(cat "$MASU_ROOT/volumes/data/snapshots/s$i/_data/b")
		[ -z "$a" ] || [ -z "$b" ] || [ $((a - b)) -le 1 ]
	done
	status_is writer running
	status_is paused paused
	m unpause paused >/dev/null
	m events --since 60s --until 0s --filter event=pause --filter container=writer | grep -c pause | grep -qx 5
	m volume snapshot --pause=false data quick >/dev/null
}

@test "a clone is a volume of its own" {
	local before
	before=$(tree "$DATA")
	m volume snapshot data one >/dev/null
	echo second >"$DATA/file"
	run -0 m volume clone data@one old
	[ "$output" = old ]
	m volume clone data new >/dev/null
	[ "$(tree "$MASU_ROOT/volumes/old/_data")" = "$before" ]
	[ "$(cat "$MASU_ROOT/volumes/new/_data/file")" = second ]
	run -1 m volume clone data new
	[ "$output" = "masu: a volume named new exists already" ]
	m volume rm data >/dev/null
	[ "$(m_run --rm -v old:/data busybox:local cat /data/file)" = first ]
}

@test "as an archive, and back" {
	local before
	before=$(tree "$DATA")
	m volume export -o "$BATS_TEST_TMPDIR/data.tar" data
	m volume create other >/dev/null
	echo stays >"$MASU_ROOT/volumes/other/_data/own"
	m volume import other "$BATS_TEST_TMPDIR/data.tar"
	[ "$(cat "$MASU_ROOT/volumes/other/_data/own")" = stays ]
	rm "$MASU_ROOT/volumes/other/_data/own"
	[ "$(tree "$MASU_ROOT/volumes/other/_data")" = "$before" ]
	# GNU tar reads it, and writes one.
	tar -tf "$BATS_TEST_TMPDIR/data.tar" | grep -qx dir/same
	m volume snapshot data one >/dev/null
	m volume export data@one | tar -xO file dir/same | grep -qx first # one of them is a link to the other
	tar -C "$DATA" -c . | m volume import other -
	run -1 m volume import data@one - </dev/null
	[[ "$output" == *"a snapshot does not change" ]]
	run -1 m volume import nosuch - </dev/null
	[[ "$output" == *"no such volume"* ]]
	run -1 m volume import other /nonexistent
	[[ "$output" == *"No such file"* ]]
}

@test "an archive that means harm stays in the volume" {
	ln -s "$BATS_TEST_TMPDIR" "$DATA/out"
	tar -C / --transform 's,^.*,out/x,' -cf "$BATS_TEST_TMPDIR/evil.tar" -P /etc/hostname
	run m volume import data "$BATS_TEST_TMPDIR/evil.tar"
	[ ! -e "$BATS_TEST_TMPDIR/x" ]
	tar -P --transform 's,^.*,../../x,' -cf "$BATS_TEST_TMPDIR/evil.tar" -P /etc/hostname
	run -1 m volume import data "$BATS_TEST_TMPDIR/evil.tar"
	[ ! -e "$MASU_ROOT/volumes/x" ]
}

@test "volumes that are not masu's own directory are named" {
	m volume create -o type=none -o o=bind -o device=/tmp bound >/dev/null
	m volume create -o type=tmpfs -o device=tmpfs memory >/dev/null
	run -1 m volume snapshot bound
	[ "$output" = "masu: volume bound is the directory /tmp; copy that" ]
	run -1 m volume export memory
	[[ "$output" == *"memory of the container"* ]]
}

@test "a full disk, or a kill, leaves nothing that the next one does not remove" {
	local i
	for i in 1 2 3 4 5 6; do
		m volume snapshot data killed$i >/dev/null 2>&1 &
		sleep 0.00$i
		kill -KILL $! 2>/dev/null || true
		wait $! 2>/dev/null || true
	done
	m volume clone data half >/dev/null 2>&1 &
	sleep 0.003
	kill -KILL $! 2>/dev/null || true
	wait $! || true
	m volume snapshot data whole >/dev/null
	[ ! -e "$MASU_ROOT/volumes/data/.new" ]
	for i in $(m volume snapshots -q data); do
		m volume restore "$i" >/dev/null
		[ "$(cat "$DATA/dir/same")" = first ]
	done
	m volume create half >/dev/null
	[ -z "$(ls -A "$MASU_ROOT/volumes/half/_data")" ] || [ "$(cat "$MASU_ROOT/volumes/half/_data/file")" = first ]
}
