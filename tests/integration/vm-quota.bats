# Sizes of volumes and writable layers, on a kernel that has project quotas: XFS and ext4 in QEMU, one boot for all.
load ../lib/oracle
load ../lib/vm

setup_file() {
	vm_setup_file
	vm_add "$(command -v mkfs.xfs)" "$(command -v mkfs.ext4)" "$(command -v xfs_quota)"
	make_busybox_root "$BATS_FILE_TMPDIR/image"
	mkdir "$BATS_FILE_TMPDIR/image/full"
	head -c 100000 /dev/urandom >"$BATS_FILE_TMPDIR/image/full/seed"
	vm_add_tree "$BATS_FILE_TMPDIR/image" /image
	export SAID=$BATS_FILE_TMPDIR/said
	vm_run --disk 512 --disk 512 >"$SAID" 2>"$SAID.failed" <<'SCRIPT' || echo "== failed $?" >>"$SAID"
	modprobe xfs
	mkfs.xfs -q /dev/vdc && mkdir /xfs && mount -o pquota /dev/vdc /xfs
	mkfs.ext4 -q -O quota,project -E quotatype=prjquota /dev/vdd && mkdir /ext4 && mount -o prjquota /dev/vdd /ext4
	m() { masu --root "$root" --runroot "$root-run" "$@"; }
	# The projects of masu that have a limit: it numbers its own from 2^20 on.
	limited() { xfs_quota -f -x -c 'report -p -n -N -b' "/$fs" | tr -d '#' | awk '$1 >= 1048576 && $4 > 0' | wc -l; }
	fill() { dd if=/dev/zero of="$1" bs=64k count=128 2>&1 | grep -oE 'No space left on device|Disk quota exceeded'; }
	for fs in xfs ext4; do
		root=/$fs/masu
		tar -C /image -c . | m import - busybox:local >/dev/null
		write='dd if=/dev/zero of=/data/f bs=64k count=128 2>&1 | grep -oE "No space left on device|Disk quota exceeded"; wc -c </data/f'
		echo "== $fs volume"; m volume create -o size=4m small; m run --rm --network none -v small:/data busybox:local sh -c "$write"
		echo "== $fs df"; m run --rm --network none -v small:/data busybox:local stat -f -c '%b %S' /data
		echo "== $fs option"; m volume inspect -f '{{.Options.size}}' small; limited
		echo "== $fs clone"; m run --rm --network none -v small:/data busybox:local rm /data/f; m volume clone small twin
		m run --rm --network none -v twin:/data busybox:local sh -c "$write"; limited
		echo "== $fs snapshot"; m run --rm --network none -v small:/data busybox:local dd if=/dev/zero of=/data/half bs=1M count=1 2>/dev/null
		m volume snapshot small one; m run --rm --network none -v small:/data busybox:local rm /data/half
		m volume restore small@one; m run --rm --network none -v small:/data busybox:local wc -c /data/half
		echo "== $fs copyup"; m run --rm --network none --mount type=volume,src=first,dst=/full,volume-opt=size=4m busybox:local wc -c /full/seed
		mkdir /beside; mount --bind /$fs /beside # rename(2) goes through no other mount
		echo "== $fs moved"; m volume create -o size=3m travels >/dev/null; echo kept >$root/volumes/travels/_data/file
		m volume mv --to-root /$fs/near travels; stat -f -c '%b %S' /$fs/near/volumes/travels/_data
		masu --root /$fs/near volume mv --to-root /beside/far travels; stat -f -c '%b %S' /$fs/far/volumes/travels/_data
		masu --root /$fs/far volume mv --to-root /run/far travels; cat /$fs/far/volumes/travels/_data/file
		masu --root /$fs/far volume rm travels; umount /beside; rmdir /beside
		mkdir /many; head -c 8388608 /dev/urandom >/many/f
		echo "== $fs import"; m volume create -o size=4m filled >/dev/null; tar -C /many -c . | m volume import filled - 2>&1
		du -k $root/volumes/filled/_data | awk '{ print ($1 <= 4096 ? "held" : "too much") }'; m volume rm filled; rm -r /many
		echo "== $fs carried"; m create --name away --network none --mount type=volume,src=goes,dst=/data,volume-opt=size=5m busybox:local sh -c "$write" >/dev/null
		m container export --with-volumes -o /run/away.tar away; m rm away >/dev/null; m volume rm goes
		m container import /run/away.tar >/dev/null; m volume inspect -f 'size {{.Options.size}}' goes; m start -a away; m rm away >/dev/null; m volume rm goes
		masu --root /run/plain-$fs container import /run/away.tar 2>&1 >/dev/null; masu --root /run/plain-$fs volume inspect -f 'options {{.Options}}' goes
		masu --root /run/plain-$fs rm away >/dev/null
		echo "== $fs removed"; m volume rm small twin first >/dev/null; limited
		echo "== $fs layer"; m run --name cc --network none --storage-opt size=4m busybox:local sh -c "mkdir /data; $write; stat -f -c 'root %b %S' /"
		m inspect -f '{{json .HostConfig.StorageOpt}}' cc; limited
		echo "== $fs image"; m start -a cc 2>&1 | grep -c "can't create directory"; m commit cc cc:1 >/dev/null; m run --rm --network none cc:1 sh -c 'test -s /data/f && echo carried'
		echo "== $fs layer-removed"; m rm cc >/dev/null; limited; m run --rm --network none --storage-opt size=4m busybox:local true; limited
		echo "== $fs check"; m system check; echo $?
	done
	mkdir /plain; mount -o remount,noquota /dev/vdc /xfs 2>/dev/null
	root=/run/masu-plain
	echo "== refused"; tar -C /image -c . | m import - busybox:local >/dev/null; m run --network none --storage-opt size=1g busybox:local true; echo $?
	m volume create -o size=1g none; echo $?; m ps -aq; m volume ls -q; ls "$root/containers" "$root/volumes"
SCRIPT
}

# What the guest said about it.
said() { # topic
	sed -n "/^== $1\$/,/^== /p" "$SAID" | grep -v '^== '
}

full='No space left on device|(Disk q|Q)uota exceeded'

@test "a volume holds no more than its size, and says so to df" {
	cat "$SAID" "$SAID.failed"
	! grep '^== failed' "$SAID"
	local fs
	for fs in xfs ext4; do
		said "$fs volume" | grep -qE "$full"
		[ "$(said "$fs volume" | tail -n 1)" -le $((4 << 20)) ]
		[ "$(said "$fs volume" | tail -n 1)" -ge $((3 << 20)) ]
		[ "$(said "$fs df" | awk '{ print $1 * $2 }')" = $((4 << 20)) ]
		[ "$(said "$fs option" | tr '\n' ' ')" = "4m 1 " ]
	done
}

@test "a clone has the same limit and one of its own; snapshots and restore stay inside" {
	local fs
	for fs in xfs ext4; do
		said "$fs clone" | grep -qE "$full"
		[ "$(said "$fs clone" | tail -n 1)" = 2 ]
		said "$fs snapshot" | grep -qx 'small@one'
		said "$fs snapshot" | grep -qx '1048576 /data/half'
		said "$fs copyup" | grep -qx '100000 /full/seed'
	done
}

@test "a limit goes where its volume is moved, and is refused where there are none" {
	local fs
	for fs in xfs ext4; do
		[ "$(said "$fs moved" | awk 'NF == 2 && $1 + 0 > 0 { print $1 * $2 }' | tr '\n' ' ')" = "3145728 3145728 " ]
		said "$fs moved" | grep -q 'copy to /run/far: .*no project quotas in force'
		said "$fs moved" | grep -qx kept
	done
}

@test "an archive is held to the limit of the volume that it is unpacked into" {
	local fs
	for fs in xfs ext4; do
		said "$fs import" | grep -qE "$full"
		said "$fs import" | grep -qx held
	done
}

@test "a container's volumes keep their limits on another machine, or that is told" {
	local fs
	for fs in xfs ext4; do
		said "$fs carried" | grep -qx 'size 5242880'
		said "$fs carried" | grep -qE "$full"
		said "$fs carried" | grep -q 'not carried over: volume goes: size=5242880: .*no project quotas in force'
		said "$fs carried" | grep -qx 'options map\[\]'
	done
}

@test "a container's layer holds no more than --storage-opt size=, and can be committed" {
	local fs
	for fs in xfs ext4; do
		said "$fs layer" | grep -qE "$full"
		said "$fs layer" | grep -qx '{"size":"4m"}'
		[ "$(said "$fs layer" | awk '/^root / { print $2 * $3 }')" = $((4 << 20)) ]
		[ "$(said "$fs layer" | tail -n 1)" = 1 ]
		said "$fs image" | grep -qx carried
	done
}

@test "what is removed leaves no limit behind" {
	local fs
	for fs in xfs ext4; do
		[ "$(said "$fs removed")" = 0 ]
		[ "$(said "$fs layer-removed" | tr '\n' ' ')" = "0 0 " ]
		[ "$(said "$fs check" | tail -n 1)" = 0 ]
	done
}

@test "without quotas both are refused by name, and nothing is left" {
	said refused | grep -q -- '--storage-opt size: .*no project quotas in force'
	said refused | grep -q 'volume none: size: .*no project quotas in force'
	[ "$(said refused | grep -cE '^(125|1)$')" = 2 ]
	[ -z "$(said refused | grep -vE '^(125|1)$|project quotas|^$|/(containers|volumes):$')" ]
}
