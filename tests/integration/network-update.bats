#!/usr/bin/env bats
# Published ports that are added to a container that runs, and taken away.

bats_require_minimum_version 1.5.0

setup_file() {
	load ../lib/oracle.bash
	export MASU_ROOT=$BATS_FILE_TMPDIR/lib MASU_RUNROOT=$BATS_FILE_TMPDIR/run
	mkdir "$BATS_FILE_TMPDIR/rootfs"
	make_busybox_root "$BATS_FILE_TMPDIR/rootfs"
	tar -C "$BATS_FILE_TMPDIR/rootfs" -c . | "$MASU" import - busybox:local
}

setup() {
	load ../lib/oracle.bash
}

teardown() {
	m rm -f web other >/dev/null 2>&1 || true
	wait_until 10 nothing_is_left
}

nothing_is_left() {
	! ip link show masu0 2>/dev/null && [ -z "$(nft list ruleset)" ] &&
		[ -z "$(find "$MASU_RUNROOT/networks" -name '[0-9]*' 2>/dev/null)" ]
} >/dev/null

m() { "$MASU" "$@" 3>&- 4>&-; }
web() {
	m run -d --name web "$@" busybox:local sh -c '
		mkdir /www; echo served >/www/page; httpd -p 80 -h /www; httpd -p 81 -h /www; exec sleep 1000' >/dev/null
}
page() { wait_until 5 curl -fs -o /dev/null --max-time 1 "$1" && curl -fs --max-time 1 "$1"; }
refused() {
	run curl -s --max-time 1 "$1"
	[ "$status" -eq 7 ]
}
ports() { m port web | sort | grep -v '\[::\]' | tr '\n' ';'; }
is_free() { python3 -c 'import socket, sys; s = socket.socket(socket.AF_INET6); s.bind(("::", int(sys.argv[1])))' "$1" 2>/dev/null; }

@test "a port is published on a running container, and taken away again" {
	web
	refused http://127.0.0.1:8080/page
	m update --publish-add 8080:80 --publish-add 127.0.0.1:8081:81 web >/dev/null
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	[ "$(page http://127.0.0.1:8081/page)" = served ]
	[ "$(ports)" = "80/tcp -> 0.0.0.0:8080;81/tcp -> 127.0.0.1:8081;" ]
	m update --publish-rm 80 web >/dev/null
	wait_until 5 refused http://127.0.0.1:8080/page
	[ "$(page http://127.0.0.1:8081/page)" = served ]
	[ "$(ports)" = "81/tcp -> 127.0.0.1:8081;" ]
	is_free 8080
	run -1 is_free 8081
}

@test "a restart keeps what was changed" {
	web -p 8080:80
	m update --publish-rm 8080:80 --publish-add 8090:80 web >/dev/null
	m restart -t 0 web >/dev/null
	[ "$(page http://127.0.0.1:8090/page)" = served ]
	refused http://127.0.0.1:8080/page
	[ "$(m inspect web | jq -c '.[0].HostConfig.PortBindings')" = '{"80/tcp":[{"HostIp":"","HostPort":"8090"}]}' ]
}

@test "one port of several on the same port of the container; what stays is not interrupted" {
	web -p 8080:80 -p 8081:80 -p 8082:80 -p 8083:80,mode=bpf
	page http://127.0.0.1:8081/page
	page http://127.0.0.1:8083/page
	exec 5<>/dev/tcp/127.0.0.1/8081 6<>/dev/tcp/127.0.0.1/8083
	m update --publish-rm 8080:80 --publish-rm 8082:80 --publish-rm 8083:80 web >/dev/null
	[ "$(ports)" = "80/tcp -> 0.0.0.0:8081;" ]
	printf 'GET /page HTTP/1.0\r\n\r\n' >&5
	grep -q served <&5
	# Connections by BPF programs outlive their port as well.
	printf 'GET /page HTTP/1.0\r\n\r\n' >&6
	grep -q served <&6
	exec 5>&- 6>&-
	refused http://127.0.0.1:8080/page
	refused http://127.0.0.1:8083/page
}

@test "a port that is taken is refused, and all is as it was" {
	web -p 8080:80
	m run -d --name other -p 9000:80 busybox:local sleep 1000 >/dev/null
	run m update --publish-rm 80 --publish-add 8081:80 --publish-add 9000:81 web
	[ "$status" -ne 0 ]
	[[ $output == *"Bind for 0.0.0.0:9000 failed: port is already allocated"* ]]
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	[ "$(ports)" = "80/tcp -> 0.0.0.0:8080;" ]
	[ "$(m inspect web | jq -c '.[0].HostConfig.PortBindings | keys')" = '["80/tcp"]' ]
	is_free 8081
}

@test "free ports are chosen, and stay when others come" {
	web -p 80
	local chosen
	chosen=$(m port web 80 | head -n 1)
	m update --publish-add 81 web >/dev/null
	[ "$(m port web 80 | head -n 1)" = "$chosen" ]
	[ "$(page "http://127.0.0.1:$(m port web 81 | head -n 1 | sed 's/.*://')/page")" = served ]
}

@test "what makes no sense is refused by name" {
	web -p 8080:80
	run m update --publish-rm 81 web
	[[ $status -ne 0 && $output == *"port 81 is not published"* ]]
	run m update --publish-add 8080:81 web
	[[ $status -ne 0 && $output == *"published twice"* ]]
	run m update --publish-add 0:81 web
	[ "$status" -ne 0 ]
	m run -d --name other --network none busybox:local sleep 1000 >/dev/null
	run m update --publish-add 8081:81 other
	[[ $status -ne 0 && $output == *"no published ports"* ]]
	[ "$(ports)" = "80/tcp -> 0.0.0.0:8080;" ]
}

@test "beside a direct port others come and go; a stopped container takes any" {
	m run -d --name web -p 7999:79 -p 8080:80,mode=direct busybox:local sh -c '
		mkdir /www; echo served >/www/page; httpd -p 81 -h /www; while :; do httpd -f -p 80 -h /www; done' >/dev/null
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	m update --publish-rm 7999:79 --publish-add 8081:81 web >/dev/null
	[ "$(page http://127.0.0.1:8081/page)" = served ]
	# The index of the direct port is another now.
	m exec web killall -o httpd >/dev/null 2>&1 || m exec web sh -c 'kill $(pidof httpd)' || true
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	m inspect web | jq -e '.[0].NetworkSettings.Ports["80/tcp"][0].Mode == "direct"'
	run m update --publish-rm 80 web
	[ "$status" -ne 0 ]
	m stop -t 0 web >/dev/null
	m update --publish-rm 80 --publish-add 8090:80,mode=direct web >/dev/null
	m start web >/dev/null
	[ "$(page http://127.0.0.1:8090/page)" = served ]
	m inspect web | jq -e '.[0].NetworkSettings.Ports["80/tcp"][0].Mode == "direct"'
}

modes() { m inspect web | jq -r ".[0].NetworkSettings.Ports[\"$1/tcp\"] | map(.Mode) | join(\" \")"; }
becomes_direct() { [ "$(modes "$1")" = "direct direct" ]; }

@test "direct ports come and go: for servers that listen from then on" {
	m run -d --name web -p 8080:80,mode=direct busybox:local sh -c '
		mkdir /www; echo served >/www/page; httpd -p 81 -h /www; while :; do httpd -f -p 80 -h /www; done' >/dev/null
	wait_until 5 becomes_direct 80
	m update --publish-add 8081:81,mode=direct --publish-add 8082:82,mode=direct web >/dev/null
	# The one that listens already is translated until it does again.
	[ "$(page http://127.0.0.1:8081/page)" = served ]
	[ "$(modes 81)" = "nat nat" ]
	m exec web sh -c 'kill $(pidof httpd); until httpd -p 81 -h /www 2>/dev/null; do sleep 0.05; done'
	wait_until 5 becomes_direct 81
	[ "$(page http://127.0.0.1:8081/page)" = served ]
	[ "$(page http://127.0.0.1:8080/page)" = served ]
	[ "$(m exec web wget -qO- http://127.0.0.1:81/page)" = served ]
	# Nobody has listened on the third: it goes, and so does its place on the host.
	m update --publish-rm 82 web >/dev/null
	is_free 8082
	run m update --publish-rm 81 web
	[[ $status -ne 0 && $output == *"stop the container first"* ]]
	# A server for a port that is not published any more is the container's own.
	m exec web httpd -p 82 -h /www
	[ "$(m exec web wget -qO- http://127.0.0.1:82/page)" = served ]
	refused http://127.0.0.1:8082/page
}

@test "whoever leaves the network leaves the host's ports" {
	m network create front >/dev/null
	m network create back >/dev/null
	web --network front -p 8085:80
	m network connect back web
	run -1 is_free 8085
	m network disconnect front web
	wait_until 5 is_free 8085
	m rm -f web >/dev/null
	m network rm front back >/dev/null
}
