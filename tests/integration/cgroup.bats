#!/usr/bin/env bats
# Control groups seen from outside: what a container of `masu oci` gets, and what is left after it.
# Also run as cgroup-v1.bats and cgroup-v2.bats: a hybrid machine has the other two layouts in it, and
# this file has a mount namespace of its own.

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

until_true() { # command: tried for five seconds
	for _ in $(seq 250); do
		! "$@" || return 0
		sleep 0.02
	done
	return 1
}

@test "a container is in its own group of every hierarchy that is mounted, and leaves none" {
	command_is 'cat /proc/self/cgroup'
	config 'del(.linux.namespaces[] | select(.type == "cgroup"))'
	run masu run --bundle "$bundle" "$name"
	[ "$status" -eq 0 ]
	for dir in $(hierarchies); do
		list=${dir#/sys/fs/cgroup}
		list=${list#/}
		case $list in
		'' | unified) list= ;;
		systemd) list=name=systemd ;;
		esac
		[[ $'\n'"$output"$'\n' == *":$list:$PARENT/$name"$'\n'* ]]
	done
	[ -z "$(left)" ]
}

@test "limits are in force, and update changes them both ways" {
	has_v1 memory || skip "reads v1 files"
	command_is 'sleep 100'
	config '.linux.resources += {"memory": {"limit": 67108864, "swap": 134217728},
		"cpu": {"shares": 512, "quota": 50000, "period": 100000}, "pids": {"limit": 33}}'
	start
	[ "$(group_file memory memory.limit_in_bytes)" = 67108864 ]
	[ "$(group_file memory memory.memsw.limit_in_bytes)" = 134217728 ]
	[ "$(group_file cpu cpu.shares)" = 512 ]
	[ "$(group_file cpu cpu.cfs_quota_us)" = 50000 ]
	[ "$(group_file pids pids.max)" = 33 ]
	masu update --memory 268435456 --memory-swap 536870912 --cpu-quota 20000 --cpu-period 50000 --pids-limit -1 "$name"
	[ "$(group_file memory memory.limit_in_bytes)" = 268435456 ]
	[ "$(group_file memory memory.memsw.limit_in_bytes)" = 536870912 ]
	[ "$(group_file cpu cpu.cfs_period_us)" = 50000 ]
	[ "$(group_file pids pids.max)" = max ]
	masu update --memory 33554432 --memory-swap 33554432 "$name"
	[ "$(group_file memory memory.memsw.limit_in_bytes)" = 33554432 ]
	run masu update --memory 67108864 --memory-swap 33554432 "$name"
	[ "$status" -ne 0 ]
	[[ "$output" == *"memory.swap"* ]]
}

@test "HOSTILE 38: a fork bomb is held at its limit, and one kill ends it" {
	needs pids
	command_is '(while :; do sleep 100 & done); sleep 100'
	config '.linux.resources.pids.limit = 64'
	start
	at_limit() { [ "$(group_file pids pids.current)" -ge 60 ]; }
	until_true at_limit
	[ "$(group_file pids pids.current)" -le 64 ]
	masu delete --force "$name"
	[ -z "$(left)" ]
}

@test "HOSTILE 39: out of memory ends the process with 137, and the host goes on" {
	needs memory
	command_is 'exec tail /dev/zero'
	config '.linux.resources.memory = {"limit": 16777216, "swap": 16777216}'
	run masu run --bundle "$bundle" "$name"
	[ "$status" -eq 137 ]
	[ -z "$(left)" ]
}

@test "devices: denied but for the usual ones, allowed where the rules say so" {
	command_is 'mknod /dev/k c 1 11; dd if=/dev/k of=/dev/null bs=1 count=0 2>&1; echo >/dev/null && echo fine'
	config '.process.capabilities[] += ["CAP_MKNOD", "CAP_SYSLOG"]'
	run masu run --bundle "$bundle" "$name"
	[ "$status" -eq 0 ]
	[[ "$output" == *"not permitted"*fine* ]]
	rm -f "$ROOTFS/dev/k"
	config '.linux.resources.devices += [{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]'
	run masu run --bundle "$bundle" "$name"
	[ "$status" -eq 0 ]
	[[ "$output" != *"not permitted"* ]]
}

@test "the cgroup mount shows the own group, read-only, without a release agent" {
	for ns in true false; do
		command_is '
			find /sys/fs/cgroup -name release_agent
			for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do mkdir $d/x 2>/dev/null && echo made $d; done
			mount -o remount,rw /sys/fs/cgroup 2>/dev/null && echo remounted
			grep -c . $(find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs | head -n 1)'
		config 'del(.linux.namespaces[] | select(.type == "cgroup"))
			| .mounts |= map(select(.type != "cgroup"))
			| .mounts += [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
				"options": ["nosuid", "noexec", "nodev"]}]'
		! $ns || config '.linux.namespaces += [{"type": "cgroup"}]'
		run masu run --bundle "$bundle" "$name"
		[ "$status" -eq 0 ]
		[ "${#lines[@]}" -eq 1 ] # no agent, nothing made
		[ "${lines[0]}" -ge 1 ]
		[ "${lines[0]}" -le 5 ] # its own processes only
	done
}

@test "a cgroup mount with rw is the container's to use" {
	command_is 'for d in /sys/fs/cgroup /sys/fs/cgroup/unified; do [ ! -e $d/cgroup.events ] || mkdir $d/sub && echo made; done'
	config '.mounts |= map(select(.type != "cgroup")) | .linux.namespaces |= (map(select(.type != "cgroup")) + [{"type": "cgroup"}])
		| .mounts += [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]}]'
	run masu run --bundle "$bundle" "$name"
	[ "$status" -eq 0 ]
	[[ "$output" == *made* ]]
	[ -z "$(left)" ] # and what it made goes with it
}

@test "pause holds every process until resume, and a paused container can be removed" {
	command_is 'while :; do date +%s%N >/tmp/tick; done'
	start
	until_true test -s "$ROOTFS/tmp/tick"
	masu pause "$name"
	[ "$(masu state "$name" | jq -r .status)" = paused ]
	before=$(cat "$ROOTFS/tmp/tick")
	sleep 0.1
	[ "$(cat "$ROOTFS/tmp/tick")" = "$before" ]
	masu resume "$name"
	ticks() { [ "$(cat "$ROOTFS/tmp/tick")" != "$before" ]; }
	until_true ticks
	masu pause "$name"
	masu delete --force "$name"
	[ -z "$(left)" ]
}

@test "a group with processes in it is refused by name, an empty one is used" {
	command_is 'sleep 100'
	start
	run masu run --bundle "$bundle" "$name-second"
	[ "$status" -ne 0 ]
	[[ "$output" == *"$PARENT/$name"*"processes"* ]]
	masu delete --force "$name"
	for tree in $(hierarchies); do
		mkdir -p "$tree$PARENT/$name"
	done
	command_is 'echo ran'
	run masu run --bundle "$bundle" "$name"
	[ "$output" = ran ]
	[ -z "$(left)" ]
}

@test "bad paths and limits that the machine has not are refused by name" {
	for path in ../x /a/../../x / /a/$'\\n'b; do
		config ".linux.cgroupsPath = \"$path\""
		run masu run --bundle "$bundle" "$name"
		[ "$status" -ne 0 ]
		[[ "$output" == *"cgroup path"* ]]
	done
	config ".linux.cgroupsPath = \"$PARENT/$name\" | .linux.resources.rdma = {\"mlx\": {\"hcaHandles\": 3}}"
	if ! grep -q rdma /proc/cgroups; then
		run masu run --bundle "$bundle" "$name"
		echo "$output"
		[ "$status" -ne 0 ]
		[[ "$output" == *'linux.resources.rdma'*'"rdma"'* ]]
	fi
	[ -z "$(left)" ]
}

@test "exec joins the container's groups, or one below that is named" {
	command_is 'sleep 100'
	start
	masu exec "$name" cat /proc/self/cgroup >"$bundle/groups"
	! unified || mkdir "$unified$PARENT/$name/below"
	if has_v1 pids; then
		mkdir "/sys/fs/cgroup/pids$PARENT/$name/below"
		masu exec --cgroup pids:below "$name" sh -c 'sleep 100 >/dev/null 2>&1 &'
		[ "$(wc -l <"/sys/fs/cgroup/pids$PARENT/$name/below/cgroup.procs")" -eq 1 ]
	fi
	run masu exec --cgroup nothing "$name" true
	[ "$status" -ne 0 ]
	[[ "$output" == *nothing* ]]
	run masu exec --cgroup ../.. "$name" true
	[ "$status" -ne 0 ]
}

@test "exec follows an init that handed its controllers on" {
	unified && grep -q hugetlb $unified/cgroup.controllers || skip "needs a free cgroup2 controller"
	command_is 'sleep 100'
	config '.linux.resources.hugepageLimits = [{"pageSize": "2MB", "limit": 4194304}]'
	start
	group=$unified$PARENT/$name
	mkdir "$group/init"
	masu state "$name" | jq -r .pid >"$group/init/cgroup.procs"
	echo +hugetlb >"$group/cgroup.subtree_control"
	masu exec --detach "$name" sleep 100
	[ "$(wc -l <"$group/init/cgroup.procs")" -eq 2 ]
	masu delete --force "$name"
	[ -z "$(left)" ]
}

@test "the group belongs to the user of a user namespace who may write it, else to root" {
	unified || skip "cgroup2 only"
	command_is 'sleep 100'
	maps='[{"containerID": 0, "hostID": 100000, "size": 65536}]'
	for options in '["rw"]' '["ro"]'; do
		config ".linux.namespaces |= (map(select(.type != \"cgroup\" and .type != \"user\")) + [{\"type\": \"cgroup\"}, {\"type\": \"user\"}])
			| .linux.uidMappings = $maps | .linux.gidMappings = $maps
			| .mounts |= map(select(.type != \"cgroup\" and .destination != \"/sys\"))
			| .mounts += [{\"destination\": \"/sys/fs/cgroup\", \"type\": \"cgroup\", \"source\": \"cgroup\", \"options\": $options}]"
		mkdir -p "$ROOTFS/sys/fs/cgroup"
		masu run --detach --bundle "$bundle" "$name" >"$bundle/out" 2>&1 </dev/null 3>&- || { cat "$bundle/out"; false; }
		group=$unified$PARENT/$name
		owner=$(stat -c %u "$group" "$group/cgroup.procs" "$group/cgroup.freeze" | tr '\n' ' ')
		masu delete --force "$name"
		if [ "$options" = '["rw"]' ]; then
			[ "$owner" = "100000 100000 0 " ]
		else
			[ "$owner" = "0 0 0 " ]
		fi
	done
}
