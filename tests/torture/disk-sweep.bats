#!/usr/bin/env bats
# A disk that fills up in the middle of something (HOSTILE 35). The root is a small ext4 of its own, of
# which ever more blocks, then ever more inodes, are left, until each command fits. As long as it does
# not, it ends with one line that says why and leaves nothing; what was there stays intact; and the same
# command succeeds once there is room.

bats_require_minimum_version 1.5.0
load ../lib/oracle
load ../lib/sample

setup_file() {
	export DISK=$BATS_FILE_TMPDIR/disk IN=$BATS_FILE_TMPDIR/in PARENT=/masu-disk-$$
	export MASU_ROOT=$DISK/root MASU_RUNROOT=$BATS_FILE_TMPDIR/run
	mkdir -p "$DISK" "$IN/a/bin" "$IN/a/etc" "$IN/b"
	truncate -s 32M "$BATS_FILE_TMPDIR/disk.img"
	mkfs.ext4 -q -m 0 -N 512 -I 256 "$BATS_FILE_TMPDIR/disk.img"
	# The loop device goes with the mount, and that at the latest with this file's mount namespace.
	mount -o loop "$BATS_FILE_TMPDIR/disk.img" "$DISK"
	cp "$(command -v busybox)" "$IN/a/bin/busybox"
	ln -s busybox "$IN/a/bin/sh"
	for name in sleep true cat; do ln -s busybox "$IN/a/bin/$name"; done
	echo 'root:x:0:0::/:/bin/sh' >"$IN/a/etc/passwd"
	cp -a "$IN/a/." "$IN/b"
	mkdir "$IN/b/more"
	for i in {1..20}; do head -c 20000 /dev/urandom >"$IN/b/more/$i"; done
	tar -C "$IN/a" -cf "$IN/base.tar" .
	tar -C "$IN/b" -cf "$IN/more.tar" .
	"$MASU" import "$IN/base.tar" base:1
	"$MASU" import "$IN/more.tar" more:1
	"$MASU" save -o "$IN/more.image" more:1
	"$MASU" rmi more:1
	"$MASU" run --rm --network none --cgroup-parent "$PARENT" base:1 true
	"$MASU" create --name old --network none --cgroup-parent "$PARENT" -v kept:/kept base:1 sh -c 'cat /kept/word'
	echo word >"$MASU_ROOT/volumes/kept/_data/word"
}

teardown_file() {
	for id in $("$MASU" ps -aq); do "$MASU" rm -f "$id"; done
	umount -R "$DISK"
	find /sys/fs/cgroup -depth -type d -path "*$PARENT*" -exec rmdir {} + 2>/dev/null || true
}

# fill KIND ROOM: leaves so many KiB or inodes.
fill() {
	local free
	rm -rf "$DISK/filler"
	mkdir "$DISK/filler"
	sync -f "$DISK"
	if [ "$1" = blocks ]; then
		free=$(stat -f -c '%a * %S / 1024' "$DISK")
		free=$((free - $2))
		# What the file's own index takes is not there to be had.
		while [ $free -gt 0 ] && ! fallocate -l ${free}K "$DISK/filler/file" 2>/dev/null; do
			free=$((free - 4))
		done
	else
		free=$(($(stat -f -c %d "$DISK") - $2))
		(cd "$DISK/filler" && [ $free -le 0 ] || seq $free | xargs touch)
	fi
}

state() {
	find "$MASU_ROOT" "$MASU_RUNROOT" -printf '%y %s %P\n' | grep -v -e '^d' -e '/lock$' -e '/resolved/' -e 'events.log' | sort
	find "$MASU_ROOT" "$MASU_RUNROOT" -type d | sort
	find /sys/fs/cgroup -type d -path "*$PARENT/*" 2>/dev/null | sort
}

is_as_before() { [ "$(state)" = "$before" ]; }

# Every blob is what its name says, and image, container and volume that were there work.
intact() {
	(cd "$MASU_ROOT/images/blobs/sha256" && sha256sum -- * | awk '$1 != $2 { bad = 1 } END { exit bad }') || return 1
	[ -n "$("$MASU" images -q base:1)" ] && [ "$("$MASU" ps -aq | wc -l)" -eq 1 ] &&
		[ "$(cat "$MASU_ROOT/volumes/kept/_data/word")" = word ]
}

# attempt KIND ROOM UNDO ARGUMENT...: of masu; UNDO is shell text. 0: it fits; 1: it did not and nothing is
# amiss, now that the room is back; 2: something is.
attempt() {
	local kind=$1 room=$2 undo=$3 status=0
	shift 3
	fill "$kind" "$room"
	"$MASU" "$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null 3>&- || status=$?
	rm -rf "$DISK/filler"
	if [ $status -eq 0 ]; then
		eval "$undo"
		return 0
	fi
	eval "${AFTER_FAILURE:-}"
	if [ "$(grep -c . "$BATS_TEST_TMPDIR/err")" -ne 1 ] ||
		! grep -q '^masu.*: No space left on device' "$BATS_TEST_TMPDIR/err"; then
		echo "$room $kind left: status $status: $(cat "$BATS_TEST_TMPDIR/err")"
		return 2
	fi
	wait_until 5 is_as_before || {
		echo "$room $kind left: left behind ($(cat "$BATS_TEST_TMPDIR/err"))"
		diff <(echo "$before") <(state)
		return 2
	}
	intact || { echo "$room $kind left: damage ($(cat "$BATS_TEST_TMPDIR/err"))"; return 2; }
	"$MASU" "$@" >/dev/null </dev/null 3>&- || { echo "$room $kind left: then it does not work"; return 2; }
	eval "$undo"
	wait_until 5 is_as_before || { echo "$room $kind left: left behind in the end"; diff <(echo "$before") <(state); return 2; }
	return 1
}

# sweep KIND UNDO ARGUMENT...: ever more room, then back from where it fits, one by one, because what a
# command writes last is the smallest.
sweep() {
	local kind=$1 undo=$2 before room=0 step=1 failed=0 status
	shift 2
	rm -rf "$DISK/filler"
	"$MASU" "$@" >/dev/null </dev/null 3>&-
	eval "$undo"
	# What was moved aside is deleted behind the reply.
	wait_until 10 sh -c '[ -z "$(find "$MASU_ROOT/trash" "$MASU_ROOT/containers/.new" -mindepth 1 2>/dev/null)" ]'
	before=$(state)
	sample_points
	while true; do
		status=0
		attempt "$kind" $room "$undo" "$@" || status=$?
		[ $status -ne 2 ] || return 1
		[ $status -ne 0 ] || break
		failed=$((failed + 1))
		# Denser where little is needed.
		room=$((room + step))
		step=$((1 + room / 3 + RANDOM % (1 + room / 6)))
	done
	local fits=$room below
	for below in {1..40}; do
		[ $below -le $room ] || break
		status=0
		attempt "$kind" $((room - below)) "$undo" "$@" || status=$?
		[ $status -ne 2 ] || return 1
		[ $status -ne 0 ] || { fits=$((room - below)); continue; }
		failed=$((failed + 1))
		[ $below -lt $((room - fits + 4)) ] || break
	done
	wait_until 5 is_as_before
	intact
	echo "# fits into $fits $kind, does not into less ($failed times): $1" >&3
	[ $failed -gt 0 ]
}

both() {
	sweep blocks "$@"
	sweep inodes "$@"
}

@test "import" {
	both '"$MASU" rmi new:1 >/dev/null' import "$IN/more.tar" new:1
}

@test "load" {
	both '"$MASU" rmi more:1 >/dev/null' load -q -i "$IN/more.image"
}

@test "create" {
	both '"$MASU" rm new >/dev/null' create --name new --network none --cgroup-parent "$PARENT" base:1 true
}

@test "run -d" {
	# As with docker it may be there, created and not started.
	AFTER_FAILURE='"$MASU" rm -f new >/dev/null 2>&1 || true'
	both '"$MASU" rm -f new >/dev/null' run -d --name new --network none --cgroup-parent "$PARENT" base:1 sleep 60
}

@test "volume create" {
	both '"$MASU" volume rm new >/dev/null' volume create new
}

@test "a full disk is no obstacle to removing" {
	local kind
	for kind in blocks inodes; do
		"$MASU" create --name new --network none --cgroup-parent "$PARENT" base:1 true
		"$MASU" volume create new
		fill $kind 0
		"$MASU" rm new
		"$MASU" volume rm new
		rm -rf "$DISK/filler"
		[ "$("$MASU" ps -aq | wc -l)" -eq 1 ]
		[ "$("$MASU" volume ls -q)" = kept ]
	done
}

@test "what was there before is there" {
	run -0 "$MASU" start -a old
	[ "$output" = word ]
}
