#!/usr/bin/env bats
# Any allocation of masu may fail (HOSTILE 37): then it ends with an error, or copes; no sanitizer has
# anything to say, and the same command then succeeds and leaves nothing. The debug build counts and
# fails them (base/fault.h). About POINTS (default 40) numbers are sampled, denser at the start; 0: all.

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

# The debug build with allocation number $1 failing in each of its processes.
fails_at() {
	local number=$1
	shift
	MASU_TEST_FAIL_ALLOCATION=$number without none timeout 60 "$MASU_DEBUG" "$@"
}

# sweep PREPARE CLEAN ARGUMENT...: masu with these arguments, between two shell texts that make what it
# works on and take away what it made. Each ends by itself, and nothing is left in the end. Where one
# succeeds all the same, so does the shell text $RESULT; where it fails, it says so in $LINES_AT_MOST.
sweep() {
	local prepare=$1 clean=$2 before number step status fired=0 failed=0
	shift 2
	eval "$prepare" && masu "$@" >/dev/null && eval "$clean"
	before=$(settled_state)
	for ((number = 1; ; number += step)); do
		step=$([ "${POINTS:-40}" -eq 0 ] && echo 1 || echo $((1 + number * 8 / ${POINTS:-40})))
		status=0
		eval "$prepare"
		fails_at $number "$@" >"$BATS_TEST_TMPDIR/out" 2>&1 </dev/null || status=$?
		if grep -q -e Sanitizer -e 'runtime error' "$BATS_TEST_TMPDIR/out" || [ $status -eq 124 ]; then
			echo "allocation $number fails: status $status"
			cat "$BATS_TEST_TMPDIR/out"
			return 1
		fi
		[ $status -ne 0 ] || eval "${RESULT:-true}" || { echo "allocation $number fails: success, but not so"; return 1; }
		eval "$clean" || true # there may be nothing
		grep -q 'fault: an allocation fails' "$BATS_TEST_TMPDIR/out" || break
		fired=$((fired + 1))
		[ $status -eq 0 ] || failed=$((failed + 1))
		[ $status -eq 0 ] || grep -q '^masu.*: ' "$BATS_TEST_TMPDIR/out" || {
			echo "allocation $number fails: status $status, and no reason is given"
			cat "$BATS_TEST_TMPDIR/out"
			return 1
		}
		[ $status -eq 0 ] || [ "$(grep -vc '^fault: ' "$BATS_TEST_TMPDIR/out")" -le "${LINES_AT_MOST:-100}" ] || {
			echo "allocation $number fails: status $status, and more than a line says so"
			cat "$BATS_TEST_TMPDIR/out"
			return 1
		}
		eval "$prepare"
		if ! masu "$@" >"$BATS_TEST_TMPDIR/again" 2>&1 </dev/null; then
			echo "after the failure of allocation $number ($(cat "$BATS_TEST_TMPDIR/out"))"
			cat "$BATS_TEST_TMPDIR/again"
			return 1
		fi
		eval "$clean"
		left_nothing "$before" || { echo "allocation $number"; cat "$BATS_TEST_TMPDIR/out"; return 1; }
	done
	echo "# about $number allocations; $fired failed, which ended the command $failed times: $*" >&3
	[ $fired -gt 5 ] && [ $failed -gt 3 ]
	[ $status -eq 0 ]
}

A_CONTAINER=(--name masu-sweep --cgroup-parent "$CGROUP_PARENT" --network none)
REMOVE='masu rm -f masu-sweep >/dev/null 2>&1 || true'

@test "oci run" {
	make_bundle ".process.args=[\"/bin/true\"] | .linux.cgroupsPath=\"$CGROUP_PARENT/masu-sweep\""
	sweep true true oci --root "$MASU_RUNROOT/oci" run -b "$BUNDLE" masu-sweep
}

@test "oci create, exec, kill and delete" {
	make_bundle ".process.args=[\"/bin/sleep\",\"600\"] | .linux.cgroupsPath=\"$CGROUP_PARENT/masu-sweep\""
	local made="oci create -b '$BUNDLE' masu-sweep </dev/null >/dev/null 2>&1 3>&-"
	local gone="oci delete --force masu-sweep"
	sweep true "$gone" oci --root "$OCI_ROOT" create -b "$BUNDLE" masu-sweep
	sweep "$made" "$gone" oci --root "$OCI_ROOT" start masu-sweep
	sweep "$made; oci start masu-sweep" "$gone" oci --root "$OCI_ROOT" exec masu-sweep true
	sweep "$made" "$gone" oci --root "$OCI_ROOT" kill masu-sweep KILL
	sweep "$made" "$gone" oci --root "$OCI_ROOT" delete --force masu-sweep
}

@test "run --rm" {
	sweep true true "${RUN[@]}" --name masu-sweep --network none busybox:local true
}

@test "run --rm on the bridge with a published port" {
	sweep true true "${RUN[@]}" --name masu-sweep -p 8080:80 busybox:local true
}

@test "run -d" {
	sweep true "$REMOVE" run -d "${A_CONTAINER[@]}" busybox:local sleep 600
}

@test "create, start, exec, stop, rm" {
	local create='masu create "${A_CONTAINER[@]}" busybox:local sleep 600 >/dev/null 3>&-'
	sweep true "$REMOVE" create "${A_CONTAINER[@]}" -v masu-sweep:/x --rm busybox:local true
	sweep "$create" "$REMOVE" start masu-sweep
	sweep "$create; masu start masu-sweep >/dev/null" "$REMOVE" exec masu-sweep true
	sweep "$create; masu start masu-sweep >/dev/null" "$REMOVE" stop -t 0 masu-sweep
	sweep "$create" "$REMOVE" rm masu-sweep
}

@test "volume create and rm" {
	sweep true 'masu volume rm masu-sweep >/dev/null 2>&1' volume create masu-sweep
	sweep 'masu volume create masu-sweep >/dev/null' 'masu volume rm masu-sweep >/dev/null 2>&1 || true' \
		volume rm masu-sweep
}

# A root of a few files, so that every allocation can be one that fails.
small_archive() {
	local root=$BATS_TEST_TMPDIR/small
	mkdir -p "$root/dir/below"
	echo text >"$root/dir/file"
	ln "$root/dir/file" "$root/dir/below/linked"
	ln -s file "$root/dir/link"
	mknod "$root/dir/device" c 1 3
	truncate -s 1M "$root/sparse"
	python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.note", b"value")' "$root/dir/file"
	tar -C "$root" --numeric-owner --xattrs --sparse -cf "$BATS_TEST_TMPDIR/small.tar" .
}

REMOVE_IMAGE='masu rmi sweep:local >/dev/null 2>&1 || true'
SAME_IMAGE='[ "$(masu image inspect -f "{{.RootFS.Layers}}" sweep:local)" = "$layers" ]'

@test "import and rmi" {
	local compressed layers RESULT=$SAME_IMAGE LINES_AT_MOST=1
	small_archive
	masu import "$BATS_TEST_TMPDIR/small.tar" sweep:local
	layers=$(masu image inspect -f "{{.RootFS.Layers}}" sweep:local)
	masu rmi sweep:local
	for compressed in gzip zstd xz; do
		$compressed -qk "$BATS_TEST_TMPDIR/small.tar"
	done
	sweep true "$REMOVE_IMAGE" import -c 'ENV A=b' -c 'CMD ["sh"]' "$BATS_TEST_TMPDIR/small.tar" sweep:local
	for compressed in gz zst xz; do
		sweep true "$REMOVE_IMAGE" import "$BATS_TEST_TMPDIR/small.tar.$compressed" sweep:local
	done
	RESULT='! masu image inspect sweep:local >/dev/null 2>&1'
	sweep 'masu tag busybox:local sweep:local' "$REMOVE_IMAGE" rmi sweep:local
}

@test "save, and load of an archive and of a directory" {
	local layers RESULT='cmp "$BATS_TEST_TMPDIR/out.tar" "$BATS_TEST_TMPDIR/both.tar"' LINES_AT_MOST=1
	small_archive
	masu import "$BATS_TEST_TMPDIR/small.tar" sweep:local
	layers=$(masu image inspect -f "{{.RootFS.Layers}}" sweep:local)
	masu save -o "$BATS_TEST_TMPDIR/saved.tar" sweep:local
	masu save -o "$BATS_TEST_TMPDIR/both.tar" sweep:local busybox:local
	sweep true 'rm "$BATS_TEST_TMPDIR/out.tar" 2>/dev/null' save -o "$BATS_TEST_TMPDIR/out.tar" sweep:local busybox:local
	[ "$(ls "$BATS_TEST_TMPDIR" | grep -c '^out.tar')" = 0 ]
	masu rmi sweep:local
	RESULT=$SAME_IMAGE
	sweep true "$REMOVE_IMAGE" load -q -i "$BATS_TEST_TMPDIR/saved.tar"
	mkdir "$BATS_TEST_TMPDIR/saved"
	tar -C "$BATS_TEST_TMPDIR/saved" -xf "$BATS_TEST_TMPDIR/saved.tar"
	sweep true "$REMOVE_IMAGE" load -q -i "$BATS_TEST_TMPDIR/saved"
	masu system check
}

@test "commit" {
	local layers RESULT=$SAME_IMAGE LINES_AT_MOST=1
	masu create "${A_CONTAINER[@]}" -v masu-sweep:/x busybox:local true >/dev/null
	masu start masu-sweep
	[ "$(masu wait masu-sweep)" = 0 ]
	masu commit -q --include-volumes masu-sweep sweep:local
	layers=$(masu image inspect -f "{{.RootFS.Layers}}" sweep:local)
	masu rmi sweep:local
	sweep true "$REMOVE_IMAGE" commit -q --include-volumes -m x -c 'ENV A=b' masu-sweep sweep:local
	masu rm masu-sweep
	masu volume rm masu-sweep
}

@test "commit of a container that runs, which goes on whatever fails" {
	local layers LINES_AT_MOST=1 RESULT='[ "$(masu ps -q --filter name=masu-sweep --filter status=running | wc -l)" = 1 ]'
	masu run -d "${A_CONTAINER[@]}" busybox:local sleep 1000 3>&-
	masu exec masu-sweep sh -c 'echo x >/x; rm -r /root'
	sweep true "$REMOVE_IMAGE; $RESULT" commit masu-sweep sweep:local
	eval "$RESULT"
	masu rm -f masu-sweep
}
