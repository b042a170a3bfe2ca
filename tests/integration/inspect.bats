#!/usr/bin/env bats
# `inspect`: docker's documents, member for member, and what docker's users ask them.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	mkdir "$BATS_FILE_TMPDIR/host"
	printf '#!/bin/sh\n' >"$BATS_FILE_TMPDIR/host/file"
	m volume create --label a=b named >/dev/null
	m_create --name plain --network none busybox:local true >/dev/null
	NETWORK=bridge m_run -d --name full --label n=1 --label com.example.x=y -p 127.0.0.1:8080:80 -p 9000:90/udp \
		--expose 22 -v "$BATS_FILE_TMPDIR/host:/host:ro" -v named:/vol -v /anon --tmpfs /t:size=1m \
		--mount type=tmpfs,dst=/t2,tmpfs-size=1048576 --mount type=volume,src=named,dst=/vol2,readonly \
		--dns 1.1.1.1 --add-host a:1.2.3.4 --cap-add NET_ADMIN --cap-drop mknod --device /dev/null:/dev/xx -m 64m \
		--cpus 0.5 --pids-limit 50 --ulimit nofile=100:200 --log-opt max-size=1m --sysctl net.ipv4.ip_forward=1 \
		--security-opt no-new-privileges --stop-timeout 3 --stop-signal INT --init -u 1 -w /tmp -h hn \
		--domainname dn -e X=1 --entrypoint sleep --group-add 5 --read-only --shm-size 1m busybox:local 600
}

teardown_file() {
	engine_teardown_file
}

# The members of docker's own documents (one that says little, one that says much), as "path type|type".
@test "every member that docker has, with its type" {
	local path types have
	m inspect plain full >"$BATS_TEST_TMPDIR/documents"
	while read -r path types; do
		# Of the larger document only: what a created container has no reason to show.
		have=$(jq -r --arg p "$path" '[.[] | getpath($p | split(".")) | type] | unique | join("|")' \
			"$BATS_TEST_TMPDIR/documents" 2>&1)
		case $path in
		State.Health* | Config.Healthcheck) continue ;; # only where a check is made
		esac
		[[ "|$types|null|" == *"|${have%%|*}|"* && "|$types|null|" == *"|${have##*|}|"* ]] || {
			echo "$path is $have, docker has $types"
			false
		}
		jq -e --arg p "$path" 'any(.[]; any(paths; join(".") == $p))' "$BATS_TEST_TMPDIR/documents" >/dev/null || {
			echo "$path is missing"
			false
		}
	done < <(grep -v 'Networks\.' "$REPO/tests/lib/docker-inspect.keys")
	# In docker's order, so that a structure prints as docker's.
	[ "$(jq -r '.[1] | keys_unsorted | join(" ")' "$BATS_TEST_TMPDIR/documents")" = \
		"$(sed -n 's/^\([A-Za-z]*\) .*/\1/p' "$REPO/tests/lib/docker-inspect.keys" | tr '\n' ' ' | sed 's/ $//')" ]
}

@test "what was asked for is what is shown" {
	local query expected
	m inspect full >"$BATS_TEST_TMPDIR/document"
	while IFS='	' read -r query expected; do
		[ "$(jq -c ".[0]$query" "$BATS_TEST_TMPDIR/document")" = "$expected" ] || {
			echo "$query is $(jq -c ".[0]$query" "$BATS_TEST_TMPDIR/document"), not $expected"
			false
		}
	done <<-END
	.Path	"sleep"
	.Args	["600"]
	.HostConfig.Binds	["$BATS_FILE_TMPDIR/host:/host:ro","named:/vol"]
	.HostConfig.CapAdd	["CAP_NET_ADMIN"]
	.HostConfig.CapDrop	["CAP_MKNOD"]
	.HostConfig.PortBindings	{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}],"90/udp":[{"HostIp":"","HostPort":"9000"}]}
	.HostConfig.MemorySwap	134217728
	.HostConfig.Tmpfs	{"/t":"size=1m"}
	.HostConfig.Mounts	[{"Type":"tmpfs","Target":"/t2","TmpfsOptions":{"SizeBytes":1048576}},{"Type":"volume","Source":"named","Target":"/vol2","ReadOnly":true}]
	.HostConfig.Devices	[{"PathOnHost":"/dev/null","PathInContainer":"/dev/xx","CgroupPermissions":"rwm"}]
	.HostConfig.Ulimits	[{"Name":"nofile","Hard":200,"Soft":100}]
	.HostConfig.Sysctls	{"net.ipv4.ip_forward":"1"}
	.HostConfig.LogConfig	{"Type":"json-file","Config":{"max-size":"1m"}}
	.HostConfig.RestartPolicy	{"Name":"no","MaximumRetryCount":0}
	.HostConfig.IpcMode	"private"
	.HostConfig.Init	true
	.HostConfig.ShmSize	1048576
	.Config.Volumes	{"/anon":{}}
	.Config.ExposedPorts	{"22/tcp":{},"80/tcp":{},"90/udp":{}}
	.Config.Hostname	"hn"
	.Config.Labels	{"com.example.x":"y","n":"1"}
	.Config.StopSignal	"INT"
	.Config.StopTimeout	3
	.NetworkSettings.Ports."22/tcp"	null
	.NetworkSettings.Ports."80/tcp"	[{"HostIp":"127.0.0.1","HostPort":"8080"}]
	.NetworkSettings.Ports."90/udp"[0]	{"HostIp":"0.0.0.0","HostPort":"9000"}
	.GraphDriver.Name	"overlay"
	END
	[ -d "$(jq -r '.[0].GraphDriver.Data.UpperDir' "$BATS_TEST_TMPDIR/document")" ]
	[ -d "$(jq -r '.[0].GraphDriver.Data.LowerDir' "$BATS_TEST_TMPDIR/document")" ]
	[ -d "$(jq -r '.[0].GraphDriver.Data.MergedDir' "$BATS_TEST_TMPDIR/document")/vol" ]
	[ -e "$(jq -r '.[0].NetworkSettings.SandboxKey' "$BATS_TEST_TMPDIR/document")" ]
	[ "$(jq -c '[.[0].Mounts[] | [.Type, .Destination, .RW]]' "$BATS_TEST_TMPDIR/document" | jq -c sort)" = \
		'[["bind","/host",false],["tmpfs","/t2",true],["volume","/anon",true],["volume","/vol",true],["volume","/vol2",false]]' ]
	m inspect plain | jq -e '.[0] | .HostConfig.PidsLimit == null and .HostConfig.Binds == null and .Config.Volumes == null
		and (.HostConfig | has("Init") | not) and .GraphDriver.Data.MergedDir == "" and .NetworkSettings.Ports == {}'
}

# The second column is what docker's client says of docker's own container with the same options.
@test "templates that docker's users write" {
	local template expected ip
	ip=$(m inspect full | jq -r '.[0].NetworkSettings.Networks.bridge.IPAddress')
	[[ "$ip" =~ ^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$ ]]
	while IFS='	' read -r template expected; do
		run m inspect -f "$template" full
		[ "${lines[0]}" = "$expected" ] || {
			echo "$template gave $output, not $expected"
			false
		}
	done <<-END
	{{.Name}} {{.State.Status}} {{.State.Running}} {{.State.ExitCode}} {{.RestartCount}}	/full running true 0 0
	{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}	$ip
	{{.NetworkSettings.IPAddress}}	$ip
	{{range \$name, \$n := .NetworkSettings.Networks}}{{\$name}}={{\$n.IPAddress}}{{end}}	bridge=$ip
	{{.NetworkSettings.Networks.bridge.IPAddress}}	$ip
	{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}	8080
	{{range \$p, \$c := .NetworkSettings.Ports}}{{if \$c}}{{\$p}} -> {{(index \$c 0).HostPort}};{{end}}{{end}}	80/tcp -> 8080;90/udp -> 9000;
	{{.HostConfig.PortBindings}}	map[80/tcp:[{127.0.0.1 8080}] 90/udp:[{ 9000}]]
	{{json .HostConfig.PortBindings}}	{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}],"90/udp":[{"HostIp":"","HostPort":"9000"}]}
	{{range .Config.Env}}{{println .}}{{end}}	FROM_IMAGE=yes
	{{index .Config.Labels "com.example.x"}} {{index .Config.Labels "nope"}}|	y |
	{{.Config.Labels.n}} {{.Config.Labels.nope}}	1 <no value>
	{{json .Config.Labels}}	{"com.example.x":"y","n":"1"}
	{{.HostConfig.Binds}}	[$BATS_FILE_TMPDIR/host:/host:ro named:/vol]
	{{range .Mounts}}{{if eq .Type "bind"}}{{.Source}}:{{.Destination}}:{{.RW}}{{end}}{{end}}	$BATS_FILE_TMPDIR/host:/host:false
	{{range .Mounts}}{{if eq .Name "named"}}{{.Destination}} {{end}}{{end}}	/vol /vol2 
	{{.HostConfig.LogConfig}} {{.HostConfig.LogConfig.Type}}	{json-file map[max-size:1m]} json-file
	{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy}}	no {no 0}
	{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.Init}}	67108864 500000000 50 true
	{{.HostConfig.Devices}} {{.HostConfig.Tmpfs}}	[{/dev/null /dev/xx rwm}] map[/t:size=1m]
	{{.Config.Cmd}} {{.Config.Entrypoint}} {{.Config.WorkingDir}} {{.Config.User}}	[600] [sleep] /tmp 1
	{{.Config.ExposedPorts}}	map[22/tcp:{} 80/tcp:{} 90/udp:{}]
	{{.Config.StopTimeout}} {{.Config.StopSignal}} {{.Config.Hostname}}.{{.Config.Domainname}}	3 INT hn.dn
	{{if .State.Health}}{{.State.Health.Status}}{{else}}no check{{end}}	no check
	{{.State.Health}} {{.SizeRw}} {{.HostConfig.MemorySwappiness}}	<nil> <nil> <nil>
	{{with .State}}{{.Status}}{{end}} {{len .Mounts}} {{printf "%.12s" .Config.Image}}	running 5 busybox:loca
	{{.HostConfig.NetworkMode}} {{.Driver}} {{.Platform}}	bridge overlay linux
	{{slice .Id 0 4 | len}} {{.Image | printf "%.7s"}}	4 sha256:
	END
	run -0 m inspect -f '{{.State.ExitCode}} {{.State.FinishedAt}}' plain
	[ "$output" = "0 0001-01-01T00:00:00Z" ]
	run -1 m inspect -f '{{.State.Health.Status}}' full
	[[ "$output" == *'template: :1:8: executing "" at <.State.Health.Status>: map has no entry for key "Health"' ]]
	run -64 m inspect -f '{{.Name' full
	[ "$output" = "masu: template parsing error: template: :1: unclosed action" ]
	m inspect -s full | jq -e '.[0].SizeRw >= 0 and .[0].SizeRootFs > 0'
}

@test "containers, images, networks and volumes are found in docker's order" {
	m volume create plain >/dev/null
	[ "$(m inspect plain | jq -r '.[0].State.Status')" = created ]
	[ "$(m inspect --type volume plain | jq -r '.[0].Mountpoint')" = "$MASU_ROOT/volumes/plain/_data" ]
	[ "$(m inspect busybox:local | jq -r '.[0].RepoTags[0]')" = busybox:local ]
	[ "$(m inspect bridge | jq -r '.[0].Driver')" = bridge ]
	[ "$(m inspect host none | jq -r 'map(.Driver) | join(" ")')" = "host null" ]
	[ "$(m inspect named | jq -c '.[0].Labels')" = '{"a":"b"}' ]
	[ "$(m inspect named plain busybox:local | jq length)" = 3 ]
	[ "$(m inspect bridge | jq -r '.[0].Containers[].Name')" = full ]
	[ "$(m inspect "$(m inspect -f '{{.Id}}' bridge | cut -c1-12)" | jq -r '.[0].Name')" = bridge ]
	[ "$(m inspect -f '{{.NetworkSettings.Networks.bridge.NetworkID}}' full)" = "$(m inspect -f '{{.Id}}' bridge)" ]
	m volume rm plain
}

@test "what is not there is said after what is" {
	run -1 --separate-stderr m inspect nosuch
	[ "$output" = "[]" ]
	[ "$stderr" = "masu: No such object: nosuch" ]
	run -1 --separate-stderr m inspect plain nosuch
	[ "$(jq length <<<"$output")" = 1 ]
	[ "$stderr" = "masu: No such object: nosuch" ]
	run -1 --separate-stderr m inspect -f '{{.Name}}' plain nosuch full
	[ "$output" = $'/plain\n/full' ]
	local type
	for type in container:'No such container: nosuch' image:'No such image: nosuch:latest' \
		network:'network nosuch not found' volume:'get nosuch: no such volume'; do
		run -1 --separate-stderr m inspect --type "${type%%:*}" nosuch
		[ "$output" = "[]" ]
		[ "$stderr" = "masu: ${type#*:}" ]
	done
	run -1 m inspect --type bogus plain
	[[ "$output" == 'masu: unknown type: "bogus": must be one of "container", "image", "network", "volume"' ]]
	run -1 m container inspect busybox:local
}

@test "the document of an image" {
	m image inspect busybox:local >"$BATS_TEST_TMPDIR/image"
	jq -e '.[0] | .RepoTags == ["busybox:local"] and .Config.Env == ["FROM_IMAGE=yes"] and .Config.Entrypoint == null
		and .Os == "linux" and .RootFS.Type == "layers" and (.RootFS.Layers | length) == 1 and .Size > 0
		and .Size == .VirtualSize and .Author == "" and .Parent == "" and .Config.Volumes == null' "$BATS_TEST_TMPDIR/image"
	[ -d "$(jq -r '.[0].GraphDriver.Data.UpperDir' "$BATS_TEST_TMPDIR/image")" ]
	run -0 m image inspect -f '{{.Id}} {{.Config.Env}}' busybox:local
	[ "$output" = "$(field plain .Image) [FROM_IMAGE=yes]" ]
	run -1 --separate-stderr m image inspect nosuch
	[ "$output" = "[]" ]
	[ "$stderr" = "masu: No such image: nosuch:latest" ]
}

@test "docker's python models read the documents" {
	local server
	"$REPO/tests/lib/docker-api.py" "$BATS_TEST_TMPDIR/api.sock" 3>&- 4>&- &
	server=$!
	wait_until 10 test -S "$BATS_TEST_TMPDIR/api.sock"
	run python3 - "unix://$BATS_TEST_TMPDIR/api.sock" <<-'END'
	import sys, docker
	client = docker.DockerClient(base_url=sys.argv[1])
	full = client.containers.get("full")
	assert full.name == "full", full.name
	assert full.status == "running", full.status
	assert full.short_id == full.id[:len(full.short_id)]
	assert full.labels == {"n": "1", "com.example.x": "y"}, full.labels
	assert full.ports["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "8080"}], full.ports
	assert full.ports["22/tcp"] is None
	assert full.image.tags == ["busybox:local"], full.image.tags
	assert full.image.id == full.attrs["Image"]
	assert full.image.labels == {}, full.image.labels
	assert full.attrs["State"]["Running"] is True
	assert full.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].count(".") == 3
	assert {c.name for c in client.containers.list()} == {"full"}
	assert {c.name for c in client.containers.list(all=True)} == {"full", "plain"}
	assert client.containers.get("plain").status == "created"
	volume = client.volumes.get("named")
	assert volume.name == "named" and volume.attrs["Driver"] == "local" and volume.attrs["Labels"] == {"a": "b"}
	network = client.networks.get("bridge")
	assert network.name == "bridge" and [c.name for c in network.containers] == ["full"]
	try:
	    client.containers.get("nosuch")
	    assert False
	except docker.errors.NotFound as error:
	    assert "No such container: nosuch" in str(error), error
	print("read")
	END
	echo "$output"
	kill "$server"
	[ "$output" = read ]
}
