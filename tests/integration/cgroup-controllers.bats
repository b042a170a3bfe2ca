#!/usr/bin/env bats
# What needs the memory and pids controllers. A controller is in one hierarchy at a time, and on a hybrid
# machine these are in the machine's own v1 ones: so this is also run as cgroup-controllers-v1.bats.

load ../lib/cgroup

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
