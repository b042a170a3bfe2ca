#!/usr/bin/env bats
# The classes of escape that concern `masu run`'s own choices: capabilities, seccomp, masked paths,
# cgroup mounts, sockets; and its boundary cases (HOSTILE 4-7, 26, 27, 29, 33).

bats_require_minimum_version 1.5.0
load ../lib/oracle
load ../lib/hostile

setup_file() {
	hostile_setup
	hostile_image
	masu "${RUN[@]}" --network none busybox:local true
}

teardown_file() {
	remove_test_cgroups
}

# Runs a command in a container of the image.
contained() {
	masu "${RUN[@]}" --network none "$@"
}

@test "a process has Docker's capabilities, none inheritable, and its filter" {
	run -0 --separate-stderr "$OUTSIDE" inheritable "$MASU" "${RUN[@]}" --network none busybox:local \
		grep -E '^(Cap|Groups|NoNewPrivs|Seccomp:|Sig(Blk|Ign)|Uid|Gid)' /proc/self/status
	diff - <(echo "$output" | sed 's/[[:space:]]*$//') <<-'STATUS'
	Uid:	0	0	0	0
	Gid:	0	0	0	0
	Groups:	0
	SigBlk:	0000000000000000
	SigIgn:	0000000000000000
	CapInh:	0000000000000000
	CapPrm:	00000000a80425fb
	CapEff:	00000000a80425fb
	CapBnd:	00000000a80425fb
	CapAmb:	0000000000000000
	NoNewPrivs:	0
	Seccomp:	2
	STATUS
}

@test "a user has no capability but the bounding set, and only his groups" {
	run -0 --separate-stderr contained -u user busybox:local \
		grep -E '^(Cap|Groups|Uid|Gid)' /proc/self/status
	diff - <(echo "$output" | sed 's/[[:space:]]*$//') <<-'STATUS'
	Uid:	1000	1000	1000	1000
	Gid:	1000	1000	1000	1000
	Groups:	10 1000
	CapInh:	0000000000000000
	CapPrm:	0000000000000000
	CapEff:	0000000000000000
	CapBnd:	00000000a80425fb
	CapAmb:	0000000000000000
	STATUS
}

@test "no descriptor of the caller reaches the container" {
	leaking() {
		"$OUTSIDE" fds "$BATS_TEST_TMPDIR" "${OCI_MASU:-$MASU}" "${RUN[@]}" --network none busybox:local /bin/inside fds
	}
	held leaking
	without close-fds breached leaking
}

# --- cgroup release_agent (CVE-2022-0492) ---

@test "no cgroup hierarchy and no user namespace of its own" {
	held contained busybox:local /bin/inside cgroup
	# What the default refuses is what the administrator may give.
	breached contained --security-opt seccomp=unconfined busybox:local /bin/inside cgroup
	breached contained --cap-add SYS_ADMIN busybox:local /bin/inside cgroup
}

@test "cgroup mounts are read-only" {
	local attempt='for d in /sys/fs/cgroup /sys/fs/cgroup/*; do
		[ -d "$d" ] && mkdir "$d/x" 2>/dev/null && echo breached; done; echo held'
	held contained busybox:local sh -c "$attempt"
	without cgroup-readonly breached contained busybox:local sh -c "$attempt"
	breached contained --privileged busybox:local sh -c "$attempt"
}

# --- masked and read-only paths ---

@test "masked paths say nothing and are the container's own null device" {
	local path
	run -0 contained busybox:local sh -c '
		for p in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do
			[ -e $p ] || continue
			[ -c $p ] && [ "$(stat -c %t:%T $p)" = 1:3 ] || echo "breached $p"
		done
		for p in /sys/firmware /proc/scsi /proc/acpi; do
			[ ! -d $p ] || [ -z "$(ls $p)" ] || echo "breached $p"
		done
		for p in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/kernel/hostname; do
			{ echo x >$p; } 2>/dev/null && echo "breached $p"
		done
		umount /proc/kcore 2>/dev/null && echo breached umount
		mount -o remount,rw /proc/sys 2>/dev/null && echo breached remount
		echo held'
	[ "$output" = held ]
	breached contained --privileged busybox:local sh -c '[ -c /proc/kcore ] || echo breached'
	# By inode, at each start: the device is /dev/null itself, the directory none of procfs or sysfs.
	local compare='null=$(stat -c %d:%i /dev/null) proc=$(stat -c %d /proc) sys=$(stat -c %d /sys)
		for p in /proc/kcore /proc/keys /proc/timer_list /proc/scsi /sys/firmware; do
			[ -e $p ] || continue
			case $(stat -c %d:%i $p) in
			$null) ;;
			$proc:*|$sys:*) echo breached $p ;;
			*) [ -d $p ] || echo breached $p ;;
			esac
		done; echo held'
	held contained busybox:local sh -c "$compare"
	without masks breached contained busybox:local sh -c "$compare"
	masu create --name masks --network none --cgroup-parent "$CGROUP_PARENT" busybox:local sh -c "$compare" 3>&-
	held masu start -a masks
	held masu start -a masks
	masu rm masks
}

# --- sockets (CVE-2020-15257) ---

@test "masu has no abstract socket that a container on the host's network could reach" {
	python3 - "$BATS_TEST_TMPDIR" <<-'PYTHON' &
	import os, socket, sys, time
	s = socket.socket(socket.AF_UNIX); s.bind("\0masu-hostile-probe"); s.listen(1)
	open(sys.argv[1] + "/listening", "w").close()
	for i in range(300):
	    if os.path.exists(sys.argv[1] + "/stop"): break
	    time.sleep(0.1)
	PYTHON
	wait_until 10 test -e "$BATS_TEST_TMPDIR/listening"
	run -0 masu "${RUN[@]}" --network host busybox:local cat /proc/net/unix
	# One that is there can be seen: the test has eyes.
	[[ "$output" == *@masu-hostile-probe* ]]
	[ "$(grep -c '@' <<<"$output")" -eq 1 ]
	others() { masu "${RUN[@]}" --network host busybox:local cat /proc/net/unix | grep @ | grep -v probe | sed 's/^/breached /'; }
	without path-socket breached others
	: >"$BATS_TEST_TMPDIR/stop"
}

# Connects as user 1000 and says whether it is thrown out.
as_stranger() {
	python3 - "$1" <<-'PYTHON'
	import os, socket, sys
	os.chdir(os.path.dirname(sys.argv[1])) # the path may be longer than an address holds
	os.setgroups([]); os.setgid(1000); os.setuid(1000)
	s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	try:
	    s.connect("ctl.sock")
	except PermissionError:
	    print("held: not let near"); sys.exit(0)
	s.settimeout(2)
	try:
	    print("held: thrown out" if not s.recv(1) else "breached")
	except socket.timeout:
	    print("breached: still connected")
	PYTHON
}

# A container whose control socket is looked for; it ends when $BATS_TEST_TMPDIR/ctl/stop appears.
with_container() {
	mkdir -p "$BATS_TEST_TMPDIR/ctl"
	rm -f "$BATS_TEST_TMPDIR/ctl/stop"
	masu "${RUN[@]}" -d --network none -v "$BATS_TEST_TMPDIR/ctl:/ctl" busybox:local \
		sh -c 'i=0; while [ ! -e /ctl/stop ] && [ $((i += 1)) -lt 300 ]; do sleep 0.1; done' >/dev/null
	local socket
	socket=$(find "$MASU_RUNROOT" -name ctl.sock)
	[ -S "$socket" ]
	[ "$(stat -c %a "$(dirname "$socket")")" = 700 ]
	[ "$(stat -c %a "$socket")" = 600 ]
	# What a careless administrator might do:
	[ "$1" = closed ] || chmod 0777 "$socket" "$(dirname "$socket")"
	as_stranger "$socket"
	: >"$BATS_TEST_TMPDIR/ctl/stop"
	wait_until 10 sh -c '! [ -S "$1" ]' sh "$socket"
}

@test "other users are not let near the monitor, and thrown out if they get there" {
	held with_container closed
	[[ "$output" == *"not let near"* ]]
	held with_container open
	[[ "$output" == *"thrown out"* ]]
	without peer-check breached with_container open
}

# --- data on its way to a privileged sink ---

# refused MESSAGE ARGUMENT...: `masu run` with these ends with 125 (or 126) and one line that says so.
refused() {
	local says=$1
	shift
	run --separate-stderr timeout 60 "$MASU" "${RUN[@]}" "$@"
	[[ "$status" -eq 125 || "$status" -eq 126 ]] || { echo "$*: status $status, $stderr"; return 1; }
	[[ "$stderr" == *"$says"* ]] || { echo "$*: $stderr"; return 1; }
	[ "$(grep -c '^masu: ' <<<"$stderr")" -eq 1 ] || { echo "$*: $stderr"; return 1; }
}

@test "boundaries of users, ports, volumes, names, sysctls: refused by name, nothing left" {
	local before long
	before=$(settled_state)
	long=$(printf 'x%.0s' {1..300})
	refused 4294967296 -u 4294967296 --network none busybox:local true
	refused 4294967295 -u 4294967295 --network none busybox:local true
	refused nosuch -u nosuch --network none busybox:local true
	refused "user -1" -u -1 --network none busybox:local true
	refused 65536 -p 65536:80 busybox:local true
	refused 0 -p 0:80 busybox:local true
	refused 70000 -p 80:70000 busybox:local true
	refused a:b:c:d -v a:b:c:d busybox:local true
	refused relative -v relative/dir:/x busybox:local true
	refused "../../x" --name ../../x --network none busybox:local true
	refused "name (xxxx" --name "$long" --network none busybox:local true
	refused relative -w relative --network none busybox:local true
	refused kernel.core_pattern --sysctl 'kernel.core_pattern=|/x' --network none busybox:local true
	refused kernel.shm_rmid_forced --sysctl kernel.shm_rmid_forced=1 --ipc host --network none busybox:local true
	refused CAP_NOSUCH --cap-add CAP_NOSUCH --network none busybox:local true
	refused nosuchimage --network none nosuchimage:latest true
	left_nothing "$before"
}

@test "labels, environment and names are data" {
	run -0 --separate-stderr contained -l 'x=$(touch /tmp/masu-was-here);`id`' -l '../../../etc=1' \
		-e 'X=$(id) %s %n' -h 'a-b' busybox:local sh -c 'echo "$X"; hostname'
	[ "${lines[0]}" = '$(id) %s %n' ]
	[ "${lines[1]}" = a-b ]
	[ ! -e /tmp/masu-was-here ]
}

@test "a profile with unknown system calls works (HOSTILE 29)" {
	cat >"$BATS_TEST_TMPDIR/profile.json" <<-'JSON'
	{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
		{"names": ["no_such_call", "nor_this_one", "mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99}]}
	JSON
	run contained --security-opt seccomp="$BATS_TEST_TMPDIR/profile.json" busybox:local mkdir /x
	[ "$status" -eq 1 ]
	[[ "$output" == *mkdir* ]]
	run -0 contained --security-opt seccomp="$BATS_TEST_TMPDIR/profile.json" busybox:local echo ok
	[ "$output" = ok ]
	sed -i 's/SCMP_ACT_ALLOW/SCMP_ACT_SHRUG/' "$BATS_TEST_TMPDIR/profile.json"
	refused SCMP_ACT_SHRUG --security-opt seccomp="$BATS_TEST_TMPDIR/profile.json" --network none busybox:local true
}

@test "of parallel creations of one name one wins (HOSTILE 33)" {
	local before i pids=() won=0
	before=$(settled_state)
	for ((i = 0; i < 50; i++)); do
		masu "${RUN[@]}" --name one --network none busybox:local sleep 3 2>"$BATS_TEST_TMPDIR/$i" &
		pids+=($!)
	done
	for ((i = 0; i < 50; i++)); do
		if wait "${pids[i]}"; then
			won=$((won + 1))
		else
			grep -q 'one' "$BATS_TEST_TMPDIR/$i" || { cat "$BATS_TEST_TMPDIR/$i"; return 1; }
		fi
	done
	[ "$won" -eq 1 ]
	left_nothing "$before"
}

@test "too few descriptors are an error or enough, and leave nothing (HOSTILE 36)" {
	local before n status failed=0 worked=0
	before=$(settled_state)
	for ((n = 4; n < 60; n += 2)); do
		status=0
		timeout 60 bash -c 'ulimit -n $1; shift; exec "$@"' \
			bash $n "$MASU" "${RUN[@]}" --network none busybox:local true >"$BATS_TEST_TMPDIR/out" 2>&1 </dev/null || status=$?
		if [ $status -eq 0 ]; then worked=1; else failed=1; fi
		[[ $status -eq 0 || $(<"$BATS_TEST_TMPDIR/out") == *masu:* ]] || {
			echo "$n descriptors: $status, $(<"$BATS_TEST_TMPDIR/out")"
			return 1
		}
		# What it could not delete it has moved aside for the next one.
		contained busybox:local true
		left_nothing "$before" || { echo "with $n descriptors"; return 1; }
	done
	[ $failed -eq 1 ] && [ $worked -eq 1 ]
}

@test "a full disk and one without inodes are errors that leave nothing (HOSTILE 35)" {
	local disk=$BATS_TEST_TMPDIR/disk before
	mkdir "$disk"
	mount -t tmpfs -o size=12m,nr_inodes=3000,mode=0700 tmpfs "$disk"
	export MASU_ROOT=$disk/root
	masu import "$BATS_FILE_TMPDIR/busybox.tar" busybox:local
	contained busybox:local true
	before=$(settled_state)
	head -c 100m /dev/zero >"$disk/filler" 2>/dev/null || true
	run --separate-stderr contained busybox:local true
	[ "$status" -ne 0 ]
	[[ "$stderr" == *"No space left on device"* ]]
	rm "$disk/filler"
	left_nothing "$before"
	(cd "$disk" && mkdir filler && for ((i = 0; i < 3000; i++)); do : >"filler/$i" || break; done) 2>/dev/null
	run --separate-stderr contained busybox:local true
	[ "$status" -ne 0 ]
	[[ "$stderr" == *"No space left on device"* ]]
	rm -r "$disk/filler"
	left_nothing "$before"
	contained busybox:local true
	# The last monitor may still be emptying the trash.
	wait_until 10 umount -R "$disk" 2>/dev/null
}
