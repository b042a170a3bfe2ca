# Networks of one's own: `masu network`, and containers in several of them.

setup_file() {
	load ../lib/engine.bash
	engine_setup_file
	ip link set lo up
	load ../lib/lan.bash
	lan_make
	ip -n lan link set lo up
	ip -n lan route add default via 10.9.0.1
}

setup() {
	load ../lib/engine.bash
}

teardown() {
	remove_all
	wait_until 20 bridges_are_gone
	m network prune -f >/dev/null
	[ -z "$(m network ls -q --filter type=custom)" ]
	[ -z "$(find "$MASU_RUNROOT/networks" -mindepth 1 -maxdepth 1 -not -name bridge)" ]
}

bridges_are_gone() {
	! ip -o link | grep -E 'br-|veth[0-9a-f]{8}|masu0' && [ -z "$(nft list tables)" ]
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

inside() { m exec "$@"; }

@test "create, ls, inspect, rm: docker's output, and what is refused" {
	local id
	id=$(m network create --label tier=db --subnet 10.77.0.0/24 --gateway 10.77.0.254 \
		--ip-range 10.77.0.64/26 --aux-address router=10.77.0.65 mine)
	[ ${#id} = 64 ]
	[ "$(m network ls --filter type=custom)" = "NETWORK ID     NAME      DRIVER    SCOPE
${id:0:12}   mine      bridge    local" ]
	[ "$(m network ls -q --no-trunc --filter label=tier=db)" = "$id" ]
	[ "$(m network ls --format '{{.Name}}:{{.Driver}}' | tr '\n' ' ')" = "bridge:bridge host:host mine:bridge none:null " ]
	[ "$(m network inspect --format '{{json .IPAM.Config}}' "${id:0:8}")" = \
		'[{"Subnet":"10.77.0.0/24","IPRange":"10.77.0.64/26","Gateway":"10.77.0.254","AuxiliaryAddresses":{"router":"10.77.0.65"}}]' ]
	[ "$(m network inspect mine | jq -c '.[0] | keys_unsorted')" = \
		'["Name","Id","Created","Scope","Driver","EnableIPv6","IPAM","Internal","Attachable","Ingress","ConfigFrom","ConfigOnly","Containers","Options","Labels"]' ]
	refused() { # message, arguments of create
		local message=$1
		shift
		run m network create "$@"
		[ "$status" -eq 1 ] && [ "$output" = "masu: $message" ]
	}
	refused "network with name mine already exists" mine
	refused "network with name host already exists" host
	refused "Pool overlaps with other one on this address space" --subnet 10.77.0.128/25 two
	refused "no matching subnet for gateway 10.80.0.1" --subnet 10.79.0.0/24 --gateway 10.80.0.1 two
	refused 'only one instance of "host" network is allowed' -d host two
	refused '-o nope=1 is not supported by the bridge driver' -o nope=1 two
	refused '--subnet fd00::/64: an IPv6 subnet needs --ipv6' --subnet fd00::/64 two
	run m network rm bridge mine nope
	[ "$status" -eq 1 ]
	[[ $output == *"bridge is a pre-defined network and cannot be removed"* && $output == *"network nope not found"* ]]
	run m network inspect mine
	[ "$status" -eq 1 ]
}

@test "a network in use is not removed, and prune leaves it" {
	m network create used >/dev/null
	m network create unused >/dev/null
	m network create later >/dev/null
	up c1 --network used
	m_create --network later --name c2 busybox:local true >/dev/null
	run m network rm used
	[ "$status" -eq 1 ]
	[ "$output" = "masu: error while removing network: network used id $(m network inspect -f '{{.Id}}' used) has active endpoints" ]
	[ "$(m network prune -f)" = "Deleted Networks:
unused" ]
	m rm -f c1 >/dev/null
	m network rm used
}

@test "what a start connected that was killed before it could write that down goes with the container" {
	m network create unfinished >/dev/null
	up c1 --network unfinished
	local live holder
	live=$MASU_RUNROOT/containers/$(field c1 .Id)/live.json
	# As such a start leaves it; somebody keeps the namespace, and so the interface, a while longer.
	nsenter --net="/proc/$(field c1 .State.Pid)/ns/net" sleep 60 3>&- 4>&- &
	holder=$!
	holder_is_in() { [ "/proc/$holder/ns/net" -ef "/proc/$(field c1 .State.Pid)/ns/net" ]; }
	wait_until 5 holder_is_in
	kill -KILL "$(jq .MonitorPid "$live")"
	jq -c 'del(.Endpoints)' "$live" >"$live.new"
	mv "$live.new" "$live"
	m rm -f c1 >/dev/null
	m network rm unfinished
	kill "$holder"
}

@test "networks are kept apart; each has its containers reach each other and the outside" {
	m network create na >/dev/null
	m network create --ipv6 nb >/dev/null
	up a1 --network na
	up a2 --network na
	up b1 --network nb
	up b2 --network nb
	local a2 b1 b2six
	a2=$(field a2 .NetworkSettings.Networks.na.IPAddress)
	b1=$(field b1 .NetworkSettings.Networks.nb.IPAddress)
	b2six=$(field b2 .NetworkSettings.Networks.nb.GlobalIPv6Address)
	inside a1 ping -c1 -W2 "$a2"
	inside b1 ping -c1 -W2 "$b2six"
	inside a1 ping -c1 -W2 10.9.0.2
	run inside a1 ping -c1 -W1 "$b1"
	[ "$status" -ne 0 ]
	# By a route of the neighbour's neither.
	run ip netns exec lan ping -c1 -W1 "$b1"
	[ "$status" -ne 0 ]
}

@test "an internal network has no way out, not even with a route of its container's" {
	m network create --internal in >/dev/null
	up c1 --network in --cap-add NET_ADMIN
	up c2 --network in
	inside c1 ping -c1 -W2 "$(field c2 .NetworkSettings.Networks.in.IPAddress)"
	[ -z "$(inside c1 ip route | grep default)" ]
	[ -z "$(field c1 .NetworkSettings.Networks.in.Gateway)" ]
	inside c1 ip route add default via "$(m network inspect in | jq -r '.[0].IPAM.Config[0].Gateway')"
	run inside c1 ping -c1 -W1 10.9.0.2
	[ "$status" -ne 0 ]
}

@test "options: isolated containers, no masquerade, the bridge's name, the MTU, the interface's" {
	m network create -o com.docker.network.bridge.enable_icc=false \
		-o com.docker.network.bridge.enable_ip_masquerade=false -o com.docker.network.bridge.name=mybr0 \
		-o com.docker.network.driver.mtu=1400 -o com.docker.network.container_iface_prefix=net odd >/dev/null
	up c1 --network odd
	up c2 --network odd
	[ "$(inside c1 cat /sys/class/net/net0/mtu)" = 1400 ]
	ip link show mybr0
	nft list table inet masu-mybr0 | grep -c masquerade | grep -qx 2
	local address
	address=$(field c2 .NetworkSettings.Networks.odd.IPAddress)
	run inside c1 ping -c1 -W1 "$address"
	[ "$status" -ne 0 ]
	# The host reaches both.
	"$BATS_FILE_TMPDIR/tree/bin/busybox" ping -c1 -W2 "$address"
	m rm -f c1 c2 >/dev/null
	wait_until 20 eval '! ip link show mybr0'
}

@test "several networks: interfaces in order, one default route, addresses as asked for" {
	m network create --subnet 10.78.0.0/24 one >/dev/null
	m network create --subnet 10.79.0.0/24 --subnet fd79::/64 --ipv6 two >/dev/null
	up c1 --network one --network name=two,ip=10.79.0.9,ip6=fd79::77,mac-address=02:00:00:00:00:09,gw-priority=1
	[ "$(inside c1 ip -o -4 addr show eth0 | grep -o 'inet [0-9.]*')" = "inet 10.78.0.2" ]
	[ "$(inside c1 ip -o -4 addr show eth1 | grep -o 'inet [0-9.]*')" = "inet 10.79.0.9" ]
	inside c1 ip -o -6 addr show eth1 | grep -q fd79::77/64
	[ "$(inside c1 cat /sys/class/net/eth1/address)" = 02:00:00:00:00:09 ]
	[[ $(inside c1 ip route show default) == "default via 10.79.0.1 dev eth1"* ]]
	[ "$(field c1 '.NetworkSettings.Networks | keys_unsorted | join(" ")')" = "one two" ]
	[ "$(field c1 .NetworkSettings.Networks.two.IPAMConfig.IPv6Address)" = fd79::77 ]
	[ "$(m ps --format '{{.Networks}}')" = one,two ]
	run m_run --network name=two,ip=10.79.0.9 busybox:local true
	[ "$status" -eq 125 ] && [ "$output" = "masu: Address already in use: 10.79.0.9" ]
	run m_run --network two:ip6=fd79::77 busybox:local true
	[ "$status" -eq 125 ] && [ "$output" = "masu: Address already in use: fd79::77" ]
	run m_run --network one --network one busybox:local true
	[ "$status" -eq 125 ] && [[ $output == *'network "one" is specified multiple times' ]]
	run m_run --network one --network host busybox:local true
	[ "$status" -eq 125 ]
	run m_run --network nowhere busybox:local true
	[ "$status" -eq 125 ] && [ "$output" = "masu: network nowhere not found" ]
}

@test "connect and disconnect: running, stopped, created; restart keeps them" {
	m network create --subnet 10.78.0.0/24 one >/dev/null
	m network create --subnet 10.79.0.0/24 two >/dev/null
	up c1 --network one
	up peer --network two
	m network connect --alias other two c1
	inside c1 ping -c1 -W2 10.79.0.2
	[ "$(field c1 '.NetworkSettings.Networks.two.Aliases[0]')" = other ]
	grep -q '10.79.0.3' "$(field c1 .HostsPath)"
	run m network connect two c1
	[ "$status" -eq 1 ] && [ "$output" = "masu: endpoint with name c1 already exists in network two" ]
	m restart -t 0 c1
	inside c1 ping -c1 -W2 10.79.0.2
	m network disconnect one c1
	[[ $(inside c1 ip route show default) == "default via 10.79.0.1 dev eth1"* ]]
	run inside c1 ip link show eth0
	[ "$status" -ne 0 ]
	m stop -t 0 c1
	m network connect --ip 10.78.0.44 one c1
	m network disconnect two c1
	m start c1
	[ "$(inside c1 ip -o -4 addr show eth0 | grep -o 'inet [0-9.]*')" = "inet 10.78.0.44" ]
	m_create --network one --name c2 busybox:local sleep 300
	m network connect two c2
	m start c2
	inside c2 ping -c1 -W2 10.79.0.2
	m network disconnect one c2
	m network disconnect two c2
	[ -z "$(inside c2 ip -o link | grep eth)" ]
	run m network disconnect two c2
	[ "$status" -eq 1 ] && [ "$output" = "masu: container c2 is not connected to network two" ]
	[ -z "$(find "$MASU_RUNROOT/networks/two" -path '*/names/*' | grep other)" ]
}

@test "killed at any moment, connect and disconnect leave nothing that stops the next" {
	m network create --subnet 10.78.0.0/24 one >/dev/null
	m network create --subnet 10.79.0.0/24 two >/dev/null
	up c1 --network one
	local i pid verb
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		for verb in connect disconnect; do
			"$MASU" network $verb two c1 >/dev/null 2>&1 3>&- 4>&- &
			pid=$!
			sleep "0.00$((i % 9 + 1))"
			kill -9 $pid 2>/dev/null || true
			wait $pid || true
		done
	done
	m network disconnect two c1 2>/dev/null || true
	[ -z "$(find "$MASU_RUNROOT/networks/two" -name '10.*')" ]
	[ "$(inside c1 ip -o link | grep -c eth)" = 1 ]
	m network connect two c1
	[ "$(inside c1 ip -o -4 addr show | grep -c 'inet 10[.]79')" = 1 ]
	m network disconnect two c1
	m network rm two
}

@test "a published port leads to a container of a network of one's own" {
	m network create --internal first >/dev/null
	m network create -o com.docker.network.bridge.host_binding_ipv4=10.9.0.1 second >/dev/null
	m_run -d --name web --network first --network second -p 8088:80 busybox:local \
		sh -c 'echo page >/tmp/page; httpd -f -p 80 -h /tmp' >/dev/null
	wait_until 5 eval '[ "$(ip netns exec lan curl -fs --max-time 1 http://10.9.0.1:8088/page)" = page ]'
	[ "$(m port web)" = "80/tcp -> 10.9.0.1:8088" ]
	run curl -fs --max-time 1 http://127.0.0.1:8088/page
	[ "$status" -ne 0 ]
}

@test "macvlan: an address in the neighbours' own network" {
	m network create -d macvlan -o parent=lan0 --subnet 10.9.0.0/24 --ip-range 10.9.0.64/26 --gateway 10.9.0.1 \
		flat >/dev/null
	m_run -d --name c1 --network flat busybox:local sleep 300 >/dev/null 2>"$BATS_TEST_TMPDIR/error" ||
		skip "$(cat "$BATS_TEST_TMPDIR/error")"
	inside c1 ping -c1 -W2 10.9.0.2
	run m_run --network flat -p 80:80 busybox:local true
	[ "$status" -eq 125 ]
	m rm -f c1 >/dev/null
	m network rm flat
	ip link show lan0
}

@test "events tell of networks" {
	local before id
	before=$(date +%s.%N)
	id=$(m network create told)
	up c1 --network told
	m network disconnect told c1
	m rm -f c1 >/dev/null
	m network rm told
	[ "$(m events --since "$before" --until 0s --filter type=network --format '{{.Action}} {{.Actor.Attributes.name}}' | tr '\n' ' ')" = \
		"create told connect told disconnect told destroy told " ]
	[ "$(m events --since "$before" --until 0s --filter type=network --format '{{.Actor.ID}}' | uniq)" = "$id" ]
}
