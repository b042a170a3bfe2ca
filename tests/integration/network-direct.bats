#!/usr/bin/env bats
# Direct ports: the server's listening socket is replaced by one of the host (docs/networking.md).

bats_require_minimum_version 1.5.0

setup_file() {
	load ../lib/direct.bash
	direct_root direct-escape direct-servers
	direct_host_programs
	direct_ready
}

setup() {
	load ../lib/oracle.bash
	export MASU_DEBUG=${MASU_DEBUG:-$REPO/build-debug/bin/masu}
	DEBIAN=(-v /usr:/usr:ro)
}

teardown() {
	local id
	for id in $("$MASU" ps -aq); do
		"$MASU" rm -f "$id" >/dev/null || true
	done
	[ -z "${HOST_SERVER:-}" ] || kill "$HOST_SERVER" 2>/dev/null || true
	wait_until 10 nothing_is_left
}

nothing_is_left() {
	! ip link show masu0 2>/dev/null && [ -z "$(nft list ruleset)" ] &&
		[ -z "$(find "$MASU_RUNROOT/networks" -name '[0-9]*' 2>/dev/null)" ]
} >/dev/null

m() { "$MASU" "$@" 3>&- 4>&-; }

# start NAME [OPTION...] -- COMMAND...: detached, on a host port 8080 that is to be direct.
start() {
	local name=$1 options=()
	shift
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	m run -d --name "$name" "${options[@]}" busybox:local "$@" >/dev/null
}

# The modes of a published port: "direct nat" is IPv4 direct and IPv6 not.
modes() { m inspect "$1" | jq -r ".[0].NetworkSettings.Ports[\"${2:-80/tcp}\"] | map(.Mode) | join(\" \")"; }
is_direct() { [ "$(modes "$@")" = "direct direct" ] || [ "$(modes "$@")" = direct ] || [ "$(modes "$@")" = "direct nat" ]; }
page() { wait_until 5 curl -fs -o /dev/null --max-time 1 "$1" && curl -fs --max-time 10 "$1"; }
from_lan() { ip netns exec lan "$@"; }
address_of() { m inspect "$1" | jq -r ".[0].NetworkSettings.$2"; }
HTTPD='mkdir -p /www; echo served >/www/page; exec httpd -f -p 80 -h /www'

@test "a server becomes direct when it listens, and nothing is translated any more" {
	start web -p 8080:80,mode=direct -- sh -c "$HTTPD"
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	[ "$(modes web)" = "direct direct" ]
	[ "$(page 'http://[::1]:8080/page')" = served ]
	[ "$(from_lan curl -fs http://10.9.0.1:8080/page)" = served ]
	[ "$(from_lan curl -fs 'http://[fd09::1]:8080/page')" = served ]
	[ -z "$(nft list map inet masu0 port4 | grep 8080)" ]
	[ -z "$(nft list map inet masu0 port6 | grep 8080)" ]
	# It listens in the host's namespace, and in the container's there is nothing.
	ss -Hltn sport = :8080 | grep -q LISTEN
	[ -z "$(nsenter -n -t "$(address_of web SandboxID >/dev/null; m inspect -f '{{.State.Pid}}' web)" ss -Hltn)" ]
}

@test "until a server listens, and where it is not asked for, a port is translated" {
	start web -p 8080:80,mode=nat -p 8081:81,mode=nat -p 8082:82,mode=direct -- sh -c "$HTTPD"
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	[ "$(modes web)" = "nat nat" ]
	[ "$(modes web 81/tcp)" = "nat nat" ]
	m inspect web | jq -e '.[0].NetworkSettings.Ports["80/tcp"][0] | has("ModeReason") | not'
	[ "$(modes web 82/tcp)" = "nat nat" ]
	nft list map inet masu0 port4 | grep -q 8082
}

@test "the client's own address is what the server sees, from the host's loopback too" {
	start web -p 8080:80,mode=direct -- direct-servers peer 80
	wait_until 5 is_direct web
	[ "$(from_lan nc -w 1 10.9.0.1 8080 </dev/null)" = "10.9.0.2 80" ]
	[ "$(nc -w 1 127.0.0.1 8080 </dev/null)" = "127.0.0.1 80" ]
}

@test "the host port is reserved from the start, and stays so when the server is gone" {
	start web -p 8080:80,mode=direct -- sh -c 'sleep 1000'
	run m run --rm -p 8080:80 busybox:local true
	[ "$status" -eq 125 ]
	[[ $output == *"Bind for 0.0.0.0:8080 failed: port is already allocated"* ]]
	m exec -d web sh -c "$HTTPD"
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	is_direct web
	m exec web killall httpd
	run python3 -c 'import socket; s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(("", 8080))'
	[[ $output == *"Address already in use"* ]]
}

@test "a server that ends and listens again, by restart and by exec, is direct again" {
	start web -p 8080:80,mode=direct -- sh -c 'mkdir /www; echo served >/www/page; while :; do httpd -f -p 80 -h /www; done'
	for _ in 1 2 3; do
		[ "$(page http://127.0.0.1:8080/page)" = served ]
		is_direct web
		m exec web killall httpd
	done
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	m restart -t 0 web >/dev/null
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	is_direct web
}

@test "a port of 127.0.0.1 is the host's alone; one of an address is that address's alone" {
	start web -p 127.0.0.1:8080:80,mode=direct -- sh -c "$HTTPD"
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	is_direct web
	run from_lan curl -s --max-time 1 http://10.9.0.1:8080/page
	[ "$status" -eq 7 ]
	m rm -f web >/dev/null
	start web2 -p 10.9.0.1:8080:80,mode=direct -- sh -c "$HTTPD"
	[ "$(from_lan curl -fs --retry 5 --retry-connrefused http://10.9.0.1:8080/page)" = served ]
	is_direct web2
	run curl -s --max-time 1 http://127.0.0.1:8080/page
	[ "$status" -eq 7 ]
}

@test "inside, the server is reached at the loopback addresses and at the container's own" {
	start web -p 8080:80,mode=direct -- sh -c "$HTTPD"
	page http://127.0.0.1:8080/page
	is_direct web
	[ "$(m exec web wget -qO- http://127.0.0.1/page)" = served ]
	[ "$(m exec web wget -qO- http://127.9.9.9/page)" = served ]
	[ "$(m exec web wget -qO- "http://$(address_of web IPAddress)/page")" = served ]
	[ "$(m exec web wget -qO- 'http://[::1]/page')" = served ]
	[ "$(m exec web wget -qO- "http://[$(address_of web GlobalIPv6Address)]/page")" = served ]
	# Another port, and another protocol, are the container's own.
	run m exec web wget -qO- http://127.0.0.1:8080/page
	[ "$status" -ne 0 ]
}

@test "what cannot be direct is translated, and works as ever" {
	local option
	for option in --privileged "--cap-add NET_ADMIN" "--cap-add SYS_ADMIN" "--security-opt seccomp=unconfined"; do
		# shellcheck disable=SC2086 # words
		start web $option -p 8080:80,mode=direct -- sh -c "$HTTPD"
		[ "$(page http://127.0.0.1:8080/page)" = served ]
		[ "$(modes web)" = "nat nat" ]
		m inspect web | jq -e '.[0].NetworkSettings.Ports["80/tcp"][0].ModeReason | length > 10'
		m rm -f web >/dev/null
	done
	# Twice the same port of the container, and SCTP.
	start web -p 8080:80,mode=direct -p 8081:80,mode=direct -p 8080:80/sctp,mode=direct -- sh -c "$HTTPD"
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	[ "$(page http://127.0.0.1:8081/page)" = served ]
	[ "$(modes web)" = "nat nat nat nat" ]
	[ "$(modes web 80/sctp)" = "nat nat" ]
}

@test "a server on the container's loopback alone is not published" {
	start web -p 8080:80,mode=direct -- sh -c 'mkdir /www; echo served >/www/page; exec httpd -f -p 127.0.0.1:80 -h /www'
	wait_until 5 m exec web wget -qO- http://127.0.0.1/page
	[ "$(modes web)" = "nat nat" ]
	run curl -s --max-time 1 http://10.9.0.1:8080/page
	[ "$status" -ne 0 ]
}

listens() { nc -z -w 1 ::1 8080 || nc -z -w 1 127.0.0.1 8080; }

@test "options, descriptor flags and what epoll was asked survive" {
	local way
	for way in options cloexec nonblock epoll-before dup-after fork reuseport ipv6only; do
		start web -p 8080:80,mode=direct -- direct-servers "$way" 80
		wait_until 5 listens
		run nc -w 2 "$([ $way = ipv6only ] && echo ::1 || echo 127.0.0.1)" 8080 </dev/null
		[ "$output" = ok ] || { echo "$way: $output"; m logs web; return 1; }
		is_direct web || [ "$(modes web)" = "nat direct" ]
		m rm -f web >/dev/null
	done
}

# echoes EXPECTED ADDRESS [COMMAND...]: a datagram to port 8080 comes back, within five seconds.
echoes() {
	wait_until 5 says_by_udp "$@"
}
says_by_udp() {
	[ "$("${@:3}" timeout 1 nc -u -w 1 "$2" 8080 <<<hello | head -n 1)" = "$1" ]
}
says_inside() {
	[ "$(m exec web sh -c 'echo hi | timeout 1 /usr/bin/nc.openbsd -u -w 1 127.0.0.1 80 | head -n 1')" = "$1" ]
}

@test "a datagram server is direct from its bind on, and knows its own port" {
	start web -p 8080:80/udp,mode=direct -- direct-servers udp4 80
	echoes "80 hello" 127.0.0.1
	echoes "80 hello" 10.9.0.1 ip netns exec lan
	[ "$(modes web 80/udp)" = "direct nat" ]
	m rm -f web >/dev/null
	start web "${DEBIAN[@]}" -p 8080:80/udp,mode=direct -p 8080:80,mode=direct -- sh -c "direct-servers udp6 80 & $HTTPD"
	echoes "80 hello" 127.0.0.1
	echoes "80 hello" 10.9.0.1 ip netns exec lan
	echoes "80 hello" fd09::1 ip netns exec lan
	echoes "80 hello" ::1
	[ "$(modes web 80/udp)" = "direct direct" ]
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	[ "$(modes web 80/tcp)" = "direct direct" ]
	# Inside, and what has nothing to do with the port.
	wait_until 5 says_inside "80 hi"
	m exec web sh -c "ping -c 1 -W 1 10.9.0.2" >/dev/null
	m restart -t 0 web >/dev/null
	echoes "80 hello" 10.9.0.1 ip netns exec lan
}

@test "a datagram server at one address of the host, from outside and from inside" {
	start web "${DEBIAN[@]}" -p 10.9.0.1:8080:80/udp,mode=direct -- direct-servers udp4 80
	echoes "80 hello" 10.9.0.1 ip netns exec lan
	[ "$(modes web 80/udp)" = direct ]
	wait_until 5 says_inside "80 hi"
}

@test "a client that was sending before is led to the server that came" {
	start web -p 8080:80/udp,mode=direct -- sh -c 'until [ -e /go ]; do sleep 0.05; done; exec direct-servers udp4 80'
	coproc CLIENT { python3 -u -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.connect(("10.9.0.1", 8080))
for line in sys.stdin:
    for attempt in range(3): # what was refused before is told at the next call
        try:
            s.send(line.strip().encode())
            print(s.recv(100).decode())
            break
        except OSError as error:
            failed = error
    else:
        print(failed)
' 3>&- 4>&-; }
	local answer
	echo early >&"${CLIENT[1]}"
	read -r -t 5 answer <&"${CLIENT[0]}"
	[[ $answer == *refused* ]]
	m exec web touch /go
	wait_until 5 is_direct_udp
	echo late >&"${CLIENT[1]}"
	read -r -t 5 answer <&"${CLIENT[0]}"
	[ "$answer" = "80 late" ]
	kill "$CLIENT_PID"
}
is_direct_udp() { [ "$(modes web 80/udp)" = "direct nat" ]; }

@test "the translation comes back to nobody when others make the table again" {
	start web -p 8080:80,mode=direct -- sh -c "$HTTPD"
	page http://127.0.0.1:8080/page
	nft flush ruleset
	m run --rm -p 8090:90 busybox:local true
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	[ -z "$(nft list map inet masu0 port4 | grep 8080)" ]
}

@test "a listener that is a Unix socket knows who listens" {
	start web -p 8080:80,mode=direct -- direct-servers unix-peer 80
	wait_until 5 eval 'm logs web | grep -q .'
	[ "$(m logs web)" = "uid 0 own pid" ]
}

@test "it becomes direct however the container is started" {
	m create --name web -p 8080:80,mode=direct busybox:local sh -c "$HTTPD" >/dev/null
	m start web >/dev/null
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	is_direct web
	m stop -t 0 web >/dev/null
	m start web >/dev/null
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	is_direct web
	m rm -f web >/dev/null
	# Without privileges, with a terminal, and restarted by its policy.
	start web -t --user 1000 --security-opt no-new-privileges --restart always -p 8080:8000,mode=direct -- sh -c '
		mkdir /tmp/www; echo served >/tmp/www/page; exec httpd -f -p 8000 -h /tmp/www'
	for _ in 1 2; do
		[ "$(page http://127.0.0.1:8080/page)" = served ]
		[ "$(modes web 8000/tcp)" = "direct direct" ]
		kill -9 "$(m inspect -f '{{.State.Pid}}' web)"
	done
	[ "$(page http://127.0.0.1:8080/page)" = served ]
}

@test "a paused container keeps its port, and listens when it goes on" {
	start web -p 8080:80,mode=direct -- sh -c 'mkdir /www; echo served >/www/page
		until [ -e /go ]; do :; done; exec httpd -f -p 80 -h /www'
	m pause web >/dev/null
	touch "$BATS_TEST_TMPDIR/go"
	m cp "$BATS_TEST_TMPDIR/go" web:/go
	[ "$(modes web)" = "nat nat" ]
	m unpause web >/dev/null
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	is_direct web
	m pause web >/dev/null
	run curl -s --max-time 0.5 http://127.0.0.1:8080/page
	[ "$status" -eq 28 ]
	m unpause web >/dev/null
	[ "$(page http://127.0.0.1:8080/page)" = served ]
}

has_at_most() { # pid, open files
	[ "$(find "/proc/$1/fd" -type l | wc -l)" -le "$2" ]
}

@test "the monitor keeps nothing of processes that have ended, nor of the socket" {
	start web -p 8080:80,mode=direct -- sh -c "$HTTPD"
	page http://127.0.0.1:8080/page
	local before monitor
	monitor=$(jq -r .MonitorPid "$MASU_RUNROOT/containers/$(m inspect -f '{{.Id}}' web)/live.json")
	before=$(find "/proc/$monitor/fd" -type l | wc -l)
	for _ in 1 2 3; do
		m exec web true
	done
	wait_until 5 has_at_most "$monitor" "$before"
	[ -z "$(find "/proc/$monitor/fd" -lname "socket:\\[$(ss -Hltne sport = :8080 | grep -o 'ino:[0-9]*' | cut -d: -f2)\\]")" ]
}

# --- the guard ---

# A server of the host that nobody published; its port is in PORT.
host_server() {
	PORT=7777
	nc -lk 127.0.0.1 $PORT >/dev/null 2>&1 3>&- 4>&- &
	HOST_SERVER=$!
	wait_until 5 nc -z 127.0.0.1 $PORT
}

# attempt WAY: its verdict. MASU is the program that makes the container.
attempt() {
	m run -d --name attack -p "8080:80${PROTOCOL:-},mode=direct" busybox:local direct-escape "$1" $PORT >/dev/null
	if [[ $1 == accepted-* ]]; then
		wait_until 5 eval 'm logs attack | grep -q waiting'
		nc -w 2 127.0.0.1 8080 </dev/null >/dev/null 2>&1 || true
	fi
	wait_until 5 eval 'm logs attack 2>&1 | grep -qE "held|breached"'
	m logs attack 2>&1 | grep -oE "held|breached"
	[ "$(modes attack "80${PROTOCOL:-/tcp}")" = "direct nat" ] || echo "not direct"
	m rm -f attack >/dev/null
}

with_debug_without() { # defence, command
	[ -x "$MASU_DEBUG" ] || skip "$MASU_DEBUG is missing; run tools/build debug"
	local defence=$1
	shift
	ASAN_OPTIONS=detect_leaks=0 MASU_TEST_WITHOUT=$defence MASU=$MASU_DEBUG \
		MASU_LIBEXEC=${MASU_DEBUG%/*}/libexec/masu "$@"
}

escape() { # way, defence
	host_server
	[ "$(attempt "$1")" = held ]
	[ "$(with_debug_without "$2" attempt "$1")" = breached ]
}

@test "the listening socket cannot be disconnected and connected to the host" { escape connect direct-guard; }
@test "nor by sending with MSG_FASTOPEN" { escape fastopen direct-guard; }
@test "an accepted connection cannot be disconnected and connected to the host" { escape accepted-connect direct-guard; }
@test "nor by sending with MSG_FASTOPEN " { escape accepted-fastopen direct-guard; }
@test "an accepted connection cannot be bound to another port of the host" { escape accepted-bind direct-guard; }
@test "an accepted connection cannot listen on a port the kernel chooses" { escape accepted-autobind direct-listen; }
@test "a datagram socket sends to nobody it has not heard from" {
	PROTOCOL=/udp escape udp-send direct-guard
}
@test "nor can it be connected to anybody" { PROTOCOL=/udp escape udp-connect direct-guard; }
@test "a socket of the host gives neither its namespace nor power over its interfaces" {
	host_server
	[ "$(attempt ioctl)" = held ]
}
@test "it takes no mark, interface or group of the host" { escape options direct-options; }
@test "nor does an accepted connection" { escape accepted-options direct-options; }
@test "nor a datagram socket, nor may that send in another one's name" {
	PROTOCOL=/udp escape udp-options direct-options
	kill "$HOST_SERVER"
	PROTOCOL=/udp escape udp-transparent direct-options
}

# passed: an accepted connection goes to another container, which tries to use it.
passed() {
	local shared=$BATS_TEST_TMPDIR/shared
	rm -rf "$shared"
	mkdir -m 777 "$shared"
	m run -d --name attack -p 8080:80,mode=direct -v "$shared:/shared" busybox:local direct-escape accepted-pass $PORT >/dev/null
	wait_until 5 eval 'm logs attack | grep -q waiting'
	nc -w 2 127.0.0.1 8080 </dev/null >/dev/null 2>&1 || true
	wait_until 5 test -S "$shared/door"
	m run -d --name helper -v "$shared:/shared" busybox:local direct-escape received-connect $PORT >/dev/null
	wait_until 5 eval 'm logs helper 2>&1 | grep -qE "held|breached"'
	m logs helper 2>&1 | grep -oE "held|breached"
	m rm -f attack helper >/dev/null
}
@test "a socket that is passed to another container takes its guard along" {
	host_server
	[ "$(passed)" = held ]
	[ "$(with_debug_without direct-guard passed)" = breached ]
}
