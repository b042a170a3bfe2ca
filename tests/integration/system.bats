#!/usr/bin/env bats
# masu info and masu system: what the machine is, and what is wrong with what masu keeps.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
}

teardown_file() {
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
