#!/usr/bin/env bats
# Artifacts that are attached to an image: pulled, kept and pushed with it.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/registry

REG=127.0.0.1:5000 OTHER=127.0.0.1:5001

setup_file() {
	engine_setup_file
	registry_client_setup
	registry_start plain 5000
	registry_start other 5001
	skopeo copy -q --dest-tls-verify=false "oci:$MASU_ROOT/images:busybox:local" "docker://$REG/box:1"
	attach box sbom "what it is made of"
	attach box note "a note"
}

teardown_file() {
	engine_teardown_file
	registry_stop plain
	registry_stop other
}

setup() {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
}

digest() { # registry/name:tag
	echo "sha256:$(skopeo inspect --raw --tls-verify=false "docker://$1" | sha256sum | sed 's/ .*//')"
}

put_blob() { # repository, file: its digest and size
	local digest place
	digest=sha256:$(sha256sum "$2" | sed 's/ .*//')
	place=$(curl -s -D - -o /dev/null -X POST "http://$REG/v2/$1/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //p')
	curl -sf -X PUT --data-binary "@$2" -H 'Content-Type: application/octet-stream' "$place&digest=$digest"
	jq -n --arg digest "$digest" --argjson size "$(stat -c %s "$2")" '{digest: $digest, size: $size}'
}

# attach REPOSITORY KIND CONTENT: as a client does it where the registry has no referrers API.
attach() {
	local dir=$BATS_FILE_TMPDIR/attach subject oci=application/vnd.oci.image size
	mkdir -p "$dir"
	subject=$(digest "$REG/$1:1")
	size=$(skopeo inspect --raw --tls-verify=false "docker://$REG/$1:1" | wc -c)
	printf '{}' >"$dir/config"
	printf '%s' "$3" >"$dir/content"
	jq -cn --arg kind "application/vnd.test.$2" --arg subject "$subject" --argjson size "$size" --arg oci $oci \
		--argjson config "$(put_blob "$1" "$dir/config")" --argjson content "$(put_blob "$1" "$dir/content")" \
		'{schemaVersion: 2, mediaType: ($oci + ".manifest.v1+json"), artifactType: $kind,
		config: ({mediaType: "application/vnd.oci.empty.v1+json"} + $config), layers: [{mediaType: "text/plain"} + $content],
		subject: {mediaType: ($oci + ".manifest.v1+json"), digest: $subject, size: $size}}' | tr -d '\n' >"$dir/$2"
	curl -sf -X PUT --data-binary "@$dir/$2" -H "Content-Type: $oci.manifest.v1+json" \
		"http://$REG/v2/$1/manifests/sha256:$(sha256sum "$dir/$2" | sed 's/ .*//')"
	[ -e "$dir/list" ] || echo '[]' >"$dir/list"
	jq --arg kind "application/vnd.test.$2" --arg digest "sha256:$(sha256sum "$dir/$2" | sed 's/ .*//')" --arg oci $oci \
		--argjson size "$(stat -c %s "$dir/$2")" '. + [{mediaType: ($oci + ".manifest.v1+json"), artifactType: $kind,
		digest: $digest, size: $size, annotations: {kept: "yes"}}]' "$dir/list" >"$dir/new"
	mv "$dir/new" "$dir/list"
	jq --arg oci $oci '{schemaVersion: 2, mediaType: ($oci + ".index.v1+json"), manifests: .}' "$dir/list" |
		curl -sf -X PUT --data-binary @- -H "Content-Type: $oci.index.v1+json" \
			"http://$REG/v2/$1/manifests/${subject/:/-}"
}

referrers() { # registry repository digest
	curl -sf -H 'Accept: application/vnd.oci.image.index.v1+json' "http://$1/v2/$2/manifests/${3/:/-}"
}

@test "pull --artifacts keeps them, push --artifacts takes them to another registry" {
	subject=$(digest "$REG/box:1")
	m pull -q "$REG/box:1"
	[ ! -e "$MASU_ROOT/images/.masu/artifacts" ]
	run -0 m pull --artifacts "$REG/box:1"
	[[ "$output" == *$'\n'"Artifacts: 2 of $REG/box:1"$'\n'* ]]
	kept=$MASU_ROOT/images/.masu/artifacts/${subject#sha256:}
	[ "$(jq -r '.manifests[].artifactType' "$kept/index.json")" = $'application/vnd.test.sbom\napplication/vnd.test.note' ]
	for blob in "$kept"/blobs/sha256/*; do
		[ "$(sha256sum <"$blob")" = "${blob##*/}  -" ]
	done
	m pull -q --artifacts -a "$REG/box" # again, and of each tag: in its place
	m tag "$REG/box:1" "$OTHER/moved:1"
	run -0 m push --artifacts "$OTHER/moved:1"
	[ "${lines[-1]}" = "Artifacts: 2 of 1" ]
	[ "$(referrers $OTHER moved "$subject" | jq -S .manifests)" = "$(referrers $REG box "$subject" | jq -S .manifests)" ]
	for manifest in $(referrers $OTHER moved "$subject" | jq -r '.manifests[].digest'); do
		content=$(curl -sf "http://$OTHER/v2/moved/manifests/$manifest" -H 'Accept: application/vnd.oci.image.manifest.v1+json' |
			jq -r '.layers[0].digest')
		curl -sf "http://$OTHER/v2/moved/blobs/$content" | sha256sum | grep -q "${content#sha256:}"
	done
	# Once more: the list does not grow.
	m push -q --artifacts "$OTHER/moved:1"
	[ "$(referrers $OTHER moved "$subject" | jq '.manifests | length')" = 2 ]
}

@test "they go with the image, and stay as long as it has a name" {
	m pull -q --artifacts "$REG/box:1"
	m tag "$REG/box:1" second:1
	m rmi "$REG/box:1"
	[ "$(ls "$MASU_ROOT/images/.masu/artifacts")" ]
	m rmi second:1
	[ -z "$(ls "$MASU_ROOT/images/.masu/artifacts")" ]
}

@test "an image without any, and what is attached to another" {
	skopeo copy -q --src-tls-verify=false --dest-tls-verify=false --format v2s2 "docker://$REG/box:1" "docker://$REG/bare:1"
	run -0 m pull --artifacts "$REG/bare:1"
	[[ "$output" == *$'\n'"Artifacts: 0 of $REG/bare:1"$'\n'* ]]
	# The tag of one image lists what belongs to another.
	skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "docker://$REG/box:1" "docker://$REG/bare:source"
	curl -sf -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$REG/v2/box/manifests/$(jq -r '.[0].digest' "$BATS_FILE_TMPDIR/attach/list")" \
		>"$BATS_TEST_TMPDIR/foreign"
	for blob in $(jq -r '.config.digest, .layers[].digest' "$BATS_TEST_TMPDIR/foreign"); do
		curl -sf -X POST "http://$REG/v2/bare/blobs/uploads/?mount=$blob&from=box"
	done
	curl -sf -X PUT --data-binary "@$BATS_TEST_TMPDIR/foreign" -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' \
		"http://$REG/v2/bare/manifests/sha256:$(sha256sum "$BATS_TEST_TMPDIR/foreign" | sed 's/ .*//')"
	subject=$(digest "$REG/bare:1")
	referrers $REG box "$(digest "$REG/box:1")" | jq '.manifests |= .[:1]' | curl -sf -X PUT --data-binary @- \
		-H 'Content-Type: application/vnd.oci.image.index.v1+json' "http://$REG/v2/bare/manifests/${subject/:/-}"
	run -1 m pull --artifacts "$REG/bare:1"
	[[ "$output" == *"what is attached to $REG/bare:1: artifact sha256:"*"says that it is attached to another"* ]]
	[ -z "$(ls "$MASU_ROOT/images/.masu/artifacts" 2>/dev/null)" ]
	[ -z "$(ls "$MASU_ROOT/images/.masu/staging")" ]
}

@test "a registry with the referrers API: every page of it is read, and it keeps the list itself" {
	python3 "$BATS_TEST_DIRNAME/../lib/referrers-registry.py" 5002 5000 >/dev/null 2>&1 3>&- 4>&- &
	echo $! >"$BATS_TEST_TMPDIR/pid"
	wait_until 20 bash -c "exec 5<>/dev/tcp/127.0.0.1/5002" 2>/dev/null
	run -0 m pull --artifacts 127.0.0.1:5002/box:1
	[[ "$output" == *$'\n'"Artifacts: 2 of 127.0.0.1:5002/box:1"$'\n'* ]]
	m tag 127.0.0.1:5002/box:1 127.0.0.1:5002/api:1
	run -0 m push --artifacts 127.0.0.1:5002/api:1
	[ "${lines[-1]}" = "Artifacts: 2 of 1" ]
	subject=$(digest "$REG/box:1")
	for manifest in $(jq -r '.[].digest' "$BATS_FILE_TMPDIR/attach/list"); do
		curl -sf "http://$REG/v2/api/manifests/$manifest" -H 'Accept: application/vnd.oci.image.manifest.v1+json' |
			jq -e --arg subject "$subject" '.subject.digest == $subject'
	done
	run ! referrers $REG api "$subject"
	kill "$(cat "$BATS_TEST_TMPDIR/pid")"
}

@test "content that is damaged in the registry is noticed, and what was kept stays" {
	m pull -q --artifacts "$REG/box:1"
	find "$MASU_ROOT/images/.masu/artifacts" -type f | sort >"$BATS_TEST_TMPDIR/before"
	hex=$(printf 'a note' | sha256sum | sed 's/ .*//')
	data=$BATS_FILE_TMPDIR/plain/data/docker/registry/v2/blobs/sha256/${hex:0:2}/$hex/data
	cp "$data" "$BATS_TEST_TMPDIR/good"
	printf 'A note' >"$data"
	run -1 m pull --artifacts "$REG/box:1"
	cp "$BATS_TEST_TMPDIR/good" "$data"
	[[ "$output" == *"damaged or forged"* ]]
	find "$MASU_ROOT/images/.masu/artifacts" -type f | sort | cmp - "$BATS_TEST_TMPDIR/before"
}
