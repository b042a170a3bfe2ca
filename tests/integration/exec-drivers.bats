# The same life of a container, whoever makes it: every test for each exec driver that is not native.
bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	oracle_crun_ready
	export DRIVERS=${DRIVERS:-"oci:crun oci:runc lxc"}
}
teardown_file() { engine_teardown_file; }
setup() { cd "$BATS_TEST_TMPDIR"; }
teardown() { remove_all; }

each() { # function
	local driver
	for driver in $DRIVERS; do
		echo "# with $driver"
		"$1" "$driver" || { echo "failed with $driver"; return 1; }
		remove_all
	done
}

run_and_end() {
	local out
	out=$(m_run --rm --exec "$1" -e WHO=me -w /tmp -u bob busybox:local sh -c 'echo "$WHO $PWD $(id -un) $$"; echo wrong >&2; exit 5' 2>err)
	[ $? = 5 ] && [ "$out" = "me /tmp bob 1" ] && [ "$(cat err)" = wrong ] || return 1
	m_run --rm --exec "$1" busybox:local nope 2>err
	[ $? = 127 ] && grep -q nope err || return 1
	[ "$(echo words | m_run --rm -i --exec "$1" busybox:local cat)" = words ] || return 1
	nothing_left
}
@test "run: output, environment, directory, user, exit status; nothing is left" { each run_and_end; }

life() {
	m_run -d --name life --exec "$1" --memory 64m busybox:local sh -c 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.1; done'
	[ "$(field life .HostConfig.Runtime)" = "$1" ] && status_is life running || return 1
	wait_until 5 logged life up || return 1
	m pause life && status_is life paused && m unpause life && status_is life running || return 1
	local out
	out=$(m exec life sh -c 'echo in; exit 6')
	[ $? = 6 ] && [ "$out" = in ] || return 1
	[ "$(m exec -u bob -e A=b -w /data life sh -c 'echo "$(id -un) $A $PWD"')" = "bob b /data" ] || return 1
	m stop life && status_is life exited && [ "$(field life .State.ExitCode)" = 3 ] && logged life bye || return 1
	m start life && status_is life running && m restart life && status_is life running || return 1
	m kill life && [ "$(field life .State.ExitCode)" = 137 ] || return 1
	m create --name later --network none --cgroup-parent "$GROUP" --exec "$1" busybox:local echo once >/dev/null
	[ "$(m start -a later)" = once ] && [ "$(m start -a later)" = once ] && [ "$(m logs later | wc -l)" = 2 ] || return 1
	m rm life later && nothing_left
}
@test "create, start, pause, exec, stop, restart, kill, logs, rm" { each life; }

# The words that a terminal adds, "\r", tell that there was one.
terminal() {
	[ "$(m_run --rm -t --exec "$1" busybox:local sh -c 'tty; stty size' | head -n 1)" = $'/dev/pts/0\r' ] || return 1
	m_run -d --name tt --exec "$1" busybox:local sleep 100 >/dev/null
	[[ "$(m exec -t tt tty)" == /dev/pts/*$'\r' ]] || return 1
	m exec -d tt sh -c 'echo behind >/tmp/behind' && wait_until 5 m exec tt test -s /tmp/behind
}
@test "terminals, of run and of exec, and exec -d" { each terminal; }

files() {
	mkdir -p host && echo mine >host/file
	m_run -d --name files --exec "$1" -v vol:/data -v "$PWD/host:/host:ro" --tmpfs /scratch busybox:local sleep 100 >/dev/null
	[ "$(m exec files cat /data/hello /host/file)" = "$(printf 'from the image\nmine')" ] || return 1
	! m exec files sh -c 'echo x >/host/file' 2>/dev/null || return 1
	m exec files sh -c 'echo new >/made; df /scratch | grep -q tmpfs' || return 1
	[ "$(m cp files:/made - | tar -xO)" = new ] && m diff files | grep -qx 'A /made' || return 1
	m rm -f files >/dev/null && m volume rm vol >/dev/null
}
@test "volumes, binds, tmpfs, cp, diff" { each files; }

net() {
	m_run -d --name net --network bridge --exec "$1" -p 127.0.0.1:8099:80 busybox:local sh -c 'while :; do echo page | nc -l -p 80; done' >/dev/null
	wait_until 5 page || return 1
	[[ "$(m port net)" == "80/tcp -> 127.0.0.1:8099" ]] || return 1
	m exec net cat /etc/hosts | grep -q "$(field net .NetworkSettings.IPAddress)"
}
page() { nc -w 1 127.0.0.1 8099 </dev/null 2>/dev/null | grep -qx page; }
@test "the bridge and a published port" { each net; }

limits() {
	m_run --name oom --exec "$1" --memory 16m --memory-swap 16m busybox:local tail /dev/zero
	[ $? = 137 ] && [ "$(field oom .State.OOMKilled)" = true ] || return 1
	[ "$(m_run --rm --exec "$1" busybox:local sh -c 'grep CapEff /proc/self/status; grep Seccomp: /proc/self/status' | tr -d '\t\n')" = CapEff:00000000a80425fbSeccomp:2 ]
}
@test "memory limit, capabilities, system call filter" { each limits; }

policy() {
	m_run -d --name again --exec "$1" --restart on-failure:2 busybox:local sh -c 'echo run; exit 1' >/dev/null
	wait_until 20 status_is again exited
	[ "$(m logs again | wc -l)" = 3 ]
}
@test "a restart policy is the monitor's" { each policy; }

killed_monitor() {
	m_run -d --name orphan --exec "$1" busybox:local sleep 100 >/dev/null
	kill -KILL "$(monitor_of orphan)"
	m exec orphan true && m rm -f orphan >/dev/null && nothing_left
}
@test "a container outlives its monitor" { each killed_monitor; }

@test "--runtime NAME is --exec oci:NAME; what is not there is refused by name" {
	m_create --name chosen --runtime crun busybox:local true
	[ "$(field chosen .HostConfig.Runtime)" = oci:crun ]
	run ! m_create --exec oci:no-such busybox:local true
	[[ "$output" == *"oci:no-such: there is no such program"* ]]
	run ! m_create --exec other busybox:local true
	[[ "$output" == *"unknown or invalid runtime name: other"* ]]
	run ! m_create --exec oci:crun --runtime runc busybox:local true
	[[ "$output" == *"conflicting options"* ]]
	m info | grep -q '^Runtimes:.* oci'
}

@test "lxc: the kernel's files, read-only roots, parts of volumes; what it does not have is refused by name" {
	mkdir -p "host dir/sub" && echo deep >"host dir/sub/file"
	m volume create lxcvol >/dev/null && m_run --rm -v lxcvol:/v busybox:local sh -c 'mkdir /v/part; echo p >/v/part/file'
	m_run -d --name inner --exec lxc --read-only --sysctl net.ipv4.ip_forward=1 -v "$PWD/host dir:/with space:ro" \
		--mount type=volume,src=lxcvol,dst=/part,volume-subpath=part --hostname inside -w /not/there busybox:local sleep 100
	run m exec inner sh -c 'touch /x || echo rootro; touch "/with space/x" || echo bindro; echo 1 >/proc/sys/kernel/msgmax || echo sysro
		cat /proc/sys/net/ipv4/ip_forward "/with space/sub/file" /part/file; hostname; pwd; ls -A /proc/acpi /proc/scsi /sys/firmware | grep -v :
		cat /proc/timer_list /proc/kcore; ip -o link show lo | grep -o LOOPBACK,UP; ls /sys/fs/cgroup | grep -c pids; touch /sys/fs/cgroup/x || echo cgro
		cut -d: -f3 /proc/self/cgroup | sort -u; for i in 0 1 2; do readlink /dev/fd; done | sort -u; ls /proc/self/fd | wc -l'
	echo "$output" | grep -v "touch:\|can.t\|cannot\|No such\|^$" >said
	diff -u - said <<-EOF
		rootro
		bindro
		sysro
		1
		deep
		p
		inside
		/not/there
		LOOPBACK,UP
		1
		cgro
		/
		/proc/self/fd
		4
	EOF
	[ "$(m_run --rm --exec lxc --network host --pid host --ipc host busybox:local sh -c 'echo up; [ $$ = 1 ]; echo $?')" = $'up\n1' ]
	for refused in "--device /dev/fuse" "--sysctl kernel.panic=1" "--network host --sysctl net.ipv4.ip_forward=1"; do
		# shellcheck disable=SC2086
		run -125 m_run --rm --exec lxc $refused busybox:local true
		[[ "$output" == *"--device"* || "$output" == *namespace* || "$output" == *"not allowed"* ]]
	done
	run ! env PATH="$BATS_TEST_TMPDIR" "$MASU" create --network none --exec lxc busybox:local true
	[[ "$output" == *"lxc: there is no such program"* ]]
}
