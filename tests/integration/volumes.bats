#!/usr/bin/env bats
# Named volumes: what fills them, what may be asked of them, and what happens to them.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	local tree=$BATS_FILE_TMPDIR/tree
	mkdir -p "$tree/seed/sub" "$tree/void"
	echo seed >"$tree/seed/file"
	ln "$tree/seed/file" "$tree/seed/hard"
	ln -s file "$tree/seed/link"
	truncate -s 8M "$tree/seed/hole"
	chown -R 1000:100 "$tree/seed"
	chmod 2770 "$tree/seed"
	chmod 1777 "$tree/void"
	tar -C "$tree" -S -c . | "$MASU" import - volumes:1 >/dev/null
}

teardown_file() {
	engine_teardown_file
}

setup() {
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	remove_all
	m volume prune -af >/dev/null
}

data() { # volume: where its files are
	echo "$MASU_ROOT/volumes/$1/_data"
}

# --- copy-up ---

@test "the first use fills a volume with what the image has there, owners and links and holes" {
	m_run --rm -v vol:/seed volumes:1 true
	[ "$(stat -c '%a %u:%g' "$(data vol)")" = "2770 1000:100" ]
	[ "$(cat "$(data vol)/file")" = seed ]
	[ "$(stat -c %i "$(data vol)/file")" = "$(stat -c %i "$(data vol)/hard")" ]
	[ "$(readlink "$(data vol)/link")" = file ]
	[ "$(stat -c %b "$(data vol)/hole")" -lt 100 ]
	# only the first use, and only where it is empty
	rm "$(data vol)/file"
	m_run --rm -v vol:/seed volumes:1 sh -c '! test -e /seed/file'
	m volume create other >/dev/null
	: >"$(data other)/mine"
	m_run --rm -v other:/seed volumes:1 sh -c 'test -e /seed/mine && ! test -e /seed/file'
	# an empty directory of the image gives its own look
	m_run --rm -v void:/void volumes:1 true
	[ "$(stat -c %a "$(data void)")" = 1777 ]
}

@test "nocopy leaves it empty, in -v and in --mount" {
	m_run --rm -v v1:/seed:nocopy volumes:1 sh -c '! test -e /seed/file'
	m_run --rm --mount type=volume,src=v2,dst=/seed,volume-nocopy volumes:1 sh -c '! test -e /seed/file'
	m_run --rm --mount type=volume,src=v3,dst=/seed,volume-nocopy=false volumes:1 test -e /seed/file
}

@test "what a killed copy-up left is copied anew" {
	m volume create half >/dev/null
	mkdir "$(data half)/sub" && echo incompl >"$(data half)/file"
	: >"$MASU_ROOT/volumes/half/copying"
	m_run --rm -v half:/seed volumes:1 sh -c '[ "$(cat /seed/file)" = seed ] && test -L /seed/link'
	[ ! -e "$MASU_ROOT/volumes/half/copying" ]
	echo mine >"$(data half)/file"
	m_run --rm -v half:/seed volumes:1 sh -c '[ "$(cat /seed/file)" = mine ]'
}

@test "what cp puts into a volume before the first start does not keep the image's content out" {
	echo mine >mine
	m_create --name early -v early:/seed --privileged volumes:1 sh -c 'cat /seed/mine /seed/file'
	m cp -q mine early:/seed/mine
	[ "$(cat "$(data early)/file")" = seed ]
	run m start -a early
	[ "$output" = "mine
seed" ]
}

# --- volumes as objects ---

@test "create, ls, inspect, rm: docker's words, columns and documents" {
	[ "$(m volume create named --label a=1 --label b)" = named ]
	[ "$(m volume create named)" = named ]
	local anonymous=$(m volume create)
	[ "${#anonymous}" -eq 64 ]
	run m volume ls
	[ "${lines[0]}" = "DRIVER    VOLUME NAME" ]
	[[ "$output" == *"local     named"* ]]
	[ "$(m volume ls -q | wc -l)" = 2 ]
	[ "$(m volume inspect named | jq -c '.[0] | [.Name, .Driver, .Scope, .Labels, .Mountpoint]')" = \
		"[\"named\",\"local\",\"local\",{\"a\":\"1\",\"b\":\"\"},\"$(data named)\"]" ]
	[ "$(m volume inspect "$anonymous" -f '{{json .Labels}}')" = '{"com.docker.volume.anonymous":""}' ]
	[ "$(m volume inspect -f '{{.Mountpoint}}' named)" = "$(data named)" ]
	[ "$(m volume ls --filter name=named --format '{{.Labels}} {{.Links}} {{.Size}}')" = "a=1,b= N/A N/A" ]
	[ "$(m volume ls --filter name=named --format json | jq -r .Driver)" = local ]
	run ! m volume inspect nosuch
	[[ "$output" == *"no such volume"* ]]
	run ! m volume rm nosuch
	[[ "$output" == *"no such volume"* ]]
	m volume rm -f nosuch
	[ "$(m volume rm named)" = named ]
	run ! m volume create ../up
	[[ "$output" == *"invalid characters for a local volume name"* ]]
	run ! m volume create -d nfs other
	[[ "$output" == *'volume driver "nfs" is not supported'* ]]
}

@test "filters: dangling, driver, label, name; the same names podman shows" {
	export ORACLE_PODMAN_RUNROOT=$(mktemp -d /tmp/cp-XXXXXX)
	local p='oracle_podman' name
	oracle_crun_ready
	for name in alpha beta gamma; do
		m volume create --label kind=$name --label all $name >/dev/null
		$p volume create --label kind=$name --label all=1 $name >/dev/null
	done
	m_create --name user -v beta:/x busybox:local true
	tar -C "$BATS_FILE_TMPDIR/tree" -c . | $p import - busybox:local >/dev/null 2>&1
	$p create --name user -v beta:/x busybox:local true >/dev/null
	local filter
	for filter in dangling=true dangling=false driver=local driver=other label=kind=beta label=all name=alp \
		"name=alp --filter name=gam"; do
		diff <(m volume ls -q --filter $filter | sort) <($p volume ls -q --filter $filter | sort) || {
			echo "$filter"
			return 1
		}
	done
	rm -rf "$ORACLE_PODMAN_RUNROOT"
	[ "$(m volume ls -q --filter label=all --filter label=kind=beta)" = beta ]
	[ "$(m volume ls -q --filter label=all --filter name=bet)" = beta ]
	run ! m volume ls --filter dangling=maybe
	[[ "$output" == *"invalid filter 'dangling=maybe'"* ]]
	run ! m volume ls --filter colour=red
	[[ "$output" == *"invalid filter"* ]]
	run ! m volume rm beta
	[[ "$output" == *"volume is in use"* ]]
}

@test "rename: the data stays, who uses it keeps it from happening" {
	m volume create --label a=1 old >/dev/null
	echo kept >"$(data old)/file"
	m volume rename old new
	[ "$(cat "$(data new)/file")" = kept ]
	[ "$(m volume inspect new -f '{{.Name}} {{.Mountpoint}} {{.Labels.a}}')" = "new $(data new) 1" ]
	run ! m volume inspect old
	m volume create taken >/dev/null
	run ! m volume rename new taken
	[[ "$output" == *"exists already"* ]]
	run ! m volume rename nosuch x1
	[[ "$output" == *"no such volume"* ]]
	run ! m volume rename new ../x
	[[ "$output" == *"invalid characters"* ]]
	m_create --name user -v new:/x busybox:local true
	run ! m volume rename new newer
	[[ "$output" == *"in use"* ]]
	m rm user
	# one that nobody named is somebody's now: prune leaves it
	local anonymous=$(m volume create)
	m volume rename "$anonymous" mine
	m volume prune -f >/dev/null
	m volume inspect mine >/dev/null
	[ "$(m_run --rm -v new:/x busybox:local cat /x/file)" = kept ]
}

# --- the local driver's options ---

@test "-o type=none,o=bind: another directory of this machine" {
	mkdir host && echo host >host/file
	m volume create -d local -o type=none -o o=bind -o device="$PWD/host" bound
	[ "$(m_run --rm -v bound:/x busybox:local cat /x/file)" = host ]
	m_run --rm -v bound:/x busybox:local sh -c 'echo written >/x/new'
	[ "$(cat host/new)" = written ]
	[ "$(m volume inspect bound | jq -cS '.[0].Options')" = "{\"device\":\"$PWD/host\",\"o\":\"bind\",\"type\":\"none\"}" ]
	m volume create -o type=none -o o=bind,ro,noexec -o device="$PWD/host" sealed >/dev/null
	run m_run --rm -v sealed:/x busybox:local sh -c 'echo no >/x/new2; grep " /x " /proc/mounts'
	[[ "$output" == *"Read-only"* && "$output" == *noexec* ]]
	[ ! -e host/new2 ]
	# cp sees them as the container does
	m_create --name user -v bound:/x -v sealed:/y busybox:local true
	m cp -q user:/x/file out && [ "$(cat out)" = host ]
	run ! m cp out user:/y/planted
	[ ! -e host/planted ]
	m_create --name gone -v bound:/x busybox:local true
	mv host elsewhere
	run ! m start gone
	[[ "$output" == *"$PWD/host"* ]]
}

@test "-o type=tmpfs: memory, filled from the image, of one running container at a time" {
	m volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,mode=1770,uid=1000 memory
	run m_run --rm -v memory:/void volumes:1 sh -c 'grep " /void " /proc/mounts; dd if=/dev/zero of=/void/big bs=1M count=4'
	[[ "$output" == *"tmpfs"*"size=1024k"*"uid=1000"* && "$output" == *"No space left"* ]]
	m volume create -o type=tmpfs -o device=tmpfs filled >/dev/null
	m_run --rm -v filled:/seed volumes:1 sh -c 'test -L /seed/link && echo x >/seed/mine'
	m_run --rm -v filled:/seed volumes:1 sh -c '! test -e /seed/mine'
	m_run -d --name one -v memory:/x busybox:local sleep 100
	run ! m_run --name two -v memory:/x busybox:local true
	[[ "$output" == *"memory is a tmpfs that another running container uses"* ]]
	m rm -f one two
	m_run --rm --mount 'type=volume,src=made,dst=/x,volume-opt=type=tmpfs,volume-opt=device=tmpfs,"volume-opt=o=size=2m,noexec",volume-label=l=1' \
		busybox:local grep ' /x tmpfs .*noexec.*size=2048k' /proc/mounts
	[ "$(m volume inspect made -f '{{.Labels.l}}')" = 1 ]
}

@test "options that cannot be honoured are refused by name" {
	local case
	for case in "type=nfs -o device=:/x -o o=addr=1.2.3.4|\"nfs\" is not supported" "type=ext4 -o device=/dev/sda1|is not supported" \
		"size=much|invalid size: 'much'" "size=0|invalid size: '0'" "type=tmpfs -o device=tmpfs -o size=1m|it is o=size=1m" "colour=red|invalid option: \"colour\"" "type=tmpfs|missing required option: \"device\"" \
		"o=bind -o device=/x|missing required option: \"type\"" "type=none -o o=bind -o device=x|not an absolute path" \
		"type=tmpfs -o device=tmpfs -o o=sized=1m|\"sized=1m\" is unknown" "type=none -o o=bind,uid=3 -o device=/x|\"uid=3\" is unknown"; do
		run ! m volume create -o ${case%|*} refused
		[[ "$output" == *"${case#*|}"* ]] || { echo "$case: $output"; return 1; }
	done
	[ -z "$(m volume ls -q)" ]
	run ! m_run --volume-driver nfs busybox:local true
	[[ "$output" == *'--volume-driver: "nfs" is not supported'* ]]
	m_run --rm --volume-driver local -v plain:/x busybox:local true
	run ! m_run --storage-opt size=some busybox:local true
	[[ "$output" == *"--storage-opt size: invalid size: 'some'"* ]]
	run ! m_run --storage-opt colour=red busybox:local true
	[[ "$output" == *'"colour" is unknown; there is size=BYTES'* ]]
}

@test "a size where the filesystem has no project quotas: refused, and nothing made" {
	truncate -s 32M disk
	mkfs.ext4 -qF -O ^project,^quota disk
	mkdir small
	mount -o loop disk small
	run ! m --root "$PWD/small" volume create -o size=1g refused
	[[ "$output" == *"volume refused: size: the filesystem has no project quotas in force; it takes XFS, or ext4"* ||
		"$output" == *"volume refused: size: project quotas need quotactl_fd(2)"* ]]
	[ -z "$(m --root "$PWD/small" volume ls -q)" ]
	[ -z "$(ls small/volumes)" ]
	umount small
}

@test "± volume-subpath: a part of a volume, never what is outside of it" {
	export MASU_DEBUG=${MASU_DEBUG:-$REPO/build-debug/bin/masu}
	local data outside=$PWD/outside
	m volume create parts >/dev/null
	data=$(m volume inspect parts -f '{{.Mountpoint}}')
	mkdir -p "$data/a/b" "$outside"
	echo inside >"$data/a/b/file"
	echo secret >"$outside/file"
	ln -s a/b "$data/short"
	ln -s ../../a "$data/a/b/up"
	ln -s "$outside" "$data/away"
	ln -s ../../../../../../../../../../.."$outside" "$data/far"
	part() { # subpath, command: in the container that has it at /x
		local subpath=$1
		shift
		m_run --rm --mount "type=volume,src=parts,dst=/x,volume-subpath=$subpath" busybox:local "$@"
	}
	[ "$(part a/b cat /x/file)" = inside ]
	[ "$(part short cat /x/file)" = inside ]
	[ "$(part a/b/up cat /x/b/file)" = inside ]
	[ "$(part a/../a/b/file cat /x)" = inside ]
	part a/b sh -c 'echo new >/x/made'
	[ "$(cat "$data/a/b/made")" = new ]
	for subpath in away far; do
		run -125 part "$subpath" cat /x/file
		[[ "$output" == *"path concatenation escapes the base directory, base: $data, subpath: $subpath"* ]]
	done
	# Without the defence the debug build gets there.
	run -0 env ASAN_OPTIONS=detect_leaks=0 MASU_TEST_WITHOUT=subpath-beneath MASU_LIBEXEC="${MASU_DEBUG%/*}/libexec/masu" \
		"$MASU_DEBUG" run --rm --cgroup-parent "$GROUP" --network none \
		--mount type=volume,src=parts,dst=/x,volume-subpath=away busybox:local cat /x/file 3>&- 4>&-
	[ "$output" = secret ]
	run -125 part gone true
	[[ "$output" == *"cannot access path $data/gone"*"No such file"* ]]
	[ -z "$(m ps -aq)" ]
	# What is there when it starts counts, and cp sees the same.
	m_create --name later --mount type=volume,src=parts,dst=/x,readonly,volume-subpath=later busybox:local sh -c 'cat /x/f; ! touch /x/g' >/dev/null
	run -1 m start -a later
	mkdir "$data/later"
	echo there >"$data/later/f"
	[ "$(m cp later:/x/f - | tar -xO)" = there ]
	[ "$(m start -a later 2>/dev/null)" = there ]
	[ "$(m inspect later -f '{{(index .HostConfig.Mounts 0).VolumeOptions.Subpath}}')" = later ]
	m ps -a --command | grep -q 'volume-subpath=later'
	rm -r "$data/later"
	ln -s "$outside" "$data/later"
	run ! m cp later:/x/file -
	[[ "$output" == *"escapes the base directory"* ]]
	m rm later
	# An empty part is filled with what the image has there.
	mkdir "$data/empty"
	[ "$(part empty true && ls "$data/empty")" = "" ]
	m_run --rm --mount type=volume,src=parts,dst=/data,volume-subpath=empty busybox:local cat /data/hello
	[ -e "$data/empty/hello" ]
}

@test "volume-subpath: a volume whose other user changes it meanwhile" {
	local data outside=$PWD/outside
	m volume create contested >/dev/null
	data=$(m volume inspect contested -f '{{.Mountpoint}}')
	mkdir -p "$data/part" "$outside"
	echo secret >"$outside/file"
	echo inside >"$data/part/file"
	ln -s "$outside" "$data/link"
	m_run -d --name rival -v contested:/v busybox:local sh -c \
		'cd /v; while :; do mv part aside; mv link part; mv part link; mv aside part; done' >/dev/null
	local i seen
	for i in $(seq 15); do
		seen=$(m_run --rm --mount type=volume,src=contested,dst=/x,volume-subpath=part busybox:local cat /x/file 2>&1) || true
		[[ "$seen" != *secret* ]]
	done
	m rm -f rival
}

# --- mounts ---

@test "-v: ro, propagation, words without a meaning here, and what makes no sense" {
	mkdir host
	m_run --rm -v "$PWD/host:/x:ro,rslave,z,cached" busybox:local sh -c '! touch /x/file 2>/dev/null; grep " /x " /proc/self/mountinfo' >mount.txt
	grep -q 'master:' mount.txt || ! grep -q shared: <(grep " $(stat -c %m .) " /proc/self/mountinfo)
	[ ! -e host/file ]
	m_run --rm -v "$PWD/made/here:/x" busybox:local true && [ -d made/here ]
	local case
	for case in "$PWD/host:/x:ro,rw" "$PWD/host:/x:nocopy" "vol1:/x:shared" "$PWD/host:/x:U" "$PWD/host:/x:ro:z" "vol1:/"; do
		run -125 m_run --rm -v "$case" busybox:local true
	done
}

@test "--mount: bind-create-src, bind-nonrecursive and bind-recursive" {
	mkdir -p host/sub
	mount -t tmpfs tmpfs host/sub
	echo below >host/sub/file
	run ! m_run --rm --mount type=bind,src="$PWD/none",dst=/x busybox:local true
	[[ "$output" == *"bind source path does not exist"* ]]
	m_run --rm --mount type=bind,src="$PWD/none",dst=/x,bind-create-src busybox:local true && [ -d none ]
	m_run --rm --mount type=bind,src="$PWD/host",dst=/x busybox:local cat /x/sub/file
	m_run --rm --mount type=bind,src="$PWD/host",dst=/x,bind-nonrecursive busybox:local sh -c '! test -e /x/sub/file'
	m_run --rm --mount type=bind,src="$PWD/host",dst=/x,bind-recursive=disabled busybox:local sh -c '! test -e /x/sub/file'
	# read-only is so all the way down, as with docker since 25, unless said otherwise
	m_run --rm -v "$PWD/host:/x:ro" busybox:local sh -c '! touch /x/sub/new 2>/dev/null'
	m_run --rm --mount type=bind,src="$PWD/host",dst=/x,ro,bind-recursive=readonly,bind-propagation=rprivate busybox:local \
		sh -c '! touch /x/sub/new 2>/dev/null'
	m_run --rm --mount type=bind,src="$PWD/host",dst=/x,ro,bind-recursive=writable busybox:local \
		sh -c 'touch /x/sub/new && ! touch /x/new 2>/dev/null'
	[ -e host/sub/new ]
	m_create --name doc --mount type=bind,src="$PWD/host",dst=/x,ro,bind-recursive=writable,bind-create-src busybox:local true
	[ "$(field doc '.HostConfig.Mounts[0].BindOptions | keys | join(",")')" = CreateMountpoint,ReadOnlyNonRecursive ]
	umount host/sub
}

@test "--volumes-from: the same mounts, read-only where asked, never less so" {
	mkdir host && echo host >host/file
	m_create --name from -v shared:/seed -v "$PWD/host:/host:ro" --tmpfs /mem busybox:local true
	m_run --rm --volumes-from from busybox:local sh -c 'echo x >/seed/file && ! touch /host/x 2>/dev/null && cat /host/file'
	[ -e "$(data shared)/file" ]
	m_run --rm --volumes-from from:ro busybox:local sh -c '! touch /seed/x 2>/dev/null'
	m_run --rm --volumes-from from:rw busybox:local sh -c 'touch /seed/x && ! touch /host/x 2>/dev/null'
	m_run --rm --volumes-from from:ro,z busybox:local true
	run -125 m_run --rm --volumes-from from:rslave busybox:local true
	[[ "$output" == *"invalid mode for volumes-from"* ]]
	run -125 m_run --rm --volumes-from nosuch busybox:local true
	# what another container has emptied stays empty
	m_run --name from2 -v emptied:/seed volumes:1 sh -c 'rm -r /seed/*'
	m_run --rm --volumes-from from2 volumes:1 sh -c '! test -e /seed/link'
}
