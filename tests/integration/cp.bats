#!/usr/bin/env bats
# `masu cp`, both ways, for containers that run and that do not: docker's rules with podman as the oracle, what is kept
# of a file, and a container that does its worst meanwhile. Tests with "±" show that they can fail: the debug build
# without the defence lets the attack succeed.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	export MASU_DEBUG=${MASU_DEBUG:-$REPO/build-debug/bin/masu}
	cc -O1 -D_GNU_SOURCE -static -o "$BATS_FILE_TMPDIR/swap" "$REPO/tests/integration/src/swap.c"
	m_run -d --name live -v shared:/data --tmpfs /mem busybox:local sleep 1000
	m_create --name still -v still:/data busybox:local true
	export ORACLE_PODMAN_RUNROOT=$(mktemp -d /tmp/cp-XXXXXX) # podman's may have 50 characters
}

teardown_file() {
	rm -rf "$ORACLE_PODMAN_RUNROOT"
	engine_teardown_file
}

setup() {
	cd "$BATS_TEST_TMPDIR"
	mkdir -p tree/sub
	echo one >tree/one
	echo two >tree/sub/two
	echo file >file
}

# The program without a defence.
m_without() {
	local defence=$1
	shift
	ASAN_OPTIONS=detect_leaks=0 MASU_TEST_WITHOUT=$defence MASU_LIBEXEC=${MASU_DEBUG%/*}/libexec/masu \
		timeout 60 "$MASU_DEBUG" "$@" 3>&- 4>&-
}

set_note() {
	python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.note", b"hello")' "$1"
}

note_of() {
	python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.note").decode())' "$1"
}

inside() { # shell text, run in the container "live"
	m exec live sh -c "$1"
}

fresh() { # an empty directory of the test's own in both containers
	inside "rm -rf /work && mkdir /work"
}

# --- the rules ---

# Names and kinds, as tar shows them.
kinds() {
	tar tf - | sed 's,^\./,,; s,/$,,' | sort
}

@test "what goes where is as with podman, into a container" {
	oracle_crun_ready
	tar -C "$BATS_FILE_TMPDIR/tree" -c . | oracle_podman import - busybox:local >/dev/null
	local cases=("file /t" "file /t/" "file /t/new" "file /t/old" "file /t/dir" "file /t/dir/" "tree /t" "tree/ /t"
		"tree/. /t" "tree /t/new" "tree/. /t/new" "tree/sub /t/dir" "file /none/x" "file /t/new/" "tree /none/x/y"
		"missing /t" "tree /t/dir/." "tree/. /t/dir/.")
	local case ours theirs
	mkdir -p start/t/dir
	echo old >start/t/old
	for case in "${cases[@]}"; do
		m_create --name rule busybox:local true >/dev/null
		oracle_podman create --name rule --network none busybox:local true >/dev/null
		tar -C start -c t | m cp - rule:/
		tar -C start -c t | oracle_podman cp - rule:/
		ours=0 theirs=0
		m cp -q ${case% *} rule:${case#* } 2>ours.err || ours=1
		oracle_podman cp ${case% *} rule:${case#* } 2>/dev/null || theirs=1
		[ "$ours" = "$theirs" ] || { echo "$case: status $ours, podman $theirs: $(cat ours.err)"; return 1; }
		diff <(m cp rule:/t - | kinds) <(oracle_podman cp rule:/t - | kinds) || { echo "$case differs"; return 1; }
		m rm rule
		oracle_podman rm rule >/dev/null
	done
}

@test "what goes where, out of a container, by docker's reference" {
	m cp -q tree live:/rules
	m cp -q live:/rules/one new && [ "$(cat new)" = one ]
	run ! m cp live:/rules/one none/
	[[ "$output" == *"no such directory"* ]]
	echo old >old
	m cp -q live:/rules/one old && [ "$(cat old)" = one ]
	mkdir dir
	m cp -q live:/rules/one dir && [ "$(cat dir/one)" = one ]
	m cp -q live:/rules copy && [ -f copy/sub/two ]
	run ! m cp live:/rules old
	[[ "$output" == *"cannot copy directory"* ]]
	m cp -q live:/rules dir && [ -f dir/rules/sub/two ]
	m cp -q live:/rules/. dir && [ -f dir/sub/two ]
	run ! m cp live:/rules/one/ dir
	[[ "$output" == *"not a directory"* ]]
	run ! m cp live:/nothing dir
	[[ "$output" == *"Could not find the file /nothing in container live"* ]]
	run ! m cp live:/rules/one none/new
	mkdir -p dir/conflict/one
	run ! m cp live:/rules/one dir/conflict
	[[ "$output" == *"cannot overwrite directory"* ]]
	: >plain && mkdir merge && : >merge/rules
	run ! m cp live:/rules merge
	[[ "$output" == *"cannot overwrite non-directory"* ]]
	# relative paths of the container begin at its root; a colon in a path of this machine
	m cp -q live:rules/one ./a:b && [ "$(cat a:b)" = one ]
}

@test "arguments that make no sense are refused with docker's words" {
	run ! m cp file file2
	[[ "$output" == *"must specify at least one container source"* ]]
	run ! m cp live:/x still:/y
	[[ "$output" == *"copying between containers is not supported"* ]]
	run ! m cp live: x
	[[ "$output" == *"source can not be empty"* ]]
	run ! m cp file nosuch:/x
	[[ "$output" == *"No such container: nosuch"* ]]
	run ! m cp - live:/etc/passwd </dev/null
	[[ "$output" == *'destination "live:/etc/passwd" must be a directory'* ]]
}

@test "the report goes to stderr and is silent with -q" {
	run --separate-stderr m cp file live:/tmp/report
	[ -z "$output" ]
	[ "$stderr" = "Successfully copied 2.05kB to live:/tmp/report" ]
	run m cp -q file live:/tmp/report
	[ -z "$output" ]
}

# --- what a container sees ---

@test "a running container's volumes and tmpfs are seen, a stopped one's volumes too" {
	m cp -q file live:/mem/file
	[ "$(inside 'cat /mem/file')" = file ]
	m cp -q file live:/data/file
	[ "$(cat "$MASU_ROOT/volumes/shared/_data/file")" = file ]
	m cp -q file still:/data/file
	[ "$(cat "$MASU_ROOT/volumes/still/_data/file")" = file ]
	m cp -q still:/data/file back && [ "$(cat back)" = file ]
	! grep -q "$MASU_ROOT/containers" /proc/self/mountinfo
}

@test "what may not be written in the container is not written" {
	mkdir host && echo host >host/a
	m_create --name sealed --read-only -v "$PWD/host:/host:ro" busybox:local true
	run ! m cp file sealed:/host/b
	[[ "$output" == *"Read-only"* || "$output" == *"read-only"* ]]
	run ! m cp file sealed:/b
	[[ "$output" == *"Read-only"* || "$output" == *"read-only"* ]]
	[ ! -e host/b ]
	m cp -q sealed:/host/a out && [ "$(cat out)" = host ]
	m rm sealed
}

@test "mounts inside mounts, and files that are mounts" {
	mkdir -p outer/inner deep && echo deep >deep/file && echo single >single
	m_create --name nest -v "$PWD/deep:/outer/inner" -v "$PWD/outer:/outer" -v "$PWD/single:/etc/single" busybox:local true
	m cp -q nest:/outer/inner/file a && [ "$(cat a)" = deep ]
	m cp -q nest:/etc/single b && [ "$(cat b)" = single ]
	m cp -q nest:/outer c && [ "$(cat c/inner/file)" = deep ]
	run ! m cp file nest:/etc/single
	[[ "$output" == *"mount point"* ]]
	[ "$(cat single)" = single ]
	m rm nest
}

@test "a copy that is killed leaves no mount, and the container starts" {
	m_create --name killed -v killed:/data busybox:local true
	mkfifo pipe
	"$MASU" cp - killed:/data <pipe 3>&- 4>&- &
	local pid=$!
	exec 9>pipe
	head -c 100000 /dev/zero | tar -c --transform 's,.*,zeroes,' file >&9
	sleep 0.1
	kill -KILL $pid
	wait $pid || true
	exec 9>&-
	! grep -q "$MASU_ROOT/containers" /proc/self/mountinfo
	m start -a killed
	m rm -v killed
}

# --- what is kept of a file ---

@test "modes, times with nanoseconds, links, holes, attributes and nodes go in and come out" {
	fresh
	mkdir -p src/dir
	touch -d '2001-02-03 04:05:06.123456789' src/dir/old
	touch -d '1965-01-01 00:00:00.5' src/dir/older
	chmod 0640 src/dir/old
	ln src/dir/old src/hard
	ln -s ../nowhere src/link
	mknod src/null c 1 3
	mkfifo src/fifo
	truncate -s 4M src/hole && echo end >>src/hole
	set_note src/dir/old
	python3 -c "import socket; s = socket.socket(socket.AF_UNIX); s.bind('src/socket')"
	touch -d '2010-10-10 10:10:10.1' src/dir
	local what='%P %y %m %T@ %s %l\n' c
	for c in live still; do
		m cp -q src $c:/tmp/src
		m cp -q $c:/tmp/src out-$c
		rm -f src/socket
		# what comes out as a device node is for its owner only
		diff <(cd src && find . -mindepth 1 ! -name null -printf "$what" | sort) \
			<(cd out-$c && find . -mindepth 1 ! -name null -printf "$what" | sort)
		[ "$(stat -c %i out-$c/hard)" = "$(stat -c %i out-$c/dir/old)" ]
		[ "$(note_of out-$c/dir/old)" = hello ]
		[ "$(stat -c '%F %t:%T %a' out-$c/null)" = "character special file 1:3 600" ]
		[ "$(stat -c %b out-$c/hole)" -lt 100 ]
		cmp src/hole out-$c/hole
		# and the same as a stream
		m cp $c:/tmp/src - >stream.tar
		mkdir tar-$c && tar -C tar-$c --xattrs -xf stream.tar
		diff <(cd src && find . -mindepth 1 -printf "$what" | sort) \
			<(cd tar-$c/src && find . -mindepth 1 -printf "$what" | sort)
		[ "$(note_of tar-$c/src/dir/old)" = hello ]
		[ "$(stat -c %s stream.tar)" -lt 200000 ]
		m cp - $c:/mnt-$c 2>/dev/null <stream.tar && return 1
		m exec live true
	done
	tar -c --format=posix --xattrs src | m cp - live:/work
	m cp -q live:/work/src again
	diff <(cd src && find . -mindepth 1 ! -name null -printf "$what" | sort) \
		<(cd again && find . -mindepth 1 ! -name null -printf "$what" | sort)
}

@test "owners: root's inside, the caller's outside, their own with -a and in streams" {
	fresh
	chown 1234:2345 file
	m cp -q file live:/work/a
	[ "$(inside 'stat -c %u:%g /work/a')" = 0:0 ]
	m cp -q -a file live:/work/b
	[ "$(inside 'stat -c %u:%g /work/b')" = 1234:2345 ]
	m cp -q live:/work/b c && [ "$(stat -c %u:%g c)" = 0:0 ]
	m cp -q -a live:/work/b d && [ "$(stat -c %u:%g d)" = 1234:2345 ]
	tar -c file | m cp - live:/work
	[ "$(inside 'stat -c %u:%g /work/file')" = 1234:2345 ]
	m cp live:/work/file - | tar tv --numeric-owner | grep -q 1234/2345
	# a directory that is filled keeps its owner and mode
	inside 'mkdir -m 1777 /work/filled'
	chmod 700 tree
	m cp -q tree/. live:/work/filled
	[ "$(inside 'stat -c %a /work/filled')" = 1777 ]
}

@test "links in SRC_PATH: copied as such, followed with -L or a slash" {
	fresh
	inside 'echo target >/work/target; ln -s target /work/link; mkdir /work/d; : >/work/d/in; ln -s d /work/dlink'
	m cp -q live:/work/link a && [ "$(readlink a)" = target ]
	m cp -q -L live:/work/link b && [ ! -L b ] && [ "$(cat b)" = target ]
	mkdir into
	m cp -q -L live:/work/link into && [ "$(cat into/link)" = target ]
	m cp -q live:/work/dlink/ c && [ -f c/in ]
	m cp -q live:/work/dlink/. d && [ -f d/in ]
	ln -s file l
	m cp -q l live:/work/l && [ "$(inside 'readlink /work/l')" = file ]
	m cp -q -L l live:/work/l2 && [ "$(inside 'cat /work/l2')" = file ]
	# a link as destination in the container leads where it leads there
	inside 'ln -s /work/d /work/abs; ln -s made /work/dangling'
	m cp -q file live:/work/abs && [ "$(inside 'cat /work/d/file')" = file ]
	m cp -q file live:/work/dangling && [ "$(inside 'cat /work/made')" = file ]
}

@test "compressed and damaged archives are refused by name" {
	run ! m cp - live:/tmp < <(tar -cz file)
	[[ "$output" == *"compressed"*"gzip -dc"* ]]
	run ! m cp - live:/tmp < <(tar -c file | head -c 300)
	[[ "$output" == *"cut off"* || "$output" == *"tar archive"* ]]
	run ! m cp - live:/tmp < <(head -c 2048 /dev/urandom)
	[[ "$output" == *"tar archive"* ]]
	m cp - live:/tmp < <(tar -c -T /dev/null)
}

@test "export is the root without what is mounted in it, running or not" {
	inside 'echo x >/root/exported'
	m export live >a.tar
	tar tf a.tar | grep -q '^root/exported$'
	tar tf a.tar | grep -q '^data/hello$'
	! tar tf a.tar | grep -q -e '^proc/.' -e '^sys/.' -e '^dev/pts/.'
	m export -o b.tar still
	tar tf b.tar | grep -q '^bin/busybox$'
	tar tf a.tar | grep -q '^bin/$'
	m import b.tar again:1 && m_run --rm again:1 true
	oracle_crun_ready
	oracle_podman import b.tar again:1 >/dev/null
	run ! m export nosuch
	[[ "$output" == *"No such container: nosuch"* ]]
}

# --- hostile containers ---

@test "± links in any component stay inside, out and in" {
	mkdir canary && echo host-secret >canary/secret
	fresh
	inside "ln -s '$PWD/canary' /work/abs; ln -s ../../../../../../../../$PWD/canary /work/rel; mkdir -p /work/a; ln -s '$PWD' /work/a/b"
	local path
	for path in /work/abs/secret /work/rel/secret /work/a/b/canary/secret /work/../../../..$PWD/canary/secret; do
		run ! m cp live:$path stolen
		run ! m cp file live:${path%/*}/planted
		[ ! -e stolen ] && [ ! -e canary/planted ]
	done
	run m cp -L live:/work/abs stolen
	[ ! -e stolen ]
	m_without in-root cp live:/work/abs/secret stolen 2>/dev/null
	[ "$(cat stolen)" = host-secret ]
}

@test "the proc filesystem of the container is no way out" {
	local path
	for path in /proc/1/root/etc/passwd /proc/self/root/etc /proc/1/cwd /proc/self/fd/0; do
		run m cp live:$path stolen
		[ ! -e stolen ] || [ -L stolen ] || return 1
		rm -f stolen
	done
	run ! m cp file live:/proc/1/root/tmp/planted
	run ! m cp file live:/proc/sysrq-trigger
	run ! m cp file live:/sys/planted
	m cp -q live:/proc/self/status out 2>/dev/null || true
	m cp -q live:/proc out-proc
	[ -z "$(ls -A out-proc)" ]
	m cp -q live:/proc/meminfo out-meminfo
	grep -q MemTotal out-meminfo
}

@test "± a device or a link in place of the destination is replaced, not written to" {
	fresh
	inside 'mknod /work/node c 1 3'
	m cp -q file live:/work/node
	[ "$(inside 'stat -c %F /work/node')" = "regular file" ]
	inside 'rm /work/node; mknod /work/node c 1 3'
	m_without copy-new-file cp file live:/work/node 2>/dev/null
	[ "$(inside 'stat -c %F /work/node')" = "character special file" ]
}

@test "± FIFOs and devices are copied as such, nobody waits for them" {
	fresh
	inside 'mkfifo /work/fifo; mknod /work/zero c 1 5'
	timeout 60 "$MASU" cp -q live:/work out
	[ -p out/fifo ] && [ -c out/zero ]
	run -124 timeout -k 1 2 env ASAN_OPTIONS=detect_leaks=0 MASU_TEST_WITHOUT=copy-regular \
		MASU_LIBEXEC="${MASU_DEBUG%/*}/libexec/masu" "$MASU_DEBUG" cp live:/work/fifo hang
}

@test "± what an earlier copy brought does not redirect a later one" {
	mkdir canary host && echo mine >canary/file
	fresh
	inside "mkdir /work/d; ln -s '$PWD/canary' /work/d/x; ln -s '$PWD/canary/file' /work/f"
	m cp -q live:/work/d/. host
	m cp -q live:/work/f host/f
	[ -L host/x ] && [ -L host/f ]
	inside 'rm /work/d/x /work/f; mkdir /work/d/x; echo evil >/work/d/x/file; echo evil >/work/f'
	run ! m cp live:/work/d/. host
	[[ "$output" == *"cannot overwrite non-directory"* ]]
	m cp -q live:/work/f host/f # replaces the link
	[ ! -L host/f ] && [ "$(cat host/f)" = evil ]
	run ! m cp live:/work/f host/x
	[[ "$output" == *"symbolic link"* ]]
	[ "$(ls canary)" = file ] && [ "$(cat canary/file)" = mine ]
	# the way in: an archive that plants a link and writes through it
	mkdir plant && ln -s "$PWD/canary" plant/out
	tar -C plant -cf link.tar out
	tar -cf through.tar --transform 's,^file,out/planted,' file
	tar --concatenate -f link.tar through.tar
	run ! m cp - live:/work <link.tar
	[[ "$output" == *"symbolic link"* ]]
	[ ! -e canary/planted ]
	run ! m cp - live:/work < <(python3 - <<-'PY'
	import tarfile, io, sys
	t = tarfile.open(fileobj=sys.stdout.buffer, mode="w|")
	t.addfile(tarfile.TarInfo("../../../../../../../../../../tmp/planted"), io.BytesIO(b""))
	t.close()
	PY
	)
	[[ "$output" == *'".."'* ]]
	m_without copy-beneath cp - live:/work <link.tar
	[ -e canary/planted ]
	ln -s "$PWD/canary/file" host/g
	m_without copy-destination-link cp live:/work/f host/g 2>/dev/null
	[ -L host/g ]
	[ "$(cat canary/file)" = evil ]
}

@test "± nothing that comes out gives power over this machine" {
	fresh
	inside 'cp /bin/busybox /work/sh; chmod 6755 /work/sh; mknod -m 666 /work/disk b 8 0; chown 1000 /work/disk'
	m cp -q live:/work out
	[ "$(stat -c %a out/sh)" = 755 ]
	[ "$(stat -c '%a %u' out/disk)" = "600 0" ]
	m cp -q -a live:/work kept
	[ "$(stat -c %a kept/sh)" = 6755 ]
	[ "$(stat -c '%a %u' kept/disk)" = "600 0" ]
	m_without copy-privileges cp -q live:/work bad
	[ "$(stat -c %a bad/sh)" = 6755 ]
}

@test "± a race of exchanged names leads nowhere" {
	mkdir canary && echo host-secret >canary/file
	fresh
	m cp -q "$BATS_FILE_TMPDIR/swap" live:/work/swap
	inside "mkdir /work/d; echo harmless >/work/d/file; ln -s '$PWD/canary' /work/l"
	m exec -d live /work/swap /work/d /work/l 40
	local i
	for i in $(seq 150); do
		m cp -q live:/work/d/file out 2>/dev/null || true
		m cp -q live:/work/d out-$i 2>/dev/null || true
		m cp -q file live:/work/d/planted 2>/dev/null || true
		m cp -q -L live:/work/d via-$i 2>/dev/null || true
	done
	! grep -qr host-secret out out-* via-* 2>/dev/null
	[ "$(ls canary)" = file ]
	for i in $(seq 300); do
		m_without copy-nofollow,in-root cp -q live:/work/d/file bad 2>/dev/null || true
		! grep -qs host-secret bad || break
	done
	inside 'killall swap'
	grep -q host-secret bad
}

@test "giant files with holes and deep trees end soon" {
	fresh
	inside 'truncate -s 4000000000000 /work/giant || dd if=/dev/zero of=/work/giant bs=1 count=1 seek=3999999999999'
	timeout 60 "$MASU" cp -q live:/work/giant out
	[ "$(stat -c %s out)" = 4000000000000 ] && [ "$(stat -c %b out)" -lt 1000 ]
	timeout 60 "$MASU" cp live:/work/giant - >giant.tar
	[ "$(stat -c %s giant.tar)" -lt 100000 ]
	inside 'cd /work; i=0; while [ $i -lt 600 ]; do mkdir d && cd d || exit; i=$((i+1)); done'
	run ! timeout 60 "$MASU" cp -q live:/work/d deep
	[[ "$output" == *"deep"* ]]
}
