# The storage driver devicemapper, on a kernel that has dm-thin: what storage-driver-*.bats ask of the others, in one
# boot of QEMU. There is no LVM in the guest, and dmsetup for a pool
# of somebody else's alone: mkfs is the only program that masu starts.
load ../lib/oracle
load ../lib/vm

setup_file() {
	vm_setup_file
	vm_add "$(command -v mkfs.ext4)" "$(command -v mkfs.xfs)" /sbin/dmsetup
	local in=$BATS_FILE_TMPDIR/in
	mkdir -p "$in/huge" "$in/second"
	LAYERED_MANY=40 "$REPO/tests/lib/layered-image.py" "$in/layered.tar" "$(command -v busybox)" layered:1
	head -c 70M /dev/urandom >"$in/huge/file"
	tar -C "$in/huge" -cf "$in/huge.tar" .
	echo second >"$in/second/file"
	cp "$(command -v busybox)" "$in/second/busybox"
	tar -C "$in/second" -cf "$in/second.tar" .
	rm -r "$in/huge" "$in/second"
	gcc -static -O1 -Wall -D_GNU_SOURCE "$REPO/tests/torture/stepper.c" -o "$in/stepper"
	guest_tools >"$in/tools"
	vm_add_tree "$in" /in
	export SAID=$BATS_FILE_TMPDIR/said
	{ guest_script; } | vm_run --disk 700 --disk 200 --disk 16 --timeout 400 >"$SAID" 2>"$SAID.failed" ||
		echo "== failed $?" >>"$SAID"
}

guest_tools() {
	cat <<-'TOOLS'
		m() { masu --root "$root" --runroot "/run/m$root" "$@"; }
		dm() { m --storage-driver devicemapper "$@"; }
		on_overlay() { masu --root /other --runroot /run/other "$@"; }
		topic() { echo "== $*"; }
		pool_used() { m storage info --format '{{.DataUsed}}'; }
		compare() { diff /tmp/theirs /tmp/ours >/tmp/differences && echo same || head -n 20 /tmp/differences; }
		# What was deleted behind replies has been deleted.
		settled() { m storage prune; find "$root/devicemapper/doomed" "$root/trash" -mindepth 1 2>/dev/null; }
		changes='echo x >/new; echo y >>/d/over; rm /d/page; chmod 700 /d/block; mkdir -p /made/a/b; echo z >/made/a/b/c
			rm -r /many; mkdir /many; echo in >/many/in; ln -s to /made/link; ln /made/a/b/c /made/hard; mkfifo /made/fifo
			rm -r /kept; echo file >/kept; rm /became-file; mkdir /became-file; touch /made/a/touched; chown 5:6 /d/acl'
		listing='cd /; find . -xdev ! -type d ! -path "./dev/*" ! -path "./proc/*" ! -path "./sys/*" ! -path "./etc/*" ! -name .dockerenv -exec stat -c "%n %f %u %g %s %Y %t:%T" {} + | sort
			find . -xdev -type d ! -path "./dev*" ! -path "./proc*" ! -path "./sys*" ! -path "./etc*" -exec stat -c "%n %f %u %g" {} + | sort
			find ./d -xdev -type f -size -100 -exec md5sum {} + | sort'
		# Kills $1 before some of its state-changing calls; then it must do, and $2 must undo it.
		sweep() {
			sh -c "${3:-true}" >/dev/null
			total=$(/in/stepper count sh -c "$1" 3>&1 >/dev/null 2>/dev/null)
			sh -c "$2" >/dev/null 2>&1
			[ "$total" -gt 5 ] || echo "only $total calls"
			step=$((total / POINTS + 1)) at=$((1 + $(od -An -N1 -tu1 /dev/urandom) % step))
			while [ $at -le "$total" ]; do
				sh -c "${3:-true}" >/dev/null 2>&1
				/in/stepper kill $at sh -c "$1" >/dev/null 2>&1 </dev/null
				again=$(sh -c "${3:-true}; $1" 2>&1) || [ -n "${3:-}" ] || case $again in
					*"already in use"*) ;;
					*) echo "killed at $at of $total: $again" ;;
				esac
				sh -c "$2" >/dev/null 2>&1 || echo "killed at $at of $total: the clean-up fails"
				at=$((at + step))
			done
		}
	TOOLS
}

guest_script() {
	cat <<-'SCRIPT'
		. /in/tools
		modprobe dm-mod && modprobe loop && modprobe dm-thin-pool && modprobe xfs
		mkfs.ext4 -q /dev/vdc && mkdir /disk && mount /dev/vdc /disk
		mkdir /other && on_overlay load -q -i /in/layered.tar

		root=/disk/one
		topic refused
		dm --storage-opt dm.basesize=1k pull x
		dm --storage-opt dm.use_deferred_removal=true pull x
		dm --storage-opt dm.datadev=/dev/vdd pull x
		m --storage-opt dm.fs=xfs pull x
		m --storage-driver vfs --storage-opt dm.fs=xfs import /in/second.tar second:1
		dm --storage-opt dm.metadatadev=/dev/vdc --storage-opt dm.datadev=/dev/vdd import /in/second.tar second:1
		ls "$root/devicemapper" "$root/storage.json" 2>&1
		topic options
		dm --storage-opt dm.basesize=100m --storage-opt dm.loopdatasize=200m --storage-opt dm.loopmetadatasize=4m \
			--storage-opt dm.thinp_autoextend_percent=0 load -q -i /in/layered.tar
		m storage info
		dm --storage-opt dm.basesize=20m run --rm layered:1 true
		m storage ls --format '{{.Driver}} {{.Used}}' | grep devicemapper
		topic info
		m info --format '{{.Driver}}'
		m create --name one layered:1 true >/dev/null
		m inspect -f '{{.Driver}} {{.GraphDriver.Name}}' one
		m rm one >/dev/null
		topic same
		m run --rm --network none layered:1 sh -c "$listing" >/tmp/ours
		on_overlay run --rm --network none layered:1 sh -c "$listing" >/tmp/theirs
		wc -l </tmp/ours; compare
		topic own
		m run --name first --network none layered:1 sh -c 'echo mine >/d/one; touch /new; rm -rf /many'
		m run --rm --network none layered:1 sh -c 'cat /d/one; ls -d /many /new'
		m start first >/dev/null; m wait first; m cp first:/d/one - | tar -xO
		m run -d --name held --network none layered:1 sleep 1000 >/dev/null
		m exec held sh -c 'echo while >/it-runs'; m diff held; m cp held:/it-runs - | tar -xO; m rm -f held first
		topic diff
		m run --name changed --network none layered:1 sh -c "$changes"
		on_overlay run --name changed --network none layered:1 sh -c "$changes"
		on_overlay diff changed >/tmp/theirs; m diff changed >/tmp/ours; wc -l </tmp/ours
		compare
		topic commit
		m commit -q changed committed:1 >/dev/null; m save -o /disk/saved.tar committed:1
		m run --rm --network none committed:1 sh -c "$listing" | grep -v -e /made >/tmp/ours
		m rm changed; m rmi committed:1 >/dev/null; on_overlay rm changed >/dev/null; on_overlay load -q -i /disk/saved.tar
		on_overlay run --rm --network none committed:1 sh -c "$listing" | grep -v -e /made >/tmp/theirs
		compare
		topic sizes
		m run --name big --network none layered:1 dd if=/dev/zero of=/data bs=1024 count=2000 2>/dev/null
		m ps -as --format '{{.Size}}'; m rm big >/dev/null
		topic limit
		m run --rm --network none --storage-opt size=50m layered:1 true; echo $?
		m run --rm --network none --storage-opt size=130m layered:1 stat -f -c '%b %S' /
		m run --rm --network none layered:1 stat -f -c '%b %S' /
		m ps -aq
		topic check
		m system check; echo $?
		touch "$root/devicemapper/ids/77"; m system check; m system check --repair; m system check; echo $?
		topic crash
		settled; before=$(pool_used)
		export MASU_ROOT=$root MASU_RUNROOT=/run/m$root POINTS=3
		sweep 'exec masu import /in/second.tar victim:1' 'masu rmi victim:1'
		sweep 'exec masu create --name victim --network none layered:1 /none' 'masu rm victim'
		sweep 'exec masu rm victim' true 'masu create --name victim --network none layered:1 /none'
		unset MASU_ROOT MASU_RUNROOT
		settled; m system check; echo $?; ls "$root/devicemapper/ids" | wc -l; m system df >/dev/null
		topic after-crash
		[ "$before" = "$(pool_used)" ] && echo same || echo "$before $(pool_used)"
		topic full
		dm import /in/huge.tar huge:1 >/dev/null; echo "import $?"
		m run --name filler --network none layered:1 sh -c 'dd if=/dev/urandom of=/fill bs=1M count=90; sync -f /fill; echo done' 2>&1 | tail -n 2
		m run --name second --network none layered:1 sh -c 'dd if=/dev/urandom of=/fill bs=1M count=90' 2>&1 | tail -n 1
		m create --name more layered:1 true; echo "create $?"
		dm import /in/second.tar second:1; echo "import $?"
		m rm -f filler second >/dev/null; m rmi huge:1 >/dev/null; settled; m images -q | wc -l; m ps -aq | grep -c .
		m run --rm --network none layered:1 ls /d/one; m system check; echo $?
		topic discarded
		du -m "$root/devicemapper/data" | cut -f 1
		topic emptied
		m rmi layered:1 >/dev/null; settled; ls "$root/devicemapper/ids" | wc -l; ls "$root/layers/devicemapper"; pool_used
		ls /dev/dm-* 2>/dev/null; rm -r "$root"

		root=/disk/two
		topic extend
		dm --storage-opt dm.basesize=100m --storage-opt dm.loopdatasize=80m --storage-opt dm.loopmetadatasize=2m \
			import /in/second.tar second:1 >/dev/null
		m storage info --format '{{.DataTotal}}'
		dm import /in/huge.tar huge:1 >/dev/null; echo $?; m storage info --format '{{.DataTotal}}'
		m run --rm --network none second:1 /busybox cat /file
		m rmi huge:1 >/dev/null
		topic migrate
		m run --name kept --network none second:1 /busybox sh -c '/busybox echo changed >/file; /busybox mkdir /dir'
		m storage migrate vfs; m diff kept; m cp kept:/file - | tar -xO; ls "$root/devicemapper" 2>&1
		m storage migrate --storage-opt dm.fs=xfs --storage-opt dm.datadev=/dev/vdd --storage-opt dm.metadatadev=/dev/vde devicemapper
		m diff kept; m cp kept:/file - | tar -xO; m storage info; m system check; echo $?
		m run --rm --network none second:1 /busybox grep ' / ' /proc/mounts | cut -d ' ' -f 3
		m rm kept >/dev/null; m rmi second:1 >/dev/null; settled; ls "$root/devicemapper/ids" | wc -l
		topic unmounted
		umount /disk; echo $?
		# Two roots on one pool: the second is told.
		root=/three
		dm --storage-opt dm.datadev=/dev/vdd --storage-opt dm.metadatadev=/dev/vde import /in/second.tar second:1
		# A pool that somebody else made and keeps.
		topic others-pool
		dd if=/dev/zero of=/dev/vde bs=4k count=1 2>/dev/null
		dmsetup create --noudevsync hand-made --table "0 $((200 * 2048)) thin-pool /dev/vde /dev/vdd 128 0 1 skip_block_zeroing"
		mkdir -p /dev/mapper # what udev would do
		ln -s "../$(dmsetup info -c --noheadings -o blkdevname hand-made)" /dev/mapper/hand-made
		ls /dev/mapper/hand-made
		root=/four
		dm --storage-opt dm.thinpooldev=/dev/mapper/nosuch import /in/second.tar second:1
		dm --storage-opt dm.thinpooldev=/dev/mapper/hand-made --storage-opt dm.basesize=100m import /in/second.tar second:1 >/dev/null; echo "import $?"
		m storage info | grep '^Pool'
		m run --name first --network none second:1 /busybox sh -c '/busybox echo changed >/file'
		m run --rm --network none second:1 /busybox cat /file; m cp first:/file - | tar -xO
		root=/five; dm --storage-opt dm.thinpooldev=/dev/mapper/hand-made import /in/second.tar second:1; root=/four
		m system check; echo "check $?"
		m rm first >/dev/null; m rmi second:1 >/dev/null; settled; ls "$root/devicemapper/ids" | wc -l
		# It stays, and with it what is in it.
		dmsetup info -c --noheadings -o name,open
		dmesg | grep -E 'orrupt|XFS.*(error|Corr)|BUG:|WARNING:' >/tmp/bad; topic dmesg; cat /tmp/bad
	SCRIPT
}

# What the guest said about it.
said() { # topic
	sed -n "/^== $1\$/,/^== /p" "$SAID" | grep -v '^== '
}

@test "options have Docker's names, others are refused by name, and nothing is made" {
	cut -c 1-300 "$SAID" "$SAID.failed"
	! grep '^== failed' "$SAID"
	said refused | grep -q 'dm.basesize: "1k" is not between'
	said refused | grep -q '"dm.use_deferred_removal" is not supported by storage driver devicemapper; there are dm.basesize'
	said refused | grep -q 'dm.datadev and dm.metadatadev are given both or not at all'
	said refused | grep -q -- '--storage-opt needs --storage-driver'
	said refused | grep -q 'storage driver vfs has no options'
	said refused | grep -q 'dm.metadatadev /dev/vdc is not empty'
	said refused | grep -q 'storage.json: No such file'
	[ "$(said refused | tail -n 1)" = ids ]
	said options | grep -q 'since it was chosen'
	said options | grep -qx 'devicemapper \*'
	said options | grep -qE '^Pool: masu-.*, ext4$'
	said options | grep -qE '^Pool data: [0-9.]+MB used of 210MB$'
}

@test "a container sees what overlay shows, and changes are told, committed and kept alike" {
	[ "$(said info)" = "devicemapper
devicemapper devicemapper" ]
	[ "$(said same | head -n 1)" -gt 200 ]
	said same | grep -qx same
	said own | grep -qx /many
	said own | grep -qx mine
	said own | grep -qx 'A /it-runs'
	said own | grep -qx while
	[ "$(said diff | head -n 1)" -gt 40 ]
	said diff | grep -qx same
	said commit | grep -qx same
	said sizes | grep -q '^2.05MB'
}

@test "--storage-opt size: a larger filesystem; less than dm.basesize is refused, and leaves nothing" {
	said limit | grep -q 'size: a container.s filesystem .* has at least 100MiB'
	[ "$(said limit | sed -n 2p)" = 125 ]
	[ "$(said limit | awk 'NR == 3 { print ($1 * $2 > 115000000) }')" = 1 ]
	[ "$(said limit | awk 'NR == 4 { print ($1 * $2 < 106000000) }')" = 1 ]
	[ "$(said limit | wc -l)" = 4 ]
}

@test "killed at any point nothing is wedged, and no device is forgotten" {
	[ "$(said check)" = "0
storage: device 77 of the pool is of no layer and no container; with --repair it is deleted
storage: device 77 of the pool is of no layer and no container; mended: it is deleted
0" ]
	[ "$(said crash)" = "0
3" ]
	[ "$(said after-crash)" = same ]
}

@test "a full pool: one message, nothing half made, and what is removed comes back" {
	[ "$(said full | head -n 1)" = "import 0" ]
	said full | grep -q 'no space left in the pool: .* have to stay free (dm.min_free_space)'
	said full | grep -qx 'create 125'
	said full | grep -qx 'import 1'
	[ "$(said full | tail -n 4)" = "1
0
/d/one
0" ]
	[ "$(said discarded)" -lt 40 ]
	[ "$(said emptied | head -n 1)" = 1 ]
	[ "$(said emptied | wc -l)" = 2 ]
}

@test "a pool in files is made larger before it is full" {
	[ "$(said extend)" = "83.9MB
0
101MB
second" ]
}

@test "to another driver and back, with devices and xfs; unused it holds nothing" {
	[ "$(said migrate | grep -cx 'C /file')" = 2 ]
	[ "$(said migrate | grep -cx 'A /dir')" = 2 ]
	[ "$(said migrate | grep -cx changed)" = 2 ]
	said migrate | grep -q 'devicemapper: No such file'
	said migrate | grep -qE '^Pool: .*, xfs$'
	said migrate | grep -qx xfs
	[ "$(said migrate | tail -n 1)" = 1 ]
	[ "$(said unmounted | head -n 1)" = 0 ]
	said unmounted | grep -q 'is not empty'
	[ -z "$(said dmesg)" ]
}

@test "a pool that somebody else made is used, and left as it was found" {
	said others-pool | grep -qx /dev/mapper/hand-made
	said others-pool | grep -q 'dm.thinpooldev.*/dev/mapper/nosuch'
	said others-pool | grep -qx 'import 0'
	said others-pool | grep -qE '^Pool: .*hand-made, ext4$'
	said others-pool | grep -qx changed
	said others-pool | grep -qx second
	said others-pool | grep -q "in use by another root or by Docker"
	said others-pool | grep -qx 'check 0'
	said others-pool | tail -n 1 | grep -qx 'hand-made:0'
}
