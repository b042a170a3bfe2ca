# A real registry (Debian's docker-registry) on this test host's loopback.

# registry_start NAME PORT [tls] [auth] [clients]: serves below $BATS_FILE_TMPDIR/NAME, on all addresses; with tls the
# authority's certificate is NAME/ca.crt, with auth the only user is "user" with the password "secret",
# with clients it is for those whose certificate is by the same authority.
registry_start() {
	local dir=$BATS_FILE_TMPDIR/$1 port=$2 options=" $* " clients=
	mkdir -p "$dir/data"
	{
		echo "version: 0.1"
		echo "storage: {filesystem: {rootdirectory: $dir/data}, delete: {enabled: true}}"
		echo "log: {level: warn}"
		echo "http:"
		echo "  addr: :$port"
		if [[ $options == *" tls "* ]]; then
			registry_certificate "$dir" 127.0.0.1
			[[ $options != *" clients "* ]] || clients=", clientcas: [$dir/ca.crt]"
			echo "  tls: {certificate: $dir/server.crt, key: $dir/server.key$clients}"
		fi
		if [[ $options == *" auth "* ]]; then
			# bcrypt, the only hash that docker-registry takes
			perl -e 'print "user:", crypt("secret", q($2y$05$abcdefghijklmnopqrstuu)), "\n"' >"$dir/htpasswd"
			echo "auth: {htpasswd: {realm: masu, path: $dir/htpasswd}}"
		fi
	} >"$dir/config.yml"
	docker-registry serve "$dir/config.yml" >"$dir/log" 2>&1 3>&- 4>&- &
	echo $! >"$dir/pid"
	wait_until 20 bash -c "exec 5<>/dev/tcp/127.0.0.1/$port" 2>/dev/null
}

registry_stop() { # NAME
	kill "$(cat "$BATS_FILE_TMPDIR/$1/pid")" 2>/dev/null || true
}

# An authority of one's own and a server's certificate for an address, in directory $1.
registry_certificate() { # directory, address
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=test authority" \
		-keyout "$1/ca.key" -out "$1/ca.crt" 2>/dev/null
	openssl req -newkey rsa:2048 -nodes -subj "/CN=$2" -keyout "$1/server.key" -out "$1/server.csr" 2>/dev/null
	openssl x509 -req -days 2 -in "$1/server.csr" -CA "$1/ca.crt" -CAkey "$1/ca.key" -CAcreateserial \
		-extfile <(echo "subjectAltName=IP:$2,IP:10.88.77.1,DNS:registry.example") -out "$1/server.crt" 2>/dev/null
}

# The configuration that masu reads, of this test host alone: /etc itself is the machine's.
registry_client_setup() {
	export DOCKER_CONFIG=$BATS_FILE_TMPDIR/docker-config HOME=$BATS_FILE_TMPDIR/home
	unset REGISTRY_AUTH_FILE XDG_RUNTIME_DIR
	mkdir -p "$DOCKER_CONFIG" "$HOME" "$BATS_FILE_TMPDIR/etc-docker" "$BATS_FILE_TMPDIR/etc-containers"
	mkdir -p /etc/docker /etc/containers
	mount --bind "$BATS_FILE_TMPDIR/etc-docker" /etc/docker
	cp -a /etc/containers/. "$BATS_FILE_TMPDIR/etc-containers"
	mount --bind "$BATS_FILE_TMPDIR/etc-containers" /etc/containers
}

# An OCI layout of a runnable image: busybox's root in the first layer and COUNT-1 layers of a file of
# random bytes each, gzipped. Its manifest is not how masu writes one. The tars end with the two zero blocks
# that they must have (-b1): skopeo 1.9 loses further ones when it makes zstd:chunked of a layer.
registry_layout() { # directory, count, KiB of each
	local dir=$1 count=$2 size=$3 work=$1.work i blob layers='[]' diffs='[]'
	mkdir -p "$dir/blobs/sha256" "$work/1"
	make_busybox_root "$work/1"
	for i in $(seq 1 "$count"); do
		mkdir -p "$work/$i"
		head -c "${size}K" /dev/urandom >"$work/$i/file-$i"
		tar -C "$work/$i" --numeric-owner --owner=0 --group=0 -b1 -cf "$work/tar" .
		diffs=$(jq -c ". + [\"sha256:$(sha256sum <"$work/tar" | cut -d' ' -f1)\"]" <<<"$diffs")
		gzip -n1 "$work/tar"
		blob=$(layout_blob "$dir" "$work/tar.gz")
		layers=$(jq -c ". + [$(jq -c '.mediaType = "application/vnd.oci.image.layer.v1.tar+gzip"' <<<"$blob")]" <<<"$layers")
		rm "$work/tar.gz"
	done
	jq -n --argjson diffs "$diffs" '{created: "2024-01-02T03:04:05Z", architecture: "amd64", os: "linux",
		config: {Cmd: ["sh"]}, rootfs: {type: "layers", diff_ids: $diffs}}' >"$work/config"
	blob=$(layout_blob "$dir" "$work/config")
	jq -n --argjson config "$blob" --argjson layers "$layers" '{layers: $layers, schemaVersion: 2,
		config: ($config + {mediaType: "application/vnd.oci.image.config.v1+json"}),
		mediaType: "application/vnd.oci.image.manifest.v1+json"}' >"$work/manifest"
	blob=$(layout_blob "$dir" "$work/manifest")
	jq -n --argjson manifest "$blob" '{schemaVersion: 2, manifests: [$manifest +
		{mediaType: "application/vnd.oci.image.manifest.v1+json",
		annotations: {"org.opencontainers.image.ref.name": "layers:test"}}]}' >"$dir/index.json"
	echo '{"imageLayoutVersion":"1.0.0"}' >"$dir/oci-layout"
	rm -r "$work"
}

layout_blob() { # directory, file: its descriptor
	local hex
	hex=$(sha256sum <"$2" | cut -d' ' -f1)
	cp "$2" "$1/blobs/sha256/$hex"
	printf '{"digest": "sha256:%s", "size": %s}' "$hex" "$(stat -c %s "$2")"
}

# What the registry NAME was asked since the last call of this: "METHOD path" lines.
registry_requests() { # name
	local log=$BATS_FILE_TMPDIR/$1/log mark=$BATS_FILE_TMPDIR/$1/mark
	[ -e "$mark" ] || echo 0 >"$mark"
	tail -n "+$(($(cat "$mark") + 1))" "$log" | grep -oE '"(HEAD|GET|POST|PUT|PATCH|DELETE) [^ "]*' | tr -d '"' || true
	wc -l <"$log" >"$mark"
}
