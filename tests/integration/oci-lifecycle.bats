#!/usr/bin/env bats
# `masu oci`: the operations of runtime.md and runc's command line around them.

setup_file() {
	source "$REPO/tests/lib/oci.bash"
	oci_setup_file
}

setup() {
	source "$REPO/tests/lib/oci.bash"
}

teardown() {
	oci_teardown
}

status_is() {
	[ "$(oci_status "$ID")" = "$1" ]
}

@test "run gives the process's output and exit status, and leaves nothing" {
	oci_bundle 'echo hello; exit 7'
	run oci run -b "$BUNDLE" "$ID"
	[ "$status" -eq 7 ]
	[ "$output" = hello ]
	[ -z "$(ls "$OCI_ROOT")" ]
	! ls -d /sys/fs/cgroup/*/masu/"$ID" 2>/dev/null
}

@test "a process killed by a signal gives 128 + signal" {
	oci_bundle 'kill -TERM 1; trap "exit 3" TERM; kill -KILL $$; sleep 5'
	config '.linux.namespaces |= map(select(.type != "pid"))'
	run oci run -b "$BUNDLE" "$ID"
	[ "$status" -eq 137 ]
}

@test "create, start, kill, delete go through the states of the specification" {
	oci_bundle 'sleep 100'
	oci_create "$ID" --pid-file "$BATS_TEST_TMPDIR/pid"
	status_is created
	pid=$(cat "$BATS_TEST_TMPDIR/pid")
	[ "$pid" = "$(oci state "$ID" | jq .pid)" ]
	[ "$(readlink /proc/"$pid"/ns/pid)" != "$(readlink /proc/self/ns/pid)" ]
	oci start "$ID"
	status_is running
	wait_until 5 eval "tr '\0' ' ' </proc/$pid/cmdline | grep -q sleep"
	run oci start "$ID"
	[ "$status" -ne 0 ]
	[[ "$output" == *"already running"* ]]
	run oci delete "$ID"
	[ "$status" -ne 0 ]
	status_is running
	oci kill "$ID" SIGKILL
	wait_until 5 status_is stopped
	[ "$(oci state "$ID" | jq .pid)" = 0 ]
	run oci kill "$ID" KILL
	[ "$status" -ne 0 ]
	[[ "$output" == *"container not running"* ]]
	run oci start "$ID"
	[ "$status" -ne 0 ]
	oci delete "$ID"
	run oci state "$ID"
	[ "$status" -ne 0 ]
	[[ "$output" == *"does not exist"* ]]
}

@test "a created container is deleted with its waiting process" {
	oci_bundle 'true'
	oci_create "$ID"
	pid=$(oci state "$ID" | jq .pid)
	oci delete "$ID"
	[[ "$(cat /proc/"$pid"/stat 2>/dev/null)" =~ ^$|\)\ Z ]]
	[ -z "$(ls "$OCI_ROOT")" ]
}

@test "delete --force ends a running container, and is content with none" {
	oci_bundle 'trap "" TERM; while :; do sleep 1; done'
	oci_create "$ID"
	oci start "$ID"
	oci delete --force "$ID"
	[ -z "$(ls "$OCI_ROOT")" ]
	oci delete --force "$ID"
	run oci delete "$ID"
	[ "$status" -ne 0 ]
}

@test "an id is taken once, and odd ids are refused" {
	oci_bundle 'sleep 100'
	oci_create "$ID"
	run oci create -b "$BUNDLE" "$ID"
	[ "$status" -ne 0 ]
	[[ "$output" == *"exists"* ]]
	status_is created
	for id in '' . .. ../../x a/b "$(printf 'a%.0s' {1..300})" 'a b'; do
		run oci create -b "$BUNDLE" "$id"
		[ "$status" -ne 0 ]
		[[ "$output" == *"invalid container id"* ]]
	done
}

@test "100 creates of one id at once: one winner" {
	oci_bundle 'sleep 100'
	for i in {1..100}; do
		(oci create -b "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 3>&- && echo won >>"$BATS_TEST_TMPDIR/won") &
	done
	wait
	[ "$(wc -l <"$BATS_TEST_TMPDIR/won")" -eq 1 ]
	status_is created
	[ "$(oci list -q)" = "$ID" ]
}

@test "list prints what runc's callers read" {
	oci_bundle 'sleep 100'
	config '.annotations = {"a.b": "c"}'
	oci_create "$ID"
	[ "$(oci list -f json | jq -r '.[0] | [.id, .status, .bundle, .annotations["a.b"], .owner] | join(" ")')" = \
		"$ID created $BUNDLE c root" ]
	oci list | grep -q "^$ID .*created"
	[ "$(oci list -q)" = "$ID" ]
}

@test "pause and resume; no exec in between unless asked for" {
	oci_bundle 'while :; do sleep 0.05; done'
	oci_create "$ID"
	oci start "$ID"
	oci pause "$ID"
	status_is paused
	run oci exec "$ID" true
	[ "$status" -ne 0 ]
	[[ "$output" == *"paused container"* ]]
	oci resume "$ID"
	status_is running
	oci exec "$ID" true
}

@test "SIGKILL ends a paused container" {
	oci_bundle 'sleep 100'
	oci_create "$ID"
	oci start "$ID"
	oci pause "$ID"
	oci kill "$ID" KILL
	wait_until 5 status_is stopped
}

@test "delete --force ends a paused container" {
	oci_bundle 'sleep 100'
	oci_create "$ID"
	oci start "$ID"
	oci pause "$ID"
	oci delete -f "$ID"
	[ -z "$(ls "$OCI_ROOT")" ]
}

@test "update changes limits from flags and from a file" {
	oci_bundle 'sleep 100'
	oci_create "$ID"
	oci start "$ID"
	oci update --memory 64m --pids-limit 17 "$ID"
	echo '{"cpu": {"shares": 512}}' | oci update -r - "$ID"
	if [ -d /sys/fs/cgroup/memory ]; then
		[ "$(cat /sys/fs/cgroup/memory/masu/"$ID"/memory.limit_in_bytes)" = 67108864 ]
		[ "$(cat /sys/fs/cgroup/pids/masu/"$ID"/pids.max)" = 17 ]
		[ "$(cat /sys/fs/cgroup/cpu/masu/"$ID"/cpu.shares)" = 512 ]
	else
		[ "$(cat /sys/fs/cgroup/masu/"$ID"/memory.max)" = 67108864 ]
	fi
	run oci update --l3-cache-schema x "$ID"
	[ "$status" -ne 0 ]
}

@test "ps lists the pids that the host sees" {
	oci_bundle 'sleep 100 & sleep 100'
	oci_create "$ID"
	oci start "$ID"
	two() { [ "$(oci ps "$ID" | grep -c '[0-9]')" -ge 2 ]; }
	wait_until 5 two
	for pid in $(oci ps -f json "$ID" | jq '.[]'); do
		kill -0 "$pid"
	done
}

@test "kill --all reaches what has no pid namespace of its own" {
	oci_bundle 'sleep 1000 & sleep 1000 & wait'
	config '.linux.namespaces |= map(select(.type != "pid"))'
	oci_create "$ID"
	oci start "$ID"
	three() { [ "$(oci ps "$ID" | grep -c '[0-9]')" -ge 3 ]; }
	wait_until 5 three
	pids=$(oci ps -f json "$ID" | jq '.[]')
	oci kill --all "$ID" KILL
	wait_until 5 status_is stopped
	for pid in $pids; do
		[[ "$(cat /proc/"$pid"/stat 2>/dev/null)" =~ ^$|\)\ Z ]]
	done
	oci delete "$ID"
}

@test "the container ends with its creator when that dies before the creation was acknowledged" {
	oci_bundle 'true'
	# A hook that never ends holds the creation where it can be killed.
	config '.hooks.createRuntime = [{"path": "/bin/sleep", "args": ["sleep", "1000"]}]'
	"$MASU" oci --root "$OCI_ROOT" create -b "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 3>&- &
	creator=$!
	hook() { pgrep -P "$creator" -x sleep >/dev/null; }
	wait_until 5 hook
	sleeper=$(pgrep -P "$creator" -x sleep)
	init=$(pgrep -P "$creator" -x masu)
	kill -KILL "$creator" "$sleeper"
	wait "$creator" || true
	# Nobody may be there to wait for it: a zombie has ended.
	gone() { [[ "$(cat /proc/"$init"/stat 2>/dev/null)" =~ ^$|\)\ Z ]]; }
	wait_until 5 gone
	[ -z "$(oci list -q)" ]
	# The id is not wedged, and what was left is gone.
	config 'del(.hooks)'
	run oci run -b "$BUNDLE" "$ID"
	[ "$status" -eq 0 ]
	[ -z "$(ls "$OCI_ROOT")" ]
	! ls -d /sys/fs/cgroup/*/masu/"$ID" 2>/dev/null
}

@test "a foreground run that was killed leaves no wedged id" {
	oci_bundle 'sleep 1000'
	"$MASU" oci --root "$OCI_ROOT" run -b "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 3>&- &
	runner=$!
	wait_until 5 status_is running
	pid=$(oci state "$ID" | jq .pid)
	run oci run -b "$BUNDLE" "$ID"
	[ "$status" -ne 0 ]
	kill -KILL "$runner" "$pid"
	wait "$runner" || true
	wait_until 5 status_is stopped
	config '.process.args = ["/bin/true"]'
	oci run -b "$BUNDLE" "$ID"
	[ -z "$(ls "$OCI_ROOT")" ]
}

@test "signals reach a container in the foreground" {
	oci_bundle 'trap "echo got; exit 5" TERM; echo ready; while :; do sleep 0.05; done'
	"$MASU" oci --root "$OCI_ROOT" run -b "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	runner=$!
	wait_until 5 grep -q ready "$BATS_TEST_TMPDIR/out"
	kill -TERM "$runner"
	status=0
	wait "$runner" || status=$?
	[ "$status" -eq 5 ]
	grep -q got "$BATS_TEST_TMPDIR/out"
}

@test "messages go to --log as runc's callers parse them" {
	oci_bundle 'true'
	run oci --log "$BATS_TEST_TMPDIR/log" --log-format json start nothere
	[ "$status" -eq 1 ]
	[ "$(jq -r .level "$BATS_TEST_TMPDIR/log")" = error ]
	[[ "$(jq -r .msg "$BATS_TEST_TMPDIR/log")" == *"does not exist"* ]]
	jq -e .time "$BATS_TEST_TMPDIR/log"
}

@test "features and version are well formed; spec does not overwrite" {
	oci_bundle 'true'
	oci features | jq -e '.ociVersionMax and (.linux.namespaces | index("time")) and
		(.mountOptions | index("rro")) and .linux.seccomp.enabled and (.hooks | length == 6)'
	[[ "$(oci --version)" == *"spec: 1.2"* ]]
	run oci spec -b "$BUNDLE"
	[ "$status" -ne 0 ]
	[[ "$output" == *"exists"* ]]
	mkdir "$BATS_TEST_TMPDIR/rootless"
	oci spec --rootless -b "$BATS_TEST_TMPDIR/rootless"
	jq -e '.linux.uidMappings[0].size == 1' "$BATS_TEST_TMPDIR/rootless/config.json"
}

@test "started as masu-oci it takes the verbs directly" {
	oci_bundle 'echo direct'
	ln -s "$MASU" "$BATS_TEST_TMPDIR/masu-oci"
	[ "$("$BATS_TEST_TMPDIR/masu-oci" --root "$OCI_ROOT" run -b "$BUNDLE" "$ID")" = direct ]
}

@test "unknown flags, verbs and signals are refused by name" {
	oci_bundle 'sleep 100'
	run oci frobnicate
	[ "$status" -eq 1 ]
	[[ "$output" == *frobnicate* ]]
	run oci run --no-such-flag x
	[ "$status" -eq 1 ]
	[[ "$output" == *no-such-flag* ]]
	oci_create "$ID"
	run oci kill "$ID" NOSUCH
	[ "$status" -ne 0 ]
	[[ "$output" == *NOSUCH* ]]
	run oci --cgroup-manager moon list
	[ "$status" -ne 0 ]
}

@test "changes of config.json after creation have no effect" {
	oci_bundle 'echo before; sleep 100'
	oci_create "$ID"
	config '.process.args = ["/bin/echo", "after"] | .process.env = ["CHANGED=1"]'
	oci start "$ID"
	wait_until 5 grep -q before "$BATS_TEST_TMPDIR/out"
	rm "$BUNDLE/config.json"
	[ "$(oci exec "$ID" sh -c 'echo $CHANGED')" = "" ]
	status_is running
}

@test "a caller that ignores SIGCHLD changes nothing" {
	oci_bundle 'exit 7'
	run timeout -s KILL 60 env --ignore-signal=CHLD "$MASU" oci --root "$OCI_ROOT" run -b "$BUNDLE" "$ID"
	[ "$status" -eq 7 ]
}
