# masu on another kernel: Debian's own (6.1) in QEMU, where cgroup v2 is alone, nothing is taken from root, and
# filesystems and the device-mapper have what this machine's kernel was built without. One boot for all tests.
load ../lib/oracle
load ../lib/vm

setup_file() {
	vm_setup_file
	vm_add "$(command -v mkfs.xfs)" "$(command -v mkfs.ext4)" "$(command -v mkfs.btrfs)" "$(command -v xfs_io)" "$(command -v xfs_quota)"
	make_busybox_root "$BATS_FILE_TMPDIR/image"
	vm_add_tree "$BATS_FILE_TMPDIR/image" /image
	export SAID=$BATS_FILE_TMPDIR/said
	vm_run --disk 512 --disk 512 --disk 512 >"$SAID" 2>"$SAID.failed" <<'SCRIPT' || echo "== failed $?" >>"$SAID"
	echo "== kernel"; uname -r; cat /sys/fs/cgroup/cgroup.controllers
	echo "== import"; tar -C /image -c . | masu import - busybox:local >/dev/null; echo $?
	echo "== run"; masu run --rm busybox:local sh -c 'echo "from pid $$"; ip -o -4 addr show eth0; exit 7'; echo $?
	echo "== info"; masu info
	echo "== limits"
	masu run -d --name limited --memory 32m --memory-swap 32m --cpus 0.5 --pids-limit 20 busybox:local sleep 1000 >/dev/null
	group=/sys/fs/cgroup$(sed 's/^0:://' "/proc/$(masu inspect -f '{{.State.Pid}}' limited)/cgroup")
	for file in memory.max memory.swap.max cpu.max pids.max; do echo "$file $(cat $group/$file 2>&1)"; done
	echo "== inside"; masu exec limited cat /proc/self/cgroup /sys/fs/cgroup/memory.max
	echo "== pids"; masu exec limited sh -c 'for i in $(seq 30); do sleep 100 & done' 2>&1 | grep -c "can't fork"; cat $group/pids.events
	echo "== pause"; masu pause limited; cat $group/cgroup.freeze; masu unpause limited; cat $group/cgroup.freeze
	echo "== update"; masu update --memory 48m --memory-swap 48m limited >/dev/null; cat $group/memory.max
	echo "== stats"; masu stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' limited
	echo "== gone"; masu rm -f limited; ls -d $group 2>&1
	echo "== oom"; masu run --name oom --memory 16m --memory-swap 16m busybox:local tail /dev/zero; echo "status $?"
	masu inspect -f '{{.State.ExitCode}} {{.State.OOMKilled}}' oom; masu rm oom >/dev/null
	echo "== devices"; masu run --rm busybox:local sh -c 'mknod /tmp/d b 8 0; head -c 1 /tmp/d; mknod /tmp/n c 1 3 && echo x >/tmp/n && echo null'  2>&1
	masu run --rm --device /dev/vda:/dev/x:r busybox:local sh -c 'head -c 1 /dev/x | wc -c'
	echo "== ports"; masu run -d --name port -p 8080:80 busybox:local sh -c 'while :; do echo page | nc -l -p 80; done' >/dev/null
	for i in $(seq 50); do nc -w 2 127.0.0.1 8080 >/tmp/page 2>/dev/null </dev/null; grep -q page /tmp/page && break; sleep 0.1; done
	cat /tmp/page; masu rm -f port
	echo "== check"; masu system check; echo $?
	echo "== xfs"
	modprobe xfs; mkfs.xfs -q /dev/vdc && mkdir /x && mount -o pquota /dev/vdc /x && grep -o prjquota /proc/mounts
	mkdir /x/d && xfs_quota -x -c 'project -s -p /x/d 5' -c 'limit -p bhard=1m 5' /x >/dev/null
	dd if=/dev/zero of=/x/d/f bs=64k count=64 2>&1 | grep -o 'No space left on device'
	echo "== ext4"
	mkfs.ext4 -q -O quota,project -E quotatype=prjquota /dev/vdd && mkdir /e && mount -o prjquota /dev/vdd /e && grep -c 'ext4.*prjquota' /proc/mounts
	mkdir /e/d && xfs_quota -f -x -c 'project -s -p /e/d 5' -c 'limit -p bhard=1m 5' /e >/dev/null
	# Whoever has CAP_SYS_RESOURCE is above ext4's quotas; a container has not.
	masu run --rm -v /e/d:/d busybox:local dd if=/dev/zero of=/d/f bs=64k count=64 2>&1 | grep -oE 'No space left on device|Disk quota exceeded'
	echo "== btrfs"
	modprobe btrfs; mkfs.btrfs -q /dev/vde >/dev/null 2>&1 && mkdir /b && mount /dev/vde /b && grep -o 'btrfs' /proc/mounts | head -n 1
	echo "== dm"; modprobe dm-thin-pool && ls -1d /sys/module/dm_thin_pool /dev/mapper/control
SCRIPT
}

# What the guest said about it.
said() { # topic
	sed -n "/^== $1\$/,/^== /p" "$SAID" | grep -v '^== '
}

@test "the guest is what it is meant to be: another kernel, cgroup v2 with all controllers" {
	cat "$SAID" "$SAID.failed" >&2
	! grep '^== failed' "$SAID"
	[[ "$(said kernel)" == 6.* ]]
	[[ "$(said kernel)" == *memory*pids* ]]
	said info | grep -qx 'Cgroup Layout: v2'
}

@test "a container runs, on the bridge, with its exit status" {
	[ "$(said import)" = 0 ]
	said run | grep -qx 'from pid 1'
	said run | grep -q 'inet 172.17.0.2/16'
	said run | grep -qx 7
}

@test "limits are in the group's files and in force" {
	said limits | grep -qx "memory.max $((32 << 20))"
	said limits | grep -qx 'memory.swap.max 0'
	said limits | grep -qx 'cpu.max 50000 100000'
	said limits | grep -qx 'pids.max 20'
	said inside | grep -qx '0::/'
	said inside | grep -qx "$((32 << 20))"
	[ "$(said pids | head -n 1)" -ge 1 ]
	said pids | grep -q '^max [1-9]'
	[ "$(said pause | tr '\n' ' ')" = "limited 1 limited 0 " ]
	[ "$(said update)" = "$((48 << 20))" ]
	[[ "$(said stats)" == "limited "*" / 48MiB "* ]]
	said gone | grep -q 'No such file'
}

@test "who takes more memory than allowed is killed: 137 and OOMKilled" {
	said oom | grep -qx 'status 137'
	said oom | grep -qx '137 true'
}

@test "devices that were not given are refused, those that were are not" {
	said devices | grep -q 'Operation not permitted'
	said devices | grep -qx null
	said devices | grep -qx 1
}

@test "a published port answers" {
	[ "$(said ports | head -n 1)" = page ]
}

@test "nothing is left to repair" {
	[ "$(said check | tail -n 1)" = 0 ]
}

@test "filesystems with project quotas: xfs and ext4 hold who writes too much" {
	[ "$(said xfs | tr '\n' ' ')" = "prjquota No space left on device " ]
	said ext4 | grep -qx 1
	said ext4 | grep -qE 'No space left on device|Disk quota exceeded'
}

@test "btrfs and the device-mapper's thin pools are there" {
	[ "$(said btrfs)" = btrfs ]
	said dm | grep -qx /dev/mapper/control
}
