# What the storage-driver-*.bats share: a root for the driver that the file is named after, and one of
# overlay's to compare with.

storage_setup_file() {
	local name=${BATS_TEST_FILENAME##*/storage-driver-}
	export DRIVER=${name%.bats} IN=$BATS_FILE_TMPDIR/in GROUP=/masu-storage-$$ FS=$BATS_FILE_TMPDIR/fs BUSYBOX
	export MASU_RUNROOT=$BATS_FILE_TMPDIR/run MASU_ROOT=$FS/root
	BUSYBOX=$(command -v busybox)
	mkdir -p "$IN/small" "$IN/second" "$FS"
	if WHY=$(unavailable); then export WHY; return; fi
	[ "$DRIVER" != btrfs ] || loop_filesystem "$FS" 600M btrfs
	# A FUSE filesystem does not say where holes are: who reads a tree reads them, again and again.
	[ "$DRIVER" != fuse-overlayfs ] || export LAYERED_HOLE=$((1 << 28))
	LAYERED_MANY=150 "$REPO/tests/lib/layered-image.py" "$IN/layered.tar" "$BUSYBOX" layered:1
	echo small >"$IN/small/file"
	cp "$BUSYBOX" "$IN/second/busybox"
	mkdir -p "$IN/second/dir/deeper"
	tar -C "$IN/small" -cf "$IN/small.tar" .
	tar -C "$IN/second" -cf "$IN/second.tar" .
	other load -q -i "$IN/layered.tar" >/dev/null
	other_listing layered:1 >"$BATS_FILE_TMPDIR/expected"
	m --storage-driver "$DRIVER" load -q --layer-format=dir -i "$IN/layered.tar" >/dev/null
	other run --name changed --cgroup-parent "$GROUP" --network none layered:1 sh -c "$(changes)"
	other diff changed >"$BATS_FILE_TMPDIR/expected-diff"
	other rm changed >/dev/null
}

storage_setup() {
	[ -z "${WHY:-}" ] || skip "$WHY"
}

storage_teardown_file() {
	if [ -s "$BATS_FILE_TMPDIR/expected" ]; then
		remove_all
		wait_until 20 behind_is_done || true
		rmdir /sys/fs/cgroup/*"$GROUP" /sys/fs/cgroup"$GROUP" 2>/dev/null || true
	fi
	# Subvolumes are more than bats can remove.
	if mountpoint -q "$FS"; then
		umount "$FS" || umount -l "$FS"
	fi
}

# The words of the tests' CHANGES, for who has not run them.
changes() {
	sed -n "/^CHANGES='/,/'$/p" "$BATS_TEST_FILENAME" | sed -e "1s/^CHANGES='//" -e "\$s/'$//"
}

# Why the driver cannot be tested here; fails where it can.
unavailable() {
	case $DRIVER in
	aufs) grep -q '\taufs$' /proc/filesystems ||
		{ "$MASU" storage ls --format '{{.Driver}}: {{.Description}}' | grep ^aufs; return; } ;;
	btrfs) command -v mkfs.btrfs >/dev/null || { echo "no mkfs.btrfs"; return; } ;;
	fuse-overlayfs) command -v fuse-overlayfs >/dev/null || { echo "no fuse-overlayfs"; return; } ;;
	esac
	return 1
}

loop_filesystem() { # directory size type [mkfs options]
	local image=$1.img
	mkdir -p "$1"
	truncate -s "$2" "$image"
	"mkfs.$3" -q "${@:4}" "$image"
	mount -o loop "$image" "$1"
}

small_filesystem() { # directory
	if [ "$DRIVER" = btrfs ]; then
		loop_filesystem "$1" 128M btrfs --mixed
	else
		loop_filesystem "$1" 24M ext4
	fi
	# More than it holds, and no copy of it can be shared.
	[ -f "$IN/huge.tar" ] || {
		mkdir -p "$IN/huge"
		head -c 150M /dev/urandom >"$IN/huge/file"
		tar -C "$IN/huge" -cf "$IN/huge.tar" .
		rm -r "$IN/huge"
	}
}

# As $LIMITED, where sizes of containers can be limited.
limited_filesystem() {
	case $DRIVER in
	btrfs) LIMITED=$FS ;;
	*)
		LIMITED=$BATS_TEST_TMPDIR/limited
		mkdir "$LIMITED"
		truncate -s 64M "$LIMITED.img"
		mkfs.ext4 -q -O project,quota -E quotatype=prjquota "$LIMITED.img" &&
			mount -o loop,prjquota "$LIMITED.img" "$LIMITED"
		;;
	esac
}

# masu on overlay, with a root of its own.
other() {
	MASU_ROOT=$BATS_FILE_TMPDIR/other-root MASU_RUNROOT=$BATS_FILE_TMPDIR/other-run "$MASU" "$@" 3>&- 4>&-
}

# A running container's tree as its processes see it, but for the number of names: overlay counts those
# of directories and of files with several layers differently.
listing() { # image
	local id
	id=$(m_run -d "$1" sleep 1000)
	"$REPO/tests/lib/tree-listing.py" "/proc/$(field "$id" .State.Pid)/root" proc sys dev etc .dockerenv | cut -f 1-4,6-
	m rm -f "$id" >/dev/null
}

other_listing() { # image
	local id pid
	id=$(other run -d --cgroup-parent "$GROUP" --network none "$1" sleep 1000)
	pid=$(other inspect -f '{{.State.Pid}}' "$id")
	"$REPO/tests/lib/tree-listing.py" "/proc/$pid/root" proc sys dev etc .dockerenv | cut -f 1-4,6-
	other rm -f "$id" >/dev/null
}

a_file_of_a_layer() {
	find "$MASU_ROOT"/layers -path '*/merged/*' -prune -o -path '*/d/block' -type f -print -quit
}

# A layer of btrfs is a subvolume that cannot be written to.
writable() { # file in a layer
	[ "$DRIVER" != btrfs ] || btrfs property set -f "${1%/root/*}/root" ro false
}

# Kills SHELL's command at some of its state-changing calls; CLEANUP brings back what was before, and
# PREPARE what the command needs.
sweep() { # shell cleanup [prepare]
	local total at step again
	sh -c "${3:-true}" >/dev/null 3>&- 4>&-
	total=$("$BATS_TEST_TMPDIR/stepper" count sh -c "$1" 3>&1 >/dev/null 2>/dev/null 4>&-)
	sh -c "$2" >/dev/null 2>&1 3>&- 4>&-
	[ "$total" -gt 5 ]
	step=$((total / ${POINTS:-6} + 1))
	sample_points
	for ((at = 1 + RANDOM % step; at <= total; at += step)); do
		sh -c "${3:-true}" >/dev/null 2>&1 3>&- 4>&- || true
		"$BATS_TEST_TMPDIR/stepper" kill $at sh -c "$1" >/dev/null 2>&1 </dev/null 3>&- 4>&- || true
		"$MASU" ps -a >/dev/null 3>&- 4>&-
		# What was killed when it was done has been done.
		again=$(sh -c "${3:-true}; $1" 2>&1 3>&- 4>&-) || [ -n "${3:-}" ] || [[ "$again" == *"already in use"* ]] ||
			{ echo "killed at $at of $total: $again"; return 1; }
		sh -c "$2" >/dev/null 2>&1 3>&- 4>&- || { echo "killed at $at of $total: the clean-up fails"; return 1; }
		"$MASU" ps -a >/dev/null 3>&- 4>&-
		[ -z "$("$MASU" ps -aq 3>&- 4>&-)" ] || { echo "killed at $at of $total: a container is left"; return 1; }
	done
	wait_until 20 behind_is_done
}
