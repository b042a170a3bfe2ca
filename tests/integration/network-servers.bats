#!/usr/bin/env bats
# Servers as they are, on a direct port: each is asked from the host and from a neighbour, by both families
# that it serves, then restarted and asked again. They are Debian's, from the host's /usr; what is not
# installed is skipped (tools/setup test installs them all).

bats_require_minimum_version 1.5.0

setup_file() {
	load ../lib/direct.bash
	direct_root
	direct_host_programs
	rm -rf "$root/sbin"
	direct_ready
}

setup() {
	load ../lib/oracle.bash
	SHARED=$BATS_TEST_TMPDIR/shared
	mkdir "$SHARED"
	chmod 777 "$SHARED"
}

teardown() {
	m rm -f server >/dev/null 2>&1 || true
}

m() { "$MASU" "$@" 3>&- 4>&-; }
needs() { command -v "$1" >/dev/null || skip "$1 is not installed"; }
lan() { ip netns exec lan "$@"; }
# serve PORT [OPTION...] -- COMMAND...: on host port 8080.
serve() {
	local port=$1 options=()
	shift
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	m run -d --name server -v /usr:/usr:ro -v "$SHARED:/shared" -p "8080:$port,mode=direct" "${options[@]}" \
		busybox:local "$@" >/dev/null
	PORT=$port
}
modes() { m inspect server | jq -r ".[0].NetworkSettings.Ports[\"$PORT/tcp\"] | map(.Mode) | join(\" \")"; }
# at ADDRESS COMMAND...: the command with the address for @ (for ://@ as URLs have it).
at() {
	local address=$1 words=("${@:2}") url=$1
	[[ $address != *:* ]] || url="[$address]"
	words=("${words[@]//:\/\/@/:\/\/$url}")
	"${words[@]//@/$address}"
}
says() { [[ "$("${@:2}" 2>/dev/null)" == *"$1"* ]]; }
# answers EXPECTED COMMAND...: what it says, within ten seconds.
answers() {
	wait_until 10 says "$@" || { echo "answered: $("${@:2}" 2>&1)"; m logs server 2>&1 | tail -n 5; return 1; }
}
# asked MODES EXPECTED COMMAND...: at each of the host's addresses that the modes ("direct nat": IPv4 alone) let
# expect the server at.
asked() {
	answers "$2" at 127.0.0.1 "${@:3}"
	[ "$(modes)" = "$1" ] || { modes; return 1; }
	answers "$2" at 10.9.0.1 lan "${@:3}"
	[ "$1" = "direct direct" ] || return 0
	answers "$2" at ::1 "${@:3}"
	answers "$2" at fd09::1 lan "${@:3}"
}
# served: the same, and again after a restart.
served() {
	asked "$@"
	m restart -t 1 server >/dev/null
	asked "$@"
}
get() { echo curl -fs --max-time 5 "http://@:8080/$1"; }

@test "busybox httpd" {
	echo "of httpd" >"$SHARED/page"
	serve 80 -- httpd -f -p 80 -h /shared
	served "direct direct" "of httpd" $(get page)
}

@test "busybox nc, which is forked for every connection" {
	serve 80 -- nc -ll -p 80 -e echo "of nc"
	served "direct direct" "of nc" timeout 2 nc -N @ 8080
}

@test "redis, with pipelined requests of many clients" {
	needs redis-server
	serve 6379 -- /usr/bin/redis-server --port 6379 --save '' --protected-mode no --bind '0.0.0.0 ::'
	served "direct direct" PONG redis-cli -h @ -p 8080 ping
	lan redis-benchmark -h 10.9.0.1 -p 8080 -t set,get -n 2000 -c 50 -P 8 -q >/dev/null
	[ "$(m exec server /usr/bin/redis-cli ping)" = PONG ]
	# It closes all sockets, and listens anew.
	[ "$(m exec server /usr/bin/redis-cli config set bind 0.0.0.0)" = OK ]
	answers PONG at 10.9.0.1 lan redis-cli -h @ -p 8080 ping
	run -1 redis-cli -h ::1 -p 8080 ping
}

has_listeners() { [ "$(ss -H4ltn sport = :8080 | wc -l)" -eq "$1" ]; }

@test "nginx with reuseport, deferred accept and two workers; a reload keeps the port" {
	needs nginx
	mkdir "$SHARED/www"
	echo "of nginx" >"$SHARED/www/page"
	cat >"$SHARED/nginx.conf" <<-'CONF'
		daemon off;
		worker_processes 2;
		user root;
		error_log stderr;
		pid /tmp/nginx.pid;
		events { }
		http {
			access_log off;
			client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3;
			uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;
			server {
				listen 80 reuseport deferred backlog=200;
				listen [::]:80 reuseport ipv6only=on;
				location / { root /shared/www; }
				location = /port { return 200 "$server_port of $remote_addr"; }
			}
		}
	CONF
	serve 80 -- /usr/sbin/nginx -c /shared/nginx.conf
	served "direct direct" "of nginx" $(get page)
	answers "80 of 10.9.0.2" at 10.9.0.1 lan $(get port)
	answers "80 of fd09::2" at fd09::1 lan $(get port)
	# A third worker has a socket of its own, beside those of the other two.
	sed -i 's/^worker_processes 2/worker_processes 3/' "$SHARED/nginx.conf"
	echo "reloaded" >"$SHARED/www/page"
	m exec server /usr/sbin/nginx -c /shared/nginx.conf -s reload
	for _ in $(seq 20); do
		[ "$(lan curl -fs --max-time 10 http://10.9.0.1:8080/page)" = reloaded ]
	done
	wait_until 5 has_listeners 3
	asked "direct direct" reloaded $(get page)
}

@test "python: http.server, and asyncio with a started loop" {
	[ -x /usr/bin/python3 ] || skip "Debian's python3 is not installed"
	echo "of python" >"$SHARED/page"
	serve 80 -- /usr/bin/python3 -u -m http.server 80 -d /shared
	served "direct nat" "of python" $(get page)
	m rm -f server >/dev/null
	cat >"$SHARED/server.py" <<-'PY'
		import asyncio
		async def answer(reader, writer):
		    writer.write(b"of asyncio %d\n" % writer.get_extra_info("sockname")[1])
		    await writer.drain()
		    writer.close()
		async def main():
		    async with await asyncio.start_server(answer, ["0.0.0.0", "::"], 80) as server:
		        await server.serve_forever()
		asyncio.run(main())
	PY
	serve 80 -- /usr/bin/python3 /shared/server.py
	served "direct direct" "of asyncio 80" timeout 2 nc 10.9.0.1 8080
}

@test "node, alone and with a cluster that hands its listening socket on" {
	needs node
	cat >"$SHARED/server.js" <<-'JS'
		const http = require('http'), cluster = require('cluster');
		if (process.argv[2] === 'cluster' && cluster.isPrimary) {
			cluster.fork();
			cluster.fork();
		} else {
			http.createServer((request, response) => response.end('of node')).listen(80);
		}
	JS
	serve 80 -- /usr/bin/node /shared/server.js
	served "direct direct" "of node" $(get)
	m rm -f server >/dev/null
	serve 80 -- /usr/bin/node /shared/server.js cluster
	served "direct direct" "of node" $(get)
}

@test "memcached, with threads" {
	needs memcached
	serve 11211 --user 1000 -- /usr/bin/memcached -t 2
	served "direct direct" STORED sh -c 'printf "set key 0 0 1\r\nx\r\nquit\r\n" | timeout 2 nc -N @ 8080'
}

@test "a static Go program" {
	needs gccgo-12
	cat >"$SHARED/server.go" <<-'GO'
		package main

		import ("fmt"; "net"; "net/http")

		func main() {
			http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, "of go ", r.Context().Value(http.LocalAddrContextKey).(net.Addr).(*net.TCPAddr).Port)
			})
			panic(http.ListenAndServe(":80", nil))
		}
	GO
	gccgo-12 -static -o "$SHARED/server" "$SHARED/server.go" 2>/dev/null # warns of getaddrinfo()
	serve 80 -- /shared/server
	served "direct direct" "of go 80" $(get)
}

@test "a program of the Go compiler: docker-registry" {
	needs docker-registry
	printf 'version: 0.1\nstorage: { inmemory: {} }\nhttp: { addr: ":80" }\n' >"$SHARED/registry.yml"
	serve 80 -- /usr/bin/docker-registry serve /shared/registry.yml
	served "direct direct" "{}" $(get v2/)
}

@test "java, with a selector" {
	needs java
	/usr/bin/python3 "$REPO/tests/integration/src/java-server.py" "$SHARED/Server.class"
	serve 80 -v /etc:/etc:ro -- "$(readlink -f "$(command -v java)")" -XX:TieredStopAtLevel=1 -cp /shared Server
	served "direct direct" "No context found" curl -s --max-time 5 http://@:8080/
}

@test "iperf3, which makes a listening socket anew for each test" {
	needs iperf3
	serve 5201 -- /usr/bin/iperf3 -s
	served "direct direct" receiver iperf3 -c @ -p 8080 -n 4M
	answers receiver lan iperf3 -c 10.9.0.1 -p 8080 -n 4M -R -P 2
	[ "$(modes)" = "direct direct" ]
}

@test "mariadb" {
	needs mariadbd
	local options="--no-defaults --datadir=/tmp/db --tmpdir=/tmp --innodb-log-file-size=4M --innodb-buffer-pool-size=8M
		--innodb-flush-method=nosync"
	serve 3306 --user 1000 -- sh -c "set -e
		[ -d /tmp/db ] || {
			mkdir /tmp/db
			{ echo 'create database mysql;'; echo 'use mysql;'; cat /usr/share/mysql/mysql_system_tables.sql; } |
				/usr/sbin/mariadbd $(echo $options) --bootstrap
		}
		exec /usr/sbin/mariadbd $(echo $options) --socket=/tmp/socket --skip-grant-tables --skip-networking=0"
	wait_until 20 mariadb --no-defaults -h 127.0.0.1 -P 8080 -e 'select 1' >/dev/null 2>&1
	served "direct direct" 42 mariadb --no-defaults -h @ -P 8080 -e 'select 6 * 7'
}

@test "postgresql; a reload keeps the port" {
	local bin
	bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | head -n 1)
	[ -x "$bin/postgres" ] || skip "postgresql is not installed"
	serve 5432 --user 1000 -- sh -c "[ -d /tmp/db ] || $bin/initdb -N --no-locale -D /tmp/db -U me -A trust >/dev/null
		echo 'host all all all trust' >>/tmp/db/pg_hba.conf
		exec $bin/postgres -D /tmp/db -F -c listen_addresses='*' -c unix_socket_directories=/tmp"
	wait_until 20 "$bin/psql" -h 127.0.0.1 -p 8080 -U me -d postgres -c 'select 1' >/dev/null 2>&1
	served "direct direct" 42 "$bin/psql" -h @ -p 8080 -U me -d postgres -Atc 'select 6 * 7'
	[ "$("$bin/psql" -h 127.0.0.1 -p 8080 -U me -d postgres -Atc 'select pg_reload_conf()')" = t ]
	asked "direct direct" 42 "$bin/psql" -h @ -p 8080 -U me -d postgres -Atc 'select 6 * 7'
}
