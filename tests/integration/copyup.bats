#!/usr/bin/env bats
# What a container changes of its image's files: copied by reflink where the filesystem has it, not
# copied at all where only owner, mode or the directory's name changes, and what reads the writable
# layer (diff, commit, cp, export, ps -s) sees whole files nevertheless.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	local tree=$BATS_FILE_TMPDIR/tree
	mkdir -p "$tree/srv/tree/deep" "$tree/srv/moved/below" "$tree/srv/gone"
	seq 1 20000 >"$tree/srv/tree/one"
	seq 2 20000 >"$tree/srv/tree/deep/two"
	ln "$tree/srv/tree/one" "$tree/srv/tree/linked"
	seq 3 20000 >"$tree/srv/moved/three"
	seq 4 20000 >"$tree/srv/moved/below/four"
	echo five >"$tree/srv/gone/five"
	python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.colour", b"blue")' "$tree/srv/tree/deep/two"
	tar -C "$tree" --xattrs -c . | "$MASU" import - copyup:1 >/dev/null
}

teardown_file() { engine_teardown_file; }

teardown() {
	remove_all
	[ ! -d "$BATS_FILE_TMPDIR/disk" ] || umount --lazy "$BATS_FILE_TMPDIR/disk" 2>/dev/null || true
}

has_xattr() { # file, name
	python3 -c 'import os, sys; sys.exit(sys.argv[2] not in os.listxattr(sys.argv[1], follow_symlinks=False))' "$@"
}

upper_of() { field "$1" .GraphDriver.Data.UpperDir; }

hashes() { # what is below the directory, with owners, modes and contents
	(cd "$1" && find . -printf '%p %y %m %U:%G %n\n' | sort && find . -type f -exec sha256sum {} + | sort)
}

@test "chown of a tree copies no data, and everybody reads whole files" {
	m_run --name box copyup:1 chown -R 1000:100 /srv/tree
	local upper two
	upper=$(upper_of box)
	two=$upper/srv/tree/deep/two
	has_xattr "$two" trusted.overlay.metacopy
	[ "$(stat -c %b "$two")" -lt 16 ] # of 108894 bytes
	run m diff box
	[ "$output" = "C /srv
C /srv/tree
C /srv/tree/deep
C /srv/tree/deep/two
C /srv/tree/linked
C /srv/tree/one" ]
	m cp box:/srv/tree/deep/two "$BATS_TEST_TMPDIR/two"
	cmp "$BATS_TEST_TMPDIR/two" "$BATS_FILE_TMPDIR/tree/srv/tree/deep/two"
	m export box | tar -xO srv/tree/deep/two | cmp - "$BATS_FILE_TMPDIR/tree/srv/tree/deep/two"
	m ps -a -s --filter name=box --format '{{.Size}}' | grep -q '^0B'
	m commit box changed:1
	run m_run --rm changed:1 sh -c 'md5sum /srv/tree/deep/two /srv/tree/one; stat -c %u:%g /srv/tree/deep/two'
	[[ $output == *"$(md5sum <"$BATS_FILE_TMPDIR/tree/srv/tree/deep/two" | cut -d' ' -f1)"* ]]
	[[ $output == *"$(md5sum <"$BATS_FILE_TMPDIR/tree/srv/tree/one" | cut -d' ' -f1)"* ]]
	[[ $output == *1000:100* ]]
}

@test "an image gets neither overlay's attributes nor files without content" {
	m_run --name box copyup:1 sh -c 'chmod 600 /srv/tree/one && mv /srv/moved /srv/tree/there && mv /srv/tree/deep /srv/deeper'
	m commit box attributes:1
	m save attributes:1 -o "$BATS_TEST_TMPDIR/saved.tar"
	mkdir "$BATS_TEST_TMPDIR/saved"
	tar -C "$BATS_TEST_TMPDIR/saved" -xf "$BATS_TEST_TMPDIR/saved.tar"
	local top
	top=$(jq -r '.[0].Layers[-1]' "$BATS_TEST_TMPDIR/saved/manifest.json")
	(gzip -dc "$BATS_TEST_TMPDIR/saved/$top" || cat "$BATS_TEST_TMPDIR/saved/$top") >"$BATS_TEST_TMPDIR/layer.tar"
	run ! grep -aq 'overlay\.' "$BATS_TEST_TMPDIR/layer.tar"
	tar -xOf "$BATS_TEST_TMPDIR/layer.tar" srv/tree/there/below/four | cmp - "$BATS_FILE_TMPDIR/tree/srv/moved/below/four"
}

@test "a directory that was renamed: diff, commit, export and cp as if it had been copied" {
	m_run --name box copyup:1 sh -c '
		mv /srv/moved /srv/elsewhere && echo new >/srv/elsewhere/new && rm /srv/elsewhere/three
		mv /srv/elsewhere/below /srv/elsewhere/under && chmod 700 /srv/elsewhere/under/four
		rm -r /srv/gone && mv /srv/tree/deep /srv/gone'
	has_xattr "$(upper_of box)/srv/elsewhere" trusted.overlay.redirect
	run m diff box
	[ "$output" = "C /srv
A /srv/elsewhere
A /srv/elsewhere/new
A /srv/elsewhere/under
A /srv/elsewhere/under/four
C /srv/gone
D /srv/gone/five
A /srv/gone/two
D /srv/moved
C /srv/tree
D /srv/tree/deep" ]
	m commit box moved:1
	mkdir "$BATS_TEST_TMPDIR/seen" "$BATS_TEST_TMPDIR/image"
	m export box | tar -C "$BATS_TEST_TMPDIR/seen" -x --numeric-owner
	m_create --name of-image moved:1
	m export of-image | tar -C "$BATS_TEST_TMPDIR/image" -x --numeric-owner
	hashes "$BATS_TEST_TMPDIR/seen/srv" >"$BATS_TEST_TMPDIR/seen.txt"
	hashes "$BATS_TEST_TMPDIR/image/srv" | diff "$BATS_TEST_TMPDIR/seen.txt" -
	[ ! -e "$BATS_TEST_TMPDIR/image/srv/moved" ] && [ ! -e "$BATS_TEST_TMPDIR/image/srv/gone/five" ]
	m cp box:/srv/elsewhere "$BATS_TEST_TMPDIR/copied"
	cmp "$BATS_TEST_TMPDIR/copied/under/four" "$BATS_FILE_TMPDIR/tree/srv/moved/below/four"
}

on_disk() { # filesystem: a root of its own on a small disk, with an image of one 64 MB file
	local disk=$BATS_FILE_TMPDIR/disk
	mkdir -p "$disk"
	truncate -s 600M "$BATS_TEST_TMPDIR/image"
	"mkfs.$1" -q "$BATS_TEST_TMPDIR/image"
	mount -o loop "$BATS_TEST_TMPDIR/image" "$disk"
	export MASU_ROOT=$disk/root
	local tree=$BATS_TEST_TMPDIR/tree
	make_busybox_root "$tree"
	mkdir -p "$tree/tmp"
	head -c 64M /dev/urandom >"$tree/big"
	tar -C "$tree" -c . | "$MASU" import - big:1 >/dev/null
}

reflink_copies_up() { # filesystem
	command -v "mkfs.$1" >/dev/null || skip "no mkfs.$1 here"
	on_disk "$1"
	m_run --name box big:1 sh -c 'echo x >>/big'
	local copyup
	copyup=$(m inspect --io box | jq -c '.[0].CopyUps')
	jq -e '.Files == 1 and .Bytes == 67108864 and .List[0].Path == "/big" and .List[0].Size == 67108866' <<<"$copyup"
	jq -e '.SharedBytes >= 60000000' <<<"$copyup" # what it cost is the metadata
	m diff --copyups box | grep -q '67.1MB .* /big$'
	m rm box >/dev/null
	umount --lazy "$BATS_FILE_TMPDIR/disk"
}

@test "the first byte appended to a file of the image shares its blocks: xfs" { reflink_copies_up xfs; }

@test "the first byte appended to a file of the image shares its blocks: btrfs" { reflink_copies_up btrfs; }

@test "diff --copyups and inspect --io tell files, bytes and time" {
	m_run --name box copyup:1 sh -c 'echo x >>/srv/moved/three; chmod 600 /srv/tree/deep/two; echo new >/new'
	run m diff --copyups box
	[ "${#lines[@]}" = 4 ]
	[[ ${lines[0]} == *COPIED*SHARED*TOOK*PATH ]]
	[[ ${lines[1]} == *109kB*"<="*ms*"/srv/moved/three" ]]
	[[ ${lines[2]} == *metadata*"/srv/tree/deep/two" ]]
	[[ ${lines[3]} == *"2 files, 1 of them metadata only" ]]
	m inspect --io box | jq -e '.[0].CopyUps | .Files == 2 and .MetadataOnly == 1 and .Bytes == 108890
		and (.List[1] | .MetadataOnly and .Bytes == 0 and .TookExactly and .TookNanoseconds >= 0)
		and (.List[0] | .TookExactly == false and .TookNanoseconds >= 0)'
	[ "$(m inspect box | jq '.[0] | has("CopyUps")')" = false ]
}

@test "--precopy copies up when the container is made" {
	m_create --name box --precopy /srv/tree/deep --precopy /srv/moved/three copyup:1 true
	m inspect --io box | jq -e '.[0].CopyUps | .Files == 2 and .MetadataOnly == 0 and ([.List[].Path] | index("/srv/moved/three"))'
	run m diff box
	[ -z "$output" ]
	m start box
	run ! m_create --name other --precopy /srv/none copyup:1 true
	[[ $output == *"--precopy /srv/none: not in the image"* ]]
	run ! m_create --name other --precopy srv/tree copyup:1 true
	[[ $output == *"not the absolute path"* ]]
	gone other
}

@test "a volatile layer is used again after its container, but not after a crash of the machine" {
	m_create --name box --rm copyup:1 sh -c 'echo kept >>/kept; sleep 100'
	m start box
	m restart -t 0 box
	local overlay
	overlay=$(dirname "$(upper_of box)")
	[ "$(m exec box wc -l /kept)" = "2 /kept" ]
	[ -d "$overlay/work/work/incompat/volatile" ]
	m stop -t 0 box
	wait_until 10 gone box
}
