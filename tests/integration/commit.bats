#!/usr/bin/env bats
# masu commit: what a container changed becomes a layer, read from its upper directory alone; with --include-volumes its
# volumes too. podman and skopeo read what comes of it. The test with "±" shows that it can fail.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	oracle_crun_ready
	engine_setup_file
	export MASU_DEBUG=${MASU_DEBUG:-$REPO/build-debug/bin/masu}
	export ORACLE_PODMAN_RUNROOT=$(mktemp -d /tmp/commit-XXXXXX)
	cc -O1 -D_GNU_SOURCE -static -o "$BATS_FILE_TMPDIR/swap" "$REPO/tests/integration/src/swap.c"
	# An image with something to delete, replace and hide.
	local tree=$BATS_FILE_TMPDIR/tree
	mkdir -p "$tree"/{gone/deep,replaced,anon,below} "$tree/var/real"
	echo a >"$tree/gone/deep/file"
	echo b >"$tree/replaced/old"
	echo c >"$tree/below/keep"
	echo d >"$tree/single"
	ln -s real "$tree/var/link"
	tar -C "$tree" -c . | m import -c 'VOLUME /anon' -c 'ENV BASE=yes' -c 'CMD ["sleep","1000"]' - base:1 >/dev/null
}

teardown_file() {
	rm -rf "$ORACLE_PODMAN_RUNROOT"
	engine_teardown_file
}

setup() {
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	remove_all
	m image prune -f >/dev/null
}

# Everything that a layer must keep, of a container's root: names, kinds, modes, owners, devices, links, times with
# nanoseconds, sizes, blocks, attributes, content.
picture() { # container
	m export "$1" >root.tar
	python3 - root.tar <<-'PY'
	import hashlib, sys, tarfile
	archive, inodes = tarfile.open(sys.argv[1]), {}
	for e in sorted(archive, key=lambda e: e.name):
	    name = e.name.lstrip("./").rstrip("/")
	    if name.split("/")[0] in ("proc", "sys", "dev") or name in ("etc", "etc/hosts", "etc/hostname", "etc/resolv.conf", ""):
	        continue
	    # Which of a file's names the archive has it under is the order of a directory, nothing else.
	    names = sorted(m.name for m in archive if (m.linkname if m.islnk() else m.name) == (e.linkname if e.islnk() else e.name))
	    if e.islnk(): e = archive.getmember(e.linkname)
	    e.linkname = e.linkname or " ".join(names[1:] and names)
	    data = archive.extractfile(e).read() if e.isfile() else b""
	    pax = {k: v for k, v in e.pax_headers.items() if k == "mtime" or k.startswith("SCHILY")}
	    print(name, e.type if not e.sparse else "sparse", oct(e.mode), e.uid, e.gid, e.linkname, e.size, e.devmajor, e.devminor, e.mtime,
	          sorted(pax.items()), hashlib.sha256(data).hexdigest()[:8])
	PY
}

# Does to its root what a container can.
CHANGES='rm -r /gone; rm /single; rm -r /replaced; mkdir /replaced; echo n >/replaced/new; echo more >>/below/keep
	mkdir -p /made/deep; echo x >/made/deep/x; ln /made/deep/x /made/linked; ln -s deep/x /made/soft; mknod /made/null c 1 3
	mkfifo /made/fifo; truncate -s 8M /made/sparse; echo end >>/made/sparse; chown 1000:100 /made/deep/x; chmod 4751 /made/deep/x
	touch -d "2001-02-03 04:05:06" /made/deep; mkdir -m 1777 /made/sticky; rm -r /made/soft; ln -s /etc /made/soft
	i=0; while [ $i -lt 30 ]; do echo $i >"/made/name with  blanks and a long long long long long long long long long long long long tail $i"; i=$((i+1)); done'

# The files of layer number $2 of image $1, as tar shows them.
layer() {
	local digest
	digest=$(skopeo inspect --raw "oci:$MASU_ROOT/images:$1" | jq -r ".layers[$2].digest")
	tar -tzf "$MASU_ROOT/images/blobs/sha256/${digest#sha256:}" | LC_ALL=C sort
}

@test "an image of what a container has become: the same files, to the last attribute" {
	m_run --name worker base:1 sh -c "$CHANGES"
	python3 - "$MASU_ROOT"/containers/*/overlay/upper/made <<-'PY'
	import os, sys
	os.setxattr(sys.argv[1] + "/linked", "user.note", b"kept")
	os.setxattr(sys.argv[1] + "/linked", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
	PY
	picture worker >before
	grep -q 'user.note' before
	grep -q sparse before
	run -0 m commit worker worker:1
	[[ "${lines[0]}" =~ ^sha256:[0-9a-f]{64}$ ]]
	[ "$(m image inspect -f '{{.Id}}' worker:1)" = "${lines[0]}" ]
	m_create --name again worker:1 true
	picture again >after
	diff before after
	layer worker:1 1 >entries
	grep -qx '.wh.gone' entries
	grep -qx '.wh.single' entries
	grep -qx 'replaced/.wh..wh..opq' entries
	! grep -q -e '^gone' -e below/old -e '^bin' entries
	m system check
}

@test "the same container gives the same layer, in the same bytes" {
	m_run --name worker base:1 sh -c "$CHANGES"
	m commit worker worker:1
	m commit worker worker:2
	[ "$(m image inspect -f '{{.RootFS.Layers}}' worker:1)" = "$(m image inspect -f '{{.RootFS.Layers}}' worker:2)" ]
	[ "$(skopeo inspect --raw "oci:$MASU_ROOT/images:worker:1" | jq -c .layers)" = \
		"$(skopeo inspect --raw "oci:$MASU_ROOT/images:worker:2" | jq -c .layers)" ]
}

@test "what masu makes to mount on is no change, and no change is no layer" {
	m_run --name idle --init base:1 true
	m commit -m nothing idle idle:1
	[ "$(m image inspect -f '{{len .RootFS.Layers}}' idle:1)" = 1 ]
	[ "$(skopeo inspect --config "oci:$MASU_ROOT/images:idle:1" | jq -c '.history[-1] | [.comment, .empty_layer]')" = '["nothing",true]' ]
	m_create --name again idle:1 true
	m start again
	m_run --rm idle:1 cat /below/keep
}

@test "config and history are docker's" {
	m_create --name worker --user 1000 -w /made -e OWN=1 -p 8080:80 --expose 53/udp -l key=value -v /own --stop-signal INT \
		--health-cmd 'true' base:1 echo 'two words'
	m commit -a 'Some Body <s@b>' -m 'a message' -c 'ENV ADDED="x y"' -c 'CMD ["run"]' -c 'EXPOSE 99' \
		-c 'ONBUILD RUN x' worker worker:1
	local id
	id=$(m image inspect -f '{{.Id}}' worker:1)
	cp "$MASU_ROOT/images/blobs/sha256/${id#sha256:}" config
	jq -e '.config.User == "1000" and .config.WorkingDir == "/made" and .config.StopSignal == "INT"' config
	jq -e '.config.Env | index("OWN=1") and index("BASE=yes") and index("ADDED=x y")' config
	jq -e '.config.Cmd == ["run"] and .config.Labels == {"key":"value"} and .config.OnBuild == ["RUN x"]' config
	jq -e '(.config.Volumes | keys) == ["/anon","/own"]' config
	jq -e '(.config.ExposedPorts | keys) == ["53/udp","80/tcp","99/tcp"]' config
	jq -e '.config.Healthcheck.Test == ["CMD-SHELL","true"]' config
	jq -e '.author == "Some Body <s@b>" and .history[-1].author == .author' config
	jq -e '.history[-1].created_by == "echo two words" and .history[-1].comment == "a message"' config
	[ "$(jq '.history | length' config)" = 2 ]
	[ "$(m image inspect -f '{{.Parent}}' worker:1)" = "$(m image inspect -f '{{.Id}}' base:1)" ]
	[ "$(m image inspect -f '{{.Comment}}' worker:1)" = 'a message' ]
	m tag worker:1 worker:2
	[ "$(m image inspect -f '{{.Parent}}' worker:2)" = "$(m image inspect -f '{{.Id}}' base:1)" ]
	run -1 m commit -c 'RUN x' worker
	[[ "$output" == *'is not one of CMD'* ]]
	run -1 m commit nobody
	[[ "$output" == *'No such container: nobody'* ]]
	run -1 m commit worker name@sha256:$(printf '0%.0s' {1..64})
}

@test "events, and an image without a name" {
	m_create --name worker base:1 true
	m commit -m why worker >id
	m commit worker worker:1
	m events --since 1h --until 0s --filter event=commit --filter container="$(field worker .Id)" --format '{{json .}}' | jq -s . >events
	jq -e '.[0].Type == "container" and .[0].Actor.Attributes.comment == "why"' events
	jq -e --arg id "$(cat id)" '.[0].Actor.Attributes.imageID == $id and .[0].Actor.Attributes.imageRef == ""' events
	jq -e '.[1].Actor.Attributes.imageRef == "docker.io/library/worker:1"' events
	[ "$(m images -q --no-trunc --filter dangling=true)" = "$(cat id)" ]
}

@test "a running container is paused while it is read, and only then" {
	# Counts up in the root, then in the volume: whoever reads both at one moment sees at most one step between.
	m_run -d --name counter -v count:/data base:1 sh -c 'i=0; while :; do i=$((i+1)); echo $i >/a; echo $i >/data/b; done'
	wait_until 10 m exec counter test -s /data/b
	for try in 1 2 3 4 5; do
		m commit -q --include-volumes counter counter:$try
		status_is counter running
		a=$(m_run --rm counter:$try cat /a)
		b=$(m_run --rm counter:$try cat /data/b)
		# The shell truncates before it writes, and may have been stopped in between.
		[ -z "$a" ] || [ -z "$b" ] || { [ $((a - b)) -ge 0 ] && [ $((a - b)) -le 1 ]; }
	done
	now=$(m exec counter cat /data/b)
	changed() { [ "$(m exec counter cat /data/b)" != "$now" ]; }
	wait_until 10 changed
	[ "$(m events --since 1h --until 0s --filter container=counter --filter event=pause | wc -l)" = 5 ]
	[ "$(m events --since 1h --until 0s --filter container=counter --filter event=unpause | wc -l)" = 5 ]
	m commit --pause=false counter counter:6
	m pause counter
	m commit counter counter:7
	status_is counter paused
	[ "$(m events --since 1h --until 0s --filter container=counter --filter event=pause | wc -l)" = 6 ]
	m unpause counter
}

# Stops a commit of $1 while the container is paused, and kills it.
kill_while_paused() {
	"$MASU" commit "$1" killed:1 >/dev/null 2>&1 3>&- 4>&- &
	local pid=$!
	wait_until 10 status_is "$1" paused
	kill -KILL "$pid"
	wait "$pid" || true
}

@test "a commit that is killed lets the container go on, also without its monitor at the end" {
	m_run -d --name big base:1 sh -c 'head -c 400000000 /dev/urandom >/big; echo done >/done; exec sleep 1000'
	wait_until 60 m exec big test -e /done
	kill_while_paused big
	wait_until 5 status_is big running
	m commit big big:1
	[ "$(m_run --rm big:1 stat -c %s /big)" = 400000000 ]
	# Whoever paused it by hand in between keeps it paused.
	"$MASU" commit big killed:1 >/dev/null 2>&1 3>&- 4>&- &
	pid=$!
	wait_until 10 status_is big paused
	m unpause big
	m pause big
	kill -KILL $pid
	wait $pid || true
	sleep 0.2
	status_is big paused
	m unpause big
}

@test "created, stopped and --rm containers; one that is removed meanwhile" {
	m_create --name made base:1 true
	m commit made made:1
	m_run -d --name brief --rm base:1 sleep 1000
	m exec brief sh -c 'echo x >/x'
	m commit brief brief:1
	m_run --rm brief:1 cat /x
	m exec brief sh -c 'head -c 200000000 /dev/urandom >/big'
	m commit --pause=false brief brief:2 >out 2>&1 &
	pid=$!
	m rm -f brief
	status=0
	wait $pid || status=$?
	# Either it was quick enough, or it says that it was not.
	[ $status -eq 0 ] || grep -q -e 'was removed while' -e 'No such' -e 'cannot look into' -e 'writable layer' -e 'starts and ends' out || {
		cat out
		return 1
	}
	m system check
}

@test "the container's image is gone: said so" {
	echo x | tar -cf one.tar -C "$BATS_FILE_TMPDIR" swap
	m import one.tar other:1
	m_create --name orphan other:1 swap
	m rmi -f "$(m image inspect -f '{{.Id}}' other:1)"
	run -1 m commit orphan orphan:1
	[[ "$output" == *'the image that the container was made from'* ]]
	[ "${#lines[@]}" = 1 ]
	m rm -f orphan
	m import one.tar other:1
	m rmi other:1
}

@test "volumes: their data is in the image, and a new volume has it" {
	m_run -d --name db -v data:/below -v deep:/below/deep -v linked:/var/link/here base:1 sh -c \
		'echo v >/below/v; rm /below/keep; echo d >/below/deep/d; echo l >/var/link/here/l; echo a >/anon/a; chown 1000:100 /anon/a; exec sleep 1000'
	wait_until 10 m exec db sh -c '[ "$(stat -c %u /anon/a)" = 1000 ]'
	run -0 --separate-stderr m commit --include-volumes db db:1
	[[ "$stderr" == *'volume data: /below, '* ]]
	run -0 m_run --rm db:1 sh -c 'cat /below/v /below/deep/d /var/link/here/l /var/real/here/l /anon/a; ls /below; stat -c %u:%g /anon/a'
	[ "$output" = $'v\nd\nl\nl\na\ndeep\nv\n1000:100' ]
	[ "$(m_run --rm -v fresh:/below db:1 sh -c 'cd /below; echo *')" = 'deep v' ]
	[ -n "$(m volume ls -q --filter name=fresh)" ]
	jq -e --arg layers "$(m image inspect -f '{{json .RootFS.Layers}}' db:1)" \
		'[.[].layer] - ($layers | fromjson) == []' <<<"$(m image inspect -f '{{index .Config.Labels "masu.volumes"}}' db:1)"
	# Without the option it does not, and the volume's own stays as it is.
	m commit db db:2
	run m_run --rm db:2 cat /below/v
	[ "$status" -ne 0 ]
	# Of one that never ran, what the image would fill the volume with.
	m_create --name unborn -v unborn:/below base:1 true
	m commit -q --include-volumes unborn unborn:1
	[ "$(m_run --rm unborn:1 cat /below/keep)" = c ]
	m system check
}

@test "volumes that are memory are left out, and said so" {
	m volume create -o type=tmpfs -o device=tmpfs ram
	m_run -d --name ramful -v ram:/below base:1 sleep 1000
	run -0 --separate-stderr m commit --include-volumes ramful ramful:1
	[[ "$stderr" == *'volume ram is in memory'* ]]
	m rm -f ramful
	m volume rm ram
}

@test "save and load carry it; podman and skopeo read it, and podman finds the volume's data" {
	m_run --name db -v data2:/below base:1 sh -c "$CHANGES; echo v >/below/v"
	m commit -q --include-volumes db db:1
	m save -o db.tar db:1
	skopeo inspect docker-archive:db.tar >/dev/null
	umoci unpack --rootless --image "$MASU_ROOT/images:db:1" bundle >/dev/null 2>&1
	[ "$(cat bundle/rootfs/below/v)" = v ]
	[ ! -e bundle/rootfs/gone ] && [ ! -e bundle/rootfs/replaced/old ]
	oracle_podman load -q -i db.tar
	oracle_podman create --name peer db:1 true
	mounted=$(oracle_podman mount peer)
	[ "$(cat "$mounted/below/v")" = v ] && [ "$(cat "$mounted/replaced/new")" = n ]
	[ ! -e "$mounted/gone" ] && [ ! -e "$mounted/replaced/old" ] && [ ! -e "$mounted/single" ]
	oracle_podman umount peer
	oracle_podman init peer # the volumes are filled by this
	volume=$(oracle_podman inspect peer --format '{{range .Mounts}}{{if eq .Destination "/below"}}{{.Source}}{{end}}{{end}}')
	[ "$(cat "$volume/v")" = v ]
	oracle_podman rm -f peer
	oracle_podman rmi -a -f
	id=$(m image inspect -f '{{.Id}}' db:1)
	m rmi -f db:1
	m rm -f db
	m rmi -f "$id" || true
	m load -q -i db.tar
	[ "$(m image inspect -f '{{.Id}}' db:1)" = "$id" ]
	[ "$(m_run --rm db:1 cat /below/v)" = v ]
}

@test "names that an image cannot have are refused" {
	m_run --name marker base:1 sh -c 'mkdir /x; echo >/x/.wh.etc'
	run -1 m commit marker marker:1
	[[ "$output" == *'x/.wh.etc: an image cannot have a name that begins with'* ]]
	[ "${#lines[@]}" = 1 ]
	m_run --name device -v device:/below base:1 mknod /below/zero c 0 0
	run -1 m commit --include-volumes device device:1
	[[ "$output" == *'below/zero: an image cannot have a device 0:0'* ]]
	m_run --name foreign base:1 sh -c 'mkdir /moved'
	python3 -c 'import glob, os, sys; os.setxattr(glob.glob(sys.argv[1])[0], "trusted.overlay.whiteout", b"y")' \
		"$MASU_ROOT/containers/$(field foreign .Id)/overlay/upper/moved"
	run -1 m commit foreign foreign:1
	[[ "$output" == *'trusted.overlay.whiteout'* ]]
}

# Commits as a container swaps a file of its volume for a link to the machine's secret, ten times; what came out.
race() { # how to run masu
	local try
	for try in {1..10}; do
		"$@" commit -q --pause=false --include-volumes racer racer:1 >/dev/null 2>&1 || true
		m_run --rm racer:1 sh -c 'cat /below/* 2>/dev/null' || true
		[ -z "${SEEN:-}" ] || return 0
	done
}

m_without() {
	ASAN_OPTIONS=detect_leaks=0 MASU_TEST_WITHOUT=copy-nofollow MASU_LIBEXEC=${MASU_DEBUG%/*}/libexec/masu \
		timeout 60 "$MASU_DEBUG" "$@" 3>&- 4>&-
}

@test "± a link in the place of a file is a link, whoever it leads to" {
	echo "the machine's secret" >"$BATS_FILE_TMPDIR/secret"
	m_run -d --name racer -v race:/below base:1 sh -c \
		"echo harmless >/below/x; ln -s '$BATS_FILE_TMPDIR/secret' /below/y; exec sleep 1000"
	wait_until 10 m exec racer test -L /below/y
	race m >out
	! grep -q secret out
	race m_without >out
	grep -q 'secret' out
}
