#!/usr/bin/env bats
# Pulled layers that are kept as their tar with an EROFS index.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/registry

EROFS=--layer-format=erofs NAME=127.0.0.1:5000/layered:1

setup_file() {
	engine_setup_file
	registry_client_setup
	registry_start plain 5000
	"$REPO/tests/lib/layered-image.py" "$BATS_FILE_TMPDIR/gzip.tar" "$(command -v busybox)" layered:1 gzip
	skopeo copy -q --dest-tls-verify=false "docker-archive:$BATS_FILE_TMPDIR/gzip.tar" "docker://$NAME"
}

teardown_file() {
	engine_teardown_file
	registry_stop plain
}

# Every test has an empty store.
setup() {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
}

# What is mounted goes with the image, or bats could not remove the directory.
teardown() {
	remove_all
	m rmi -f "$NAME" >/dev/null 2>&1 || true
}

listing() {
	local id
	id=$(m_run -d --pull never "$NAME" sleep 100)
	"$REPO/tests/lib/tree-listing.py" "/proc/$(field "$id" .State.Pid)/root" proc sys dev etc .dockerenv
	m rm -f "$id" >/dev/null
}

@test "a pulled image is the same in either format, and pushes the same blobs" {
	m pull -q --layer-format=dir "$NAME"
	listing >"$BATS_TEST_TMPDIR/dir"
	m save "$NAME" | sha256sum >"$BATS_TEST_TMPDIR/dir.sum"
	m rmi "$NAME" >/dev/null
	m pull -q $EROFS "$NAME"
	[ "$(m image inspect --format '{{.GraphDriver.Data.LayerFormats}}' "$NAME")" = erofs:erofs ]
	listing >"$BATS_TEST_TMPDIR/erofs"
	diff "$BATS_TEST_TMPDIR/dir" "$BATS_TEST_TMPDIR/erofs"
	m save "$NAME" | sha256sum | cmp - "$BATS_TEST_TMPDIR/dir.sum"
	run -0 m pull $EROFS "$NAME"
	[[ "$output" == *"Image is up to date"* ]]
	run -0 m system check
	[ -z "$output" ]
}

@test "layers that were removed are made again from the blobs, and pulls at once share one" {
	local i
	m pull -q $EROFS "$NAME"
	rm -r "$MASU_ROOT"/layers/overlay/*/
	for i in 1 2 3 4 5 6; do
		m pull -q $EROFS "$NAME" >/dev/null 2>>"$BATS_TEST_TMPDIR/errors" &
	done
	wait
	[ ! -s "$BATS_TEST_TMPDIR/errors" ]
	[ -z "$(ls -A "$MASU_ROOT/layers/overlay/.staging" "$MASU_ROOT/images/.masu/staging" | grep -v -e : -e '^$')" ]
	m_run --rm --pull never "$NAME" true
	m system check
}

@test "a bit flip in tar, index, blob or all of them: found, mended from the blob or pulled again (HOSTILE 34)" {
	local layer blob file what
	flip() { printf '\xff' | dd of="$1" bs=1 seek=3000 conv=notrunc status=none; }
	m pull -q "$NAME"
	[ "$(m image inspect --format '{{.GraphDriver.Data.LayerFormats}}' "$NAME")" = erofs:erofs ]
	listing >"$BATS_TEST_TMPDIR/before"
	blob=$(ls -S "$MASU_ROOT"/images/blobs/sha256/* | head -1)
	for what in tar index blob "tar blob" "index blob"; do
		layer=$(ls -Sd "$MASU_ROOT"/layers/overlay/*/tar | head -1)
		for file in $what; do
			[ $file = blob ] && flip "$blob" || flip "${layer%tar}$file"
		done
		run -1 m system check
		[[ "$output" == *"$([[ $what == *blob* ]] && echo "its content is not what its name says" || echo "another tar or index than was made")"* ]]
		run m system check --repair
		if [[ $what == *blob* ]]; then
			[ "$status" = 1 ]
			m pull -q "$NAME" >/dev/null
		fi
		run -0 m system check
		[ -z "$output" ]
		listing | diff "$BATS_TEST_TMPDIR/before" -
	done
}
