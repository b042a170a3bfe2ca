#!/usr/bin/env bats
# Control groups seen from outside: what a container of `masu oci` gets, and what is left after it.
# Also run as cgroup-v1.bats and cgroup-v2.bats.

load ../lib/cgroup

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
