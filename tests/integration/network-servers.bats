#!/usr/bin/env bats
# Servers as they are, on a direct port: each is asked from a neighbour, restarted, and asked again. They
# are Debian's, from the host's /usr; what is not installed is skipped.

bats_require_minimum_version 1.5.0

setup_file() {
	load ../lib/oracle.bash
	export MASU_ROOT=$BATS_FILE_TMPDIR/lib MASU_RUNROOT=$BATS_FILE_TMPDIR/run
	local root=$BATS_FILE_TMPDIR/rootfs
	mkdir "$root"
	make_busybox_root "$root"
	mkdir "$root/usr"
	rm -rf "$root/sbin"
	ln -s usr/lib "$root/lib"
	ln -s usr/lib64 "$root/lib64"
	tar -C "$root" -c . | "$MASU" import - busybox:local
	load ../lib/lan.bash
	lan_make 6
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
says() {
	local expected=$1
	shift
	[[ "$(lan "$@" 2>/dev/null)" == *"$expected"* ]]
}
# answers EXPECTED COMMAND...: what it says from the neighbour, within ten seconds.
answers() {
	wait_until 10 says "$@" || { echo "answered: $(lan "${@:2}" 2>&1)"; m logs server 2>&1 | tail -n 5; return 1; }
}
# served MODES EXPECTED COMMAND...: now, and after a restart.
served() {
	local wanted=$1
	shift
	answers "$@"
	[ "$(modes)" = "$wanted" ]
	m restart -t 1 server >/dev/null
	answers "$@"
	[ "$(modes)" = "$wanted" ]
}
get() { echo curl -fs --max-time 2 "http://10.9.0.1:8080/$1"; }

@test "busybox httpd" {
	echo "of httpd" >"$SHARED/page"
	serve 80 -- httpd -f -p 80 -h /shared
	served "direct direct" "of httpd" $(get page)
}

@test "busybox nc, which is forked for every connection" {
	serve 80 -- nc -ll -p 80 -e echo "of nc"
	served "direct direct" "of nc" timeout 2 nc -N 10.9.0.1 8080
}

@test "redis, with pipelined requests of many clients" {
	needs redis-server
	serve 6379 -- /usr/bin/redis-server --port 6379 --save '' --protected-mode no --bind '0.0.0.0 ::'
	served "direct direct" PONG redis-cli -h 10.9.0.1 -p 8080 ping
	answers PONG redis-cli -h fd09::1 -p 8080 ping
	lan redis-benchmark -h 10.9.0.1 -p 8080 -t set,get -n 2000 -c 50 -P 8 -q >/dev/null
	[ "$(m exec server /usr/bin/redis-cli ping)" = PONG ]
}

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
	answers "80 of 10.9.0.2" $(get port)
	answers "80 of fd09::2" curl -fs --max-time 2 'http://[fd09::1]:8080/port'
	m exec server /usr/sbin/nginx -c /shared/nginx.conf -s reload
	for _ in $(seq 20); do
		lan curl -fs --max-time 2 -o /dev/null http://10.9.0.1:8080/page
	done
	[ "$(modes)" = "direct direct" ]
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
	serve 11211 --user 1000 -- /usr/bin/memcached -t 2 -l 0.0.0.0
	served "direct nat" STORED sh -c 'printf "set key 0 0 1\r\nx\r\nquit\r\n" | timeout 2 nc -N 10.9.0.1 8080'
}

@test "a static Go program" {
	needs go
	cat >"$SHARED/server.go" <<-'GO'
		package main

		import ("fmt"; "net"; "net/http")

		func main() {
			http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, "of go ", r.Context().Value(http.LocalAddrContextKey).(net.Addr).(*net.TCPAddr).Port)
			})
			http.ListenAndServe(":80", nil)
		}
	GO
	GOCACHE=$BATS_TEST_TMPDIR/go HOME=$BATS_TEST_TMPDIR CGO_ENABLED=0 GO111MODULE=off GOFLAGS=-p=1 \
		go build -o "$SHARED/server" "$SHARED/server.go"
	serve 80 -- /shared/server
	served "direct direct" "of go 80" $(get)
}

@test "java, with a selector" {
	local java
	java=$(readlink -f "$(command -v javac)" 2>/dev/null) || skip "javac is not installed"
	cat >"$SHARED/Server.java" <<-'JAVA'
		import java.net.*; import java.nio.*; import java.nio.channels.*;
		public class Server {
			public static void main(String[] arguments) throws Exception {
				Selector selector = Selector.open();
				ServerSocketChannel server = ServerSocketChannel.open();
				server.configureBlocking(false);
				server.bind(new InetSocketAddress(80));
				server.register(selector, SelectionKey.OP_ACCEPT);
				for (;;) {
					selector.select();
					for (SelectionKey key : selector.selectedKeys()) {
						SocketChannel client = server.accept();
						if (client == null) continue;
						client.write(ByteBuffer.wrap("of java\n".getBytes()));
						client.close();
					}
					selector.selectedKeys().clear();
				}
			}
		}
	JAVA
	"$java" -d "$SHARED" "$SHARED/Server.java"
	serve 80 -v /etc:/etc:ro -- "${java%c}" -XX:TieredStopAtLevel=1 -cp /shared Server
	served "direct direct" "of java" timeout 2 nc 10.9.0.1 8080
}

@test "iperf3, which makes a listening socket anew for each test" {
	needs iperf3
	serve 5201 -- /usr/bin/iperf3 -s
	answers receiver iperf3 -c 10.9.0.1 -p 8080 -n 4M
	answers receiver iperf3 -c 10.9.0.1 -p 8080 -n 4M -R -P 2
	[ "$(modes)" = "direct direct" ]
}

@test "postgresql" {
	local bin
	bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | head -n 1)
	[ -x "$bin/postgres" ] || skip "postgresql is not installed"
	chmod 777 "$SHARED"
	serve 5432 --user 1000 -- sh -c "[ -d /tmp/db ] || $bin/initdb -D /tmp/db -U me -A trust >/dev/null
		echo 'host all all 10.9.0.0/16 trust' >>/tmp/db/pg_hba.conf
		exec $bin/postgres -D /tmp/db -c listen_addresses='*' -c unix_socket_directories=/tmp"
	wait_until 20 lan "$bin/psql" -h 10.9.0.1 -p 8080 -U me -d postgres -c 'select 1' >/dev/null 2>&1
	served "direct direct" 42 "$bin/psql" -h 10.9.0.1 -p 8080 -U me -d postgres -Atc 'select 6 * 7'
}
