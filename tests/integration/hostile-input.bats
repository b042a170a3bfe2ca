#!/usr/bin/env bats
# Hostile documents and arguments for the OCI runtime (HOSTILE 1-7, 14, 16, 17, 20, 29): refused with one
# line that names the cause, nothing made, nothing left; or accepted where that is right.

bats_require_minimum_version 1.5.0
load ../lib/oracle
load ../lib/hostile

setup_file() {
	hostile_setup
	export MASU_ROOT=$BATS_FILE_TMPDIR/root MASU_RUNROOT=$BATS_FILE_TMPDIR/run
}

setup() {
	make_bundle ".process.args=[\"/bin/echo\",\"started\"] | .linux.cgroupsPath=\"$CGROUP_PARENT/input\""
	cp "$BUNDLE/config.json" "$BUNDLE/good.json"
}

teardown_file() {
	remove_test_cgroups
}

# Everything that a refused container could have left.
state() {
	find "$OCI_ROOT" 2>/dev/null | sort
	find /sys/fs/cgroup -type d -path "*$CGROUP_PARENT*/*" 2>/dev/null | sort
	grep -c " $BATS_RUN_TMPDIR" /proc/self/mountinfo || true
}

# refused MESSAGE [ID]: the bundle as it is now.
refused() {
	local before
	before=$(state)
	run --separate-stderr timeout 60 "$MASU" oci --root "$OCI_ROOT" run -b "$BUNDLE" "${2-input}" </dev/null
	[[ "$status" -ne 0 && "$status" -ne 124 && "$status" -lt 128 ]] || { echo "$1: status $status"; return 1; }
	[[ "$output" != *started* ]] || { echo "$1: started"; return 1; }
	[[ "$stderr" == *"$1"* ]] || { echo "wanted: $1; got: $stderr"; return 1; }
	[ "$(grep -c . <<<"$stderr")" -eq 1 ] || { echo "more than one line: $stderr"; return 1; }
	[ "$(state)" = "$before" ] || { echo "$1: left"; diff <(echo "$before") <(state); return 1; }
	cp --remove-destination "$BUNDLE/good.json" "$BUNDLE/config.json"
}

accepted() {
	run -0 --separate-stderr timeout 60 "$MASU" oci --root "$OCI_ROOT" run -b "$BUNDLE" input
	[[ "$output" == *started* ]]
	cp --remove-destination "$BUNDLE/good.json" "$BUNDLE/config.json"
}

@test "what is not a document is refused (1, 2, 3, 5)" {
	local size
	size=$(stat -c %s "$BUNDLE/config.json")
	for part in 0 1 $((size / 2)) $((size - 2)); do
		head -c "$part" "$BUNDLE/good.json" >"$BUNDLE/config.json"
		refused config.json
	done
	python3 -c 'print("[" * 200000)' >"$BUNDLE/config.json"
	refused deep
	python3 -c 'print("{\"a\":" * 200000)' >"$BUNDLE/config.json"
	refused deep
	jq -c . "$BUNDLE/good.json" | sed 's/^{/{"ociVersion":"1.0.0",/' >"$BUNDLE/config.json"
	refused ociVersion
	configure '.process.args=["/bin/echo","a\u0000b"]'
	refused "NUL in a string"
	configure '.process.env=["A=a\u0000b"]'
	refused "NUL in a string"
	configure '.root.path="root\u0000fs"'
	refused "NUL in a string"
	truncate -s 4G "$BUNDLE/config.json"
	refused config.json
	rm "$BUNDLE/config.json"
	refused config.json
	rm "$BUNDLE/config.json"
	mkfifo "$BUNDLE/config.json"
	refused config.json
	rm "$BUNDLE/config.json"
	ln -s /dev/zero "$BUNDLE/config.json"
	refused config.json
}

@test "numbers out of range are refused (4)" {
	local value
	for value in -1 4294967296 1.5 1e10 '"0"' 99999999999999999999; do
		configure ".process.user.uid=$value"
		refused process.user.uid
		configure ".process.user.gid=$value"
		refused process.user.gid
		configure ".process.user.additionalGids=[$value]"
		refused process.user.additionalGids
	done
	# To the kernel this one is "no change", which is root. Ids are uint32 in the runtime spec, so what
	# is beyond 2^31 is one like any other.
	configure '.process.user.uid=4294967295'
	refused process.user
	configure '.process.user.uid=4294967295 | .process.args=["sh","-c","[ $(id -u) = 0 ] && echo breached"]'
	without number-range breached oci run -b "$BUNDLE" input
	cp "$BUNDLE/good.json" "$BUNDLE/config.json"
	for value in 2147483647 2147483648 4294967294; do
		configure ".process.user.uid=$value | .process.user.gid=$value"
		accepted
	done
	configure '.process.oomScoreAdj=1001'
	refused oomScoreAdj
	configure '.process.rlimits=[{type:"RLIMIT_NOFILE",soft:10,hard:5}]'
	refused process.rlimits
	configure '.process.rlimits=[{type:"RLIMIT_NOSUCH",soft:1,hard:1}]'
	refused RLIMIT_NOSUCH
}

@test "paths that are none are refused (6)" {
	configure '.process.cwd="relative"'
	refused cwd
	configure '.process.cwd=""'
	refused cwd
	configure '.mounts += [{destination:"relative",type:"tmpfs",source:"tmpfs"}]' # deprecated, not wrong
	accepted
	configure '.linux.maskedPaths=["relative"]'
	refused relative
	configure '.root.path="no/such"'
	refused no/such
	configure '.root.path="config.json"'
	refused config.json
	configure '.process.args=[]'
	refused args
	configure '.process.args=["/etc"]'
	refused /etc
	configure '.hooks={createRuntime:[{path:"relative"}]}'
	refused relative
}

@test "ids that are paths, long or empty are refused (7)" {
	local id
	for id in ../../x .. . a/b '' "$(printf 'x%.0s' {1..1025})" 'a b' $'a\nb' 'ä'; do
		refused "id" "$id"
	done
}

@test "unknown values are refused by name; unknown members are not" {
	configure '.linux.namespaces += [{type:"nosuch"}]'
	refused nosuch
	configure '.linux.namespaces += [{type:"pid"}]'
	refused pid
	configure '.linux.rootfsPropagation="sideways"'
	refused sideways
	configure '.linux.seccomp={defaultAction:"SCMP_ACT_SHRUG"}'
	refused SCMP_ACT_SHRUG
	configure '.linux.devices=[{path:"/dev/x",type:"q",major:1,minor:3}]'
	refused type
	configure '.annotations={"a":"$(reboot)"} | .somethingNew={a:[1]} | .linux.alsoNew=1'
	accepted
}

@test "unknown system calls in a filter are skipped (29)" {
	configure '.linux.seccomp={defaultAction:"SCMP_ACT_ALLOW",architectures:["SCMP_ARCH_X86_64","SCMP_ARCH_LOONGARCH64"],
		syscalls:[{names:["no_such_call","getcwd_of_tomorrow"],action:"SCMP_ACT_KILL"}]}'
	accepted
	configure '.linux.seccomp={defaultAction:"SCMP_ACT_ALLOW",syscalls:[{names:["mkdir","mkdirat"],action:"SCMP_ACT_ERRNO",errnoRet:38}]}
		| .process.args=["/bin/mkdir","/x"]'
	run -1 oci run -b "$BUNDLE" input
	[[ "$output" == *"not implemented"* ]]
}

@test "sysctls, labels and annotations do not reach the host" {
	local before
	before=$(cat /proc/sys/kernel/core_pattern)
	for key in kernel.core_pattern kernel/core_pattern vm.overcommit_memory kernel.modprobe ../sys/kernel/core_pattern \
		net/../kernel/core_pattern net.ipv4./../../kernel/core_pattern; do
		configure ".linux.sysctl={\"$key\":\"|/bin/false\"}"
		refused sysctl
	done
	# The value that it has, so that nothing happens to the machine.
	configure ".linux.sysctl={\"vm.swappiness\":\"$(cat /proc/sys/vm/swappiness)\"} | .process.args=[\"echo\",\"breached\"]"
	cp "$BUNDLE/config.json" "$BUNDLE/host.json"
	refused vm.swappiness
	cp "$BUNDLE/host.json" "$BUNDLE/config.json"
	without sysctl-check breached oci run -b "$BUNDLE" input
	cp "$BUNDLE/good.json" "$BUNDLE/config.json"
	# Labels and annotations are data, whatever they say.
	configure '.annotations={"run.oci.hooks.stdout":"/etc/cron.d/x","a":"$(touch /tmp/masu-was-here)","../b":"\u0001"}'
	accepted
	[ ! -e /tmp/masu-was-here ]
	configure '.process.apparmorProfile="unconfined\nexec x"'
	refused apparmorProfile
	configure '.process.selinuxLabel="system_u:x"'
	refused selinuxLabel
	[ "$(cat /proc/sys/kernel/core_pattern)" = "$before" ]
}

@test "a root full of loops and long names is survived (14, 16, 17)" {
	ln -s loop "$BUNDLE/rootfs/loop"
	configure '.mounts += [{destination:"/loop/x",type:"tmpfs",source:"tmpfs"}]'
	refused /loop/x
	configure ".mounts += [{destination:\"/$(printf 'n%.0s' {1..300})\",type:\"tmpfs\",source:\"tmpfs\"}]"
	refused nnnn
	configure ".mounts += [{destination:\"$(printf '/d%.0s' {1..3000})\",type:\"tmpfs\",source:\"tmpfs\"}]"
	refused /d/d
	configure ".process.cwd=\"/loop\""
	refused /loop
	rm -rf "$BUNDLE/rootfs/proc"
	: >"$BUNDLE/rootfs/proc"
	refused /proc
	rm "$BUNDLE/rootfs/proc"
	mv "$BUNDLE/rootfs" "$BUNDLE/elsewhere"
	ln -s /no/such/place "$BUNDLE/rootfs"
	refused rootfs
	rm "$BUNDLE/rootfs"
	mv "$BUNDLE/elsewhere" "$BUNDLE/rootfs"
	mkdir "$BUNDLE/rootfs/proc"
	accepted
}
