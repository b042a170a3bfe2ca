#!/usr/bin/env bats
# The way to a registry: proxies, certificates of clients, mirrors and other places, and what each says when
# it fails.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/registry

REG=127.0.0.1:5000 HERE=10.88.77.1

setup_file() {
	engine_setup_file
	registry_client_setup
	# An address of this host that is not loopback's, for which no proxy would be asked.
	ip address add $HERE/32 dev lo
	registry_start plain 5000
	registry_start clients 5443 tls clients
	skopeo copy -q "oci:$MASU_ROOT/images:busybox:local" "oci:$BATS_FILE_TMPDIR/layout:box"
	for name in box library/box cache/box proxy/library/app; do
		skopeo copy -q --dest-tls-verify=false "oci:$BATS_FILE_TMPDIR/layout:box" "docker://$REG/$name:1"
	done
	cp -r "$BATS_FILE_TMPDIR/plain/data/." "$BATS_FILE_TMPDIR/clients/data" # what both have
	export CERTS=$BATS_FILE_TMPDIR/clients LOG=$BATS_FILE_TMPDIR/requests
	client_certificate ours "$CERTS/ca"
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=other authority" -keyout "$CERTS/other.key" \
		-out "$CERTS/other.crt" 2>/dev/null
	client_certificate theirs "$CERTS/other"
	python3 "$BATS_TEST_DIRNAME/../lib/proxy.py" "$LOG" $HERE:3128 $HERE:3129:secret >"$BATS_FILE_TMPDIR/proxy.log" 2>&1 3>&- 4>&- &
	echo $! >"$BATS_FILE_TMPDIR/proxy.pid"
	python3 "$BATS_TEST_DIRNAME/../lib/hostile-registry.py" 5001 "$BATS_FILE_TMPDIR/layout" "$LOG.hostile" \
		>/dev/null 2>&1 3>&- 4>&- &
	echo $! >"$BATS_FILE_TMPDIR/hostile.pid"
	wait_until 20 grep -q ready "$LOG"
	wait_until 20 bash -c "exec 5<>/dev/tcp/127.0.0.1/5001" 2>/dev/null
}

teardown_file() {
	kill "$(cat "$BATS_FILE_TMPDIR/proxy.pid")" "$(cat "$BATS_FILE_TMPDIR/hostile.pid")"
	registry_stop plain
	registry_stop clients
	engine_teardown_file
}

# client_certificate NAME AUTHORITY: NAME.cert and NAME.key.
client_certificate() {
	openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$CERTS/$1.key" -out "$CERTS/$1.csr" 2>/dev/null
	openssl x509 -req -days 2 -in "$CERTS/$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -out "$CERTS/$1.cert" 2>/dev/null
}

# Every test has an empty store, no proxy, and no configuration.
setup() {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
	unset HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy
	rm -rf /etc/docker/* /etc/containers/certs.d /etc/containers/registries.conf.d
	: >/etc/containers/registries.conf
	: >"$LOG"
}

teardown() {
	remove_all
}

# certs WHERE HOST [FILE=SOURCE...]
certs() {
	local dir=/etc/$1/certs.d/$2 pair
	rm -rf "$dir"
	mkdir -p "$dir"
	shift 2
	for pair; do
		cp "$CERTS/${pair#*=}" "$dir/${pair%%=*}"
	done
}

# refused NAME WORDS...: in the one line.
refused() {
	local name=$1
	shift
	run -1 --separate-stderr m pull -q "$name"
	[ "${#stderr_lines[@]}" -eq 1 ] || { echo "$stderr"; return 1; }
	for words in "$@"; do
		[[ "$stderr" == *"$words"* ]] || { echo "$stderr"; return 1; }
	done
}

pulled() { # name
	m pull -q "$1" >/dev/null
	m rmi "$1" >/dev/null
}

@test "a registry that wants a client's certificate: pulled from and pushed to with it" {
	refused $HERE:5443/box:1 "certificate" "/etc/docker/certs.d/$HERE:5443/ca.crt"
	certs docker $HERE:5443 ca.crt=ca.crt
	refused $HERE:5443/box:1 "it wants a client certificate: client.cert and client.key in /etc/docker/certs.d/$HERE:5443"
	certs docker $HERE:5443 ca.crt=ca.crt client.cert=ours.cert client.key=ours.key
	m pull -q $HERE:5443/box:1
	m tag $HERE:5443/box:1 $HERE:5443/pushed:1
	m push -q $HERE:5443/pushed:1
	# podman's place, any names, more than one authority.
	rm -rf /etc/docker/certs.d
	certs containers $HERE:5443 a.crt=other.crt b.crt=ca.crt me.cert=ours.cert me.key=ours.key
	pulled $HERE:5443/pushed:1
}

@test "the system's authorities: asked for by their hash, and in the bundle where that has more" {
	local own system=$BATS_TEST_TMPDIR/certs
	mkdir "$system"
	mount --bind "$system" /etc/ssl/certs
	for own in "" ca.crt=other.crt; do
		certs docker $HERE:5443 client.cert=ours.cert client.key=ours.key $own
		cp "$CERTS/other.crt" "$system/ca-certificates.crt"
		refused $HERE:5443/box:1 "certificate"
		cp "$CERTS/ca.crt" "$system/ours.pem"
		refused $HERE:5443/box:1 "certificate" # which nobody finds there
		openssl rehash "$system"
		pulled $HERE:5443/box:1
		rm "$system"/*.0 "$system/ours.pem"
		cat "$CERTS/ca.crt" >>"$system/ca-certificates.crt"
		pulled $HERE:5443/box:1
	done
	umount /etc/ssl/certs
}

@test "certificates that do not work: without key, with another's key, by another authority" {
	certs docker $HERE:5443 ca.crt=ca.crt client.cert=ours.cert
	refused $HERE:5443/box:1 "/etc/docker/certs.d/$HERE:5443: client.cert is there without client.key"
	certs docker $HERE:5443 ca.crt=ca.crt client.key=ours.key
	refused $HERE:5443/box:1 "client.key is there without client.cert"
	certs docker $HERE:5443 ca.crt=ca.crt client.cert=ours.cert client.key=theirs.key
	refused $HERE:5443/box:1 "client certificate and key in /etc/docker/certs.d/$HERE:5443 are not usable"
	certs docker $HERE:5443 ca.crt=ca.crt client.cert=theirs.cert client.key=theirs.key
	refused $HERE:5443/box:1 "does not accept the client certificate in /etc/docker/certs.d/$HERE:5443"
	certs docker $HERE:5443 ca.crt=other.crt client.cert=ours.cert client.key=ours.key
	refused $HERE:5443/box:1 "certificate" "an authority of one's own is trusted by"
	# The same where the registry is on this machine, whose certificate is not checked: no way around by HTTP.
	refused 127.0.0.1:5443/box:1 "https://127.0.0.1:5443: it wants a client certificate"
}

@test "HTTPS goes through the proxy by CONNECT, names are the proxy's to find" {
	certs docker registry.example:5443 ca.crt=ca.crt client.cert=ours.cert client.key=ours.key
	refused registry.example:5443/box:1 "registry.example"
	HTTPS_PROXY=http://$HERE:3128 pulled registry.example:5443/box:1
	grep -q "^3128 CONNECT registry.example:5443$" "$LOG"
	https_proxy=http://user:secret@$HERE:3129 pulled registry.example:5443/box:1
	grep -q "^3129 CONNECT registry.example:5443$" "$LOG"
}

@test "HTTP goes through the proxy of HTTP_PROXY, in capitals too" {
	echo '{"insecure-registries": ["plain.example:5000"]}' >/etc/docker/daemon.json
	for variable in HTTP_PROXY http_proxy; do
		: >"$LOG"
		env $variable=http://$HERE:3128 "$MASU" pull -q plain.example:5000/box:1
		grep -q "^3128 GET http://plain.example:5000/v2/" "$LOG"
		m rmi plain.example:5000/box:1
	done
}

@test "proxies of docker's daemon.json go before those of the environment" {
	export HTTP_PROXY=http://$HERE:9 NO_PROXY=plain.example
	jq -n --arg proxy http://$HERE:3128 '{"insecure-registries": ["plain.example:5000"],
		proxies: {"http-proxy": $proxy, "https-proxy": $proxy, "no-proxy": "other.example"}}' >/etc/docker/daemon.json
	m pull -q plain.example:5000/box:1
	grep -q "^3128 CONNECT plain.example:5000$" "$LOG"
	grep -q "^3128 GET http://plain.example:5000/v2/" "$LOG"
}

@test "no proxy for this machine, nor for what NO_PROXY names: hosts, domains, networks" {
	export HTTPS_PROXY=http://$HERE:9 HTTP_PROXY=http://$HERE:9 # nobody is there
	pulled $REG/box:1
	pulled localhost:5000/box:1
	echo "{\"insecure-registries\": [\"$HERE:5000\"]}" >/etc/docker/daemon.json
	refused $HERE:5000/box:1 "the proxy of HTTP_PROXY"
	for list in $HERE "other.example,10.88.0.0/16" "*" "other.example:5000, $HERE:5000"; do
		NO_PROXY=$list pulled $HERE:5000/box:1
	done
	NO_PROXY=$HERE:5001 refused $HERE:5000/box:1 "the proxy of HTTP_PROXY"
}

@test "what a proxy says when it does not" {
	export HTTPS_PROXY=http://$HERE:3129
	refused registry.example:5443/box:1 "https://registry.example:5443: the proxy wants a user name and password" HTTPS_PROXY=
	export HTTPS_PROXY=http://user:wrong@$HERE:3129
	refused registry.example:5443/box:1 "407"
	[[ "$stderr" != *wrong* ]]
	export HTTPS_PROXY=http://$HERE:3128
	refused refused.example/box:1 "https://refused.example: the proxy does not connect to it: status 403" NO_PROXY
	refused lost.example/box:1 "status 502"
	export HTTPS_PROXY=http://$HERE:9
	refused registry.example/box:1 "https://registry.example: the proxy of HTTPS_PROXY: Failed to connect to $HERE port 9"
	export HTTPS_PROXY=http://nosuchproxy.invalid:3128
	refused registry.example/box:1 "nosuchproxy.invalid"
}

@test "docker's mirrors are for docker.io; one that is down or has not got it is passed over" {
	echo "{\"registry-mirrors\": [\"http://127.0.0.1:9\", \"http://127.0.0.1:5001/\", \"http://$REG\"]}" >/etc/docker/daemon.json
	registry_requests plain >/dev/null
	m pull -q box:1
	registry_requests plain | grep -q "^GET /v2/library/box/manifests/1"
	refused box:nosuch "registry-1.docker.io"
	refused upstream.example/box:1 "upstream.example"
}

@test "docker's insecure registries: names, and networks" {
	refused $HERE:5000/box:1 "https://$HERE:5000: "
	for entry in $HERE:5000 10.88.77.0/24 10.88.77.1/32 10.80.0.0/12; do
		echo "{\"insecure-registries\": [\"$entry\"]}" >/etc/docker/daemon.json
		pulled $HERE:5000/box:1
	done
	for entry in $HERE:5001 10.88.76.0/24 10.88.77.2/31 10.88.77.1/33 fd00::/8 10.88.77.0/ /8; do
		echo "{\"insecure-registries\": [\"$entry\"]}" >/etc/docker/daemon.json
		refused $HERE:5000/box:1 "https://$HERE:5000: "
	done
}

@test "registries.conf: parts of a registry are elsewhere, under other names" {
	cat >/etc/containers/registries.conf <<-TOML
	[[registry]]
	prefix = "upstream.example"
	location = "$REG"
	[[registry]]
	prefix = "upstream.example/team"
	location = "$REG/cache"
	[[registry]]
	prefix = "upstream.example/only"
	location = "$REG"
	[[registry]]
	prefix = "*.wild.example"
	location = "$REG/proxy/library"
	[[registry]]
	location = "$REG/blocked"
	blocked = true
	TOML
	registry_requests plain >/dev/null
	for name in box team/box only/box; do
		pulled upstream.example/$name:1
	done
	m pull -q a.wild.example/app:1
	[ "$(registry_requests plain | grep "GET.*manifests/1" | sort -u | tr '\n' ' ')" = \
		"GET /v2/box/manifests/1 GET /v2/cache/box/manifests/1 GET /v2/proxy/library/app/manifests/1 " ]
	# What is written goes there as well, its tags are listed there, and layers are mounted from there.
	m tag a.wild.example/app:1 upstream.example/team/app:1
	m push -q upstream.example/team/app:1
	m tag a.wild.example/app:1 upstream.example/team/second:1
	m push -q upstream.example/team/second:1
	registry_requests plain >"$BATS_TEST_TMPDIR/requests"
	grep -q "^PUT /v2/cache/app/manifests/1" "$BATS_TEST_TMPDIR/requests"
	grep -q "^POST /v2/cache/second/blobs/uploads/?mount=.*&from=cache" "$BATS_TEST_TMPDIR/requests"
	m pull -q -a upstream.example/team/app
	refused $REG/blocked/box:1 "is blocked"
	pulled $REG/box:1
}

@test "registries.conf.d changes what registries.conf says; mirrors for digests, and for tags" {
	digest=$(skopeo inspect --raw --tls-verify=false "docker://$REG/box:1" | sha256sum | cut -d' ' -f1)
	mkdir /etc/containers/registries.conf.d
	printf '[[registry]]\nlocation = "upstream.example"\nblocked = true\n' >/etc/containers/registries.conf
	refused upstream.example/box:1 "is blocked"
	for use in all digest-only tag-only; do
		printf '[[registry]]\nprefix = "upstream.example"\nlocation = "127.0.0.1:9"\n[[registry.mirror]]\nlocation = "%s"\n%s' \
			$REG "pull-from-mirror = \"$use\"" >/etc/containers/registries.conf.d/50-test.conf
		[ $use = digest-only ] || pulled upstream.example/box:1
		[ $use = tag-only ] || pulled upstream.example/box@sha256:$digest
		[ $use != digest-only ] || refused upstream.example/box:1 "127.0.0.1:9"
		[ $use != tag-only ] || refused upstream.example/box@sha256:$digest "127.0.0.1:9"
	done
	echo 'pull-from-mirror = "never"' >>/etc/containers/registries.conf.d/50-test.conf
	refused upstream.example/box:1 "/etc/containers/registries.conf.d/50-test.conf: line 6"
}

@test "a mirror that breaks off is passed over in the middle of the image" {
	for way in cut-always redirects garbage broken to-file; do
		printf '[[registry]]\nprefix = "upstream.example"\nlocation = "%s"\n[[registry.mirror]]\nlocation = "127.0.0.1:5001/%s"\n' \
			$REG $way >/etc/containers/registries.conf
		: >"$LOG.hostile"
		m pull -q upstream.example/box:1
		grep -q "GET /v2/$way/box/manifests/1" "$LOG.hostile"
		m_run --rm --pull never upstream.example/box:1 true
		m rmi upstream.example/box:1
	done
}

@test "a mirror that sends something else is passed over: a layer, its beginning, the config, without an end" {
	for way in digest digest wrong-half config-digest endless-blob; do
		printf '[[registry]]\nprefix = "upstream.example"\nlocation = "%s"\n[[registry.mirror]]\nlocation = "127.0.0.1:5001/%s"\n' \
			$REG $way >/etc/containers/registries.conf
		: >"$LOG.hostile"
		m pull -q --layer-format="${format:-erofs}" upstream.example/box:1
		grep -q "GET /v2/$way/box/blobs" "$LOG.hostile"
		run -0 m_run --rm --pull never upstream.example/box:1 cat /data/hello
		[ "$output" = "from the image" ]
		m save upstream.example/box:1 >/dev/null # reads each blob, and checks it
		m rmi upstream.example/box:1
		local format=dir
	done
	printf '[[registry]]\nprefix = "upstream.example"\nlocation = "127.0.0.1:5001/digest"\n[[registry.mirror]]\nlocation = "127.0.0.1:5001/digest"\n' \
		>/etc/containers/registries.conf
	refused upstream.example/box:1 "damaged or forged"
}
