#!/usr/bin/env bats
# The power fails at any write (HOSTILE 50). A small ext4 lies on a disk that logs every write and flush
# (powercut.c). Commands are run on it, and for each is noted where the log was when its success was
# reported. Then the disk is put together as it may be after a power cut: at flushes and in between,
# where any part of what was not flushed yet survives. On each such disk what was acknowledged is there
# and whole, what was removed is gone, and the store works. POINTS (default 60) cuts; 0: at every flush.

bats_require_minimum_version 1.5.0
load ../lib/oracle
load ../lib/hostile
load ../lib/sample

setup_file() {
	hostile_setup
	export DISK=$BATS_FILE_TMPDIR/disk FUSE=$BATS_FILE_TMPDIR/fuse IN=$BATS_FILE_TMPDIR/in
	export POWERCUT=$BATS_FILE_TMPDIR/powercut PARENT=/masu-power-$$
	export MASU_ROOT=$DISK/root MASU_RUNROOT=$BATS_FILE_TMPDIR/run
	gcc -O1 -Wall -D_GNU_SOURCE "$REPO/tests/torture/powercut.c" -o "$POWERCUT"
	mkdir -p "$DISK" "$FUSE" "$IN/a/bin" "$IN/b/more"
	cp "$(command -v busybox)" "$IN/a/bin/busybox"
	for name in sh true sleep cat; do ln -s busybox "$IN/a/bin/$name"; done
	cp -a "$IN/a/." "$IN/b"
	for i in {1..20}; do head -c 10000 /dev/urandom >"$IN/b/more/$i"; done
	tar -C "$IN/a" -cf "$IN/a.tar" .
	tar -C "$IN/b" -cf "$IN/b.tar" .
	MASU_ROOT=$BATS_FILE_TMPDIR/elsewhere "$MASU" import "$IN/b.tar" b:1
	MASU_ROOT=$BATS_FILE_TMPDIR/elsewhere "$MASU" save -o "$IN/b.image" b:1
}

teardown_file() {
	find /sys/fs/cgroup -depth -type d -path "*$PARENT*" -exec rmdir {} + 2>/dev/null || true
}

teardown() {
	! mountpoint -q "$DISK" || umount -l "$DISK"
	! mountpoint -q "$FUSE" || umount -l "$FUSE"
}

# A fresh disk at $DISK whose writes go into $LOG.
plug_in() {
	export IMAGE=$BATS_TEST_TMPDIR/image LOG=$BATS_TEST_TMPDIR/log
	truncate -s 32M "$IMAGE"
	mkfs.ext4 -q -m 0 -b 4096 "$IMAGE"
	"$POWERCUT" serve "$IMAGE" "$LOG" "$FUSE" 3>&- &
	SERVER=$!
	wait_until 10 mountpoint -q "$FUSE"
	mount -o loop "$FUSE/disk" "$DISK"
}

unplug() {
	umount -R "$DISK" # with the layers that containers mounted
	# The loop device lets go of its file behind that.
	wait_until 10 umount "$FUSE" 2>/dev/null
	wait "$SERVER"
}

place() { stat -c %s "$LOG"; }

# did KIND NAME MASU-ARGUMENT...: a success that makes an image, a container or a volume.
did() {
	local kind=$1 name=$2
	shift 2
	"${OCI_MASU:-$MASU}" "$@" >/dev/null </dev/null 3>&-
	echo "$kind $name $(place) never never" >>"$BATS_TEST_TMPDIR/facts"
}

# undid NAME MASU-ARGUMENT...: and one that removes it. While it works either may be.
undid() {
	local name=$1 begun
	begun=$(place)
	shift
	"${OCI_MASU:-$MASU}" "$@" >/dev/null </dev/null 3>&-
	sed -i "s/^\([a-z]* $name [0-9]*\) never never/\1 $begun $(place)/" "$BATS_TEST_TMPDIR/facts"
}

# The content of every layer and volume that is there, by name.
contents() {
	local dir
	for dir in "$MASU_ROOT"/layers/overlay/*/diff; do
		[ -d "$dir" ] && echo "$dir $(tar --sort=name -C "$dir" -c . | sha256sum)"
	done
	# An index has a number and a date of its own; what it and its tar hash to is on record.
	for dir in "$MASU_ROOT"/layers/overlay/*/index; do
		[ -e "$dir" ] || continue
		dir=${dir%/index}
		jq -re '[.tar, .index] | @tsv' "$dir/layer.json" |
			diff -q - <(printf 'sha256:%s\tsha256:%s\n' $(sha256sum <"$dir/tar" | cut -c -64) $(sha256sum <"$dir/index" | cut -c -64)) >/dev/null &&
			echo "$dir whole" || echo "$dir damaged"
	done
}

# What a cut at $1 must have left is there; $2 seeds what else.
check_cut() {
	local at=$1 kind name made begun gone have
	"$POWERCUT" replay "$IMAGE" "$LOG" "$at" "$BATS_TEST_TMPDIR/replayed" "$2"
	mount -o loop "$BATS_TEST_TMPDIR/replayed" "$DISK"
	# A new boot.
	rm -rf "$MASU_RUNROOT"
	(
		set -eo pipefail
		"$MASU" images | awk '{ print $1 ":" $2 }'
		"$MASU" ps -a --format '{{.Names}}'
		"$MASU" volume ls -q
	) >"$BATS_TEST_TMPDIR/have" 2>"$BATS_TEST_TMPDIR/said" || echo "the store does not work"
	cat "$BATS_TEST_TMPDIR/said"
	while read -r kind name made begun gone; do
		have=$(grep -cx "$name" "$BATS_TEST_TMPDIR/have") || true
		[ "$have" -gt 0 ] || { [ "$begun" != never ] && [ "$at" -ge "$begun" ]; } || [ "$at" -lt "$made" ] ||
			echo "$kind $name is lost, acknowledged at $made"
		[ "$have" -eq 0 ] || [ "$gone" = never ] || [ "$at" -lt "$gone" ] ||
			echo "$kind $name is back, removed at $gone"
	done <"$BATS_TEST_TMPDIR/facts"
	if [ -d "$MASU_ROOT/images/blobs/sha256" ]; then
		(cd "$MASU_ROOT/images/blobs/sha256" && sha256sum -- * 2>/dev/null | awk '$1 != $2 { print "blob " $2 " is damaged" }')
	fi
	[ ! -e "$BATS_TEST_TMPDIR/contents" ] || contents | grep -vxFf "$BATS_TEST_TMPDIR/contents" || true
	if [ "${3:-}" = use ]; then
		"$MASU" import "$IN/a.tar" after:1 >/dev/null || echo "import fails after it"
		"$MASU" run --network none --cgroup-parent "$PARENT" after:1 true || echo "run fails after it"
	fi
	# A monitor may still be emptying the trash.
	wait_until 10 umount -R "$DISK" 2>/dev/null
}

# Cuts at $POINTS flushes and as many places in between.
sweep() {
	local flushes total step=1 points=${POINTS:-60} i at count=0
	mapfile -t flushes < <("$POWERCUT" flushes "$LOG")
	total=${#flushes[@]}
	[ "$total" -gt 20 ]
	flushes+=("$(place)")
	[ "$points" -eq 0 ] || [ "$total" -le $((points / 2)) ] || step=$((total * 2 / points))
	sample_points
	for ((i = RANDOM % step; i < total; i += step)); do
		# Right after a flush, with the rest lost, and some way to the next.
		at=$((flushes[i] + RANDOM * 32768 % (flushes[i + 1] - flushes[i] + 1)))
		for cut in "${flushes[i]} 0" "$at $((RANDOM + 1))"; do
			count=$((count + 1))
			[ $((count % 5)) -ne 0 ] || cut="$cut use"
			check_cut $cut >"$BATS_TEST_TMPDIR/complaints" 2>&1
			if [ -s "$BATS_TEST_TMPDIR/complaints" ]; then
				echo "cut $cut (of $(place)):"
				cat "$BATS_TEST_TMPDIR/complaints" "$BATS_TEST_TMPDIR/facts"
				return 1
			fi
		done
	done
	echo "# $total flushes, $count cuts" >&3
}

@test "what was acknowledged survives a power cut at any write" {
	plug_in
	did image a:1 import "$IN/a.tar" a:1
	did volume kept volume create kept
	did container one create --name one --network none --cgroup-parent "$PARENT" -v kept:/kept a:1 true
	did image b:1 load -q -i "$IN/b.image"
	did image t:1 tag a:1 t:1
	did volume goes volume create goes
	did container ran run --name ran --network none --cgroup-parent "$PARENT" b:1 true
	did container live run -d --name live --network none --cgroup-parent "$PARENT" b:1 sleep 600
	undid one rm one
	undid goes volume rm goes
	undid t:1 rmi t:1
	undid live rm -f live
	undid a:1 rmi a:1
	did image c:1 import "$IN/a.tar" c:1
	contents >"$BATS_TEST_TMPDIR/contents"
	unplug
	sweep
}

@test "a reply that came before the data was safe would be found out" {
	plug_in
	without sync did volume hasty volume create hasty
	local at
	at=$(place)
	unplug
	breached_by_cut() { check_cut "$at" 0 | sed 's/.*is lost/breached: &/'; }
	breached breached_by_cut
}
