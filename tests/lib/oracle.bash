# Peers as oracles: what they need to run on a test host.

# crun 1.8 refuses a hybrid machine whose cgroup2 tree has a controller, as it has on kernels whose hugetlb
# nobody mounted. On this test host the tree says that it has none; nothing else on the machine changes.
oracle_crun_ready() {
	local controllers=/sys/fs/cgroup/unified/cgroup.controllers
	[ -e "$controllers" ] && [ -n "$(cat "$controllers")" ] || return 0
	mount --bind /dev/null "$controllers"
}

# Podman with a state of its own and limits that an unprivileged-in-part root may set.
oracle_podman() {
	local dir=${BATS_FILE_TMPDIR:-$TMPDIR}/podman
	mkdir -p "$dir"
	cat >"$dir/containers.conf" <<-'CONF'
	[containers]
	default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
	[engine]
	cgroup_manager = "cgroupfs"
	events_logger = "none"
	CONF
	CONTAINERS_CONF=$dir/containers.conf podman --root "$dir/root" --runroot "${ORACLE_PODMAN_RUNROOT:-$dir/run}" \
		--storage-driver "${ORACLE_PODMAN_STORAGE:-overlay}" "$@"
}

# A busybox root in directory $1, as an image or bundle root: /bin with all applets, /etc, /tmp.
make_busybox_root() {
	mkdir -p "$1"/{bin,etc,tmp,proc,sys,dev,root}
	cp /bin/busybox "$1/bin/busybox"
	local applet
	for applet in $(/bin/busybox --list); do
		[ "$applet" = busybox ] || ln -sf busybox "$1/bin/$applet"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n' >"$1/etc/passwd"
	printf 'root:x:0:\nuser:x:1000:\nwheel:x:10:user\n' >"$1/etc/group"
	chmod 1777 "$1/tmp"
}

# Runs a command until it succeeds, at most $1 seconds: for what need not come.
wait_seconds() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

# The same for what must come, within $1 seconds of a quiet machine: one on which other tests run gets six
# times as many.
wait_until() {
	wait_seconds $(($1 * 6)) "${@:2}"
}
