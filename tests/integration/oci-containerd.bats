#!/usr/bin/env bats
# masu behind containerd's runc.v2 shim: a containerd of the test's own, asked by ctr.

setup_file() {
	command -v containerd >/dev/null && command -v ctr >/dev/null || skip "needs containerd"
	source "$REPO/tests/lib/oracle.bash"
	make_busybox_root "$BATS_FILE_TMPDIR/rootfs"
	ln -s "$MASU" "$BATS_FILE_TMPDIR/masu-oci"
	mkdir -p /run/ctrd
	cat >"$BATS_FILE_TMPDIR/config.toml" <<-CONF
	version = 2
	root = "$BATS_FILE_TMPDIR/containerd"
	state = "/run/ctrd/state"
	disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.restart"]
	[grpc]
	  address = "/run/ctrd/sock"
	CONF
	containerd -c "$BATS_FILE_TMPDIR/config.toml" >"$BATS_FILE_TMPDIR/containerd.log" 2>&1 </dev/null 3>&- &
	echo $! >"$BATS_FILE_TMPDIR/pid"
	wait_until 20 ctr -a /run/ctrd/sock version >/dev/null 2>&1
}

teardown_file() {
	[ ! -e "$BATS_FILE_TMPDIR/pid" ] || kill "$(cat "$BATS_FILE_TMPDIR/pid")" || true
}

setup() {
	command -v containerd >/dev/null && command -v ctr >/dev/null || skip "needs containerd"
	source "$REPO/tests/lib/oracle.bash"
	NAME=c$BATS_TEST_NUMBER
}

teardown() {
	c task kill -s KILL "$NAME" >/dev/null 2>&1 || true
	c task rm -f "$NAME" >/dev/null 2>&1 || true
	c container rm "$NAME" >/dev/null 2>&1 || true
}

c() {
	ctr -a /run/ctrd/sock "$@" 3>&-
}

c_run() { # options, then the id and command
	c run --runc-binary "$BATS_FILE_TMPDIR/masu-oci" --runc-root "$BATS_TEST_TMPDIR/root" --rootfs "$@"
}

@test "run: output and exit status" {
	run c_run --rm "$BATS_FILE_TMPDIR/rootfs" "$NAME" /bin/sh -c 'echo hi; exit 3'
	[ "$status" -eq 3 ]
	[ "$output" = hi ]
	run c_run --rm "$BATS_FILE_TMPDIR/rootfs" "$NAME" /no/such/file
	[ "$status" -ne 0 ]
	[[ "$output" == *"no such file"* ]]
}

@test "a detached task: exec, pause, resume, ps, metrics, kill" {
	c_run -d "$BATS_FILE_TMPDIR/rootfs" "$NAME" /bin/sh -c 'trap "exit 4" TERM; while :; do sleep 0.1; done'
	c task ls | grep -q "$NAME .*RUNNING"
	run c task exec --exec-id e1 "$NAME" /bin/sh -c 'echo in; exit 6'
	[ "$status" -eq 6 ]
	[ "$output" = in ]
	c task pause "$NAME"
	c task ls | grep -q "$NAME .*PAUSED"
	c task resume "$NAME"
	c task ls | grep -q "$NAME .*RUNNING"
	c task ps "$NAME" | grep -q "[0-9]"
	c task kill -s TERM "$NAME"
	stopped() { c task ls | grep -q "$NAME .*STOPPED"; }
	wait_until 5 stopped
	run c task rm "$NAME"
	c container rm "$NAME"
	[ -z "$(find "$BATS_TEST_TMPDIR/root" -name state.json)" ]
}

@test "a terminal" {
	run script -qec "ctr -a /run/ctrd/sock run --runc-binary $BATS_FILE_TMPDIR/masu-oci --rootfs --rm -t \
		$BATS_FILE_TMPDIR/rootfs $NAME /bin/sh -c 'tty; exit 5'" /dev/null 3>&-
	[ "$status" -eq 5 ]
	[[ "$output" == *"/dev/pts/0"* ]]
}

@test "limits, privileges and the host's network" {
	run c_run --rm --memory-limit 67108864 --net-host --env A=b --cwd /tmp --seccomp "$BATS_FILE_TMPDIR/rootfs" "$NAME" \
		/bin/sh -c 'echo $A; pwd; grep Seccomp: /proc/self/status; readlink /proc/self/ns/net'
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = b ]
	[ "${lines[1]}" = /tmp ]
	[ "${lines[2]}" = "Seccomp:	2" ]
	[ "${lines[3]}" = "$(readlink /proc/self/ns/net)" ]
	c_run --rm --privileged "$BATS_FILE_TMPDIR/rootfs" "$NAME" /bin/sh -c 'test -w /proc/sys/kernel/hostname'
}
