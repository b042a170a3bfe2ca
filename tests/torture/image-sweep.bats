#!/usr/bin/env bats
# The image store under faults: a load, import, pull or commit that is killed, or one of whose calls fails, at any
# state-changing system call. The images that were there stay, the same command then succeeds, and
# after rmi the store is as it was, byte for byte in its index. POINTS (default 30) points a command are
# sampled evenly; POINTS=0 takes every one.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/registry
load ../lib/sample

setup_file() {
	export MASU_ROOT=$BATS_FILE_TMPDIR/root MASU_RUNROOT=$BATS_FILE_TMPDIR/run
	export STEPPER=$BATS_FILE_TMPDIR/stepper IN=$BATS_FILE_TMPDIR/in
	gcc -O1 -Wall -D_GNU_SOURCE "$REPO/tests/torture/stepper.c" -o "$STEPPER"
	mkdir -p "$IN/a/etc" "$IN/b"
	echo base >"$IN/b/base"
	cp "$(command -v busybox)" "$IN/a"
	tar -C "$IN/b" -cf "$IN/base.tar" .
	tar -C "$IN/a" -cf "$IN/image.tar" .
	"$MASU" import "$IN/base.tar" base:1
	"$MASU" import "$IN/image.tar" victim:1
	"$MASU" save -o "$IN/victim.tar" victim:1
	skopeo copy -q "oci:$MASU_ROOT/images:victim:1" "oci:$IN/layout:victim"
	"$MASU" rmi victim:1
	# For commit: a container that runs and one that does not, with a volume each. Its image has to run.
	export GROUP=/masu-sweep-$$
	tar -C "$IN/a" -cf - . | "$MASU" import -c 'CMD ["/busybox","sleep","1000"]' - runs:1
	"$MASU" run -d --name up --cgroup-parent "$GROUP" --network none -v up:/v runs:1 3>&- 4>&-
	"$MASU" run --name down --cgroup-parent "$GROUP" --network none -v down:/v runs:1 /busybox mknod /v/null c 1 3 3>&- 4>&-
	"$MASU" exec up /busybox sh -c '/busybox rm -r /etc; echo x >/x; echo v >/v/file' 3>&- 4>&-
	registry_client_setup
	python3 "$REPO/tests/lib/hostile-registry.py" 5000 "$IN/layout" /dev/null 3>&- 4>&- &
	echo $! >"$BATS_FILE_TMPDIR/pid"
	wait_until 20 bash -c "exec 5<>/dev/tcp/127.0.0.1/5000" 2>/dev/null
}

teardown_file() {
	kill "$(cat "$BATS_FILE_TMPDIR/pid")"
	"$MASU" rm -f up down
	rmdir /sys/fs/cgroup/*"$GROUP" /sys/fs/cgroup"$GROUP" 2>/dev/null || true
}

setup() {
	VICTIM=victim:1
}

store() {
	find "$MASU_ROOT" -printf '%y %P\n' | grep -v -e '^f containers/.*/state.json' -e work/work -e images/.masu/resolved/ | sort
	sha256sum "$MASU_ROOT/images/index.json"
}

# Puts the store back and compares it with $before.
unchanged() {
	"$MASU" rmi "$VICTIM" >/dev/null 2>&1
	# A commit that was killed when it was done, and made again, is another image: it has another date.
	"$MASU" image prune -f >/dev/null
	[ -n "$("$MASU" images -q base:1)" ] || { echo "base:1 is lost"; return 1; }
	[ "$("$MASU" ps -q --filter name=up --filter status=running | wc -l)" = 1 ] || { echo "up does not run"; return 1; }
	diff <(echo "$before") <(store)
}

# sweep FAULT ARGUMENT...: "kill", or an errno.
sweep() {
	local fault=$1 before total at step=1 points=${POINTS:-30} what=(kill)
	shift
	# The first of its kind leaves folders.
	"$MASU" "$@" </dev/null >/dev/null
	"$MASU" rmi "$VICTIM" >/dev/null
	before=$(store)
	total=$("$STEPPER" count "$MASU" "$@" 3>&1 >/dev/null 2>/dev/null)
	unchanged
	[ "$total" -gt 50 ]
	[ "$points" -eq 0 ] || [ "$total" -le "$points" ] || step=$((total / points))
	sample_points
	for ((at = 1 + RANDOM % step; at <= total; at += step)); do
		what=(kill $at)
		[ "$fault" = kill ] || what=(error $at "$fault")
		status=0
		"$STEPPER" "${what[@]}" "$MASU" "$@" </dev/null >/dev/null 2>&1 || status=$?
		if [ "$fault" != kill ] && [ "$status" -eq 0 ] && [ -z "$("$MASU" images -q "$VICTIM")" ]; then
			echo "call $at of $total: acknowledged, but not so"
			return 1
		fi
		# A killed command's workers die a moment after it.
		for _ in {1..200}; do
			run "$MASU" "$@" </dev/null
			[ "$status" -eq 0 ] || { echo "call $at of $total: then $output"; return 1; }
			unchanged >/dev/null && continue 2
			sleep 0.05
		done
		unchanged || { echo "call $at of $total: left behind"; return 1; }
	done
}

@test "a load that is killed" {
	sweep kill load -q -i "$IN/victim.tar"
}

@test "a load on a full disk" {
	sweep 28 load -q -i "$IN/victim.tar" # ENOSPC
}

@test "a load without file descriptors" {
	sweep 24 load -q -i "$IN/victim.tar" # EMFILE
}

@test "an import that is killed" {
	sweep kill import "$IN/image.tar" victim:1
}

@test "an import on a broken disk" {
	sweep 5 import "$IN/image.tar" victim:1 # EIO
}

@test "a pull that is killed" {
	VICTIM=127.0.0.1:5000/good/victim:1
	sweep kill pull -q "$VICTIM"
}

@test "a pull on a full disk" {
	VICTIM=127.0.0.1:5000/good/victim:1
	sweep 28 pull -q "$VICTIM" # ENOSPC
}

@test "a pull without file descriptors" {
	VICTIM=127.0.0.1:5000/good/victim:1
	sweep 24 pull -q "$VICTIM" # EMFILE
}

@test "a commit of a running container that is killed: the container goes on" {
	sweep kill commit -q --include-volumes up victim:1
}

@test "a commit of a container that does not run, killed" {
	sweep kill commit -q --include-volumes down victim:1
}

@test "a commit on a full disk, without file descriptors, on a broken disk" {
	sweep 28 commit -q --include-volumes up victim:1 # ENOSPC
	sweep 24 commit -q --include-volumes up victim:1 # EMFILE
	sweep 5 commit -q --include-volumes up victim:1	 # EIO
}

# The archive of a container with a volume, in a root of its own.
moved_root() {
	"$MASU" container export --with-volumes -o "$IN/moved.tar" down
	export MASU_ROOT=$BATS_TEST_TMPDIR/root MASU_RUNROOT=$BATS_TEST_TMPDIR/run
}

# Everything of the container, or nothing.
arrived_or_not() {
	local containers
	containers=$("$MASU" ps -aq | wc -l)
	[ "$("$MASU" volume ls -q | wc -l)" = "$containers" ] || { echo "$containers containers, other volumes"; return 1; }
	[ "$containers" = 0 ] || [ -c "$MASU_ROOT/volumes/down/_data/null" ]
}

@test "a container's import that is killed: container and volume come together or not at all" {
	local total at step command
	moved_root
	command="'$MASU' container import '$IN/moved.tar'"
	total=$("$STEPPER" count sh -c "$command" 3>&1 >/dev/null 2>/dev/null)
	"$MASU" rm -v down
	step=$((total / ${POINTS:-12} + 1))
	for ((at = 1 + RANDOM % step; at <= total; at += step)); do
		"$MASU" volume rm -f down
		"$STEPPER" kill $at sh -c "$command" </dev/null >/dev/null 2>&1 || true
		arrived_or_not || { echo "killed at $at of $total"; return 1; }
		if [ -z "$("$MASU" ps -aq)" ]; then
			sh -c "$command" || { echo "killed at $at of $total: the same import then fails"; return 1; }
			arrived_or_not
		fi
		"$MASU" rm down
	done
	"$MASU" volume rm -f down
	run "$MASU" system check --repair
	run "$MASU" system check
	[ "$status" -eq 0 ] || { echo "$output"; false; }
}

@test "a volume's import that is killed, then made again" {
	local total at step command
	mkdir -p "$IN/files/dir"
	for at in 1 2 3 4 5 6 7 8; do echo $at >"$IN/files/dir/$at"; done
	tar -C "$IN/files" -cf "$IN/files.tar" .
	command="'$MASU' volume import into '$IN/files.tar'"
	"$MASU" volume create into
	total=$("$STEPPER" count sh -c "$command" 3>&1 >/dev/null 2>/dev/null)
	step=$((total / ${POINTS:-12} + 1))
	for ((at = 1 + RANDOM % step; at <= total; at += step)); do
		"$MASU" volume rm into
		"$MASU" volume create into
		echo own >"$MASU_ROOT/volumes/into/_data/own"
		"$STEPPER" kill $at sh -c "$command" </dev/null >/dev/null 2>&1 || true
		[ "$(cat "$MASU_ROOT/volumes/into/_data/own")" = own ]
		sh -c "$command" || { echo "killed at $at of $total: the same import then fails"; return 1; }
		rm "$MASU_ROOT/volumes/into/_data/own"
		diff -r "$IN/files" "$MASU_ROOT/volumes/into/_data"
	done
	"$MASU" volume rm into
}
