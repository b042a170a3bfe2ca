# Networks of driver routed: containers are reached by routes of the host, without a bridge between them.

setup_file() {
	load ../lib/engine.bash
	engine_setup_file
	ip link set lo up
	load ../lib/lan.bash
	lan_make 6
	ip -n lan link set lo up
	ip -n lan route add default via 10.9.0.1
	ip -n lan -6 route add default via fd09::1
}

setup() {
	load ../lib/engine.bash
}

teardown() {
	remove_all
	wait_until 20 nothing_on_the_host
	m network prune -f >/dev/null
}

nothing_on_the_host() {
	! ip -o link | grep -E 'rt|br-|veth[0-9a-f]{8}|masu0' && [ -z "$(nft list tables)" ] &&
		! ip route | grep 172.17 && ! ip -6 route | grep 'src fd'
} >/dev/null

teardown_file() {
	engine_teardown_file
	ip netns del lan
}

up() { # name, options of run …
	local name=$1
	shift
	m_run -d --name "$name" "$@" busybox:local sleep 300 >/dev/null
}

server() { # name, options of run …
	local name=$1
	shift
	m_run -d --name "$name" "$@" busybox:local \
		sh -c 'mkdir /tmp/cgi-bin && printf "#!/bin/sh\necho; echo \$REMOTE_ADDR\n" >/tmp/cgi-bin/who && chmod +x /tmp/cgi-bin/who; exec httpd -f -p 80 -h /tmp' >/dev/null
}

inside() { m exec "$@"; }
address() { field "$1" ".NetworkSettings.Networks.$2.IPAddress"; }
address6() { field "$1" ".NetworkSettings.Networks.$2.GlobalIPv6Address"; }
# From a container, to a published port of the host; who the server thinks it is.
asks() { inside "$1" wget -qO- "http://$2/cgi-bin/who"; }
unreachable() { # command
	run "$@"
	[ "$status" -ne 0 ]
}

@test "addresses of their own, the next hop, names; nothing is asked of the neighbours" {
	m network create -d routed --ipv6 --subnet 10.61.0.0/16 --subnet fd61::/64 far >/dev/null
	up c1 --network far
	up c2 --network far --ip 10.61.7.7 --ip6 fd61::77 --mac-address 02:00:00:00:00:07
	[ "$(m network ls --filter driver=routed --format '{{.Name}} {{.Driver}}')" = "far routed" ]
	[ "$(inside c2 ip -o -4 addr show eth0 | grep -o 'inet [0-9./]*')" = "inet 10.61.7.7/32" ]
	inside c2 ip -o -6 addr show eth0 | grep -q 'fd61::77/128'
	[ "$(inside c2 cat /sys/class/net/eth0/address)" = 02:00:00:00:00:07 ]
	[ "$(field c2 '.NetworkSettings.Networks.far | "\(.Gateway) \(.IPPrefixLen) \(.IPv6Gateway) \(.GlobalIPv6PrefixLen)"')" = \
		"169.254.1.1 32 fe80::1 128" ]
	[[ $(inside c1 ip route show default) == "default via 169.254.1.1 dev eth0"* ]]
	inside c1 ping -c1 -W2 c2
	inside c1 ping -c1 -W2 10.61.7.7
	inside c1 ping -6 -c1 -W2 fd61::77
	# The host, by the next hop and by the gateway; the host's way to them.
	inside c1 ping -c1 -W2 169.254.1.1
	inside c1 ping -c1 -W2 10.61.0.1
	inside c1 ping -6 -c1 -W2 fd61::1
	"$BATS_FILE_TMPDIR/tree/bin/busybox" ping -c1 -W2 10.61.7.7
	"$BATS_FILE_TMPDIR/tree/bin/busybox" ping -6 -c1 -W2 fd61::77
	# Outside, translated.
	inside c1 ping -c1 -W2 10.9.0.2
	inside c1 ping -6 -c1 -W2 fd09::2
	[ "$(ip neigh show | grep -c 'PERMANENT')" = 4 ]
	[ -z "$(ip -o link show master "$(m network inspect -f '{{index .Options "com.docker.network.bridge.name"}}' far)")" ]
	run m_run --network far --ip 10.61.7.7 busybox:local true
	[ "$status" -eq 125 ] && [ "$output" = "masu: Address already in use: 10.61.7.7" ]
}

@test "networks are kept apart: routed, bridge, and the outside" {
	m network create -d routed --ipv6 na >/dev/null
	m network create -d routed --ipv6 nb >/dev/null
	m network create nc >/dev/null
	up a1 --network na
	up b1 --network nb
	up c1 --network nc
	local net name
	for net in na:a1 nc:c1; do
		unreachable inside b1 ping -c1 -W1 "$(address "${net#*:}" "${net%:*}")"
	done
	unreachable inside c1 ping -c1 -W1 "$(address b1 nb)"
	unreachable inside a1 ping -6 -c1 -W1 "$(address6 b1 nb)"
	unreachable ip netns exec lan "$BATS_FILE_TMPDIR/tree/bin/busybox" ping -c1 -W1 "$(address b1 nb)"
	unreachable ip netns exec lan "$BATS_FILE_TMPDIR/tree/bin/busybox" ping -6 -c1 -W1 "$(address6 b1 nb)"
}

@test "internal: each other and the host, nothing else; enable_icc=false: published ports only" {
	m network create -d routed --internal in >/dev/null
	m network create -d routed -o com.docker.network.bridge.enable_icc=false apart >/dev/null
	up c1 --network in --cap-add NET_ADMIN
	up c2 --network in
	inside c1 ping -c1 -W2 c2
	[ -z "$(inside c1 ip route | grep default)" ]
	[ -z "$(field c1 .NetworkSettings.Networks.in.Gateway)" ]
	inside c1 ip route add default via 169.254.1.1 dev eth0 onlink
	unreachable inside c1 ping -c1 -W1 10.9.0.2
	server a1 --network apart -p 8081:80
	up a2 --network apart
	unreachable inside a2 ping -c1 -W1 "$(address a1 apart)"
	wait_until 5 asks a2 10.9.0.1:8081
	inside a2 ping -c1 -W2 10.9.0.2
}

@test "published ports: from outside, the host, 127.0.0.1, another container, itself; IPv6; change while running" {
	m network create -d routed --ipv6 --subnet 10.61.0.0/16 far >/dev/null
	server web --network far -p 8080:80
	up c2 --network far
	wait_until 5 curl -fs --max-time 1 http://127.0.0.1:8080/cgi-bin/who
	[ "$(ip netns exec lan curl -fs --max-time 10 http://10.9.0.1:8080/cgi-bin/who)" = "[::ffff:10.9.0.2]" ]
	[ "$(ip netns exec lan curl -fs --max-time 10 'http://[fd09::1]:8080/cgi-bin/who')" = "[fd09::2]" ]
	[ "$(curl -fs --max-time 10 http://127.0.0.1:8080/cgi-bin/who)" = "[::ffff:10.61.0.1]" ]
	asks c2 10.9.0.1:8080
	asks web 10.9.0.1:8080
	asks c2 169.254.1.1:8080
	inside c2 wget -qO- 'http://[fd09::1]:8080/cgi-bin/who'
	m update --publish-add 8090:80 --publish-rm 8080:80 web >/dev/null
	wait_until 5 curl -fs --max-time 1 http://127.0.0.1:8090/cgi-bin/who
	unreachable curl -fs --max-time 1 http://127.0.0.1:8080/cgi-bin/who
}

@test "connect and disconnect while running; two routed networks; restart keeps them" {
	m network create -d routed --subnet 10.61.0.0/16 one >/dev/null
	m network create -d routed --subnet 10.62.0.0/16 two >/dev/null
	m network create --subnet 10.63.0.0/16 three >/dev/null
	up c1 --network one
	up peer --network two
	up other --network three
	m network connect two c1
	m network connect three c1
	inside c1 ping -c1 -W2 peer
	inside c1 ping -c1 -W2 other
	m restart -t 0 c1
	inside c1 ping -c1 -W2 peer
	inside c1 ping -c1 -W2 other
	m network disconnect one c1
	[[ $(inside c1 ip route show default) == "default via 169.254.1.1 dev eth1"* ]]
	inside c1 ping -c1 -W2 10.9.0.2
	m network disconnect two c1
	unreachable inside c1 ping -c1 -W1 10.62.0.2
	[[ $(inside c1 ip route show default) == "default via 10.63.0.1 dev eth2"* ]]
}

@test "what somebody removed comes back with the next container" {
	local anchor
	m network create -d routed --ipv6 --subnet 10.61.0.0/16 far >/dev/null
	anchor=$(m network inspect -f '{{index .Options "com.docker.network.bridge.name"}}' far)
	server web --network far -p 8080:80
	wait_until 5 curl -fs --max-time 1 http://127.0.0.1:8080/cgi-bin/who
	ip link del "$anchor"
	nft flush ruleset
	unreachable curl -fs --max-time 1 http://10.9.0.1:8080/cgi-bin/who
	up c2 --network far
	curl -fs --max-time 2 http://127.0.0.1:8080/cgi-bin/who
	inside c2 ping -c1 -W2 web
	inside c2 ping -6 -c1 -W2 web
	# What a killed monitor leaves is taken back, too.
	local monitor
	monitor=$(monitor_of web)
	kill -9 "$monitor"
	wait_until 5 pid_gone "$monitor"
	m rm -f web >/dev/null
	m rm -f c2 >/dev/null
	m system check --repair >/dev/null || true
	wait_until 10 nothing_on_the_host
}

@test "what routed and ipvlan refuse" {
	m network create -d routed far >/dev/null
	refused() { # message, command
		local message=$1
		shift
		run m "$@"
		[ "$status" -eq 1 ] && [ "$output" = "masu: $message" ] || { echo "$output"; return 1; }
	}
	refused '-o parent=lan0 is not supported by the routed driver' network create -d routed -o parent=lan0 two
	refused 'network driver "overlay" is not supported; "bridge", "routed", "macvlan" and "ipvlan" are' \
		network create -d overlay two
	refused "a network of driver ipvlan needs the host's interface: -o parent=NAME" network create -d ipvlan two
	run m network create -d ipvlan -o parent=lan0 -o ipvlan_mode=l4 two
	[ "$status" -eq 1 ] && [[ $output == *"an option's value"* ]]
	m network create -d ipvlan -o parent=lan0 -o ipvlan_mode=l3 --subnet 10.64.0.0/24 ipv >/dev/null
	run m_run --rm --network ipv -p 80:80 busybox:local true
	[ "$status" -eq 125 ] && [[ $output == *"no ports are published on a network of driver ipvlan"* ]]
	run m_run --rm --network ipv --mac-address 02:00:00:00:00:01 busybox:local true
	[ "$status" -eq 125 ] && [[ $output == *"all its containers have the MAC address of lan0"* ]]
	# A kernel without it says so in one line; one with it runs the container.
	run m_run --rm --network ipv busybox:local cat /sys/class/net/eth0/address
	if [ "$status" -eq 0 ]; then
		[ "$output" = "$(cat /sys/class/net/lan0/address)" ]
	else
		[ "$status" -eq 125 ] && [ "$output" = "masu: this kernel has no ipvlan driver (CONFIG_IPVLAN)" ]
	fi
}
