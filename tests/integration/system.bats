#!/usr/bin/env bats
# masu info and masu system: what the machine is, and what is wrong with what masu keeps.

bats_require_minimum_version 1.5.0
load ../lib/engine

# The default parent of cgroups is the machine's, with what others left in it: here it is a group of
# this file's own, in the file's own mount namespace.
setup_file() {
	local tree
	engine_setup_file
	for tree in /sys/fs/cgroup/*/ /sys/fs/cgroup/; do
		[ -e "$tree/cgroup.procs" ] || continue
		mkdir -p "$tree/masu" "$tree$GROUP/default"
		mount --bind "$tree$GROUP/default" "$tree/masu"
	done
}

teardown_file() {
	local tree
	for tree in /sys/fs/cgroup/*/ /sys/fs/cgroup/; do
		[ -d "$tree$GROUP/default" ] || continue
		umount "$tree/masu"
		rmdir "$tree$GROUP/default"
	done
	engine_teardown_file
}

setup() {
	remove_all
}

info() {
	m info --format "{{$1}}"
}

@test "info tells counts, limits and the machine, truly" {
	m_create busybox:local true >/dev/null
	m_run -d busybox:local sleep 100 >/dev/null
	[ "$(info .Containers),$(info .ContainersRunning),$(info .ContainersStopped)" = 2,1,1 ]
	m tag busybox:local second:name
	[ "$(info .Images)" = 1 ]
	m rmi second:name >/dev/null
	[ "$(info .Driver)" = overlay ]
	[ "$(info .KernelVersion)" = "$(uname -r)" ]
	[ "$(info .Architecture)" = "$(uname -m)" ]
	[ "$(info .NCPU)" = "$(nproc)" ]
	[ "$(info .MemTotal)" -gt $(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) * 1000)) ]
	[ "$(info .DockerRootDir)" = "$MASU_ROOT" ]
	[ "$(info .OperatingSystem)" = "$(. /etc/os-release && echo "$PRETTY_NAME")" ]
	[ "$(info .Swarm.LocalNodeState)" = inactive ]
	m info --format '{{json .}}' | jq -e '.Plugins.Network | index("bridge") != null'
	[ "$(stat -f -c %T "$MASU_ROOT" | sed 's/ext2.ext3/extfs/')" = "$(info 'index (index .DriverStatus 0) 1')" ]
	# A limit that is said to be there can be set.
	[ "$(info .MemoryLimit)" != true ] || m_run --rm -m 64m busybox:local true
	[ "$(info .PidsLimit)" != true ] || m_run --rm --pids-limit 50 busybox:local true
}

@test "info's text is docker's, system info is the same" {
	run -0 m info
	[[ "$output" == *$'\nImages: 1\n'*$'\nStorage Driver: overlay\n Backing Filesystem: '*$'\nCgroup Driver: cgroupfs\nCgroup Version: '*$'\nSecurity Options:\n name=seccomp'*$'\nTotal Memory: '*"GiB"* ]]
	[ "$(m system info | grep -v ^CPUs)" = "$(m info | grep -v ^CPUs)" ]
	run -125 m info --nothing
	run -1 m info extra
}

# ---- system check ----

# Exit status 0 and no word.
clean() {
	run m system check
	[ "$status" = 0 ] && [ "$output" = "" ] || { echo "status $status: $output"; return 1; }
}

# One finding that matches, status 1; mended by --repair, after which all is clean.
finds_and_mends() { # pattern
	run -1 m system check
	[ "${#lines[@]}" = 1 ]
	[[ "$output" == $1 ]] || { echo "$output"; return 1; }
	[[ "$output" == *"; with --repair "* ]]
	run -0 m system check --repair
	[ "${#lines[@]}" = 1 ]
	[[ "$output" == *"; mended: "* ]] || { echo "$output"; return 1; }
	clean
}

@test "check: a healthy root is clean, with containers in every state" {
	clean
	m_create --name made busybox:local true >/dev/null
	m_run --name done -v vol:/vol busybox:local true
	m_run -d --name up busybox:local sleep 100 >/dev/null
	m run -d --cgroup-parent "$GROUP" --name net -p 8099:80 busybox:local sleep 100 >/dev/null
	clean
	run -0 m system check --repair
	[ "$output" = "" ]
	status_is up running
	status_is net running
	m start made
}

# The image with its layer as a directory, or as its tar, which is the blob, too.
import_as() { # format
	m rmi busybox:local >/dev/null
	tar -C "$BATS_FILE_TMPDIR/tree" -c . | m import --layer-format="$1" --change 'ENV FROM_IMAGE=yes' - busybox:local >/dev/null
}

@test "check: a bit flip in a blob is found, its image is named, and loading heals it (HOSTILE 34)" {
	local blob format archive=$BATS_TEST_TMPDIR/box.tar
	for format in dir erofs; do
		import_as $format
		m save -o "$archive" busybox:local
		m_run -d --name up busybox:local sleep 100 >/dev/null
		blob=$(ls -S "$MASU_ROOT"/images/blobs/sha256/* | head -1)
		printf '\xff' | dd of="$blob" bs=1 seek=1000 conv=notrunc status=none
		run -1 m system check
		[ "${#lines[@]}" = "$([ $format = dir ] && echo 2 || echo 3)" ]
		[[ "${lines[0]}" == "images/blobs/sha256/${blob##*/}: its content is not what its name says; with --repair "* ]]
		[[ "${lines[1]}" == "busybox:local: it has lost data: "* ]]
		[ $format = dir ] || [[ "${lines[2]}" == "busybox:local: layer "*" has another tar or index than was made; with --repair it is removed; "* ]]
		run -1 m system check --repair
		[[ "$output" == *"mended: it is removed"* ]]
		[ ! -e "$blob" ]
		status_is up running
		m exec up true
		m load -q --layer-format=$format -i "$archive"
		clean
		m_run --rm busybox:local true
		m restart -t 0 up >/dev/null
		m rm -f up >/dev/null
	done
}

@test "check: a flipped config or manifest is found too" {
	local archive=$BATS_TEST_TMPDIR/box.tar blob
	m save -o "$archive" busybox:local
	for blob in $(ls -rS "$MASU_ROOT"/images/blobs/sha256/* | head -2); do
		printf '\x20' | dd of="$blob" bs=1 seek=5 conv=notrunc status=none
		run -1 m system check
		[[ "$output" == *"${blob##*/}: its content is not what its name says"*"lost data"* ]]
		run -1 m system check --repair
		m load -q -i "$archive"
		clean
	done
}

@test "check: a layer that is damaged or missing is unpacked again from its blob" {
	local layer
	import_as dir # layers.bats has what is said of a tar
	layer=$(ls -d "$MASU_ROOT"/layers/overlay/*/ | head -1)
	rm "$layer/diff/bin/busybox"
	finds_and_mends "busybox:local: layer * has not the files that were unpacked*"
	m_run --rm busybox:local true
	rm -rf "$layer"
	finds_and_mends "busybox:local: layer * is missing*"
	m_run --rm busybox:local true
	echo damaged >"$layer/layer.json"
	finds_and_mends "busybox:local: layer * has no record that can be read*"
}

@test "check: a damaged layer under a running container is left to it" {
	local layer
	import_as dir # layers.bats has what is said of a tar
	layer=$(ls -d "$MASU_ROOT"/layers/overlay/*/ | head -1)
	m_run -d --name up busybox:local sleep 100 >/dev/null
	echo more >"$layer/diff/more"
	run -1 m system check --repair
	[[ "$output" == *"not mended: "* ]]
	[ -e "$layer/diff/bin/busybox" ]
	m rm -f up >/dev/null
	run -0 m system check --repair
	clean
}

@test "check: records, names and volumes" {
	local id
	m_run --name one -v data:/data busybox:local true
	id=$(field one .Id)
	rm "$MASU_ROOT/names/one"
	finds_and_mends "containers/$id: the name one does not lead to it*"
	m inspect one >/dev/null
	ln -s "$(printf '%064d' 7)" "$MASU_ROOT/names/nobody"
	finds_and_mends "names/nobody: it leads to container 000000000000, which there is not*"
	mv "$MASU_ROOT/volumes/data" "$BATS_TEST_TMPDIR/data"
	run -1 m system check
	[[ "$output" == "containers/$id: its volume data is missing; "* ]]
	mv "$BATS_TEST_TMPDIR/data" "$MASU_ROOT/volumes/data"
	cp "$MASU_ROOT/containers/$id/container.json" "$BATS_TEST_TMPDIR/record"
	echo '{' >"$MASU_ROOT/containers/$id/container.json"
	run -1 m system check --repair
	[[ "$output" == "containers/$id: its record cannot be read: "* ]]
	cp "$BATS_TEST_TMPDIR/record" "$MASU_ROOT/containers/$id/container.json"
	clean
}

@test "check: what killed commands leave: blobs, layers, containers in the making, trash, live files" {
	local id dir
	id=$(printf '%064d' 5)
	echo orphan >"$BATS_TEST_TMPDIR/orphan"
	cp "$BATS_TEST_TMPDIR/orphan" "$MASU_ROOT/images/blobs/sha256/$(sha256sum <"$BATS_TEST_TMPDIR/orphan" | cut -d' ' -f1)"
	finds_and_mends "images: 1 blobs and 0 layers that neither*"
	mkdir -p "$MASU_ROOT/containers/.new/$id"
	finds_and_mends "containers/.new/$id: a container that was never finished*"
	mkdir "$MASU_ROOT/trash/something"
	finds_and_mends "trash: 1 removed things are not deleted yet*"
	mkdir "$MASU_RUNROOT/containers/$id"
	finds_and_mends "containers/$id: live files in * of a container that is gone*"
}

@test "check: a container whose monitor was killed with it, a cgroup and a mount that were left" {
	local id pid group
	id=$(m_run -d --name lost busybox:local sleep 100)
	pid=$(field lost .State.Pid)
	kill -9 "$(monitor_of lost)"
	kill -9 "$pid"
	wait_until 5 pid_gone "$pid"
	finds_and_mends "containers/$id: container lost is said to run, and neither it nor its monitor does*"
	status_is lost exited
	mkdir "$MASU_ROOT/containers/$id/mnt"
	mount -t tmpfs tmpfs "$MASU_ROOT/containers/$id/mnt"
	finds_and_mends "$MASU_ROOT/containers/$id/mnt: a mount of a container that does not run*"
	for group in /sys/fs/cgroup/unified /sys/fs/cgroup; do
		[ ! -e "$group/cgroup.procs" ] || break
	done
	mkdir -p "$group/masu/$id"
	clean # it is young
	touch -d '1 hour ago' "$group/masu/$id"
	finds_and_mends "$group/masu/$id: a cgroup without processes*"
	[ ! -e "$group/masu/$id" ]
}

@test "check: addresses and bridges without a container" {
	local id
	id=$(m run -d --cgroup-parent "$GROUP" --name lost -p 8098:80 busybox:local sleep 100)
	kill -9 "$(monitor_of lost)"
	kill -9 "$(field lost .State.Pid)"
	wait_until 10 eval '! ip -o link | grep -q veth'
	mv "$MASU_RUNROOT/containers/$id/live.json" "$BATS_TEST_TMPDIR/"
	run -1 m system check
	[[ "$output" == *"network bridge: 1 addresses are leased to containers that are gone; with --repair "* ]]
	run m system check --repair
	clean
	! ip -o link | grep -q masu0
	! nft list ruleset | grep -q masu0
}

@test "check finds nothing while containers come and go, and harms none" {
	local i pid
	(for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		m_run --rm --name "go$i" -v /data busybox:local true || echo "run $i failed"
	done) >"$BATS_TEST_TMPDIR/runs" 2>&1 &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		m system check --repair >>"$BATS_TEST_TMPDIR/check" 2>&1 || true
	done
	wait "$pid"
	[ "$(cat "$BATS_TEST_TMPDIR/runs")" = "" ]
	[ ! -s "$BATS_TEST_TMPDIR/check" ] || { cat "$BATS_TEST_TMPDIR/check"; false; }
	clean
}

# HOSTILE 44: what the records say when the clock was set by ten years in between.
shift_times() { # file, years
	jq -c --argjson years "$2" 'walk(if type == "string" and test("^2[0-9]{3}-[0-9]{2}-[0-9]{2}T") then
		((.[0:4] | tonumber) + $years | tostring) + .[4:] else . end)' "$1" >"$BATS_TEST_TMPDIR/shifted"
	cat "$BATS_TEST_TMPDIR/shifted" >"$1"
}

@test "a clock that was set by ten years: ages, filters, logs and prune do not break" {
	local id years
	for years in 10 -10; do
		id=$(m_create --name "at$years" busybox:local sh -c 'echo line')
		m start -a "at$years"
		shift_times "$MASU_ROOT/containers/$id/container.json" "$years"
		shift_times "$MASU_ROOT/containers/$id/state.json" "$years"
	done
	run -0 m ps -a --format '{{.Names}} {{.RunningFor}} {{.Status}}'
	[ "${lines[0]}" = "at10 Less than a second ago Exited (0) Less than a second ago" ]
	[[ "${lines[1]}" == "at-10 10 years ago Exited (0) 10 years ago" || "${lines[1]}" == "at-10 9 years ago Exited (0) 9 years ago" ]]
	[ "$(m ps -aq --filter before=at10 | wc -l)" = 1 ]
	[ "$(m logs at10)" = line ]
	[ "$(m logs --since 1h at-10)" = line ]
	m inspect at10 at-10 >/dev/null
	# Started again, they have the time that it is now.
	m start -a at10
	[[ "$(field at10 .State.StartedAt)" == "$(date -u +%Y)"* ]]
	run -0 m container prune -f --filter until=1h
	[ "$(m ps -a --format '{{.Names}}')" = at10 ]
	run -0 m container prune -f --filter "until=$(date -d '+20 years' +%s)"
	[ -z "$(m ps -aq)" ]
	m system check
}
