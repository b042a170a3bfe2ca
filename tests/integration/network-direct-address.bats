#!/usr/bin/env bats
# Direct ports at the container's own address: from its neighbours and from the host.

bats_require_minimum_version 1.5.0

setup_file() {
	load ../lib/direct.bash
	direct_root direct-servers
	direct_ready
}

setup() {
	load ../lib/oracle.bash
}

teardown() {
	m rm -f web other >/dev/null 2>&1 || true
	m network rm front >/dev/null 2>&1 || true
	wait_until 10 nothing_is_left
}

nothing_is_left() {
	! ip link show masu0 2>/dev/null && [ -z "$(nft list ruleset)" ] &&
		[ -z "$(ip rule show priority 100; ip -6 rule show priority 100)" ]
} >/dev/null

m() { "$MASU" "$@" 3>&- 4>&-; }
web() { m run -d --name web "$@" busybox:local sh -c "$HTTPD" >/dev/null; }
HTTPD='mkdir -p /www; echo served >/www/page; httpd -p 81 -h /www; exec httpd -f -p 80 -h /www'
other() { m run -d --name other "$@" busybox:local sleep 1000 >/dev/null; }
modes() { m inspect web | jq -r ".[0].NetworkSettings.Ports[\"80/tcp\"] | map(.Mode) | join(\" \")"; }
is() { [ "$(modes)" = "$1" ]; }
address() { m inspect "$1" | jq -r ".[0].NetworkSettings.$2"; }
get() { m exec other timeout 20 wget -qO- "$1"; }

@test "neighbours and the host reach a direct port at the container's addresses" {
	web -p 8080:80,mode=direct
	other
	wait_until 5 is "direct direct"
	local v4 v6
	v4=$(address web IPAddress) v6=$(address web GlobalIPv6Address)
	[ "$(get "http://$v4/page")" = served ]
	[ "$(get "http://[$v6]/page")" = served ]
	[ "$(curl -fs --max-time 10 "http://$v4/page")" = served ]
	[ "$(curl -fs --max-time 10 "http://[$v6]/page")" = served ]
	# Ports beside it are the container's, and what has no ports too.
	[ "$(get "http://$v4:81/page")" = served ]
	[ "$(get "http://[$v6]:81/page")" = served ]
	[ "$(curl -fs --max-time 10 "http://$v4:81/page")" = served ]
	run -1 get "http://$v4:8080/page"
	m exec other ping -c 1 -W 1 "$v4" >/dev/null
	m exec other ping -c 1 -W 1 "$v6" >/dev/null
	# The published address goes on, from the neighbour too.
	[ "$(get http://10.9.0.1:8080/page)" = served ]
	# Nobody outside reaches it by that address (moby 45610).
	ip -n lan route add "$v4" via 10.9.0.1
	run -28 ip netns exec lan curl -s --max-time 0.5 "http://$v4/page"
	ip -n lan route del "$v4"
}

@test "the server sees its neighbour's own address, and its own as it bound it" {
	m run -d --name web -p 8080:80,mode=direct busybox:local direct-servers peer 80 >/dev/null
	other
	wait_until 5 is "direct nat"
	[ "$(m exec other sh -c "nc -w 1 $(address web IPAddress) 80 </dev/null")" = "$(address other IPAddress) 80" ]
	# The host's connection has the container's, as one from inside has.
	[ "$(nc -w 1 "$(address web IPAddress)" 80 </dev/null)" = "$(address web IPAddress) 80" ]
}

@test "megabytes in both directions, and a thousand connections" {
	m run -d --name web -p 8080:80,mode=direct busybox:local sh -c '
		mkdir -p /www/cgi-bin; dd if=/dev/urandom of=/www/data bs=1M count=8 2>/dev/null
		printf "#!/bin/sh\necho; dd bs=4096 iflag=fullblock 2>/dev/null | head -c \$CONTENT_LENGTH | md5sum\n" >/www/cgi-bin/sum; chmod +x /www/cgi-bin/sum
		exec httpd -f -p 80 -h /www' >/dev/null
	other
	wait_until 5 is "direct direct"
	local v4 sum
	v4=$(address web IPAddress)
	sum=$(m exec web md5sum /www/data | cut -c 1-32)
	[ "$(get "http://$v4/data" | md5sum | cut -c 1-32)" = "$sum" ]
	[ "$(curl -fs --max-time 5 "http://$v4/data" | md5sum | cut -c 1-32)" = "$sum" ]
	curl -fs --max-time 5 "http://$v4/data" -o "$BATS_TEST_TMPDIR/data"
	[ "$(curl -fs --max-time 5 --data-binary @"$BATS_TEST_TMPDIR/data" -H Expect: "http://$v4/cgi-bin/sum" | cut -c 1-32)" = "$sum" ]
	[ "$(curl -s -o /dev/null -w '%{http_code}\n' --max-time 20 "http://$v4/none?[1-1000]" | sort | uniq -c)" = "   1000 404" ]
}

@test "a port of the host's loopback is reached at the container's address, too" {
	web -p 127.0.0.1:8080:80,mode=direct
	other
	wait_until 5 is direct
	[ "$(get "http://$(address web IPAddress)/page")" = served ]
	[ "$(curl -fs --max-time 10 "http://$(address web IPAddress)/page")" = served ]
	run get http://10.9.0.1:8080/page
	[ "$status" -ne 0 ]
	# From inside too, which needs the gateway's port, and that is nobody else's.
	[ "$(m exec web timeout 20 wget -qO- http://127.0.0.1/page)" = served ]
	[ "$(m exec web timeout 20 wget -qO- "http://$(address web IPAddress)/page")" = served ]
	run get "http://$(address web Gateway):8080/page"
	[ "$status" -ne 0 ]
	run curl -s --max-time 1 "http://$(address web Gateway):8080/page"
	[ "$status" -eq 7 ]
	# Ports of the host that are not the container's are reached as ever.
	echo "of the host" >"$BATS_TEST_TMPDIR/page"
	busybox httpd -f -p "$(address web Gateway):8090" -h "$BATS_TEST_TMPDIR" >/dev/null 2>&1 3>&- 4>&- &
	wait_until 5 curl -fs "http://$(address web Gateway):8090/page" >/dev/null
	[ "$(m exec web timeout 20 wget -qO- "http://$(address web Gateway):8090/page")" = "of the host" ]
	kill $!
}

@test "a port of one address of the host is reached at the container's address, and from inside" {
	# Beside another port that is at every address.
	web -p 10.9.0.1:8080:80,mode=direct -p 8081:81,mode=direct
	other
	wait_until 5 is direct
	local v4 v6
	v4=$(address web IPAddress) v6=$(address web GlobalIPv6Address)
	[ "$(get "http://$v4/page")" = served ]
	[ "$(curl -fs --max-time 10 "http://$v4/page")" = served ]
	[ "$(get "http://$v4:81/page")" = served ]
	[ "$(get "http://[$v6]:81/page")" = served ]
	[ "$(m exec web timeout 20 wget -qO- http://127.0.0.1/page)" = served ]
	[ "$(m exec web timeout 20 wget -qO- "http://$v4/page")" = served ]
	[ "$(m exec web timeout 20 wget -qO- http://127.0.0.1:81/page)" = served ]
	# It is at no other address of the host.
	run -7 curl -s --max-time 1 http://127.0.0.1:8080/page
	run -7 curl -s --max-time 1 "http://$(address web Gateway):8080/page"
	m rm -f web >/dev/null
	web -p '[fd09::1]:8080:80,mode=direct'
	wait_until 5 is direct
	v4=$(address web IPAddress) v6=$(address web GlobalIPv6Address)
	[ "$(ip netns exec lan curl -fs --max-time 10 'http://[fd09::1]:8080/page')" = served ]
	[ "$(get "http://[$v6]/page")" = served ]
	[ "$(curl -fs --max-time 10 "http://[$v6]/page")" = served ]
	[ "$(m exec web timeout 20 wget -qO- 'http://[::1]/page')" = served ]
	[ "$(m exec web timeout 20 wget -qO- "http://[$v6]/page")" = served ]
	run -7 curl -s --max-time 1 'http://[::1]:8080/page'
	# What is published by one family is reached by that alone.
	run -7 curl -s --max-time 1 "http://$v4/page"
}

@test "every address of one family: 0.0.0.0, and ::" {
	web -p 0.0.0.0:8080:80,mode=direct
	other
	wait_until 5 is direct
	[ "$(ip netns exec lan curl -fs --max-time 10 http://10.9.0.1:8080/page)" = served ]
	[ "$(get "http://$(address web IPAddress)/page")" = served ]
	[ "$(m exec web timeout 20 wget -qO- http://127.0.0.1/page)" = served ]
	run -7 curl -s --max-time 1 'http://[::1]:8080/page'
	m rm -f web >/dev/null
	web -p '[::]:8080:80,mode=direct'
	wait_until 5 is direct
	[ "$(ip netns exec lan curl -fs --max-time 10 'http://[fd09::1]:8080/page')" = served ]
	[ "$(get "http://[$(address web GlobalIPv6Address)]/page")" = served ]
	[ "$(m exec web timeout 20 wget -qO- 'http://[::1]/page')" = served ]
	run -7 curl -s --max-time 1 http://127.0.0.1:8080/page
	# Both, each asked for by itself, and of the loopback addresses one that nf_tables cannot translate.
	m rm -f web >/dev/null
	web -p 0.0.0.0:8080:80,mode=direct -p '[::]:8080:80,mode=direct' -p '[::1]:8081:81,mode=direct' \
		-p 127.0.0.2:8082:82,mode=direct
	wait_until 5 is "direct direct"
	[ "$(ip netns exec lan curl -fs --max-time 2 http://10.9.0.1:8080/page)" = served ]
	[ "$(ip netns exec lan curl -fs --max-time 2 'http://[fd09::1]:8080/page')" = served ]
	[ "$(get "http://$(address web IPAddress)/page")" = served ]
	[ "$(get "http://[$(address web GlobalIPv6Address)]/page")" = served ]
	[ "$(m inspect web | jq -r '.[0].NetworkSettings.Ports["81/tcp"][0].Mode')" = direct ]
	[ "$(curl -fs --max-time 2 'http://[::1]:8081/page')" = served ]
	run -7 curl -s --max-time 1 http://127.0.0.1:8081/page
	m exec web httpd -p 82 -h /www
	[ "$(curl -fs --max-time 2 http://127.0.0.2:8082/page)" = served ]
	run -7 curl -s --max-time 1 http://127.0.0.1:8082/page
	# Translated, the same addresses.
	m rm -f web >/dev/null
	web -p 0.0.0.0:8080:80 -p '[::]:8081:80'
	wait_until 5 ip netns exec lan curl -fs --max-time 2 http://10.9.0.1:8080/page
	[ "$(ip netns exec lan curl -fs --max-time 10 'http://[fd09::1]:8081/page')" = served ]
}

@test "by name in a network of one's own, and after another container took the address" {
	m network create front >/dev/null
	web --network front -p 8080:80,mode=direct
	other --network front
	wait_until 5 is direct
	[ "$(get http://web/page)" = served ]
	local before
	before=$(m inspect web | jq -r '.[0].NetworkSettings.Networks.front.IPAddress')
	m rm -f web >/dev/null
	web --network front
	[ "$(m inspect web | jq -r '.[0].NetworkSettings.Networks.front.IPAddress')" = "$before" ]
	wait_until 5 get http://web/page
}

@test "a server that ends and listens again is reached again" {
	m run -d --name web -p 8080:80,mode=direct busybox:local sh -c '
		mkdir /www; echo served >/www/page; while :; do httpd -f -p 80 -h /www; done' >/dev/null
	other
	wait_until 5 is "direct direct"
	local v4
	v4=$(address web IPAddress)
	[ "$(get "http://$v4/page")" = served ]
	m exec web killall httpd
	wait_until 5 get "http://$v4/page"
	m restart -t 0 web >/dev/null
	wait_until 5 is "direct direct"
	[ "$(get "http://$(address web IPAddress)/page")" = served ]
}

@test "where only datagrams are direct the host gets no rule" {
	m run -d --name web -p 8080:80/udp,mode=direct busybox:local direct-servers udp4 80 >/dev/null
	wait_until 5 eval '[ "$(m inspect web | jq -r ".[0].NetworkSettings.Ports[\"80/udp\"][0].Mode")" = direct ]'
	[ -z "$(ip rule show priority 100; ip -6 rule show priority 100)" ]
}
