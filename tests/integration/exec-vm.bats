# The exec driver vm: the same image under a kernel of its own, in QEMU.
bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	command -v qemu-system-x86_64 >/dev/null || skip "qemu-system-x86_64 is missing; run tools/setup test"
	KERNEL=$("$REPO/tools/vm-kernel" 2>&1) || skip "no kernel to boot: $KERNEL"
	export KERNEL=$KERNEL/vmlinuz
	engine_setup_file
	# One machine for most tests: a boot takes some seconds without KVM.
	mkdir -p "$BATS_FILE_TMPDIR/host" && echo mine >"$BATS_FILE_TMPDIR/host/file"
	m_run -d --name machine --exec vm --kernel "$KERNEL" --network bridge -p 127.0.0.1:8098:80 --memory 256m --cpus 1 \
		-v vol:/data -v "$BATS_FILE_TMPDIR/host:/host:ro" --tmpfs /scratch -e A=b -w /tmp --hostname inside \
		busybox:local sh -c 'trap "echo bye; exit 3" TERM; echo "$$ $A $PWD $(hostname)"; (while :; do echo page | nc -l -p 80; done) & while :; do sleep 0.2; done'
}
teardown_file() { [ -z "${GROUP:-}" ] || engine_teardown_file; }
setup() { cd "$BATS_TEST_TMPDIR"; }

vm_exec() { m exec machine "$@"; }
page() { nc -w 3 127.0.0.1 8098 </dev/null 2>/dev/null | grep -qx page; }

@test "another kernel runs the image; inspect and info say by what" {
	wait_until 30 logged machine '1 b /tmp inside'
	[ "$(vm_exec uname -r)" = "$(cat "$(dirname "$KERNEL")/version")" ]
	[ "$(field machine .HostConfig.Runtime)" = vm ]
	[[ "$(field machine .Acceleration)" =~ ^(KVM|software emulation)$ ]]
	m info | grep -qE '^Runtimes:.* vm \((KVM|software emulation)\)'
}

@test "memory and processors are what was asked for" {
	[ "$(vm_exec grep -c ^processor /proc/cpuinfo)" = 1 ]
	local total
	total=$(vm_exec awk '/MemTotal/ { print $2 }' /proc/meminfo)
	[ "$total" -gt 180000 ] && [ "$total" -lt 262144 ]
	run ! m update --memory 512m machine
	[[ "$output" == *"virtual machine"* ]]
}

@test "volumes, binds, tmpfs; what is written is the container's layer" {
	[ "$(vm_exec cat /data/hello /host/file)" = "$(printf 'from the image\nmine')" ]
	run ! vm_exec sh -c 'echo x >/host/file'
	vm_exec sh -c 'echo new >/made; grep -q " /scratch tmpfs" /proc/mounts'
	[ "$(m cp machine:/made - | tar -xO)" = new ]
	m diff machine | grep -qx 'A /made'
}

@test "exec: status, user, environment, input, terminal, detached" {
	run -6 vm_exec sh -c 'echo out; echo err >&2; exit 6'
	[ "$(m exec -u bob -e X=y -w /data machine sh -c 'echo "$(id -un) $X $PWD"')" = "bob y /data" ]
	[ "$(head -c 300000 /dev/zero | m exec -i machine wc -c)" = 300000 ]
	[[ "$(m exec -t machine tty)" == /dev/pts/*$'\r' ]]
	m exec -d machine sh -c 'echo behind >/tmp/behind'
	wait_until 10 vm_exec test -s /tmp/behind
	run -127 vm_exec nope
}

@test "capabilities are the container's" {
	[ "$(vm_exec grep CapEff /proc/self/status | tr -d '\t\n')" = CapEff:00000000a80425fb ]
}

@test "the bridge and a published port" {
	[ "$(vm_exec ip -o -4 addr show eth0 | awk '{ print $4 }')" = "$(field machine .NetworkSettings.IPAddress)/16" ]
	vm_exec ip route | grep -q "default via $(field machine .NetworkSettings.Gateway)"
	wait_until 20 page
	# A stream that is longer than all buffers on its way.
	m exec -d machine sh -c 'nc -l -p 90 >/scratch/stream'
	wait_until 10 vm_exec grep -q ':005A .* 0A ' /proc/net/tcp /proc/net/tcp6
	head -c 5000000 /dev/zero | timeout 60 nc -N "$(field machine .NetworkSettings.IPAddress)" 90
	wait_until 10 vm_exec sh -c '[ $(wc -c </scratch/stream) = 5000000 ]'
	vm_exec rm /scratch/stream
}

@test "pause, stop with a signal, exit status, log, start again, kill" {
	m pause machine && status_is machine paused && m unpause machine
	m stop -t 60 machine
	[ "$(field machine .State.ExitCode)" = 3 ]
	[ "$(field machine .State.OOMKilled)" = false ]
	logged machine bye
	m start machine
	[ "$(vm_exec cat /made)" = new ]
	m kill machine
	[ "$(field machine .State.ExitCode)" = 137 ]
	m rm machine
}

@test "run: streams, status and terminal of the first process; nothing is left" {
	run -5 --separate-stderr m_run --rm -i --exec vm --kernel "$KERNEL" busybox:local sh -c 'cat; echo wrong >&2; exit 5' <<<words
	[ "$output" = words ] && [ "$stderr" = wrong ]
	[[ "$(m_run --rm -t --exec vm --kernel "$KERNEL" busybox:local tty)" == /dev/pts/0$'\r' ]]
	run -127 m_run --rm --exec vm --kernel "$KERNEL" busybox:local nope
	# The guest's memory is the container's.
	run -137 m_run --name hungry --memory 128m --exec vm --kernel "$KERNEL" busybox:local tail /dev/zero
	[ "$(field hungry .State.OOMKilled)" = true ]
	m rm hungry
	nothing_left
}

@test "what cannot be is refused by name" {
	run -125 m_run --rm --exec vm --kernel /etc/passwd busybox:local true
	[[ "$output" == *"not a bzImage"* ]]
	run -125 m_run --rm --network host --exec vm --kernel "$KERNEL" busybox:local true
	[[ "$output" == *"--network"* ]]
	run -125 m_run --rm --kernel "$KERNEL" busybox:local true
	[[ "$output" == *"only --exec vm"* ]]
	run -125 m_run --rm --memory 32m --exec vm --kernel "$KERNEL" busybox:local true
	[[ "$output" == *"at least"* ]]
}
