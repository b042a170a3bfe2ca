#!/usr/bin/env bats
# The lifecycle against a model of it: SEQUENCES (default 40) random walks of verbs and kills.
# 10,000 of them by hand: SEQUENCES=10000 FILE_TIMEOUT=36000 tests/run-integration tests/torture/model.bats

load ../lib/oracle

setup_file() {
	export MASU_ROOT=$BATS_FILE_TMPDIR/root MASU_RUNROOT=$BATS_FILE_TMPDIR/run PARENT=/masu-model-$$
	make_busybox_root "$BATS_FILE_TMPDIR/rootfs"
	tar -C "$BATS_FILE_TMPDIR/rootfs" --numeric-owner -c . | "$MASU" import - busybox:local
}

teardown_file() {
	local id
	for id in $("$MASU" ps -aq); do
		"$MASU" rm -f "$id" >/dev/null || true
	done
	find /sys/fs/cgroup -depth -type d -path "*$PARENT*" -exec rmdir {} \; 2>/dev/null || true
}

@test "random verb sequences with kills: no lost container, no wrong state, nothing left" {
	run python3 "$REPO/tests/torture/model.py" --sequences "${SEQUENCES:-40}" --seed "${SEED:-1}" 3>&-
	echo "$output"
	[ "$status" -eq 0 ]
	echo "# $output" >&3
}
