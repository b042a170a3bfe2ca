#!/usr/bin/env bats
# Pulling from a real registry, plain and with TLS and a password.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/registry

PLAIN=127.0.0.1:5000 SECURE=127.0.0.1:5443

setup_file() {
	engine_setup_file
	registry_client_setup
	registry_start plain 5000
	registry_start secure 5443 tls auth
	# What skopeo pushes is Docker's schema 2; the oci: source keeps OCI's manifest.
	"$MASU" save -o "$BATS_FILE_TMPDIR/image.tar" busybox:local
	local copy=(skopeo copy -q --dest-tls-verify=false)
	"${copy[@]}" "docker-archive:$BATS_FILE_TMPDIR/image.tar" "docker://$PLAIN/box:docker"
	"${copy[@]}" "oci:$MASU_ROOT/images:busybox:local" "docker://$PLAIN/box:oci"
	"${copy[@]}" --dest-creds user:secret "oci:$MASU_ROOT/images:busybox:local" "docker://$SECURE/team/box:1"
	export STORE=$MASU_ROOT
}

teardown_file() {
	engine_teardown_file
	registry_stop plain
	registry_stop secure
}

# Every test has an empty store.
setup() {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
}

teardown() {
	remove_all
}

remote_digest() { # name
	skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$1"
}

@test "an image of either kind is pulled and runs; docker's lines tell it" {
	for tag in docker oci; do
		run -0 m pull "$PLAIN/box:$tag"
		[ "${lines[0]}" = "$tag: Pulling from box" ]
		[[ "$tag" == oci || "$output" == *": Pulling fs layer"*": Download complete"*": Pull complete"* ]]
		[[ "$output" == *"Digest: $(remote_digest "$PLAIN/box:$tag")"* ]]
		[[ "$output" == *"Status: Downloaded newer image for $PLAIN/box:$tag"* ]]
		[ "${lines[-1]}" = "$PLAIN/box:$tag" ]
		run -0 m_run --rm --pull never "$PLAIN/box:$tag" cat /data/hello
		[ "$output" = "from the image" ]
	done
	nothing_left
}

@test "what is there already is not fetched again" {
	m pull -q "$PLAIN/box:oci"
	find "$MASU_ROOT/images/blobs" -type f -printf '%i %p\n' | sort >"$BATS_TEST_TMPDIR/before"
	run -0 m pull "$PLAIN/box:oci"
	[[ "$output" == *"Status: Image is up to date for $PLAIN/box:oci"* ]]
	find "$MASU_ROOT/images/blobs" -type f -printf '%i %p\n' | sort >"$BATS_TEST_TMPDIR/after"
	cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
	# Another name of the same layers: only manifest and config come.
	run -0 m pull "$PLAIN/box:docker"
	[[ "$output" == *": Already exists"* ]]
}

@test "the store stays an OCI layout that skopeo reads" {
	m pull -q "$PLAIN/box:oci"
	[ "$(skopeo inspect --format '{{.Digest}}' "oci:$MASU_ROOT/images:$PLAIN/box:oci")" = "$(remote_digest "$PLAIN/box:oci")" ]
}

@test "by digest; another digest than the content's is refused" {
	digest=$(remote_digest "$PLAIN/box:oci")
	run -0 m pull -q "$PLAIN/box@$digest"
	[ "$output" = "$PLAIN/box@$digest" ]
	m_run --rm --pull never "$PLAIN/box@$digest" true
	run -1 m pull "$PLAIN/box@sha256:$(printf 0%.0s {1..64})"
	[[ "$output" == *"manifest unknown"* ]]
}

@test "run and create pull what is missing; --pull says when" {
	run -0 --separate-stderr m_run --rm "$PLAIN/box:oci" echo ran
	[ "$output" = ran ]
	[[ "$stderr" == "Unable to find image '$PLAIN/box:oci' locally"*"Pulling from box"* ]]
	run -0 --separate-stderr m_run --rm --pull always -q "$PLAIN/box:oci" echo ran
	[ "$output" = ran ]
	[ "$stderr" = "$PLAIN/box:oci" ]
	run -125 m_run --rm --pull never "$PLAIN/box:docker" true
	[[ "$output" == *"No such image: $PLAIN/box:docker"* ]]
	run -0 m_create "$PLAIN/box:docker" true
	run -125 m_create --pull sometimes "$PLAIN/box:docker" true
	[[ "$output" == *"invalid pull option: 'sometimes'"* ]]
}

@test "twenty pulls of one image at once: one download (HOSTILE 32)" {
	pids=()
	for _ in {1..20}; do
		m pull -q "$PLAIN/box:oci" >/dev/null 2>>"$BATS_TEST_TMPDIR/errors" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || { cat "$BATS_TEST_TMPDIR/errors"; return 1; }
	done
	[ "$(m images -q | wc -l)" = 1 ]
	m_run --rm --pull never "$PLAIN/box:oci" true
	[ -z "$(ls -A "$MASU_ROOT/images/.masu/downloads" "$MASU_ROOT/images/.masu/staging" | grep -v :)" ]
}

@test "a damaged blob of the store is noticed when it is needed, and fetched again (HOSTILE 34)" {
	m pull -q "$PLAIN/box:oci"
	layer=$(find "$MASU_ROOT/images/blobs/sha256" -type f -printf '%s %p\n' | sort -n | tail -1 | cut -d' ' -f2)
	printf 'X' | dd of="$layer" bs=1 seek=100000 conv=notrunc status=none
	rm -r "$MASU_ROOT"/layers/* # as after a change of the storage driver
	m pull -q "$PLAIN/box:oci"
	m_run --rm --pull never "$PLAIN/box:oci" true
	[ "$(sha256sum <"$layer" | cut -d' ' -f1)" = "${layer##*/}" ]
}

@test "libcurl is loaded by what talks to a registry alone; where it is missing, one line says so" {
	local library
	library=$(ldconfig -p | awk '$1 == "libcurl.so.4" { print $NF; exit }')
	run -1 unshare -m sh -c 'mount --bind /dev/null "$1" && "$2" pull "$3"' - "$library" "$MASU" "$PLAIN/box:oci"
	[[ "$output" == *"registries need libcurl.so.4 (the Debian package libcurl4)"* ]]
	[ ${#lines[@]} -eq 1 ]
	unshare -m sh -c 'mount --bind /dev/null "$1" && "$2" load -q -i "$3"' - "$library" "$MASU" "$BATS_FILE_TMPDIR/image.tar"
	nothing_left
}

@test "what is not there: docker's words, one line, status 1" {
	run -1 m pull "$PLAIN/box:nosuch"
	[ "${#lines[@]}" = 1 ]
	[[ "$output" == "masu: manifest for $PLAIN/box:nosuch not found: manifest unknown: "* ]]
	run -1 m pull 127.0.0.1:5999/box:1
	[[ "$output" == *"127.0.0.1:5999: "*"connect"* ]]
	run -1 m pull "$PLAIN/Box:1"
	run -1 m pull --platform linux/riscv64 "$PLAIN/box:nosuch"
	[ -z "$(m images -q)" ]
}

@test "TLS: an unknown authority is refused, a certificate in certs.d makes it known" {
	cp "$BATS_FILE_TMPDIR/secure/ca.crt" "$BATS_TEST_TMPDIR/ca.crt"
	# 127.0.0.1 may be insecure, other names may not: the same server under a name.
	run -1 m pull "localhost.example:5443/team/box:1"
	mkdir -p "/etc/docker/certs.d/$SECURE"
	cp "$BATS_TEST_TMPDIR/ca.crt" "/etc/docker/certs.d/$SECURE/ca.crt"
	echo secret | m login -u user --password-stdin "$SECURE"
	m pull -q "$SECURE/team/box:1"
	m logout "$SECURE"
}

@test "login proves the password and keeps it; logout forgets it" {
	run -1 m pull "$SECURE/team/box:1"
	[[ "$output" == *unauthorized* ]]
	run -1 m login -u user --password-stdin "$SECURE" <<<wrong
	[[ "$output" == *unauthorized* ]]
	[ ! -e "$DOCKER_CONFIG/config.json" ] || [ "$(jq '.auths | length' "$DOCKER_CONFIG/config.json")" = 0 ]
	run -0 m login -u user --password-stdin "$SECURE" <<<secret
	[[ "$output" == *"stored unencrypted in '$DOCKER_CONFIG/config.json'"*"Login Succeeded"* ]]
	[ "$(stat -c %a "$DOCKER_CONFIG/config.json")" = 600 ]
	[ "$(jq -r ".auths[\"$SECURE\"].auth" "$DOCKER_CONFIG/config.json" | base64 -d)" = user:secret ]
	m pull -q "$SECURE/team/box:1"
	# skopeo reads what masu wrote.
	skopeo inspect --tls-verify=false --authfile "$DOCKER_CONFIG/config.json" "docker://$SECURE/team/box:1" >/dev/null
	run -0 m logout "$SECURE"
	[ "$output" = "Removing login credentials for $SECURE" ]
	run -0 m logout "$SECURE"
	[ "$output" = "Not logged in to $SECURE" ]
	run -1 m pull "$SECURE/team/box:1"
}

@test "a credential helper gives, keeps and forgets" {
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	cat >"$BATS_TEST_TMPDIR/bin/docker-credential-test" <<-'SH'
	#!/bin/sh
	store=$(dirname "$0")/store
	case $1 in
	store) cat >"$store" ;;
	get) cat "$store" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
	erase) rm -f "$store" ;;
	esac
	SH
	chmod +x "$BATS_TEST_TMPDIR/bin/docker-credential-test"
	export PATH=$BATS_TEST_TMPDIR/bin:$PATH DOCKER_CONFIG=$BATS_TEST_TMPDIR/config
	mkdir "$DOCKER_CONFIG"
	echo '{"credsStore": "test", "detachKeys": "ctrl-x"}' >"$DOCKER_CONFIG/config.json"
	run -1 m pull "$SECURE/team/box:1"
	echo secret | m login -u user --password-stdin "$SECURE"
	[ "$(jq -r .Username "$BATS_TEST_TMPDIR/bin/store")" = user ]
	m pull -q "$SECURE/team/box:1"
	m logout "$SECURE"
	[ ! -e "$BATS_TEST_TMPDIR/bin/store" ]
	[ "$(jq -r .detachKeys "$DOCKER_CONFIG/config.json")" = ctrl-x ]
}

@test "registries.conf: a mirror is asked first, a blocked registry not at all" {
	cat >/etc/containers/registries.conf <<-TOML
	[[registry]]
	prefix = "upstream.example"
	location = "127.0.0.1:5999" # nobody is there
	[[registry.mirror]]
	location = "$PLAIN"
	insecure = true
	[[registry]]
	location = "blocked.example"
	blocked = true
	TOML
	m pull -q upstream.example/box:oci
	m_run --rm --pull never upstream.example/box:oci true
	run -1 m pull blocked.example/box:oci
	[[ "$output" == *"blocked.example is blocked"* ]]
	echo 'this is no toml' >>/etc/containers/registries.conf
	run -1 m pull upstream.example/box:oci
	[[ "$output" == *"registries.conf: line 10"* ]]
	: >/etc/containers/registries.conf
}
