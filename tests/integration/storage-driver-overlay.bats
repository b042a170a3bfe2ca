#!/usr/bin/env bats
# The same for every storage driver: this file is linked under a name for each, and storage-driver-overlay
# is what the others are compared with.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/sample
load ../lib/storage

setup_file() {
	storage_setup_file
}

teardown_file() {
	storage_teardown_file
}

setup() {
	storage_setup
}

teardown() {
	remove_all
}

@test "the driver that was asked for is the root's, and says why" {
	m info | grep -qx "Storage Driver: $DRIVER"
	m info | grep -q "Chosen because: it was asked for"
	m create --name one layered:1 true
	[ "$(field one .Driver)" = "$DRIVER" ]
	[ "$(field one .GraphDriver.Name)" = "$DRIVER" ]
	[ -d "$(field one .GraphDriver.Data.UpperDir)" ]
	local other=vfs
	[ "$DRIVER" != vfs ] || other=overlay
	run m --storage-driver $other run --rm layered:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"the storage driver of this --root is $DRIVER, not $other"*migrate* ]]
	run m --storage-driver nonsense images
	[ "$status" = 0 ] || [[ "$output" == *unknown* ]]
}

@test "a container sees what the layers say, whatever they say" {
	listing layered:1 >"$BATS_TEST_TMPDIR/ours"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/ours")" -gt 250 ]
	diff "$BATS_FILE_TMPDIR/expected" "$BATS_TEST_TMPDIR/ours"
}

@test "what a container writes is its own, and stays for its next start" {
	m_run --name first layered:1 sh -c 'echo mine >/d/one; touch /new; rm -rf /many'
	m_run --name second layered:1 sh -c 'cat /d/one; ls / >/listing'
	[ "$(m logs second)" = 1 ]
	m cp second:/listing - | tar -xO | grep -qx many
	run ! m cp second:/new "$BATS_TEST_TMPDIR/none"
	m start -a first
	m cp first:/d/one - | tar -xO | grep -qx mine
	run ! m cp first:/many "$BATS_TEST_TMPDIR/none"
	listing layered:1 | diff "$BATS_FILE_TMPDIR/expected" -
}

# Every way in which something can be different.
CHANGES='echo x >/new; echo y >>/d/over; rm /d/page; chmod 700 /d/block; mkdir -p /made/a/b; echo z >/made/a/b/c
	rm -r /many; mkdir /many; echo in >/many/in; ln -s to /made/link; ln /made/a/b/c /made/hard; mkfifo /made/fifo
	rm -r /kept; echo file >/kept; rm /became-file; mkdir /became-file; touch /made/a/touched; chown 5:6 /d/acl'

@test "diff tells what is different" {
	m_run --name changed layered:1 sh -c "$CHANGES"
	m diff changed >"$BATS_TEST_TMPDIR/ours"
	grep -qx 'A /made/a/b/c' "$BATS_TEST_TMPDIR/ours"
	grep -qx 'D /d/page' "$BATS_TEST_TMPDIR/ours"
	diff "$BATS_FILE_TMPDIR/expected-diff" "$BATS_TEST_TMPDIR/ours"
}

@test "commit makes an image of it that another driver shows the same" {
	m_run --name changed layered:1 sh -c "$CHANGES"
	# Nothing but the time at which it was changed tells that it was.
	m_run --name sly layered:1 sh -c 'touch -r /d/one /ref; echo 2 >/d/one; touch -r /ref /d/one'
	m commit -q changed committed:1
	m commit -q sly committed:2
	listing committed:1 | grep -v -e /made >"$BATS_TEST_TMPDIR/ours"
	m save -o "$BATS_TEST_TMPDIR/saved.tar" committed:1 committed:2
	m rm -f changed sly >/dev/null
	m rmi committed:1 committed:2 >/dev/null
	other load -q -i "$BATS_TEST_TMPDIR/saved.tar"
	other_listing committed:1 | grep -v -e /made >"$BATS_TEST_TMPDIR/theirs"
	diff "$BATS_TEST_TMPDIR/theirs" "$BATS_TEST_TMPDIR/ours"
	[ "$(other run --rm --cgroup-parent "$GROUP" --network none committed:2 cat /d/one)" = 2 ]
	[ "$(other run --rm --cgroup-parent "$GROUP" --network none committed:1 sh -c 'cat /made/hard; ls /many')" = "z
in" ]
	other rmi committed:1 committed:2
}

@test "sizes: of what was written, not of what it was copied from" {
	m_run --name big layered:1 dd if=/dev/zero of=/data bs=1024 count=2000
	local size
	size=$(m inspect -s big | jq '.[0].SizeRw')
	[ "$size" -ge 2048000 ]
	[ "$size" -lt 2200000 ]
	[ "$(m inspect -s big | jq '.[0].SizeRootFs')" -gt "$size" ]
}

@test "the check finds what is missing from a layer, and mends it" {
	run -0 m system check
	[ -z "$output" ]
	local victim
	victim=$(a_file_of_a_layer)
	[ -f "$victim" ]
	writable "$victim"
	rm -f "$victim"
	run m system check
	[ "$status" = 1 ]
	[[ "$output" == *"has not the files that were unpacked"* ]]
	run -0 m system check --repair
	run -0 m system check
	[ -z "$output" ]
	listing layered:1 | diff "$BATS_FILE_TMPDIR/expected" -
}

@test "removal gives the space back, with all that a container can make" {
	local before
	wait_until 20 behind_is_done
	before=$(ls -A "$MASU_ROOT/containers" "$MASU_ROOT/trash" 2>/dev/null)
	m_run --name full layered:1 sh -c 'd=/x; for i in 1 2 3 4 5 6 7 8 9; do d=$d/deep; done; mkdir -p $d; echo >$d/file'
	m_run -d --name running layered:1 sleep 100 >/dev/null
	m rm full >/dev/null
	m rm -f running >/dev/null
	wait_until 20 behind_is_done
	m system prune -f >/dev/null
	[ -z "$(find "$MASU_ROOT/trash" -mindepth 1 2>/dev/null)" ]
	[ "$(ls -A "$MASU_ROOT/containers" "$MASU_ROOT/trash" 2>/dev/null)" = "$before" ]
	! grep -q "$MASU_ROOT/containers" /proc/self/mountinfo
}

@test "many at once, and rm killed on the way" {
	local i
	for i in $(seq 10); do
		m_create --name "c$i" layered:1 true >/dev/null
	done
	for i in $(seq 8); do
		timeout -s KILL "0.0$((i * 7 % 10))" "$MASU" rm "c$i" 3>&- 4>&- >/dev/null 2>&1 || true
	done
	m rm -f $(m ps -aq) >/dev/null
	m ps -a >/dev/null
	wait_until 20 behind_is_done || { find "$MASU_ROOT/trash" "$MASU_RUNROOT/containers" | head; false; }
	run -0 m system check
	[ -z "$output" ]
	[ -z "$(find "$MASU_ROOT/trash" -mindepth 1 2>/dev/null)" ]
}

@test "killed at any point: load, run and rm leave nothing wedged" {
	gcc -O1 -Wall -D_GNU_SOURCE "$REPO/tests/torture/stepper.c" -o "$BATS_TEST_TMPDIR/stepper"
	local root=$MASU_ROOT
	export MASU_ROOT=$FS/swept
	m --storage-driver "$DRIVER" import "$IN/small.tar" base:1 >/dev/null
	sweep 'exec "$MASU" import "$IN/second.tar" victim:1' '"$MASU" rmi victim:1'
	sweep 'exec "$MASU" create --name victim --cgroup-parent "$GROUP" --network none base:1 /none' '"$MASU" rm victim'
	sweep 'exec "$MASU" rm victim' true '"$MASU" create --name victim --cgroup-parent "$GROUP" --network none base:1 /none'
	m rmi base:1 >/dev/null
	wait_until 20 behind_is_done
	m system check --repair
	[ -z "$(find "$MASU_ROOT"/layers/*/ -mindepth 1 -maxdepth 1 ! -name '.*')" ]
	MASU_ROOT=$root
}

@test "a full disk: an error that says so, nothing lost, nothing left" {
	local root=$MASU_ROOT
	small_filesystem "$BATS_TEST_TMPDIR/small"
	export MASU_ROOT=$BATS_TEST_TMPDIR/small/root
	m --storage-driver "$DRIVER" import "$IN/second.tar" fits:1 >/dev/null
	run m import "$IN/huge.tar" toobig:1
	[ "$status" != 0 ]
	[[ "$output" == *[Nn]"o space"* ]] || { echo "$output"; false; }
	[ "$(m images -q | wc -l)" = 1 ]
	head -c 6M /dev/urandom >"$BATS_TEST_TMPDIR/small/room"
	run m_run --name filler fits:1 /busybox dd if=/dev/zero of=/fill bs=1024k count=400
	# btrfs that is full to the last block takes no rename(2): somebody has to make room.
	[ "$DRIVER" != btrfs ] || { rm "$BATS_TEST_TMPDIR/small/room" && sync -f "$BATS_TEST_TMPDIR/small"; }
	m rm -f filler
	rm -f "$BATS_TEST_TMPDIR/small/room"
	wait_until 20 behind_is_done
	m_run --rm fits:1 /busybox true
	run -0 m system check
	[ -z "$output" ]
	m rmi fits:1 >/dev/null
	wait_until 20 behind_is_done
	umount "$BATS_TEST_TMPDIR/small"
	MASU_ROOT=$root
}

@test "a limit on what a container writes" {
	limited_filesystem || skip "no filesystem of this machine has it for this driver"
	local root=$MASU_ROOT
	export MASU_ROOT=$LIMITED/limited
	m --storage-driver "$DRIVER" import "$IN/second.tar" fits:1 >/dev/null
	m_create --name held --storage-opt size=8m --cap-drop all fits:1 /busybox dd if=/dev/zero of=/fill bs=1024k count=30 >/dev/null
	run m start -a held
	[[ "$output" == *"uota exceeded"* || "$output" == *"o space"* ]] || { echo "$output"; false; }
	m rm -f held >/dev/null
	m_run --rm fits:1 /busybox dd if=/dev/zero of=/fill bs=1024k count=12
	MASU_ROOT=$root
}
