#!/usr/bin/env bats
# A registry that lies, breaks off, sends too much or wants the credentials of another (HOSTILE 21-25, 30,
# 31 and the registry class): one line that says what is wrong, status 1, and a store as it was.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/registry

HOST=127.0.0.1:5000

setup_file() {
	engine_setup_file
	registry_client_setup
	export LOG=$BATS_FILE_TMPDIR/requests
	skopeo copy -q "oci:$MASU_ROOT/images:busybox:local" "oci:$BATS_FILE_TMPDIR/layout:box"
	python3 "$BATS_TEST_DIRNAME/../lib/hostile-registry.py" 5000 "$BATS_FILE_TMPDIR/layout" "$LOG" 3>&- 4>&- &
	echo $! >"$BATS_FILE_TMPDIR/pid"
	wait_until 20 bash -c "exec 5<>/dev/tcp/127.0.0.1/5000" 2>/dev/null
}

teardown_file() {
	kill "$(cat "$BATS_FILE_TMPDIR/pid")"
	engine_teardown_file
}

setup() {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
	m images >/dev/null
	: >"$LOG"
}

teardown() {
	remove_all
}

# Images, blobs, layers and what is on the way.
store_is_empty() {
	[ -z "$(m images -qa)" ]
	[ -z "$(find "$MASU_ROOT" -type f -path '*blobs*')" ]
	[ -z "$(find "$MASU_ROOT/layers" -mindepth 2 -maxdepth 2 ! -name '.*' 2>/dev/null)" ]
	[ -z "$(find "$MASU_ROOT/images/.masu/downloads" "$MASU_ROOT/images/.masu/staging" -type f 2>/dev/null)" ]
}

# refused REPOSITORY WORDS...: in the one line.
refused() {
	local name=$HOST/$1
	shift
	[[ $name == *[:@]* && $name == */*[:@]* ]] || name=$name:1
	run -1 --separate-stderr m pull -q "$name"
	[ -z "$output" ]
	[ "${#stderr_lines[@]}" -eq 1 ] || { echo "$stderr"; return 1; }
	[[ $stderr == masu:* ]]
	for words in "$@"; do
		[[ $stderr == *"$words"* ]] || { echo "no \"$words\" in: $stderr"; return 1; }
	done
	store_is_empty
}

works() {
	m pull -q "$HOST/$1/box:1"
	run -0 m_run --rm --pull never "$HOST/$1/box:1" cat /data/hello
	[ "$output" = "from the image" ]
}

@test "the same registry, well-behaved" {
	works good
}

@test "cut at each chunk: it goes on where it was cut (HOSTILE 30)" {
	works cut
	# Every byte came once: each request began where the one before it ended.
	grep ' GET .*/blobs/' "$LOG" | awk '$4 != "-" { n++ } END { exit n != 9 }'
}

@test "cut, and Range is ignored: the bytes that came before are not taken twice" {
	works cut-norange
}

@test "cut for good: an end, and a line" {
	refused cut-always/box "127.0.0.1:5000"
}

@test "busy for a while: 429, then 503, then it works (HOSTILE 31)" {
	works busy
}

@test "broken for good: 500 (HOSTILE 31)" {
	refused broken/box "status 500"
}

@test "redirected in circles, or to a file" {
	refused redirects/box "redirected too often"
	refused to-file/box "127.0.0.1:5000"
}

@test "never satisfied with credentials (HOSTILE 31)" {
	refused unauthorized/box "127.0.0.1:5000"
	echo '{"auths": {"127.0.0.1:5000": {"auth": "dXNlcjpzZWNyZXQ="}}}' >"$DOCKER_CONFIG/config.json"
	refused unauthorized/box "127.0.0.1:5000"
	# Asked a few times, not for ever.
	[ "$(grep -c manifests "$LOG")" -le 6 ]
	rm "$DOCKER_CONFIG/config.json"
}

@test "blobs at another host come from there, without the credentials" {
	echo '{"auths": {"127.0.0.1:5000": {"auth": "dXNlcjpzZWNyZXQ="}}}' >"$DOCKER_CONFIG/config.json"
	works elsewhere
	grep -q '^127.0.0.1 GET .*/manifests/.* Basic dXNlcjpzZWNyZXQ=' "$LOG"
	grep -q '^127.0.0.2 GET .*/blobs/' "$LOG"
	! grep '^127.0.0.2 ' "$LOG" | grep -v ' -$'
	rm "$DOCKER_CONFIG/config.json"
}

@test "a token server at another host is not given the credentials" {
	echo '{"auths": {"127.0.0.1:5000": {"auth": "dXNlcjpzZWNyZXQ="}}}' >"$DOCKER_CONFIG/config.json"
	refused token-elsewhere/box
	! grep '^127.0.0.2 ' "$LOG" | grep -v ' -$'
	rm "$DOCKER_CONFIG/config.json"
}

@test "another content than the digest says: layer, config, manifest (HOSTILE 23)" {
	refused digest/box "damaged or forged"
	refused config-digest/box "sha256:"
	refused "manifest-digest/box@sha256:$(printf 3%.0s {1..64})" "sha256:333"
}

@test "another diff_id than the layer's, and more layers than diff_ids (HOSTILE 24)" {
	refused diff-id/box "but the image's config says sha256:111"
	refused more-layers/box "layers"
}

@test "a manifest that is an index as well, or not what it is called (HOSTILE 22)" {
	refused ambiguous/box "manifest"
	refused other-type/box
}

@test "an index in an index in an index" {
	refused loop/box "index"
}

@test "a config of 4 GiB (HOSTILE 25)" {
	refused big-config/box "config"
}

@test "documents and blobs without an end" {
	refused endless-manifest/box "more than 4194304 bytes"
	refused endless-blob/box "more than"
}

@test "a layer that grows without measure, in 64 MiB of memory (HOSTILE 21)" {
	local group=/sys/fs/cgroup/memory$GROUP limit=memory.limit_in_bytes
	[ -d /sys/fs/cgroup/memory ] || group=/sys/fs/cgroup$GROUP limit=memory.max
	mkdir -p "$group"
	echo 64M >"$group/$limit"
	echo $BASHPID >"$group/cgroup.procs"
	refused bomb/box "decompression bomb"
	echo $BASHPID >"${group%"$GROUP"}/cgroup.procs"
}

@test "a foreign layer is named, its address is not asked" {
	refused foreign/box "foreign"
	! grep -q '^127.0.0.2 ' "$LOG"
}

@test "what is no HTTP, no JSON, or too deep" {
	refused garbage/box "127.0.0.1:5000"
	refused headers/box "127.0.0.1:5000"
	refused not-json/box
	refused deep/box
}

@test "the registry's words cannot command the terminal" {
	refused escapes/box "denied: "
	! LC_ALL=C grep -qP '[\x00-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae' <<<"$stderr"
}
