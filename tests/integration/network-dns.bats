# Names of containers, and the resolver at 127.0.0.11.

setup_file() {
	load ../lib/engine.bash
	engine_setup_file
	ip link set lo up
	printf 'search example.com\nnameserver 127.0.0.53\noptions edns0\n' >"$BATS_FILE_TMPDIR/resolv.conf"
	mount --bind "$BATS_FILE_TMPDIR/resolv.conf" /etc/resolv.conf
}

setup() {
	load ../lib/engine.bash
	servers=()
	m network create --subnet 10.81.0.0/24 --ipv6 --subnet fd81::/64 mynet >/dev/null
}

teardown() {
	[ ${#servers[@]} -eq 0 ] || kill "${servers[@]}" 2>/dev/null || true
	remove_all
	m network prune -f >/dev/null
}

teardown_file() {
	engine_teardown_file
	umount /etc/resolv.conf
}

up() { # name, options of run …
	local name=$1
	shift
	m_run -d --name "$name" "$@" busybox:local sleep 300 >/dev/null
}

serve() { # address, mark
	python3 "$REPO/tests/lib/dns-server.py" "$1" "$2" >"$BATS_TEST_TMPDIR/server$2" 3>&- 4>&- &
	servers+=($!)
	wait_until 5 grep -q ready "$BATS_TEST_TMPDIR/server$2"
}

client() { # container, arguments of dns-client.py
	local pid
	pid=$(field "$1" .State.Pid)
	shift
	nsenter -t "$pid" -n python3 "$REPO/tests/lib/dns-client.py" "$@"
}

@test "a container answers to its name, id, hostname and aliases; and resolv.conf is docker's" {
	up web --network mynet --network-alias DB --hostname box
	up c1 --network mynet
	[ "$(m exec c1 cat /etc/resolv.conf)" = "nameserver 127.0.0.11
search example.com
options edns0 ndots:0" ]
	local name
	for name in web WEB db box "$(field web .Id | cut -c1-12)" web.mynet; do
		[ "$(client c1 query "$name")" = "rcode 0 truncated 0 10.81.0.2" ]
	done
	[ "$(client c1 query web tcp)" = "rcode 0 truncated 0 10.81.0.2" ]
	m exec c1 nslookup -type=aaaa web.mynet | grep -q fd81::2
	m exec c1 nslookup 10.81.0.2 | grep -q 'web.mynet'
	m exec c1 nslookup fd81::2 | grep -q 'web.mynet'
	# One that was asked for, and one that would follow from another address but is not anybody's.
	up own --network mynet --ip 10.81.0.40 --ip6 fd81::beef --network-alias my_db.v-2
	m exec c1 nslookup fd81::beef | grep -q 'own.mynet'
	run m exec c1 nslookup fd81::28
	[[ $output != *own* ]]
	[ "$(client c1 query my_db.v-2)" = "rcode 0 truncated 0 10.81.0.40" ]
	m exec c1 ping -c1 -W2 web
}

@test "search domains and options: docker's ndots:0 unless somebody said otherwise" {
	m_run -d --name c1 --network mynet --dns-search a.example --dns-search b.example --dns-option ndots:2 \
		--dns-option timeout:1 busybox:local sleep 300 >/dev/null
	[ "$(m exec c1 cat /etc/resolv.conf)" = "nameserver 127.0.0.11
search a.example b.example
options ndots:2 timeout:1" ]
	# A name is asked for with them, too: what the server says of it comes back.
	serve 127.0.0.53 1
	[ "$(client c1 query web.a.example)" = "rcode 0 truncated 0 9.9.9.1" ]
	# With EDNS, whose size is the client's and the server's business.
	[ "$(client c1 query www.example.org edns)" = "rcode 0 truncated 0 9.9.9.1" ]
	[ "$(client c1 query c1 edns)" = "rcode 0 truncated 0 10.81.0.2" ]
	# A server that is known on one link only.
	printf 'nameserver fe80::1%%lo\nnameserver 127.0.0.53\n' >"$BATS_FILE_TMPDIR/resolv.conf"
	[ "$(client c1 query www.example.org)" = "rcode 0 truncated 0 9.9.9.1" ]
	printf 'search example.com\nnameserver 127.0.0.53\noptions edns0\n' >"$BATS_FILE_TMPDIR/resolv.conf"
}

@test "hosts and resolv.conf as docker's options say; what is refused" {
	[ "$(m_run --rm --network mynet --dns-search . busybox:local cat /etc/resolv.conf)" = "nameserver 127.0.0.11
options edns0 ndots:0" ]
	[ "$(m_run --rm --network bridge --dns 10.81.0.200 --dns-search . --dns-option rotate busybox:local cat /etc/resolv.conf)" = \
		"nameserver 10.81.0.200
options rotate" ]
	local hosts
	hosts=$(m_run --rm --network mynet --mac-address 02:42:de:ad:be:ef --add-host gw:host-gateway --add-host a=10.1.2.3 \
		--add-host 'six=[fd00::8]' --sysctl net.core.somaxconn=77 --sysctl net.ipv4.ip_unprivileged_port_start=1 busybox:local \
		sh -c 'cat /etc/hosts /sys/class/net/eth0/address /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_unprivileged_port_start')
	[[ $hosts == *"10.81.0.1	gw
10.1.2.3	a
fd00::8	six
10.81.0."*"02:42:de:ad:be:ef
77
1" ]]
	m_run --rm --network host --add-host gw:host-gateway busybox:local grep -q '^127.0.0.1	gw$' /etc/hosts
	refused() { # message, options of run
		local message=$1
		shift
		run m_run --rm "$@" busybox:local true
		[ "$status" -eq 125 ] && [[ $output == *"$message"* ]] || { echo "$output"; return 1; }
	}
	refused "--link is not supported; containers of one user-defined network reach each other by name" --link x:y
	refused 'bad format for add-host: "bad"' --add-host bad
	refused "invalid IP address in add-host" --add-host bad:nonsense
	refused "IP address is not correctly formatted" --dns nonsense
	refused "is not a valid mac address" --mac-address zz
	refused "is not allowed without a network namespace of its own" --network host --sysctl net.core.somaxconn=77
}

@test "several containers with one alias take turns; who leaves is not answered with any more" {
	up w1 --network mynet --network-alias web
	up w2 --network mynet --network-alias web
	up c1 --network mynet
	[ "$(client c1 query web)" = "rcode 0 truncated 0 10.81.0.2 10.81.0.3" ]
	m rm -f w1 >/dev/null
	[ "$(client c1 query web)" = "rcode 0 truncated 0 10.81.0.3" ]
	m rename w2 other
	[ "$(client c1 query other)" = "rcode 0 truncated 0 10.81.0.3" ]
	[ "$(client c1 query web)" = "rcode 0 truncated 0 10.81.0.3" ]
	[ "$(client c1 query w2)" = "rcode 2 truncated 0" ]
}

@test "names are of their network alone, and come and go with it" {
	m network create second >/dev/null
	up web --network mynet
	up far --network second
	up c1 --network mynet
	[[ $(client c1 query far) == "rcode 2"* ]]
	m network connect --alias near second c1
	[[ $(client c1 query far) == "rcode 0 truncated 0 "* ]]
	[[ $(client far query near) == "rcode 0 truncated 0 "* ]]
	m network disconnect second c1
	wait_until 5 eval '[[ $(client c1 query far) == "rcode 2"* ]]'
	[[ $(client far query near) == "rcode 2"* ]]
}

@test "a container of the default network gets the resolver with its first network of names" {
	up web --network mynet
	up c1 --network bridge
	! m exec c1 grep 127.0.0.11 /etc/resolv.conf
	m network connect mynet c1
	m exec c1 grep 'nameserver 127.0.0.11' /etc/resolv.conf
	[ "$(client c1 query web)" = "rcode 0 truncated 0 10.81.0.2" ]
	m restart -t 0 c1
	[ "$(client c1 query web)" = "rcode 0 truncated 0 10.81.0.2" ]
}

@test "what is not known here is asked of the host's servers, UDP and TCP" {
	serve 127.0.0.53 1
	up c1 --network mynet
	[ "$(client c1 query www.example.org)" = "rcode 0 truncated 0 9.9.9.1" ]
	[ "$(client c1 query nx.example.org)" = "rcode 3 truncated 0" ]
	[ "$(client c1 query big.example.org)" = "rcode 0 truncated 1" ]
	[ "$(client c1 query big.example.org tcp)" = "rcode 0 truncated 0 9.9.9.1" ]
}

@test "a server that is not there is passed over; servers of --dns are reached from the container" {
	m_run -d --name ns --network mynet --ip 10.81.0.9 busybox:local sleep 300 >/dev/null
	local pid
	pid=$(field ns .State.Pid)
	# Port 53 of its own: the resolver is in nobody's way.
	nsenter -t "$pid" -n python3 "$REPO/tests/lib/dns-server.py" 0.0.0.0 7 >"$BATS_TEST_TMPDIR/server7" 3>&- 4>&- &
	servers+=($!)
	wait_until 5 grep -q ready "$BATS_TEST_TMPDIR/server7"
	up c1 --network mynet --dns 10.81.0.8 --dns 10.81.0.9
	wait_until 10 eval '[ "$(client c1 query www.example.org)" = "rcode 0 truncated 0 9.9.9.7" ]'
	[ "$(client ns query c1)" = "rcode 0 truncated 0 10.81.0.2" ]
}

@test "an internal network asks nobody outside" {
	serve 127.0.0.53 1
	m network create --internal inner >/dev/null
	up c1 --network inner
	[ "$(client c1 query www.example.org)" = "rcode 2 truncated 0" ]
	[ "$(client c1 query www.example.org tcp)" = "rcode 2 truncated 0" ]
	[[ $(client c1 query c1) == "rcode 0 truncated 0 "* ]]
}

@test "garbage and floods do not stop the monitor or other containers" {
	up web --network mynet
	up c1 --network mynet
	client c1 garbage
	[ "$(client c1 query web)" = "rcode 0 truncated 0 10.81.0.2" ]
	client c1 flood 1 &
	local flood=$!
	[ "$(client web query c1)" = "rcode 0 truncated 0 10.81.0.3" ]
	[ "$(m exec c1 echo alive)" = alive ]
	wait "$flood"
	wait_until 5 eval '[ "$(client c1 query web)" = "rcode 0 truncated 0 10.81.0.2" ]'
	m stop -t 0 c1
	[ "$(field c1 .State.Status)" = exited ]
}
