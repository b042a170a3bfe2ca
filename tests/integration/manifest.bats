#!/usr/bin/env bats
# Manifest lists: made here, pushed to a real registry, read by the peers, and the peers' read here.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/oracle
load ../lib/registry

REG=127.0.0.1:5000

# A second image, for another machine: the same layer, another config.
make_arm_image() { # directory
	umoci init --layout "$1"
	umoci new --image "$1:arm"
	umoci config --image "$1:arm" --architecture arm64
	printf 'arm\n' >"$BATS_FILE_TMPDIR/arm-file"
	umoci insert --image "$1:arm" "$BATS_FILE_TMPDIR/arm-file" /arm
}

setup_file() {
	engine_setup_file
	registry_client_setup
	echo '{}' >"$DOCKER_CONFIG/config.json" # podman insists on it
	registry_start plain 5000
	make_arm_image "$BATS_FILE_TMPDIR/arm"
	local copy=(skopeo copy -q --dest-tls-verify=false)
	"${copy[@]}" "oci:$MASU_ROOT/images:busybox:local" "docker://$REG/box:amd64"
	"${copy[@]}" "oci:$BATS_FILE_TMPDIR/arm:arm" "docker://$REG/box:arm64"
	"${copy[@]}" "oci:$BATS_FILE_TMPDIR/arm:arm" "docker://$REG/elsewhere/arm:1"
	"${copy[@]}" --format v2s2 "oci:$MASU_ROOT/images:busybox:local" "docker://$REG/box:v2s2"
	export STORE=$MASU_ROOT
}

teardown_file() {
	engine_teardown_file
	registry_stop plain
}

setup() {
	export ORACLE_PODMAN_RUNROOT=/run/podman-manifest ORACLE_PODMAN_STORAGE=vfs
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
}

raw() { # name
	skopeo inspect --raw --tls-verify=false "docker://$1"
}

digest() { # name
	skopeo inspect --raw --tls-verify=false "docker://$1" | sha256sum | sed 's/^/sha256:/; s/ .*//'
}

@test "create, push, and what a registry, skopeo and masu then see" {
	run -0 m manifest create "$REG/box:multi" "$REG/box:amd64" "$REG/box:arm64"
	[ "$output" = "Created manifest list $REG/box:multi" ]
	run -0 m manifest push "$REG/box:multi"
	[ "$output" = "$(digest "$REG/box:multi")" ]
	raw "$REG/box:multi" >"$BATS_TEST_TMPDIR/list"
	[ "$(jq -r .mediaType "$BATS_TEST_TMPDIR/list")" = application/vnd.oci.image.index.v1+json ]
	[ "$(jq -r '.manifests[].platform | .os + "/" + .architecture' "$BATS_TEST_TMPDIR/list")" = $'linux/amd64\nlinux/arm64' ]
	[ "$(jq '.manifests[] | has("annotations")' "$BATS_TEST_TMPDIR/list" | sort -u)" = false ]
	run -0 skopeo inspect --tls-verify=false --override-arch arm64 --format '{{.Architecture}}' "docker://$REG/box:multi"
	[ "$output" = arm64 ]
	m pull -q "$REG/box:multi"
	run -0 m image inspect -f '{{.Architecture}}' "$REG/box:multi"
	[ "$output" = amd64 ]
}

@test "a list of Docker's images is Docker's manifest list" {
	m manifest create "$REG/box:dockers" "$REG/box:v2s2"
	m manifest push "$REG/box:dockers"
	[ "$(raw "$REG/box:dockers" | jq -r .mediaType)" = application/vnd.docker.distribution.manifest.list.v2+json ]
	[ "$(raw "$REG/box:dockers" | jq -r '.manifests[0].digest')" = "$(digest "$REG/box:v2s2")" ]
}

@test "images of another repository are mounted, those of another registry refused" {
	m manifest create "$REG/new/list:1" "$REG/elsewhere/arm:1"
	run -0 m manifest push "$REG/new/list:1"
	[ "${lines[0]}" = "Pushed ref $REG/new/list@$(digest "$REG/box:arm64") with digest: $(digest "$REG/box:arm64")" ]
	[ "${lines[1]}" = "$(digest "$REG/new/list:1")" ]
	skopeo copy -q --src-tls-verify=false --override-arch arm64 "docker://$REG/new/list:1" "oci:$BATS_TEST_TMPDIR/copy:1"
	m manifest create localhost:5000/other:1 "$REG/box:arm64"
	run -1 m manifest push localhost:5000/other:1
	[[ "$output" == *"cannot use source images from a different registry than the target image: $REG != localhost:5000"* ]]
}

@test "images of the store go into a list too, with what they are made of" {
	export MASU_ROOT=$STORE
	m tag busybox:local "$REG/only/here:1"
	m manifest create "$REG/only/list:1" "$REG/only/here:1"
	m manifest push -p "$REG/only/list:1"
	run -1 m manifest exists "$REG/only/list:1"
	skopeo copy -q --src-tls-verify=false "docker://$REG/only/list:1" "oci:$BATS_TEST_TMPDIR/copy:1"
	m rmi "$REG/only/here:1"
	# One that came with Docker's manifest goes with that, as `push` has it.
	m pull -q "$REG/box:v2s2"
	m tag "$REG/box:v2s2" "$REG/only/v2s2:1"
	m manifest create "$REG/only/list:2" "$REG/only/v2s2:1"
	[ "$(m manifest inspect "$REG/only/list:2" | jq -r '.manifests[0].digest')" = "$(digest "$REG/box:v2s2")" ]
	m manifest push -p "$REG/only/list:2"
	m rmi "$REG/only/v2s2:1" "$REG/box:v2s2"
}

@test "annotate changes the platform; inspect shows lists and members as docker does" {
	m manifest create "$REG/box:noted" "$REG/box:amd64" "$REG/box:arm64"
	m manifest annotate --os linux --arch arm --variant v7 --os-version 1.2 --os-features a --os-features b \
		"$REG/box:noted" "$REG/box:arm64"
	run -0 m manifest inspect "$REG/box:noted"
	[ "$(jq -c '.manifests[1].platform' <<<"$output")" = \
		'{"architecture":"arm","os":"linux","os.version":"1.2","os.features":["a","b"],"variant":"v7"}' ]
	[ "${lines[1]}" = '   "schemaVersion": 2,' ]
	run -0 m manifest inspect "$REG/box:noted" "$REG/box:arm64"
	[ "$(jq -S . <<<"$output")" = "$(raw "$REG/box:arm64" | jq -S .)" ]
	run -0 m manifest inspect -v "$REG/box:noted"
	[ "$(jq -r '.[1].Descriptor.digest' <<<"$output")" = "$(digest "$REG/box:arm64")" ]
	[ "$(jq -r '.[1].Raw' <<<"$output" | base64 -d | sha256sum)" = "$(raw "$REG/box:arm64" | sha256sum)" ]
	run -1 m manifest annotate --arch arm "$REG/box:noted" "$REG/box:v2s2"
	[[ "$output" == *"does not exist in $REG/box:noted"* ]]
}

@test "inspect of what only the registry has" {
	run -0 m manifest inspect "$REG/box:amd64"
	[ "$(jq -S . <<<"$output")" = "$(raw "$REG/box:amd64" | jq -S .)" ]
	[[ "${lines[1]}" == $'\t"'* ]]
	run -0 m manifest inspect -v "$REG/box:arm64"
	[ "$(jq -r .Descriptor.platform.architecture <<<"$output")" = arm64 ]
	run -1 m manifest inspect "$REG/box:none"
	[ "$output" = "masu: no such manifest: $REG/box:none" ]
}

@test "what podman puts together masu reads, and the other way round" {
	command -v podman >/dev/null || skip "no podman"
	oracle_podman manifest create theirs
	oracle_podman manifest add --tls-verify=false theirs "docker://$REG/box:amd64"
	oracle_podman manifest add --tls-verify=false --arch arm64 theirs "docker://$REG/box:arm64"
	oracle_podman manifest push -q --all --tls-verify=false theirs "docker://$REG/box:theirs"
	run -0 m manifest inspect "$REG/box:theirs"
	[ "$(jq -r '.manifests[].digest' <<<"$output")" = "$(digest "$REG/box:amd64")"$'\n'"$(digest "$REG/box:arm64")" ]
	run -1 m manifest create "$REG/box:nested" "$REG/box:theirs"
	[[ "$output" == *"$REG/box:theirs is a manifest list"* ]]
	m manifest create "$REG/box:ours" "$REG/box:amd64" "$REG/box:arm64"
	m manifest push "$REG/box:ours"
	oracle_podman pull -q --tls-verify=false --arch arm64 "$REG/box:ours"
	run -0 oracle_podman image inspect --format '{{.Architecture}}' "$REG/box:ours"
	[ "$output" = arm64 ]
}

@test "create --amend, add, exists, rm" {
	run -1 m manifest exists "$REG/box:life"
	[ -z "$output" ]
	m manifest create "$REG/box:life"
	m manifest exists "$REG/box:life"
	run -1 m manifest push "$REG/box:life"
	[[ "$output" == *"is empty"* ]]
	run -1 m manifest create "$REG/box:life" "$REG/box:amd64"
	[ "$output" = "masu: refusing to amend an existing manifest list with no --amend flag" ]
	m manifest create --amend "$REG/box:life" "$REG/box:amd64"
	m manifest add --variant v8 "$REG/box:life" "$REG/box:arm64"
	m manifest add "$REG/box:life" "$REG/box:amd64" # again: in its own place
	[ "$(m manifest inspect "$REG/box:life" | jq -c '[.manifests[].platform.variant]')" = '[null,"v8"]' ]
	run -1 m manifest rm "$REG/box:life" "$REG/box:nothing"
	[ "$output" = "masu: No such manifest: $REG/box:nothing" ]
	run -1 m manifest exists "$REG/box:life"
	run -1 m manifest add "$REG/box:life" "$REG/box:amd64"
	[ -z "$(ls "$MASU_ROOT/images/.masu/lists")" ]
	run -1 m manifest create "$REG/box@$(digest "$REG/box:amd64")"
	[[ "$output" == *"a manifest list has a name, not a digest"* ]]
}
