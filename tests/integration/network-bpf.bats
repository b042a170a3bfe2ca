#!/usr/bin/env bats
# Ports that BPF programs translate (mode=bpf), driven without containers by network-driver: a neighbour's
# namespace ("lan") in front of the test host, and namespaces behind the bridge in place of containers.

load ../lib/sample

bats_require_minimum_version 1.5.0

setup_file() {
	load ../lib/lan.bash
	lan_make 6
	ip -n lan link set lo up
}

setup() {
	load ../lib/oracle.bash
	DRIVER=${NETWORK_DRIVER:-$REPO/build-debug/tests/network-driver}
	[ -x "$DRIVER" ] || skip "tools/build debug makes $DRIVER"
	PEER=$REPO/tests/integration/network-peer.py
	TCX=$REPO/tests/lib/tcx.py
	ROOT=$BATS_TEST_TMPDIR/root RUN=$BATS_TEST_TMPDIR/root-run
	mkdir "$ROOT" "$RUN"
	pids=() spaces=()
}

teardown() {
	[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
	[ ${#pids[@]} -eq 0 ] || wait "${pids[@]}" || true
	local space root
	for root in root other; do
		for space in "${spaces[@]}"; do
			[ ! -f "$BATS_TEST_TMPDIR/$root-run/$space.json" ] || on_root $root disconnect "$space"
		done
	done
	for space in "${spaces[@]}"; do ip netns del "$space" || true; done
	for root in root other; do [ ! -d "$BATS_TEST_TMPDIR/$root" ] || on_root $root retire 0; done
	"$TCX" list
	ip -o link show type bridge
	[ -z "$("$TCX" list; ip -o link show type bridge)" ]
}

on_root() { # root, verb...
	local root=$BATS_TEST_TMPDIR/$1
	shift
	"$DRIVER" "$root" "$root-run" "$@"
}
drive() { "$DRIVER" "$ROOT" "$RUN" "$@"; }

# A namespace called $1 behind the bridge with the rest of the arguments published.
container() {
	local name=$1
	shift
	ip netns add "$name"
	spaces+=("$name")
	drive connect "$name" "/run/netns/$name" - "$@" >/dev/null
}

in_background() { # namespace, command...
	local space=$1
	shift
	ip netns exec "$space" "$@" >/dev/null 2>&1 3>&- &
	pids+=($!)
}
serve() { # namespace, tcp|udp, port
	in_background "$1" "$PEER" serve "$2" "$3" "$1"
	wait_until 20 listening "$1" "-$2" "$3"
}
listening() { ip netns exec "$1" ss -Hln "${2/-/--}" "sport = :$3" | grep -q .; }

ask() { "$PEER" ask "$@"; }
from() { # namespace, what network-peer.py is to do
	local space=$1
	shift
	ip netns exec "$space" "$PEER" "$@"
}
address4() { jq -r .IPAddress "${2:-$RUN}/$1.json"; }
address6() { jq -r .GlobalIPv6Address "$RUN/$1.json"; }
gateway4() { jq -r .Gateway "$RUN/$1.json"; }
gateway6() { jq -r .IPv6Gateway "$RUN/$1.json"; }
tracked() { sysctl -n net.netfilter.nf_conntrack_count; }
# What the programs do stops when they are gone: so each of these tests would notice.
unprogram() { local program; for program in "$@"; do "$TCX" detach "$program"; done; }

@test "tcp and udp of both families reach the container, which sees the client, and nothing is tracked" {
	container c1 8080:80,mode=bpf 5353:53/udp,mode=bpf
	serve c1 tcp 80
	serve c1 udp 53
	local address
	[ "$(from lan ask tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
	[ "$(from lan ask tcp fd09::1 8080)" = "c1 fd09::2" ]
	[ "$(from lan ask udp 10.9.0.1 5353)" = "c1 10.9.0.2" ]
	[ "$(from lan ask udp fd09::1 5353)" = "c1 fd09::2" ]
	# The host itself, at every address it has: from one of its own, or from its loopback.
	for address in 10.9.0.1 fd09::1; do
		[ "$(ask tcp $address 8080)" = "c1 $address" ]
		[ "$(ask udp $address 5353)" = "c1 $address" ]
	done
	[ "$(ask tcp 127.0.0.1 8080)" = "c1 $(gateway4 c1)" ]
	[ "$(ask udp 127.0.0.1 5353)" = "c1 $(gateway4 c1)" ]
	[ "$(ask tcp ::1 8080)" = "c1 $(gateway6 c1)" ]
	[ "$(ask udp ::1 5353)" = "c1 $(gateway6 c1)" ]
	# A container: its own published port, and that of a neighbour.
	container c2
	[ "$(from c2 ask tcp 10.9.0.1 8080)" = "c1 $(gateway4 c1)" ]
	[ "$(from c2 ask udp fd09::1 5353)" = "c1 $(gateway6 c1)" ]
	[ "$(from c1 ask tcp 10.9.0.1 8080)" = "c1 $(gateway4 c1)" ]
	[ "$(from c1 ask tcp fd09::1 8080)" = "c1 $(gateway6 c1)" ]
	! nft list ruleset | grep -q "type nat"
	[ "$(tracked)" = 0 ]
	run ask tcp 10.9.0.1 8081
	[ "$status" -eq 1 ]
	unprogram masu_in
	run from lan ask tcp 10.9.0.1 8080
	[ "$status" -eq 1 ]
	[ "$(ask tcp 10.9.0.1 8080)" = "c1 10.9.0.1" ]
	unprogram masu_lo masu_bridge
	run ask tcp 10.9.0.1 8080
	[ "$status" -eq 1 ]
}

@test "an interface that comes later has the ports from the next container that publishes; another default route changes nothing" {
	container c1 8080:80,mode=bpf
	serve c1 tcp 80
	ip link add later type veth peer name eth1 netns lan
	ip addr add 10.99.0.1/24 dev later
	ip link set later up
	ip -n lan addr add 10.99.0.2/24 dev eth1
	ip -n lan link set eth1 up
	run from lan ask tcp 10.99.0.1 8080
	[ "$status" -eq 1 ]
	container c2 8081:80,mode=bpf
	[ "$(from lan ask tcp 10.99.0.1 8080)" = "c1 10.99.0.2" ]
	# The host's way out leads there from now on: what comes in, and what goes out with its address.
	ip route replace default via 10.99.0.2
	serve lan tcp 9000
	[ "$(from lan ask tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
	[ "$(from lan ask tcp 10.99.0.1 8080)" = "c1 10.99.0.2" ]
	ip -n lan addr add 10.98.0.1/32 dev lo
	[ "$(from c1 ask tcp 10.98.0.1 9000)" = "lan 10.99.0.1" ]
	ip route del default
	ip link del later
}

# What a container's monitor makes is killed with it; the container's namespace goes with its processes.
again() { # name: in a new namespace of that name
	ip netns del "$1"
	wait_until 10 no_cables
	ip netns add "$1"
}
no_cables() { ! ip -o link show type veth | grep -q "master masu"; }

@test "killed between any two steps of installing, it leaves nothing that keeps the next one from working" {
	local stepper=$BATS_TEST_TMPDIR/stepper total at step connect
	gcc -O1 -Wall -D_GNU_SOURCE "$REPO/tests/torture/stepper.c" -o "$stepper"
	export ASAN_OPTIONS=detect_leaks=0 # it does not work in a traced process
	connect=("$DRIVER" "$ROOT" "$RUN" connect c1 /run/netns/c1 - 8080:80,mode=bpf)
	ip netns add c1
	spaces+=(c1)
	total=$("$stepper" count "${connect[@]}" 3>&1 >/dev/null 2>/dev/null)
	[ "$total" -gt 60 ]
	# A dozen of them, others with another SEED; with POINTS=0 each.
	step=1
	[ "${POINTS:-12}" -eq 0 ] || step=$((total / ${POINTS:-12}))
	sample_points
	for ((at = 1 + RANDOM % step; at <= total; at += step)); do
		drive disconnect c1
		drive retire 0
		again c1
		"$stepper" kill $at "${connect[@]}" >/dev/null 2>&1 || true
		again c1
		"${connect[@]}" >/dev/null || { echo "killed at $at of $total"; false; }
		[ "$("$TCX" list | sort | uniq -c | grep -v "^ *1 ")" = "" ] || { echo "killed at $at of $total"; "$TCX" list; false; }
		serve c1 tcp 80
		[ "$(from lan ask tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ] || { echo "killed at $at of $total"; false; }
		kill "${pids[-1]}"
		unset "pids[-1]"
	done
}

@test "a port on one address is only there; one on 127.0.0.1 is the host's alone" {
	container c1 127.0.0.1:8080:80,mode=bpf 10.9.0.1:8081:80,mode=bpf "[fd09::1]:8082:80,mode=bpf" \
		"[::1]:8083:80" 127.0.0.2:8084:80,mode=bpf
	serve c1 tcp 80
	# ::1 needs no mode: nothing else translates it.
	[[ $(ask tcp ::1 8083) == "c1 "* ]]
	[[ $(ask tcp 127.0.0.2 8084) == "c1 "* ]]
	run ask tcp 127.0.0.1 8084
	[ "$status" -eq 1 ]
	run from lan ask tcp fd09::1 8083
	[ "$status" -eq 1 ]
	[[ $(ask tcp 127.0.0.1 8080) == "c1 "* ]]
	run from lan ask tcp 10.9.0.1 8080
	[ "$status" -eq 1 ]
	[ "$(from lan ask tcp 10.9.0.1 8081)" = "c1 10.9.0.2" ]
	[ "$(from lan ask tcp fd09::1 8082)" = "c1 fd09::2" ]
	run ask tcp 127.0.0.1 8081
	[ "$status" -eq 1 ]
	run from lan ask tcp fd09::1 8081
	[ "$status" -eq 1 ]
	# The neighbour sends to 127.0.0.1 as to any address; the guard is taken away as well.
	ip netns exec lan sysctl -qw net.ipv4.conf.all.route_localnet=1
	ip -n lan rule add lookup local pref 2
	ip -n lan rule add to 127.0.0.1 lookup 100 pref 1
	ip -n lan rule del pref 0
	ip -n lan route add 127.0.0.1 via 10.9.0.1 table 100
	nft flush chain inet masu0 guard
	run from lan ask tcp 127.0.0.1 8080
	ip -n lan rule add lookup local pref 0
	ip -n lan rule del pref 1
	ip -n lan rule del pref 2
	[ "$status" -ne 0 ]
}

@test "datagrams in parts, refusals and the path's MTU find their way" {
	container c1 8080:80,mode=bpf 5353:53/udp,mode=bpf 5454:54/udp,mode=bpf
	in_background c1 "$PEER" echo 53
	in_background c1 "$PEER" give 80 300000
	wait_until 20 listening c1 -udp 53
	wait_until 20 listening c1 -tcp 80
	[ "$(from lan bounce 10.9.0.1 5353 9000)" = 9000 ]
	[ "$(from lan bounce fd09::1 5353 9000)" = 9000 ]
	[ "$(from lan bounce 10.9.0.1 5353 300)" = 300 ]
	[ "$("$PEER" bounce 127.0.0.1 5353 1400)" = 1400 ]
	# Nobody has port 54: the container's answer says so.
	run from lan ask udp 10.9.0.1 5454
	[ "$status" -eq 1 ]
	run from lan ask udp fd09::1 5454
	[ "$status" -eq 1 ]
	run ask udp 127.0.0.1 5454
	[ "$status" -eq 1 ]
	# Behind the neighbour, and behind 1300 bytes.
	ip netns add far
	spaces+=(far)
	ip link add far0 netns lan mtu 1300 type veth peer name eth0 netns far mtu 1500
	ip -n lan addr add 10.8.0.1/24 dev far0
	ip -n lan -6 addr add fd08::1/64 dev far0 nodad
	ip -n far addr add 10.8.0.2/24 dev eth0
	ip -n far -6 addr add fd08::2/64 dev eth0 nodad
	ip -n lan link set far0 up
	ip -n far link set eth0 up
	ip -n far route add default via 10.8.0.1
	ip -n far -6 route add default via fd08::1
	ip netns exec lan sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	ip route add 10.8.0.0/24 via 10.9.0.2
	ip -6 route add fd08::/64 via fd09::2
	[ "$(from far take 10.9.0.1 8080)" = 300000 ]
	[ "$(from far take fd09::1 8080)" = 300000 ]
	ip netns exec c1 ip route show cache | grep -q "10.8.0.2.* mtu 1300" ||
		ip netns exec c1 ip route get 10.8.0.2 | grep -q "mtu 1300"
	ip route del 10.8.0.0/24
	ip -6 route del fd08::/64
}

@test "containers reach the outside as the host, with ports that no socket of the host has" {
	container c1 8080:80,mode=bpf
	container c2
	in_background lan "$PEER" serve tcp 7000 lan
	in_background lan "$PEER" serve udp 7000 lan
	in_background lan "$PEER" echo 7001
	wait_until 20 listening lan -tcp 7000
	wait_until 20 listening lan -udp 7001
	local space
	for space in c1 c2; do
		[ "$(from $space ask tcp 10.9.0.2 7000)" = "lan 10.9.0.1" ]
		[ "$(from $space ask udp 10.9.0.2 7000)" = "lan 10.9.0.1" ]
		[ "$(from $space ask tcp fd09::2 7000)" = "lan fd09::1" ]
		[ "$(from $space ask udp fd09::2 7000)" = "lan fd09::1" ]
		[ "$(from $space bounce 10.9.0.2 7001 9000)" = 9000 ]
		[ "$(from $space bounce fd09::2 7001 9000)" = 9000 ]
		ip netns exec $space busybox ping -q -c 1 -W 2 10.9.0.2
		ip netns exec $space busybox ping -q -c 1 -W 2 fd09::2
		# Nobody is there, and says so.
		run from $space ask udp 10.9.0.2 7999
		[ "$status" -eq 1 ]
	done
	# All from the same port to the same peer, while a socket of the host has it.
	run python3 - "$PEER" <<-'PYTHON'
		import socket, subprocess, sys
		host = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		host.bind(("", 20000))
		host.connect(("10.9.0.2", 7000))
		host.settimeout(3)
		for space in ("c1", "c2", "c1"):
		    subprocess.run(["ip", "netns", "exec", space, sys.argv[1], "ask", "udp", "10.9.0.2", "7000", "20000"], check=True)
		host.send(b"?")
		print(host.recv(64).decode().strip())
	PYTHON
	[ "$status" -eq 0 ]
	[ "$(grep -c "^lan 10.9.0.1$" <<<"$output")" = 4 ]
	[ "$(tracked)" = 0 ]
	# What is not translated is not for containers; and without the program nothing goes out.
	ip -n lan route add "$(address4 c1)" via 10.9.0.1
	serve c1 tcp 81
	run from lan ask tcp "$(address4 c1)" 81
	[ "$status" -ne 0 ]
	ip -n lan route del "$(address4 c1)"
	unprogram masu_out
	run from c1 ask udp 10.9.0.2 7000
	[ "$status" -ne 0 ]
}

@test "nat ports beside them are translated as before, and a network that has nat keeps its masquerading" {
	container c1 8080:80,mode=bpf
	container c2 8081:80
	serve c1 tcp 80
	serve c2 tcp 80
	[ "$(from lan ask tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
	[ "$(from lan ask tcp 10.9.0.1 8081)" = "c2 10.9.0.2" ]
	[[ $(ask tcp 127.0.0.1 8081) == "c2 "* ]]
	[ "$(from c2 ask tcp 10.9.0.1 8080)" = "c1 $(gateway4 c1)" ]
	[ "$(from c1 ask tcp 10.9.0.1 8081)" = "c2 $(gateway4 c1)" ]
	in_background lan "$PEER" serve tcp 7000 lan
	wait_until 20 listening lan -tcp 7000
	[ "$(from c2 ask tcp 10.9.0.2 7000)" = "lan 10.9.0.1" ]
	drive disconnect c1
	drive disconnect c2
	ip netns del c1
	ip netns del c2
	spaces=()
	drive retire 0
	[ -z "$("$TCX" list)" ]
	# The other way round.
	container c3 8081:80
	container c4 8080:80,mode=bpf
	serve c3 tcp 80
	serve c4 tcp 80
	[ "$(from lan ask tcp 10.9.0.1 8080)" = "c4 10.9.0.2" ]
	[ "$(from lan ask tcp 10.9.0.1 8081)" = "c3 10.9.0.2" ]
	[ "$(from c4 ask tcp 10.9.0.2 7000)" = "lan 10.9.0.1" ]
	! "$TCX" list | grep -q masu_out
}

@test "a port that another has now leads there, for those too that were sending datagrams" {
	container c1 5353:53/udp,mode=bpf
	serve c1 udp 53
	[ "$(from lan ask udp 10.9.0.1 5353 40000)" = "c1 10.9.0.2" ]
	drive disconnect c1
	container c2 5353:53/udp,mode=bpf
	serve c2 udp 53
	[ "$(from lan ask udp 10.9.0.1 5353 40000)" = "c2 10.9.0.2" ]
	drive disconnect c2
	run from lan ask udp 10.9.0.1 5353 40000
	[ "$status" -ne 0 ]
}

@test "two roots on one host have programs of their own, and what a crash leaves is found" {
	local other=$BATS_TEST_TMPDIR/other
	mkdir "$other" "$other-run"
	container c1 8080:80,mode=bpf
	serve c1 tcp 80
	ip netns add o1
	spaces+=(o1)
	on_root other connect o1 /run/netns/o1 - 8081:80,mode=bpf >/dev/null
	serve o1 tcp 80
	[ "$(from lan ask tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
	[ "$(from lan ask tcp 10.9.0.1 8081)" = "o1 10.9.0.2" ]
	# From one bridge to what the other publishes, and not to its containers.
	[[ $(from c1 ask tcp 10.9.0.1 8081) == "o1 "* ]]
	[[ $(from o1 ask tcp 10.9.0.1 8080) == "c1 "* ]]
	run from c1 ask tcp "$(address4 o1 "$other-run")" 80
	[ "$status" -ne 0 ]
	# Whoever removed the bridge left its programs elsewhere.
	ip link del masu1
	[ "$("$TCX" list | grep -c "^lan0 in masu_in$")" = 2 ]
	[ "$(from lan ask tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
	run -1 "$MASU" --root "$ROOT" --runroot "$RUN" system check
	[[ $output == *"have BPF programs of a bridge that is gone"* ]]
	"$MASU" --root "$ROOT" --runroot "$RUN" system check --repair
	[ "$("$TCX" list | grep -c "^lan0 in masu_in$")" = 1 ]
	[ "$(from lan ask tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
	nft delete table inet masu1
}

@test "where it cannot be had it is refused by name, and left out of what is automatic" {
	ip netns add c1
	spaces+=(c1)
	run drive connect c1 /run/netns/c1 - 9999:99/sctp,mode=bpf
	[ "$status" -ne 0 ]
	[[ $output == *"port 99 cannot have mode=bpf: it translates TCP and UDP only"* ]]
	export MASU_TEST_WITHOUT=tcx
	run drive connect c1 /run/netns/c1 - 8080:80,mode=bpf
	[ "$status" -ne 0 ]
	[[ $output == *"port 80 cannot have mode=bpf: BPF programs cannot be attached"* ]]
	run drive connect c1 /run/netns/c1 - "[::1]:8080:80"
	[ "$status" -ne 0 ]
	[[ $output == *"port 80 cannot be published at ::1: BPF programs cannot be attached"* ]]
	[ -z "$("$TCX" list)" ]
	drive connect c1 /run/netns/c1 - 8080:80,mode=auto >/dev/null
	unset MASU_TEST_WITHOUT
	serve c1 tcp 80
	[ "$(from lan ask tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
	[ -z "$("$TCX" list)" ]
}
