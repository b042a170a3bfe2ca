#!/usr/bin/env bats
# Token servers: refresh tokens, one request for all that wait, nobody waits who need not, and such as answer
# with nonsense, without an end, or lead elsewhere.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/registry

REG=127.0.0.1:5000 FRONT=127.0.0.1:5001 SECURE=127.0.0.1:5443
REFRESH="a-refresh+token/for=user"

setup_file() {
	engine_setup_file
	registry_client_setup
	registry_start plain 5000
	registry_layout "$BATS_FILE_TMPDIR/layout" 5 4096
	skopeo copy -q --dest-tls-verify=false "oci:$BATS_FILE_TMPDIR/layout:layers:test" "docker://$REG/layers:1"
	skopeo copy -q --dest-tls-verify=false "oci:$MASU_ROOT/images:busybox:local" "docker://$REG/box:1"
	export CERTS=$BATS_FILE_TMPDIR/certs LOG=$BATS_FILE_TMPDIR/requests STORE=$MASU_ROOT
	mkdir "$CERTS"
	registry_certificate "$CERTS" 127.0.0.1
	python3 "$BATS_TEST_DIRNAME/../lib/token-registry.py" 5001 "$LOG" 5443 "$CERTS" >"$BATS_FILE_TMPDIR/front.log" 2>&1 3>&- 4>&- &
	echo $! >"$BATS_FILE_TMPDIR/front.pid"
	wait_until 20 grep -q ready "$LOG"
}

teardown_file() {
	kill "$(cat "$BATS_FILE_TMPDIR/front.pid")"
	registry_stop plain
	engine_teardown_file
}

# Every test has an empty store and no login.
setup() {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
	rm -f "$DOCKER_CONFIG/config.json"
	: >"$LOG"
}

teardown() {
	remove_all
}

# The tokens that were asked for since the test began.
asked() { # mode
	grep -c " /token/$1" "$LOG"
}

keep() { # JSON of an entry
	echo "{\"auths\": {\"$FRONT\": $1}}" >"$DOCKER_CONFIG/config.json"
}

# refused NAME WORDS...: in the one line; the store stays empty.
refused() {
	local name=$FRONT/$1
	shift
	run -1 --separate-stderr m pull -q "$name"
	[ -z "$output" ]
	[ "${#stderr_lines[@]}" -eq 1 ] || { echo "$stderr"; return 1; }
	for words in "$@"; do
		[[ "$stderr" == *"$words"* ]] || { echo "$stderr"; return 1; }
	done
	[ -z "$(m images -qa)" ]
}

@test "login keeps the refresh token and not the password; podman and masu ask with it" {
	m login -u user --password-stdin $FRONT <<<secret
	entry=$(jq ".auths[\"$FRONT\"]" "$DOCKER_CONFIG/config.json")
	[ "$(jq -r .identitytoken <<<"$entry")" = "$REFRESH" ]
	[ "$(jq -r .auth <<<"$entry" | base64 -d)" = user: ]
	: >"$LOG"
	m pull -q $FRONT/login/box:1
	[ "$(asked login)" = 1 ]
	grep "/token/login" "$LOG" | grep -q " POST /token/login - grant_type=refresh_token&service=masu&client_id=masu&scope=repository%3Alogin%2Fbox%3Apull&refresh_token=a-refresh%2Btoken%2Ffor%3Duser -"
	! grep -q Basic "$LOG"
	skopeo inspect --tls-verify=false --authfile "$DOCKER_CONFIG/config.json" "docker://$FRONT/login/box:1" >/dev/null
	m logout $FRONT
	run -1 m pull -q $FRONT/login/box:1
	[[ "$output" == *"log in with: masu login"* ]]
	run -1 m login -u user --password-stdin $FRONT <<<wrong
	[[ "$output" == *"wrong user name or password"* ]]
}

@test "an identity token of config.json, and of a helper; one that is no longer good" {
	m login -u user --password-stdin $FRONT <<<secret
	keep "{\"identitytoken\": \"$REFRESH\"}"
	m pull -q $FRONT/login/box:1
	mkdir "$BATS_TEST_TMPDIR/bin"
	# It ends its input before masu has written there what it asks for.
	printf '#!/bin/sh\nexec <&-\necho %s\n' "'{\"Username\": \"<token>\", \"Secret\": \"$REFRESH\"}'" >"$BATS_TEST_TMPDIR/bin/docker-credential-test"
	chmod +x "$BATS_TEST_TMPDIR/bin/docker-credential-test"
	echo '{"credsStore": "test"}' >"$DOCKER_CONFIG/config.json"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH m pull -q $FRONT/login/box:1
	keep '{"identitytoken": "stale"}'
	m rmi $FRONT/login/box:1
	refused login/box:1 "the login is no longer good; log in again with: masu login"
}

@test "a registrytoken of config.json is sent as it is; one that is no longer good" {
	keep "{\"registrytoken\": \"$(curl -s "http://$FRONT/token/good" | jq -r .token)\"}"
	: >"$LOG"
	m pull -q $FRONT/good/box:1
	! grep -q " /token/" "$LOG"
	m rmi $FRONT/good/box:1
	keep '{"registrytoken": "stale"}'
	refused good/box:1 "it does not take the registrytoken of config.json"
	keep '{"registrytoken": "two\nlines"}'
	refused good/box:1 "damaged credentials"
}

@test "a login to a part of a registry is for that part" {
	m login -u user --password-stdin $FRONT <<<secret
	echo "{\"auths\": {\"$FRONT/login/box\": {\"identitytoken\": \"$REFRESH\"}, \"$FRONT/login\": {\"identitytoken\": \"stale\"},
		\"$FRONT/good\": {\"identitytoken\": \"stale\"}}}" >"$DOCKER_CONFIG/config.json"
	m pull -q $FRONT/login/box:1
	run -1 m pull -q $FRONT/login/layers:1
	[[ "$output" == *"no longer good"* ]]
	# Another part: nothing is known of it.
	: >"$LOG"
	run -1 m pull -q $FRONT/denied/box:1
	[ "$(asked denied)" = 1 ]
	! grep -q refresh_token "$LOG"
}

@test "refresh tokens that are good once: the next one is used" {
	keep '{"identitytoken": "first"}'
	m pull -q $FRONT/rotate/layers:1
	[ "$(asked rotate)" -ge 2 ]
	[ "$(grep -o 'refresh_token=[a-z0-9]*' "$LOG" | sort | uniq -d | wc -l)" = 0 ]
}

@test "a token is asked for beside the layers that are under way, and once for all that need it" {
	m pull -q $FRONT/hold/layers:1
	[ "$(asked hold)" = 2 ]
	m_run --rm --pull never $FRONT/hold/layers:1 test -s /file-5
}

@test "a token server that is busy, broken and hangs up for a while" {
	m pull -q $FRONT/busy/box:1
	[ "$(asked busy)" = 4 ]
}

@test "a push asks for the right to write, and to read where it mounts from" {
	m pull -q $FRONT/good/layers:1
	m tag $FRONT/good/layers:1 $FRONT/good/copy:1
	: >"$LOG"
	m push -q $FRONT/good/copy:1
	grep -q "scope=repository%3Agood%2Fcopy%3Apull%2Cpush&scope=repository%3Agood%2Flayers%3Apull" "$LOG"
	[ "$(asked good)" -le 2 ]
}

@test "answers that are none" {
	for mode in garbage none number lines huge deep; do
		refused $mode/box:1 "token server http://127.0.0.1:5001/token/$mode: its answer holds no token"
	done
	refused not-http/box:1 "token server http://127.0.0.1:5001/token/not-http: "
	[ "$(grep -c X-Injected "$LOG")" = 0 ]
}

@test "answers without an end" {
	for mode in endless headers; do
		refused $mode/box:1 "its answer has no end"
	done
}

@test "no token is ever good: an end, after few requests" {
	refused never/box:1 "status 401"
	[ "$(wc -l <"$LOG")" -le 6 ]
	refused denied/box:1 "unauthorized: the token server"
	[ "$(asked denied)" = 1 ]
	refused down/box:1 "status 500"
}

@test "a token server that redirects, or is elsewhere, is told no credentials" {
	keep "{\"auth\": \"$(printf user:secret | base64)\"}"
	refused moved/box:1 "it redirects elsewhere (status 307)"
	refused circle/box:1 "it redirects elsewhere (status 302)"
	refused other/box:1 "which is not its own: the credentials were not sent there"
	refused userinfo/box:1 "which is not its own"
	refused file/box:1 "token server file:///etc/passwd"
	# The host that was only redirected to never heard of it, the others without a name.
	! grep "^127.0.0.2" "$LOG" | grep -e Basic -e /token/good
	grep -q "^127.0.0.2 GET /token/anonymous" "$LOG"
}

@test "a client's certificate is shown to the registry, not where it leads to" {
	mkdir -p "/etc/docker/certs.d/$SECURE"
	openssl req -newkey rsa:2048 -nodes -subj "/CN=ours" -keyout "/etc/docker/certs.d/$SECURE/client.key" \
		-out "$BATS_TEST_TMPDIR/csr" 2>/dev/null
	openssl x509 -req -days 2 -in "$BATS_TEST_TMPDIR/csr" -CA "$CERTS/ca.crt" -CAkey "$CERTS/ca.key" -CAcreateserial \
		-out "/etc/docker/certs.d/$SECURE/client.cert" 2>/dev/null
	m pull -q $SECURE/elsewhere/box:1
	rm -r /etc/docker/certs.d
	grep -q "^127.0.0.1 GET /v2/elsewhere/box/manifests/1 - - ours$" "$LOG"
	grep -q "^127.0.0.1 GET /v2/elsewhere/box/blobs/sha256:.* - - ours$" "$LOG"
	grep -q "^127.0.0.2 GET /v2/elsewhere/box/blobs/sha256:.* - - -$" "$LOG"
	! grep "^127.0.0.2" "$LOG" | grep ours
}
