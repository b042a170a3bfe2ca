# Control groups seen from outside, for cgroup*.bats. A file that is called -v1 or -v2 finds that layout:
# a hybrid machine has the other two in it, and each file has a mount namespace of its own.

setup_file() {
	case $BATS_TEST_FILENAME in
	*-v[12].bats)
		[ -d /sys/fs/cgroup/unified ] || skip "needs a hybrid machine"
		if [[ "$BATS_TEST_FILENAME" == *-v1.bats ]]; then
			umount /sys/fs/cgroup/unified
		else
			umount --recursive --lazy /sys/fs/cgroup
			mount -t cgroup2 cgroup2 /sys/fs/cgroup
		fi
		;;
	esac
	export PARENT=/masu-test-$$-bats
	export ROOTFS=$BATS_FILE_TMPDIR/rootfs
	mkdir -p "$ROOTFS"/{bin,dev,proc,sys,tmp,etc}
	cp /bin/busybox "$ROOTFS/bin/busybox"
	for applet in $(/bin/busybox --list); do
		[ "$applet" = busybox ] || ln -s busybox "$ROOTFS/bin/$applet"
	done
}

teardown_file() {
	for tree in /sys/fs/cgroup/*"$PARENT" "/sys/fs/cgroup$PARENT"; do
		[ ! -d "$tree" ] || rmdir "$tree"
	done
}

setup() {
	export MASU_RUNROOT=$BATS_TEST_TMPDIR/run MASU_ROOT=$BATS_TEST_TMPDIR/lib
	bundle=$BATS_TEST_TMPDIR/bundle
	name=t$BATS_TEST_NUMBER
	mkdir -p "$bundle"
	ln -s "$ROOTFS" "$bundle/rootfs"
	"$MASU" oci spec --bundle "$bundle"
	config ".process.terminal = false | .root.readonly = false | .linux.cgroupsPath = \"$PARENT/$name\""
}

# A skipped test prints its reason; a controller is a directory on v1 and a word on v2.
needs() { # controller
	has_v1 "$1" || grep -qw "$1" /sys/fs/cgroup/cgroup.controllers 2>/dev/null || skip "no $1 controller"
}

teardown() {
	masu delete --force "$name" 2>/dev/null || true
}

masu() { "$MASU" oci "$@"; }

config() { # jq program
	jq "$1" "$bundle/config.json" >"$bundle/new"
	mv "$bundle/new" "$bundle/config.json"
}

command_is() { # words of a shell command
	jq --arg c "$1" '.process.args = ["sh", "-c", $c]' "$bundle/config.json" >"$bundle/new"
	mv "$bundle/new" "$bundle/config.json"
}

start() { # detached, its output in $bundle/out
	masu run --detach --bundle "$bundle" "$name" >"$bundle/out" 2>&1 </dev/null 3>&-
}

group_file() { # controller file: of the container's group, v1 or v2
	local dir=/sys/fs/cgroup/$1$PARENT/$name
	[ -d "$dir" ] || dir=/sys/fs/cgroup$PARENT/$name
	cat "$dir/$2"
}

has_v1() { [ -d "/sys/fs/cgroup/$1" ]; }

# The mount point of each hierarchy.
hierarchies() { findmnt --noheadings --list --output TARGET --types cgroup,cgroup2; }

# The cgroup2 tree; fails where there is none.
unified() {
	for unified in /sys/fs/cgroup /sys/fs/cgroup/unified; do
		[ ! -e $unified/cgroup.controllers ] || return 0
	done
	return 1
}

left() { find /sys/fs/cgroup -path "*$PARENT/$name*" -print -quit; }

until_true() { # command: tried for half a minute
	for _ in $(seq 1500); do
		! "$@" || return 0
		sleep 0.02
	done
	return 1
}
