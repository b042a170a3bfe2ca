# Debian's kernel in QEMU, booted by a test: another kernel (6.1), pure cgroup v2, all capabilities, device-mapper,
# filesystems with quotas, disks of its own. Used like this (see vm-kernel.bats):
#
#   load ../lib/vm
#   setup_file() {
#       vm_setup_file                      # skips the file where there is no QEMU or kernel, naming what is missing
#       vm_add /usr/sbin/mkfs.xfs FILE...  # programs of this machine, with the libraries they need, at the same path
#       vm_add_tree DIR /in/the/guest      # a directory with all that is in it
#   }
#   @test … { vm_run [--disk MiB]... [--memory MiB] [--cpus N] [--timeout S] [--append WORDS] <<'SCRIPT'
#       …
#   SCRIPT
#   }
#
# vm_run boots the guest, runs the script (busybox ash, root, $PATH has masu and all applets) and returns its exit
# status; what it printed is on stdout, 124 means that the time ($VM_TIMEOUT, 120 s) was over: then the end of the
# kernel's console is on stderr. The guest's root is a copy of its own each time; --disk gives /dev/vdc, /dev/vdd …,
# empty. /proc, /sys, /dev, /run, /tmp and /sys/fs/cgroup (v2, all controllers enabled for children of the root) are
# mounted, `lo` is up, modules are loaded by the kernel or by modprobe. There is no network.
# A boot takes some seconds, so ask many things of one: print a line for each, and let tests look at the lines.
# The file's own group in the guest is /sys/fs/cgroup/init, so that the root's controllers can be given away.
#
# KVM is used where a guest really boots with it (a nested /dev/kvm may exist and open, and yet run nothing); what was
# found out is kept in build/vm/accel for this boot of the machine. VM_ACCEL=tcg or kvm says so by hand.

VM_TIMEOUT=${VM_TIMEOUT:-120}

vm_setup_file() {
	command -v qemu-system-x86_64 >/dev/null || skip "qemu-system-x86_64 is missing; run tools/setup test"
	VM_KERNEL=$("$REPO/tools/vm-kernel" 2>&1) || skip "no kernel to boot: $VM_KERNEL"
	export VM_KERNEL VM_TREE=$BATS_FILE_TMPDIR/vm-tree PATH=$PATH:/usr/sbin:/sbin
	vm_make_tree
	vm_make_initramfs
	vm_find_accel
}

# The guest's root: busybox, masu with its libexec, and what the test adds.
vm_make_tree() {
	mkdir -p "$VM_TREE"/{bin,sbin,usr/bin,usr/sbin,etc,dev,proc,sys,run,tmp,root,var/lib,lib,lib64,usr/lib/masu}
	cp /bin/busybox "$VM_TREE/bin/busybox"
	local applet file
	for applet in $(/bin/busybox --list); do
		[ "$applet" = busybox ] || ln -s busybox "$VM_TREE/bin/$applet"
	done
	# The kernel loads modules by this name.
	ln -s ../bin/busybox "$VM_TREE/sbin/modprobe"
	printf 'root:x:0:0:root:/root:/bin/sh\n' >"$VM_TREE/etc/passwd"
	printf 'root:x:0:\n' >"$VM_TREE/etc/group"
	echo guest >"$VM_TREE/etc/hostname"
	mkdir "$VM_TREE/lib/modules"
	mkdir -p "$VM_TREE/usr/libexec/masu"
	cp "$MASU" "$VM_TREE/usr/bin/masu"
	for file in "${MASU_LIBEXEC:-$(dirname "$MASU")/libexec/masu}"/*; do
		cp "$file" "$VM_TREE/usr/libexec/masu/"
		vm_add_libraries "$file"
	done
	cat >"$VM_TREE/sbin/vm-init" <<-'INIT'
		#!/bin/sh
		export PATH=/usr/bin:/usr/sbin:/bin:/sbin HOME=/root
		mount -t proc proc /proc
		mount -t sysfs sysfs /sys
		mount -t tmpfs -o mode=755 run /run
		mount -t tmpfs tmp /tmp
		mkdir -p /dev/pts /dev/shm /run/masu
		mount -t devpts devpts /dev/pts
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
		mkdir /sys/fs/cgroup/init
		echo $$ >/sys/fs/cgroup/init/cgroup.procs
		for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
			echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
		done
		mount -t ext4 -o ro /dev/vdb /lib/modules
		hostname guest
		ip link set lo up
		stty -F /dev/ttyS1 raw -echo
		sh /vm-script >/dev/ttyS1 2>&1 </dev/null
		printf '\n<vm-status %d>\n' $? >/dev/ttyS1
		sync
		reboot -f
	INIT
	chmod +x "$VM_TREE/sbin/vm-init"
}

# Loads what the disk needs and goes on from there: pivot_root(2) is not possible in an initramfs.
vm_make_initramfs() {
	local tree=$BATS_FILE_TMPDIR/vm-initramfs
	mkdir -p "$tree"/{bin,proc,dev,root,modules}
	cp /bin/busybox "$tree/bin/"
	cp "$VM_KERNEL"/modules/*.ko "$tree/modules/"
	cat >"$tree/init" <<-'INIT'
		#!/bin/busybox sh
		for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
			/bin/busybox insmod /modules/$module.ko
		done
		/bin/busybox mount -t devtmpfs dev /dev
		until [ -b /dev/vdb ]; do /bin/busybox sleep 0.05; done
		/bin/busybox mount -t ext4 /dev/vda /root
		/bin/busybox mount --move /dev /root/dev
		exec /bin/busybox switch_root /root /sbin/vm-init
	INIT
	chmod +x "$tree/init"
	(cd "$tree" && find . | /bin/busybox cpio -o -H newc) >"$BATS_FILE_TMPDIR/vm-initramfs.cpio" 2>/dev/null
}

vm_add_libraries() { # program of this machine
	local library
	ldd "$1" 2>/dev/null | sed -nE 's/.*=> (\/[^ ]+) .*|^\t(\/[^ ]+) .*/\1\2/p' | while read -r library; do
		[ -e "$VM_TREE$library" ] && continue
		mkdir -p "$VM_TREE$(dirname "$library")"
		cp -L "$library" "$VM_TREE$library"
	done
}

vm_add() { # files of this machine
	local file
	for file; do
		mkdir -p "$VM_TREE$(dirname "$file")"
		cp -L "$file" "$VM_TREE$file"
		vm_add_libraries "$file"
	done
}

vm_add_tree() { # directory, where in the guest
	mkdir -p "$VM_TREE$2"
	cp -a "$1/." "$VM_TREE$2/"
}

# Does a guest come as far as its init with KVM?
vm_find_accel() {
	local known=$REPO/build/vm/accel boot
	boot=$(cat /proc/sys/kernel/random/boot_id)
	if [ -z "${VM_ACCEL:-}" ] && [ "$(head -n 1 "$known" 2>/dev/null)" = "$boot" ]; then
		VM_ACCEL=$(tail -n 1 "$known")
	fi
	if [ -z "${VM_ACCEL:-}" ]; then
		VM_ACCEL=tcg
		if (exec 3<>/dev/kvm) 2>/dev/null && [ "$(echo echo works | VM_ACCEL=kvm VM_TIMEOUT=6 vm_run 2>/dev/null)" = works ]; then
			VM_ACCEL=kvm
		fi
		printf '%s\n%s\n' "$boot" "$VM_ACCEL" >"$known.$$"
		mv "$known.$$" "$known"
	fi
	export VM_ACCEL
}

# vm_run's own arguments become QEMU's, in $qemu.
vm_arguments() {
	local memory=512 cpus=2 append="" letter=0 root=$1
	shift
	qemu=(-drive "file=$root,format=raw,if=virtio,cache=unsafe"
		-drive "file=$VM_KERNEL/modules.ext4,format=raw,if=virtio,readonly=on")
	while [ $# -gt 0 ]; do
		case $1 in
		--disk)
			letter=$((letter + 1))
			truncate -s "$2M" "$root.disk$letter"
			qemu+=(-drive "file=$root.disk$letter,format=raw,if=virtio,cache=unsafe")
			;;
		--memory) memory=$2 ;;
		--cpus) cpus=$2 ;;
		--timeout) timeout=$2 ;;
		--append) append=$2 ;;
		*)
			echo "vm_run: what is $1?" >&2
			return 2
			;;
		esac
		shift 2
	done
	qemu+=(-m "$memory" -smp "$cpus" -append "console=ttyS0 quiet panic=-1 reboot=t rdinit=/init $append")
}

vm_run() { # options as above; the script on stdin
	local work status timeout=$VM_TIMEOUT qemu=()
	work=$(mktemp -d "$BATS_FILE_TMPDIR/vm.XXXXXX")
	cat >"$VM_TREE/vm-script"
	truncate -s 2G "$work/root"
	mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=1 -d "$VM_TREE" "$work/root" >"$work/mkfs" 2>&1 || {
		cat "$work/mkfs" >&2
		return 2
	}
	vm_arguments "$work/root" "$@" || return
	[ "$VM_ACCEL" = kvm ] && qemu+=(-cpu host)
	# timeout(1) ends only its own child.
	timeout -k 5 "$timeout" qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -M pc \
		-accel "$VM_ACCEL" -kernel "$VM_KERNEL/vmlinuz" -initrd "$BATS_FILE_TMPDIR/vm-initramfs.cpio" \
		-serial "file:$work/console" -serial "file:$work/out" "${qemu[@]}" </dev/null >"$work/qemu" 2>&1 3>&- 4>&-
	status=$?
	vm_result
	rm -rf "$work"
	return $status
}

# The script's output without the last line, which has its status.
vm_result() {
	local last
	last=$(tail -n 1 "$work/out" 2>/dev/null)
	if [[ $last =~ ^\<vm-status\ ([0-9]+)\>$ ]]; then
		status=${BASH_REMATCH[1]}
		# The line before it ends with the newline that was put before the mark.
		head -n -1 "$work/out" | sed '${/^$/d}'
		return
	fi
	[ "$status" -ne 0 ] || status=125
	cat "$work/out" 2>/dev/null
	{ echo "vm_run: the guest did not end its script"; cat "$work/qemu"; tail -n 30 "$work/console"; } >&2
}
