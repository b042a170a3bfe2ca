#!/usr/bin/env bats
# Volumes through a real registry (Debian's docker-registry): what is pulled into another root is what
# was pushed, a second push sends only what changed, and what a registry says is not believed.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/registry

PLAIN=127.0.0.1:5017

setup_file() {
	engine_setup_file
	registry_client_setup
	registry_start plain 5017
}

teardown_file() {
	engine_teardown_file
	registry_stop plain
}

teardown() { remove_all; }

listing() { # the files of a directory: everything that is to be the same
	python3 "$REPO/tests/lib/tree-listing.py" "$1"
}

fill() { # directory
	mkdir -p "$1/deep/er" "$1/empty"
	head -c 12M /dev/urandom >"$1/random"
	echo hello >"$1/deep/hello"
	ln "$1/deep/hello" "$1/deep/er/again"
	ln -s ../hello "$1/deep/er/link"
	ln -s /etc/passwd "$1/absolute"
	mkfifo "$1/fifo"
	mknod "$1/null" c 1 3
	mknod "$1/block" b 7 9
	truncate -s 100M "$1/sparse"
	echo end >>"$1/sparse"
	echo whiteout >"$1/deep/.wh.not-one"
	echo x >"$1/owned"
	chown 1234:567 "$1/owned" "$1/deep"
	chmod 4751 "$1/owned"
	chmod 1770 "$1/deep"
	chown 99:98 "$1"
	chmod 2750 "$1"
	touch -d '2001-02-03T04:05:06.789123456Z' "$1/deep/hello" "$1/empty"
	python3 - "$1" <<-'EOF'
		import os, sys
		os.setxattr(sys.argv[1] + "/owned", "user.colour", b"blue\0green")
		os.setxattr(sys.argv[1] + "/empty", "user.dir", b"1")
		os.setxattr(sys.argv[1] + "/owned", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
	EOF
}

data_of() { m volume inspect -f '{{.Mountpoint}}' "$1"; }

@test "pushed, pulled into another root: the same files, and a changed one is all that is sent again" {
	m volume create --label kind=test data >/dev/null
	fill "$(data_of data)"
	listing "$(data_of data)" >"$BATS_TEST_TMPDIR/pushed"
	run -0 m volume push data "$PLAIN/vol:1"
	[[ ${lines[0]} =~ ^data:\ ([0-9]+)\ chunks,\ ([0-9]+)\ of\ them\ sent ]]
	[ "${BASH_REMATCH[1]}" -ge 6 ] && [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ]
	local digest=${lines[1]##* }
	# The same again is the same manifest, and sends nothing.
	run -0 m volume push data "$PLAIN/vol:again"
	[[ ${lines[0]} == *" 0 of them sent"* ]]
	[ "${lines[1]##* }" = "$digest" ]
	# Any tool reads it.
	curl -fsS -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$PLAIN/v2/vol/manifests/1" >"$BATS_TEST_TMPDIR/manifest"
	jq -e '.artifactType == "application/vnd.masu.volume.v1" and (.layers | length) >= 6' "$BATS_TEST_TMPDIR/manifest"
	for blob in $(jq -r '.layers[].digest' "$BATS_TEST_TMPDIR/manifest"); do curl -fsSL "http://$PLAIN/v2/vol/blobs/$blob"; done |
		zstd -dc | tar -xO deep/er/again | grep -qx hello
	# Elsewhere.
	local first=$MASU_ROOT
	export MASU_ROOT=$BATS_TEST_TMPDIR/other
	run -0 m volume pull -q "$PLAIN/vol:1"
	[ "$output" = data ]
	listing "$(data_of data)" | diff "$BATS_TEST_TMPDIR/pushed" -
	[ "$(stat -c %b "$(data_of data)/sparse")" -lt 1000 ]
	[ "$(m volume inspect -f '{{.Labels.kind}}' data)" = test ]
	run -0 m volume pull "$PLAIN/vol@$digest" by-digest
	listing "$(data_of by-digest)" | diff "$BATS_TEST_TMPDIR/pushed" -
	run ! m volume pull "$PLAIN/vol:1"
	[[ $output == *"a volume named data exists already"* ]]
	export MASU_ROOT=$first
	# A little in the middle.
	printf changed | dd of="$(data_of data)/random" bs=1 seek=5000000 conv=notrunc status=none
	echo more >"$(data_of data)/deep/more"
	run -0 m volume push data "$PLAIN/vol:2"
	[[ ${lines[0]} =~ chunks,\ ([0-9]+)\ of ]]
	[ "${BASH_REMATCH[1]}" -ge 1 ] && [ "${BASH_REMATCH[1]}" -le 4 ]
}

@test "a container that writes stands still while it is read; a snapshot is pushed as it was" {
	m_run -d --name writer -v live:/live busybox:local sh -c 'i=0; while :; do i=$((i+1)); echo $i >/live/a; echo $i >/live/b; done' >/dev/null
	wait_until 10 test -s "$(data_of live)/b"
	m volume snapshot live then >/dev/null
	m volume push -q live "$PLAIN/live:now"
	status_is writer running
	m volume push -q live@then "$PLAIN/live:then"
	m rm -f writer >/dev/null
	m volume pull -q "$PLAIN/live:now" now
	m volume pull -q "$PLAIN/live:then" then
	local a b
	a=$(cat "$(data_of now)/a") b=$(cat "$(data_of now)/b")
	# One that was being written is empty; else they differ by what was written in between.
	[ -z "$a" ] || [ -z "$b" ] || [ $((a - b)) = 0 ] || [ $((a - b)) = 1 ]
	listing "$(data_of then)" | diff - <(listing "$MASU_ROOT/volumes/live/snapshots/then/_data")
}

# What docker-registry would not take is put under its feet.
@test "what a registry says is not believed" {
	m volume create evil >/dev/null
	fill "$(data_of evil)"
	m volume push -q evil "$PLAIN/evil:1" >/dev/null
	local store=$BATS_FILE_TMPDIR/plain/data/docker/registry/v2/blobs/sha256 manifest chunk
	manifest=$(curl -fsS -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$PLAIN/v2/evil/manifests/1")
	chunk=$(jq -r '.layers[1].digest' <<<"$manifest")
	chunk=${chunk#sha256:}
	cp "$store/${chunk:0:2}/$chunk/data" "$BATS_TEST_TMPDIR/kept"
	# Another byte.
	printf X | dd of="$store/${chunk:0:2}/$chunk/data" bs=1 seek=100 conv=notrunc status=none
	run ! m volume pull "$PLAIN/evil:1" bad
	[[ $output == *"$chunk"* ]]
	cp "$BATS_TEST_TMPDIR/kept" "$store/${chunk:0:2}/$chunk/data"
	put() { # tag, manifest
		curl -fsS -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "$2" "http://$PLAIN/v2/evil/manifests/$1"
	}
	# Chunks in another order, one left out, another type.
	put order "$(jq -c '.layers |= ([.[1], .[0]] + .[2:])' <<<"$manifest")"
	run ! m volume pull "$PLAIN/evil:order" bad
	put short "$(jq -c '.layers |= .[:-1]' <<<"$manifest")"
	run ! m volume pull "$PLAIN/evil:short" bad
	put type "$(jq -c '.artifactType = "application/x.y"' <<<"$manifest")"
	run ! m volume pull "$PLAIN/evil:type" bad
	[[ $output == *"that is no volume, but application/x.y"* ]]
	# A size is one of the volume's own directory, and takes a filesystem that counts.
	run ! m volume pull -o type=tmpfs "$PLAIN/evil:1" bad
	[[ $output == *'invalid option: "type"; it takes size='* ]]
	run ! m volume pull -o size=none "$PLAIN/evil:1" bad
	[[ $output == *"invalid size"* ]]
	run ! m volume pull -o size=1g "$PLAIN/evil:1" bad
	[[ $output == *"no project quotas in force"* ]]
	put size "$(jq -c '.layers[0].size = 99999999999' <<<"$manifest")"
	run ! m volume pull "$PLAIN/evil:size" bad
	[[ $output == *"a chunk of more than"* ]]
	run ! m volume inspect bad
	[ ! -e "$MASU_ROOT/volumes/bad" ]
	# An image is none, and the other way round.
	m tag busybox:local "$PLAIN/image:1"
	m push -q "$PLAIN/image:1"
	run ! m volume pull "$PLAIN/image:1" bad
	[[ $output == *"that is no volume"* ]]
	run ! m pull "$PLAIN/evil:1"
	run -0 m system check
	[ -z "$output" ]
}
