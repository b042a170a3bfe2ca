#!/usr/bin/env bats
# Layers that are kept as their tar with an EROFS index: the same to a container as directories.

bats_require_minimum_version 1.5.0
load ../lib/engine

EROFS=--layer-format=erofs

setup_file() {
	engine_setup_file
	export IN=$BATS_FILE_TMPDIR/in BUSYBOX
	BUSYBOX=$(command -v busybox)
	mkdir "$IN"
	"$REPO/tests/lib/layered-image.py" "$IN/plain.tar" "$BUSYBOX" layered:1
	"$REPO/tests/lib/layered-image.py" "$IN/gzip.tar" "$BUSYBOX" layered:1 gzip
	tar -C "$BATS_FILE_TMPDIR/tree" -cf "$IN/tree.tar" .
}

teardown_file() {
	engine_teardown_file
}

# Every test has an empty store.
setup() {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
}

teardown() {
	remove_all
	unmount_layers
}

mounted() { awk -v root="$BATS_TEST_TMPDIR/" '$3 == "erofs" && index($2, root) == 1 { print $2 }' /proc/self/mounts; }

# What bats could not remove.
unmount_layers() {
	local path
	mounted | while read -r path; do umount "$path"; done
}

formats() { # image
	m image inspect --format '{{.GraphDriver.Data.LayerFormats}}' "$1"
}

# A running container's tree as its processes see it.
listing() { # image
	local id
	id=$(m_run -d "$1" sleep 1000)
	"$REPO/tests/lib/tree-listing.py" "/proc/$(field "$id" .State.Pid)/root" proc sys dev etc .dockerenv
	m rm -f "$id" >/dev/null
}

@test "a container sees the same tree, whatever its layers are kept as" {
	local kind
	for kind in plain gzip; do
		m load -q --layer-format=dir -i "$IN/$kind.tar"
		[ "$(formats layered:1)" = dir:dir ]
		listing layered:1 >"$BATS_TEST_TMPDIR/dir"
		m rmi layered:1 >/dev/null
		m load -q $EROFS -i "$IN/$kind.tar"
		[ "$(formats layered:1)" = erofs:erofs ]
		listing layered:1 >"$BATS_TEST_TMPDIR/erofs"
		m rmi layered:1 >/dev/null
		[ "$(wc -l <"$BATS_TEST_TMPDIR/dir")" -gt 2500 ]
		diff "$BATS_TEST_TMPDIR/dir" "$BATS_TEST_TMPDIR/erofs"
	done
	[ -z "$(mounted)" ]
}

@test "a layer that is mixed with directories, and one that comes again" {
	m load -q $EROFS -i "$IN/plain.tar"
	m rmi layered:1 >/dev/null
	m load -q --layer-format=dir -i "$IN/plain.tar"
	# What is there is used as it is.
	m load -q $EROFS -i "$IN/plain.tar"
	[ "$(formats layered:1)" = dir:dir ]
	m import $EROFS "$IN/tree.tar" one:1 >/dev/null
	m tag one:1 two:1
	[ "$(formats two:1)" = erofs ]
	m rmi one:1 >/dev/null
	m_run --rm two:1 cat /data/hello | grep -qx "from the image"
}

@test "an uncompressed layer is on the disk once" {
	local layer
	m import $EROFS "$IN/tree.tar" box:1 >/dev/null
	layer=$(echo "$MASU_ROOT"/layers/overlay/*/)
	[ "$(stat -c %h "$layer/tar")" = 2 ]
	[ "$(stat -c %i "$layer/tar")" = "$(stat -c %i "$MASU_ROOT"/images/blobs/sha256/"$(sha256sum "$IN/tree.tar" | cut -d' ' -f1)")" ]
}

# The files of the store that are not documents: inode and name.
layer_files() {
	find "$MASU_ROOT"/images/blobs "$MASU_ROOT"/layers/overlay/*/tar "$MASU_ROOT"/layers/overlay/*/index -size +2 -printf '%i %p\n' | sort
}

@test "what comes again leaves blobs and layers alone, and a damaged blob is replaced" {
	local blob before
	m import $EROFS "$IN/tree.tar" box:1 >/dev/null
	blob=$MASU_ROOT/images/blobs/sha256/$(sha256sum "$IN/tree.tar" | cut -d' ' -f1)
	layer_files >"$BATS_TEST_TMPDIR/once"
	grep -q "$blob" "$BATS_TEST_TMPDIR/once"
	m import $EROFS "$IN/tree.tar" box:1 >/dev/null
	m import $EROFS -c 'LABEL another=one' "$IN/tree.tar" box:2 >/dev/null
	layer_files | diff "$BATS_TEST_TMPDIR/once" -
	# Above another layer it is another layer, of the same file.
	m save -o "$BATS_TEST_TMPDIR/box.tar" box:1
	m load -q -i "$BATS_TEST_TMPDIR/box.tar"
	layer_files | diff "$BATS_TEST_TMPDIR/once" -
	m load -q $EROFS -i "$IN/plain.tar"
	layer_files >"$BATS_TEST_TMPDIR/loaded"
	m load -q $EROFS -i "$IN/plain.tar"
	layer_files | diff "$BATS_TEST_TMPDIR/loaded" -
	# A commit of the same change is the same layer.
	m_create --name worker box:1 true >/dev/null
	m cp "$BUSYBOX" worker:/more
	m commit worker made:1 >/dev/null
	layer_files >"$BATS_TEST_TMPDIR/committed"
	m commit worker made:2 >/dev/null
	layer_files | diff "$BATS_TEST_TMPDIR/committed" -
	# Other bytes under the name, as many as there should be.
	before=$(stat -c %i "$blob")
	printf damaged | dd of="$blob" bs=1 seek=3000 conv=notrunc status=none
	m import $EROFS "$IN/tree.tar" box:1 >/dev/null
	cmp "$blob" "$IN/tree.tar"
	[ "$(stat -c %i "$blob")" != "$before" ]
}

@test "a layer on another layer, too, is one tar on the disk" {
	local dir=$BATS_TEST_TMPDIR/image tree
	tree=sha256:$(sha256sum "$IN/tree.tar" | cut -d' ' -f1)
	m import $EROFS "$IN/tree.tar" box:1 >/dev/null
	mkdir "$dir"
	tar -C "$BATS_TEST_DIRNAME" -cf "$dir/lower" layers.bats
	cp "$IN/tree.tar" "$dir/upper"
	jq -n --arg lower "sha256:$(sha256sum "$dir/lower" | cut -d' ' -f1)" --arg upper "$tree" \
		'{architecture: "amd64", os: "linux", config: {}, rootfs: {type: "layers", diff_ids: [$lower, $upper]}}' >"$dir/config.json"
	echo '[{"Config": "config.json", "RepoTags": ["two:1"], "Layers": ["lower", "upper"]}]' >"$dir/manifest.json"
	m load -q $EROFS -i "$dir"
	[ "$(formats two:1)" = erofs:erofs ]
	# The blob and a name in each of the two layers.
	[ "$(stat -c %h "$MASU_ROOT/images/blobs/sha256/${tree#sha256:}")" = 3 ]
}

@test "the first containers of a layer mount it once, and it goes with the layer" {
	local i path
	m import $EROFS "$IN/tree.tar" box:1 >/dev/null
	[ -z "$(mounted)" ]
	for i in 1 2 3 4 5 6 7 8; do
		m_run --rm box:1 cat /data/hello >"$BATS_TEST_TMPDIR/out$i" &
	done
	wait
	for i in 1 2 3 4 5 6 7 8; do
		grep -qx "from the image" "$BATS_TEST_TMPDIR/out$i"
	done
	[ "$(mounted | wc -l)" = 1 ]
	# Taken away by somebody, with a container on it.
	m_run -d --name up box:1 sleep 100 >/dev/null
	path=$(mounted)
	umount "$path"
	m exec up cat /data/hello | grep -qx "from the image"
	m_run --rm box:1 true
	[ "$(mounted)" = "$path" ]
	m rm -f up >/dev/null
	run -0 m system check
	[ -z "$output" ]
	m rmi box:1 >/dev/null
	[ -z "$(mounted)" ]
	wait_until 20 behind_is_done
	run -0 m system check
	[ -z "$output" ]
}

@test "a tar that is not in memory is read around the cache: no byte is there twice" {
	local layer size=8388608
	mkdir "$BATS_TEST_TMPDIR/big"
	cp "$BUSYBOX" "$BATS_TEST_TMPDIR/big/cat"
	head -c $size /dev/urandom >"$BATS_TEST_TMPDIR/big/file"
	tar -C "$BATS_TEST_TMPDIR/big" -cf "$BATS_TEST_TMPDIR/big.tar" .
	m import $EROFS "$BATS_TEST_TMPDIR/big.tar" big:1 >/dev/null
	layer=$(ls -d "$MASU_ROOT"/layers/overlay/????????*)
	sync -f "$layer"
	dd if="$layer/tar" iflag=nocache count=0 2>/dev/null
	[ "$(fincore -nbo RES "$layer/tar" | tr -d ' ')" = 0 ] || skip "the filesystem keeps files in memory"
	m_run --rm big:1 /cat /file | cmp - "$BATS_TEST_TMPDIR/big/file"
	grep -F "$layer/fs " /proc/self/mountinfo | grep -q ',directio' || skip "kernel or filesystem cannot read around the cache"
	[ "$(fincore -nbo RES "$layer/fs/file" | tr -d ' ')" = $size ]
	[ "$(fincore -nbo RES "$layer/tar" | tr -d ' ')" -lt $((size / 8)) ]
}

@test "a mount that a killed removal left goes with the trash" {
	local layer
	m import $EROFS "$IN/tree.tar" box:1 >/dev/null
	m_run --rm box:1 true
	wait_until 20 behind_is_done
	layer=$(mounted)
	layer=${layer%/fs}
	mkdir -p "$MASU_ROOT/trash"
	mv "$layer" "$MASU_ROOT/trash/layer-${layer##*/}"
	[ "$(mounted)" = "$MASU_ROOT/trash/layer-${layer##*/}/fs" ]
	m system check --repair
	[ -z "$(mounted)" ]
	[ -z "$(ls "$MASU_ROOT/trash")" ]
	run -0 m system check
	m_run --rm box:1 true
}

@test "the bytes of a layer with links and names that come again are what is left of them" {
	local format
	for format in dir erofs; do
		m load -q --layer-format=$format -i "$IN/plain.tar"
		m system check
		m images --format '{{.Size}}' | tee -a "$BATS_TEST_TMPDIR/sizes"
		m rmi layered:1 >/dev/null
	done
	[ "$(uniq "$BATS_TEST_TMPDIR/sizes" | wc -l)" = 1 ]
}

# Bytes of the store's files, each once whatever its names.
bytes_on_disk() {
	find "$MASU_ROOT"/images/blobs "$MASU_ROOT"/layers/overlay/*/tar "$MASU_ROOT"/layers/overlay/*/index -type f -printf '%i %s\n' |
		sort -u | awk '{ sum += $2 } END { print sum }'
}

@test "system df counts a tar that is the blob, too, once" {
	local kind
	for kind in plain gzip; do
		m load -q $EROFS -i "$IN/$kind.tar"
		run -0 m system df --format '{{json .}}'
		[ "$(jq -r 'select(.Type == "Images").Size' <<<"$output")" = "$(bytes_on_disk | awk '{ printf "%.4gMB", $1 / 1e6 }')" ]
		m rmi layered:1 >/dev/null
	done
}

@test "by itself: the tar where the kernel mounts it, a directory where it cannot be or the index is full" {
	local disk=$BATS_TEST_TMPDIR/memory debug=$REPO/build-debug/bin/masu
	m import "$IN/tree.tar" box:1 >/dev/null
	[ "$(formats box:1)" = erofs ]
	m load -q -i "$IN/gzip.tar"
	[ "$(formats layered:1)" = erofs:erofs ]
	m_run --name from box:1 sh -c 'echo more >/more'
	m commit from made:1 >/dev/null
	[ "$(formats made:1)" = erofs:erofs ]
	m_run --rm made:1 cat /more /data/hello | tr '\n' , | grep -qx 'more,from the image,'
	m rm from >/dev/null
	m rmi box:1 layered:1 made:1 >/dev/null
	mkdir "$disk"
	mount -t tmpfs none "$disk"
	MASU_ROOT=$disk/root m import "$IN/tree.tar" box:1 >/dev/null
	[ "$(MASU_ROOT=$disk/root formats box:1)" = dir ]
	umount "$disk"
	[ -x "$debug" ] || skip "what does not fit into an index: tools/build debug"
	# The one layer with more than one attribute is too much for this index.
	export MASU_TEST_WITHOUT=index-room MASU_LIBEXEC=${debug%/*}/libexec/masu ASAN_OPTIONS=detect_leaks=0
	"$debug" load -q -i "$IN/plain.tar"
	[ "$(formats layered:1)" = erofs:dir ]
	m rmi layered:1 >/dev/null
	run -1 "$debug" load -q $EROFS -i "$IN/plain.tar"
	[[ "$output" == *"--layer-format=dir"* ]]
}

@test "system check finds a layer that is mounted twice, and a mount of one that is gone" {
	local path
	m import $EROFS "$IN/tree.tar" box:1 >/dev/null
	m_run -d --name up box:1 sleep 100 >/dev/null
	path=$(mounted)
	mount --bind "$path" "$path"
	run -1 m system check
	[ "$output" = "$path: the files of a layer, mounted once more than needed; with --repair it is unmounted; containers keep theirs" ]
	run -0 m system check --repair
	[ "$(mounted)" = "$path" ]
	m exec up cat /data/hello | grep -qx "from the image"
	m rm -f up >/dev/null
	mv "${path%/fs}/layer.json" "$BATS_TEST_TMPDIR/layer.json"
	run -1 m system check
	[[ "$output" == *"$path: the files of a layer that is gone; with --repair it is unmounted"* ]]
	mv "$BATS_TEST_TMPDIR/layer.json" "${path%/fs}/layer.json"
	run -0 m system check
}

@test "a damaged index or tar is found, and made again as it was" {
	local layer file
	m load -q $EROFS -i "$IN/gzip.tar"
	for file in index tar; do
		layer=$(ls -d "$MASU_ROOT"/layers/overlay/*/ | head -1)
		printf damaged | dd of="$layer/$file" bs=1 seek=3000 conv=notrunc status=none
		run -1 m system check
		[[ "$output" == *"has another tar or index than was made; with --repair it is unpacked again from its blob" ]]
		run -0 m system check --repair
		m system check
		[ "$(formats layered:1)" = erofs:erofs ]
	done
	layer=$(ls -d "$MASU_ROOT"/layers/overlay/*/ | head -1)
	: >"$layer/index"
	run -125 m_run --rm layered:1 true
	[[ "$output" == *"index of a layer of its image is damaged; run masu system check"* ]]
	rm -r "$layer"
	run -125 m_run --rm layered:1 true
	[[ "$output" == *"a layer of its image is missing"* ]]
	m system check --repair
	m_run --rm layered:1 true
}

@test "what reads an image reads it in either format" {
	local id
	m load -q $EROFS -i "$IN/gzip.tar"
	m save layered:1 | sha256sum >"$BATS_TEST_TMPDIR/erofs"
	id=$(m_run -d layered:1 sh -c 'echo more >/d/one; touch /new; sleep 100')
	wait_until 10 bash -c "m diff $id 2>/dev/null | grep -q new" || true
	[ "$(m diff "$id" | grep -v -e /etc -e /run -e /dev | sort)" = $'A /new\nC /d\nC /d/one' ]
	m cp "$id:/d/page" "$BATS_TEST_TMPDIR/page"
	python3 -c "assert open('$BATS_TEST_TMPDIR/page', 'rb').read() == bytes(range(256)) * 41"
	m export "$id" | tar -tf - | grep -qx 'd/hard1'
	m rm -f "$id" >/dev/null
	m rmi layered:1 >/dev/null
	m load -q --layer-format=dir -i "$IN/gzip.tar"
	m save layered:1 | sha256sum >"$BATS_TEST_TMPDIR/dir"
	cmp "$BATS_TEST_TMPDIR/erofs" "$BATS_TEST_TMPDIR/dir"
	m system df >/dev/null
}

@test "a tmpfs and other words are refused by name" {
	run -1 m import --layer-format=zip "$IN/tree.tar" box:1
	[[ "$output" == *"--layer-format=zip: it is dir or erofs"* ]]
	mkdir "$BATS_TEST_TMPDIR/memory"
	mount -t tmpfs none "$BATS_TEST_TMPDIR/memory"
	MASU_ROOT=$BATS_TEST_TMPDIR/memory/root run -1 m import $EROFS "$IN/tree.tar" box:1
	umount "$BATS_TEST_TMPDIR/memory"
	[[ "$output" == *"--layer-format=erofs: the kernel cannot mount layers from files of --root"* ]]
}

@test "hostile archives: what is refused as a directory is refused as a tar, and the rest is the same" {
	mkdir "$BATS_TEST_TMPDIR/hostile"
	run python3 "$REPO/tests/corpus/run_hostile.py" "$MASU" "$BATS_TEST_TMPDIR/hostile" $EROFS
	echo "$output"
	[ "$status" = 0 ]
	[[ "${lines[-1]}" =~ ^([0-9]+)" archives, 0 failed"$ ]]
	[ "${BASH_REMATCH[1]}" -ge 200 ]
}
