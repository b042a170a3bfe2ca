#!/usr/bin/env bats
# masu-systemd against a private bus on which tests/lib/fake-systemd.py plays systemd.

setup() {
	FAKE_ROOTS=
	if [[ "$BATS_TEST_DESCRIPTION" == oci:* ]]; then
		[ -d /sys/fs/cgroup/systemd ] || skip "needs a hybrid machine"
		FAKE_ROOTS="/sys/fs/cgroup/systemd /sys/fs/cgroup/unified"
	fi
	[ -x "$MASU_LIBEXEC/masu-systemd" ] || skip "masu-systemd is not built"
	/usr/bin/python3 -c 'import dbus, gi' 2>/dev/null || skip "needs python3-dbus and python3-gi"
	export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$BATS_TEST_TMPDIR/bus
	calls=$BATS_TEST_TMPDIR/calls
	dbus-daemon --session --nofork --address="$DBUS_SYSTEM_BUS_ADDRESS" \
		>"$BATS_TEST_TMPDIR/daemon.log" 2>&1 3>&- &
	daemon=$!
	until [ -S "$BATS_TEST_TMPDIR/bus" ]; do
		kill -0 "$daemon"
		sleep 0.02
	done
	"$REPO/tests/lib/fake-systemd.py" "$calls" $FAKE_ROOTS \
		>"$BATS_TEST_TMPDIR/ready" 2>"$BATS_TEST_TMPDIR/fake.log" 3>&- &
	fake=$!
	until grep -q ready "$BATS_TEST_TMPDIR/ready"; do
		kill -0 "$fake" || { cat "$BATS_TEST_TMPDIR/fake.log"; false; }
		sleep 0.02
	done
}

teardown() {
	find /sys/fs/cgroup/ -depth -type d -path "*/masutest$$.slice*" -exec rmdir {} + 2>/dev/null || true
	[ -z "${fake:-}" ] || kill "$fake" || true
	[ -z "${daemon:-}" ] || kill "$daemon" || true
}

request() { # JSON
	run "$MASU_LIBEXEC/masu-systemd" <<<"$1"
}

@test "a scope is started around the process, with masu's and the annotations' properties" {
	request '{"verb": "start", "unit": "masu-c1.scope", "slice": "a-b.slice", "description": "c1",
		"pid": 4242, "v2": true, "properties": [
			{"name": "MemoryMax", "type": "t", "value": 1048576},
			{"name": "TasksMax", "type": "t", "value": 18446744073709551615},
			{"name": "AllowedCPUs", "type": "ay", "value": [5]},
			{"name": "DeviceAllow", "type": "a(ss)", "value": [["/dev/char/1:3", "rwm"]]}],
		"annotations": {
			"org.systemd.property.TimeoutStopSec": "uint64 7",
			"org.systemd.property.CollectMode": "'"'inactive-or-failed'"'",
			"org.systemd.property.Nice": "-5",
			"org.systemd.property.After": "['"'x.service', \\\"y.service\\\""']",
			"org.systemd.property.SendSIGHUP": "true"}}'
	[ "$status" -eq 0 ]
	[ "$output" = '{"controlGroup":"/a.slice/a-b.slice/masu-c1.scope"}' ]
	run jq -ce 'select(.call == "start") | [.mode, .properties.Slice, .properties.PIDs,
		.properties.Delegate, .properties.DefaultDependencies, .properties.IOAccounting]' "$calls"
	[ "$output" = '["replace",["s","a-b.slice"],["au",[4242]],["b",true],["b",false],["b",true]]' ]
	run jq -ce '.properties | [.MemoryMax, .TasksMax, .AllowedCPUs, .DeviceAllow]' "$calls"
	[ "$output" = '[["t",1048576],["t",18446744073709551615],["ay",[5]],["a(ss)",[["/dev/char/1:3","rwm"]]]]' ] ||
		[ "$output" = '[["t",1048576],["t",18446744073709552000],["ay",[5]],["a(ss)",[["/dev/char/1:3","rwm"]]]]' ]
	run jq -ce '.properties | [.TimeoutStopUSec, .CollectMode, .Nice, .After, .SendSIGHUP]' "$calls"
	[ "$output" = '[["t",7000000],["s","inactive-or-failed"],["i",-5],["as",["x.service","y.service"]],["b",true]]' ]
}

@test "a slice unit has neither pid nor delegation" {
	request '{"verb": "start", "unit": "a-b.slice", "slice": "a.slice", "pid": 7, "v2": false}'
	[ "$status" -eq 0 ]
	run jq -ce '.properties | [has("PIDs"), has("Delegate"), .Wants, has("BlockIOAccounting")]' "$calls"
	[ "$output" = '[false,false,["as",["a.slice"]],true]' ]
}

@test "a job that ends before its reply is not missed" {
	request '{"verb": "start", "unit": "masu-slow.scope", "slice": "system.slice", "pid": 7, "v2": true}'
	[ "$status" -eq 0 ]
}

@test "a job that fails is an error that names its result" {
	request '{"verb": "start", "unit": "masu-fail.scope", "slice": "system.slice", "pid": 7, "v2": true}'
	[ "$status" -eq 1 ]
	[[ "$output" == *"failed"* ]]
	jq -e 'select(.call == "reset")' "$calls"
}

@test "the remains of a failed unit are reset once" {
	request '{"verb": "start", "unit": "masu-exists.scope", "slice": "system.slice", "pid": 7, "v2": true}'
	[ "$status" -eq 0 ]
	[ "$(jq -r .call "$calls" | tr '\n' ' ')" = "start reset start " ]
	request '{"verb": "start", "unit": "masu-exists.scope", "slice": "system.slice", "pid": 7, "v2": true}'
	[ "$status" -eq 1 ]
	[[ "$output" == *"already exists"* ]]
}

@test "a running unit is changed until the next boot" {
	request '{"verb": "set", "unit": "masu-c1.scope", "properties": [
		{"name": "CPUWeight", "type": "t", "value": 50}]}'
	[ "$status" -eq 0 ]
	run jq -ce '[.call, .runtime, .properties.CPUWeight]' "$calls"
	[ "$output" = '["set",true,["t",50]]' ]
}

@test "a unit is stopped, and one that is gone already is no error" {
	request '{"verb": "start", "unit": "masu-c1.scope", "slice": "system.slice", "pid": 7, "v2": true}'
	request '{"verb": "stop", "unit": "masu-c1.scope"}'
	[ "$status" -eq 0 ]
	request '{"verb": "stop", "unit": "masu-c1.scope"}'
	[ "$status" -eq 0 ]
	[ "$(jq -r 'select(.call == "stop") | .call' "$calls" | wc -l)" -eq 2 ]
}

@test "annotations that are no property are refused by name" {
	for annotation in '"org.systemd.property.X": "true"' '"org.systemd.property.Bad-Name": "true"' \
		'"org.systemd.property.TimeoutStopUSec": "uint64 -1"' \
		'"org.systemd.property.TimeoutStopUSec": "uint64 18446744073709551616"' \
		'"org.systemd.property.TimeoutStopSec": "18446744073709551615"' \
		'"org.systemd.property.Foo": "@as []"' '"org.systemd.property.Foo": "['"'a'"'"' \
		'"org.systemd.property.Foo": "'"'a"'"' '"org.systemd.property.Foo": ""' \
		'"org.systemd.property.Foo": "byte 256"'; do
		request '{"verb": "start", "unit": "masu-c1.scope", "slice": "system.slice", "pid": 7,
			"v2": true, "annotations": {'"$annotation"'}}'
		[ "$status" -eq 1 ]
		[[ "$output" == *"annotation org.systemd.property."* ]]
	done
	[ ! -e "$calls" ]
}

@test "junk requests and a missing bus are one line each" {
	for junk in '' '{' '[]' '{"verb": "start"}' '{"verb": "dance", "unit": "x.scope"}' '{"unit": "x.scope"}'; do
		request "$junk"
		[ "$status" -eq 1 ]
		[ "${#lines[@]}" -eq 1 ]
	done
	DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent request '{"verb": "stop", "unit": "x.scope"}'
	[ "$status" -eq 1 ]
	[[ "$output" == *"use cgroupfs"* ]]
}

make_bundle() { # jq program
	bundle=$BATS_TEST_TMPDIR/bundle
	export MASU_RUNROOT=$BATS_TEST_TMPDIR/run
	mkdir -p "$bundle"/rootfs/{bin,dev,proc,sys,tmp}
	cp /bin/busybox "$bundle/rootfs/bin/sh"
	"$MASU" oci spec --bundle "$bundle"
	jq ".process.terminal = false | .linux.cgroupsPath = \"masutest$$.slice:libpod:c1\" | $1" \
		"$bundle/config.json" >"$bundle/new"
	mv "$bundle/new" "$bundle/config.json"
}

@test "oci: a container runs in its scope's group of every hierarchy" {
	make_bundle '.process.args = ["sh", "-c", "while read -r l; do echo $l; done </proc/self/cgroup"]
		| .linux.namespaces |= map(select(.type != "cgroup"))
		| .linux.resources += {"pids": {"limit": 77}, "memory": {"limit": 33554432}}
		| .annotations = {"org.systemd.property.TimeoutStopSec": "3"}'
	run "$MASU" oci --systemd-cgroup run --bundle "$bundle" c1
	[ "$status" -eq 0 ]
	for line in "${lines[@]}"; do
		list=${line#*:}
		list=${list%%:*}
		dir=/sys/fs/cgroup/${list#name=}
		[ -n "$list" ] || dir=/sys/fs/cgroup/unified
		[ -d "$dir" ] || continue
		[[ "$line" == *":/masutest$$.slice/libpod-c1.scope" ]]
	done
	run jq -ce 'select(.call == "start") | .properties | [.TasksMax, .MemoryLimit, .DevicePolicy, .TimeoutStopUSec]' "$calls"
	[ "$output" = '[["t",77],["t",33554432],["s","strict"],["t",3000000]]' ]
	jq -se 'any(.call == "stop" and .unit == "libpod-c1.scope")' "$calls"
	[ -z "$(find /sys/fs/cgroup/ -name 'libpod-c1.scope')" ]
}

@test "oci: a cgroup namespace begins at the scope, and update tells systemd" {
	make_bundle '.process.args = ["sh", "-c", "while read -r l; do echo $l; done </proc/self/cgroup >/tmp/groups; exec sleep 100"]
		| .root.readonly = false
		| .linux.namespaces |= (map(select(.type != "cgroup")) + [{"type": "cgroup"}])'
	ln -s sh "$bundle/rootfs/bin/sleep"
	"$MASU" oci --systemd-cgroup run --detach --bundle "$bundle" c1 >/dev/null 2>&1 </dev/null 3>&-
	for _ in $(seq 2000); do
		[ ! -s "$bundle/rootfs/tmp/groups" ] || break
		sleep 0.02
	done
	grep -qx '0::/' "$bundle/rootfs/tmp/groups"
	grep -q 'name=systemd:/$' "$bundle/rootfs/tmp/groups"
	"$MASU" oci update --pids-limit 55 c1
	run jq -ce 'select(.call == "set") | .properties' "$calls"
	[ "$output" = '{"TasksMax":["t",55]}' ]
	[ "$(cat "/sys/fs/cgroup/pids/masutest$$.slice/libpod-c1.scope/pids.max")" = 55 ]
	"$MASU" oci delete --force c1
	[ -z "$(find /sys/fs/cgroup/ -name 'libpod-c1.scope')" ]
}

@test "oci: a scope that cannot be started is the container's error, and nothing is left" {
	make_bundle '.process.args = ["sh"] | .linux.cgroupsPath |= sub("c1"; "fail")'
	run "$MASU" oci --systemd-cgroup run --bundle "$bundle" c1
	[ "$status" -ne 0 ]
	[[ "$output" == *"libpod-fail.scope"*"failed"* ]]
	[ -z "$(find /sys/fs/cgroup/ -name 'libpod-fail.scope')" ]
	run "$MASU" oci list -q
	[ -z "$output" ]
}
