#!/usr/bin/env bats
# What options make of a container: process, mounts, volumes, limits, security.

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
	rm -rf "$MASU_ROOT"/volumes/*
}

@test "environment: docker's defaults, the image's, then the options'" {
	run m_run --rm --hostname box -e A=1 -e FROM_IMAGE=no busybox:local env
	[[ "$output" == *"HOSTNAME=box"* && "$output" == *"A=1"* && "$output" == *"FROM_IMAGE=no"* ]]
	[[ "$output" == *"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"* ]]
	[[ "$output" == *"HOME=/root"* ]]
	[[ "$output" != *"TERM="* ]]
}

@test "user by name, number and group; supplementary groups" {
	run m_run --rm -u bob busybox:local sh -c 'id; cd; echo $HOME'
	[[ "${lines[0]}" == "uid=1000(bob) gid=100(users) groups=10(wheel)"* ]]
	run m_run --rm -u 1000:wheel busybox:local id
	[[ "$output" == "uid=1000(bob) gid=10(wheel)"* ]]
	run m_run --rm -u 4242 --group-add wheel --group-add 77 busybox:local id
	[[ "$output" == "uid=4242 gid=0(root) groups="*"10(wheel)"*"77"* ]]
	run -125 m_run --rm -u nosuch busybox:local id
	[[ "$output" == *"unable to find user nosuch"* ]]
	for user in -1 2147483648 4294967296 "bob:4294967296"; do
		run -125 m_run --rm -u "$user" busybox:local id
	done
}

@test "a missing working directory is made; a relative one is refused" {
	run m_run --rm -w /a/b/c busybox:local pwd
	[ "$output" = /a/b/c ]
	run -125 m_run --rm -w relative busybox:local pwd
	[[ "$output" == *relative* ]]
}

@test "entrypoint and command" {
	run m_run --rm --entrypoint echo busybox:local a b
	[ "$output" = "a b" ]
	run -125 m_run --rm --entrypoint "" busybox:local
	[[ "$output" == *"no command"* ]]
}

@test "a bind mount: missing sources are made for -v and refused for --mount" {
	m_run --rm -v "$BATS_TEST_TMPDIR/made:/b" busybox:local sh -c 'echo x >/b/file'
	[ "$(cat "$BATS_TEST_TMPDIR/made/file")" = x ]
	run m_run --rm -v "$BATS_TEST_TMPDIR/made:/b:ro" busybox:local sh -c 'cat /b/file; echo y >/b/file'
	[ "$status" -ne 0 ]
	[[ "$output" == x*"Read-only"* ]]
	run -125 m_run --rm --mount "type=bind,source=$BATS_TEST_TMPDIR/absent,target=/b" busybox:local true
	[[ "$output" == *"bind source path does not exist"* ]]
	[ ! -e "$BATS_TEST_TMPDIR/absent" ]
}

@test "a named volume is filled from the image once, with its owner" {
	run m_run --rm -v vol:/data busybox:local sh -c 'cat /data/hello; stat -c %u:%g /data; rm /data/hello; echo kept >/data/new'
	[ "${lines[0]}" = "from the image" ]
	[ "${lines[1]}" = 1000:100 ]
	run m_run --rm -v vol:/data busybox:local ls /data
	[ "$output" = new ]
	[ -d "$MASU_ROOT/volumes/vol" ]
}

@test "anonymous volumes go with --rm and rm -v, and only then" {
	m_run --rm -v /anon busybox:local touch /anon/x
	[ -z "$(ls "$MASU_ROOT/volumes")" ]
	m_run --name keeps -v /anon busybox:local touch /anon/x
	m rm keeps
	[ "$(ls "$MASU_ROOT/volumes" | wc -l)" -eq 1 ]
	m_run --name drops -v /anon busybox:local touch /anon/x
	m rm -v drops
	[ "$(ls "$MASU_ROOT/volumes" | wc -l)" -eq 1 ]
	# A named one stays in any case.
	m_run --name named -v vol:/data busybox:local true
	m rm -v named
	[ -d "$MASU_ROOT/volumes/vol" ]
}

@test "volumes-from shares another container's volumes" {
	m_create --name source -v shared:/data -v "$BATS_TEST_TMPDIR:/host" busybox:local true
	run m_run --rm --volumes-from source busybox:local ls / /data
	[[ "$output" == *host* && "$output" == *hello* ]]
	run m_run --rm --volumes-from source:ro busybox:local touch /data/x
	[ "$status" -ne 0 ]
}

@test "tmpfs, shm-size and a read-only root" {
	run m_run --rm --read-only --tmpfs /scratch:size=1m --shm-size 2m busybox:local \
		sh -c 'touch /x; touch /scratch/x && echo scratch; df -k /scratch /dev/shm | awk "{print \$2}"'
	[[ "$output" == *"Read-only"* && "$output" == *scratch*1024*2048* ]]
}

@test "limits reach the cgroup and the process" {
	run m_run --rm --pids-limit 8 busybox:local sh -c 'for i in $(seq 20); do sleep 1 & done; wait'
	[[ "$output" == *"fork"* ]]
	run m_run --rm --ulimit nofile=100:200 busybox:local sh -c 'ulimit -Sn; ulimit -Hn'
	[ "${lines[0]}" = 100 ]
	[ "${lines[1]}" = 200 ]
	run -125 m_run --rm --memory 1m busybox:local true
	[[ "$output" == *"6MB"* ]]
}

@test "docker's fourteen capabilities and its seccomp filter, or what was asked for" {
	run m_run --rm busybox:local grep -E '^(Cap|Seccomp:|NoNew)' /proc/self/status
	[[ "${lines[0]}" == CapInh:*0000000000000000 ]]
	[[ "${lines[1]}" == CapPrm:*00000000a80425fb ]]
	[[ "${lines[3]}" == CapBnd:*00000000a80425fb ]]
	[[ "$output" == *$'NoNewPrivs:\t0'* ]]
	[[ "$output" == *$'Seccomp:\t2'* ]]
	run m_run --rm --cap-drop ALL --cap-add NET_RAW --security-opt no-new-privileges busybox:local \
		grep -E '^(CapBnd|NoNew)' /proc/self/status
	[[ "${lines[0]}" == *0000000000002000 ]]
	[[ "${lines[1]}" == *1 ]]
	run m_run --rm --security-opt seccomp=unconfined busybox:local grep Seccomp: /proc/self/status
	[[ "$output" == *0 ]]
	run -125 m_run --rm --cap-add NOSUCH busybox:local true
	[[ "$output" == *NOSUCH* ]]
	run -125 m_run --rm --security-opt nosuch=1 busybox:local true
	[[ "$output" == *nosuch* ]]
}

@test "masked and read-only paths; privileged has neither" {
	run m_run --rm busybox:local sh -c 'wc -c </proc/keys; ls /proc/scsi /sys/firmware; echo x >/proc/sys/kernel/panic'
	[ "${lines[0]}" = 0 ]
	[[ "$output" == *"Read-only"* ]]
	run m_run --rm --privileged busybox:local sh -c 'ls /sys/firmware | wc -l; mount | grep "on /sys " | grep -c rw,'
	[ "${lines[1]}" = 1 ]
}

@test "sysctls of its own namespaces only" {
	run m_run --rm --sysctl net.ipv4.ip_forward=1 busybox:local cat /proc/sys/net/ipv4/ip_forward
	[ "$output" = 1 ]
	run -125 m_run --rm --sysctl kernel.panic=1 busybox:local true
	[[ "$output" == *"kernel.panic"* ]]
	NETWORK=host run -125 m_run --rm --sysctl net.ipv4.ip_forward=1 busybox:local true
	[[ "$output" == *"net.ipv4.ip_forward"* ]]
}

@test "devices" {
	run m_run --rm --device /dev/zero:/dev/mine:r busybox:local sh -c 'head -c 3 /dev/mine | wc -c'
	[ "$output" = 3 ]
	run -125 m_run --rm --device /dev/nosuch busybox:local true
	[[ "$output" == *"/dev/nosuch"* ]]
}

@test "namespaces are shared where asked for" {
	m_run -d --name base busybox:local sleep 60 >/dev/null
	NETWORK=container:base run m_run --rm --pid container:base busybox:local sh -c 'hostname; ps | grep -c "sleep 60"'
	[ "${lines[0]}" = "$(field base .Config.Hostname)" ] || [ "${lines[0]}" = "$(field base .Id | cut -c1-12)" ]
	[ "${lines[1]}" -ge 1 ]
	NETWORK=host run m_run --rm busybox:local sh -c 'readlink /proc/self/ns/net'
	[ "$output" = "$(readlink /proc/self/ns/net)" ]
	NETWORK=container:nosuch run -125 m_run --rm busybox:local true
	[[ "$output" == *nosuch* ]]
}

@test "what is not supported is refused by name" {
	run -125 m_run --rm --network nosuch busybox:local true
	[[ "$output" == *"nosuch not found"* ]]
	run -125 m_run --rm --runtime nosuch busybox:local true
	[[ "$output" == *nosuch* ]]
}

@test "inspect is docker's document" {
	m_run --name full -e A=1 -v vol:/data -l k=v --memory 32m busybox:local true
	m inspect full | jq -e '.[0] | (.Name == "/full") and (.State.Status == "exited")
		and (.Config.Labels.k == "v") and (.HostConfig.Memory == 33554432)
		and (.Mounts[0].Type == "volume") and (.Mounts[0].Name == "vol") and (.Path == "true")
		and (.Image | startswith("sha256:")) and (.HostConfig.NetworkMode == "none")
		and (.NetworkSettings.Networks | has("none"))'
}
