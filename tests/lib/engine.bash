# Containers of the engine: an image, roots of this file's own, and cgroups below a group of its own.
source "$REPO/tests/lib/oracle.bash"

# An image "busybox:local" with users, a volume directory with content and an image variable.
engine_setup_file() {
	export MASU_ROOT=$BATS_FILE_TMPDIR/root MASU_RUNROOT=$BATS_FILE_TMPDIR/run
	export GROUP=/masu-engine-$$
	local tree=$BATS_FILE_TMPDIR/tree
	make_busybox_root "$tree"
	mkdir -p "$tree/etc" "$tree/data" "$tree/tmp"
	printf 'root:x:0:0:root:/root:/bin/sh\nbob:x:1000:100:Bob:/home/bob:/bin/sh\n' >"$tree/etc/passwd"
	printf 'root:x:0:\nusers:x:100:\nwheel:x:10:bob\n' >"$tree/etc/group"
	echo "from the image" >"$tree/data/hello"
	chown 1000:100 "$tree/data"
	tar -C "$tree" -c . | "$MASU" import --change 'ENV FROM_IMAGE=yes' - busybox:local >/dev/null
}

# True once nothing is deleted behind a reply any more: bats' own clean-up would trip over it.
behind_is_done() {
	[ -z "$(ls -A "$MASU_ROOT/trash" "$MASU_RUNROOT/containers" 2>/dev/null | grep -v -e : -e '^$')" ]
}

engine_teardown_file() {
	remove_all
	wait_until 20 behind_is_done || true
	local group
	for group in /sys/fs/cgroup/*"$GROUP" /sys/fs/cgroup"$GROUP"; do
		[ ! -d "$group" ] || rmdir "$group"
	done
}

# A killed monitor's container may be left by a failing test: nothing may outlive the file.
remove_all() {
	local id
	for id in $("$MASU" ps -aq); do
		"$MASU" rm -f "$id" >/dev/null || true
	done
}

# masu with its stdio closed to bats, whose own pipes a monitor must not hold.
m() {
	"$MASU" "$@" 3>&- 4>&-
}

# run and create with this file's cgroup and without a network unless said otherwise.
m_run() {
	own_network "$@" || set -- --network "${NETWORK:-none}" "$@"
	m run --cgroup-parent "$GROUP" "$@"
}

m_create() {
	own_network "$@" || set -- --network "${NETWORK:-none}" "$@"
	m create --cgroup-parent "$GROUP" "$@"
}

own_network() {
	local word
	for word; do
		case $word in --network | --network=* | --net | --net=*) return 0 ;; esac
	done
	return 1
}

field() { # name, jq filter
	m inspect "$1" | jq -r ".[0]$2"
}

status_is() { # name, status
	[ "$(field "$1" .State.Status)" = "$2" ]
}

gone() { # name
	! m inspect "$1" >/dev/null 2>&1
}

logged() { # name, text
	m logs "$1" 2>&1 | grep -q -- "$2"
}

monitor_of() { # name
	jq -r .MonitorPid "$MASU_RUNROOT/containers/$(field "$1" .Id)/live.json"
}

# True once the client with this pid passes SIGTERM on: it has blocked or caught it.
takes_signals() { # pid
	local mask
	for mask in $(awk '/^Sig(Blk|Cgt):/ { print $2 }' "/proc/$1/status"); do
		[ $((0x$mask & 0x4000)) -eq 0 ] || return 0
	done
	return 1
}

# True once the process waits for changes of files.
watches_files() { # pid
	ls -l "/proc/$1/fd" 2>/dev/null | grep -q inotify
}

pid_gone() {
	! kill -0 "$1" 2>/dev/null || grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null
}

# Nothing of a container is left: records, live files, mounts, cgroups.
nothing_left() {
	[ -z "$(ls "$MASU_ROOT/containers")" ]
	[ -z "$(ls "$MASU_ROOT/names" 2>/dev/null)" ]
	[ -z "$(ls "$MASU_RUNROOT/containers" 2>/dev/null)" ]
	! grep -q "$MASU_ROOT/containers" /proc/self/mountinfo
	[ -z "$(find /sys/fs/cgroup -path "*$GROUP/*" -type d 2>/dev/null)" ]
}
