#!/usr/bin/env bats
# What only a cgroup2 tree has. Also run as cgroup-unified-v2.bats, with nothing but that tree.

load ../lib/cgroup

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
