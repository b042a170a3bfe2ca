#!/usr/bin/env bats
# Connections without packets (--network-opt accel=sockmap, docs/sockmap.md): a server and a client, each in a
# container, Debian's python from the host's /usr.

bats_require_minimum_version 1.5.0

setup_file() {
	load ../lib/oracle.bash
	export MASU_ROOT=$BATS_FILE_TMPDIR/lib MASU_RUNROOT=$BATS_FILE_TMPDIR/run WORK=$BATS_FILE_TMPDIR/work
	local root=$BATS_FILE_TMPDIR/rootfs
	mkdir "$root" "$WORK"
	make_busybox_root "$root"
	mkdir "$root/usr"
	ln -s usr/lib "$root/lib"
	ln -s usr/lib64 "$root/lib64"
	cp "$REPO/tests/lib/sockmap-peer.py" "$root/bin/peer"
	tar -C "$root" -c . | "$MASU" import - busybox:local
	masu_run -d --name probe --network-opt accel=sockmap busybox:local sleep 1000 >"$WORK/probe" 2>&1 || {
		grep "needs Linux 6.13" "$WORK/probe" && skip "$(cat "$WORK/probe")"
		cat "$WORK/probe"
		false
	}
	"$MASU" rm -f probe >/dev/null
	both
}

masu_run() { "$MASU" run "$@" 3>&- 4>&-; }

# The pair that most tests share: reachable at its address, and by one port of each kind.
both() {
	masu_run -d --name server --network-opt accel=sockmap -v /usr:/usr:ro -v "$WORK:/work" -w /work \
		-p 8001:7000 -p 8002:7001,mode=bpf -p 8003:7002,mode=direct busybox:local \
		sh -c 'for port in 7000 7001 7002; do python3 /bin/peer serve $port & done; wait' >/dev/null
	masu_run -d --name client --network-opt accel=sockmap -v /usr:/usr:ro -v "$WORK:/work" -w /work \
		busybox:local sleep 100000 >/dev/null
}

teardown_file() {
	"$MASU" rm -f client server >/dev/null 2>&1 || true
}

setup() {
	load ../lib/oracle.bash
	rm -f "$WORK"/{go,full,given,gone,begun}
	m inspect server >/dev/null 2>&1 || both
	ADDRESS=$(m inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' server)
	ADDRESS6=$(m inspect -f '{{.NetworkSettings.Networks.bridge.GlobalIPv6Address}}' server)
	GATEWAY=$(m inspect -f '{{.NetworkSettings.Networks.bridge.Gateway}}' server)
	wait_until 20 answers
}

m() { "$MASU" "$@" 3>&- 4>&-; }
ask() { m exec client python3 /bin/peer ask "$@"; }
answers() { [ "$(ask "$ADDRESS" 7000 ends)" = "true true true true true true" ]; } 2>/dev/null
in_background() { # file, command...: its output
	local file=$1
	shift
	"$@" >"$file" 2>&1 3>&- 4>&- &
}

@test "requests and answers carry nothing by TCP: east-west, and by ports of every kind" {
	[ "$(ask "$ADDRESS" 7000 requests)" = "same short" ]
	[ "$(ask "$ADDRESS6" 7000 requests)" = "same short" ]
	[ "$(ask "$GATEWAY" 8001 requests)" = "same short" ]
	[ "$(ask "$GATEWAY" 8002 requests)" = "same short" ]
	[ "$(ask "$GATEWAY" 8003 requests)" = "same short" ]
	[ "$(m inspect server | jq -r '.[0].NetworkSettings.Ports["7002/tcp"][0].Mode')" = direct ]
}

@test "much data arrives as it was sent, both ways, also where TCP takes over when the reader is slow" {
	local at
	for at in "$ADDRESS 7000" "$GATEWAY 8002"; do
		run ask $at transfer
		echo "$output"
		[ "$output" = "same both both" ]
	done
}

@test "somebody who reads nothing, paused or not, is not sent more than by TCP" {
	in_background "$WORK/out" ask "$ADDRESS" 7000 full
	wait_until 20 [ -e "$WORK/full" ]
	touch "$WORK/go"
	wait
	[ "$(cat "$WORK/out")" = "$(printf 'bounded\nsame')" ]

	rm "$WORK/go" "$WORK/full"
	m pause server
	in_background "$WORK/out" ask "$ADDRESS" 7000 full
	wait_until 20 [ -e "$WORK/full" ]
	touch "$WORK/go"
	m unpause server
	wait
	[ "$(cat "$WORK/out")" = "$(printf 'bounded\nsame')" ]
}

@test "three hundred connections at once, and what programs are told of ends" {
	[ "$(ask "$ADDRESS" 7000 many)" = 300 ]
	[ "$(ask "$GATEWAY" 8003 many)" = 300 ]
	[ "$(ask "$ADDRESS" 7000 ends)" = "true true true true true true" ]
}

@test "whoever has not asked for it is left alone" {
	m run -d --name other -v /usr:/usr:ro busybox:local sleep 1000 >/dev/null
	[ "$(m exec other true; "$MASU" cp "$REPO/tests/lib/sockmap-peer.py" other:/bin/peer; m exec other python3 /bin/peer ask "$ADDRESS" 7000 requests)" = "same tcp" ]
	[ "$(python3 "$REPO/tests/lib/sockmap-peer.py" ask "$ADDRESS" 7000 requests)" = "same tcp" ]
	m rm -f other
}

@test "what was sent is read after its sender's container has ended" {
	m run -d --name giver --network-opt accel=sockmap -v /usr:/usr:ro -v "$WORK:/work" -w /work busybox:local \
		python3 /bin/peer serve 7000 >/dev/null
	local address
	address=$(m inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' giver)
	wait_until 20 ask "$address" 7000 ends
	rm -f "$WORK/given"
	in_background "$WORK/out" ask "$address" 7000 kept
	wait_until 20 [ -e "$WORK/given" ]
	sleep 0.2
	m rm -f giver
	touch "$WORK/gone"
	wait
	[ "$(cat "$WORK/out")" = "same short" ]
}

@test "a restart of the server, and its monitor's death" {
	m restart -t 0 server >/dev/null
	wait_until 20 answers
	[ "$(ask "$ADDRESS" 7000 requests)" = "same short" ]

	in_background "$WORK/out" ask "$ADDRESS" 7000 lasting
	wait_until 20 [ -e "$WORK/begun" ]
	local monitor
	monitor=$(jq -r .MonitorPid "$MASU_RUNROOT"/containers/"$(m inspect -f '{{.Id}}' server)"/live.json)
	kill -KILL "$monitor"
	wait_until 10 gone "$monitor"
	touch "$WORK/gone"
	wait
	# The container ends with its monitor or goes on; either way nothing is wrong or for ever.
	[[ "$(cat "$WORK/out")" == before* || "$(cat "$WORK/out")" == *Error* ]]
	m rm -f server client >/dev/null
	both
	ADDRESS=$(m inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' server)
	wait_until 20 answers
	[ "$(ask "$ADDRESS" 7000 requests)" = "same short" ]
}
gone() { ! kill -0 "$1" 2>/dev/null; }

@test "what differs from TCP is what the docs say" {
	run ask "$ADDRESS" 7000 limits
	echo "$output"
	[ "$output" = "splice 0, recv 100, waitall 4, urgent a, signal EAGAIN" ]
}

@test "options that are none, drivers that cannot" {
	run -125 m run --rm --network-opt accel=fast busybox:local true
	[[ "$output" == *"use accel=sockmap"* ]]
	run -125 m run --rm --network-opt accel=sockmap --exec oci:crun busybox:local true
	[[ "$output" == *"--network-opt and the exec driver oci:crun"* ]]
	[[ "$(m ps -a --command --filter name=client)" == *"--network-opt accel=sockmap"* ]]
	[ "$(m inspect -f '{{.HostConfig.NetworkOpt}}' client)" = '[accel=sockmap]' ]
}

# A root of its own, whose containers have programs of their own, with a new pair.
fresh() { # name, variable=value...
	local name=$1
	shift
	export MASU_ROOT=$BATS_TEST_TMPDIR/$name/lib MASU_RUNROOT=$BATS_TEST_TMPDIR/$name/run
	tar -C "$BATS_FILE_TMPDIR/rootfs" -c . | "$MASU" import - busybox:local >/dev/null
	export "$@"
	both
	ADDRESS=$(m inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' server)
	wait_until 20 echoes
}
# Unlike answers(), leaves no connection behind that would be taken down with the containers.
echoes() { ask "$ADDRESS" 7000 requests >/dev/null 2>&1; }

@test "without its two conditions: a full reader is sent all there is, and data overtakes other data" {
	export MASU_DEBUG=${MASU_DEBUG:-$REPO/build-debug/bin/masu}
	[ -x "$MASU_DEBUG" ] || skip "no debug build"
	m rm -f server client >/dev/null # who have the ports
	MASU=$MASU_DEBUG MASU_LIBEXEC=${MASU_DEBUG%/*}/libexec/masu

	fresh roomless MASU_TEST_WITHOUT=sockmap-room
	in_background "$WORK/out" ask "$ADDRESS" 7000 full
	wait_until 20 [ -e "$WORK/full" ]
	touch "$WORK/go"
	wait
	grep UNBOUNDED "$WORK/out"
	m rm -f server client >/dev/null

	fresh orderless MASU_TEST_WITHOUT=sockmap-order
	run ask "$ADDRESS" 7000 transfer
	echo "$output"
	m rm -f server client >/dev/null
	[[ "$output" == DIFFERENT* ]] || [ "$status" != 0 ]
}

@test "nothing is left with the last container" {
	m rm -f server client >/dev/null 2>&1 || true
	fresh last
	[ "$(ask "$ADDRESS" 7000 requests)" = "same short" ]
	program >/dev/null
	m rm -f server client >/dev/null
	# The kernel keeps the group for its last socket: nobody acknowledges the end of one whose other end has
	# gone first, and half a minute goes by until it gives up. None was open here.
	wait_until 60 no_programs
}
program() {
	python3 -c '
import ctypes, sys
request = (ctypes.c_uint32 * 32)(int(sys.argv[1]))
sys.exit(ctypes.CDLL(None).syscall(321, 13, ctypes.byref(request), 128) < 0)' "$(cat "$MASU_RUNROOT/sockmap")"
}
no_programs() { ! program; }
