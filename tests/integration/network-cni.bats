# `--network cni:NAME`: Debian's CNI plugins, and one of this file's own that does as it is told.

setup_file() {
	load ../lib/engine.bash
	engine_setup_file
	[ -x /usr/lib/cni/bridge ] || skip "containernetworking-plugins is not installed"
	ip link set lo up
	load ../lib/lan.bash
	lan_make
	ip -n lan route add default via 10.9.0.1
	export NETCONFPATH=$BATS_FILE_TMPDIR/net.d CNI_PATH=$BATS_FILE_TMPDIR/bin:/usr/lib/cni
	export IPAM=$BATS_FILE_TMPDIR/ipam
	mkdir "$NETCONFPATH" "$BATS_FILE_TMPDIR/bin"
	# The portmap of 1.1.1 misses IPv6 rules in its CHECK that it has not made.
	list flat 1.0.0 "$(bridge_of cni0 10.55.0.0/16)" '{"type":"portmap","capabilities":{"portMappings":true}}' \
		'{"type":"tuning","sysctl":{"net.ipv4.conf.all.log_martians":"1"}}'
	list old 0.4.0 "$(bridge_of cni1 10.56.0.0/16)"
	list point 1.0.0 '{"type":"ptp","ipMasq":false,"ipam":'"$(ipam 10.57.0.0/24)"'}'
	list mac 1.0.0 '{"type":"macvlan","master":"lan0","ipam":'"$(ipam 10.9.0.0/24 10.9.0.64)"'}'
	# A plugin that says what it was asked, and fails or waits where a file says so.
	cat >"$BATS_FILE_TMPDIR/bin/told" <<-'SH'
		#!/bin/bash
		dir=$(dirname "$0")
		config=$(cat)
		echo "$CNI_COMMAND $CNI_IFNAME $CNI_ARGS $(basename "$CNI_NETNS")" >>"$dir/said"
		echo "$config" >"$dir/config-$CNI_COMMAND"
		case $(cat "$dir/mode-$CNI_COMMAND" 2>/dev/null) in
		fail) echo '{"cniVersion":"1.0.0","code":7,"msg":"no luck","details":"with it"}'; exit 1 ;;
		words) echo "not a word of JSON" >&2; exit 1 ;;
		nonsense) echo '{"ips":[{"address":"10.1.2.3/999"}]}'; exit 0 ;;
		list) echo '[1]'; exit 0 ;;
		long) head -c 2000000 /dev/zero | tr '\0' ' '; exit 0 ;;
		wait) touch "$dir/waiting"; sleep 100 & wait ;;
		esac
		[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion":"1.0.0","ips":[{"address":"10.58.0.9/24","gateway":"10.58.0.1"}]}'
	SH
	chmod +x "$BATS_FILE_TMPDIR/bin/told"
	list told 1.0.0 '{"type":"told","mine":{"deep":[1,2]},"capabilities":{"portMappings":true,"ips":true,"mac":true}}'
	list both 1.0.0 "$(bridge_of cni2 10.59.0.0/16)" '{"type":"told"}'
	echo '{"cniVersion":"1.0.0","name":"single","type":"told"}' >"$NETCONFPATH/50-single.conf"
	echo '{"cniVersion":"0.1.0","name":"ancient","type":"told"}' >"$NETCONFPATH/60-ancient.conf"
	echo 'no JSON' >"$NETCONFPATH/00-broken.conf"
	list gone 1.0.0 '{"type":"nosuchplugin"}'
	list evil 1.0.0 '{"type":"../../bin/sh"}'
}

list() { # name, version, plugins …
	local name=$1 version=$2
	shift 2
	printf '%s\n' "$@" | jq -s --arg n "$name" --arg v "$version" '{cniVersion:$v,name:$n,disableCheck:($n=="flat"),plugins:.}' \
		>"$NETCONFPATH/10-$name.conflist"
}

ipam() { # subnet, first address
	jq -nc --arg s "$1" --arg f "${2:-}" --arg d "$IPAM" \
		'{type:"host-local",dataDir:$d,ranges:[[{subnet:$s}+(if $f=="" then {} else {rangeStart:$f} end)]],routes:[{dst:"0.0.0.0/0"}]}'
}

bridge_of() { # bridge, subnet
	echo '{"type":"bridge","bridge":"'"$1"'","isGateway":true,"ipMasq":true,"hairpinMode":true,"ipam":'"$(ipam "$2")"'}'
}

setup() {
	load ../lib/engine.bash
	[ -x /usr/lib/cni/bridge ] || skip "containernetworking-plugins is not installed"
	rm -f "$BATS_FILE_TMPDIR"/bin/{said,waiting,mode-*,config-*}
}

teardown() {
	rm -f "$BATS_FILE_TMPDIR"/bin/mode-*
	remove_all
	wait_until 10 nothing_is_left
}

teardown_file() {
	remove_all
	engine_teardown_file
	ip netns del lan
}

# Addresses, records, namespaces that are kept, and what iptables has.
nothing_is_left() {
	[ -z "$(find "$IPAM" -name '[0-9]*' 2>/dev/null)" ] && [ -z "$(ls "$MASU_ROOT/cni" 2>/dev/null)" ] &&
		[ -z "$(ls "$MASU_RUNROOT/cni" 2>/dev/null)" ] && ! grep -q "$MASU_RUNROOT/cni" /proc/self/mountinfo &&
		! iptables-save -t nat 2>/dev/null | grep -E 'CNI-DN-|CNI-[0-9a-f]{24}'
} >/dev/null

up() { # name, options of run …
	local name=$1
	shift
	m_run -d --name "$name" "$@" busybox:local sleep 300 >/dev/null
}

inside() { m exec "$@"; }
said() { cat "$BATS_FILE_TMPDIR/bin/said"; }
mode() { echo "$2" >"$BATS_FILE_TMPDIR/bin/mode-$1"; }

@test "bridge, host-local, portmap, tuning: addresses, a port, each other, the outside, a sysctl" {
	m_run -d --name web --network cni:flat -p 8080:80 busybox:local httpd -f -p 80 -h /data >/dev/null
	up c2 --network cni:flat
	[ "$(field web '.NetworkSettings.Networks["cni:flat"] | "\(.IPAddress)/\(.IPPrefixLen) \(.Gateway)"')" = "10.55.0.2/16 10.55.0.1" ]
	[ "$(field web '.NetworkSettings.Networks["cni:flat"].MacAddress')" = "$(inside web cat /sys/class/net/eth0/address)" ]
	[[ $(m port web) == "80/tcp -> 0.0.0.0:8080"* ]]
	grep -q '10.55.0.2' "$(field web .HostsPath)"
	wait_until 5 eval '[ "$(ip netns exec lan curl -fs --max-time 1 http://10.9.0.1:8080/hello)" = "from the image" ]'
	inside c2 ping -c1 -W2 10.55.0.2
	inside c2 ping -c1 -W2 10.9.0.2
	[ "$(inside web cat /proc/sys/net/ipv4/conf/all/log_martians)" = 1 ]
	m system check
	# What is out of order is found by the plugins' CHECK.
	up c3 --network cni:old
	m system check
	nsenter --net="/proc/$(field c3 .State.Pid)/ns/net" ip route del default
	run m system check
	[ "$status" -ne 0 ] && [[ $output == *"CNI plugin bridge"* ]]
	run m_run --rm --network cni:flat -p 8080:81 busybox:local true
	[ "$status" -eq 125 ] && [[ $output == *"port is already allocated"* ]]
	m restart -t 0 web
	wait_until 5 eval '[ "$(ip netns exec lan curl -fs --max-time 1 http://10.9.0.1:8080/hello)" = "from the image" ]'
	[ "$(find "$IPAM/flat" -name '10.*' | wc -l)" = 2 ]
	m stop -t 0 web
	wait_until 5 eval '[ "$(find "$IPAM/flat" -name "10.*" | wc -l)" = 1 ]'
	m start web
	wait_until 5 eval '[ "$(ip netns exec lan curl -fs --max-time 1 http://10.9.0.1:8080/hello)" = "from the image" ]'
}

@test "0.4.0, ptp, macvlan; a container restarts in place" {
	up c1 --network cni:old
	up c2 --network cni:old --ip 10.56.0.77
	inside c1 ping -c1 -W2 10.56.0.77
	up c3 --network cni:point
	[ "$(field c3 '.NetworkSettings.Networks["cni:point"].IPAddress')" = 10.57.0.2 ]
	"$BATS_FILE_TMPDIR/tree/bin/busybox" ping -c1 -W2 10.57.0.2
	if m_run -d --name c4 --network cni:mac busybox:local sleep 300 >/dev/null 2>&1; then
		inside c4 ping -c1 -W2 10.9.0.2
	fi
	m_run -d --name again --network cni:old --restart on-failure:2 busybox:local sh -c 'ip -o -4 addr show eth0; false' >/dev/null
	wait_until 10 eval '[ "$(field again .RestartCount)" = 2 ] && status_is again exited'
	[ "$(m logs again | grep -c 'inet 10.56.0.')" = 3 ]
}

@test "what plugins are told: their own configuration, capabilities, results before, the same namespace" {
	up c1 --network cni:told -p 127.0.0.1:8081:80/udp --ip 10.58.0.9 --mac-address 02:00:00:00:00:31
	local config=$BATS_FILE_TMPDIR/bin/config
	[ "$(jq -c '[.name,.cniVersion,.type,.mine]' "$config-ADD")" = '["told","1.0.0","told",{"deep":[1,2]}]' ]
	[ "$(jq -c .runtimeConfig "$config-ADD")" = \
		'{"portMappings":[{"hostPort":8081,"containerPort":80,"protocol":"udp","hostIP":"127.0.0.1"}],"ips":["10.58.0.9"],"mac":"02:00:00:00:00:31"}' ]
	[ "$(jq -c .prevResult "$config-ADD")" = null ]
	m rm -f c1 >/dev/null
	wait_until 5 test -e "$config-DEL"
	[ "$(jq -r '.prevResult.ips[0].address' "$config-DEL")" = 10.58.0.9/24 ]
	local id
	id=$(said | sed -n 's/.* \([0-9a-f]*\)-eth0$/\1/p' | sort -u)
	[ ${#id} = 64 ]
	[ "$(said)" = "ADD eth0 IgnoreUnknown=1;IP=10.58.0.9;MAC=02:00:00:00:00:31 $id-eth0
DEL eth0 IgnoreUnknown=1;IP=10.58.0.9;MAC=02:00:00:00:00:31 $id-eth0" ]
	up c2 --network cni:single
	up c3 --network cni:both
	[ "$(jq -r '.prevResult.ips[0].address' "$config-ADD")" = 10.59.0.2/16 ]
}

@test "what fails says so in a line, and is undone" {
	refused() { # message, options of run
		local message=$1
		shift
		run m_run --rm "$@" busybox:local true
		[ "$status" -eq 125 ] && [[ $output == *"$message"* ]] && [ "$(wc -l <<<"$output")" = 1 ] || { echo "$output"; return 1; }
		nothing_is_left
	}
	refused "CNI network nowhere not found: no file of $NETCONFPATH has that name" --network cni:nowhere
	refused "its cniVersion is none of" --network cni:ancient
	refused "CNI plugin nosuchplugin is not in" --network cni:gone
	refused "a plugin without a valid type" --network cni:evil
	refused "none of its plugins publishes ports" --network cni:old -p 80:80
	refused "a container in a CNI network is in no other network" --network cni:old --network bridge
	refused "network-scoped aliases are only supported" --network cni:old --network-alias x
	mode ADD fail
	refused "CNI plugin told: no luck; with it" --network cni:both
	mode ADD words
	refused "CNI plugin told failed: not a word of JSON" --network cni:both
	mode ADD nonsense
	refused "answered with an address that is none" --network cni:told
	mode ADD list
	refused "CNI plugin told: its result is no object" --network cni:told
	mode ADD long
	refused "CNI plugin told: what it writes" --network cni:told
	rm "$BATS_FILE_TMPDIR/bin/mode-ADD"
	# A container whose plugins cannot undo goes all the same; what they left is known.
	up c1 --network cni:both
	mode DEL fail
	m rm -f c1
	run m system check
	[ "$status" -ne 0 ] && [[ $output == *"what CNI plugins made for a container that does not run is left"* ]]
	rm "$BATS_FILE_TMPDIR/bin/mode-DEL"
	m system check --repair
	m system check
}

@test "nothing beside a CNI network, and no verb for it: each is refused in a line, and changes nothing" {
	no() { # message, command
		local message=$1
		shift
		run "$@"
		[ "$status" -ne 0 ] && [[ $output == *"$message"* ]] && [ "$(grep -c '^masu' <<<"$output")" = 1 ] || { echo "$*: $output"; return 1; }
	}
	up flat --network cni:flat
	up own --network bridge
	m network create own
	local alone="a container in a CNI network is in no other network" theirs="say it as --network of run or create"
	no "$alone" m_run --rm --network cni:old --network cni:flat busybox:local true
	no "$alone" m_run --rm --network own --network cni:flat busybox:local true
	no "$alone" m network connect own flat
	no "$alone" m network connect bridge flat
	no "$alone" m network disconnect own flat
	local verb
	for verb in connect disconnect; do
		no "network cni:old is its plugins' and each container's own: $theirs" m network $verb cni:old own
		no "$theirs" m network $verb cni:flat flat
	done
	no "$theirs" m network inspect cni:old
	no "$theirs" m network rm cni:old
	no "published when it starts" m update --publish-add 8080:80 flat
	no "port 80 cannot have mode=bpf, nor be published at ::1: the network's plugins publish its ports" \
		m_run --rm --network cni:flat -p 8080:80,mode=bpf busybox:local true
	up direct --network cni:flat -p 8080:80,mode=direct
	[ "$(field direct '.NetworkSettings.Ports["80/tcp"][0] | "\(.Mode): \(.ModeReason)"')" = "nat: the network's plugins publish its ports" ]
	# Of a container that does not run, too; and who shares its namespace is in the same one.
	m create --name created busybox:local true
	m network disconnect bridge created
	no "$theirs" m network connect cni:old created
	[ "$(m_run --rm --network container:flat busybox:local cat /sys/class/net/eth0/address)" = \
		"$(inside flat cat /sys/class/net/eth0/address)" ]
	[ "$(field flat '.NetworkSettings.Networks | keys | join(" ")')" = cni:flat ]
	[ "$(field own '.NetworkSettings.Networks | keys | join(" ")')" = bridge ]
	m rm -f direct flat own created
	m network rm own
}

@test "killed between ADD and the record, before and after: nothing leaks" {
	local monitor
	# The monitor, while a plugin works.
	mode ADD wait
	m_run -d --name c1 --network cni:both busybox:local sleep 300 >/dev/null 2>&1 3>&- 4>&- &
	local starter=$!
	wait_until 5 test -e "$BATS_FILE_TMPDIR/bin/waiting"
	[ "$(find "$IPAM/both" -name '10.*' | wc -l)" = 1 ]
	for monitor in $(pgrep -f "masu.*$GROUP.*cni:both"); do kill -9 "$monitor"; done
	wait $starter || true
	rm "$BATS_FILE_TMPDIR/bin/mode-ADD"
	m rm -f c1
	nothing_is_left
	# A running container's.
	up c2 --network cni:flat -p 8080:80
	monitor=$(monitor_of c2)
	kill -9 "$monitor"
	wait_until 5 pid_gone "$monitor"
	m start c2
	[ "$(find "$IPAM/flat" -name '10.*' | wc -l)" = 1 ]
	m rm -f c2
	nothing_is_left
}
