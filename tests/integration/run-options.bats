#!/usr/bin/env bats
# Options of run and create that reach beyond the container's own files: block devices, exposed ports,
# and what /proc tells.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	# lxcfs answers by cgroup, and its mount is where Debian's service puts it: this host's own.
	mkdir -p /var/lib/lxcfs "$BATS_FILE_TMPDIR/lxcfs"
	mount --bind "$BATS_FILE_TMPDIR/lxcfs" /var/lib/lxcfs
	lxcfs -f --enable-cfs /var/lib/lxcfs >"$BATS_FILE_TMPDIR/lxcfs.log" 2>&1 3>&- 4>&- &
	echo $! >"$BATS_FILE_TMPDIR/lxcfs.pid"
	wait_until 50 test -e /var/lib/lxcfs/proc/meminfo
}

teardown_file() {
	engine_teardown_file
	kill "$(cat "$BATS_FILE_TMPDIR/lxcfs.pid")"
	umount /var/lib/lxcfs 2>/dev/null || true
}

teardown() {
	remove_all
}

# tries, command: until it succeeds, a tenth of a second in between.
wait_until() {
	local tries=$1
	shift
	until "$@"; do
		[ $((tries--)) -gt 0 ] || return 1
		sleep 0.1
	done
}

a_disk() {
	lsblk -dnpo NAME,TYPE | awk '$2 == "disk" { print $1; exit }'
}

@test "--device-read-bps and its kin reach the block I/O group and inspect" {
	disk=$(a_disk)
	[ -b "$disk" ] || skip "a block device"
	number=$(lsblk -dno MAJ:MIN "$disk" | tr -d ' ')
	id=$(m_run -d --device-read-bps "$disk:1mb" --device-write-bps "$disk:2097152" \
		--device-read-iops "$disk:100" --device-write-iops "$disk:200" busybox:local sleep 100)
	[ "$(field "$id" .HostConfig.BlkioDeviceReadBps)" = "$(jq -n --arg d "$disk" '[{Path: $d, Rate: 1048576}]')" ]
	[ "$(field "$id" '.HostConfig.BlkioDeviceWriteIOps[0].Rate')" = 200 ]
	group=$(sed -n 's/^[0-9]*:blkio://p' "/proc/$(field "$id" .State.Pid)/cgroup")
	if [ -n "$group" ]; then
		[ "$(cat "/sys/fs/cgroup/blkio$group/blkio.throttle.read_bps_device")" = "$number 1048576" ]
		[ "$(cat "/sys/fs/cgroup/blkio$group/blkio.throttle.write_bps_device")" = "$number 2097152" ]
		[ "$(cat "/sys/fs/cgroup/blkio$group/blkio.throttle.read_iops_device")" = "$number 100" ]
		[ "$(cat "/sys/fs/cgroup/blkio$group/blkio.throttle.write_iops_device")" = "$number 200" ]
	else
		group=$(sed -n 's/^0:://p' "/proc/$(field "$id" .State.Pid)/cgroup")
		grep "^$number rbps=1048576 wbps=2097152 riops=100 wiops=200" "/sys/fs/cgroup$group/io.max"
	fi
}

@test "limits of block devices in any other form are refused with docker's words" {
	run -125 m_create --device-read-bps sda:1mb busybox:local true
	[[ "$output" == *"bad format for device path: sda:1mb"* ]]
	run -125 m_create --device-read-bps /dev/sda busybox:local true
	[[ "$output" == *"bad format: /dev/sda"* ]]
	run -125 m_create --device-write-bps /dev/sda:fast busybox:local true
	[[ "$output" == *"invalid rate for device: /dev/sda:fast. The correct format is <device-path>:<number>[<unit>]"* ]]
	run -125 m_create --device-read-iops /dev/sda:1mb busybox:local true
	[[ "$output" == *"invalid rate for device: /dev/sda:1mb. The correct format is <device-path>:<number>. "* ]]
	run -125 m_create --blkio-weight-device /dev/sda:5 busybox:local true
	[[ "$output" == *"invalid weight for device: /dev/sda:5"* ]]
	run -125 m_run --rm --device-read-bps /dev/null:1 busybox:local true
	[[ "$output" == *"/dev/null"* ]]
	run -125 m_run --rm --device-read-bps /dev/nosuch:1 busybox:local true
	[[ "$output" == *"/dev/nosuch"*"No such file"* ]]
	nothing_left
}

@test "--expose takes ranges, and -P publishes every exposed port that -p does not" {
	id=$(NETWORK=bridge m_run -d --expose 8000-8001 --expose 53/udp -p 127.0.0.1:18001:8001 -P \
		busybox:local sleep 100)
	[ "$(field "$id" '.Config.ExposedPorts | keys | join(" ")')" = "53/udp 8000/tcp 8001/tcp" ]
	[ "$(field "$id" .HostConfig.PublishAllPorts)" = true ]
	[ "$(field "$id" '.HostConfig.PortBindings | keys | join(" ")')" = "8001/tcp" ]
	[ "$(field "$id" '.NetworkSettings.Ports["8001/tcp"][0].HostPort')" = 18001 ]
	tcp=$(field "$id" '.NetworkSettings.Ports["8000/tcp"][0].HostPort')
	udp=$(field "$id" '.NetworkSettings.Ports["53/udp"][0].HostPort')
	[ "$tcp" -ge 1024 ] && [ "$udp" -ge 1024 ]
	m exec -d "$id" sh -c 'while :; do echo served | nc -l -p 8000; done'
	served() { [ "$(nc -w 1 127.0.0.1 "$tcp" </dev/null)" = served ]; }
	wait_until 30 served
}

@test "--proc=limits: meminfo, cpuinfo, online and nproc tell the limits; exec sees the same" {
	id=$(m_run -d --proc=limits --memory 64m --cpus 1 busybox:local sleep 100)
	[ "$(m exec "$id" awk '/MemTotal/ { print $2 }' /proc/meminfo)" = 65536 ]
	[ "$(m exec "$id" nproc)" = 1 ]
	[ "$(m exec "$id" grep -c ^processor /proc/cpuinfo)" = 1 ]
	[ "$(m exec "$id" grep -c '^cpu[0-9]' /proc/stat)" = 1 ]
	# A cpuset list of one CPU.
	[[ "$(m exec "$id" cat /sys/devices/system/cpu/online)" =~ ^[0-9]+$ ]]
	read -r up _ < <(m exec "$id" cat /proc/uptime)
	[ "${up%.*}" -lt 100 ]
	[ "$(field "$id" .HostConfig.ProcLimits)" = true ]
	[ -z "$(field "$id" '.HostConfig.CpusetCpus // ""')" ]
}

@test "--proc=limits: nproc, free and top of Debian agree with it" {
	id=$(m_run -d --proc=limits --memory 64m --cpus 1 -v /usr:/usr:ro -v /lib:/lib:ro -v /lib64:/lib64:ro \
		busybox:local sleep 100)
	[ "$(m exec "$id" /usr/bin/free -k | awk '/Mem:/ { print $2 }')" = 65536 ]
	[ "$(m exec "$id" /usr/bin/nproc)" = 1 ]
	m exec -e TERM=dumb "$id" /usr/bin/top -bn1 -E k | grep -q 'KiB Mem : *65536'
	[ "$(m exec "$id" /usr/bin/getconf _NPROCESSORS_ONLN)" = 1 ]
}

@test "--proc=host and none: the machine's own" {
	total=$(awk '/MemTotal/ { print $2 }' /proc/meminfo)
	for option in --proc=host --init=false; do
		run m_run --rm $option --memory 64m busybox:local awk '/MemTotal/ { print $2 }' /proc/meminfo
		[ "$output" = "$total" ]
	done
	run -125 m_create --proc=container busybox:local true
	[[ "$output" == *'--proc: invalid value "container": it is "host" or "limits"'* ]]
}

@test "--proc=limits without lxcfs is refused, and names it" {
	run unshare -m sh -c 'umount -l /var/lib/lxcfs; exec "$@"' sh \
		"$MASU" create --network none --proc=limits busybox:local true
	[ "$status" -eq 125 ]
	[[ "$output" == *"needs lxcfs"*"/var/lib/lxcfs"* ]]
	nothing_left
}

@test "what docker has for other machines is refused by name" {
	run -125 m_create --gpus all busybox:local true
	[[ "$output" == *"--gpus is not supported"* ]]
	run -125 m_create --isolation hyperv busybox:local true
	[[ "$output" == *'invalid isolation "hyperv" on linux'* ]]
	run -125 m_create --disable-content-trust=false busybox:local true
	[[ "$output" == *"content trust"* ]]
	run -125 m_create --link-local-ip 169.254.1.2 busybox:local true
	[[ "$output" == *"--link-local-ip"* ]]
	m_create --isolation default --disable-content-trust busybox:local true
}

@test "--ipc host: the host's namespace, its queues also where it has them mounted nowhere" {
	run -0 m_run --rm --ipc host busybox:local sh -c 'readlink /proc/self/ns/ipc; grep -c " /dev/mqueue mqueue" /proc/mounts'
	[ "${lines[0]}" = "$(readlink /proc/self/ns/ipc)" ]
	[ "${lines[1]}" = 1 ]
}
