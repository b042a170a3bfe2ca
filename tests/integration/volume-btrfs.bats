#!/usr/bin/env bats
# Volumes on btrfs are subvolumes: what that changes. That all else is the same: volume-snapshots-btrfs.bats.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/storage

setup_file() {
	loop_filesystem "$BATS_FILE_TMPDIR/root" 600M btrfs
	engine_setup_file
	gcc -O1 -Wall -D_GNU_SOURCE "$REPO/tests/torture/stepper.c" -o "$BATS_FILE_TMPDIR/stepper"
}

teardown_file() {
	engine_teardown_file
	umount -l "$BATS_FILE_TMPDIR/root"
}

setup() {
	m volume create data >/dev/null
	VOLUME=$MASU_ROOT/volumes/data
	echo first >"$VOLUME/_data/file"
}

teardown() {
	remove_all
	m volume prune -af >/dev/null
}

is_subvolume() { [ "$(stat -c %i "$1")" = 256 ]; }
subvolumes() { btrfs subvolume list "$MASU_ROOT" | wc -l; }
no_subvolume_is_left() { m storage prune >/dev/null; [ "$(subvolumes)" = 0 ]; }

@test "volumes, snapshots and clones are subvolumes, and go as such" {
	m volume snapshot data one >/dev/null
	m volume clone data@one copy >/dev/null
	m_run --rm -v first:/data busybox:local test -e /data/hello
	is_subvolume "$VOLUME/_data"
	is_subvolume "$VOLUME/snapshots/one/_data"
	is_subvolume "$MASU_ROOT/volumes/copy/_data"
	is_subvolume "$MASU_ROOT/volumes/first/_data"
	[ "$(stat -c '%a %u:%g' "$MASU_ROOT/volumes/first/_data")" = "755 1000:100" ]
	# The filesystem itself holds who does not ask masu.
	run -1 touch "$VOLUME/snapshots/one/_data/new"
	[[ "$output" == *"Read-only file system"* ]]
	echo second >"$VOLUME/_data/file"
	m volume restore data@one >/dev/null
	[ "$(m_run --rm -v data:/data busybox:local sh -c 'cat /data/file; echo third >/data/file')" = first ]
	[ "$(cat "$MASU_ROOT/volumes/copy/_data/file" "$VOLUME/snapshots/one/_data/file")" = $'first\nfirst' ]
	m volume rm data@one >/dev/null
	m volume rm data copy first >/dev/null
	wait_until 20 no_subvolume_is_left
}

@test "a volume that is a plain directory is copied, and is a subvolume when it comes back" {
	rm -r "$VOLUME/_data"
	mkdir "$VOLUME/_data"
	echo plain >"$VOLUME/_data/file"
	m volume snapshot data one >/dev/null
	echo second >"$VOLUME/_data/file"
	m volume restore data@one >/dev/null
	[ "$(cat "$VOLUME/_data/file")" = plain ]
	is_subvolume "$VOLUME/_data"
	m volume snapshot data two >/dev/null
	run -1 touch "$VOLUME/snapshots/two/_data/new"
}

@test "subvolumes in a volume are copied with it, and go with it" {
	m_run --rm -v data:/data busybox:local true
	btrfs subvolume create "$VOLUME/_data/inner" >/dev/null
	echo inner >"$VOLUME/_data/inner/file"
	m volume snapshot data one >/dev/null
	m volume clone data copy >/dev/null
	echo changed >"$VOLUME/_data/inner/file"
	[ "$(cat "$VOLUME/snapshots/one/_data/inner/file" "$MASU_ROOT/volumes/copy/_data/inner/file")" = $'inner\ninner' ]
	m volume restore data@one >/dev/null
	[ "$(cat "$VOLUME/_data/inner/file")" = inner ]
	m volume rm data copy >/dev/null
	wait_until 20 no_subvolume_is_left
}

@test "killed anywhere, snapshot, restore and clone leave what was there" {
	local words total at command
	m volume snapshot data kept >/dev/null
	echo second >"$VOLUME/_data/file"
	for words in "snapshot data new" "restore data@kept" "clone data copy"; do
		read -ra command <<<"$MASU volume $words"
		total=$("$BATS_FILE_TMPDIR/stepper" count "${command[@]}" 3>&1 >/dev/null 4>&-)
		[ "$total" -gt 4 ]
		for ((at = 1 + RANDOM % 3; at <= total; at += 3)); do
			m volume rm data@new >/dev/null 2>&1 || true
			m volume rm copy >/dev/null 2>&1 || true
			echo second >"$VOLUME/_data/file"
			"$BATS_FILE_TMPDIR/stepper" kill $at "${command[@]}" >/dev/null 2>&1 3>&- 4>&- || true
			[[ "$(cat "$VOLUME/_data/file")" == second || "$words" == restore* ]]
			[ "$(cat "$VOLUME/snapshots/kept/_data/file")" = first ]
			m volume inspect data >/dev/null
			m volume rm data@new >/dev/null 2>&1 || true
			m volume rm copy >/dev/null 2>&1 || true
			m volume "${command[@]:2}" >/dev/null || { echo "killed at $at of $total: $words"; return 1; }
			[ ! -e "$VOLUME/.new" ]
		done
	done
	m volume rm data >/dev/null
	m volume rm copy >/dev/null 2>&1 || true
	wait_until 20 no_subvolume_is_left
}
