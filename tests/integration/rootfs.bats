#!/usr/bin/env bats
# The container's filesystem view through `masu oci run`, compared with what crun makes of the same
# bundle. What differs on purpose is left out of the comparison and named where it is.

load ../lib/oracle

setup() {
	BUNDLE=$BATS_TEST_TMPDIR/bundle
	mkdir -p "$BUNDLE"
	make_busybox_root "$BUNDLE/rootfs"
	(cd "$BUNDLE" && crun spec)
	configure '.process.terminal = false | del(.process.capabilities) | .root.readonly = false |
		.linux.resources = {} | .mounts |= map(select(.type != "cgroup")) |
		.linux.cgroupsPath = "/masu-rootfs-test"'
}

teardown() {
	# The scratch directory goes with the test; what is mounted there cannot.
	umount -R -l "$BATS_TEST_TMPDIR/source" "$BUNDLE/rootfs" 2>/dev/null || true
}

configure() { # jq filter: edits config.json
	jq "$1" "$BUNDLE/config.json" >"$BUNDLE/config.new"
	mv "$BUNDLE/config.new" "$BUNDLE/config.json"
}

script() { # text: what the container runs
	configure ".process.args = [\"/bin/sh\", \"-c\", $(jq -n --arg text "$1" '$text')]"
}

masu_run() {
	"$MASU" oci --root "$BATS_TEST_TMPDIR/masu" run --bundle "$BUNDLE" "$@" "masu-$$-$BATS_TEST_NUMBER"
}

crun_run() {
	oracle_crun_ready
	crun --root "$BATS_TEST_TMPDIR/crun" run --bundle "$BUNDLE" "$@" "crun-$$-$BATS_TEST_NUMBER"
}

same() { # the script prints the same under both, and prints something
	masu_run >"$BATS_TEST_TMPDIR/out.masu"
	crun_run >"$BATS_TEST_TMPDIR/out.crun"
	[ -s "$BATS_TEST_TMPDIR/out.masu" ]
	diff -u "$BATS_TEST_TMPDIR/out.crun" "$BATS_TEST_TMPDIR/out.masu"
}

add_mount() { # destination, type, source, option...
	local destination=$1 type=$2 source=$3
	shift 3
	configure ".mounts += [{destination: \"$destination\", type: \"$type\", source: \"$source\",
		options: $(jq -n '$ARGS.positional' --args -- "$@")}]"
}

@test "the default bundle has crun's mounts, options and filesystems" {
	# Masks are made of other filesystems by purpose: here only that the same paths have one.
	script 'sed "s/^[0-9]* [0-9]* [0-9:]* //; s/ \(shared\|master\):[0-9]*//" /proc/self/mountinfo |
		grep -v "/proc/[akst]\|/sys/firmware" | sort
		cut -d" " -f5 /proc/self/mountinfo | sort; cut -d" " -f5,6 /proc/self/mountinfo | grep "/proc/" |
		sed "s/,nosuid\|,nodev\|,noexec\|,relatime//g" | sort'
	same
}

@test "/dev has crun's nodes, modes, owners and links" {
	configure '.linux.devices = [
		{path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 432, uid: 1000, gid: 10},
		{path: "/dev/net/tun", type: "c", major: 10, minor: 200},
		{path: "/dev/loopish", type: "b", major: 7, minor: 250, fileMode: 384}]'
	script 'cd /dev; stat -c "%n %F %a %u:%g %t:%T" . * net/*; for l in fd stdin stdout stderr core ptmx; do
		readlink $l; done; echo x >null && dd if=/dev/zero bs=4 count=1 2>/dev/null | od -An -tx1'
	same
}

@test "every option of a bind mount gives crun's flags" {
	mkdir -p "$BATS_TEST_TMPDIR/source"
	mount -t tmpfs none "$BATS_TEST_TMPDIR/source"
	mkdir "$BATS_TEST_TMPDIR/source/sub"
	mount -t tmpfs none "$BATS_TEST_TMPDIR/source/sub"
	local i=0 options
	for options in ro rw nosuid suid nodev noexec noatime strictatime relatime nodiratime \
		ro,nosuid,nodev,noexec,noatime rro rnosuid,rnodev rnoexec rro,rnodev; do
		# shellcheck disable=SC2086
		add_mount "/mnt/r$i" bind "$BATS_TEST_TMPDIR/source" rbind ${options//,/ }
		# shellcheck disable=SC2086
		add_mount "/mnt/b$i" bind "$BATS_TEST_TMPDIR/source" bind ${options//,/ }
		i=$((i + 1))
	done
	script 'grep /mnt/ /proc/self/mountinfo |
		sed "s/^[0-9]* [0-9]* [0-9:]* //; s/\(shared\|master\):[0-9]*/\1/" | sort'
	same
	[ "$(wc -l <"$BATS_TEST_TMPDIR/out.masu")" -ge 45 ]
}

@test "propagation and nosymfollow of bind mounts" {
	# crun 1.8 leaves these out; what they mean is mount_namespaces(7) and mount(8).
	mkdir -p "$BATS_TEST_TMPDIR/source"
	mount -t tmpfs none "$BATS_TEST_TMPDIR/source"
	mount --make-shared "$BATS_TEST_TMPDIR/source"
	local option
	for option in none private rprivate shared rshared slave rslave unbindable runbindable nosymfollow; do
		add_mount "/mnt/$option" bind "$BATS_TEST_TMPDIR/source" bind ${option#none}
	done
	script "sed -n 's|.* / /mnt/\\([a-z]*\\) rw,relatime\\(.*\\) - tmpfs.*|\\1\\2|p' /proc/self/mountinfo |
		sed 's/:[0-9]*//' | sort"
	# What is shared follows the host, and is its peer where the root is shared, too, as under runc.
	local root
	for root in "" shared; do
		[ -z "$root" ] || configure ".linux.rootfsPropagation = \"$root\""
		masu_run | sed 's/master:[0-9]*/master/' | tee "$BATS_TEST_TMPDIR/out" >&2
		diff -u - "$BATS_TEST_TMPDIR/out" <<-EXPECTED
		none${root:+ master}
		nosymfollow,nosymfollow${root:+ master}
		private
		rprivate
		rshared shared$([ -n "$root" ] || echo " master")
		rslave master
		runbindable unbindable
		shared shared$([ -n "$root" ] || echo " master")
		slave master
		unbindable unbindable
		EXPECTED
	done
}

@test "options of new filesystems give crun's result" {
	add_mount /t1 tmpfs tmpfs size=64k mode=1700 nr_inodes=100 nosuid
	add_mount /t2 tmpfs named ro noexec
	add_mount /t3 tmpfs tmpfs rw strictatime uid=5 gid=6
	add_mount /t4 tmpfs tmpfs tmpcopyup mode=710
	add_mount /p2 proc proc ro nosuid
	mkdir "$BUNDLE/rootfs/t4"
	echo kept >"$BUNDLE/rootfs/t4/file"
	script 'grep " /[tp][1-4] " /proc/self/mountinfo | sed "s/^[0-9]* [0-9]* [0-9:]* //" | sort
		stat -c "%n %a %u:%g" /t1 /t2 /t3 /t4 /t4/file; cat /t4/file'
	same
	# Without a mode a tmpfs looks like the directory it covers, as runc and newer crun have it.
	mkdir "$BUNDLE/rootfs/t5"
	chmod 2711 "$BUNDLE/rootfs/t5"
	add_mount /t5 tmpfs tmpfs
	script 'stat -c %a /t5'
	[ "$(masu_run)" = 2711 ]
}

@test "mounts over files, directories and what is missing" {
	echo text >"$BATS_TEST_TMPDIR/file"
	mkdir "$BUNDLE/relative" "$BATS_TEST_TMPDIR/dir"
	echo inside >"$BUNDLE/relative/file"
	ln -s ../run/systemd/resolve/stub-resolv.conf "$BUNDLE/rootfs/etc/resolv.conf"
	add_mount /etc/resolv.conf bind "$BATS_TEST_TMPDIR/file" bind
	add_mount /new/file bind "$BATS_TEST_TMPDIR/file" bind ro
	add_mount /etc/passwd bind "$BATS_TEST_TMPDIR/file" bind ro
	add_mount /new/dir bind "$BATS_TEST_TMPDIR/dir" rbind ro
	add_mount /new/dir/nested bind "$BATS_TEST_TMPDIR/dir" rbind
	script 'cat /etc/resolv.conf /new/file /etc/passwd; touch /new/dir/x 2>&1 || echo refused
		touch /new/dir/nested/y; ls /new/dir /new/dir/nested'
	same
	rm -f "$BATS_TEST_TMPDIR/dir/y"
	# crun 1.8 takes relative sources from its own directory.
	add_mount /bundle bind relative bind
	script 'cat /bundle/file'
	[ "$(masu_run)" = inside ]
}

@test "read-only root, masked and read-only paths" {
	configure '.root.readonly = true | .linux.maskedPaths = ["/proc/meminfo", "/proc/fs", "/sys/kernel",
		"/no/such"] | .linux.readonlyPaths = ["/proc/sys", "/tmp", "/no/such"]'
	add_mount /tmp tmpfs tmpfs mode=1777
	script 'touch /x 2>&1 || echo root is read-only; touch /tmp/x 2>&1 || echo tmp is read-only
		wc -c </proc/meminfo; ls /proc/fs /sys/kernel; stat -c "%F %t:%T" /proc/meminfo
		echo x 2>&1 >/proc/sys/kernel/hostname || echo sys is read-only; touch /dev/shm/x && echo shm is not'
	same
}

@test "a user namespace has crun's view" {
	configure '.linux.namespaces += [{type: "user"}] |
		.linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] |
		.linux.gidMappings = [{containerID: 0, hostID: 100000, size: 65536}]'
	chown -hR 100000:100000 "$BUNDLE/rootfs"
	chmod 755 "$BATS_TEST_TMPDIR" "$BUNDLE"
	script 'sed "s/^[0-9]* [0-9]* [0-9:]* //; s/ \(shared\|master\):[0-9]*//" /proc/self/mountinfo |
		grep " /\(dev\|proc\|sys\)\(/[mps][a-z]*\)\? " | sort
		cd /dev; stat -c "%n %F %a" *; echo x >null && echo works'
	same
}

@test "id-mapped binds show the mapped owners" {
	mkdir "$BATS_TEST_TMPDIR/data"
	touch "$BATS_TEST_TMPDIR/data/file"
	chown 1000:1001 "$BATS_TEST_TMPDIR/data/file"
	add_mount /data bind "$BATS_TEST_TMPDIR/data" bind idmap
	configure '.mounts[-1].uidMappings = [{containerID: 1000, hostID: 2000, size: 10}] |
		.mounts[-1].gidMappings = [{containerID: 1000, hostID: 3000, size: 10}]'
	script 'stat -c %u:%g /data/file'
	[ "$(masu_run)" = 2000:3001 ]
}

@test "propagation of the root as crun's" {
	mount --bind "$BUNDLE/rootfs" "$BUNDLE/rootfs"
	mount --make-shared "$BUNDLE/rootfs"
	for propagation in private slave shared unbindable; do
		configure ".linux.rootfsPropagation = \"$propagation\""
		script "awk '\$5 == \"/\"' /proc/self/mountinfo | grep -o 'master\\|shared\\|unbindable' ||
			echo private"
		case $propagation in
		slave) [ "$(masu_run)" = master ] ;;
		*) [ "$(masu_run)" = "$propagation" ] ;;
		esac
	done
}

@test "a container without a mount namespace leaves no mount behind" {
	configure '.linux.namespaces |= map(select(.type != "mount"))'
	mkdir "$BATS_TEST_TMPDIR/data"
	echo seen >"$BATS_TEST_TMPDIR/data/file"
	add_mount /data bind "$BATS_TEST_TMPDIR/data" rbind
	script 'cat /data/file; ls /proc/self/fd >/dev/null && echo proc'
	local before after
	before=$(cat /proc/self/mountinfo)
	[ "$(masu_run)" = "seen
proc" ]
	after=$(cat /proc/self/mountinfo)
	[ "$before" = "$after" ]
}

@test "--no-pivot gives the same view and leaves none of the host's mounts" {
	script 'ls /; cut -d" " -f5 /proc/self/mountinfo | sort'
	masu_run >"$BATS_TEST_TMPDIR/pivot"
	masu_run --no-pivot >"$BATS_TEST_TMPDIR/no-pivot"
	diff -u "$BATS_TEST_TMPDIR/pivot" "$BATS_TEST_TMPDIR/no-pivot"
}

@test "sysctls are written to the kernel's own files whatever covers /proc/sys (CVE-2025-52881)" {
	mkdir -p "$BATS_TEST_TMPDIR/fake/net/ipv4" "$BATS_TEST_TMPDIR/fake/kernel"
	touch "$BATS_TEST_TMPDIR/fake/net/ipv4/ip_default_ttl" "$BATS_TEST_TMPDIR/fake/kernel/msgmax"
	add_mount /proc/sys bind "$BATS_TEST_TMPDIR/fake" bind
	configure '.linux.sysctl = {"net.ipv4.ip_default_ttl": "77", "kernel.msgmax": "12345"} |
		.linux.readonlyPaths = []'
	script 'mkdir -p /tmp/p && mount -t proc proc /tmp/p 2>/dev/null; cat /proc/sys/net/ipv4/ip_default_ttl;
		echo end'
	run masu_run
	[ "$status" -eq 0 ]
	[ "$output" = end ]
	[ ! -s "$BATS_TEST_TMPDIR/fake/net/ipv4/ip_default_ttl" ]
	# And without the cover it is seen to have been written.
	configure '.mounts |= map(select(.destination != "/proc/sys"))'
	script 'cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax'
	[ "$(masu_run)" = "77
12345" ]
}

@test "what cannot be mounted is refused in one line that names it, and nothing is left" {
	local before
	before=$(cat /proc/self/mountinfo)
	while read -r destination type source options; do
		cp "$BUNDLE/config.json" "$BATS_TEST_TMPDIR/saved"
		# shellcheck disable=SC2086
		add_mount "$destination" "$type" "$source" $options
		script true
		run masu_run
		[ "$status" -ne 0 ]
		[ "${#lines[@]}" -eq 1 ]
		[[ "${lines[0]}" == *"$destination"* ]]
		mv "$BATS_TEST_TMPDIR/saved" "$BUNDLE/config.json"
	done <<-'CASES'
	/m1 bind /no/such/source bind
	/m2 nosuchfs none
	/m3 tmpfs tmpfs size=nonsense
	/m4 tmpfs tmpfs bogusoption
	/etc/passwd bind / bind
	/m5 none none ro
	/m6 bind /tmp bind idmap
	/m7 proc proc tmpcopyup
	CASES
	[ "$before" = "$(cat /proc/self/mountinfo)" ]
	[ ! -d /sys/fs/cgroup/pids/masu-rootfs-test ]
}

@test "/proc, /sys and /dev that are links are refused" {
	for dir in proc sys dev; do
		rmdir "$BUNDLE/rootfs/$dir"
		mkdir -p "$BUNDLE/rootfs/elsewhere"
		ln -s elsewhere "$BUNDLE/rootfs/$dir"
		script true
		run masu_run
		[ "$status" -ne 0 ]
		[[ "$output" == *"/$dir"*"symbolic link"* ]]
		rm "$BUNDLE/rootfs/$dir"
		mkdir "$BUNDLE/rootfs/$dir"
	done
}
