#!/usr/bin/env bats
# `masu update`: limits of containers that run, that do not, and that have not joined the hierarchy
# which the limit needs.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
}

teardown_file() {
	engine_teardown_file
}

teardown() {
	remove_all
}

up() { # name [option...]
	local name=$1
	shift
	m_run -d --name "$name" "$@" busybox:local sh -c 'trap "exit 0" TERM; while :; do sleep 0.05; done' >/dev/null
}

# limit NAME V1-CONTROLLER/FILE V2-FILE: what the kernel has.
limit() {
	local id=$(field "$1" .Id)
	cat "/sys/fs/cgroup/${2%%/*}$GROUP/$id/${2##*/}" 2>/dev/null || cat "/sys/fs/cgroup$GROUP/$id/$3"
}

# Every process of the container is in (it forks: the two lists are equal in between) the group of the v1 controller $2; fine on cgroup2.
all_inside() { # name, controller
	local id=$(field "$1" .Id) group=/sys/fs/cgroup/$2$GROUP/$(field "$1" .Id)
	[ -d "/sys/fs/cgroup/$2" ] || return 0
	[ "$(sort "$group/cgroup.procs")" = "$(sort "/sys/fs/cgroup/unified$GROUP/$id/cgroup.procs")" ]
}

@test "limits of a running container, those it was started without among them" {
	up one
	run --separate-stderr m update -m 64m --memory-swap 128m --memory-reservation 32m --cpus 0.5 --pids-limit 50 one
	[ "$status" -eq 0 ]
	[ "$output" = one ]
	[ "$(limit one memory/memory.limit_in_bytes memory.max)" = $((64 << 20)) ]
	[ "$(limit one memory/memory.soft_limit_in_bytes memory.low)" = $((32 << 20)) ]
	[ "$(limit one pids/pids.max pids.max)" = 50 ]
	[[ "$(limit one cpu/cpu.cfs_quota_us cpu.max)" == 50000* ]]
	wait_until 5 all_inside one memory
	wait_until 5 all_inside one pids
	[ "$(field one .HostConfig.Memory)" = $((64 << 20)) ]
	[ "$(field one .HostConfig.MemorySwap)" = $((128 << 20)) ]
	[ "$(field one .HostConfig.MemoryReservation)" = $((32 << 20)) ]
	[ "$(field one .HostConfig.NanoCpus)" = 500000000 ]
	[ "$(field one .HostConfig.PidsLimit)" = 50 ]
	# What joined late is as good as what was there from the start.
	run m exec one sh -c 'cat /proc/self/cgroup'
	if [ -d /sys/fs/cgroup/memory ]; then
		[[ "$output" == *":memory:"*"$(field one .Id)"* || "$output" == *":memory:/"$'\n'* ]]
		wait_until 5 all_inside one memory
	fi
	m stop -t 5 one
	m start one
	[ "$(limit one memory/memory.limit_in_bytes memory.max)" = $((64 << 20)) ]
	m rm -f one
	nothing_left
}

@test "a memory limit that is set later holds" {
	# One that does not fork: it would end of the limit on processes before the one that is to.
	m_run -d --name one busybox:local sleep 1000 >/dev/null
	m update -m 16m --memory-swap 16m one 2>"$BATS_TEST_TMPDIR/warning"
	[ ! -d /sys/fs/cgroup/memory ] || grep -q "uses already is not counted" "$BATS_TEST_TMPDIR/warning"
	run m exec one sh -c 'x=$(head -c 64000000 /dev/zero | tr "\0" x); echo ${#x}'
	[ "$status" -eq 137 ]
	m update --pids-limit 8 one
	run m exec one sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait'
	[[ "$output" == *"can't fork"* ]]
	m update --pids-limit -1 one
	[ "$(limit one pids/pids.max pids.max)" = max ]
	m exec one sh -c 'for i in 1 2 3 4 5 6 7 8 9; do true & done; wait'
}

@test "raised and lowered in one go, whatever the order" {
	up one -m 64m
	run m update -m 256m one
	[ "$status" -eq 1 ]
	[[ "$output" == *"Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"* ]]
	[ "$(limit one memory/memory.limit_in_bytes memory.max)" = $((64 << 20)) ]
	m update -m 256m --memory-swap 512m one
	[ "$(limit one memory/memory.limit_in_bytes memory.max)" = $((256 << 20)) ]
	m update -m 32m --memory-swap 64m one
	[ "$(limit one memory/memory.limit_in_bytes memory.max)" = $((32 << 20)) ]
	m update --memory-swap -1 one
	[ "$(field one .HostConfig.MemorySwap)" = -1 ]
	m update --cpu-period 50000 --cpu-quota 25000 one
	[[ "$(limit one cpu/cpu.cfs_quota_us cpu.max)" == 25000* ]]
	m update --cpu-quota -1 one
	[[ "$(limit one cpu/cpu.cfs_quota_us cpu.max)" == -1 || "$(limit one cpu/cpu.cfs_quota_us cpu.max)" == max* ]]
}

@test "shares and cpusets" {
	up one
	m update --cpu-shares 512 --cpuset-cpus 0 --cpuset-mems 0 one
	[[ "$(limit one cpu/cpu.shares cpu.weight)" == 512 || "$(limit one cpu/cpu.shares cpu.weight)" == 5? ]]
	[ "$(limit one cpuset/cpuset.cpus cpuset.cpus)" = 0 ]
	[ "$(m exec one nproc)" = 1 ]
	wait_until 5 all_inside one cpuset
	[ "$(field one .HostConfig.CpusetCpus)" = 0 ]
}

@test "docker's checks, with docker's words; nothing has changed" {
	up one --cpus 0.5
	refused() { # message option...
		local message=$1
		shift
		run m update "$@" one
		[ "$status" -eq 1 ]
		[[ "$output" == *"$message"* ]] || { echo "$output"; return 1; }
	}
	refused "Minimum memory limit allowed is 6MB" -m 4m
	refused "Minimum memoryswap limit should be larger than memory limit" -m 64m --memory-swap 32m
	refused "Minimum memory reservation allowed is 6MB" --memory-reservation 1m
	refused "Minimum memory limit can not be less than memory reservation limit" -m 32m --memory-reservation 64m
	refused "range of CPUs is from 0.01 to" --cpus 4000
	refused "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set" --cpu-quota 20000
	refused "Conflicting options: Nano CPUs and CPU Period cannot both be set" --cpus 1 --cpu-period 50000
	refused "CPU cfs period can not be less than 1ms" --cpu-period 10
	refused "CPU cfs quota can not be less than 1ms" --cpu-quota 10
	refused "Range of blkio weight is from 10 to 1000" --blkio-weight 5
	refused "Requested CPUs are not available - requested 4000, available: " --cpuset-cpus 4000
	refused "Requested memory nodes are not available - requested 4000" --cpuset-mems 4000
	refused "Invalid value 1-x for cpuset cpus" --cpuset-cpus 1-x
	refused "invalid restart policy" --restart sometimes
	refused "you must provide one or more flags when using this command"
	run m update --no-such-option one
	[ "$status" -eq 125 ]
	run --separate-stderr m update --pids-limit 7 nosuch one
	[ "$status" -eq 1 ]
	[ "$output" = one ]
	[[ "$stderr" == *"No such container: nosuch"* ]]
	[ "$(field one .HostConfig.Memory)" = 0 ]
	m_run -d --rm --name gone busybox:local sleep 60 >/dev/null
	run m update --restart always gone
	[ "$status" -eq 1 ]
	[[ "$output" == *"Restart policy cannot be updated because AutoRemove is enabled for the container"* ]]
}

@test "what the kernel refuses is rolled back and not recorded" {
	up one -m 64m --memory-swap 64m
	m exec one sh -c 'head -c 20000000 /dev/zero >/dev/shm/x'
	# Real-time budgets need RT_GROUP_SCHED and a parent that has some.
	run m update -m 48m --memory-swap 48m --cpu-rt-runtime 900000 one
	if [ "$status" -ne 0 ]; then
		[ "$(limit one memory/memory.limit_in_bytes memory.max)" = $((64 << 20)) ]
		[ "$(field one .HostConfig.Memory)" = $((64 << 20)) ]
		[[ "$output" == *"Cannot update container"* ]]
	fi
}

@test "of a container that does not run the record changes; it starts with it, parked or not" {
	m_create --name idle busybox:local sleep 60 >/dev/null
	m update -m 32m --memory-swap 32m --pids-limit 20 idle
	[ "$(field idle .HostConfig.Memory)" = $((32 << 20)) ]
	m start idle
	[ "$(limit idle memory/memory.limit_in_bytes memory.max)" = $((32 << 20)) ]
	m stop -t 0 idle
	m update --pids-limit 30 idle
	m start idle
	[ "$(limit idle pids/pids.max pids.max)" = 30 ]
	m pause idle
	m update --pids-limit 40 idle
	[ "$(limit idle pids/pids.max pids.max)" = 40 ]
	status_is idle paused
}

@test "a container that forks all the time is moved as a whole, and joins only what it needs" {
	m_run -d --name busy busybox:local sh -c 'while :; do (true; (true) & true) & true; sleep 0.001; done' >/dev/null
	m update --memory-reservation 100m busy
	m pause busy # so that the lists hold still
	[ ! -d /sys/fs/cgroup/memory ] || [ -z "$(comm -13 <(sort "/sys/fs/cgroup/memory$GROUP/$(field busy .Id)/cgroup.procs") \
		<(sort "/sys/fs/cgroup/unified$GROUP/$(field busy .Id)/cgroup.procs"))" ]
	[ ! -d "/sys/fs/cgroup/pids$GROUP/$(field busy .Id)" ]
	m rm -f busy
	nothing_left
}

@test "exec and update at once: no process stays outside" {
	up one
	local i
	for i in $(seq 15); do
		m exec -d one sleep 60
	done &
	m update --memory-reservation 50m one 2>/dev/null
	m update --pids-limit 100 one
	wait
	wait_until 5 all_inside one memory
	wait_until 5 all_inside one pids
}

@test "a container that ends while it is updated, and one killed at any point of the update, leave nothing" {
	local i call n
	for i in 1 2 3 4 5; do
		m_run -d --rm --name short busybox:local sleep 0.1 >/dev/null
		m update --pids-limit 10 --memory-reservation 64m short 2>/dev/null || true
		wait_until 5 gone short
	done
	wait_until 5 nothing_left
	for call in mkdirat openat write renameat rename; do
		for n in $(seq 1 3 60); do
			up one
			timeout 60 strace -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$n" "$MASU" \
				update --pids-limit 10 --memory-reservation 64m one >/dev/null 2>&1 3>&- 4>&- && n=done
			status_is one running
			m exec one true
			[ "$(field one .HostConfig.PidsLimit)" = 10 ] || [ "$(field one .HostConfig.PidsLimit)" = 0 ] ||
				[ "$(field one .HostConfig.PidsLimit)" = null ]
			m update --pids-limit 11 one
			[ "$(limit one pids/pids.max pids.max)" = 11 ]
			m rm -f one >/dev/null
			[ "$n" != done ] || break
		done
	done
	nothing_left
}

@test "a restart policy given to a running container applies to its next end, and can be taken back" {
	m_run -d --name one busybox:local sh -c 'while :; do [ ! -e /tmp/go ] || { rm /tmp/go; exit 3; }; sleep 0.05; done' >/dev/null
	m update --restart always one
	[ "$(field one .HostConfig.RestartPolicy.Name)" = always ]
	m exec one touch /tmp/go
	started_again() { [ "$(field one .RestartCount)" = 1 ] && status_is one running; }
	wait_until 10 started_again
	m update --restart no one
	m exec one touch /tmp/go
	wait_until 10 status_is one exited
	[ "$(field one .State.ExitCode)" = 3 ]
	# on-failure with a bound, of a container that does not run.
	m update --restart on-failure:2 one
	[ "$(field one .HostConfig.RestartPolicy.MaximumRetryCount)" = 2 ]
	m rm -f one
}
