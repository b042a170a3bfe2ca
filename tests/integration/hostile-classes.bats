#!/usr/bin/env bats
# Known classes of escape (docs/threat-model.md), as far as they concern run, exec and the OCI
# runtime. Each attack is tried on masu, where it must not get through, and on the debug build
# with the defence taken out, where it must: else the test would show nothing.

bats_require_minimum_version 1.5.0
load ../lib/oracle
load ../lib/hostile

setup_file() {
	hostile_setup
}

teardown() {
	for id in $(ls "$OCI_ROOT" 2>/dev/null); do
		oci delete --force "$id" || true
	done
}

# --- the runtime's own program (CVE-2019-5736) ---

# overwrite_race EXECS: the container's first process attacks while masu enters EXECS times by a
# program that is "#!/proc/self/exe", which runs masu's own inside.
overwrite_race() {
	local count=$1 i
	rm -f "$BUNDLE/rootfs/stop"
	oci run -d -b "$BUNDLE" exe >"$BATS_TEST_TMPDIR/verdict"
	for ((i = 0; i < count; i++)); do
		oci exec exe /bin/trap >/dev/null 2>&1 || true
		! grep -q breached "$BATS_TEST_TMPDIR/verdict" || break
	done
	: >"$BUNDLE/rootfs/stop"
	wait_until 20 grep -q -e held -e breached "$BATS_TEST_TMPDIR/verdict"
	oci delete --force exe
	cat "$BATS_TEST_TMPDIR/verdict"
}

@test "the program cannot be overwritten through /proc/PID/exe in 1,000 execs" {
	# With all capabilities, so that the programs that enter can be looked at in the first place.
	make_bundle ".process.args=[\"/bin/inside\",\"exe\"] | $ALL_CAPABILITIES"
	printf '#!/proc/self/exe\n' >"$BUNDLE/rootfs/bin/trap"
	chmod 755 "$BUNDLE/rootfs/bin/trap"
	# Copies, since a breach writes to the program.
	cp "$MASU" "$BATS_TEST_TMPDIR/masu"
	cp "$MASU_DEBUG" "$BATS_TEST_TMPDIR/masu-debug"
	local before
	before=$(sha256sum <"$BATS_TEST_TMPDIR/masu")
	OCI_MASU=$BATS_TEST_TMPDIR/masu held overwrite_race 1000
	[[ "$output" != *"seen 0 times"* ]]
	[ "$(sha256sum <"$BATS_TEST_TMPDIR/masu")" = "$before" ]
	MASU_DEBUG=$BATS_TEST_TMPDIR/masu-debug without sealed breached overwrite_race 200
}

# --- descriptors and directories of the caller (CVE-2024-21626) ---

leaking() {
	"$OUTSIDE" fds "$BATS_TEST_TMPDIR" "${OCI_MASU:-$MASU}" oci --root "$OCI_ROOT" "$@"
}

@test "no descriptor of the caller reaches run or exec" {
	make_bundle '.process.args=["/bin/inside","fds"]'
	held leaking run -b "$BUNDLE" fds
	without close-fds breached leaking run -b "$BUNDLE" fds
	configure '.process.args=["sleep","100"]'
	oci run -d -b "$BUNDLE" fds >/dev/null 2>&1
	held leaking exec fds /bin/inside fds
	without close-fds breached leaking exec fds /bin/inside fds
}

@test "a working directory outside the root is refused" {
	make_bundle '.process.args=["/bin/sh","-c","[ -e secret ] && echo breached || echo held"]'
	: >"$BATS_TEST_TMPDIR/secret"
	local fd
	for fd in 3 7 100; do
		configure ".process.cwd=\"/proc/self/fd/$fd\""
		run leaking run -b "$BUNDLE" cwd
		[ "$status" -ne 0 ]
		[[ "$output" == *cwd* && "$output" != *breached* ]]
	done
	without cwd-inside breached leaking run -b "$BUNDLE" cwd
	# A link in the root that leads there is no better.
	ln -s /proc/self/fd/100 "$BUNDLE/rootfs/link"
	configure '.process.cwd="/link"'
	run leaking run -b "$BUNDLE" cwd
	[ "$status" -ne 0 ]
	[[ "$output" != *breached* ]]
	configure '.process.args=["sleep","100"] | .process.cwd="/"'
	oci run -d -b "$BUNDLE" cwd >/dev/null 2>&1
	run leaking exec --cwd /proc/self/fd/100 cwd sh -c '[ -e secret ] && echo breached'
	[ "$status" -ne 0 ]
	[[ "$output" != *breached* ]]
	without cwd-inside breached leaking exec --cwd /proc/self/fd/100 cwd sh -c '[ -e secret ] && echo breached'
}

# --- tracing a process that enters (CVE-2016-9962) ---

trace_race() {
	local count=$1 i
	rm -f "$BUNDLE/rootfs/stop"
	oci run -d -b "$BUNDLE" trace >"$BATS_TEST_TMPDIR/verdict"
	for ((i = 0; i < count; i++)); do
		timeout 60 "${OCI_MASU:-$MASU}" oci --root "$OCI_ROOT" exec trace /bin/busybox true >/dev/null 2>&1 || true
		! grep -q breached "$BATS_TEST_TMPDIR/verdict" || break
	done
	: >"$BUNDLE/rootfs/stop"
	wait_until 20 grep -q -e held -e breached "$BATS_TEST_TMPDIR/verdict"
	oci delete --force trace
	cat "$BATS_TEST_TMPDIR/verdict"
}

@test "the container's first process cannot trace those that enter" {
	# A user namespace, whose root may trace all that is in it and dumpable.
	make_bundle ".process.args=[\"/bin/inside\",\"trace\"] | $ALL_CAPABILITIES
		| .linux.namespaces += [{type:\"user\"}]
		| .linux.uidMappings=[{containerID:0,hostID:100000,size:65536}]
		| .linux.gidMappings=[{containerID:0,hostID:100000,size:65536}]"
	chown -R 100000:100000 "$BUNDLE/rootfs"
	chmod 755 "$BATS_TEST_TMPDIR" "$BUNDLE"
	held trace_race 100
	[[ "$output" != *"too late 0 times"* ]]
	without not-dumpable breached trace_race 100
}

# --- procfs that is not one (CVE-2025-52881) ---

shadowed_sysctl() {
	printf 0 >"$BATS_TEST_TMPDIR/fake/kernel/shm_rmid_forced"
	oci run -b "$BUNDLE" sysctl >/dev/null 2>&1 || true
	if [ "$(cat "$BATS_TEST_TMPDIR/fake/kernel/shm_rmid_forced")" = 0 ]; then echo held; else echo breached; fi
}

@test "sysctls are written to the kernel, not to what is mounted over /proc/sys" {
	make_bundle '.process.args=["true"] | .linux.sysctl={"kernel.shm_rmid_forced":"1"} | .linux.readonlyPaths=[]'
	mkdir -p "$BATS_TEST_TMPDIR/fake/kernel"
	configure ".mounts += [{destination:\"/proc/sys\",type:\"bind\",source:\"$BATS_TEST_TMPDIR/fake\",options:[\"bind\",\"rw\"]}]"
	held shadowed_sysctl
	without host-proc breached shadowed_sysctl
	# And the value does arrive.
	make_bundle '.process.args=["cat","/proc/sys/kernel/shm_rmid_forced"] | .linux.sysctl={"kernel.shm_rmid_forced":"1"}'
	run -0 oci run -b "$BUNDLE" sysctl
	[ "$output" = 1 ]
}

# --- files of the root that are read from outside ---

@test "a FIFO as /etc/passwd does not hang" {
	make_bundle '.process.args=["/bin/echo","held"] | .process.env=["PATH=/bin"]'
	rm "$BUNDLE/rootfs/etc/passwd"
	mkfifo "$BUNDLE/rootfs/etc/passwd"
	run -0 timeout 60 "$MASU" oci --root "$OCI_ROOT" run -b "$BUNDLE" fifo
	[ "$output" = held ]
	local status=0 # not run(), which waits for all that have its pipe
	without regular-files timeout -s KILL 6 "$MASU_DEBUG" oci --root "$OCI_ROOT" run -b "$BUNDLE" \
		fifo-careless >/dev/null 2>&1 || status=$?
	timeout 20 sh -c ': >"$1"' sh "$BUNDLE/rootfs/etc/passwd" # lets it end
	[ "$status" -eq 137 ]
}

@test "an 8 GiB /etc/passwd costs nothing" {
	make_bundle '.process.args=["/bin/echo","held"] | .process.env=["PATH=/bin"]'
	truncate -s 8G "$BUNDLE/rootfs/etc/passwd"
	run -0 timeout 60 sh -c 'ulimit -v 200000; exec "$@"' sh "$MASU" oci --root "$OCI_ROOT" run -b "$BUNDLE" giant
	[ "$output" = held ]
	# A smaller one, since it does cost something where nothing keeps it from being read to its end.
	configure '.process.args=["/bin/sh","-c","[ \"$HOME\" = /far/behind ] && echo breached || echo held"]'
	truncate -s 4M "$BUNDLE/rootfs/etc/passwd"
	sed -i 's/^root:.*//' "$BUNDLE/rootfs/etc/passwd"
	printf '\nroot:x:0:0:root:/far/behind:/bin/sh\n' >>"$BUNDLE/rootfs/etc/passwd"
	tr '\0' '\n' <"$BUNDLE/rootfs/etc/passwd" >"$BUNDLE/passwd"
	cp "$BUNDLE/passwd" "$BUNDLE/rootfs/etc/passwd"
	held oci run -b "$BUNDLE" giant
	without size-cap breached oci run -b "$BUNDLE" giant
}

# --- what processes inherit ---

@test "capabilities that the caller's are inheritable and groups are not handed on (CVE-2022-24769)" {
	make_bundle '.process.args=["grep","-E","^(Cap|Groups|NoNewPrivs|Seccomp:|SigBlk|SigIgn)","/proc/self/status"]'
	configure '.process.capabilities |= (["CAP_CHOWN","CAP_KILL"] as $c | {bounding:$c,effective:$c,permitted:$c})'
	run -0 "$OUTSIDE" inheritable "$MASU" oci --root "$OCI_ROOT" run -b "$BUNDLE" status
	diff - <(echo "$output" | sed 's/[[:space:]]*$//') <<-'STATUS'
	Groups:
	SigBlk:	0000000000000000
	SigIgn:	0000000000000000
	CapInh:	0000000000000000
	CapPrm:	0000000000000021
	CapEff:	0000000000000021
	CapBnd:	0000000000000021
	CapAmb:	0000000000000000
	NoNewPrivs:	1
	Seccomp:	0
	STATUS
	configure '.process.args=["sh","-c","grep -q \"^CapInh:.0000000000000000\" /proc/self/status && echo held || echo breached"]'
	held "$OUTSIDE" inheritable "$MASU" oci --root "$OCI_ROOT" run -b "$BUNDLE" status
	careless() { "$OUTSIDE" inheritable "$OCI_MASU" oci --root "$OCI_ROOT" run -b "$BUNDLE" status; }
	without set-capabilities breached careless
	configure '.process.args=["sh","-c","grep -q \"^Groups:.*4321\" /proc/self/status && echo breached || echo held"]'
	held setpriv --groups 4321 "$MASU" oci --root "$OCI_ROOT" run -b "$BUNDLE" status
	careless() { setpriv --groups 4321 "$OCI_MASU" oci --root "$OCI_ROOT" run -b "$BUNDLE" status; }
	without set-groups breached careless
	# A program that hands them on shows them: without masu in between.
	run -0 "$OUTSIDE" inheritable grep -E '^Cap(Inh|Amb)' /proc/self/status
	[[ "$output" != *CapInh:$'\t'0000000000000000* ]]
}

# --- keyrings and terminals ---

keyed() {
	"$OUTSIDE" key masu-hostile "${OCI_MASU:-$MASU}" oci --root "$OCI_ROOT" "$@"
}

@test "keys of the caller's session are out of reach" {
	make_bundle '.process.args=["/bin/inside","key","masu-hostile"]'
	held keyed run -b "$BUNDLE" key
	without session-keyring breached keyed run -b "$BUNDLE" key
	configure '.process.args=["sleep","100"]'
	oci run -d -b "$BUNDLE" key >/dev/null 2>&1
	held keyed exec key /bin/inside key masu-hostile
	without session-keyring breached keyed exec key /bin/inside key masu-hostile
}

on_a_terminal() {
	script -qec "'${OCI_MASU:-$MASU}' oci --root '$OCI_ROOT' $*" /dev/null
}

@test "the caller's terminal cannot be written to as if by its user (TIOCSTI)" {
	make_bundle '.process.args=["/bin/inside","tty"]'
	held on_a_terminal run -b "$BUNDLE" tty
	without new-session breached on_a_terminal run -b "$BUNDLE" tty
	configure '.process.args=["sleep","100"]'
	oci run -d -b "$BUNDLE" tty >/dev/null 2>&1
	held on_a_terminal exec tty /bin/inside tty
	without new-session breached on_a_terminal exec tty /bin/inside tty
}
