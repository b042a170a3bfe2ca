#!/usr/bin/env bats
# A stopped container to another machine (another root): export --with-volumes, container import.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	local tree=$BATS_FILE_TMPDIR/tree
	mkdir -p "$tree/srv/old/deep" "$tree/srv/gone" "$tree/srv/swap"
	seq 1 5000 >"$tree/srv/old/deep/numbers"
	echo x >"$tree/srv/gone/x"
	echo y >"$tree/srv/swap/y"
	echo z >"$tree/srv/z"
	tar -C "$tree" -c . | "$MASU" import --change 'LABEL from=image' - moving:1 >/dev/null
	m_create --name source --label kind=moved --label a=b --hostname moved --restart on-failure:3 -e ENV=kept \
		-v "$BATS_FILE_TMPDIR:/bound:ro" -v named:/named -v /anonymous --tmpfs /memory --workdir /srv \
		-p 18080:80 --network bridge --memory 64m moving:1 sh -c '
		echo $((1 + $(cat /named/runs 2>/dev/null || echo 0))) >/named/runs; ln /named/runs /named/linked; echo a >/anonymous/a
		chown -R 1000:100 /srv/old && mv /srv/old /srv/new && rm -r /srv/gone && rm -r /srv/swap && echo f >/srv/swap
		mkdir /srv/gone && echo other >/srv/gone/other && echo more >>/srv/z && mknod /srv/null c 1 3; ls -a /srv >/dev/null' >/dev/null
	m start -a source
	m volume inspect named >/dev/null
	m container export --with-volumes -o "$BATS_FILE_TMPDIR/archive.tar" source
	m export source | tar -t -v --numeric-owner --full-time | grep ' srv/' | sort >"$BATS_FILE_TMPDIR/root.txt"
	m diff source >"$BATS_FILE_TMPDIR/diff.txt"
}

teardown_file() { engine_teardown_file; }

setup() { export MASU_ROOT=$BATS_TEST_TMPDIR/root MASU_RUNROOT=$BATS_TEST_TMPDIR/run; }

teardown() { remove_all; }

# The archive with its document, and what jq makes of it.
altered() { # filter; prints the new archive's path
	local dir=$BATS_TEST_TMPDIR/altered
	rm -rf "$dir"
	mkdir "$dir"
	tar -C "$dir" -xf "$BATS_FILE_TMPDIR/archive.tar"
	jq -c "$1" "$dir/masu-container.json" >"$dir/new"
	mv "$dir/new" "$dir/masu-container.json"
	tar -C "$dir" -cf "$dir.tar" .
	echo "$dir.tar"
}

nothing_is_there() {
	[ -z "$(m ps -aq)" ] && [ -z "$(m volume ls -q)" ]
	[ -z "$(ls -A "$MASU_ROOT/volumes" 2>/dev/null)" ]
	[ -z "$(ls -A "$MASU_ROOT/containers/.new" "$MASU_ROOT/names" 2>/dev/null | grep -v -e : -e '^$')" ]
}

@test "everything arrives: root, volumes, configuration" {
	run --separate-stderr m container import "$BATS_FILE_TMPDIR/archive.tar"
	[ "$status" -eq 0 ]
	[[ $stderr == *"not carried over: bind $BATS_FILE_TMPDIR"* ]]
	[ "$(field source .Id)" = "$output" ]
	m export source | tar -t -v --numeric-owner --full-time | grep ' srv/' | sort | diff "$BATS_FILE_TMPDIR/root.txt" -
	m diff source | diff "$BATS_FILE_TMPDIR/diff.txt" -
	[ "$(field source .Config.Labels.kind)" = moved ] && [ "$(field source .Config.Labels.from)" = image ]
	[ "$(field source .Config.Hostname)" = moved ]
	[ "$(field source .Config.Image)" = moving:1 ]
	[ "$(field source .HostConfig.RestartPolicy.Name)" = on-failure ]
	[ "$(field source .HostConfig.Memory)" = 67108864 ]
	[ "$(field source '.HostConfig.PortBindings["80/tcp"][0].HostPort')" = 18080 ]
	[ "$(field source '.Mounts | map(select(.Type != "tmpfs")) | length')" = 2 ]
	m images --format '{{.Repository}}:{{.Tag}}' | grep -qx moving:1
	local here there
	here=$(field source .Created)
	there=$(MASU_ROOT=$BATS_FILE_TMPDIR/root MASU_RUNROOT=$BATS_FILE_TMPDIR/run field source .Created)
	[ "$here" = "$there" ]
	local data
	data=$(m volume inspect -f '{{.Mountpoint}}' named)
	[ "$(cat "$data/runs")" = 1 ] && [ "$data/runs" -ef "$data/linked" ]
	[ "$(m volume ls -q | wc -l)" = 2 ]
	# It runs, and goes on from where it was.
	m cp "source:/srv/new/deep/numbers" "$BATS_TEST_TMPDIR/numbers"
	cmp "$BATS_TEST_TMPDIR/numbers" "$BATS_FILE_TMPDIR/tree/srv/old/deep/numbers"
	run -0 m system check
	[ -z "$output" ]
	# The anonymous volume is still one: it goes with its container, the other stays.
	m rm -v source >/dev/null
	[ "$(m volume ls -q)" = named ]
}

@test "through a pipe, under another name, and started" {
	MASU_ROOT=$BATS_FILE_TMPDIR/root MASU_RUNROOT=$BATS_FILE_TMPDIR/run m container export --with-volumes source |
		m container import --name other - >"$BATS_TEST_TMPDIR/id"
	[ "$(field other .Name)" = /other ]
	run ! m inspect source
	m start -a other || true
	[ "$(cat "$(m volume inspect -f '{{.Mountpoint}}' named)/runs")" = 2 ]
	# The image is one that any tool reads.
	[ "$(skopeo inspect --config "docker-archive:$BATS_FILE_TMPDIR/archive.tar" | jq -r .config.Labels.from)" = image ]
}

@test "names that are taken are refused, and nothing has changed" {
	m volume create named >/dev/null
	run ! m container import "$BATS_FILE_TMPDIR/archive.tar"
	[[ $output == *"a volume named named exists already"* ]]
	[ -z "$(m ps -aq)" ] && [ "$(m volume ls -q)" = named ]
	m volume rm named >/dev/null
	m container import "$BATS_FILE_TMPDIR/archive.tar" >/dev/null 2>&1
	run ! m container import "$BATS_FILE_TMPDIR/archive.tar"
	[[ $output == *"a container named source exists already"* ]]
	run ! m container export --with-volumes nobody -o /dev/null
}

@test "a container that runs is not exported" {
	m container import --name running "$BATS_FILE_TMPDIR/archive.tar" >/dev/null 2>&1
	m run -d --name runs --network none --cgroup-parent "$GROUP" moving:1 sleep 100 >/dev/null
	run ! m container export --with-volumes -o "$BATS_TEST_TMPDIR/x" runs
	[[ $output == *"it runs; stop it first"* ]]
	[ ! -e "$BATS_TEST_TMPDIR/x" ]
}

@test "an archive is not believed" {
	local name filter
	while IFS='|' read -r name filter; do
		run ! m container import "$(altered "$filter")"
		echo "$name: $output"
		[[ $output == masu:* ]]
		nothing_is_there
	done <<-'EOF'
		version|.version = 2
		no record|.container = 1
		another image|.image = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
		record of another image|.container.Image = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
		blob that is not there|.volumes[0].files.digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
		volume's files that are others|.volumes[0].files.tar = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
		changes that are others|.changes.tar = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
		blob out of the layout|.volumes[0].files.digest = "sha256:../../../../etc/passwd"
		volume out of its directory|.volumes[0].name = "../x"
		volume twice|.volumes += [.volumes[0]]
		volume that is not there|.volumes = .volumes[:1]
		volume without a name|.container.Mounts[1].Source = ""
		mounted out of the root|.container.Mounts[].Target = "/../../x"
		mounted nowhere|.container.Mounts[].Target = "x"
		name|.container.Name = "../x"
		time|.container.Created = "now"
		privileged|.container.HostConfig |= {"Privileged": true} + .
		unknown|.container.HostConfig.Unknown = true
		in another place|.container.HostConfig.Privileged = true
		capabilities|.container.HostConfig |= {"CapAdd": ["SYS_ADMIN"]} + .
		host's network|.container.HostConfig |= {"NetworkMode": "host"} + .
		host's processes|.container.HostConfig |= {"PidMode": "host"} + .
		network that is not here|.container.HostConfig |= {"NetworkMode": "elsewhere"} + .
		types|.container.Config.Env = {"a": 1}
	EOF
	run ! m container import "$BATS_FILE_TMPDIR/tree/srv/z"
	m container import --trust "$(altered '.container.HostConfig |= {"CapAdd": ["SYS_ADMIN"]} + .')" >/dev/null 2>&1
	[[ $(field source '.HostConfig.CapAdd[0]') == *SYS_ADMIN ]]
}

import_again() { m container import "$BATS_FILE_TMPDIR/archive.tar" >"$BATS_TEST_TMPDIR/again" 2>&1; }

@test "killed at any time, the same import succeeds afterwards" {
	local begin took tenth delay killed=0
	begin=$(date +%s%N)
	import_again
	took=$(($(date +%s%N) - begin))
	m rm source >/dev/null
	m volume prune -a -f >/dev/null
	for tenth in 1 2 3 4 5 6 7 8 9 10; do
		delay=$(awk "BEGIN { print $took * $tenth / 11e9 }")
		begin=$(date +%s%N)
		if timeout -s KILL "$delay" "$MASU" container import "$BATS_FILE_TMPDIR/archive.tar" >/dev/null 2>&1 3>&- 4>&-; then
			took=$(($(date +%s%N) - begin)) # the machine has become faster than it was
		else
			killed=$((killed + 1))
		fi
		if m inspect source >/dev/null 2>&1; then
			[ "$(m volume ls -q | wc -l)" = 2 ]
		else
			m ps -a >/dev/null
			[ -z "$(m volume ls -q)" ]
			# Processes of the killed one may end a moment after it, and hold its name until then.
			wait_until 5 import_again || { cat "$BATS_TEST_TMPDIR/again"; false; }
		fi
		m diff source | diff "$BATS_FILE_TMPDIR/diff.txt" -
		m rm source >/dev/null
		m volume prune -a -f >/dev/null
	done
	[ "$killed" -gt 2 ]
	wait_until 10 behind_is_done
	run -0 m system check --repair
	run -0 m system check
	[ -z "$output" ]
}
