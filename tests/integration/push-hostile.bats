#!/usr/bin/env bats
# Registries that misbehave when they are pushed to: what can be got over is, the rest ends with one line
# and status 1; credentials stay where they belong (HOSTILE 30, 31 and the registry class).

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/registry

HOST=127.0.0.1:5000

setup_file() {
	engine_setup_file
	registry_client_setup
	export LOG=$BATS_FILE_TMPDIR/requests
	registry_layout "$BATS_FILE_TMPDIR/layout" 2 10000
	m load -q -i "$BATS_FILE_TMPDIR/layout" >/dev/null
	export DIGEST
	DIGEST=$(jq -r '.manifests[0].digest' "$BATS_FILE_TMPDIR/layout/index.json")
	python3 "$BATS_TEST_DIRNAME/../lib/hostile-push-registry.py" 5000 "$LOG" >/dev/null 2>"$BATS_FILE_TMPDIR/errors" 3>&- 4>&- &
	echo $! >"$BATS_FILE_TMPDIR/pid"
	wait_until 20 bash -c "exec 5<>/dev/tcp/127.0.0.1/5000" 2>/dev/null
	: >"$LOG"
}

teardown_file() {
	kill "$(cat "$BATS_FILE_TMPDIR/pid")"
	engine_teardown_file
}

works() { # repository
	m tag layers:test "$HOST/$1/box:1"
	run m push "$HOST/$1/box:1"
	[ "$status" -eq 0 ] || { echo "$output"; return 1; }
	[[ "${lines[-1]}" == "1: digest: $DIGEST size: "* ]]
}

# refused REPOSITORY WORDS...: in the one line.
refused() {
	local name=$HOST/$1/box:1
	shift
	m tag layers:test "$name"
	run -1 --separate-stderr m push -q "$name"
	[ -z "$output" ]
	[ "${#stderr_lines[@]}" -eq 1 ] || { echo "$stderr"; return 1; }
	[[ $stderr == masu:* ]]
	for words in "$@"; do
		[[ $stderr == *"$words"* ]] || { echo "no \"$words\" in: $stderr"; return 1; }
	done
}

# Bytes of bodies that came for a repository.
sent() { # repository
	awk -v path="/v2/$1/box/blobs/uploads" 'index($3, path) == 1 { n += $4 } END { print n + 0 }' "$LOG"
}

# The server writes its log after its answers.
all_sent() { # repository
	[ "$(sent "$1")" = "$(blob_bytes)" ]
}

all_sent_there() { # way
	grep "^127.0.0.2 .*/$1/" "$LOG" >"$BATS_TEST_TMPDIR/there"
	[ "$(awk '{ n += $4 } END { print n }' "$BATS_TEST_TMPDIR/there")" = "$(blob_bytes)" ]
}

blob_bytes() {
	find "$BATS_FILE_TMPDIR/layout/blobs" -type f -not -name "${DIGEST#sha256:}" -printf '%s\n' | paste -sd+ | bc
}

@test "the same registry, well-behaved" {
	works good
	wait_until 10 all_sent good
}

@test "cut every 3 MiB: it goes on where it was cut, no byte goes twice" {
	works cut
	wait_until 10 all_sent cut
	grep -q ' PATCH ' "$LOG"
}

@test "cut, and the registry forgets: sent again" {
	works forget
}

@test "the answer to the last byte is lost: the registry has it, and is believed" {
	works late
	wait_until 10 all_sent late
}

@test "too big at once: in parts" {
	works small
	wait_until 10 all_sent small
}

@test "429, 503, slowness and a place relative to the request" {
	works busy
	works slow
	works relative
}

@test "tokens that are good for three requests: asked for again and again, but not by each" {
	works tokens
	[ "$(grep -c ' GET /token' "$LOG")" -le 8 ]
	grep -q 'GET /token?.*scope=repository%3Atokens%2Fbox%3Apull%2Cpush' "$LOG"
}

@test "a place at another host: used, without the credentials" {
	echo secret | m login -u user --password-stdin "$HOST" 2>/dev/null || true
	printf '{"auths": {"%s": {"auth": "%s"}}}' "$HOST" "$(printf user:secret | base64)" >"$DOCKER_CONFIG/config.json"
	for way in elsewhere moved; do
		works "$way"
		wait_until 10 all_sent_there "$way"
		[ -z "$(grep -v -- '-$' "$BATS_TEST_TMPDIR/there")" ]
	done
	refused asks-elsewhere "credentials; they are not sent there"
	[ -z "$(grep '^127.0.0.2 .*/asks-elsewhere/' "$LOG" | grep -v -- '-$')" ]
	rm "$DOCKER_CONFIG/config.json"
}

@test "places that are none" {
	refused nowhere "names no place for the upload"
	refused to-file "away from HTTPS"
	refused user "names no place for the upload"
	refused long "names no place for the upload"
	[ -z "$(grep '^127.0.0.2 .*/user/' "$LOG")" ]
}

@test "redirects without an end, and such as lose what is sent" {
	refused redirects "redirected too often"
	refused loses "status 302" "loses what is sent"
}

@test "a registry that says it has more than was sent, or less than before" {
	refused overtakes "more than was sent"
	refused backwards "does not keep what it takes"
}

@test "answers without an end" {
	refused endless "no end"
	refused headers "127.0.0.1:5000"
}

@test "another digest for the manifest, blobs that are there only for show, what changes on the way" {
	refused other-digest "keeps $DIGEST as sha256:1111"
	refused pretends "manifest blob unknown"
	refused flips "digest invalid" "system check"
}

@test "refusals: the registry's words, and nothing that a terminal acts on" {
	refused denied "denied: " "requested access"
	[[ "$stderr" != *$'\e'* ]]
	refused garbage "127.0.0.1:5000"
}

@test "cut for good, and a server that only fails: an end" {
	m tag layers:test "$HOST/broken/box:1"
	m push -q "$HOST/broken/box:1" >"$BATS_TEST_TMPDIR/broken" 2>&1 &
	pid=$!
	refused cut-always "127.0.0.1:5000"
	run -1 wait "$pid"
	[[ "$(cat "$BATS_TEST_TMPDIR/broken")" == *"status 500"* ]]
}

@test "nothing of all this has changed the store" {
	run -0 m system check
	[ -z "$output" ]
	[ -z "$(ls -A "$MASU_ROOT/images/.masu/staging")" ]
}
