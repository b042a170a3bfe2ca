#!/usr/bin/env bats
# Images: import, load, images, tag, rmi, and that skopeo, umoci and podman agree.

bats_require_minimum_version 1.5.0

setup_file() {
	export IN=$BATS_FILE_TMPDIR/in
	mkdir -p "$IN/rootfs/bin" "$IN/rootfs/etc"
	cp "$(command -v busybox)" "$IN/rootfs/bin/busybox"
	ln -s busybox "$IN/rootfs/bin/sh"
	echo test >"$IN/rootfs/etc/hostname"
	tar -C "$IN/rootfs" --owner=0 --group=0 -cf "$IN/rootfs.tar" .
	# One image in every form that other tools make of it.
	MASU_ROOT=$BATS_FILE_TMPDIR/source "$MASU" import -c 'CMD ["sh"]' "$IN/rootfs.tar" busybox:src
	export SOURCE=oci:$BATS_FILE_TMPDIR/source/images:busybox:src
	skopeo copy -q "$SOURCE" "docker-archive:$IN/docker.tar:busybox:docker"
	skopeo copy -q "$SOURCE" "oci-archive:$IN/oci.tar:busybox:oci"
	skopeo copy -q "$SOURCE" "oci:$IN/layout:busybox:layout"
}

setup() {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root MASU_RUNROOT=$BATS_TEST_TMPDIR/run
}

masu() { "$MASU" "$@"; }

import() { masu import "$@" "$IN/rootfs.tar" busybox:local; }

layers() { find "$MASU_ROOT/layers/overlay" -mindepth 1 -maxdepth 1 ! -name '.*' -printf '%f\n'; }

staged() { find "$MASU_ROOT/layers/overlay/.staging" "$MASU_ROOT/images/.masu/staging" -mindepth 1; }

@test "import makes an image that skopeo and umoci read in place" {
	id=$(import -c 'CMD ["sh", "-l"]' -c 'ENV A=1 B="two words"' -m 'a message')
	[[ "$id" =~ ^sha256:[0-9a-f]{64}$ ]]
	run -0 skopeo inspect --config "oci:$MASU_ROOT/images:busybox:local"
	jq -e '.config.Cmd == ["sh","-l"] and .config.Env == ["A=1","B=two words"] and
		.history[0].comment == "a message" and .os == "linux"' <<<"$output"
	[ "sha256:$(skopeo inspect --raw --config "oci:$MASU_ROOT/images:busybox:local" | sha256sum | cut -d' ' -f1)" = "$id" ]
	run -0 umoci stat --image "$MASU_ROOT/images:busybox:local" --json
	[ "$(jq '.history | length' <<<"$output")" = 1 ]
	[ -z "$(staged)" ]
}

@test "umoci unpacks what masu unpacked" {
	import --layer-format=dir
	umoci unpack --image "$MASU_ROOT/images:busybox:local" "$BATS_TEST_TMPDIR/bundle"
	diff -r --no-dereference "$BATS_TEST_TMPDIR/bundle/rootfs" "$MASU_ROOT/layers/overlay/$(layers)/diff"
}

@test "every --change of docker import is kept" {
	import -c 'ENTRYPOINT ["/bin/sh"]' -c 'CMD echo hi' -c 'USER 7:8' -c 'WORKDIR /a' -c 'WORKDIR b' \
		-c 'EXPOSE 80 53/udp 8000-8001' -c 'LABEL a=1 "b c"="d e"' -c 'VOLUME /v /w' -c 'VOLUME ["/x y"]' \
		-c 'STOPSIGNAL SIGUSR1' -c 'ONBUILD RUN true' -c 'ENV OLD form with blanks' \
		-c 'HEALTHCHECK --interval=1m30s --retries=3 CMD curl localhost' --platform linux/arm64/v8
	skopeo inspect --config "oci:$MASU_ROOT/images:busybox:local" >"$BATS_TEST_TMPDIR/config"
	run -0 jq -e '.config.Entrypoint == ["/bin/sh"] and .config.Cmd == ["/bin/sh","-c","echo hi"] and
		.config.User == "7:8" and .config.WorkingDir == "/a/b" and .config.StopSignal == "SIGUSR1" and
		(.config.ExposedPorts | keys) == ["53/udp","80/tcp","8000/tcp","8001/tcp"] and
		.config.Labels == {"a":"1","b c":"d e"} and (.config.Volumes | keys) == ["/v","/w","/x y"] and
		.config.Env == ["OLD=form with blanks"] and .architecture == "arm64" and .variant == "v8"' \
		"$BATS_TEST_TMPDIR/config"
	# What OCI's schema has no place for is in the document all the same, as docker has it.
	run -0 jq -e '.[0].Config | .OnBuild == ["RUN true"] and .Healthcheck ==
		{"Test":["CMD-SHELL","curl localhost"],"Interval":90000000000,"Retries":3}' \
		<(masu image inspect busybox:local)
}

@test "a wrong --change is refused and names itself" {
	for change in 'RUN true' 'CMDX a' 'ENV' 'ENV =x' 'EXPOSE 0' 'EXPOSE 70000' 'EXPOSE 80/icmp' \
		'STOPSIGNAL 99' 'WORKDIR' 'HEALTHCHECK --interval=5 CMD x' 'ONBUILD FROM x' 'LABEL "a'; do
		run -1 --separate-stderr import -c "$change"
		[[ "$stderr" == "masu: --change \"$change\": "* ]]
	done
	[ -z "$(masu images -q)" ]
}

@test "the same import again is the same image" {
	first=$(import -c 'CMD ["sh"]')
	[ "$(import -c 'CMD ["sh"]')" = "$first" ]
	[ "$(masu images -q | wc -l)" = 1 ]
	# Another config is another image, and the old one stays without a name.
	[ "$(import -c 'CMD ["ls"]')" != "$first" ]
	run -0 masu images --no-trunc
	[[ "$output" == *"<none>"*"$first"* ]]
	[ "$(layers | wc -l)" = 1 ]
}

@test "archives come from stdin and in every compression" {
	for tool in gzip zstd xz bzip2; do
		"$tool" -c "$IN/rootfs.tar" | masu import - "busybox:$tool"
	done
	masu import - busybox:plain <"$IN/rootfs.tar"
	[ "$(layers | wc -l)" = 1 ]
	for tool in gzip zstd xz bzip2 plain; do
		skopeo copy -q "oci:$MASU_ROOT/images:busybox:$tool" "dir:$BATS_TEST_TMPDIR/$tool"
	done
	# Kept as it came where OCI has a word for it.
	[[ "$(skopeo inspect --raw "oci:$MASU_ROOT/images:busybox:zstd")" == *"tar+zstd"* ]]
	[[ "$(skopeo inspect --raw "oci:$MASU_ROOT/images:busybox:gzip")" == *"tar+gzip"* ]]
	[[ "$(skopeo inspect --raw "oci:$MASU_ROOT/images:busybox:xz")" == *'layer.v1.tar"'* ]]
}

@test "what cannot be imported says why" {
	run -1 --separate-stderr masu import http://localhost/x.tar x
	[[ "$stderr" == *"URLs are not supported"* ]]
	run -1 --separate-stderr masu import "$IN" x
	[[ "$stderr" == *"is a directory"* ]]
	run -1 --separate-stderr masu import /nonexistent x
	[ "$stderr" = "masu: import /nonexistent: No such file or directory" ]
	run -1 --separate-stderr masu import "$IN/rootfs.tar" Upper
	[[ "$stderr" == *"must be lowercase"* ]]
	run -1 --separate-stderr masu import "$IN/rootfs.tar" "x@sha256:$(printf a%.0s {1..64})"
	run -1 --separate-stderr masu import --platform windows/amd64 "$IN/rootfs.tar" x
	[ -z "$(masu images -q)" ]
}

@test "load takes docker and OCI archives and layouts, packed and not" {
	run -0 masu load -i "$IN/docker.tar"
	[ "$output" = "Loaded image: busybox:docker" ]
	run -0 masu load <"$IN/oci.tar"
	[ "$output" = "Loaded image: busybox:oci" ]
	run -0 masu load -i "$IN/layout"
	[ "$output" = "Loaded image: busybox:layout" ]
	for tool in gzip zstd xz; do
		"$tool" -c "$IN/docker.tar" | masu load -q
		"$tool" -c "$IN/oci.tar" >"$BATS_TEST_TMPDIR/a"
		masu load -q -i "$BATS_TEST_TMPDIR/a"
	done
	[ "$(masu images -q --no-trunc | sort -u | wc -l)" = 1 ]
	[ "$(layers | wc -l)" = 1 ]
	[ -z "$(staged)" ]
}

@test "digests are those of the other tools" {
	masu load -q -i "$IN/oci.tar"
	masu load -q -i "$IN/docker.tar"
	[ "$(masu images --digests busybox:oci --format json | jq -r .Digest)" = \
		"$(skopeo inspect --raw "oci-archive:$IN/oci.tar" | sha256sum | sed 's/\(\S*\).*/sha256:\1/')" ]
	[ "$(masu images --no-trunc -q busybox:docker)" = \
		"sha256:$(skopeo inspect --raw --config "docker-archive:$IN/docker.tar" | sha256sum | cut -d' ' -f1)" ]
}

@test "podman gives the image the same id" {
	command -v podman >/dev/null || skip "no podman"
	masu load -q -i "$IN/docker.tar"
	# podman wants a runroot of at most 50 characters.
	runroot=$(mktemp -d /run/podman.XXXXXX)
	podman() {
		command podman --root "$BATS_TEST_TMPDIR/p" --runroot "$runroot" --storage-driver vfs "$@"
	}
	podman load -q -i "$IN/docker.tar"
	[ "sha256:$(podman inspect -f '{{.Id}}' busybox:docker)" = "$(masu images --no-trunc -q busybox:docker)" ]
}

@test "one archive, several images and names" {
	skopeo copy -q "$SOURCE" "docker-archive:$BATS_TEST_TMPDIR/a.tar:one:1" --additional-tag two:2
	run -0 masu load -i "$BATS_TEST_TMPDIR/a.tar"
	[ "${lines[0]}" = "Loaded image: one:1" ]
	[ "${lines[1]}" = "Loaded image: two:2" ]
	# A layout whose name is only a tag gives an image without a name.
	umoci init --layout "$BATS_TEST_TMPDIR/l"
	umoci new --image "$BATS_TEST_TMPDIR/l:latest"
	run -0 masu load -i "$BATS_TEST_TMPDIR/l"
	[[ "$output" == "Loaded image ID: sha256:"* ]]
}

@test "layers on layers: whiteouts, opaque directories, shared parents" {
	l=$BATS_TEST_TMPDIR/l d=$BATS_TEST_TMPDIR/d
	mkdir -p "$d/1/a/b" "$d/2"
	echo 1 >"$d/1/a/b/f"
	echo 2 >"$d/1/a/g"
	chmod 711 "$d/1/a"
	umoci init --layout "$l"
	umoci new --image "$l:m"
	umoci insert --image "$l:m" "$d/1" /
	umoci tag --image "$l:m" base
	umoci insert --image "$l:m" --whiteout /a/g
	umoci insert --image "$l:m" --opaque "$d/2" /a/b
	skopeo copy -q "oci:$l:m" "oci-archive:$BATS_TEST_TMPDIR/m.tar:m:1"
	masu load -q --layer-format=dir -i "$BATS_TEST_TMPDIR/m.tar"
	[ "$(layers | wc -l)" = 3 ]
	run -0 find "$MASU_ROOT/layers/overlay" -path '*/diff/a/g' -type c -printf '%l%y\n'
	[ "$output" = c ]
	# The layer with the whiteout does not mention "a", so "a" looks as it did.
	run -0 find "$MASU_ROOT/layers/overlay" -path '*/diff/a' -printf '%m '
	[ "$output" = "711 711 711 " ]
	skopeo copy -q "oci:$l:base" "oci-archive:$BATS_TEST_TMPDIR/b.tar:b:1"
	masu load -q -i "$BATS_TEST_TMPDIR/b.tar"
	[ "$(layers | wc -l)" = 3 ]
	masu rmi m:1
	[ "$(layers | wc -l)" = 1 ]
	masu rmi b:1
	[ -z "$(layers)" ]
}

@test "tag, images, rmi" {
	id=$(import)
	masu tag busybox:local registry.example:5000/team/box:v1
	masu tag "${id:7:12}" other
	run -0 masu images
	[ "${lines[0]}" = "REPOSITORY                       TAG      IMAGE ID       CREATED                  SIZE" ] ||
		[[ "${lines[0]}" == REPOSITORY*TAG*"IMAGE ID"*CREATED*SIZE ]]
	[ "${#lines[@]}" = 4 ]
	run -0 masu images registry.example:5000/team/box
	[ "${#lines[@]}" = 2 ]
	run -1 --separate-stderr masu rmi "$id"
	[[ "$stderr" == *"must be forced"*"multiple repositories" ]]
	run -0 masu rmi other
	[ "$output" = "Untagged: other:latest" ]
	run -0 masu rmi -f "$id"
	[[ "$output" == *"Untagged: busybox:local"*"Untagged: registry.example:5000/team/box:v1"* ]]
	[[ "$output" == *"Deleted: $id"* ]]
	[ -z "$(layers)" ]
	[ -z "$(ls "$MASU_ROOT/images/blobs/sha256" "$MASU_ROOT/trash")" ] ||
		[ -z "$(find "$MASU_ROOT/images/blobs/sha256" "$MASU_ROOT/trash" -mindepth 1)" ]
	run -1 --separate-stderr masu rmi busybox:local
	[ "$stderr" = "masu: No such image: busybox:local" ]
	run -1 --separate-stderr masu tag nope x
	[ "$stderr" = "masu: No such image: nope:latest" ]
}

# A record as the engine writes it.
fake_container() { # id image layers...
	mkdir -p "$MASU_ROOT/containers/$1"
	jq -n --arg image "$2" --arg layer "$3" '{Image: $image, Layers: [$layer]}' \
		>"$MASU_ROOT/containers/$1/container.json"
}

@test "an image that a container uses stays, and its layers even when forced" {
	id=$(import)
	fake_container "$(printf a%.0s {1..64})" "$id" "$(layers)"
	run -1 --separate-stderr masu rmi busybox:local
	[[ "$stderr" == *"conflict: unable to remove repository reference \"busybox:local\" (must force) - container aaaaaaaaaaaa is using its referenced image ${id:7:12}" ]]
	run -0 masu rmi -f busybox:local
	[ "$output" = "Untagged: busybox:local" ]
	[ "$(masu images -q --no-trunc)" = "$id" ]
	run -1 masu rmi "$id"
	run -0 masu rmi -f "$id"
	[ "$output" = "Deleted: $id" ]
	[ "$(layers | wc -l)" = 1 ]
	# A record that cannot be read: nobody knows what it uses, so nothing goes.
	import
	rm -r "$MASU_ROOT/containers/"a*
	mkdir "$MASU_ROOT/containers/$(printf b%.0s {1..64})"
	echo '{' >"$MASU_ROOT/containers/$(printf b%.0s {1..64})/container.json"
	run -1 --separate-stderr masu rmi busybox:local
	[[ "$stderr" == *"cannot be read"* ]]
	[ "$(layers | wc -l)" = 1 ]
}

@test "a damaged archive is refused and changes nothing" {
	import
	before=$(sha256sum "$MASU_ROOT/images/index.json")
	mkdir "$BATS_TEST_TMPDIR/x"
	tar -C "$BATS_TEST_TMPDIR/x" -xf "$IN/oci.tar"
	manifest=$(jq -r '.manifests[0].digest[7:]' "$BATS_TEST_TMPDIR/x/index.json")
	layer=$(jq -r '.layers[0].digest[7:]' "$BATS_TEST_TMPDIR/x/blobs/sha256/$manifest")
	printf X | dd of="$BATS_TEST_TMPDIR/x/blobs/sha256/$layer" bs=1 seek=100 conv=notrunc status=none
	run -1 --separate-stderr masu load -i "$BATS_TEST_TMPDIR/x"
	[[ "$stderr" == "masu: load: blob sha256:$layer: its content has the digest "* ]]
	run -1 --separate-stderr masu load -i "$IN/rootfs.tar"
	[[ "$stderr" == *"use \`masu import\`" ]]
	head -c 100000 "$IN/docker.tar" >"$BATS_TEST_TMPDIR/cut.tar"
	run -1 --separate-stderr masu load -i "$BATS_TEST_TMPDIR/cut.tar"
	[ "$(sha256sum "$MASU_ROOT/images/index.json")" = "$before" ]
	[ -z "$(staged)" ]
}

# An archive in docker's format of one layer.
DOCKER_MANIFEST='[{"Config":"config.json","RepoTags":["x:1"],"Layers":["layer.tar"]}]'
docker_archive() { # config-json [manifest-json]
	local d=$BATS_TEST_TMPDIR/da
	rm -rf "$d"
	mkdir "$d"
	cp "$IN/rootfs.tar" "$d/layer.tar"
	printf '%s' "$1" >"$d/config.json"
	printf '%s' "${2-$DOCKER_MANIFEST}" >"$d/manifest.json"
	tar -C "$d" -cf "$d.tar" config.json layer.tar manifest.json
	masu load -i "$d.tar"
}

@test "a diff_id that is not the layer's is refused" {
	good=sha256:$(sha256sum "$IN/rootfs.tar" | cut -d' ' -f1)
	bad=sha256:$(printf a%.0s {1..64})
	run -1 --separate-stderr docker_archive "{\"rootfs\":{\"diff_ids\":[\"$bad\"]}}"
	[[ "$stderr" == *"its content is $good, but the image's config says $bad"* ]]
	run -0 docker_archive "{\"rootfs\":{\"diff_ids\":[\"$good\"]}}"
	# Also where a layer of that name is there already.
	gzip -c "$IN/rootfs.tar" >"$BATS_TEST_TMPDIR/good.gz"
	echo other | gzip >"$BATS_TEST_TMPDIR/other.gz"
	mkdir "$BATS_TEST_TMPDIR/o"
	printf '{"rootfs":{"diff_ids":["%s"]}}' "$good" >"$BATS_TEST_TMPDIR/o/c.json"
	cp "$BATS_TEST_TMPDIR/other.gz" "$BATS_TEST_TMPDIR/o/l"
	echo '[{"Config":"c.json","RepoTags":["x:2"],"Layers":["l"]}]' >"$BATS_TEST_TMPDIR/o/manifest.json"
	run -1 --separate-stderr masu load -i "$BATS_TEST_TMPDIR/o"
	[[ "$stderr" == *"but the image's config says $good"* ]]
	[ "$(masu images -q | wc -l)" = 1 ]
}

@test "hostile documents are refused by name" {
	good=sha256:$(sha256sum "$IN/rootfs.tar" | cut -d' ' -f1)
	config="{\"rootfs\":{\"diff_ids\":[\"$good\"]}}"
	deep=$(printf '[%.0s' {1..20000})
	for bad in '' '[]' '{' '{"rootfs":{"diff_ids":[]}}' "{\"config\":{\"Env\":1},\"rootfs\":{\"diff_ids\":[\"$good\"]}}" \
		"{\"a\":1,\"a\":2,\"rootfs\":{\"diff_ids\":[\"$good\"]}}" "$deep"; do
		run -1 --separate-stderr docker_archive "$bad"
		[[ "$stderr" == "masu: load: "* ]]
		[ "$(wc -l <<<"$stderr")" = 1 ]
	done
	for bad in '{}' '[{}]' '[]' '[{"Config":"../../etc/passwd","Layers":["layer.tar"]}]' \
		'[{"Config":"config.json","Layers":["nope.tar"]}]' '[{"Config":"config.json","Layers":[1]}]' \
		'[{"Config":"config.json","RepoTags":["UPPER"],"Layers":["layer.tar"]}]' \
		'[{"Config":"layer.tar","Layers":["layer.tar"]}]'; do
		run -1 --separate-stderr docker_archive "$config" "$bad"
		[[ "$stderr" == "masu: load: "* ]]
	done
	[ -z "$(masu images -q)" ]
	[ -z "$(staged)" ]
}

@test "an index that is also a manifest is ambiguous" {
	cp -r "$IN/layout" "$BATS_TEST_TMPDIR/l"
	cd "$BATS_TEST_TMPDIR/l"
	manifest=$(jq -r '.manifests[0].digest[7:]' index.json)
	jq '.manifests = []' "blobs/sha256/$manifest" >m
	digest=$(sha256sum m | cut -d' ' -f1)
	mv m "blobs/sha256/$digest"
	jq --arg d "sha256:$digest" '.manifests[0].digest = $d' index.json >i
	mv i index.json
	run -1 --separate-stderr masu load -i .
	[[ "$stderr" == *"ambiguous"* ]]
}

@test "a killed import leaves nothing that the next one does not clear" {
	import
	for delay in 0.001 0.003 0.006 0.010 0.015 0.020; do
		masu import - victim:1 <"$IN/rootfs.tar" &
		pid=$!
		sleep "$delay"
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" || true
	done
	# Its workers die with it, but on a busy machine a moment later, and hold the lock until then.
	for _ in {1..300}; do
		import
		[ -n "$(staged)" ] || break
		sleep 0.1
	done
	[ -z "$(staged)" ]
	masu rmi -f victim:1
	masu rmi busybox:local
	for id in $(masu images -q); do masu rmi -f "$id"; done
	[ -z "$(layers)" ]
	[ -z "$(find "$MASU_ROOT/images/blobs/sha256" -type f)" ]
}

@test "an image whose blobs are damaged is listed as a warning and can be removed" {
	id=$(import)
	printf x >>"$MASU_ROOT/images/blobs/sha256/${id:7}"
	run -0 --separate-stderr masu images -q
	[ -z "$output" ]
	[[ "$stderr" == *"damaged"* ]]
	run -0 masu rmi busybox:local
	[[ "$output" == "Untagged: busybox:local"* ]]
	[ -z "$(layers)" ]
	import
	# The same import brings a damaged blob back.
	id=$(masu images -q --no-trunc)
	printf x >>"$MASU_ROOT/images/blobs/sha256/${id:7}"
	import
	[ -n "$(masu images -q)" ]
}

@test "a full disk is an error that leaves nothing" {
	mkdir "$BATS_TEST_TMPDIR/small"
	mount -t tmpfs -o size=3m,mode=0700 tmpfs "$BATS_TEST_TMPDIR/small"
	MASU_ROOT=$BATS_TEST_TMPDIR/small
	run -1 --separate-stderr import
	[[ "$stderr" == "masu: import "*"No space left on device" ]]
	[ -z "$(masu images -q)" ]
	mount -o remount,size=30m "$BATS_TEST_TMPDIR/small"
	import
	[ -z "$(staged)" ]
	umount "$BATS_TEST_TMPDIR/small"
}

@test "a root on overlay is refused by name where overlay was asked for; else another driver takes it" {
	cd "$BATS_TEST_TMPDIR"
	mkdir lower upper work merged
	mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
	MASU_ROOT=$BATS_TEST_TMPDIR/merged/root MASU_STORAGE_DRIVER=overlay run -1 --separate-stderr import
	[[ "$stderr" == *"is itself on overlay"* ]]
	MASU_ROOT=$BATS_TEST_TMPDIR/merged/other run -0 import
	MASU_ROOT=$BATS_TEST_TMPDIR/merged/other run -0 masu storage ls
	[[ "$output" == *"is itself on overlay"* ]]
	umount merged
}

@test "parallel imports and loads of one image: all succeed, one layer" {
	for i in 1 2 3 4; do
		masu import "$IN/rootfs.tar" "p:$i" &
		pids+=($!)
		masu load -q -i "$IN/docker.tar" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid"; done
	[ "$(layers | wc -l)" = 1 ]
	[ "$(masu images -q | wc -l)" = 5 ]
	[ -z "$(staged)" ]
}

@test "imports, loads and removals of the same layers beside each other" {
	worker() {
		for _ in {1..15}; do
			case $((RANDOM % 4)) in
			0) masu import "$IN/rootfs.tar" "r:$((RANDOM % 3))" ;;
			1) masu load -q -i "$IN/docker.tar" ;;
			2) masu rmi -f "r:$((RANDOM % 3))" ;;
			3) masu rmi -f busybox:docker ;;
			esac || return 1
		done >/dev/null
	}
	for _ in 1 2 3; do
		worker &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid"; done
	masu load -q -i "$IN/docker.tar"
	[ "$(layers | wc -l)" = 1 ]
	for blob in "$MASU_ROOT"/images/blobs/sha256/*; do
		[ "$(sha256sum <"$blob" | cut -d' ' -f1)" = "${blob##*/}" ]
	done
	[ -z "$(staged)" ]
}

@test "the reply comes after everything is on the disk" {
	strace -f -o "$BATS_TEST_TMPDIR/trace" -e trace=syncfs,fsync,renameat,write \
		"$MASU" import "$IN/rootfs.tar" busybox:local
	# The parent's calls, as a line of letters: S syncfs, b blob, l layer, F fsync, i index, ! the reply.
	order=$(grep -E 'syncfs|fsync|renameat|write\(1,' "$BATS_TEST_TMPDIR/trace" | grep -v -e resumed -e EBADF | sed -E '
		s/.*syncfs.*/S/; s/.*renameat.*blobs.sha256.*/b/; s/.*renameat.*\.staging.*/l/
		s/.*renameat.*"index.json".*/i/; s/.*fsync.*/F/; s/.*write\(1,.*/!/; s/.*renameat.*/-/' | tr -d '\n')
	# On an empty store: the layout's two files, the mark; the layer's record (-), one sync for all; then
	# blobs, layer, index, reply, and before it what may be lost: the cache of names.
	[[ "$order" =~ -Sb+FlFFiF-?!$ ]] || { echo "$order"; false; }
}

@test "on ext4, xfs, btrfs and tmpfs" {
	for fs in ext4 xfs btrfs tmpfs; do
		mkdir "$BATS_TEST_TMPDIR/$fs"
		if [ "$fs" = tmpfs ]; then
			mount -t tmpfs tmpfs "$BATS_TEST_TMPDIR/$fs"
		else
			command -v "mkfs.$fs" >/dev/null || continue
			truncate -s 400M "$BATS_TEST_TMPDIR/$fs.img"
			"mkfs.$fs" -q "$BATS_TEST_TMPDIR/$fs.img"
			mount -o loop "$BATS_TEST_TMPDIR/$fs.img" "$BATS_TEST_TMPDIR/$fs"
		fi
		MASU_ROOT=$BATS_TEST_TMPDIR/$fs/root
		masu load -q -i "$IN/docker.tar"
		import
		mkdir "$BATS_TEST_TMPDIR/$fs/hostile"
		run python3 "$REPO/tests/corpus/run_hostile.py" "$MASU" "$BATS_TEST_TMPDIR/$fs/hostile" --layer-format=dir cap- whiteout opaque sparse- user-
		[ "$status" = 0 ] || { echo "$fs: $output"; false; }
		masu rmi busybox:local busybox:docker
		[ -z "$(layers)" ]
		umount -R "$BATS_TEST_TMPDIR/$fs"
	done
}

@test "what save writes, everybody loads" {
	import -c 'CMD ["sh"]'
	gzip -c "$IN/rootfs.tar" | masu import - second:1
	masu tag busybox:local also:this
	masu save -o "$BATS_TEST_TMPDIR/a.tar" busybox:local also:this second:1
	masu save busybox:local also:this second:1 | cmp - "$BATS_TEST_TMPDIR/a.tar"
	tar -tf "$BATS_TEST_TMPDIR/a.tar" >/dev/null
	before=$(masu images --no-trunc --digests --format json | jq -r '.Repository+.Tag+.ID+.Digest' | sort)
	for name in busybox:local also:this second:1; do
		skopeo inspect --config "docker-archive:$BATS_TEST_TMPDIR/a.tar:$name" >/dev/null
		skopeo inspect --config "oci-archive:$BATS_TEST_TMPDIR/a.tar:$name" >/dev/null
	done
	runroot=$(mktemp -d /run/podman.XXXXXX)
	command -v podman >/dev/null && podman --root "$BATS_TEST_TMPDIR/p" --runroot "$runroot" \
		--storage-driver vfs load -q -i "$BATS_TEST_TMPDIR/a.tar"
	masu rmi busybox:local also:this second:1
	# By manifest.json, and by index.json where that is gone.
	masu load -q -i "$BATS_TEST_TMPDIR/a.tar"
	[ "$(masu images -q | wc -l)" = 3 ]
	masu rmi busybox:local also:this second:1
	mkdir "$BATS_TEST_TMPDIR/a"
	tar -C "$BATS_TEST_TMPDIR/a" -xf "$BATS_TEST_TMPDIR/a.tar"
	rm "$BATS_TEST_TMPDIR/a/manifest.json"
	masu load -q -i "$BATS_TEST_TMPDIR/a"
	[ "$(masu images --no-trunc --digests --format json | jq -r '.Repository+.Tag+.ID+.Digest' | sort)" = "$before" ]
	run -1 --separate-stderr masu save -o "$BATS_TEST_TMPDIR/b.tar" busybox:local nope
	[ "$stderr" = "masu: No such image: nope:latest" ]
	printf x | dd of="$MASU_ROOT/images/blobs/sha256/$(sha256sum "$IN/rootfs.tar" | cut -d' ' -f1)" \
		bs=1 seek=100 conv=notrunc status=none
	run -1 --separate-stderr masu save -o "$BATS_TEST_TMPDIR/b.tar" busybox:local
	[[ "$stderr" == *"is damaged"* ]]
	[ -z "$(ls "$BATS_TEST_TMPDIR"/b.tar* 2>/dev/null)" ]
}

@test "hostile archives: refused or harmless, and the canary lives" {
	mkdir "$BATS_TEST_TMPDIR/hostile"
	run python3 "$REPO/tests/corpus/run_hostile.py" "$MASU" "$BATS_TEST_TMPDIR/hostile" --layer-format=dir
	echo "$output"
	[ "$status" = 0 ]
	[[ "${lines[-1]}" =~ ^([0-9]+)" archives, 0 failed"$ ]]
	[ "${BASH_REMATCH[1]}" -ge 200 ]
}

@test "bombs are refused with 64 MiB of memory" {
	[ "$MASU" = "$REPO/build/masu" ] || skip "not the release build"
	cd "$BATS_TEST_TMPDIR"
	# A file of zeroes, and a config of them.
	truncate -s 600M zeroes
	tar -cf - zeroes | zstd -q -o bomb.tar.zst
	run -1 --separate-stderr prlimit --data=67108864 "$MASU" import bomb.tar.zst x
	[[ "$stderr" == *"decompression bomb"* ]]
	run -1 --separate-stderr prlimit --data=67108864 "$MASU" import - x < <(tar -cf - zeroes | gzip -1)
	[[ "$stderr" == *"decompression bomb"* ]]
	mv zeroes config.json
	printf '%s' "$DOCKER_MANIFEST" >manifest.json
	cp "$IN/rootfs.tar" layer.tar
	tar -cf a.tar config.json layer.tar manifest.json
	run -1 --separate-stderr prlimit --data=67108864 "$MASU" load -i a.tar
	[[ "$stderr" == *'"config.json" is not a JSON document, or is too big to be one' ]]
	[ -z "$(staged)" ]
}

# The debug build without one of its defences, on the archives that it is there for.
hostile_without() { # defences prefix...
	local debug=$REPO/build-debug/bin/masu
	[ -x "$debug" ] || skip "no debug build"
	mkdir -p "$BATS_TEST_TMPDIR/h"
	MASU_TEST_WITHOUT=$1 MASU_LIBEXEC=${debug%/*}/libexec/masu ASAN_OPTIONS=detect_leaks=0 \
		run python3 "$REPO/tests/corpus/run_hostile.py" "$debug" "$BATS_TEST_TMPDIR/h" --layer-format=dir "${@:2}"
	rm -rf "$BATS_TEST_TMPDIR/h"
}

@test "without its defences the canary dies; any one of them keeps it alive" {
	hostile_without image-names,image-beneath,image-sandbox leave- through-canary hard-
	[[ "$status" = 1 && "$output" == *"THE CANARY CHANGED"* ]]
	hostile_without image-names,image-beneath leave- through-canary hard-
	[[ "$output" != *"THE CANARY CHANGED"* ]]
	hostile_without image-sandbox leave- through-canary hard-
	[ "$status" = 0 ]
	hostile_without image-beneath through-
	[[ "$status" = 1 && "$output" != *"THE CANARY CHANGED"* ]]
	hostile_without image-xattrs stripped-
	[ "$status" = 1 ]
}

@test "history has docker's columns: what made it, how big each step is" {
	cd "$BATS_TEST_TMPDIR"
	cp "$IN/rootfs.tar" layer.tar
	printf '%s' '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:'"$(sha256sum layer.tar | cut -c -64)"'"]},
		"history":[{"created":"2020-01-02T03:04:05Z","created_by":"/bin/sh -c #(nop) ADD file:0123456789012345678901234567890123456789 in / "},
		{"created":"2020-01-02T03:04:06Z","created_by":"CMD\t[\"sh\"]","empty_layer":true,"comment":"a comment"}]}' >config.json
	printf '%s' '[{"Config":"config.json","RepoTags":["x:1"],"Layers":["layer.tar"]}]' >manifest.json
	tar -cf x.tar config.json layer.tar manifest.json
	masu load -q -i x.tar
	run -0 masu history x:1
	[[ "${lines[0]}" =~ ^IMAGE\ +CREATED\ +CREATED\ BY\ +SIZE\ +COMMENT$ ]]
	[[ "${lines[1]}" =~ ^[0-9a-f]{12}\ +[0-9]+\ years\ ago\ +CMD\ \[\"sh\"\]\ +0B\ +a\ comment$ ]]
	[[ "${lines[2]}" == "<missing>"*"/bin/sh -c #(nop) ADD file:01234567890123456…"* ]]
	size=$(masu images --format '{{.Size}}' x)
	[ "$(masu history --format '{{.Size}}' x:1 | tail -1)" = "$size" ]
	[ "$(masu history -q --no-trunc x:1 | head -1)" = "$(masu image inspect -f '{{.Id}}' x:1)" ]
	run -0 env TZ=UTC "$MASU" history --human=false --format '{{.CreatedSince}} {{.Size}}' x:1
	[[ "${lines[1]}" =~ ^2020-01-02T03:04:05Z\ [0-9]{6,}$ ]]
	TZ=XXX-2 masu history --format json x:1 | jq -se '.[0].Comment == "a comment" and .[1].CreatedAt == "2020-01-02T05:04:05+02:00"'
}
