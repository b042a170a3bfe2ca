# Networks as the users of `masu run` see them.

setup_file() {
	load ../lib/oracle.bash
	export MASU_ROOT=$BATS_FILE_TMPDIR/lib MASU_RUNROOT=$BATS_FILE_TMPDIR/run
	mkdir "$BATS_FILE_TMPDIR/rootfs"
	make_busybox_root "$BATS_FILE_TMPDIR/rootfs"
	tar -C "$BATS_FILE_TMPDIR/rootfs" -c . | "$MASU" import - busybox:local
	load ../lib/lan.bash
	lan_make
}

setup() {
	load ../lib/oracle.bash
	PEER=$REPO/tests/integration/network-peer.py
	STOP=$BATS_TEST_TMPDIR/stop
	mkdir "$STOP"
}

teardown() {
	touch "$STOP/now"
	wait_until 10 nothing_is_left
}

nothing_is_left() {
	! ip link show masu0 2>/dev/null && [ -z "$(nft list ruleset)" ] &&
		! ip -o link show type veth | grep -v lan0 &&
		[ -z "$(find "$MASU_RUNROOT/networks" -name '[0-9]*' 2>/dev/null)" ]
} >/dev/null

# A detached web server that ends when $STOP/now appears; options of run before the name.
web() {
	local name=${*: -1}
	"$MASU" run -d --rm --name "$name" -v "$STOP:/stop" "${@:1:$#-1}" busybox:local sh -c "
		echo $name >/tmp/name; httpd -p 80 -h /tmp
		until [ -e /stop/now ]; do sleep 0.05; done"
}

page() { wait_until 5 curl -fs -o /dev/null --max-time 1 "$1" && curl -fs --max-time 1 "$1"; }

@test "a published port answers the host and its neighbours, and is refused when the container has ended" {
	web -p 8080:80 w1
	[ "$(page http://127.0.0.1:8080/name)" = w1 ]
	[ "$(page http://localhost:8080/name)" = w1 ]
	[ "$(ip netns exec lan curl -fs http://10.9.0.1:8080/name)" = w1 ]
	touch "$STOP/now"
	wait_until 5 eval '! curl -fs --max-time 1 http://127.0.0.1:8080/name'
	run curl -s --max-time 1 http://127.0.0.1:8080/name
	[ "$status" -eq 7 ]
	wait_until 10 nothing_is_left
}

@test "a port that is taken: docker's words and status 125, and nothing runs" {
	web -p 8080:80 w1
	run "$MASU" run --rm -p 8080:80 busybox:local true
	[ "$status" -eq 125 ]
	[[ $output == *"Bind for 0.0.0.0:8080 failed: port is already allocated"* ]]
	[ "$(page http://127.0.0.1:8080/name)" = w1 ]
}

@test "the same port is published run after run" {
	local i
	for i in $(seq 8); do
		"$MASU" run --rm -p 8080:80 busybox:local true
	done
}

@test "the container knows its own address by name" {
	run "$MASU" run --rm --hostname me busybox:local sh -c 'grep me /etc/hosts; ip -4 -o addr show eth0'
	[ "$status" -eq 0 ]
	local address=${lines[0]%%[[:space:]]*}
	[[ $address == 172.17.0.* ]]
	[[ $output == *"inet $address/16 "* ]]
}

@test "none has a loopback and nothing else; host is the host's network" {
	run "$MASU" run --rm --network none busybox:local ip -o link
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == *" lo: "*UP* ]]
	run "$MASU" run --rm --network host busybox:local ip -o link show lan0
	[ "$status" -eq 0 ]
}

@test "container: shares another one's network" {
	web -p 8080:80 w1
	page http://127.0.0.1:8080/name
	[ "$("$MASU" run --rm --network container:w1 busybox:local wget -qO- http://127.0.0.1/name)" = w1 ]
	run "$MASU" run --rm --network container:w1 -p 1:1 busybox:local true
	[ "$status" -eq 125 ]
}

@test "containers reach each other and themselves through the published port" {
	web -p 8080:80 w1
	page http://127.0.0.1:8080/name
	[ "$("$MASU" run --rm busybox:local wget -qO- http://10.9.0.1:8080/name)" = w1 ]
}

@test "what was removed under a running container comes back with the next one (HOSTILE 48)" {
	web -p 8080:80 w1
	page http://127.0.0.1:8080/name
	nft flush ruleset
	ip link del masu0
	"$MASU" run --rm busybox:local true
	[ "$(page http://127.0.0.1:8080/name)" = w1 ]
}

@test "ports that are none are refused before anything is made" {
	local spec
	for spec in 0:80 65536:80 80:0 80:65536 8000-8010:80 9-8:80-81 1.2.3:1:2 "[::1]:80:80,mode=nat" 80/icmp; do
		run "$MASU" run --rm -p "$spec" busybox:local true
		[ "$status" -eq 125 ]
		[ "${#lines[@]}" -le 2 ]
	done
	run "$MASU" run --rm -p 8080:80 -p 8080:81 busybox:local true
	[ "$status" -eq 125 ]
	[[ $output == *"published twice"* ]]
	run "$MASU" run --rm --network nowhere busybox:local true
	[ "$status" -eq 125 ]
	[[ $output == *"network nowhere not found"* ]]
}
