#!/usr/bin/env bats
# What config.json asks of the process and its namespaces (config.md, config-linux.md), with crun as
# the oracle where it knows the member too.

setup_file() {
	source "$REPO/tests/lib/oci.bash"
	oci_setup_file
}

setup() {
	source "$REPO/tests/lib/oci.bash"
}

teardown() {
	oci_teardown
	rm -rf "${FIFO:-/nonexistent}"
}

# Both runtimes run the bundle; their outputs must be equal. $output is masu's.
same_as_crun() {
	run oci run -b "$BUNDLE" "$ID"
	local mine=$output mine_status=$status
	run oci_crun run -b "$BUNDLE" "$ID"
	if [ "$output" != "$mine" ] || [ "$status" != "$mine_status" ]; then
		diff <(echo "$output") <(echo "$mine") | sed 's/^</crun: /; s/^>/masu: /'
		echo "status: crun $status, masu $mine_status"
		return 1
	fi
	output=$mine status=$mine_status
}

ALL_CAPS='["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FSETID","CAP_FOWNER","CAP_MKNOD","CAP_NET_RAW","CAP_SETGID",
	"CAP_SETUID","CAP_SETFCAP","CAP_SETPCAP","CAP_NET_BIND_SERVICE","CAP_SYS_CHROOT","CAP_KILL","CAP_AUDIT_WRITE"]'

@test "identity, capabilities, environment and limits are crun's" {
	oci_bundle 'grep -E "^(Uid|Gid|Groups|Cap|NoNew|Seccomp:)" /proc/self/status; env | grep -v "^_=\|SHLVL\|OLDPWD" | sort
		pwd; hostname; umask; ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj; ls /proc/self/fd | wc -l'
	config --argjson caps "$ALL_CAPS" '.process.capabilities = {bounding: $caps, effective: $caps, permitted: $caps}
		| .process.env += ["A=b", "EMPTY="] | .process.cwd = "/tmp" | .process.oomScoreAdj = 100
		| .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 512, hard: 1024}, {type: "RLIMIT_CORE", soft: 0, hard: 0}]'
	same_as_crun
	config '.process.user = {uid: 1000, gid: 1001, additionalGids: [10, 20], umask: 63}'
	same_as_crun
	[[ "$output" == *"Uid:	1000	1000	1000	1000"* ]]
	[[ "$output" == *"10 20"* ]]
	[[ "$output" == *"HOME=/tmp"* ]]
	config '.process.capabilities.ambient = ["CAP_CHOWN"] | .process.capabilities.inheritable = ["CAP_CHOWN"]
		| .process.noNewPrivileges = false'
	same_as_crun
	[[ "$output" == *"CapAmb:	0000000000000001"* ]]
}

@test "mounts, devices and namespaces are crun's" {
	oci_bundle 'cut -d" " -f4- /proc/self/mountinfo | sed "s/ master:[0-9]*//; s/ shared:[0-9]*//; s/\/bundle\/.*rootfs/R/" |
			sort | grep -v -e cgroup -e "^/[null]* /proc/[akt]" -e "/sys/firmware" # the masks: ours have stricter flags
		ls -ln /dev | awk "{print \$1, \$3, \$4, \$5, \$6, \$NF}" | sed "s/[0-9]*:[0-9]*//"; cat /proc/1/cmdline | tr "\0" " "
		for i in /proc/acpi /proc/kcore /sys/firmware; do ls -ld $i | cut -c1-10; cat $i 2>/dev/null | wc -c; done
		for i in /proc/sys/kernel/hostname /proc/sysrq-trigger; do echo 2>/dev/null x >$i || echo readonly; done'
	same_as_crun
	config '.root.readonly = true'
	same_as_crun
}

@test "each namespace is new, the caller's, or the one at the path" {
	oci_bundle 'for i in pid net ipc uts mnt user cgroup time; do readlink /proc/self/ns/$i; done'
	config '.linux.namespaces = [{type: "mount"}, {type: "time"}, {type: "cgroup"}]
		| .mounts |= map(select(.destination | startswith("/sys") | not))| del(.hostname)'
	oci run -b "$BUNDLE" "$ID" >"$BATS_TEST_TMPDIR/ns"
	for i in pid net ipc uts user; do
		grep -qxF "$(readlink /proc/self/ns/$i)" "$BATS_TEST_TMPDIR/ns"
	done
	for i in mnt cgroup time; do
		! grep -qxF "$(readlink /proc/self/ns/$i)" "$BATS_TEST_TMPDIR/ns"
	done
	unshare -n -i -u -T -p -f --kill-child sleep 100 3>&- &
	holder=$!
	child() { pgrep -P "$holder" -x sleep >/dev/null; }
	wait_until 5 child
	other=$(pgrep -P "$holder" -x sleep)
	config --arg p "/proc/$other/ns" '.linux.namespaces = [{type: "mount"}, {type: "network", path: ($p + "/net")},
		{type: "ipc", path: ($p + "/ipc")}, {type: "uts", path: ($p + "/uts")}, {type: "time", path: ($p + "/time")},
		{type: "pid", path: ($p + "/pid")}]'
	oci run -b "$BUNDLE" "$ID" >"$BATS_TEST_TMPDIR/ns"
	kill "$holder"
	for i in net ipc uts time pid; do
		link=$(cat "$BATS_TEST_TMPDIR/ns" | grep "^$i:")
		[ "$link" != "$(readlink /proc/self/ns/$i)" ]
	done
	config '.linux.namespaces = [{type: "mount"}, {type: "network", path: "/proc/self/ns/ipc"}]'
	run oci run -b "$BUNDLE" "$ID"
	[ "$status" -ne 0 ]
	[[ "$output" == *"is not a network namespace"* ]]
}

@test "time offsets" {
	oci_bundle 'cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets | tr -s " "'
	config '.linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {boottime: {secs: 1000000}, monotonic: {secs: 5, nanosecs: 7}}'
	run oci run -b "$BUNDLE" "$ID"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" -ge 1000000 ]
	[[ "$output" == *"monotonic 5 7"* ]]
}

@test "a user namespace: maps, groups, owners, exec into it, and one that is joined" {
	oci_bundle 'cat /proc/self/uid_map | tr -s " "; id -u; touch /tmp/made; stat -c %u /tmp/made; grep Groups /proc/self/status
		grep CapEff /proc/self/status; hostname; cat /proc/self/setgroups; sleep ${1:-0}'
	chown 100000 "$BATS_FILE_TMPDIR/rootfs/tmp" "$BATS_FILE_TMPDIR/rootfs"
	config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
		| .linux.gidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
		| .process.user.additionalGids = [10] | .process.oomScoreAdj = 50 | .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 100, hard: 200}]'
	same_as_crun
	[[ "$output" == *" 0 100000 65536"* ]]
	[ "$(stat -c %u "$BATS_FILE_TMPDIR/rootfs/tmp/made")" = 100000 ]
	rm "$BATS_FILE_TMPDIR/rootfs/tmp/made"
	config '.process.args = ["/bin/sleep", "100"]'
	oci_create "$ID"
	oci start "$ID"
	[ "$(oci exec "$ID" sh -c 'id -u; ulimit -n')" = "0
100" ] || [ "$(oci exec "$ID" id -u)" = 0 ]
	pid=$(oci state "$ID" | jq .pid)
	config --arg p "/proc/$pid/ns" '.linux.namespaces |= map(if .type == "user" then .path = ($p + "/user")
		elif .type == "network" then .path = ($p + "/net") else . end) | .process.args = ["/bin/sh", "-c", "readlink /proc/self/ns/user; readlink /proc/self/ns/net"]
		| del(.linux.uidMappings, .linux.gidMappings)'
	run oci run -b "$BUNDLE" "$ID-joined"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "$(readlink /proc/"$pid"/ns/user)" ]
	[ "${lines[1]}" = "$(readlink /proc/"$pid"/ns/net)" ]
	# With the pid namespace as well: the process that is reported is the one that was made.
	config --arg p "/proc/$pid/ns" '.linux.namespaces |= map(if .type == "pid" then .path = ($p + "/pid") else . end)
		| .process.args = ["/bin/sleep", "101"]'
	oci_create "$ID-joined"
	oci start "$ID-joined"
	local joined
	joined=$(oci state "$ID-joined" | jq .pid)
	wait_until 5 grep -q -a 101 "/proc/$joined/cmdline"
	[ "$(readlink "/proc/$joined/ns/pid")" = "$(readlink "/proc/$pid/ns/pid")" ]
	chown 0 "$BATS_FILE_TMPDIR/rootfs/tmp" "$BATS_FILE_TMPDIR/rootfs"
}

@test "sysctls of the container's namespaces only" {
	oci_bundle 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax /proc/sys/fs/mqueue/msg_max'
	config '.linux.sysctl = {"net.ipv4.ip_forward": "1", "kernel.shmmax": "1234567", "fs.mqueue.msg_max": "33"}'
	same_as_crun
	[ "$output" = "1
1234567
33" ]
	for key in kernel.panic vm.swappiness net.ipv4.ip_forward kernel.shmmax; do
		config --arg k "$key" '.linux.sysctl = {($k): "1"} | .linux.namespaces = [{type: "mount"}, {type: "pid"}] | del(.hostname)
			| .mounts |= map(select(.destination | startswith("/sys") or startswith("/dev/mq") | not))'
		run oci run -b "$BUNDLE" "$ID"
		[ "$status" -ne 0 ]
		[[ "$output" == *"$key"* ]]
	done
}

@test "scheduler, I/O priority, personality, memory policy, execCPUAffinity" {
	oci_bundle 'awk "{print \$19}" /proc/self/stat; cat /proc/self/personality; cat /proc/self/numa_maps | head -1 | cut -d" " -f2'
	config '.process.scheduler = {policy: "SCHED_BATCH", nice: 5} | .linux.personality = {domain: "LINUX32"}
		| .process.ioPriority = {class: "IOPRIO_CLASS_BE", priority: 6} | .linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "0"}'
	run oci run -b "$BUNDLE" "$ID"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = 5 ]
	[ "${lines[1]}" = 00000008 ]
	config 'del(.linux.memoryPolicy, .linux.personality, .process.scheduler) | .process.args = ["/bin/sleep", "100"]'
	oci_create "$ID"
	ionice -p "$(oci state "$ID" | jq .pid)" | grep -q "best-effort: prio 6"
	oci start "$ID"
	jq '.process | .args = ["/bin/grep", "Cpus_allowed_list", "/proc/self/status"] | .execCPUAffinity = {initial: "0", final: "0"}' \
		"$BUNDLE/config.json" >"$BATS_TEST_TMPDIR/process.json"
	[[ "$(oci exec -p "$BATS_TEST_TMPDIR/process.json" "$ID")" == *"	0" ]]
}

@test "what cannot be done is refused by name, before anything is made" {
	oci_bundle 'true'
	cp "$BUNDLE/config.json" "$BUNDLE/good.json"
	refused() { # filter, words of the message
		jq "$1" "$BUNDLE/good.json" >"$BUNDLE/config.json"
		run oci run -b "$BUNDLE" "$ID"
		[ "$status" -ne 0 ]
		[[ "$output" == *"$2"* ]] || { echo "$1: $output"; return 1; }
		[ -z "$(ls "$OCI_ROOT" 2>/dev/null)" ]
	}
	refused '.process.apparmorProfile = "x"' apparmorProfile
	refused '.process.selinuxLabel = "x"' selinuxLabel
	refused '.linux.intelRdt = {closID: "x"}' intelRdt
	refused '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 1, hard: 99999999}]' RLIMIT_NOFILE
	refused '.process.rlimits = [{type: "RLIMIT_MADEUP", soft: 1, hard: 1}]' RLIMIT_MADEUP
	refused '.process.user.uid = 4294967295' uid
	refused '.process.user.uid = -1' uid
	refused '.process.cwd = "relative"' cwd
	refused '.process.cwd = "/proc/self/fd/5"' "chdir to cwd"
	refused '.linux.namespaces |= map(select(.type != "uts"))' hostname
	refused '.linux.timeOffsets = {boottime: {secs: 1}}' timeOffsets
	refused '.linux.uidMappings = [{containerID: 0, hostID: 1, size: 1}]' uidMappings
	refused '.ociVersion = "2.0.0"' 2.0.0
	refused '.process.args = []' args
	refused '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["sendmsg"], action: "SCMP_ACT_NOTIFY"}], listenerPath: "/x"}' sendmsg
}

@test "a program that cannot be executed" {
	oci_bundle true
	touch "$BATS_FILE_TMPDIR/rootfs/tmp/plain"
	printf '#!/no/interpreter\n' >"$BATS_FILE_TMPDIR/rootfs/tmp/script"
	chmod +x "$BATS_FILE_TMPDIR/rootfs/tmp/script"
	for case in nosuch:127 /no/such:127 /tmp:126 /tmp/plain:126 /tmp/script:127; do
		config --arg a "${case%:*}" '.process.args = [$a]'
		run oci run -b "$BUNDLE" "$ID"
		[ "$status" -eq "${case#*:}" ]
		[[ "$output" == *"exec: \"${case%:*}\""* ]]
		[ -z "$(ls "$OCI_ROOT")" ]
	done
}

@test "no file descriptor of the host, no working directory outside" {
	oci_bundle 'ls /proc/self/fd | tr "\n" " "'
	run bash -c 'exec 7</ 8</etc/passwd 100</; exec "$@"' x "$MASU" oci --root "$OCI_ROOT" run -b "$BUNDLE" "$ID"
	[ "$output" = "0 1 2 3 " ]
	config '.process.args = ["/bin/sleep", "100"]'
	oci_create "$ID"
	oci start "$ID"
	run bash -c 'exec 7</ 8</etc/passwd 100</; exec "$@"' x "$MASU" oci --root "$OCI_ROOT" exec "$ID" sh -c 'ls /proc/self/fd | tr "\n" " "'
	[ "$output" = "0 1 2 3 " ]
	run bash -c 'exec 7</; exec "$@"' x "$MASU" oci --root "$OCI_ROOT" exec --cwd /proc/self/fd/7 "$ID" pwd
	[ "$status" -ne 0 ]
}

@test "--preserve-fds and LISTEN_FDS hand files on, and refuse what is not open" {
	oci_bundle 'cat <&3; cat <&4; echo $LISTEN_FDS $LISTEN_PID'
	echo three >"$BATS_TEST_TMPDIR/3"
	echo four >"$BATS_TEST_TMPDIR/4"
	run bash -c 'exec 3<"$1" 4<"$2"; shift 2; LISTEN_FDS=1 exec "$@"' x "$BATS_TEST_TMPDIR/3" "$BATS_TEST_TMPDIR/4" \
		"$MASU" oci --root "$OCI_ROOT" run --preserve-fds 1 -b "$BUNDLE" "$ID"
	[ "$output" = "three
four
1 1" ]
	run bash -c 'exec 3<&- 4<&-; exec "$@"' x "$MASU" oci --root "$OCI_ROOT" run --preserve-fds 2 -b "$BUNDLE" "$ID"
	[ "$status" -ne 0 ]
	[[ "$output" == *"fd 3 is not open"* ]]
}

@test "the session keyring is the container's own" {
	command -v keyctl >/dev/null || skip "needs keyctl"
	oci_bundle 'cat /proc/keys | grep -c _ses; true'
	config 'del(.linux.maskedPaths)'
	run oci run -b "$BUNDLE" "$ID"
	[ "$output" -ge 1 ]
}

@test "hooks of all kinds: order, namespaces, state on stdin, environment" {
	oci_bundle 'echo process >>/tmp/log'
	log=$BATS_FILE_TMPDIR/rootfs/tmp/log
	rm -f "$log"
	cat >"$BATS_TEST_TMPDIR/hook" <<-SH
	#!/bin/sh
	# The log is found by the host's path outside and by the container's inside.
	read state
	f=$log; [ -e /bin/bash ] || f=/tmp/log
	echo "\$1 \$X \$(readlink /proc/self/ns/mnt) \$(echo "\$state" | sed 's/.*"status":"\([a-z]*\)".*/\1/')" >>\$f
	SH
	chmod +x "$BATS_TEST_TMPDIR/hook"
	cp "$BATS_TEST_TMPDIR/hook" "$BATS_FILE_TMPDIR/rootfs/tmp/hook"
	config --arg h "$BATS_TEST_TMPDIR/hook" 'def hook($k; $p): {($k): [{path: $p, args: ["hook", $k], env: ["X=y", "PATH=/bin"]}]};
		.hooks = hook("prestart"; $h) + hook("createRuntime"; $h) + hook("createContainer"; $h) + hook("startContainer"; "/tmp/hook")
			+ hook("poststart"; $h) + hook("poststop"; $h) | .annotations = {"k": "v"}'
	oci_create "$ID"
	oci start "$ID"
	stopped() { [ "$(oci_status "$ID")" = stopped ]; }
	wait_until 5 stopped
	oci delete "$ID"
	here=$(readlink /proc/self/ns/mnt)
	awk -v here="$here" '{print $1, $2, ($3 == here ? "host" : $3 ~ /mnt/ ? "container" : ""), $4}' "$log" >"$log.seen"
	diff "$log.seen" - <<-'SEEN' || { cat "$log"; false; }
	prestart y host created
	createRuntime y host creating
	createContainer y container creating
	startContainer y container created
	process   
	poststart y host running
	poststop y host stopped
	SEEN
}

@test "hooks that fail stop the container, poststop ones only warn" {
	for kind in prestart createRuntime createContainer; do
		oci_bundle 'echo ran'
		config --arg k "$kind" '.hooks = {($k): [{path: "/bin/sh", args: ["sh", "-c", "echo because; exit 3"]}],
			poststop: [{path: "/bin/touch", args: ["touch", "'"$BATS_TEST_TMPDIR"'/stopped"]}]}'
		rm -f "$BATS_TEST_TMPDIR/stopped"
		run oci create -b "$BUNDLE" "$ID"
		[ "$status" -ne 0 ]
		[[ "$output" == *"hooks.$kind[0]"*"3"*because* ]]
		[ -e "$BATS_TEST_TMPDIR/stopped" ]
		[ -z "$(ls "$OCI_ROOT")" ]
	done
	for kind in startContainer poststart; do
		oci_bundle 'sleep 100'
		config --arg k "$kind" '.hooks = {($k): [{path: "/bin/false"}]}'
		oci_create "$ID"
		run oci start "$ID"
		[ "$status" -ne 0 ]
		[[ "$output" == *"hooks.$kind"* ]]
		stopped() { [ "$(oci_status "$ID")" = stopped ]; }
		wait_until 5 stopped
		oci delete "$ID"
	done
	oci_bundle 'echo ran'
	config '.hooks = {poststop: [{path: "/bin/false"}, {path: "/bin/touch", args: ["touch", "'"$BATS_TEST_TMPDIR"'/second"]}]}'
	run oci run -b "$BUNDLE" "$ID"
	[ "$status" -eq 0 ]
	[ -e "$BATS_TEST_TMPDIR/second" ]
	oci_bundle 'echo ran'
	config '.hooks = {prestart: [{path: "/bin/sleep", args: ["sleep", "100"], timeout: 1}]}'
	run oci run -b "$BUNDLE" "$ID"
	[ "$status" -ne 0 ]
	[[ "$output" == *"no end within 1 s"* ]]
}

@test "a seccomp agent gets the listener with the container process state" {
	oci_bundle 'mkdir /tmp/answered; echo $?'
	sock=$BATS_TEST_TMPDIR/agent.sock
	/usr/bin/python3 - "$sock" >"$BATS_TEST_TMPDIR/agent" 3>&- <<-'PY' &
	import array, fcntl, json, os, socket, struct, sys
	s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)
	c, _ = s.accept()
	data, anc, _, _ = c.recvmsg(65536, socket.CMSG_SPACE(4))
	state = json.loads(data)
	fd = array.array("i", anc[0][2])[0]
	print(state["fds"][0], state["metadata"], state["state"]["id"], state["pid"] > 0, flush=True)
	# struct seccomp_notif is 80 bytes, its id comes first; the answer is EDOM (33).
	req = bytearray(80)
	fcntl.ioctl(fd, 0xc0502100, req)
	fcntl.ioctl(fd, 0xc0182101, struct.pack("QqiI", struct.unpack_from("Q", req)[0], 0, -33, 0))
	PY
	agent=$!
	wait_until 5 test -S "$sock"
	config --arg s "$sock" '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"],
		syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY"}], listenerPath: $s, listenerMetadata: "meta"}'
	run oci run -b "$BUNDLE" "$ID"
	kill "$agent" 2>/dev/null || true
	[ "$(cat "$BATS_TEST_TMPDIR/agent")" = "seccompFd meta $ID True" ]
	[[ "$output" == *"Numerical argument out of domain"* || "$output" == *"Math"* || "${lines[-1]}" = 1 ]]
	[ ! -e "$BATS_FILE_TMPDIR/rootfs/tmp/answered" ]
}

@test "terminal: console socket, size, controlling terminal" {
	oci_bundle 'tty; stty size; test -c /dev/console && echo console; ls -l /proc/self/fd/0 | grep -o "/dev/pts/.*"; : >/dev/tty && echo controlling'
	config '.process.terminal = true | .process.consoleSize = {height: 33, width: 99} | .process.user.uid = 1000'
	run oci create -b "$BUNDLE" "$ID"
	[ "$status" -ne 0 ]
	[[ "$output" == *console-socket* ]]
	sock=$BATS_TEST_TMPDIR/console.sock
	/usr/bin/python3 - "$sock" >"$BATS_TEST_TMPDIR/console" 3>&- <<-'PY' &
	import array, os, socket, sys
	s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)
	c, _ = s.accept()
	data, anc, _, _ = c.recvmsg(4096, socket.CMSG_SPACE(4))
	fd = array.array("i", anc[0][2])[0]
	try:
	    while (b := os.read(fd, 4096)):
	        os.write(1, b)
	except OSError:
	    pass
	PY
	reader=$!
	wait_until 5 test -S "$sock"
	oci_create "$ID" --console-socket "$sock"
	oci start "$ID"
	wait "$reader"
	[ "$(tr -d '\r' <"$BATS_TEST_TMPDIR/console")" = "/dev/pts/0
33 99
console
/dev/pts/0
controlling" ]
}

@test "host interfaces move in with their addresses, renamed, numbered, and up" {
	oci_bundle 'ip -o addr show; ip -o link show'
	modprobe dummy 2>/dev/null || true
	ip link add m-$$-a type veth peer name m-$$-b
	ip link add m-$$-c type veth peer name m-$$-d
	ip addr add 192.0.2.7/24 dev m-$$-a
	ip addr add 2001:db8::7/64 dev m-$$-a nodad
	config --arg a m-$$-a --arg c m-$$-c '.linux.netDevices = {($a): {name: "inside"}, ($c): {name: "eth%d"}}'
	run oci run -b "$BUNDLE" "$ID"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ "$output" == *"inside "*"192.0.2.7/24"* ]]
	[[ "$output" == *"inside "*"2001:db8::7/64"* ]]
	[[ "$output" == *"inside"*"UP"* ]]
	[[ "$output" == *"eth0"* ]]
	run oci run -b "$BUNDLE" "$ID"
	[ "$status" -ne 0 ]
	[[ "$output" == *"m-$$-a"* ]]
}

@test "exec joins every namespace and group of the container, with the container's filter and limits of its own" {
	oci_bundle 'sleep 100'
	config '.linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {boottime: {secs: 1000000}}
		| .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"],
			syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 33}]}'
	oci_create "$ID"
	oci start "$ID"
	pid=$(oci state "$ID" | jq .pid)
	oci exec "$ID" sh -c 'for i in pid net ipc uts mnt cgroup time; do readlink /proc/self/ns/$i; done; cut -d. -f1 /proc/uptime' \
		>"$BATS_TEST_TMPDIR/joined"
	for i in pid net ipc uts mnt cgroup time; do
		grep -qxF "$(readlink /proc/"$pid"/ns/$i)" "$BATS_TEST_TMPDIR/joined"
	done
	[ "$(tail -1 "$BATS_TEST_TMPDIR/joined")" -ge 1000000 ]
	oci exec -d --pid-file "$BATS_TEST_TMPDIR/pid" "$ID" sleep 100 </dev/null >/dev/null 2>&1 3>&-
	diff /proc/"$pid"/cgroup /proc/"$(cat "$BATS_TEST_TMPDIR/pid")"/cgroup
	run oci exec "$ID" mkdir /tmp/filtered
	[ "$status" -ne 0 ]
	[ ! -e "$BATS_FILE_TMPDIR/rootfs/tmp/filtered" ]
	run oci exec --user 1000:1001 -g 10 --cwd /tmp --env Q=r --cap CAP_CHOWN --no-new-privs "$ID" \
		sh -c 'id -u; id -g; id -G; pwd; echo $Q; grep -E "CapBnd|NoNew" /proc/self/status'
	[ "$output" = "1000
1001
1001 10
/tmp
r
CapBnd:	0000000000000001
NoNewPrivs:	1" ]
}
