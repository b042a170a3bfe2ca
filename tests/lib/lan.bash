# A neighbour of the test host: the namespace "lan" with 10.9.0.2 on eth0, behind lan0 with 10.9.0.1.
# lan_make [6]: with fd09::2 and fd09::1, too.
lan_make() {
	ip netns add lan
	ip link add lan0 type veth peer name eth0 netns lan
	ip addr add 10.9.0.1/24 dev lan0
	ip -n lan addr add 10.9.0.2/24 dev eth0
	if [ "${1:-}" = 6 ]; then
		ip -6 addr add fd09::1/64 dev lan0 nodad
		ip -n lan -6 addr add fd09::2/64 dev eth0 nodad
	fi
	ip link set lan0 up
	ip -n lan link set eth0 up
}
