# Bridge networks, driven without containers by network-driver: a neighbour's namespace ("lan") in
# front of the test host, and namespaces behind the bridge in place of containers.

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
	ROOT=$BATS_TEST_TMPDIR/root RUN=$BATS_TEST_TMPDIR/run
	mkdir "$ROOT" "$RUN"
	pids=() spaces=()
}

teardown() {
	[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
	# A namespace and its interfaces live as long as a process is in it.
	[ ${#pids[@]} -eq 0 ] || wait "${pids[@]}" || true
	local space
	for space in "${spaces[@]}"; do ip netns del "$space" || true; done
	nft delete table inet masu0 2>/dev/null || true
	ip link del masu0 2>/dev/null || true
	wait_until 120 no_links
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

# The same, by a process that stays, as the monitor of a container does.
holder() {
	local name=$1 never=$BATS_TEST_TMPDIR/never
	shift
	ip netns add "$name"
	spaces+=("$name")
	mkfifo "$never"
	"$DRIVER" "$ROOT" "$RUN" hold "$name" "/run/netns/$name" - "$@" <>"$never" >/dev/null 3>&- &
	pids+=($!)
	wait_until 20 test -s "$RUN/$name.json"
}

serve() { # namespace, tcp|udp, port
	ip netns exec "$1" "$PEER" serve "$2" "$3" "$1" 3>&- &
	pids+=($!)
	wait_until 20 listening "$@"
}

listening() {
	local option=-lnt
	[ "$2" = udp ] && option=-lnu
	ip netns exec "$1" ss -H $option "sport = :$3" | grep -q .
}

ask() { "$PEER" ask "$@"; }
ask_from() { # namespace
	local space=$1
	shift
	ip netns exec "$space" "$PEER" ask "$@"
}

no_links() { ! ip -o link show type veth | grep -v lan0 | grep -q .; }
address4() { jq -r .IPAddress "$RUN/$1.json"; }
address6() { jq -r .GlobalIPv6Address "$RUN/$1.json"; }
elements() { nft -j list table inet masu0 | jq '[.nftables[] | .map? | .elem? // [] | length] | add'; }

@test "tcp and udp are published on every address of both families, with the client's address" {
	container c1 8080:80 5353:53/udp
	serve c1 tcp 80
	serve c1 udp 53
	[ "$(ask_from lan tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
	[ "$(ask_from lan tcp fd09::1 8080)" = "c1 fd09::2" ]
	[ "$(ask_from lan udp 10.9.0.1 5353)" = "c1 10.9.0.2" ]
	[ "$(ask_from lan udp fd09::1 5353)" = "c1 fd09::2" ]
}

@test "the host reaches a published port at its own addresses and at 127.0.0.1" {
	container c1 8080:80 5353:53/udp
	serve c1 tcp 80
	serve c1 udp 53
	[[ $(ask tcp 10.9.0.1 8080) == "c1 "* ]]
	[[ $(ask tcp fd09::1 8080) == "c1 "* ]]
	[[ $(ask tcp 127.0.0.1 8080) == "c1 "* ]]
	[[ $(ask udp 127.0.0.1 5353) == "c1 "* ]]
	# ::1 cannot be translated and must not hang.
	run ask tcp ::1 8080
	[ "$status" -eq 1 ]
}

# Each of these attacks is tried again without the guard chain, where it must succeed: so the test
# would notice if the guard did not hold.
unguard() { nft flush chain inet masu0 guard; }

# Makes $2 an address that namespace $1 sends to $3 like any other, although it is loopback.
route_loopback() {
	ip netns exec "$1" sysctl -qw net.ipv4.conf.all.route_localnet=1
	ip -n "$1" rule add lookup local pref 2
	ip -n "$1" rule add to "$2" lookup 100 pref 1
	ip -n "$1" rule del pref 0
	ip -n "$1" route add "$2" via "$3" table 100
}

@test "a port published on 127.0.0.1 is the host's alone" {
	container c1 127.0.0.1:8080:80
	serve c1 tcp 80
	[[ $(ask tcp 127.0.0.1 8080) == "c1 "* ]]
	run ask_from lan tcp 10.9.0.1 8080
	[ "$status" -ne 0 ]
	ip netns add attacker
	spaces+=(attacker)
	ip link add lan1 type veth peer name eth0 netns attacker
	ip addr add 10.10.0.1/24 dev lan1
	ip link set lan1 up
	ip -n attacker addr add 10.10.0.2/24 dev eth0
	ip -n attacker link set eth0 up
	route_loopback attacker 127.0.0.1 10.10.0.1
	run ask_from attacker tcp 127.0.0.1 8080
	[ "$status" -ne 0 ]
	unguard
	[[ $(ask_from attacker tcp 127.0.0.1 8080) == "c1 "* ]]
}

@test "a neighbour with a route to the subnet reaches no container (moby 45610)" {
	container c1 127.0.0.1:8080:80
	serve c1 tcp 80
	ip -n lan route add 172.16.0.0/12 via 10.9.0.1
	ip -n lan -6 route add "$(address6 c1)" via fd09::1
	local four six
	four=$(ask_from lan tcp "$(address4 c1)" 80) || true
	six=$(ask_from lan tcp "$(address6 c1)" 80) || true
	unguard
	[[ $(ask_from lan tcp "$(address4 c1)" 80) == "c1 "* ]]
	[[ $(ask_from lan tcp "$(address6 c1)" 80) == "c1 "* ]]
	ip -n lan route del 172.16.0.0/12
	ip -n lan -6 route del "$(address6 c1)"
	[ -z "$four" ]
	[ -z "$six" ]
	# The host itself reaches it.
	[[ $(ask tcp "$(address4 c1)" 80) == "c1 "* ]]
}

@test "a container reaches nothing on the host's loopback" {
	container c1
	"$PEER" serve tcp 7000 host 3>&- &
	pids+=($!)
	wait_until 20 eval 'ss -H -lnt "sport = :7000" | grep -q .'
	route_loopback c1 127.0.0.2 172.17.0.1
	run ask_from c1 tcp 127.0.0.2 7000
	[ "$status" -ne 0 ]
	unguard
	[[ $(ask_from c1 tcp 127.0.0.2 7000) == "host "* ]]
}

@test "what goes out has the host's address, and containers reach each other" {
	container c1
	container c2
	serve lan tcp 7000
	serve c2 tcp 80
	[ "$(ask_from c1 tcp 10.9.0.2 7000)" = "lan 10.9.0.1" ]
	[ "$(ask_from c1 tcp fd09::2 7000)" = "lan fd09::1" ]
	[ "$(ask_from c1 tcp "$(address4 c2)" 80)" = "c2 $(address4 c1)" ]
	[ "$(ask_from c1 tcp "$(address6 c2)" 80)" = "c2 $(address6 c1)" ]
}

@test "a container reaches its own published port and its neighbour's through the host" {
	container c1 8080:80
	container c2 9090:80
	serve c1 tcp 80
	serve c2 tcp 80
	local address
	for address in 10.9.0.1 fd09::1 172.17.0.1; do
		[[ $(ask_from c1 tcp $address 8080) == "c1 "* ]]
		[[ $(ask_from c1 tcp $address 9090) == "c2 "* ]]
	done
}

@test "a host port that is taken is refused with docker's words, and nothing is left of the attempt" {
	holder c1 8080:80
	ip netns add c2
	spaces+=(c2)
	local spec
	for spec in 8080:80 127.0.0.1:8080:80 10.9.0.1:8080:81; do
		run drive connect c2 /run/netns/c2 - 7777:1 "$spec"
		[ "$status" -ne 0 ]
		[[ $output == *"Bind for "*":8080 failed: port is already allocated" ]]
	done
	"$PEER" serve tcp 6000 host 3>&- &
	pids+=($!)
	wait_until 20 eval 'ss -H -lnt "sport = :6000" | grep -q .'
	run drive connect c2 /run/netns/c2 - 6000:80
	[[ $output == *"Bind for 0.0.0.0:6000 failed: port is already allocated" ]]
	[ "$(elements)" = 2 ]
	[ "$(find "$RUN/networks/bridge" -name '172.*' | wc -l)" = 1 ]
	wait_until 20 eval '[ "$(ip -o link show master masu0 | wc -l)" = 1 ]'
	# Another protocol is another port.
	drive connect c2 /run/netns/c2 - 8080:80/udp
}

@test "the process that connected holds the ports, and picks a free one where none is given" {
	holder c1 80 127.0.0.1::81/udp
	local any udp
	any=$(jq '.Ports[0].HostPort' "$RUN/c1.json")
	udp=$(jq '.Ports[1].HostPort' "$RUN/c1.json")
	[ "$any" -ge 1024 ] && [ "$udp" -ge 1024 ]
	run python3 -c "import socket; socket.socket().bind(('0.0.0.0', $any))"
	[ "$status" -ne 0 ]
	serve c1 tcp 80
	[ "$(ask_from lan tcp 10.9.0.1 "$any")" = "c1 10.9.0.2" ]
}

@test "a client that already sends by UDP reaches the container that is published under it" {
	container c0
	ip netns add c1
	spaces+=(c1)
	serve c1 udp 53
	local address
	for address in 10.9.0.1 fd09::1; do
		ip netns exec lan "$PEER" pester "$address" 5353 >"$BATS_TEST_TMPDIR/answer" 3>&- &
		local pester=$!
		# The kernel tracks the connection to the host from now on.
		wait_until 20 grep -q sent "$BATS_TEST_TMPDIR/answer"
		drive connect c1 /run/netns/c1 - 5353:53/udp >/dev/null
		wait $pester
		grep -q "^c1 " "$BATS_TEST_TMPDIR/answer"
		drive disconnect c1
		ip -n c1 link del eth0
	done
}

@test "the table is the one that docs/networking.md shows" {
	container c1 8080:80 127.0.0.1:9090:90/udp
	local prefix
	prefix=$(jq -r '.IPAM.Config[1].Subnet' "$ROOT/networks/bridge.json")
	diff <(sed -n '/^```nft$/,/^```$/p' "$REPO/docs/networking.md" | sed '1d;$d') \
		<(nft list table inet masu0 | sed "s/${prefix%::/64}::/fd00::/")
}

@test "sctp is translated too" {
	container c1 3868:3868/sctp
	nft list map inet masu0 port4 | grep -q "sctp . 3868 : $(address4 c1) . 3868"
	nft list map inet masu0 port6 | grep -q "sctp . 3868 : $(address6 c1) . 3868"
}

@test "the table is made again, with the ports of all that run, by the next connection" {
	container c1 8080:80
	serve c1 tcp 80
	nft delete table inet masu0
	container c2
	[ "$(ask_from lan tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
}

@test "the bridge is made again, with the interfaces of all that run, by the next connection" {
	container c1 8080:80
	serve c1 tcp 80
	ip link del masu0
	container c2
	[ "$(ask_from lan tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
	[ "$(ask_from c2 tcp "$(address4 c1)" 80)" = "c1 $(address4 c2)" ]
}

@test "repair makes everything again, also the interface" {
	container c1 8080:80
	serve c1 tcp 80
	ip link del "$(jq -r .HostInterface "$RUN/c1.json")"
	ip link del masu0
	nft delete table inet masu0
	drive repair c1 /run/netns/c1
	[ "$(ask_from lan tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
	nft flush map inet masu0 port4
	drive repair c1 /run/netns/c1
	[ "$(ask_from lan tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
}

@test "nothing is left behind" {
	container c1 8080:80 127.0.0.1:9090:90/udp
	container c2 81
	drive disconnect c1
	drive disconnect c1
	# An element ends with the kernel's next tick.
	wait_until 10 eval '[ "$(elements)" = 2 ]'
	drive disconnect c2
	wait_until 10 eval '[ "$(elements)" = 0 ]'
	[ -z "$(find "$RUN/networks/bridge" -name '[0-9]*')" ]
	drive retire 50
	[ -z "$(nft list ruleset)" ]
	run ip link show masu0
	[ "$status" -ne 0 ]
	ip netns del c1
	ip netns del c2
	spaces=()
	wait_until 120 no_links
}

@test "the bridge stays while somebody uses it" {
	container c1
	container c2
	drive disconnect c1
	drive retire 0
	ip link show masu0
	drive disconnect c2
	# Taken again before the time is up: the one that waits gives up.
	drive retire 3000 3>&- &
	local retiring=$!
	drive connect c1b /run/netns/lan - && false
	container c3
	wait $retiring
	ip link show masu0
}

@test "a dead container's address and ports are taken over, a living one's are not" {
	container c1 8080:80
	ip netns del c1
	spaces=()
	wait_until 120 no_links
	container c2 8080:80
	serve c2 tcp 80
	[ "$(ask_from lan tcp 10.9.0.1 8080)" = "c2 10.9.0.2" ]
	# Its late end takes nothing from the one that has them now.
	drive disconnect c1
	[ "$(ask_from lan tcp 10.9.0.1 8080)" = "c2 10.9.0.2" ]
}

@test "a port that was just released is published again, also to another container" {
	ip netns add c0
	ip netns add c1
	spaces+=(c0 c1)
	serve c1 tcp 80
	local i
	for i in 1 2 3 4 5; do
		drive connect c0 /run/netns/c0 - 8080:80 >/dev/null
		drive disconnect c0
		ip -n c0 link del eth0
	done
	drive connect c0 /run/netns/c0 172.17.0.99 8080:80 >/dev/null
	drive disconnect c0
	drive connect c1 /run/netns/c1 - 8080:80 >/dev/null
	[ "$(ask_from lan tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
	sleep 0.1
	[ "$(ask_from lan tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
}

@test "an address can be asked for; one that is taken or outside is refused" {
	ip netns add c1
	spaces+=(c1)
	local bad
	for bad in 172.17.0.0 172.17.0.1 172.17.255.255 10.0.0.1 nonsense; do
		run drive connect c1 /run/netns/c1 $bad
		[ "$status" -ne 0 ]
		[[ $output == *"$bad"* ]]
	done
	drive connect c1 /run/netns/c1 172.17.7.7
	[ "$(address4 c1)" = 172.17.7.7 ]
	ip netns add c2
	spaces+=(c2)
	run drive connect c2 /run/netns/c2 172.17.7.7
	[ "$status" -ne 0 ]
	[[ $output == *"Address already in use: 172.17.7.7"* ]]
}

@test "the default subnet avoids the host's routes and is kept" {
	ip route add 172.16.0.0/13 dev lan0
	container c1
	ip route del 172.16.0.0/13 dev lan0
	[[ $(address4 c1) == 172.24.0.2 ]]
	container c2
	[[ $(address4 c2) == 172.24.0.3 ]]
	jq -e '.IPAM.Config[0].Subnet == "172.24.0.0/16"' "$ROOT/networks/bridge.json"
}

@test "two roots have two bridges, also when both were defined before either was used" {
	mkdir "$BATS_TEST_TMPDIR"/{root,run}2
	container c1 8080:80
	serve c1 tcp 80
	local other=("$BATS_TEST_TMPDIR/root2" "$BATS_TEST_TMPDIR/run2")
	# As if defined while the first had no bridge.
	mkdir "${other[0]}/networks"
	sed 's/"\(fd[0-9a-f]*\):/"fd77:/' "$ROOT/networks/bridge.json" >"${other[0]}/networks/bridge.json"
	ip netns add c2
	spaces+=(c2)
	"$DRIVER" "${other[@]}" connect c2 /run/netns/c2 - 9090:80 >/dev/null
	serve c2 tcp 80
	[ "$(jq -r '.Options[]' "${other[0]}/networks/bridge.json")" = masu1 ]
	[[ $(jq -r .IPAddress "${other[1]}/c2.json") == 172.18.0.2 ]]
	[ "$(ask_from lan tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
	[ "$(ask_from lan tcp 10.9.0.1 9090)" = "c2 10.9.0.2" ]
	[ "$(ask_from c1 tcp 10.9.0.1 9090 | cut -d' ' -f1)" = c2 ]
	# Bridges are kept apart.
	run ask_from c1 tcp 172.18.0.2 80
	[ "$status" -ne 0 ]
	# Each removes its own.
	"$DRIVER" "${other[@]}" disconnect c2
	"$DRIVER" "${other[@]}" retire 0
	run ip link show masu1
	[ "$status" -ne 0 ]
	[ "$(ask_from lan tcp 10.9.0.1 8080)" = "c1 10.9.0.2" ]
}

@test "a container without IPv6 gets IPv4" {
	ip netns add c1
	spaces+=(c1)
	ip netns exec c1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
	drive connect c1 /run/netns/c1 - 8080:80
	jq -e '.GlobalIPv6Address == null' "$RUN/c1.json"
	serve c1 tcp 80 2>/dev/null || true
	[ "$(jq -r .IPAddress "$RUN/c1.json")" = 172.17.0.2 ]
}

@test "many connections at once get different addresses" {
	local i
	for i in $(seq 12); do
		ip netns add "p$i"
		spaces+=("p$i")
	done
	local jobs=()
	for i in $(seq 12); do
		drive connect "p$i" "/run/netns/p$i" - "$((7000 + i)):80" >/dev/null 3>&- &
		jobs+=($!)
	done
	local job
	for job in "${jobs[@]}"; do wait "$job"; done
	[ "$(jq -r .IPAddress "$RUN"/p*.json | sort -u | wc -l)" = 12 ]
	[ "$(elements)" = 24 ]
	[ "$(ip -o link show master masu0 | wc -l)" = 12 ]
}

@test "thousands of ports are one transaction" {
	container c1 10000-12999:10000-12999
	[ "$(elements)" = 6000 ]
	drive disconnect c1
	wait_until 10 eval '[ "$(elements)" = 0 ]'
}

killed_at() { # system call, which of them, arguments
	ASAN_OPTIONS=detect_leaks=0 strace -o /dev/null -e "inject=$1:signal=SIGKILL:when=$2" \
		"$DRIVER" "$ROOT" "$RUN" "${@:3}" >/dev/null || return 1
} 2>/dev/null

# The system calls of a connection that take or change something, from the first use of the state.
calls_of_connect() {
	ip netns add probe
	ASAN_OPTIONS=detect_leaks=0 strace -o "$BATS_TEST_TMPDIR/calls" \
		"$DRIVER" "$ROOT" "$RUN" connect probe /run/netns/probe - 8080:80 >/dev/null
	drive disconnect probe
	ip netns del probe
	sed -n '/networks\/bridge/,$s/^\([a-z0-9_]*\)(.*/\1/p' "$BATS_TEST_TMPDIR/calls" |
		grep -E '^(openat|socket|bind|flock|sendto|recvfrom|write|pwrite64|setns|close|ioctl)$' |
		sort -u
}

# Kills the driver at every call of every system call that it makes while connecting or
# disconnecting; whatever that left, the same connection must work afterwards.
@test "killed anywhere, a connection leaves nothing that stops the next" {
	local call n verb calls points=0
	calls=$(calls_of_connect)
	for verb in connect disconnect; do
		for call in $calls; do
			for n in $(seq 1 40); do
				ip netns add victim
				[ $verb = connect ] || drive connect victim /run/netns/victim - 8080:80 >/dev/null
				local arguments=(connect victim /run/netns/victim - 8080:80)
				[ $verb = connect ] || arguments=(disconnect victim)
				if killed_at "$call" "$n" "${arguments[@]}"; then
					drive disconnect victim
					ip netns del victim
					break
				fi
				points=$((points + 1))
				ip netns del victim
				wait_until 120 no_links
				ip netns add next
				drive connect next /run/netns/next - 8080:80 >/dev/null
				[ "$(elements)" = 2 ]
				drive disconnect next
				ip netns del next
			done
		done
	done
	echo "# killed at $points points" >&3
	[ "$points" -ge 40 ]
	wait_until 120 no_links
	drive retire 0
	[ -z "$(find "$RUN/networks/bridge" -name '[0-9]*')" ]
	[ -z "$(nft list ruleset)" ]
}

@test "whatever fails, a connection says so in one line and leaves nothing" {
	local call n error calls points=0
	calls=$(calls_of_connect | grep -vx close)
	for error in ENOSPC EMFILE ENOMEM; do
		for call in $calls; do
			for n in $(seq 1 40); do
				ip netns add victim
				ASAN_OPTIONS=detect_leaks=0 run strace -o "$BATS_TEST_TMPDIR/trace" \
					-e "inject=$call:error=$error:when=$n" \
					"$DRIVER" "$ROOT" "$RUN" connect victim /run/netns/victim - 8080:80
				if ! grep -q INJECTED "$BATS_TEST_TMPDIR/trace"; then
					[ "$status" -eq 0 ]
					drive disconnect victim
					ip netns del victim
					break
				fi
				points=$((points + 1))
				if [ "$status" -eq 0 ]; then
					drive disconnect victim
				elif [ "${#lines[@]}" -ne 1 ] || [[ $output != "network-driver: "* ]]; then
					echo "$call $n $error: $status $output"
					false
				fi
				ip netns del victim
				if [ -n "$(find "$RUN/networks/bridge" -name '[0-9]*')" ]; then
					echo "$call $n $error leaves a lease: $output"
					false
				fi
				wait_until 10 eval '[ "$(elements)" = 0 ]'
				wait_until 120 no_links
			done
		done
	done
	echo "# failed at $points points" >&3
	[ "$points" -ge 60 ]
}
