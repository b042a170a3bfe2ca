#!/usr/bin/env bats
# `masu storage`: what there is and why, and a root that goes from one driver to another and back.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	export DRIVER=overlay IN=$BATS_FILE_TMPDIR/in GROUP=/masu-migrate-$$ FS=$BATS_FILE_TMPDIR/fs
	export MASU_ROOT=$FS/root MASU_RUNROOT=$BATS_FILE_TMPDIR/run
	mkdir -p "$IN" "$FS"
	truncate -s 600M "$FS.img"
	mkfs.btrfs -q "$FS.img" 2>/dev/null
	mount -o loop "$FS.img" "$FS"
	LAYERED_MANY=50 "$REPO/tests/lib/layered-image.py" "$IN/layered.tar" "$(command -v busybox)" layered:1
	m load -q -i "$IN/layered.tar" >/dev/null
	gcc -O1 -Wall -D_GNU_SOURCE "$REPO/tests/torture/stepper.c" -o "$BATS_FILE_TMPDIR/stepper"
	m_run --name kept -v data:/data layered:1 sh -c 'echo mine >/d/one; rm /d/page /d/all-hole; mkdir -p /made/in; echo x >/made/in/x
		rm -r /many; mkdir /many; echo y >/many/y; chmod 700 /d/block; echo volume >/data/file; ln /made/in/x /made/hard'
	m_create --name never-ran layered:1 cat /d/one >/dev/null
	m diff kept >"$BATS_FILE_TMPDIR/diff"
	seen >"$BATS_FILE_TMPDIR/seen"
}

teardown_file() {
	if mountpoint -q "$FS"; then
		remove_all
		wait_until 20 behind_is_done || true
		rmdir /sys/fs/cgroup/*"$GROUP" /sys/fs/cgroup"$GROUP" 2>/dev/null || true
		umount -l "$FS"
	fi
}

# All that the container has, but for times and numbers of names of directories that masu or overlay changed.
seen() {
	rm -rf "$BATS_FILE_TMPDIR/exported"
	mkdir "$BATS_FILE_TMPDIR/exported"
	m export kept | tar -C "$BATS_FILE_TMPDIR/exported" --xattrs --numeric-owner -xp
	"$REPO/tests/lib/tree-listing.py" "$BATS_FILE_TMPDIR/exported" dev etc proc sys .dockerenv | cut -f 1-4,6- | grep -v -P "^b'(|made|data)'\t"
}

is_whole() { # driver
	m storage info --format '{{.Driver}}/{{.Leaving}}' | grep -qx "$1/"
	[ "$(field kept .Driver)" = "$1" ]
	[ "$(field never-ran .Driver)" = "$1" ]
	m diff kept | diff "$BATS_FILE_TMPDIR/diff" -
	seen | diff "$BATS_FILE_TMPDIR/seen" -
	m start -a never-ran | grep -qx 1
	run -0 m system check
	[ -z "$output" ] || { echo "$output"; false; }
}

@test "storage ls tells what works here and why not" {
	m storage ls >"$BATS_TEST_TMPDIR/list"
	grep -q '^overlay  *\*  *yes' "$BATS_TEST_TMPDIR/list"
	grep -q '^btrfs  *yes' "$BATS_TEST_TMPDIR/list"
	run -0 env MASU_ROOT="$BATS_TEST_TMPDIR/elsewhere" "$MASU" storage ls --format '{{.Driver}}: {{.Available}}: {{.Description}}'
	[[ "$output" == *"btrfs: no: --root is not on btrfs"* ]]
	m storage info | grep -q '^Chosen because: it is the default'
	m storage prune
}

@test "refused: while something runs, and what does not work" {
	m_run -d --name busy layered:1 sleep 100 >/dev/null
	run m storage migrate vfs
	[ "$status" != 0 ]
	[[ "$output" == *busy*runs* ]]
	m rm -f busy >/dev/null
	run m storage migrate nonsense
	[[ "$output" == *unknown* ]]
	is_whole overlay
}

@test "from one to the next: containers and images are the same" {
	local driver
	for driver in btrfs erofs fuse-overlayfs vfs overlay; do
		[ "$driver" != fuse-overlayfs ] || command -v fuse-overlayfs >/dev/null || continue
		m storage migrate -q $driver
		is_whole $driver || { echo "after $driver"; false; }
		case $driver in
		btrfs | vfs) [ "$(ls "$MASU_ROOT/layers/overlay" | wc -l)" = 0 ] ;;
		overlay) [ "$(ls "$MASU_ROOT/layers/vfs" | wc -l)" = 0 ] ;;
		esac
	done
}

@test "killed at any point: all is whole, and the next one finishes" {
	local total at from=overlay to=btrfs swap
	total=$("$BATS_FILE_TMPDIR/stepper" count "$MASU" storage migrate -q btrfs 3>&1 >/dev/null 2>/dev/null 4>&-)
	is_whole btrfs
	[ "$total" -gt 50 ]
	from=btrfs to=overlay
	for at in $(seq $((total / 12)) $((total / 5)) "$total"); do
		"$BATS_FILE_TMPDIR/stepper" kill "$at" "$MASU" storage migrate -q $to >/dev/null 2>&1 </dev/null 3>&- 4>&- || true
		m diff kept | diff "$BATS_FILE_TMPDIR/diff" - || { echo "killed at $at of $total"; false; }
		m storage migrate -q $to || { echo "killed at $at of $total"; false; }
		is_whole $to || { echo "killed at $at of $total"; false; }
		swap=$from from=$to to=$swap
	done
}

@test "bench measures something, and leaves nothing" {
	m storage bench --size 8m --roots 5 --format json layered:1 >"$BATS_TEST_TMPDIR/rows"
	[ "$(jq -s length "$BATS_TEST_TMPDIR/rows")" = 7 ]
	jq -se 'all(.[]; (.Layered | tonumber) > 0)' "$BATS_TEST_TMPDIR/rows" >/dev/null
	[ ! -e "$MASU_ROOT/bench" ]
	run -0 m system check
	[ -z "$output" ]
}
