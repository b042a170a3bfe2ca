#!/usr/bin/env bats
# What other tools put into the image store: indexes of several platforms, artifacts, referrers. All that a name
# leads to stays, and nothing else.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	export STORE=$MASU_ROOT LAYOUT=$BATS_FILE_TMPDIR/layout
	export OCI=application/vnd.oci.image
	make_layout
}

teardown_file() {
	engine_teardown_file
}

setup() {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
	m import --layer-format=erofs "$BATS_FILE_TMPDIR/own.tar" own:1 >/dev/null
}

# blob FILE TYPE: puts it into the layout, says its descriptor.
blob() {
	local hex
	hex=$(sha256sum "$1" | cut -d' ' -f1)
	cp "$1" "$LAYOUT/blobs/sha256/$hex"
	jq -cn --arg type "$2" --arg digest "sha256:$hex" --argjson size "$(stat -c %s "$1")" \
		'{mediaType: $type, digest: $digest, size: $size}'
}

# image ARCHITECTURE FILE-CONTENT: an image of one layer.
image() {
	local dir=$BATS_FILE_TMPDIR/make config layer
	mkdir -p "$dir/tree"
	echo "$2" >"$dir/tree/file"
	tar -C "$dir/tree" -cf "$dir/layer" file
	jq -cn --arg arch "$1" --arg diff "sha256:$(sha256sum "$dir/layer" | cut -d' ' -f1)" \
		'{architecture: $arch, os: "linux", config: {}, rootfs: {type: "layers", diff_ids: [$diff]}}' >"$dir/config"
	layer=$(blob "$dir/layer" $OCI.layer.v1.tar)
	config=$(blob "$dir/config" $OCI.config.v1+json)
	jq -cn --arg type $OCI.manifest.v1+json --argjson config "$config" --argjson layer "$layer" \
		'{schemaVersion: 2, mediaType: $type, config: $config, layers: [$layer]}' >"$dir/manifest"
	blob "$dir/manifest" $OCI.manifest.v1+json | jq -c --arg arch "$1" '. + {platform: {os: "linux", architecture: $arch}}'
}

# artifact CONTENT [SUBJECT-DESCRIPTOR]
artifact() {
	local dir=$BATS_FILE_TMPDIR/make content config
	printf '%s' "$1" >"$dir/content"
	printf '{}' >"$dir/config"
	content=$(blob "$dir/content" text/plain)
	config=$(blob "$dir/config" application/vnd.oci.empty.v1+json)
	jq -cn --arg type $OCI.manifest.v1+json --argjson config "$config" --argjson content "$content" --argjson subject "${2:-null}" \
		'{schemaVersion: 2, mediaType: $type, artifactType: "application/vnd.test.note", config: $config, layers: [$content]} +
		if $subject then {subject: ($subject | del(.platform))} else {} end' >"$dir/manifest"
	blob "$dir/manifest" $OCI.manifest.v1+json | jq -c '. + {artifactType: "application/vnd.test.note"}'
}

named() { jq -c --arg name "$1" '. + {annotations: {"org.opencontainers.image.ref.name": $name}}'; }

index() { jq -cn --arg type $OCI.index.v1+json --argjson list "[$1]" '{schemaVersion: 2, mediaType: $type, manifests: $list}'; }

# An index of this platform and another with artifacts in it, one of which says that it is for this platform, too;
# an index of other platforms alone; an artifact by itself; and an artifact that is attached to the first image.
make_layout() {
	local amd arm riscv note all others own=$BATS_FILE_TMPDIR/tree-own
	mkdir -p "$LAYOUT/blobs/sha256" "$BATS_FILE_TMPDIR/make" "$own"
	echo own >"$own/own"
	tar -C "$own" -cf "$BATS_FILE_TMPDIR/own.tar" own
	printf '{"imageLayoutVersion":"1.0.0"}' >"$LAYOUT/oci-layout"
	amd=$(image amd64 "for this machine") arm=$(image arm64 "for another") riscv=$(image riscv64 "for a third")
	note=$(artifact "in the index")
	index "$(jq -c '. + {platform: {os: "linux", architecture: "amd64"}}' <<<"$note"),$arm,$amd" >"$BATS_FILE_TMPDIR/make/all"
	all=$(blob "$BATS_FILE_TMPDIR/make/all" $OCI.index.v1+json)
	index "$arm,$riscv" >"$BATS_FILE_TMPDIR/make/others"
	others=$(blob "$BATS_FILE_TMPDIR/make/others" $OCI.index.v1+json)
	index "$(named many:1 <<<"$all"),$(named others:1 <<<"$others"),$(artifact "by itself" | named alone:1),$(artifact "on an image" "$amd")" \
		>"$LAYOUT/index.json"
}

# As another tool adds it: blobs, and a line in the index.
put_into_store() {
	cp -n "$LAYOUT"/blobs/sha256/* "$MASU_ROOT/images/blobs/sha256/"
	jq -c --argjson more "$(jq .manifests "$LAYOUT/index.json")" '.manifests += $more' "$MASU_ROOT/images/index.json" >"$BATS_TEST_TMPDIR/index"
	cat "$BATS_TEST_TMPDIR/index" >"$MASU_ROOT/images/index.json"
}

blobs() { ls "$MASU_ROOT/images/blobs/sha256"; }

# Of the layout, and of nothing but that.
expected() { ls "$LAYOUT/blobs/sha256"; }

@test "what a foreign index, an artifact or a referrer names is kept, and goes with the name" {
	put_into_store
	echo nobody >"$MASU_ROOT/images/blobs/sha256/$(echo nobody | sha256sum | cut -d' ' -f1)"
	# Also makes the layers of the index's image for this machine.
	run m system check --repair
	echo "$output"
	[[ "$output" == *"1 blobs and 0 layers that neither"* ]]
	[[ "$output" == *"many:1: layer "*" is missing; mended"* ]]
	m rmi own:1 # collects
	diff <(expected) <(blobs)
	run -0 m system check
	[ -z "$output" ]
	# Their bytes are told, once.
	bytes=$(cat "$MASU_ROOT"/images/blobs/sha256/* "$MASU_ROOT"/layers/overlay/*/index | wc -c)
	run -0 m system df --format '{{json .}}'
	[ "$(jq -r 'select(.Type == "Images").Size' <<<"$output")" = "$(awk -v n="$bytes" 'BEGIN { printf "%.4gkB", n / 1e3 }')" ]
	# The other platforms' go with the second index, but for what the first one has, too.
	m rmi others:1
	riscv=$(jq -r '.manifests[1].digest' "$BATS_FILE_TMPDIR/make/others")
	[ ! -e "$MASU_ROOT/images/blobs/sha256/${riscv#sha256:}" ]
	arm=$(jq -r '.manifests[0].digest' "$BATS_FILE_TMPDIR/make/others")
	[ -e "$MASU_ROOT/images/blobs/sha256/${arm#sha256:}" ]
	m rmi alone:1 many:1
	# The attached artifact has no name; it keeps what it is attached to.
	run -0 blobs
	[ "${#lines[@]}" = 6 ]
}

@test "an index that is not whole, and a document that is damaged" {
	put_into_store
	arm=$(jq -r '.manifests[0].digest' "$BATS_FILE_TMPDIR/make/others")
	rm "$MASU_ROOT/images/blobs/sha256/${arm#sha256:}"
	m rmi own:1
	[ -e "$MASU_ROOT/images/blobs/sha256/$(sha256sum "$BATS_FILE_TMPDIR/make/all" | cut -d' ' -f1)" ]
	# The other platform's config and layer: nobody leads to them any more.
	[ "$(blobs | wc -l)" = "$(($(expected | wc -l) - 3))" ]
	# Nobody knows what a document says that is damaged: nothing is removed.
	riscv=$(jq -r '.manifests[1].digest' "$BATS_FILE_TMPDIR/make/others")
	printf ' ' >>"$MASU_ROOT/images/blobs/sha256/${riscv#sha256:}"
	before=$(blobs)
	run m rmi many:1
	[[ "$output" == *"its layers are kept"* ]]
	[ "$(blobs)" = "$before" ]
}

@test "save takes an index whole, or the image for this machine where it is not; load finds that" {
	put_into_store
	run -0 m save -o "$BATS_TEST_TMPDIR/whole.tar" many:1
	[ -z "$output" ]
	mkdir "$BATS_TEST_TMPDIR/whole"
	tar -C "$BATS_TEST_TMPDIR/whole" -xf "$BATS_TEST_TMPDIR/whole.tar"
	skopeo copy -q --all "oci:$BATS_TEST_TMPDIR/whole:many:1" "oci:$BATS_TEST_TMPDIR/copy:1"
	[ "$(jq -r '.manifests[0].digest' "$BATS_TEST_TMPDIR/whole/index.json")" = "sha256:$(sha256sum "$BATS_FILE_TMPDIR/make/all" | cut -d' ' -f1)" ]
	run -1 m save -o "$BATS_TEST_TMPDIR/alone.tar" alone:1
	[[ "$output" == *"image alone:1: an artifact (application/vnd.test.note), no image"* ]]
	run -1 m save -o "$BATS_TEST_TMPDIR/others.tar" others:1
	[[ "$output" == *"no manifest for linux/amd64 in the image's index"* ]]
	arm=$(jq -r '.manifests[0].digest' "$BATS_FILE_TMPDIR/make/others")
	rm "$MASU_ROOT/images/blobs/sha256/${arm#sha256:}"
	run -0 m save -o "$BATS_TEST_TMPDIR/part.tar" many:1
	[[ "$output" == *"save: many:1: the store has not all images of this index; saved is the one for this machine"* ]]
	for tar in whole part; do
		MASU_ROOT=$BATS_TEST_TMPDIR/$tar-root
		m load -q -i "$BATS_TEST_TMPDIR/$tar.tar"
		[ "$(m image inspect -f '{{.Architecture}} {{.RepoTags}}' many:1)" = "amd64 [many:1]" ]
		run -0 m system check
		[ -z "$output" ]
	done
}

@test "load --platform: that image of an index, and only images for it" {
	run -0 m load --platform linux/arm64 -i "$LAYOUT"
	[[ "$output" == *"Loaded image: many:1"*"Loaded image: others:1"* ]]
	[ "$(m image inspect -f '{{.Architecture}}' many:1)" = arm64 ]
	[ "$(m images -q many:1)" = "$(m images -q others:1)" ]
	run -0 m system check
	[ -z "$output" ]
	run -1 m load --platform riscv64 -i "$LAYOUT"
	[[ "$output" == *"load: no image for linux/riscv64 in the archive"* ]]
	m save -o "$BATS_TEST_TMPDIR/own.tar" own:1
	m load -q --platform linux/amd64 -i "$BATS_TEST_TMPDIR/own.tar"
	run -1 m load --platform linux/arm64 -i "$BATS_TEST_TMPDIR/own.tar"
	[[ "$output" == *"is for linux/amd64"* ]]
	run -1 m load --platform a/b/c/d -i "$LAYOUT"
	[[ "$output" == *"invalid platform"* ]]
}

@test "load of a layout: images, what is attached to them, and what has no place here" {
	run -1 m load -i "$LAYOUT" # which has an index without an image for this machine
	echo "$output"
	[[ "$output" == *"no image for linux/amd64 in the archive"* ]]
	cp -r "$LAYOUT" "$BATS_TEST_TMPDIR/in"
	cd "$BATS_TEST_TMPDIR/in"
	jq -c 'del(.manifests[1])' "$LAYOUT/index.json" >index.json
	run -0 m load -i .
	[[ "$output" == *"artifact sha256:"*" (application/vnd.test.note) is attached to nothing that is here, and left out"* ]]
	[ "$(grep -c "left out" <<<"$output")" = 1 ]
	[[ "$output" == *"Loaded image: many:1"* ]]
	amd=$(jq -r '.manifests[2].digest' "$BATS_FILE_TMPDIR/make/all")
	[[ "$output" == *"Artifacts: 1 of $amd"* ]]
	kept=$MASU_ROOT/images/.masu/artifacts/${amd#sha256:}
	[ "$(jq -c .manifests "$kept/index.json")" = "$(jq -c '.manifests[3:]' "$LAYOUT/index.json")" ]
	[ "$(ls "$kept/blobs/sha256" | wc -l)" = 3 ]
	run -0 m system check
	[ -z "$output" ]
	# Again, and one more to it.
	note=$(LAYOUT=. artifact "another" "$(jq -c '.manifests[2]' "$BATS_FILE_TMPDIR/make/all")")
	jq -c --argjson note "$note" '.manifests = [.manifests[0], $note]' "$LAYOUT/index.json" >index.json
	run -0 m load -i .
	[[ "$output" == *"Artifacts: 2 of $amd"* ]]
	# They go along where that is asked for, and come back.
	m save -o "$BATS_TEST_TMPDIR/without.tar" many:1
	! tar -tf "$BATS_TEST_TMPDIR/without.tar" | grep -q "$(jq -r '.digest[7:]' <<<"$note")"
	m save --artifacts -o "$BATS_TEST_TMPDIR/with.tar" many:1
	skopeo copy -q "docker-archive:$BATS_TEST_TMPDIR/with.tar:many:1" "oci:$BATS_TEST_TMPDIR/classic:1"
	cp -r "$kept" "$BATS_TEST_TMPDIR/kept"
	MASU_ROOT=$BATS_TEST_TMPDIR/second
	run -0 m load -i "$BATS_TEST_TMPDIR/with.tar"
	[[ "$output" == *"Artifacts: 2 of $amd"* ]]
	diff -r "$BATS_TEST_TMPDIR/kept/blobs" "$MASU_ROOT/images/.masu/artifacts/${amd#sha256:}/blobs"
	# Only what is attached, to an image that is here, and that is not.
	jq -c --argjson note "$note" '.manifests = [$note]' "$LAYOUT/index.json" >index.json
	run -0 m load -q -i .
	m rmi many:1
	[ -z "$(ls "$MASU_ROOT/images/.masu/artifacts")" ]
	run -1 m load -i .
	[[ "$output" == *"the archive has no image, only artifacts that are attached to nothing here"* ]]
}
