#!/usr/bin/env bats
# Pushing to a real registry, plain and with TLS and a password; peers read what masu wrote.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/registry

PLAIN=127.0.0.1:5000 SECURE=127.0.0.1:5443
OCI=application/vnd.oci.image.manifest.v1+json DOCKER=application/vnd.docker.distribution.manifest.v2+json

setup_file() {
	engine_setup_file
	registry_client_setup
	registry_start plain 5000
	registry_start secure 5443 tls auth
	registry_layout "$BATS_FILE_TMPDIR/layout" 6 200
	export LAYOUT=$BATS_FILE_TMPDIR/layout
}

teardown_file() {
	engine_teardown_file
	registry_stop plain
	registry_stop secure
}

# Every test has a store with one image of six layers.
setup() {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
	m load -q -i "$LAYOUT" >/dev/null
	registry_requests plain >/dev/null
}

teardown() {
	remove_all
}

remote_digest() { # name
	skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$1"
}

raw() { # name
	skopeo inspect --tls-verify=false --raw "docker://$1"
}

layout_digest() {
	jq -r '.manifests[0].digest' "$LAYOUT/index.json"
}

check_is_clean() {
	run -0 m system check
	[ -z "$output" ]
}

@test "docker's lines tell what happens; the manifest arrives byte for byte" {
	m tag layers:test "$PLAIN/first:1"
	run -0 m push "$PLAIN/first:1"
	[ "${lines[0]}" = "The push refers to repository [$PLAIN/first]" ]
	# Topmost first, by the diff_id.
	for id in $(m image inspect -f '{{range .RootFS.Layers}}{{println .}}{{end}}' layers:test | tac | cut -c 8-19); do
		echo "$id: Preparing"
	done >"$BATS_TEST_TMPDIR/expected"
	printf '%s\n' "${lines[@]:1:6}" | diff - "$BATS_TEST_TMPDIR/expected"
	[ "$(grep -c ': Pushed$' <<<"$output")" = 6 ]
	size=$(raw "$PLAIN/first:1" | wc -c)
	[ "${lines[-1]}" = "1: digest: $(layout_digest) size: $size" ]
	[ "$(remote_digest "$PLAIN/first:1")" = "$(layout_digest)" ]
	raw "$PLAIN/first:1" | cmp - "$LAYOUT/blobs/sha256/$(layout_digest | cut -c 8-)"
}

@test "what the registry has is not sent: a HEAD a blob, and the manifest" {
	m tag layers:test "$PLAIN/again:1"
	m push -q "$PLAIN/again:1"
	registry_requests plain >/dev/null
	m tag layers:test "$PLAIN/again:2"
	run -0 m push "$PLAIN/again:2"
	[ "$(grep -c ': Layer already exists$' <<<"$output")" = 6 ]
	registry_requests plain >"$BATS_TEST_TMPDIR/requests"
	[ "$(grep -c '^HEAD /v2/again/blobs/sha256:' "$BATS_TEST_TMPDIR/requests")" = 7 ]
	[ "$(grep -v ^HEAD "$BATS_TEST_TMPDIR/requests")" = "PUT /v2/again/manifests/2" ]
}

@test "a new blob costs three requests, sent once" {
	m tag layers:test "$PLAIN/fresh:1"
	m push -q "$PLAIN/fresh:1"
	registry_requests plain >"$BATS_TEST_TMPDIR/requests"
	[ "$(grep -c '^HEAD ' "$BATS_TEST_TMPDIR/requests")" = 7 ]
	[ "$(grep -c '^POST /v2/fresh/blobs/uploads/' "$BATS_TEST_TMPDIR/requests")" = 7 ]
	[ "$(grep -c '^PUT /v2/fresh/blobs/uploads/' "$BATS_TEST_TMPDIR/requests")" = 7 ]
	[ "$(wc -l <"$BATS_TEST_TMPDIR/requests")" = 22 ]
}

@test "layers of another repository of the registry are mounted" {
	m tag layers:test "$PLAIN/source:1"
	m push -q "$PLAIN/source:1"
	m tag layers:test "$PLAIN/team/target:1"
	registry_requests plain >/dev/null
	run -0 m push "$PLAIN/team/target:1"
	[ "$(grep -c ': Mounted from source$' <<<"$output")" = 6 ]
	registry_requests plain >"$BATS_TEST_TMPDIR/requests"
	[ "$(grep -c '^POST .*[?]mount=sha256:[0-9a-f]*&from=source$' "$BATS_TEST_TMPDIR/requests")" = 7 ]
	[ "$(grep -c ^PUT "$BATS_TEST_TMPDIR/requests")" = 1 ]
	# One that is not there is asked for in vain, and the layers are sent.
	m rmi "$PLAIN/source:1" >/dev/null
	m tag layers:test "$PLAIN/nowhere:1"
	m rmi "$PLAIN/team/target:1" >/dev/null
	m tag layers:test "$PLAIN/second:1"
	run -0 m push "$PLAIN/second:1"
	[ "$(grep -c ': Pushed$' <<<"$output")" = 6 ]
}

@test "skopeo, podman and umoci read what masu pushed; podman runs it" {
	export ORACLE_PODMAN_RUNROOT=/run/podman-oracle ORACLE_PODMAN_STORAGE=vfs
	echo '{}' >"$DOCKER_CONFIG/config.json"
	m tag layers:test "$PLAIN/peers:1"
	m push -q "$PLAIN/peers:1"
	skopeo copy -q --src-tls-verify=false --preserve-digests "docker://$PLAIN/peers:1" "oci:$BATS_TEST_TMPDIR/copy:1"
	[ "$(jq -r '.manifests[0].digest' "$BATS_TEST_TMPDIR/copy/index.json")" = "$(layout_digest)" ]
	umoci stat --image "$BATS_TEST_TMPDIR/copy:1" >/dev/null
	oracle_podman pull -q --tls-verify=false "$PLAIN/peers:1" >/dev/null
	[ "$(oracle_podman inspect -t image -f '{{.Digest}}' "$PLAIN/peers:1")" = "$(layout_digest)" ]
	oracle_podman tag "$PLAIN/peers:1" "$PLAIN/peers:podman"
	oracle_podman push -q --tls-verify=false "$PLAIN/peers:podman"
	digest=$(remote_digest "$PLAIN/peers:podman")
	run -0 m pull "$PLAIN/peers:podman"
	[[ "$output" == *"Digest: $digest"* ]]
	m_run --rm --pull never "$PLAIN/peers:podman" test -e /file-6
}

@test "what came as Docker's manifest goes as that: the same bytes under the same digest" {
	skopeo copy -q --dest-tls-verify=false --format v2s2 "oci:$LAYOUT:layers:test" "docker://$PLAIN/docker:1"
	digest=$(remote_digest "$PLAIN/docker:1")
	[ "$(raw "$PLAIN/docker:1" | jq -r .mediaType)" = "$DOCKER" ]
	run -0 m pull "$PLAIN/docker:1"
	[[ "$output" == *"Digest: $digest"* ]]
	run -0 m pull "$PLAIN/docker:1"
	[[ "$output" == *"Image is up to date"* ]]
	[ "$(m images --digests --format '{{.Digest}}' "$PLAIN/docker")" = "$digest" ]
	[ "$(m image inspect -f '{{index .RepoDigests 0}}' "$PLAIN/docker:1")" = "$PLAIN/docker@$digest" ]
	m_run --rm --pull never "$PLAIN/docker@$digest" test -e /file-6
	# The layout is OCI's for everybody who reads it.
	store=$MASU_ROOT/images
	[ "$(skopeo inspect --raw "oci:$store:$PLAIN/docker:1" | jq -r .mediaType)" = "$OCI" ]
	umoci stat --image "$store:$PLAIN/docker:1" >/dev/null
	# To another repository, and by way of another machine.
	m tag "$PLAIN/docker:1" "$PLAIN/copy:1"
	run -0 m push "$PLAIN/copy:1"
	[[ "${lines[-1]}" == "1: digest: $digest size: "* ]]
	m save -o "$BATS_TEST_TMPDIR/saved.tar" "$PLAIN/copy:1"
	check_is_clean
	export MASU_ROOT=$BATS_TEST_TMPDIR/other
	m load -q -i "$BATS_TEST_TMPDIR/saved.tar"
	m tag "$PLAIN/copy:1" "$PLAIN/moved:1"
	run -0 m push "$PLAIN/moved:1"
	[[ "${lines[-1]}" == "1: digest: $digest size: "* ]]
	raw "$PLAIN/moved:1" >"$BATS_TEST_TMPDIR/raw"
	[ "sha256:$(sha256sum <"$BATS_TEST_TMPDIR/raw" | cut -d' ' -f1)" = "$digest" ]
	check_is_clean
}

@test "a Docker manifest's blob lives as long as a name has it, and no longer" {
	skopeo copy -q --dest-tls-verify=false --format v2s2 "oci:$LAYOUT:layers:test" "docker://$PLAIN/life:1"
	digest=$(remote_digest "$PLAIN/life:1")
	blob=$MASU_ROOT/images/blobs/sha256/${digest#sha256:}
	m pull -q "$PLAIN/life:1"
	[ -e "$blob" ]
	m tag "$PLAIN/life:1" other:1
	m rmi "$PLAIN/life:1"
	[ -e "$blob" ]
	check_is_clean
	m rmi other:1
	[ ! -e "$blob" ]
	check_is_clean
	# A collection leaves it; one that is lost is told of.
	m pull -q "$PLAIN/life:1"
	m tag "$PLAIN/life:1" kept:1
	m rmi layers:test
	[ -e "$blob" ]
	rm "$blob"
	run -1 m system check
	[[ "$output" == *"the registry's manifest ${digest:0:19} is missing"* ]]
	run -1 m push "$PLAIN/life:1"
	m pull -q "$PLAIN/life:1"
	check_is_clean
}

@test "a layout with a Docker manifest is loaded with it" {
	skopeo copy -q --format v2s2 "oci:$LAYOUT:layers:test" "dir:$BATS_TEST_TMPDIR/dir"
	copy=$BATS_TEST_TMPDIR/docker-layout
	mkdir -p "$copy/blobs/sha256"
	for file in "$BATS_TEST_TMPDIR"/dir/*; do
		cp "$file" "$copy/blobs/sha256/$(sha256sum <"$file" | cut -d' ' -f1)"
	done
	digest=sha256:$(sha256sum <"$BATS_TEST_TMPDIR/dir/manifest.json" | cut -d' ' -f1)
	jq -n --arg digest "$digest" --arg type "$DOCKER" --argjson size "$(stat -c %s "$BATS_TEST_TMPDIR/dir/manifest.json")" \
		'{schemaVersion: 2, manifests: [{mediaType: $type, digest: $digest, size: $size,
		annotations: {"org.opencontainers.image.ref.name": "docker:layout"}}]}' >"$copy/index.json"
	cp "$LAYOUT/oci-layout" "$copy"
	m load -q -i "$copy"
	[ "$(m images --digests --format '{{.Digest}}' docker:layout)" = "$digest" ]
	[ "$(skopeo inspect --raw "oci:$MASU_ROOT/images:docker:layout" | jq -r .mediaType)" = "$OCI" ]
	m tag docker:layout "$PLAIN/layout:1"
	run -0 m push "$PLAIN/layout:1"
	[[ "${lines[-1]}" == "1: digest: $digest size: "* ]]
}

# An index of two images in the store, as other tools may put it there: prints its digest.
store_index() { # name
	local store=$MASU_ROOT/images manifest=$BATS_TEST_TMPDIR/manifest config other blob
	config=$(jq -r .config.digest "$LAYOUT/blobs/sha256/$(layout_digest | cut -c 8-)")
	jq '.architecture = "arm64"' "$LAYOUT/blobs/sha256/${config#sha256:}" >"$BATS_TEST_TMPDIR/config"
	other=$(layout_blob "$store" "$BATS_TEST_TMPDIR/config")
	jq --argjson other "$other" '.config += $other' "$LAYOUT/blobs/sha256/$(layout_digest | cut -c 8-)" >"$manifest"
	blob=$(layout_blob "$store" "$manifest")
	jq -n --argjson arm "$blob" --argjson amd "$(jq .manifests[0] "$LAYOUT/index.json")" --arg type "$OCI" \
		'{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [
		($amd | del(.annotations)) + {platform: {os: "linux", architecture: "amd64"}},
		$arm + {mediaType: $type, platform: {os: "linux", architecture: "arm64"}}]}' >"$BATS_TEST_TMPDIR/list"
	blob=$(layout_blob "$store" "$BATS_TEST_TMPDIR/list")
	jq --argjson index "$blob" --arg name "$1" '.manifests += [$index + {mediaType: "application/vnd.oci.image.index.v1+json",
		annotations: {"org.opencontainers.image.ref.name": $name}}]' "$store/index.json" >"$store/index.new"
	mv "$store/index.new" "$store/index.json"
	jq -r .digest <<<"$blob"
	jq -r .digest <<<"$other" >"$BATS_TEST_TMPDIR/arm-config"
}

@test "an index goes with all its images, or one of them where they are not all here" {
	digest=$(store_index "$PLAIN/multi:1")
	run -0 m push "$PLAIN/multi:1"
	[[ "${lines[-1]}" == "1: digest: $digest size: "* ]]
	raw "$PLAIN/multi:1" | cmp - "$BATS_TEST_TMPDIR/list"
	skopeo copy -q --src-tls-verify=false --all "docker://$PLAIN/multi:1" "oci:$BATS_TEST_TMPDIR/copy:1"
	run -0 m push --platform linux/amd64 "$PLAIN/multi:1"
	[[ "${lines[-1]}" == "1: digest: $(layout_digest) size: "* ]]
	run -1 m push --platform linux/s390x "$PLAIN/multi:1"
	[[ "${lines[-1]}" == *"does not provide the specified platform (linux/s390x)" ]]
	config=$(cat "$BATS_TEST_TMPDIR/arm-config")
	rm "$MASU_ROOT/images/blobs/sha256/${config#sha256:}"
	run -0 m push "$PLAIN/multi:1"
	[[ "$output" == *"Not all multiplatform-content is present"* ]]
	[[ "${lines[-1]}" == "1: digest: $(layout_digest) size: "* ]]
}

@test "--all-tags pushes every tag of the repository, -q only tells the name" {
	for tag in a b c; do
		m tag layers:test "$PLAIN/many:$tag"
	done
	m tag layers:test "$PLAIN/many/other:x"
	run -0 m push -a "$PLAIN/many"
	[ "$(grep -o '^[abcx]: digest: ' <<<"$output" | tr -d '\n')" = "a: digest: b: digest: c: digest: " ]
	run -0 m push -q -a "$PLAIN/many"
	[ "$output" = "$PLAIN/many" ]
	run -0 m push -q "$PLAIN/many:a"
	[ "$output" = "$PLAIN/many:a" ]
	[ "$(skopeo list-tags --tls-verify=false "docker://$PLAIN/many" | jq -c '.Tags | sort')" = '["a","b","c"]' ]
}

@test "names: docker's words, one line, status 1" {
	run -1 m push "$PLAIN/nosuch:1"
	[[ "${lines[0]}" == "The push refers to repository [$PLAIN/nosuch]" ]]
	[ "${lines[1]}" = "masu: An image does not exist locally with the tag: $PLAIN/nosuch" ]
	m tag layers:test "$PLAIN/name:1"
	run -1 m push "$PLAIN/name"
	[ "${lines[0]}" = "Using default tag: latest" ]
	[ "${lines[-1]}" = "masu: tag does not exist: $PLAIN/name:latest" ]
	run -1 m push "$PLAIN/name@$(layout_digest)"
	[ "$output" = "masu: cannot push a digest reference" ]
	run -1 m push -a "$PLAIN/name:1"
	[ "$output" = "masu: tag can't be used with --all-tags/-a" ]
	run -1 m push "$PLAIN/Name:1"
	[[ "$output" == *"must be lowercase"* ]]
	run -1 m push --platform linux/riscv64 "$PLAIN/name:1"
	[[ "${lines[-1]}" == *"does not provide the specified platform (linux/riscv64)" ]]
	m push -q --platform linux/amd64 --disable-content-trust "$PLAIN/name:1"
	m tag layers:test 127.0.0.1:5999/name:1
	run -1 m push 127.0.0.1:5999/name:1
	[[ "${lines[-1]}" == "masu: "*"127.0.0.1:5999: "*"connect"* ]]
	run -1 m push
}

@test "TLS and a password: refused without, pushed with; the config file's and a login's" {
	m tag layers:test "$SECURE/team/box:1"
	run -1 m push "$SECURE/team/box:1"
	[[ "${lines[-1]}" == *unauthorized* ]]
	echo secret | m login -u user --password-stdin "$SECURE"
	m push -q "$SECURE/team/box:1"
	[ "$(skopeo inspect --tls-verify=false --creds user:secret --format '{{.Digest}}' "docker://$SECURE/team/box:1")" = "$(layout_digest)" ]
	m rmi layers:test "$SECURE/team/box:1" >/dev/null
	m pull -q "$SECURE/team/box:1"
	m logout "$SECURE"
}

@test "a mirror is for reading: what is pushed goes to the registry itself" {
	cat >/etc/containers/registries.conf <<-TOML
	[[registry]]
	prefix = "upstream.example"
	location = "$PLAIN"
	insecure = true
	[[registry.mirror]]
	location = "127.0.0.1:5443"
	insecure = true
	TOML
	m tag layers:test upstream.example/mirrored:1
	m push -q upstream.example/mirrored:1
	: >/etc/containers/registries.conf
	[ "$(remote_digest "$PLAIN/mirrored:1")" = "$(layout_digest)" ]
}

@test "an event tells of it, by name as docker does" {
	m tag layers:test "$PLAIN/event:1"
	since=$(date +%s)
	m push -q "$PLAIN/event:1"
	run -0 m events --since "$since" --until "$(($(date +%s) + 1))" --filter event=push --format '{{.Actor.ID}} {{.Actor.Attributes.name}}'
	[ "${lines[-1]}" = "$PLAIN/event:1 $PLAIN/event" ]
}

@test "killed in the middle, it leaves nothing and the next one goes through" {
	registry_layout "$BATS_TEST_TMPDIR/big" 3 20000
	m load -q -i "$BATS_TEST_TMPDIR/big" >/dev/null
	m tag layers:test "$PLAIN/killed:1"
	before=$(find "$MASU_ROOT" | sort | sha256sum)
	for _ in 1 2 3; do
		m push -q "$PLAIN/killed:1" &
		pid=$!
		wait_until 5 bash -c "grep -q 'POST /v2/killed/blobs/uploads' '$BATS_FILE_TMPDIR/plain/log' || ! kill -0 $pid" || true
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" || true
	done
	[ "$(find "$MASU_ROOT" | sort | sha256sum)" = "$before" ]
	m push -q "$PLAIN/killed:1"
	check_is_clean
}

@test "an image that is removed while it is pushed arrives whole" {
	registry_layout "$BATS_TEST_TMPDIR/big" 4 10000
	m rmi layers:test >/dev/null
	m load -q -i "$BATS_TEST_TMPDIR/big" >/dev/null
	m tag layers:test "$PLAIN/removed:1"
	m push "$PLAIN/removed:1" >"$BATS_TEST_TMPDIR/out" &
	pid=$!
	wait_until 10 grep -q Preparing "$BATS_TEST_TMPDIR/out"
	m rmi -f layers:test "$PLAIN/removed:1" >/dev/null
	wait "$pid" || { # it may not have opened its files yet
		! grep -q Pushed "$BATS_TEST_TMPDIR/out"
		return 0
	}
	skopeo copy -q --src-tls-verify=false "docker://$PLAIN/removed:1" "dir:$BATS_TEST_TMPDIR/copy"
}
