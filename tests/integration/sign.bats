#!/usr/bin/env bats
# Signatures of images: made here and verified by podman's libraries, and the other way round.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/registry

REG=127.0.0.1:5000

setup_file() {
	engine_setup_file
	registry_client_setup
	registry_start plain 5000
	export KEYS=$BATS_FILE_TMPDIR/keys COSIGN_PASSWORD=secret
	mkdir "$KEYS" /etc/containers/registries.d
	printf 'docker:\n  %s:\n    use-sigstore-attachments: true\n' "$REG" >/etc/containers/registries.d/test.yaml
	skopeo copy -q --dest-tls-verify=false "oci:$MASU_ROOT/images:busybox:local" "docker://$REG/box:1"
	"$MASU" image generate-key-pair --output-key-prefix "$KEYS/ours"
	"$MASU" image generate-key-pair --output-key-prefix "$KEYS/other"
	openssl ecparam -name prime256v1 -genkey -noout -out "$KEYS/plain.key"
	openssl ec -in "$KEYS/plain.key" -pubout -out "$KEYS/plain.pub" 2>/dev/null
}

teardown_file() {
	engine_teardown_file
	registry_stop plain
}

# copy NAME KEY.pub: skopeo copies an image only if it is signed by that key.
verified_copy() {
	jq -n --arg key "$2" --arg scope "${1%:*}" '{default: [{type: "reject"}], transports: {docker: {($scope):
		[{type: "sigstoreSigned", keyPath: $key}]}}}' >"$BATS_TEST_TMPDIR/policy.json"
	rm -rf "$BATS_TEST_TMPDIR/copy"
	skopeo --policy "$BATS_TEST_TMPDIR/policy.json" copy -q --remove-signatures --src-tls-verify=false "docker://$1" \
		"oci:$BATS_TEST_TMPDIR/copy:1"
}

raw_signatures() { # repository
	skopeo inspect --raw --tls-verify=false "docker://$1:$(signature_tag "$1:1")"
}

signature_tag() { # name
	echo "sha256-$(skopeo inspect --raw --tls-verify=false "docker://$1" | sha256sum | sed 's/ .*//').sig"
}

fresh() { # name of a repository: the image under a name of its own, unsigned
	skopeo copy -q --remove-signatures --src-tls-verify=false --dest-tls-verify=false "docker://$REG/box:1" "docker://$REG/$1:1"
}

# Debian builds skopeo and podman without sigstore: they say so to who asks them to verify.
need_sigstore() {
	local out
	out=$(verified_copy "$REG/box:1" "$KEYS/ours.pub" 2>&1) || true
	[[ "$out" != *"sigstore disabled"* ]] || skip "this skopeo is built without sigstore"
}

put_blob() { # repository, file: its descriptor's digest and size
	local digest place
	digest=sha256:$(sha256sum "$2" | sed 's/ .*//')
	place=$(curl -s -D - -o /dev/null -X POST "http://$REG/v2/$1/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //p')
	curl -sf -X PUT --data-binary "@$2" -H 'Content-Type: application/octet-stream' "$place&digest=$digest"
	jq -n --arg digest "$digest" --argjson size "$(stat -c %s "$2")" '{digest: $digest, size: $size}'
}

# sign_as_cosign REPOSITORY KEY: as cosign does it, with openssl and curl; the name is signed without its tag.
sign_as_cosign() {
	local dir=$BATS_TEST_TMPDIR/cosign tag
	mkdir -p "$dir"
	tag=$(signature_tag "$REG/$1:1")
	jq -cn --arg name "$REG/$1" --arg digest "sha256:${tag:7:64}" '{critical: {identity: {"docker-reference": $name},
		image: {"docker-manifest-digest": $digest}, type: "cosign container image signature"}, optional: null}' |
		tr -d '\n' >"$dir/payload"
	echo '{"rootfs":{"type":"layers","diff_ids":[]}}' >"$dir/config"
	openssl dgst -sha256 -sign "$2" "$dir/payload" | base64 -w0 >"$dir/signature"
	jq -n --argjson payload "$(put_blob "$1" "$dir/payload")" --argjson config "$(put_blob "$1" "$dir/config")" \
		--rawfile signature "$dir/signature" '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
		config: ({mediaType: "application/vnd.oci.image.config.v1+json"} + $config),
		layers: [{mediaType: "application/vnd.dev.cosign.simplesigning.v1+json",
			annotations: {"dev.cosignproject.cosign/signature": $signature, "dev.sigstore.cosign/bundle": "kept"}} + $payload]}' |
		curl -sf -X PUT --data-binary @- -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' \
			"http://$REG/v2/$1/manifests/$tag"
}

@test "what masu signs, it verifies, with this key only" {
	fresh signed
	run -1 m image verify --key "$KEYS/ours.pub" "$REG/signed:1"
	[[ "$output" == *"has no signatures"* ]]
	run -0 m image sign --key "$KEYS/ours.key" "$REG/signed:1"
	[ "$output" = "$REG/signed:$(signature_tag "$REG/signed:1")" ]
	run -0 --separate-stderr m image verify --key "$KEYS/ours.pub" "$REG/signed:1"
	[ "$(jq -r '.[0].critical.identity."docker-reference"' <<<"$output")" = "$REG/signed:1" ]
	[[ "$stderr" == *"Verification for $REG/signed:1@sha256:"* ]]
	run -1 m image verify --key "$KEYS/other.pub" "$REG/signed:1"
	[[ "$output" == *"none of its 1 signatures is valid; the last: a signature is not by this key"* ]]
}

@test "a signature as cosign makes it is verified, and kept beside a new one" {
	fresh theirs
	sign_as_cosign theirs "$KEYS/plain.key"
	run -0 --separate-stderr m image verify --key "$KEYS/plain.pub" "$REG/theirs:1"
	[ "$(jq -r '.[0].critical.identity."docker-reference"' <<<"$output")" = "$REG/theirs" ]
	run -1 m image verify --key "$KEYS/ours.pub" "$REG/theirs:1"
	m image sign --key "$KEYS/ours.key" "$REG/theirs:1"
	m image verify --key "$KEYS/ours.pub" "$REG/theirs:1"
	m image verify --key "$KEYS/plain.pub" "$REG/theirs:1"
	raw_signatures "$REG/theirs" >"$BATS_TEST_TMPDIR/before"
	[ "$(jq -r '.layers[0].annotations."dev.sigstore.cosign/bundle"' "$BATS_TEST_TMPDIR/before")" = kept ]
	# Signing again adds nothing.
	m image sign --key "$KEYS/ours.key" "$REG/theirs:1"
	raw_signatures "$REG/theirs" | cmp - "$BATS_TEST_TMPDIR/before"
}

@test "skopeo finds the signatures, and takes them along" {
	fresh carried
	m image sign --key "$KEYS/ours.key" "$REG/carried:1"
	skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "docker://$REG/carried:1" "docker://$REG/copied:1"
	[ "$(raw_signatures "$REG/copied" | jq -c '.layers[0] | .digest, .annotations')" = \
		"$(raw_signatures "$REG/carried" | jq -c '.layers[0] | .digest, .annotations')" ]
}

@test "skopeo and podman's policy agree, both ways" {
	fresh policy
	m image sign --key "$KEYS/ours.key" "$REG/box:1"
	need_sigstore
	run -1 verified_copy "$REG/policy:1" "$KEYS/ours.pub"
	m image sign --key "$KEYS/ours.key" "$REG/policy:1"
	verified_copy "$REG/policy:1" "$KEYS/ours.pub"
	run -1 verified_copy "$REG/policy:1" "$KEYS/other.pub"
	echo secret >"$BATS_TEST_TMPDIR/passphrase"
	skopeo copy -q --src-tls-verify=false --dest-tls-verify=false --sign-by-sigstore-private-key "$KEYS/other.key" \
		--sign-passphrase-file "$BATS_TEST_TMPDIR/passphrase" "docker://$REG/box:1" "docker://$REG/bytheirs:1"
	m image verify --key "$KEYS/other.pub" "$REG/bytheirs:1"
}

@test "a key as cosign keeps it: scrypt and secretbox around PKCS #8" {
	run -0 python3 - "$KEYS/ours.key" secret <<-'EOS'
	import base64, ctypes, hashlib, json, sys
	lines = open(sys.argv[1]).read().split("\n")
	assert lines[0] == "-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----"
	box = json.loads(base64.b64decode("".join(lines[1:-2])))
	params, salt = box["kdf"]["params"], base64.b64decode(box["kdf"]["salt"])
	key = hashlib.scrypt(sys.argv[2].encode(), salt=salt, n=params["N"], r=params["r"], p=params["p"], maxmem=1 << 28, dklen=32)
	sealed, nonce = base64.b64decode(box["ciphertext"]), base64.b64decode(box["cipher"]["nonce"])
	plain = ctypes.create_string_buffer(len(sealed) - 16)
	assert ctypes.CDLL("libsodium.so.23").crypto_secretbox_open_easy(plain, sealed, ctypes.c_ulonglong(len(sealed)), nonce, key) == 0
	print("-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(plain.raw).decode() + "\n-----END PRIVATE KEY-----")
	EOS
	openssl pkey -pubout <<<"$output" | cmp - "$KEYS/ours.pub"
}

@test "the form is cosign's" {
	fresh form
	m image sign --key "$KEYS/plain.key" "$REG/form:1"
	raw_signatures "$REG/form" >"$BATS_TEST_TMPDIR/manifest"
	[ "$(jq -r '.layers[0].mediaType' "$BATS_TEST_TMPDIR/manifest")" = application/vnd.dev.cosign.simplesigning.v1+json ]
	curl -s "http://$REG/v2/form/blobs/$(jq -r '.layers[0].digest' "$BATS_TEST_TMPDIR/manifest")" >"$BATS_TEST_TMPDIR/payload"
	[ "$(jq -r .critical.type "$BATS_TEST_TMPDIR/payload")" = "cosign container image signature" ]
	jq -r '.layers[0].annotations."dev.cosignproject.cosign/signature"' "$BATS_TEST_TMPDIR/manifest" | base64 -d >"$BATS_TEST_TMPDIR/sig"
	openssl dgst -sha256 -verify "$KEYS/plain.pub" -signature "$BATS_TEST_TMPDIR/sig" "$BATS_TEST_TMPDIR/payload"
	curl -s "http://$REG/v2/form/blobs/$(jq -r .config.digest "$BATS_TEST_TMPDIR/manifest")" | jq -e '.rootfs.diff_ids | length == 1'
}

@test "a signature of another image, of another name, and a forged one are refused" {
	fresh moved
	m image sign --key "$KEYS/ours.key" "$REG/moved:1"
	# The signatures of one image under the tag of another's.
	skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "oci:$MASU_ROOT/images:busybox:local" "docker://$REG/evil:1"
	skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "docker://$REG/moved:$(signature_tag "$REG/moved:1")" \
		"docker://$REG/evil:$(signature_tag "$REG/evil:1")"
	run -1 m image verify --key "$KEYS/ours.pub" "$REG/evil:1"
	[[ "$output" == *"it is of the image as $REG/moved:1"* ]]
	umoci init --layout "$BATS_TEST_TMPDIR/other"
	umoci new --image "$BATS_TEST_TMPDIR/other:1"
	skopeo copy -q --dest-tls-verify=false "oci:$BATS_TEST_TMPDIR/other:1" "docker://$REG/moved:2"
	skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "docker://$REG/moved:$(signature_tag "$REG/moved:1")" \
		"docker://$REG/moved:$(signature_tag "$REG/moved:2")"
	run -1 m image verify --key "$KEYS/ours.pub" "$REG/moved:2"
	[[ "$output" == *"it is of another image, sha256:"* ]]
	# The same image under another tag is not what was signed; by digest it is.
	skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "docker://$REG/moved:1" "docker://$REG/moved:3"
	run -1 m image verify --key "$KEYS/ours.pub" "$REG/moved:3"
	m image verify --key "$KEYS/ours.pub" "$REG/moved@sha256:$(skopeo inspect --raw --tls-verify=false "docker://$REG/moved:1" | sha256sum | sed 's/ .*//')"
}

@test "keys: wrong passphrases, other kinds, files that are there" {
	run -1 env COSIGN_PASSWORD=wrong "$MASU" image sign --key "$KEYS/ours.key" "$REG/box:1"
	[ "$output" = "masu: $KEYS/ours.key: the passphrase is wrong, or the file is damaged" ]
	run -1 env -u COSIGN_PASSWORD "$MASU" image sign --key "$KEYS/ours.key" "$REG/box:1"
	[[ "$output" == *"--passphrase-file FILE or \$COSIGN_PASSWORD"* ]]
	run -1 m image generate-key-pair --output-key-prefix "$KEYS/ours"
	[[ "$output" == *"File exists"* ]]
	[ "$(stat -c %a "$KEYS/ours.key")" = 600 ]
	openssl genrsa -out "$BATS_TEST_TMPDIR/rsa.key" 2048 2>/dev/null
	run -1 m image sign --key "$BATS_TEST_TMPDIR/rsa.key" "$REG/box:1"
	[[ "$output" == *"only ECDSA keys on the curve P-256 are supported"* ]]
	openssl ec -in "$KEYS/plain.key" -aes256 -passout pass:other -out "$BATS_TEST_TMPDIR/locked.key" 2>/dev/null
	echo other >"$BATS_TEST_TMPDIR/passphrase"
	fresh locked
	m image sign --key "$BATS_TEST_TMPDIR/locked.key" --passphrase-file "$BATS_TEST_TMPDIR/passphrase" "$REG/locked:1"
	m image verify --key "$KEYS/plain.pub" "$REG/locked:1"
	run -1 m image sign "$REG/box:1"
	[[ "$output" == *"--key FILE is needed"* ]]
}

# The layers of what is under the tag of signatures: digest and signature a line.
signatures() { # name
	skopeo inspect --raw --tls-verify=false "docker://${1%:*}:$(signature_tag "$1")" |
		jq -r '.layers[] | .digest + " " + .annotations."dev.cosignproject.cosign/signature"' | sort
}

@test "pull --artifacts takes signatures along, push --artifacts puts them under the same tag" {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
	fresh kept
	sign_as_cosign kept "$KEYS/plain.key"
	m image sign --key "$KEYS/ours.key" "$REG/kept:1"
	run -0 m pull --artifacts "$REG/kept:1"
	[[ "$output" == *"Artifacts: 1 of $REG/kept:1"* ]]
	m tag "$REG/kept:1" "$REG/moved-on:1"
	run -0 m push --artifacts "$REG/moved-on:1"
	[ "${lines[-1]}" = "Artifacts: 1 of 1" ]
	raw_signatures "$REG/moved-on" | cmp - <(raw_signatures "$REG/kept")
	# It is the same image under another name than the signed one.
	run -1 m image verify --key "$KEYS/ours.pub" "$REG/moved-on:1"
	[[ "$output" == *"it is of the image as $REG/kept:1"* ]]
	run -0 --separate-stderr m image verify --key "$KEYS/ours.pub" --signed-as "$REG/kept:1" "$REG/moved-on:1"
	[[ "$stderr" == *"under $REG/kept:1"* ]]
	m image verify --key "$KEYS/plain.pub" --signed-as "$REG/kept:1" "$REG/moved-on:1"
	run -1 m image verify --key "$KEYS/plain.pub" --signed-as "$REG/box:1" "$REG/moved-on:1"
	# They go with the image.
	[ "$(find "$MASU_ROOT/images/.masu/artifacts" -name sig | wc -l)" = 1 ]
	m rmi "$REG/kept:1" "$REG/moved-on:1"
	[ -z "$(ls "$MASU_ROOT/images/.masu/artifacts")" ]
	run -0 m system check
}

@test "signatures that are there stay beside those that come, each once" {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
	fresh here
	sign_as_cosign here "$KEYS/plain.key"
	m pull -q --artifacts "$REG/here:1"
	fresh there
	m image sign --key "$KEYS/ours.key" "$REG/there:1"
	{ signatures "$REG/here:1"; signatures "$REG/there:1"; } | sort >"$BATS_TEST_TMPDIR/both"
	m tag "$REG/here:1" "$REG/there:1"
	m push -q --artifacts "$REG/there:1"
	signatures "$REG/there:1" | cmp - "$BATS_TEST_TMPDIR/both"
	raw_signatures "$REG/there" >"$BATS_TEST_TMPDIR/raw"
	[ "$(jq -r '[.layers[].annotations."dev.sigstore.cosign/bundle" // empty] | join(" ")' "$BATS_TEST_TMPDIR/raw")" = kept ]
	curl -s "http://$REG/v2/there/blobs/$(jq -r .config.digest "$BATS_TEST_TMPDIR/raw")" | jq -e '.rootfs.diff_ids | length == 2'
	m image verify --key "$KEYS/ours.pub" "$REG/there:1"
	m image verify --key "$KEYS/plain.pub" --signed-as "$REG/here" "$REG/there:1"
	# Again, and with fewer than are there: nothing changes.
	m push -q --artifacts "$REG/there:1"
	raw_signatures "$REG/there" | cmp - "$BATS_TEST_TMPDIR/raw"
	# With more than are there: what was pulled goes as it came.
	m pull -q --artifacts "$REG/there:1"
	m tag "$REG/there:1" "$REG/here:1"
	m push -q --artifacts "$REG/here:1"
	raw_signatures "$REG/here" | cmp - "$BATS_TEST_TMPDIR/raw"
}

@test "attestations and bills of materials of cosign come and go too; their tags are no images" {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
	fresh more
	m image sign --key "$KEYS/plain.key" "$REG/more:1"
	tag=$(signature_tag "$REG/more:1")
	for kind in att sbom; do
		skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "docker://$REG/more:$tag" "docker://$REG/more:${tag%sig}$kind"
	done
	run -0 m pull --artifacts "$REG/more:1"
	[[ "$output" == *"Artifacts: 3 of "* ]]
	m tag "$REG/more:1" "$REG/less:1"
	m push -q --artifacts "$REG/less:1"
	for kind in sig att sbom; do
		skopeo inspect --raw --tls-verify=false "docker://$REG/less:${tag%sig}$kind" |
			cmp - <(skopeo inspect --raw --tls-verify=false "docker://$REG/more:${tag%sig}$kind")
		run -1 m pull "$REG/less:${tag%sig}$kind"
		[[ "$output" == *"is no image but belongs to one"* ]]
	done
	run -0 m pull -a "$REG/less"
	[ "$(m images -q "$REG/less" | wc -l)" = 1 ]
	# A tag that holds something else ends it, and what was kept stays.
	find "$MASU_ROOT/images/.masu/artifacts" -type f | sort >"$BATS_TEST_TMPDIR/before"
	printf '{"schemaVersion": 2, "mediaType": "%s", "manifests": []}' application/vnd.oci.image.index.v1+json |
		curl -sf -X PUT --data-binary @- -H "Content-Type: application/vnd.oci.image.index.v1+json" "http://$REG/v2/more/manifests/$tag"
	run -1 m pull --artifacts "$REG/more:1"
	[[ "$output" == *"what is attached to $REG/more:1: "* ]]
	find "$MASU_ROOT/images/.masu/artifacts" -type f | sort | cmp - "$BATS_TEST_TMPDIR/before"
	m image prune -af
	[ -z "$(ls "$MASU_ROOT/images/.masu/artifacts")" ]
}
