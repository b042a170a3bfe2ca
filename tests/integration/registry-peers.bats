#!/usr/bin/env bats
# docker, podman and skopeo pull what masu pushed and push what masu pulls: the same digests, the same bytes.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/registry

REG=127.0.0.1:5000
OCI=application/vnd.oci.image.manifest.v1+json DOCKER=application/vnd.docker.distribution.manifest.v2+json

setup_file() {
	engine_setup_file
	registry_client_setup
	echo '{}' >"$DOCKER_CONFIG/config.json" # podman wants one where the variable is set
	registry_start plain 5000
	dockerd --data-root "$BATS_FILE_TMPDIR/docker" --exec-root /run/docker -H unix:///run/docker.sock -p /run/docker.pid \
		--iptables=false --bridge=none --storage-driver vfs >"$BATS_FILE_TMPDIR/dockerd.log" 2>&1 3>&- 4>&- &
	echo $! >"$BATS_FILE_TMPDIR/dockerd.pid"
	export DOCKER_HOST=unix:///run/docker.sock ORACLE_PODMAN_STORAGE=vfs ORACLE_PODMAN_RUNROOT=/run/podman
	registry_layout "$BATS_FILE_TMPDIR/layout" 3 200
	export LAYOUT=$BATS_FILE_TMPDIR/layout
	wait_until 60 docker version >"$BATS_FILE_TMPDIR/version" 2>&1
	skopeo copy -q "oci:$LAYOUT:layers:test" "docker-daemon:layers:test"
}

teardown_file() {
	engine_teardown_file
	registry_stop plain
	local pid
	pid=$(cat "$BATS_FILE_TMPDIR/dockerd.pid")
	kill "$pid" && wait_until 20 pid_gone "$pid"
}

# Every test has a store of its own, with the image of three layers as OCI has it.
setup() {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
	m load -q -i "$LAYOUT" >/dev/null
}

teardown() {
	remove_all
}

manifest() { # name: the registry's bytes
	skopeo inspect --raw --tls-verify=false "docker://$1"
}

remote_digest() { # name
	echo "sha256:$(manifest "$1" | sha256sum | cut -d' ' -f1)"
}

media_type() { # name
	manifest "$1" | jq -r .mediaType
}

# knows TOOL NAME DIGEST: the image has this digest of this repository, and the id of its config.
knows() {
	local tool=$1 name=$2 repository=${2%:*}
	[ "$($tool image inspect "$name" | jq -r '.[0].RepoDigests[]' | grep -Fxc "$repository@$3")" = 1 ] ||
		{ "$tool" image inspect "$name" | jq '.[0].RepoDigests'; return 1; }
	[ "$($tool image inspect "$name" | jq -r '.[0].Id' | sed 's/^sha256://')" = "$(id_of "$name")" ]
}

id_of() { # name
	manifest "$1" | jq -r .config.digest | sed 's/^sha256://'
}

@test "docker pushes, masu pulls, runs and pushes it on, docker pulls that: one digest" {
	docker tag layers:test "$REG/fromdocker:1"
	docker push -q "$REG/fromdocker:1"
	[ "$(media_type "$REG/fromdocker:1")" = $DOCKER ]
	digest=$(remote_digest "$REG/fromdocker:1")
	m pull -q "$REG/fromdocker:1"
	knows m "$REG/fromdocker:1" "$digest"
	[ "$(m_run --rm "$REG/fromdocker:1" sha256sum /file-3)" = \
		"$(m_run --rm layers:test sha256sum /file-3)" ]
	m tag "$REG/fromdocker:1" "$REG/andback:1"
	m push -q "$REG/andback:1"
	manifest "$REG/andback:1" | cmp - <(manifest "$REG/fromdocker:1")
	docker rmi -f "$REG/fromdocker:1" >/dev/null
	docker pull -q "$REG/andback:1"
	knows docker "$REG/andback:1" "$digest"
}

@test "docker and podman pull what masu pushed of an image that was never Docker's" {
	m tag layers:test "$REG/frommasu:1"
	m push -q "$REG/frommasu:1"
	[ "$(media_type "$REG/frommasu:1")" = $OCI ]
	digest=$(remote_digest "$REG/frommasu:1")
	[ "$digest" = "$(jq -r '.manifests[0].digest' "$LAYOUT/index.json")" ]
	docker pull -q "$REG/frommasu:1"
	knows docker "$REG/frommasu:1" "$digest"
	docker pull -q "$REG/frommasu@$digest"
	oracle_podman pull -q --tls-verify=false "$REG/frommasu:1"
	knows oracle_podman "$REG/frommasu:1" "$digest"
	# What docker unpacked is what masu has.
	for file in file-1 file-2 file-3 bin/busybox; do
		docker create --name files "$REG/frommasu:1" sh >/dev/null
		docker cp files:"/$file" - | tar -xO | sha256sum
		docker rm files >/dev/null
	done >"$BATS_TEST_TMPDIR/docker"
	m_run --rm layers:test sh -c 'for file in file-1 file-2 file-3 bin/busybox; do sha256sum <$file; done' |
		cmp - "$BATS_TEST_TMPDIR/docker"
}

@test "podman pushes both kinds, masu pulls and pushes them on byte for byte" {
	m tag layers:test "$REG/forpodman:1"
	m push -q "$REG/forpodman:1"
	oracle_podman pull -q --tls-verify=false "$REG/forpodman:1"
	for kind in oci v2s2; do
		oracle_podman push -q --tls-verify=false --format "$kind" "$REG/forpodman:1" "$REG/frompodman:$kind"
		m pull -q "$REG/frompodman:$kind"
		knows m "$REG/frompodman:$kind" "$(remote_digest "$REG/frompodman:$kind")"
		m_run --rm "$REG/frompodman:$kind" test -s /file-2
		m tag "$REG/frompodman:$kind" "$REG/podmanagain:$kind"
		m push -q "$REG/podmanagain:$kind"
		manifest "$REG/podmanagain:$kind" | cmp - <(manifest "$REG/frompodman:$kind")
		oracle_podman pull -q --tls-verify=false "$REG/podmanagain:$kind"
	done
	[ "$(media_type "$REG/frompodman:oci") $(media_type "$REG/frompodman:v2s2")" = "$OCI $DOCKER" ]
}

@test "Docker's manifest lists: docker makes one, masu pulls of it and makes one, docker pulls of that" {
	docker tag layers:test "$REG/list:amd64"
	docker push -q "$REG/list:amd64"
	skopeo copy -q --dest-tls-verify=false --format v2s2 "oci:$BATS_FILE_TMPDIR/root/images:busybox:local" "docker://$REG/list:other"
	docker manifest create --insecure "$REG/list:docker" "$REG/list:amd64" "$REG/list:other"
	docker manifest annotate --os linux --arch riscv64 "$REG/list:docker" "$REG/list:other"
	docker manifest push --insecure "$REG/list:docker"
	[ "$(media_type "$REG/list:docker")" = application/vnd.docker.distribution.manifest.list.v2+json ]
	digest=$(remote_digest "$REG/list:docker")
	run -0 m pull "$REG/list:docker"
	[[ "$output" == *"Digest: $digest"* ]]
	m image inspect "$REG/list:docker" | jq -e --arg name "$REG/list@$digest" '.[0].RepoDigests | index($name)'
	[ "$(m image inspect -f '{{.Id}}' "$REG/list:docker")" = "sha256:$(id_of "$REG/list:amd64")" ]
	m pull -q --platform linux/riscv64 "$REG/list:docker"
	[ "$(m image inspect -f '{{.Id}}' "$REG/list:docker")" = "sha256:$(id_of "$REG/list:other")" ]
	m manifest create "$REG/list:masu" "$REG/list:amd64" "$REG/list:other"
	m manifest annotate --os linux --arch riscv64 "$REG/list:masu" "$REG/list:other"
	m manifest push "$REG/list:masu"
	[ "$(media_type "$REG/list:masu")" = application/vnd.docker.distribution.manifest.list.v2+json ]
	docker pull -q "$REG/list:masu"
	docker image inspect "$REG/list:masu" |
		jq -e --arg name "$REG/list@$(remote_digest "$REG/list:masu")" '.[0].RepoDigests | index($name)'
	[ "$(docker image inspect -f '{{.Id}}' "$REG/list:masu")" = "sha256:$(id_of "$REG/list:amd64")" ]
	oracle_podman pull -q --tls-verify=false "$REG/list:masu"
}

@test "zstd:chunked layers, as podman makes them, are read as the zstd that they are, and go on as they came" {
	# By way of a directory: skopeo takes what the registry has in place of what it would compress.
	skopeo copy -q --dest-compress --dest-compress-format zstd:chunked "oci:$LAYOUT:layers:test" "dir:$BATS_TEST_TMPDIR/dir"
	skopeo copy -q --preserve-digests --dest-tls-verify=false "dir:$BATS_TEST_TMPDIR/dir" "docker://$REG/chunked:1"
	manifest "$REG/chunked:1" | jq -e '.layers | all(.annotations | has("io.containers.zstd-chunked.manifest-checksum"))'
	m rmi layers:test
	m pull -q "$REG/chunked:1"
	m_run --rm "$REG/chunked:1" sh -c 'cat file-1 file-2 file-3' | sha256sum >"$BATS_TEST_TMPDIR/chunked"
	m load -q -i "$LAYOUT" >/dev/null
	m_run --rm layers:test sh -c 'cat file-1 file-2 file-3' | sha256sum | cmp - "$BATS_TEST_TMPDIR/chunked"
	m tag "$REG/chunked:1" "$REG/chunkedagain:1"
	m push -q "$REG/chunkedagain:1"
	manifest "$REG/chunkedagain:1" | cmp - <(manifest "$REG/chunked:1")
	oracle_podman pull -q --tls-verify=false "$REG/chunkedagain:1"
}
