# Networks on Debian's kernel, in QEMU: ipvlan, which the machine's own kernel may not have, and the others
# beside it with br_netfilter and nf_tables as modules.

load ../lib/oracle
load ../lib/vm

setup_file() {
	vm_setup_file
	mkdir -p "$VM_TREE/usr/local"
	cp -L "$(command -v ip)" "$VM_TREE/usr/local/ip"
	vm_add_libraries "$(command -v ip)"
	make_busybox_root "$BATS_FILE_TMPDIR/image"
	vm_add_tree "$BATS_FILE_TMPDIR/image" /image
	export SAID=$BATS_FILE_TMPDIR/said
	vm_run --timeout 240 >"$SAID" 2>"$SAID.failed" <<'SCRIPT' || echo "== failed $?" >>"$SAID"
exec 2>&1
tar -C /image -c . | masu import - busybox:local >/dev/null
# Not the applet of that name.
ip=/usr/local/ip
$ip netns add lan
$ip link add lan0 type veth peer name eth0 netns lan
$ip addr add 10.9.0.1/24 dev lan0
$ip link set lan0 up
$ip -n lan addr add 10.9.0.2/24 dev eth0
$ip -n lan link set eth0 up
yes_no() { if "$@" >/tmp/last 2>&1; then echo yes; else echo "no: $(tail -n 2 /tmp/last | tr '\n' ' ')"; fi; }
run() { masu run -d "$@" busybox:local sleep 1000 >/tmp/last 2>&1 || cat /tmp/last; }
for mode in l2 l3; do
	masu network create -d ipvlan -o parent=lan0 -o ipvlan_mode=$mode --subnet 10.9.0.0/24 --ip-range 10.9.0.64/26 --gateway 10.9.0.1 ipv-$mode >/dev/null
	run --name c1 --network ipv-$mode
	run --name c2 --network ipv-$mode
	echo "$mode mac $([ "$(masu exec c1 cat /sys/class/net/eth0/address)" = "$(cat /sys/class/net/lan0/address)" ] && echo of the parent)"
	echo "$mode inspect $([ "$(masu inspect -f '{{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}' c1)" = "$(cat /sys/class/net/lan0/address)" ] && echo of the parent)"
	echo "$mode neighbour $(yes_no masu exec c1 ping -c1 -W2 10.9.0.65)"
	echo "$mode address $(masu inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' c2)"
	[ $mode = l3 ] || echo "$mode lan $(yes_no masu exec c1 ping -c1 -W2 10.9.0.2)"
	masu rm -f c1 c2 >/dev/null
	masu network rm ipv-$mode >/dev/null
done
for driver in routed bridge; do
	masu network create -d $driver --ipv6 net-$driver >/dev/null
	masu run -d --name web --network net-$driver -p 8080:80 busybox:local sh -c 'echo page >/tmp/page; httpd -f -p 80 -h /tmp' >/tmp/last 2>&1 || cat /tmp/last
	run --name c2 --network net-$driver
	echo "$driver names $(yes_no masu exec c2 ping -c1 -W2 web)"
	echo "$driver IPv6 $(yes_no masu exec c2 ping -6 -c1 -W2 web)"
	echo "$driver lan $(yes_no masu exec c2 ping -c1 -W2 10.9.0.2)"
	echo "$driver published $($ip netns exec lan wget -qO- http://10.9.0.1:8080/page)"
	echo "$driver itself $(masu exec web wget -qO- http://10.9.0.1:8080/page)"
	masu rm -f web c2 >/dev/null
	masu network rm net-$driver >/dev/null
done
# The kernel takes namespaces and what is in them down in its own time.
for i in 1 2 3 4 5 6 7 8 9 10; do $ip -o link | grep -q -E 'rt|br-|veth[0-9a-f]{8}' || break; sleep 0.5; done
echo "left $($ip -o link | grep -c -E 'rt|br-|veth[0-9a-f]{8}')"
echo == done
SCRIPT
}

line() { sed -n "s/^$1 //p" "$SAID"; }

@test "ipvlan: the parent's address on the link, containers reach each other and the neighbours" {
	grep -qx '== done' "$SAID" || { cat "$SAID" "$SAID.failed"; false; }
	local mode
	for mode in l2 l3; do
		[ "$(line "$mode mac")" = "of the parent" ] && [ "$(line "$mode inspect")" = "of the parent" ] || { cat "$SAID"; false; }
		[ "$(line "$mode neighbour")" = yes ] || { cat "$SAID"; false; }
		[ "$(line "$mode address")" = 10.9.0.65 ]
	done
	[ "$(line "l2 lan")" = yes ] || { cat "$SAID"; false; }
}

@test "routed and bridge: names, IPv6, the neighbours, published ports, nothing left" {
	local driver
	for driver in routed bridge; do
		[ "$(line "$driver names")" = yes ] && [ "$(line "$driver IPv6")" = yes ] && [ "$(line "$driver lan")" = yes ] &&
			[ "$(line "$driver published")" = page ] && [ "$(line "$driver itself")" = page ] || { cat "$SAID"; false; }
	done
	[ "$(line left)" = 0 ] || { cat "$SAID"; false; }
}
