#!/usr/bin/env bats
# Direct ports: the guard by IPv6, where there can be none, and the mode that a container without direct
# ports gets. By IPv4: network-direct.bats.

bats_require_minimum_version 1.5.0

setup_file() {
	load ../lib/direct.bash
	direct_root direct-escape
	direct_ready
	# A server of the host that nobody published.
	nc -6 -lk ::1 7777 >/dev/null 2>&1 3>&- 4>&- &
	echo $! >"$BATS_FILE_TMPDIR/servers"
	nc -4 -lk 127.0.0.1 7777 >/dev/null 2>&1 3>&- 4>&- &
	echo $! >>"$BATS_FILE_TMPDIR/servers"
	wait_until 5 nc -z ::1 7777
	wait_until 5 nc -z 127.0.0.1 7777
}

teardown_file() {
	xargs kill <"$BATS_FILE_TMPDIR/servers" 2>/dev/null || true
}

setup() {
	load ../lib/oracle.bash
	export MASU_DEBUG=${MASU_DEBUG:-$REPO/build-debug/bin/masu}
}

teardown() {
	m rm -f web >/dev/null 2>&1 || true
}

m() { "$MASU" "$@" 3>&- 4>&-; }
modes() { m inspect web | jq -r ".[0].NetworkSettings.Ports[\"80/${1:-tcp}\"] | map(.Mode) | join(\" \")"; }
is() { [ "$(modes)" = "$1" ]; }

# attempt WAY FAMILY CLIENT: the verdict of a container with a direct port, to which a client at CLIENT comes.
attempt() {
	local protocol=tcp
	[[ $1 != udp-* ]] || protocol=udp
	m run -d --name web -p "8080:80/$protocol,mode=direct" busybox:local direct-escape "$1" 7777 "$2" >/dev/null
	if [[ $1 == accepted-* ]]; then
		wait_until 5 eval 'm logs web | grep -q waiting'
		nc -w 2 "$3" 8080 </dev/null >/dev/null 2>&1 || true
	fi
	wait_until 5 eval 'm logs web 2>&1 | grep -qE "held|breached"'
	m logs web 2>&1 | grep -oE "held|breached"
	[ "$(modes $protocol)" = "direct direct" ] || echo "not direct: $(modes $protocol)"
	m rm -f web >/dev/null
}

escape() { # WAY FAMILY [CLIENT]
	[ -x "$MASU_DEBUG" ] || skip "$MASU_DEBUG is missing; run tools/build debug"
	[ "$(attempt "$@")" = held ]
	[ "$(ASAN_OPTIONS=detect_leaks=0 MASU_TEST_WITHOUT=direct-guard MASU=$MASU_DEBUG \
		MASU_LIBEXEC=${MASU_DEBUG%/*}/libexec/masu attempt "$@")" = breached ]
}

@test "the listening socket cannot be connected to ::1" { escape connect 6; }
@test "nor to 127.0.0.1 as an IPv6 socket has it" { escape connect mapped; }
@test "nor by MSG_FASTOPEN" { escape fastopen 6; }
@test "an accepted connection cannot be connected to ::1" { escape accepted-connect 6 ::1; }
@test "nor be bound to another port" { escape accepted-bind 6 ::1; }
@test "nor by IPv4 after it has become an IPv4 socket" { escape accepted-addrform mapped 127.0.0.1; }
@test "datagrams go to nobody that was not heard from, by IPv6" { escape udp-send 6; }
@test "nor to IPv4 addresses by an IPv6 socket" { escape udp-send mapped; }
@test "a datagram socket is connected to nobody, by IPv6" { escape udp-connect 6; }

HTTPD='mkdir -p /www; echo served >/www/page; until [ -e /go ]; do sleep 0.05; done; exec httpd -f -p 80 -h /www'
served() { [ "$(curl -fs --max-time 10 http://127.0.0.1:8080/page)" = served ]; }

@test "where the guard cannot be attached the port stays translated" {
	local group=/sys/fs/cgroup/unified/unguarded
	[ -d /sys/fs/cgroup/unified ] || group=/sys/fs/cgroup/unguarded
	mkdir "$group"
	/usr/bin/python3 "$REPO/tests/integration/src/bpf-exclusive.py" "$group"
	m run -d --name web --cgroup-parent /unguarded -p 8080:80,mode=direct busybox:local sh -c "touch /go; $HTTPD" >/dev/null
	wait_until 5 served
	is "nat nat"
	m inspect web | jq -e '.[0].NetworkSettings.Ports["80/tcp"][0].ModeReason | test("guard")'
	# In the next group nothing is in the way.
	m rm -f web >/dev/null
	rmdir "$group"
	m run -d --name web --cgroup-parent /unguarded -p 8080:80,mode=direct busybox:local sh -c "touch /go; $HTTPD" >/dev/null
	wait_until 5 served
	is "direct direct"
}

@test "mode=auto: bpf until the server listens, then direct; bpf where nothing may be direct" {
	m run -d --name web -p 8080:80,mode=auto busybox:local sh -c "$HTTPD" >/dev/null
	is "bpf bpf"
	m exec web touch /go
	wait_until 5 is "direct direct"
	served
	local option
	for option in --privileged "--cap-add NET_ADMIN" "--cap-add SYS_ADMIN"; do
		m rm -f web >/dev/null
		# shellcheck disable=SC2086 # words
		m run -d --name web $option -p 8080:80,mode=auto busybox:local sh -c "touch /go; $HTTPD" >/dev/null
		wait_until 5 served
		is "bpf bpf"
		m inspect web | jq -e '.[0].NetworkSettings.Ports["80/tcp"][0].ModeReason | test("privileged|capability")'
		[[ "$(m port web)" == *bpf* ]]
	done
}
