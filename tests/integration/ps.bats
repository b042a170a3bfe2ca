#!/usr/bin/env bats
# `ps`: columns, words, options and filters as docker has them; podman is asked the same questions.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	m_create --name first --label tier=web --label zone=a busybox:local true >/dev/null
	m_run --name failed busybox:local sh -c 'exit 3' || true
	m_run --name done -v data:/data --label tier=db busybox:local true
	m_create --name last -v "$BATS_FILE_TMPDIR:/host" --expose 8443 -p 9000:90/udp busybox:local sh -c 'echo "a b"' >/dev/null
}

teardown() {
	"$MASU" rm -f up ports orphan checked >/dev/null 2>&1 || true
}

teardown_file() {
	engine_teardown_file
}

status_says() { # text
	[[ "$(m ps --format '{{.Status}}')" == *"$1"* ]]
}

names() { # ps options: the names shown, in order, on one line
	m ps --format '{{.Names}}' "$@" | tr '\n' ' ' | sed 's/ $//'
}

@test "the table has docker's columns and widths" {
	run -0 m ps
	[ "$output" = "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES" ]
	run -0 m ps -a
	[ "${#lines[@]}" -eq 5 ]
	[[ "${lines[0]}" =~ ^"CONTAINER ID   IMAGE           COMMAND                  CREATED"\ +"STATUS"\ +"PORTS     NAMES"$ ]]
	[[ "${lines[1]}" =~ ^[0-9a-f]{12}"   busybox:local   \"sh -c 'echo \\\"a b\\\"'\"   "[A-Z0-9].*" ago"\ +"Created"\ +"last"$ ]]
	[[ "${lines[2]}" == *'"true"'*"Exited (0) "*" ago"*done ]]
	[[ "${lines[3]}" == *"Exited (3) "*" ago"*failed ]]
	run -0 m ps -as
	[[ "${lines[0]}" == *"NAMES     SIZE" ]]
	[[ "${lines[1]}" =~ "last"\ +[0-9.]+"B (virtual "[0-9.]+MB\)$ ]]
}

@test "which containers: running, all, the last ones" {
	[ "$(names)" = "" ]
	[ "$(names -a)" = "last done failed first" ]
	[ "$(names -l)" = last ]
	[ "$(names -n 2)" = "last done" ]
	[ "$(names --last 99)" = "last done failed first" ]
	[ "$(names -n 1 --filter name=first)" = first ]
	m_run -d --name up busybox:local sleep 60
	[ "$(names)" = up ]
	[ "$(m ps --format '{{.Status}}')" = "Up Less than a second" ] || [[ "$(m ps --format '{{.Status}}')" == "Up "*second* ]]
	m rm -f up
}

@test "-q prints ids, short or whole" {
	run -0 m ps -aq
	[ "${#lines[@]}" -eq 4 ]
	[[ "${lines[0]}" =~ ^[0-9a-f]{12}$ ]]
	run -0 m ps -lq --no-trunc
	[ "$output" = "$(field last .Id)" ]
	run -0 --separate-stderr m ps -lq --format '{{.Names}}'
	[ "$output" = "$(field last .Id | cut -c1-12)" ]
	[[ "$stderr" == "WARNING: Ignoring custom format"* ]]
}

@test "fields, and whole values with --no-trunc" {
	run -0 m ps -l --no-trunc --format '{{.Command}}'
	[ "$output" = "\"sh -c 'echo \\\"a b\\\"'\"" ]
	run -0 m ps -l --format '{{.Mounts}}'
	[ "$output" = "$(cut -c1-14 <<<"$BATS_FILE_TMPDIR")…" ]
	run -0 m ps -l --no-trunc --format '{{.Mounts}}'
	[ "$output" = "$BATS_FILE_TMPDIR" ]
	run -0 m ps -a --filter name=done --format '{{.LocalVolumes}} {{.Mounts}} {{.Networks}} {{.State}} {{.Label "tier"}}'
	[ "$output" = "1 data none exited db" ]
	run -0 m ps -l --format json
	[ "$(jq -r 'keys | join(" ")' <<<"$output")" = \
		"Command CreatedAt ID Image Labels LocalVolumes Mounts Names Networks Ports RunningFor Size State Status" ]
	run -0 m ps -l --format 'table {{.Names}}\t{{.State}}'
	[ "${lines[0]}" = "NAMES     STATE" ]
	[ "${lines[1]}" = "last      created" ]
}

@test "an image that means another one by now is shown by its id" {
	local id
	m tag busybox:local moved:local
	m_create --name moved moved:local true >/dev/null
	[ "$(m ps -l --format '{{.Image}}')" = moved:local ]
	echo other | tar -C "$BATS_TEST_TMPDIR" -c . | m import - moved:local >/dev/null
	id=$(field moved .Image)
	[ "$(m ps -l --format '{{.Image}}')" = "$(cut -c8-19 <<<"$id")" ]
	m rm moved
	m rmi moved:local >/dev/null
}

@test "filters" {
	[ "$(names -a -f name=irs)" = first ]
	[ "$(names -a -f 'name=^/first$')" = first ]
	[ "$(names -a -f 'name=^(first|last)$')" = "last first" ]
	[ "$(names -a -f name='[')" = "" ]
	[ "$(names -a -f name=first -f name=done)" = "done first" ]
	[ "$(names -a -f label=tier)" = "done first" ]
	[ "$(names -a -f label=tier=web -f label=zone=a)" = first ]
	[ "$(names -a -f label=tier=web -f label=zone=b)" = "" ]
	[ "$(names -f status=created)" = "last first" ]
	[ "$(names -f status=exited -f status=created)" = "last done failed first" ]
	[ "$(names -a -f exited=3)" = failed ]
	[ "$(names -a -f exited=3 -f exited=0)" = "done failed" ]
	[ "$(names -a -f before=failed)" = first ]
	[ "$(names -a -f since=failed)" = "last done" ]
	[ "$(names -a -f ancestor=busybox:local -f status=exited)" = "done failed" ]
	[ "$(names -a -f ancestor="$(field first .Image)")" = "last done failed first" ]
	[ "$(names -a -f ancestor=nosuch)" = "" ]
	[ "$(names -a -f volume=data)" = "done" ]
	[ "$(names -a -f volume=/host)" = "last" ]
	[ "$(names -a -f volume="$BATS_FILE_TMPDIR")" = "last" ]
	[ "$(names -a -f network=none)" = "last done failed first" ]
	[ "$(names -a -f network=bridge)" = "" ]
	[ "$(names -a -f id="$(field done .Id | cut -c1-6)")" = "done" ]
	[ "$(names -a -f publish=9000/udp)" = last ]
	[ "$(names -a -f publish=9000)" = "" ]
	[ "$(names -a -f publish=8999-9001/udp)" = last ]
	[ "$(names -a -f expose=8443)" = last ]
	[ "$(names -a -f expose=90/udp -f publish=1)" = last ]
	[ "$(names -a -f health=none)" = "last done failed first" ]
	[ "$(names -a -f health=healthy)" = "" ]
	[ "$(names -a -f is-task=true)" = "" ]
	[ "$(names -a -f is-task=false -f name=done)" = "done" ]
}

@test "health is shown and filtered for" {
	m_run -d --name checked --health-cmd true --health-interval 100ms busybox:local sleep 60
	wait_until 10 status_says '(healthy)'
	[ "$(names -f health=healthy)" = checked ]
	[ "$(names -f health=none)" = "" ]
	m rm -f checked
	m_run -d --name checked --health-cmd true --health-interval 1m busybox:local sleep 60
	[[ "$(m ps --format '{{.Status}}')" == "Up "*" (health: starting)" ]]
	[ "$(names -f health=starting)" = checked ]
	[ "$(names -f health=healthy -f health=starting)" = checked ]
	m rm -f checked
}

@test "filters that cannot be meant are refused" {
	local filter
	for filter in nosuch=1 status=asleep health=fine exited=x is-task=maybe publish=80/icmp publish=99999 expose=9-3; do
		run -1 m ps -f "$filter"
		[[ "$output" == "masu: invalid filter '${filter%%=*}"* ]]
	done
	run -1 m ps -f name
	[[ "$output" == *"bad format of filter"* ]]
	run -1 m ps -f before=nosuch
	[[ "$output" == *"No such container: nosuch"* ]]
}

@test "podman gives the same answers" {
	command -v podman >/dev/null || skip "podman is not installed"
	local case
	export ORACLE_PODMAN_RUNROOT=/run/podman # the path may not be long
	oracle_crun_ready
	oracle_podman import "$BATS_FILE_TMPDIR/busybox.tar" localhost/busybox:local >/dev/null 2>&1 || {
		tar -C "$BATS_FILE_TMPDIR/tree" -cf "$BATS_FILE_TMPDIR/busybox.tar" .
		oracle_podman import "$BATS_FILE_TMPDIR/busybox.tar" localhost/busybox:local >/dev/null
	}
	oracle_podman create --name first --network none --label tier=web --label zone=a busybox:local true
	oracle_podman run --name failed --network none busybox:local sh -c 'exit 3' || true
	oracle_podman run --name done --network none -v data:/data --label tier=db busybox:local true
	oracle_podman create --name last --network none -v "$BATS_FILE_TMPDIR:/host" busybox:local true
	for case in '-a' '-n 2' '-l' '-a -f name=irs' '-a -f label=tier' '-a -f label=tier=web' '-a -f status=created' \
		'-a -f status=exited' '-a -f exited=3' '-a -f before=failed' '-a -f since=failed' '-a -f volume=data' \
		'-a -f name=first -f name=done'; do
		# Podman's own order is the other way round.
		run -0 oracle_podman ps --sort created --format '{{.Names}}' $case
		echo "$case: masu $(names $case), podman $output"
		[ "$(names $case | tr ' ' '\n' | sort)" = "$(sort <<<"$output")" ]
	done
	oracle_podman rm -fa -t 0
}

@test "ports as docker groups them" {
	NETWORK=bridge m_run -d --name ports -p 7000-7002:7000-7002 -p 127.0.0.1:7100:80 -p 7200:53/udp --expose 22 busybox:local sleep 60
	run -0 m ps --format '{{.Ports}}'
	echo "$output"
	[[ "$output" == "22/tcp, 0.0.0.0:7000-7002->7000-7002/tcp,"*" 0.0.0.0:7200->53/udp,"*" 127.0.0.1:7100->80/tcp" ]]
	[ "$(names -f publish=7001)" = ports ]
	[ "$(names -f expose=22)" = ports ]
	m rm -f ports
}

@test "a container whose monitor was killed is listed as what it is" {
	local monitor pid
	m_run -d --name orphan busybox:local sleep 60
	monitor=$(monitor_of orphan) pid=$(field orphan .State.Pid)
	kill -KILL "$monitor"
	wait_until 5 pid_gone "$monitor"
	[ "$(names)" = orphan ]
	kill -KILL "$pid"
	wait_until 5 pid_gone "$pid"
	[ "$(names)" = "" ]
	[ "$(m ps -l --format '{{.State}} {{.Status}}' | cut -c1-20)" = "exited Exited (255) " ]
	m rm orphan
}

@test "a damaged record hides nobody else" {
	local id=$(m_create --name damaged busybox:local true)
	echo '{' >"$MASU_ROOT/containers/$id/container.json"
	[ "$(names -a)" = "last done failed first" ]
	m rm -f damaged
}

# What a container is, without what belongs to this one alone.
likeness() { # name
	m inspect "$1" | jq -S --arg id "$(field "$1" .Id)" '.[0] | del(.Id, .Created, .State, .NetworkSettings, .GraphDriver,
		.ResolvConfPath, .HostnamePath, .HostsPath, .LogPath, .RestartCount, .ExecIDs)
		| .Mounts |= (map(if .Name // "" | length == 64 then del(.Name, .Source) else . end) | sort_by(.Destination))
		| if .Config.Hostname == $id[:12] then del(.Config.Hostname) else . end'
}

recreate() { # name: once more from its own line
	local line
	line=$(m ps -a --command --filter "name=^$1\$")
	[[ "$line" == "masu run "* ]]
	likeness "$1" >"$BATS_TEST_TMPDIR/before"
	m rm -f "$1" >/dev/null
	masu() { m "$@"; }
	eval "$line" >/dev/null </dev/null
	likeness "$1" >"$BATS_TEST_TMPDIR/after"
	diff "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after" || {
		echo "$line"
		false
	}
}

@test "--command prints the line that makes the container again" {
	m_create --name simple busybox:local true >/dev/null
	run -0 m ps -l --command
	[ "$output" = "masu run --name simple --cgroup-parent $GROUP --network none busybox:local true" ]
	recreate simple
	m_run -d --name detached busybox:local sleep 60
	recreate detached
	printf '{"defaultAction":"SCMP_ACT_ALLOW"}' >"$BATS_TEST_TMPDIR/seccomp"
	m volume create shared >/dev/null
	NETWORK=bridge m_run -d --name full -i -t --label n=1 --label 'com.example.x=it'"'"'s "y" $z' -p 127.0.0.1:8080:80 -p 9000:90/udp \
		-p 81 --expose 22 -v "$BATS_FILE_TMPDIR:/host:ro" -v shared:/vol:nocopy -v /anon --tmpfs /t:size=1m --tmpfs /t3 \
		--mount type=tmpfs,dst=/t2,tmpfs-size=1048576,tmpfs-mode=700 --mount type=volume,src=shared,dst=/vol2,readonly \
		--mount "type=bind,src=$BATS_FILE_TMPDIR,dst=/b,bind-propagation=rslave,bind-create-src" --dns 1.1.1.1 --dns-search example.com \
		--dns-option ndots:1 --add-host a:1.2.3.4 --cap-add NET_ADMIN --cap-drop mknod --device /dev/null:/dev/xx:rw -m 64m \
		--memory-reservation 32m --cpus 0.5 --cpu-shares 512 --pids-limit 50 --ulimit nofile=100:200 --log-opt max-size=1m \
		--sysctl net.ipv4.ip_forward=1 --security-opt no-new-privileges --security-opt "seccomp=$BATS_TEST_TMPDIR/seccomp" \
		--stop-timeout 3 --stop-signal INT --init -u 1:5 -w /tmp -h hn --domainname dn -e X=1 -e 'Y=a b' -e E= --entrypoint sleep \
		--group-add 5 --read-only --shm-size 1m --oom-score-adj 500 --annotation a.b=c --ipc private \
		--restart on-failure:3 --health-cmd 'test -e "/"' --health-interval 5s --health-retries 2 --health-start-period 1m \
		--health-on-failure kill busybox:local 600
	recreate full
	m_run --name entry --entrypoint '' busybox:local true
	recreate entry
	m_run --name words busybox:local sh -c 'echo "$1"; exit 0' -- 'two words' '' "it's" 'a\b' '*' '~' '#x'
	recreate words
	m_create --name other -v /data2 busybox:local true >/dev/null
	m_create --name from --volumes-from other busybox:local true >/dev/null
	recreate from
	m rm -f simple detached full entry words from other
}

@test "--command knows what update and rename did, and an image that is gone" {
	m_run -d --name old -m 64m busybox:local sleep 60
	m update --memory 96m --memory-swap 200m --pids-limit 70 --cpus 0.25 old >/dev/null
	m rename old new
	run -0 m ps --command --filter name=new
	echo "$output"
	[[ "$output" == *" --name new "*" --memory 100663296 --memory-swap 209715200 --pids-limit 70 "*" --cpus 0.25 busybox:local sleep 60" ]]
	recreate new
	m rm -f new
	m tag busybox:local away:local
	m_create --name away -e A=b away:local true >/dev/null
	[[ "$(m ps -l --command)" != *FROM_IMAGE* ]]
	m rmi away:local >/dev/null
	[[ "$(m ps -l --command)" == *" --env FROM_IMAGE=yes --env A=b "*" away:local true" ]]
	m rm away
}
