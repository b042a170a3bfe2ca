# For the hostile-*.bats files: bundles whose inside attacks, and masu with a defence taken out.

# Builds the attackers and the root that bundles share. Call in setup_file.
hostile_setup() {
	# The debug build has the fault switches; every attack must succeed against it.
	export MASU_DEBUG=${MASU_DEBUG:-$REPO/build-debug/bin/masu}
	[ -x "$MASU_DEBUG" ] || { echo "$MASU_DEBUG is missing; run tools/build debug" >&2; return 1; }
	export INSIDE=$BATS_FILE_TMPDIR/inside OUTSIDE=$BATS_FILE_TMPDIR/outside
	cc -O1 -D_GNU_SOURCE -static -o "$INSIDE" "$REPO/tests/integration/src/inside.c"
	cc -O1 -D_GNU_SOURCE -static -o "$OUTSIDE" "$REPO/tests/integration/src/outside.c"
	export OCI_ROOT=$BATS_FILE_TMPDIR/oci
}

# Makes $BUNDLE, whose config.json is masu's own template changed by the jq filter $1.
make_bundle() {
	export BUNDLE=$BATS_TEST_TMPDIR/bundle
	rm -rf "$BUNDLE"
	make_busybox_root "$BUNDLE/rootfs"
	cp "$INSIDE" "$BUNDLE/rootfs/bin/inside"
	(cd "$BUNDLE" && "$MASU" oci spec)
	configure '.process.terminal=false | .root.readonly=false | del(.process.rlimits)'
	[ -z "${1:-}" ] || configure "$1"
}

configure() {
	jq "$1" "$BUNDLE/config.json" >"$BUNDLE/config.new"
	mv "$BUNDLE/config.new" "$BUNDLE/config.json"
}

# The release, on a container of this test's own.
oci() {
	"${OCI_MASU:-$MASU}" oci --root "$OCI_ROOT" "$@"
}

# without DEFENCE[,DEFENCE] COMMAND...: what `oci` runs then is the debug build that lacks them.
without() {
	local defence=$1
	shift
	ASAN_OPTIONS=detect_leaks=0 MASU_TEST_WITHOUT=$defence OCI_MASU=$MASU_DEBUG \
		MASU_LIBEXEC=${MASU_DEBUG%/*}/libexec/masu "$@"
}

# held COMMAND / breached COMMAND: the attack's own verdict, which must be there at all.
held() {
	run "$@"
	[[ "$output" == *held* && "$output" != *breached* ]] || {
		echo "not held: $output"
		return 1
	}
}

breached() {
	run "$@"
	[[ "$output" == *breached* ]] || {
		echo "the test is toothless: nothing breached without the defence: $output"
		return 1
	}
}

ALL_CAPABILITIES='.process.capabilities |= (["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_DAC_READ_SEARCH","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_SETGID","CAP_SETUID","CAP_SETPCAP","CAP_LINUX_IMMUTABLE","CAP_NET_BIND_SERVICE","CAP_NET_ADMIN","CAP_NET_RAW","CAP_IPC_LOCK","CAP_IPC_OWNER","CAP_SYS_CHROOT","CAP_SYS_PTRACE","CAP_SYS_ADMIN","CAP_SYS_NICE","CAP_MKNOD","CAP_LEASE","CAP_AUDIT_WRITE","CAP_SETFCAP"] as $all | {bounding:$all,effective:$all,permitted:$all})'

# --- masu itself, with images ---

# A store with busybox:local in it. Call in setup_file after hostile_setup.
hostile_image() {
	export MASU_ROOT=$BATS_FILE_TMPDIR/root MASU_RUNROOT=$BATS_FILE_TMPDIR/run
	make_busybox_root "$BATS_FILE_TMPDIR/rootfs"
	cp "$INSIDE" "$BATS_FILE_TMPDIR/rootfs/bin/inside"
	tar -C "$BATS_FILE_TMPDIR/rootfs" --numeric-owner -cf "$BATS_FILE_TMPDIR/busybox.tar" .
	"$MASU" import "$BATS_FILE_TMPDIR/busybox.tar" busybox:local
}

masu() {
	"${OCI_MASU:-$MASU}" "$@"
}

# The cgroup that this file's containers are below, since the hierarchies are the machine's.
export CGROUP_PARENT=${CGROUP_PARENT:-/masu-test-$$}
RUN=(run --rm --cgroup-parent "$CGROUP_PARENT")

# Everything that outlives a process and that masu could have left, as text. The bridge and its
# rules come and go by themselves; what containers put into them must not stay.
machine_state() {
	# The files of a layer are mounted by the first container that needs them, and stay.
	find "$MASU_ROOT" "$MASU_RUNROOT" -path '*/layers/*/fs' -prune -o -printf '%y %P\n' 2>/dev/null | grep -v -e ' \.lock$' -e ' lock$' -e ' events\.log' |
		sort
	find /sys/fs/cgroup -type d -path "*$CGROUP_PARENT/*" 2>/dev/null | sort
	ip -o link | awk '{ print $2 }' | grep -v '^masu0:'
	nft list ruleset | sed -n '/elements = {/,/}/p'
	# Only one's own: mounts of others go when their directories do, in every namespace.
	grep -v '/layers/[^ ]*/fs ' /proc/self/mountinfo | grep -c -e " $BATS_RUN_TMPDIR" -e " $MASU_ROOT" -e " $MASU_RUNROOT" || true
}

# The same once what is emptied after the reply is empty.
settled_state() {
	wait_until 10 sh -c '[ -z "$(find "$1/trash" "$1/containers/.new" -mindepth 1 2>/dev/null)" ]' sh "$MASU_ROOT" || true
	# The kernel takes its time to delete the interfaces of a namespace that is gone.
	wait_until 10 sh -c '! ip -o link | grep -q ": veth"' || true
	machine_state
}

# left_nothing STATE: the machine comes to be as it was. What is moved aside is emptied after the
# reply, or by the next command; a listing removes what a dead monitor left.
left_nothing() {
	same() { [ "$(machine_state)" = "$1" ]; }
	wait_seconds 2 same "$1" && return 0
	masu ps -a >/dev/null
	masu "${RUN[@]}" --network none busybox:local true
	wait_until 10 same "$1" || {
		echo "left behind:"
		diff <(echo "$1") <(machine_state)
		return 1
	}
}

remove_test_cgroups() {
	find /sys/fs/cgroup -depth -type d -path "*$CGROUP_PARENT*" -exec rmdir {} + 2>/dev/null || true
}
