#!/usr/bin/env bats
# What keeps the image store in order, under everything at once: pulls, loads, imports, commits, runs, removals and
# prunes, a third of them killed somewhere. In the end nothing that is used is lost, nothing is left over, and
# `system df` says what a count by other means does. SECONDS_OF_IT (default 12): how long.

bats_require_minimum_version 1.5.0
load ../lib/oracle
load ../lib/registry

setup_file() {
	export MASU_ROOT=$BATS_FILE_TMPDIR/root MASU_RUNROOT=$BATS_FILE_TMPDIR/run IN=$BATS_FILE_TMPDIR/in
	export GROUP=/masu-gc-$$
	local number
	for number in 1 2 3; do
		mkdir -p "$IN/$number/files"
		cp "$(command -v busybox)" "$IN/$number/busybox"
		head -c "$((number * 100000))" /dev/urandom >"$IN/$number/files/random"
		ln "$IN/$number/files/random" "$IN/$number/files/linked"
		tar -C "$IN/$number" -cf "$IN/$number.tar" .
		"$MASU" import -c 'CMD ["/busybox","sleep","1000"]' "$IN/$number.tar" "image:$number"
	done
	"$MASU" save -o "$IN/both.tar" image:1 image:2
	skopeo copy -q "oci:$MASU_ROOT/images:image:3" "oci:$IN/layout:victim"
	registry_client_setup
	python3 "$REPO/tests/lib/hostile-registry.py" 5000 "$IN/layout" /dev/null 3>&- 4>&- &
	echo $! >"$BATS_FILE_TMPDIR/pid"
	wait_until 20 bash -c "exec 5<>/dev/tcp/127.0.0.1/5000" 2>/dev/null
	# Somebody's, that nobody may touch.
	"$MASU" import -c 'CMD ["/busybox","sleep","1000"]' "$IN/1.tar" kept:1
	"$MASU" run -d --name keeper --cgroup-parent "$GROUP" --network none kept:1 3>&- 4>&-
	"$MASU" exec keeper /busybox sh -c 'echo kept >/kept'
	"$MASU" commit keeper kept:2
}

teardown_file() {
	kill "$(cat "$BATS_FILE_TMPDIR/pid")"
	"$MASU" ps -aq | xargs -r "$MASU" rm -f
	rmdir /sys/fs/cgroup/*"$GROUP" /sys/fs/cgroup"$GROUP" 2>/dev/null || true
}

FORMATS=("" --layer-format=dir --layer-format=erofs)

# One of the commands, by its number; the images and containers that they are about are the same few.
one() {
	local of=$((RANDOM % 3 + 1)) name=work$((RANDOM % 3))
	case $1 in
	0) "$MASU" load -q -i "$IN/both.tar" ;;
	1) "$MASU" import ${FORMATS[RANDOM % 3]} -c "LABEL n=$RANDOM" "$IN/$of.tar" "image:$of" ;;
	2) "$MASU" pull -q 127.0.0.1:5000/good/victim:1 ;;
	3) "$MASU" run -d --name "$name" --cgroup-parent "$GROUP" --network none "image:$of" ;;
	4) "$MASU" exec "$name" /busybox sh -c "echo $RANDOM >/made" ;;
	5) "$MASU" commit "$name" "made:$of" ;;
	6) "$MASU" rm -f "$name" ;;
	7) "$MASU" rmi -f "$("$MASU" images -q --no-trunc | grep -v -f "$BATS_TEST_TMPDIR/kept" | shuf -n 1)" ;;
	8) "$MASU" rmi "made:$of" ;;
	9) "$MASU" image prune -f ;;
	10) "$MASU" run --rm --cgroup-parent "$GROUP" --network none "made:$of" /busybox true ;;
	esac >/dev/null 2>&1 3>&- 4>&- </dev/null
}

worker() {
	local end=$((SECONDS + $1)) pid
	while [ $SECONDS -lt $end ]; do
		one $((RANDOM % 11)) &
		pid=$!
		if [ $((RANDOM % 3)) -eq 0 ]; then
			sleep "0.0$((RANDOM % 10))"
			pkill -KILL -P "$pid" 2>/dev/null || true # its own child
		fi
		wait "$pid" 2>/dev/null || true
	done
}

# The bytes of images, of each image, and of those that others have too, by a look at the files.
count_by_hand() {
	python3 - "$MASU_ROOT" "$MASU" <<-'PY'
	import hashlib, json, os, subprocess, sys
	root, masu = sys.argv[1:]
	blobs = root + "/images/blobs/sha256/"
	def document(digest): return json.load(open(blobs + digest[7:]))
	def tree(path):
	    seen, total = set(), 0
	    for top, _, names in os.walk(path):
	        for name in names:
	            st = os.lstat(os.path.join(top, name))
	            if (st.st_mode & 0o170000) == 0o100000 and (st.st_dev, st.st_ino) not in seen:
	                seen.add((st.st_dev, st.st_ino))
	                total += st.st_size
	    return total
	def human(n, digits):
	    units = ["B", "kB", "MB", "GB"]
	    n, unit = float(n), 0
	    while n >= 1000: n, unit = n / 1000, unit + 1
	    return "%.*g%s" % (digits, n, units[unit])
	# Files of a directory; of a tar with its index both, but a tar that is a blob is one of those.
	def layer(name):
	    path = root + "/layers/overlay/" + name + "/"
	    if os.path.isdir(path + "diff"): return tree(path + "diff")
	    tar = os.stat(path + "tar")
	    return os.stat(path + "index").st_size + (tar.st_size if tar.st_nlink == 1 else 0)
	images = {}
	for entry in json.load(open(root + "/images/index.json"))["manifests"]:
	    manifest = document(entry["digest"])
	    config = document(manifest["config"]["digest"])
	    things = images.setdefault(manifest["config"]["digest"], set())
	    original = entry.get("annotations", {}).get("masu.original-manifest")
	    things.update(d for d in (entry["digest"], manifest["config"]["digest"], original) if d)
	    things.update(layer["digest"] for layer in manifest["layers"])
	    chain = ""
	    for diff in config["rootfs"]["diff_ids"]:
	        chain = "sha256:" + hashlib.sha256((chain + " " + diff).encode()).hexdigest() if chain else diff
	        things.add("layer " + chain[7:])
	size = {}
	for things in images.values():
	    for thing in things:
	        size[thing] = layer(thing[6:]) if thing.startswith("layer ") else os.stat(blobs + thing[7:]).st_size
	# What is on the disk is what is named, and the containers' own.
	for name in os.listdir(blobs): assert "sha256:" + name in size, "blob " + name + " is left over"
	kept = set()
	for container in os.listdir(root + "/containers"):
	    if not container.startswith("."):
	        kept.update(json.load(open(root + "/containers/" + container + "/container.json"))["Layers"])
	for name in os.listdir(root + "/layers/overlay"):
	    if not name.startswith("."):
	        assert "layer " + name in size or name in kept, "layer " + name + " is left over"
	        size.setdefault("layer " + name, layer(name))
	def masu_says(*args): return subprocess.run([masu, *args], stdout=subprocess.PIPE, check=True, text=True).stdout
	total = [json.loads(line)["Size"] for line in masu_says("system", "df", "--format", "{{json .}}").splitlines() if '"Images"' in line]
	assert total == [human(sum(size.values()), 4)], (total, sum(size.values()))
	told = json.loads(masu_says("system", "df", "-v", "--format", "{{json .Images}}"))
	assert len({row["ID"] for row in told}) == len(images), (told, images)
	for row in told:
	    image = next(i for i in images if row["ID"][7:19] in i or row["ID"] in i)
	    shared = sum(size[t] for t in images[image] if any(t in other for i, other in images.items() if i != image))
	    whole = sum(size[t] for t in images[image])
	    expected = (human(whole, 3), human(shared, 3), human(whole - shared, 3))
	    assert (row["Size"], row["SharedSize"], row["UniqueSize"]) == expected, (row, expected)
	print("%d images, %d containers' layers, %d bytes" % (len(images), len(kept), sum(size.values())))
	PY
}

nothing_waits() {
	[ -z "$(ls -A "$MASU_ROOT/trash" 2>/dev/null)" ]
}

@test "everything at once, and killed: nothing in use is lost, nothing is left, df tells the truth" {
	local workers=() name id
	"$MASU" images -q --no-trunc --filter reference='kept' | sort -u >"$BATS_TEST_TMPDIR/kept"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/kept")" = 2 ]
	for name in 1 2 3; do
		worker "${SECONDS_OF_IT:-12}" 3>&- &
		workers+=($!)
	done
	wait "${workers[@]}"
	# Killed commands are cleared up after by the next one.
	"$MASU" import "$IN/2.tar" last:1
	"$MASU" rmi last:1
	wait_until 20 nothing_waits || "$MASU" image prune -f
	run "$MASU" system check
	[ "$status" -eq 0 ] && [ -z "$output" ] || { echo "$output"; return 1; }
	count_by_hand
	# Every image that is listed runs, from its blobs too; containers have their files.
	[ "$("$MASU" exec keeper /busybox cat /kept)" = kept ]
	for id in $("$MASU" images -q --no-trunc | sort -u); do
		"$MASU" run --rm --cgroup-parent "$GROUP" --network none "$id" /busybox test -s /files/random
		"$MASU" save "$id" >/dev/null
	done
	# With the last container of it, an image that was removed before is gone for good.
	"$MASU" ps -aq | xargs -r "$MASU" rm -f
	"$MASU" images -q --no-trunc | sort -u | xargs -r "$MASU" rmi -f
	wait_until 20 nothing_waits
	[ -z "$(ls "$MASU_ROOT/layers/overlay" "$MASU_ROOT/images/blobs/sha256" | grep -v :)" ]
	"$MASU" system check
}

@test "an image that is removed while a container uses it: its layers go with the container" {
	echo only here >"$IN/3/only"
	tar -C "$IN/3" -cf "$IN/only.tar" .
	"$MASU" import -c 'CMD ["/busybox","true"]' "$IN/only.tar" orphan:1
	"$MASU" create --name child --cgroup-parent "$GROUP" --network none orphan:1
	"$MASU" rmi -f "$("$MASU" image inspect -f '{{.Id}}' orphan:1)"
	"$MASU" import "$IN/1.tar" other:1 # an edit of the store in between forgets nothing
	"$MASU" rmi other:1
	"$MASU" system check
	layers=$(ls "$MASU_ROOT/layers/overlay" | wc -l)
	"$MASU" start child
	"$MASU" rm -f child
	gone() { [ "$(ls "$MASU_ROOT/layers/overlay" | wc -l)" -eq $((layers - 1)) ]; }
	wait_until 10 gone
	# Also where it goes by itself.
	"$MASU" import -c 'CMD ["/busybox","sleep","1000"]' "$IN/only.tar" orphan:1
	"$MASU" run -d --rm --name child --cgroup-parent "$GROUP" --network none orphan:1 3>&- 4>&-
	"$MASU" rmi -f "$("$MASU" image inspect -f '{{.Id}}' orphan:1)"
	"$MASU" stop -t 0 child
	wait_until 10 gone
	"$MASU" system check
}
