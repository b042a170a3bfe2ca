#!/usr/bin/env bats
# The command line as docker's users know it: streams, signals, terminals, exit statuses, options,
# lists. What docker's client refuses is a unit test (tests/unit/test-cli-options.c).

bats_require_minimum_version 1.5.0

setup_file() {
	export MASU_ROOT=$BATS_FILE_TMPDIR/root MASU_RUNROOT=$BATS_FILE_TMPDIR/run
	local rootfs=$BATS_FILE_TMPDIR/rootfs
	mkdir -p "$rootfs"/{bin,etc,tmp,proc,sys,dev}
	cp /bin/busybox "$rootfs/bin/"
	for tool in sh cat env grep head id ls mount pwd sleep stty tail touch true tty wc hostname printf; do
		ln -s busybox "$rootfs/bin/$tool"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n' >"$rootfs/etc/passwd"
	printf 'root:x:0:\nuser:x:1000:\nextra:x:2000:\n' >"$rootfs/etc/group"
	tar -C "$rootfs" -c . | masu import --change 'ENV IMAGE=yes' - cli:test >&2
}

setup() {
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	local ids
	ids=$(masu ps -aq)
	[ -z "$ids" ] || masu rm -f $ids >/dev/null
}

masu() {
	timeout -k 1 "${LIMIT:-60}" "$MASU" "$@"
}

# A container that is thrown away, without network.
once() {
	masu run --rm --network none "$@"
}

# The same detached and named.
detached() {
	masu run -d --network none "$@"
}

wait_for() { # command...
	local i
	for ((i = 0; i < 600; i++)); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	echo "never true: $*" >&2
	return 1
}

is_running() {
	[ "$(masu inspect -f '{{.State.Running}}' "$1")" = true ]
}

@test "stdout, stderr and the exit status are the program's" {
	run -7 --separate-stderr once cli:test sh -c 'echo out; echo err >&2; exit 7'
	[ "$output" = out ]
	[ "$stderr" = err ]
}

@test "stdin reaches the program with -i and its end too" {
	run -0 once -i cli:test cat <<<"typed"
	[ "$output" = typed ]
	run -0 once cli:test cat <<<"not for it"
	[ "$output" = "" ]
	head -c 3000000 /dev/zero >big
	run -0 bash -c '"$MASU" run --rm -i --network none cli:test wc -c <big'
	[ "$output" = 3000000 ]
}

@test "much output arrives whole" {
	run -0 bash -c '"$MASU" run --rm --network none cli:test head -c 5000000 /dev/zero | wc -c'
	[ "$output" = 5000000 ]
}

@test "exit statuses tell whose failure it was" {
	run -125 once no-such-image
	[[ "$output" == "Unable to find image 'no-such-image:latest' locally"* ]]
	run -125 once --pull never no-such-image
	[[ "$output" == *"No such image: no-such-image:latest"* ]]
	run -127 once cli:test /no/such/program
	run -126 once cli:test /etc
	run -125 once --no-such-flag cli:test
	run -125 once -v a:b:c:d cli:test
	run -125 once --restart always --rm cli:test
	run -125 once --health-cmd true cli:test
	run -1 masu nosuchverb
	run -1 masu run
	[[ "$output" == *'requires at least 1 argument'* ]]
}

@test "one that was killed ends with 128 and the signal" {
	detached --name victim cli:test sleep 100
	masu kill victim
	run -0 masu wait victim
	[ "$output" = 137 ]
	[ "$(masu inspect -f '{{.State.ExitCode}}' victim)" = 137 ]
}

@test "signals are passed on, or not with --sig-proxy=false" {
	"$MASU" run --name trap --network none cli:test \
		sh -c 'trap "exit 42" TERM; echo ready; while :; do sleep 0.1; done' >out &
	local pid=$!
	wait_for grep -q ready out
	kill -TERM $pid
	local status=0
	wait $pid || status=$?
	[ $status = 42 ]
	"$MASU" run --sig-proxy=false --name stays --network none cli:test sh -c 'echo ready; sleep 100' >out2 &
	pid=$!
	wait_for grep -q ready out2
	kill -TERM $pid
	status=0
	wait $pid || status=$?
	[ $status = 143 ]
	is_running stays
}

@test "a detached container outlives the command, and its output is in the log" {
	run -0 detached --name det cli:test sh -c 'echo one; echo two >&2; sleep 100'
	[[ "$output" =~ ^[0-9a-f]{64}$ ]]
	wait_for bash -c '[ "$("$MASU" logs det 2>&1 | wc -l)" = 2 ]'
	run -0 --separate-stderr masu logs det
	[ "$output" = one ]
	[ "$stderr" = two ]
	run -0 masu logs -t --tail 1 det
	[[ "$output" =~ ^20[0-9-]+T[0-9:]+\.[0-9]+Z\ two$ ]]
	run -0 masu logs --since 2100-01-01 det
	[ "$output" = "" ]
	run -0 masu logs --tail 0 det
	[ "$output" = "" ]
	run -1 masu logs --tail x det
	is_running det
}

@test "the log keeps every byte" {
	once --name unused cli:test true
	masu run --name bytes --network none cli:test printf 'a\000b\377c\n' >direct
	masu logs bytes >logged
	[ "$(head -c 3 logged | od -An -c | tr -d ' ')" = 'a\0b' ]
	[ "$(head -c 5 direct | od -An -tx1)" = " 61 00 62 ff 63" ]
}

@test "logs -f ends with the container" {
	detached --name fol cli:test sh -c 'echo one; sleep 1; echo two'
	run -0 masu logs -f fol
	[ "$output" = $'one\ntwo' ]
}

@test "stop sends the stop signal and then kills" {
	detached --name polite --stop-signal USR1 cli:test \
		sh -c 'trap "exit 3" USR1; echo ready; while :; do sleep 0.1; done'
	wait_for bash -c '"$MASU" logs polite | grep -q ready'
	run -0 masu stop polite
	[ "$output" = polite ]
	[ "$(masu inspect -f '{{.State.ExitCode}}' polite)" = 3 ]
	detached --name deaf cli:test sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done'
	wait_for bash -c '"$MASU" logs deaf | grep -q ready'
	masu stop -t 1 deaf
	[ "$(masu inspect -f '{{.State.ExitCode}}' deaf)" = 137 ]
	run -1 masu kill -s NOSUCH deaf
	[[ "$output" == *"invalid signal: NOSUCH"* ]]
}

@test "create, start, start -a, restart, rm" {
	run -0 masu create --name cre --network none -i cli:test sh -c 'read x; echo "got $x"; exit 5'
	[ "$(masu inspect -f '{{.State.Status}}' cre)" = created ]
	run -5 masu start -a -i cre <<<word
	[ "$output" = "got word" ]
	run -0 masu start cre
	[ "$output" = cre ]
	run -1 masu rm cre
	run -0 masu restart -t 0 cre
	run -0 masu rm -f cre
	run -1 masu rm cre
	[[ "$output" == *"No such container: cre"* ]]
	run -0 masu rm -f cre
}

@test "the id goes to the --cidfile before the program ends" {
	detached --cidfile id --name cid cli:test sleep 100
	[ "$(cat id)" = "$(masu inspect -f '{{.Id}}' cid)" ]
	run -125 once --cidfile id cli:test true
	[[ "$output" == *"container ID file found"* ]]
	run -125 once --cidfile none no-such-image
	[ ! -e none ]
	run -127 masu run --cidfile failed --network none cli:test /no/such
	[ "$(wc -c <failed)" = 64 ]
}

@test "a name is given once" {
	detached --name once cli:test sleep 100
	run -125 detached --name once cli:test true
	[[ "$output" == *"is already in use by container"* ]]
	local name
	for name in ../../x . a "$(printf 'x%.0s' {1..300})"; do
		run -125 detached --name "$name" cli:test true
	done
}

@test "environment, user, directory, entrypoint, hostname" {
	printf '# comment\nFILE=1\nHERE\n' >env
	HERE=inherited run -0 once -e A=1 -e HERE --env-file env cli:test env
	[[ "$output" == *A=1* && "$output" == *FILE=1* && "$output" == *HERE=inherited* && "$output" == *IMAGE=yes* ]]
	run -0 once -e IMAGE cli:test env
	[[ "$output" != *IMAGE* ]]
	run -0 once -u user --group-add extra cli:test id -G
	[ "$output" = "1000 2000" ]
	run -0 once -w /tmp cli:test pwd
	[ "$output" = /tmp ]
	run -0 once --entrypoint /bin/printf cli:test '%s-' a b
	[ "$output" = a-b- ]
	run -0 once --hostname box cli:test hostname
	[ "$output" = box ]
	local bad
	for bad in 4294967295 4294967296 -1 nosuch; do
		run once -u "$bad" cli:test true
		[ "$status" -ge 125 ] && [ "$status" -le 126 ]
	done
}

@test "mounts: host directories, tmpfs, read-only, volumes" {
	mkdir src && echo content >src/file
	run -0 once -v "$PWD/src:/mnt:ro" cli:test cat /mnt/file
	[ "$output" = content ]
	run -1 once -v "$PWD/src:/mnt:ro" cli:test touch /mnt/x
	run -0 once -v ./src:/mnt cli:test touch /mnt/made
	[ -e src/made ]
	run -0 once --mount "type=bind,source=$PWD/src,target=/mnt,readonly" cli:test cat /mnt/file
	run -125 once --mount "type=bind,source=$PWD/absent,target=/mnt" cli:test true
	run -0 once -v "$PWD/absent:/mnt" cli:test true
	[ -d absent ]
	run -0 once --tmpfs /t:size=1m,mode=700 cli:test grep ' /t ' /proc/mounts
	[[ "$output" == *"size=1024k"* && "$output" == *"mode=700"* ]]
	run -1 once --read-only cli:test touch /x
	run -0 masu volume create --label a=b vol
	run -0 once -v vol:/data cli:test touch /data/kept
	run -0 once -v vol:/data cli:test ls /data
	[ "$output" = kept ]
	detached --name user -v vol:/data cli:test sleep 100
	run -1 masu volume rm vol
	[[ "$output" == *"volume is in use"* ]]
	run -0 masu volume inspect -f '{{.Name}} {{.Labels.a}}' vol
	[ "$output" = "vol b" ]
	run -0 masu volume ls -q
	[ "$output" = vol ]
	masu rm -f user
	run -0 masu volume rm vol
	run -1 masu volume rm vol
}

@test "limits, devices, labels, init" {
	printf 'from=file\n' >labels
	run -0 masu create --name opt --network none --ulimit nofile=64:128 --device /dev/null:/dev/extra \
		-l a=1 --label-file labels --memory 64m --cpus 0.5 --pids-limit 50 cli:test \
		sh -c 'ulimit -n; ulimit -Hn; ls -l /dev/extra'
	run -0 masu start -a opt
	[[ "$output" == 64$'\n'128$'\n'*"1,   3"*"/dev/extra" ]]
	run -0 masu inspect -f '{{.Config.Labels.a}} {{.Config.Labels.from}} {{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}' opt
	[ "$output" = "1 file 67108864 500000000 50" ]
	run -0 once --init cli:test sh -c 'grep -c masu-init /proc/1/cmdline || cat /proc/1/cmdline'
}

@test "ps: table, filters, templates, JSON" {
	detached --name one -l tier=web cli:test sleep 100
	masu run --name two --network none cli:test sh -c 'exit 3' || true
	run -0 masu ps
	[[ "${lines[0]}" =~ ^CONTAINER\ ID\ +IMAGE\ +COMMAND\ +CREATED\ +STATUS\ +PORTS\ +NAMES$ ]]
	[ ${#lines[@]} = 2 ]
	[[ "${lines[1]}" == *'"sleep 100"'*Up*one ]]
	run -0 masu ps -a --format '{{.Names}} {{.State}} {{.Label "tier"}}'
	[ "${lines[0]}" = "two exited " ]
	[ "${lines[1]}" = "one running web" ]
	run -0 masu ps -a --filter exited=3 --format '{{.Names}}'
	[ "$output" = two ]
	run -0 masu ps --filter label=tier=web -q --no-trunc
	[ "$output" = "$(masu inspect -f '{{.Id}}' one)" ]
	run -0 masu ps -l --format json
	[ "$(jq -r .Names <<<"$output")" = two ]
	run -0 masu ps -a --format 'table {{.Names}}\t{{.Status}}'
	[[ "${lines[0]}" =~ ^NAMES\ +STATUS$ ]]
	run -1 masu ps --filter nosuch=1
	run -0 masu container ls -q
	run -0 masu ps -as
	[[ "$output" == *"(virtual "* ]]
}

@test "inspect: documents, templates, what is missing" {
	detached --name ins cli:test sleep 100
	masu inspect ins | jq -e '.[0].State.Running and .[0].Name == "/ins"'
	run -1 --separate-stderr masu inspect ins nosuch
	[ "$(jq length <<<"$output")" = 1 ]
	[[ "$stderr" == *"No such object: nosuch"* ]]
	run -1 masu inspect -f '{{.NoSuch}}' ins
	run -0 masu inspect -f '{{json .Config.Cmd}}' ins
	[ "$output" = '["sleep","100"]' ]
	masu inspect -s ins | jq -e '.[0].SizeRootFs > 0'
}

@test "exec: streams, status, environment, user, detached" {
	detached --name exe -e A=1 -w /tmp cli:test sleep 100
	run -9 --separate-stderr masu exec exe sh -c 'echo out; echo err >&2; exit 9'
	[ "$output" = out ]
	[ "$stderr" = err ]
	run -0 masu exec -i exe cat <<<"typed"
	[ "$output" = typed ]
	run -0 masu exec -e B=2 -u user -w /bin exe sh -c 'echo $A$B $(id -u) $PWD'
	[ "$output" = "12 1000 /bin" ]
	run -127 masu exec exe nosuch
	run -126 masu exec exe /etc
	run -0 masu exec -d exe touch /tmp/made
	[ "$output" = "" ]
	wait_for masu exec exe ls /tmp/made
	run -137 masu exec exe sh -c 'kill -9 $$'
	# A child that keeps the output open holds up nobody.
	LIMIT=30 run -0 masu exec exe sh -c 'sleep 50 & echo done'
	[ "$output" = "done" ]
	masu stop -t 0 exe
	run -1 masu exec exe true
	[[ "$output" == *"is not running"* ]]
}

@test "a terminal has the caller's size and follows it" {
	run -4 "$REPO/tests/lib/terminal.py" 30 100 "$MASU" run --rm -it --network none cli:test sh <<-'STEPS'
	expect #
	send stty size; tty\r
	expect 30 100
	expect /dev/pts/0
	resize 40 120
	send until stty size | grep "4[0] 120"; do sleep 0.05; done\r
	expect 40 120
	send exit 4\r
	STEPS
	run -1 once -it cli:test true </dev/null
	[[ "$output" == *"the input device is not a TTY"* ]]
}

@test "the detach keys leave the container running, attach finds it again" {
	run -0 "$REPO/tests/lib/terminal.py" 24 80 "$MASU" run -it --name ter --network none cli:test sh <<-'STEPS'
	expect #
	send x=kept\r
	expect #
	send \x10\x11
	STEPS
	is_running ter
	run -6 "$REPO/tests/lib/terminal.py" 24 80 "$MASU" attach ter <<-'STEPS'
	send echo $x-$x\r
	expect kept-kept
	send exit 6\r
	STEPS
	run -1 masu attach ter
	[[ "$output" == *"start it first"* ]]
}

@test "exec on a terminal: size, detach keys, status" {
	detached --name et cli:test sleep 100
	run -5 "$REPO/tests/lib/terminal.py" 33 99 "$MASU" exec -it et sh <<-'STEPS'
	expect #
	send until stty size | grep "3[3] 99"; do sleep 0.05; done\r
	expect 33 99
	send exit 5\r
	STEPS
	run -1 "$REPO/tests/lib/terminal.py" 24 80 "$MASU" exec -it --detach-keys a,b et sh <<-'STEPS'
	expect #
	send ab
	STEPS
	[[ "$output" == *"read escape sequence"* ]]
}

@test "two readers of one container, and a reader that goes away" {
	detached --name rea cli:test sh -c 'echo first; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo last'
	"$MASU" attach --no-stdin rea >a &
	local first=$!
	"$MASU" attach --no-stdin rea >b &
	local second=$!
	sleep 0.2
	# The container ends as soon as it sees the file, and takes the command along.
	masu exec rea touch /tmp/go || [ $? -eq 137 ]
	wait $first $second
	grep -q last a
	grep -q last b
	run -0 bash -c '"$MASU" run --rm --network none cli:test sh -c "echo x; sleep 0.2" | head -1'
	[ "$output" = x ]
}

@test "help says what there is" {
	run -0 masu --help
	[[ "$output" == *"  run "* && "$output" == *"  volume "* ]]
	run -0 masu run --help
	[[ "$output" == *"-v, --volume list"* ]]
	run -1 masu strat
	[[ "$output" == *"did you mean 'start'"* ]]
	run -0 masu version --format '{{.Client.Version}}'
	run -0 masu info --format '{{.Driver}}'
	[ "$output" = overlay ]
}
