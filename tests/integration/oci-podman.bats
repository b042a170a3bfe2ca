#!/usr/bin/env bats
# masu as podman's runtime, driven by conmon.

setup_file() {
	command -v podman >/dev/null && command -v conmon >/dev/null || skip "needs podman and conmon"
	source "$REPO/tests/lib/oracle.bash"
	export ORACLE_PODMAN_RUNROOT=/run/podman-test # podman wants it short
	make_busybox_root "$BATS_FILE_TMPDIR/rootfs"
	ln -s "$MASU" "$BATS_FILE_TMPDIR/masu-oci"
	tar -C "$BATS_FILE_TMPDIR/rootfs" -c . | oracle_podman import - localhost/busybox:1 >"$BATS_FILE_TMPDIR/import.log" 2>&1 || { cat "$BATS_FILE_TMPDIR/import.log" >&2; false; }
}

setup() {
	command -v podman >/dev/null && command -v conmon >/dev/null || skip "needs podman and conmon"
	source "$REPO/tests/lib/oracle.bash"
	export ORACLE_PODMAN_RUNROOT=/run/podman-test # podman wants it short
	NAME=p$BATS_TEST_NUMBER
}

teardown() {
	p rm -f -t 0 "$NAME" >/dev/null 2>&1 || true
}

# Nothing of podman may hold bats's own fds.
p() {
	oracle_podman --runtime "$BATS_FILE_TMPDIR/masu-oci" "$@" 3>&-
}

p_run() { # options and command
	p run --network none --name "$NAME" "$@"
}

@test "run: output, exit status, and the codes for what cannot be run" {
	run p_run --rm localhost/busybox:1 sh -c 'echo hi; exit 3'
	[ "$status" -eq 3 ]
	[ "$output" = hi ]
	run p_run --rm localhost/busybox:1 /no/such/file
	[ "$status" -eq 127 ]
	run p_run --rm localhost/busybox:1 nosuchfile
	[ "$status" -eq 127 ]
	run p_run --rm localhost/busybox:1 /etc
	[ "$status" -eq 126 ]
}

@test "stdin reaches the container and its end too" {
	[ "$(printf 'a\nb\n' | p_run -i --rm localhost/busybox:1 wc -l)" = 2 ]
}

@test "exec, top, pause, unpause, stop, logs, rm" {
	p_run -d localhost/busybox:1 sh -c 'trap "echo bye; exit 4" TERM; echo up; while :; do sleep 0.1; done' </dev/null
	run p exec "$NAME" sh -c 'echo in; exit 6'
	[ "$status" -eq 6 ]
	[ "$output" = in ]
	[ "$(echo text | p exec -i "$NAME" cat)" = text ]
	run p exec "$NAME" nosuch
	[ "$status" -eq 127 ]
	p exec -d "$NAME" touch /tmp/detached
	wait_until 5 p exec "$NAME" test -e /tmp/detached
	p top "$NAME" | grep -q sleep
	p pause "$NAME"
	[ "$(p inspect -f '{{.State.Status}}' "$NAME")" = paused ]
	p unpause "$NAME"
	p stop -t 10 "$NAME"
	[ "$(p inspect -f '{{.State.ExitCode}}' "$NAME")" = 4 ]
	p logs "$NAME" | grep -q bye
	p rm "$NAME"
}

@test "a terminal: run -t and exec -t" {
	# podman itself loses the output of a container that ends at once now and then, with crun too.
	for try in 1 2 3 4 5 6; do
		run script -qec "CONTAINERS_CONF=$BATS_FILE_TMPDIR/podman/containers.conf podman \
			--root $BATS_FILE_TMPDIR/podman/root --runroot $ORACLE_PODMAN_RUNROOT --storage-driver overlay \
			--runtime $BATS_FILE_TMPDIR/masu-oci run --network none --rm -it localhost/busybox:1 \
			sh -c 'tty; exit 5'" /dev/null 3>&-
		[ "$status" -eq 5 ]
		[ -z "$output" ] || break
	done
	[[ "$output" == *"/dev/pts/0"* ]]
	p_run -d localhost/busybox:1 sleep 100 </dev/null
	run p exec -t "$NAME" tty </dev/null
	[ "$status" -eq 0 ]
	[[ "$output" == *"/dev/pts/"* ]]
}

@test "what podman asks of a spec: user, limits, capabilities, read-only, tmpfs, volumes, sysctl" {
	mkdir -p "$BATS_TEST_TMPDIR/volume"
	echo data >"$BATS_TEST_TMPDIR/volume/file"
	run p_run --rm --user 1000:1000 --workdir /tmp --memory 64m --pids-limit 50 --cap-drop ALL --cap-add CHOWN \
		--read-only --tmpfs /scratch --hostname named --sysctl net.ipv4.ip_forward=1 \
		-v "$BATS_TEST_TMPDIR/volume:/volume:ro" --security-opt no-new-privileges localhost/busybox:1 \
		sh -c 'id -u; pwd; grep -E "CapBnd|NoNewPrivs|Seccomp:" /proc/self/status; touch /x 2>/dev/null || echo ro
			hostname; cat /volume/file; cat /proc/sys/net/ipv4/ip_forward'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = "1000
/tmp
CapBnd:	0000000000000001
NoNewPrivs:	1
Seccomp:	2
ro
named
data
1" ]
}

@test "privileged, user namespace" {
	p_run --rm --privileged localhost/busybox:1 sh -c 'test -w /proc/sys/kernel/hostname'
	run p_run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 localhost/busybox:1 \
		sh -c 'id -u; read a b c </proc/self/uid_map; echo $a $b $c'
	[ "$status" -eq 0 ]
	[ "$output" = "0
0 100000 65536" ]
}

@test "containers share namespaces in a pod" {
	p_run -d localhost/busybox:1 sleep 100 </dev/null
	run p run --rm --network "container:$NAME" --pid "container:$NAME" --ipc "container:$NAME" localhost/busybox:1 \
		sh -c 'ps | grep -c "sleep 100"'
	[ "$status" -eq 0 ]
	[ "$output" -ge 1 ]
}

@test "kill with a signal, and wait" {
	p_run -d localhost/busybox:1 sh -c 'trap "exit 9" USR1; while :; do sleep 0.1; done' </dev/null
	p kill -s USR1 "$NAME"
	[ "$(p wait "$NAME")" = 9 ]
}
