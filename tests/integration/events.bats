#!/usr/bin/env bats
# The event log: what is told, in docker's order, and that telling never stands in the way.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
}

teardown_file() {
	engine_teardown_file
}

setup() {
	remove_all
	rm -f "$MASU_RUNROOT"/events.log*
}

# "container create", "network connect" …: what was told of since the test began.
actions() {
	jq -r '.Type + " " + .Action' "$MASU_RUNROOT/events.log"
}

# The attributes of the last event with this action.
last_of() {
	jq -cs --arg action "$1" 'map(select(.Action == $action)) | last | .Actor.Attributes' \
		"$MASU_RUNROOT/events.log"
}

@test "run --rm tells create, attach, connect, start, die, disconnect, destroy" {
	run -3 m run --cgroup-parent "$GROUP" --rm --name ordered --label a=b busybox:local sh -c 'exit 3'
	[ "$(actions)" = "container create
container attach
network connect
container start
container die
network disconnect
container destroy" ]
	[ "$(last_of die)" = '{"a":"b","exitCode":"3","image":"busybox:local","name":"ordered"}' ]
	[ "$(last_of connect | jq -r .type)" = bridge ]
}

@test "create, start, stop and rm of a container with a volume" {
	m_create --name one -v data:/data busybox:local sh -c 'trap "exit 0" TERM; while :; do sleep 0.05; done'
	m start one
	m stop one
	m rm one
	[ "$(actions)" = "volume create
container create
network connect
volume mount
container start
container kill
container die
network disconnect
volume unmount
container stop
container destroy" ]
	[ "$(last_of kill | jq -r .signal)" = 15 ]
	[ "$(last_of mount | jq -r '.destination + .["read/write"]')" = /datatrue ]
}

@test "exec tells create, start and die of the process, by one id" {
	m_run -d --name one busybox:local sleep 100
	run -4 m exec one sh -c 'exit 4'
	[ "$(actions | grep exec)" = "container exec_create: sh -c exit 4
container exec_start: sh -c exit 4
container exec_die" ]
	[ "$(last_of exec_die | jq -r .exitCode)" = 4 ]
	[ "$(jq -r '.Actor.Attributes.execID // empty' "$MASU_RUNROOT/events.log" | sort -u | wc -l)" = 1 ]
}

@test "exec -it that was left by its detach keys tells how it ended, too" {
	m_run -d --name one busybox:local sleep 100
	run -1 "$REPO/tests/lib/terminal.py" 24 80 "$MASU" exec -it --detach-keys a,b one \
		sh -c 'echo ready; while [ ! -e /end ]; do sleep 0.05; done; exit 9' <<-'STEPS'
	expect ready
	send ab
	expect read escape sequence
	STEPS
	[ "$(actions | grep -c exec_die)" = 0 ]
	m exec one touch /end
	# The kernel tells others than the parent how a process ended since 6.15 (PIDFD_INFO_EXIT).
	local version
	version=$(uname -r | awk -F. '{ print $1 * 100 + $2 }')
	if [ "$version" -ge 615 ]; then
		ended() { [ "$(jq -r 'select(.Action == "exec_die") | .Actor.Attributes.exitCode' "$MASU_RUNROOT/events.log" | sort | tr '\n' ' ')" = "0 9 " ]; }
		wait_until 5 ended
	fi
}

@test "exec -d tells the same, when it ends; and a start that fails is told at once" {
	m_run -d --name one busybox:local sleep 100
	m exec -d one sh -c 'sleep 0.3; exit 6'
	[ "$(actions | grep exec)" = "container exec_create: sh -c sleep 0.3; exit 6
container exec_start: sh -c sleep 0.3; exit 6" ]
	wait_until 5 eval '[ "$(last_of exec_die | jq -r .exitCode)" = 6 ]'
	[ "$(jq -r '.Actor.Attributes.execID // empty' "$MASU_RUNROOT/events.log" | sort -u | wc -l)" = 1 ]
	# With a terminal, which nobody reads but who waits for it.
	m exec -d -t one sh -c 'seq 100000; test -t 1 && exit 8'
	wait_until 5 eval '[ "$(last_of exec_die | jq -r .exitCode)" = 8 ]'
	# One that ends with its container.
	m exec -d one sleep 100
	m kill one
	wait_until 5 eval '[ "$(last_of exec_die | jq -r .exitCode)" = 137 ]'
	m start one
	run -127 m exec -d one no-such-program
	[[ "$output" == *no-such-program* ]]
	[ "$(actions | grep -c exec_die)" = 3 ]
}

@test "the end of a container whose monitor was killed is told by who finds it" {
	m_run -d --name one busybox:local sleep 100
	kill -9 "$(jq .MonitorPid "$MASU_RUNROOT"/containers/*/live.json)"
	m kill one || true
	m ps -a >/dev/null
	[ "$(actions | grep -c 'container die')" = 1 ]
	[ "$(last_of die | jq -r .exitCode)" = 255 ]
}

@test "out of memory is told before the end" {
	run -137 m_run --name one -m 16m --memory-swap 16m busybox:local sh -c 'x=$(tr "\0" x </dev/zero)'
	[ "$(actions | tail -3 | head -2)" = "container oom
container die" ]
}

@test "a log that cannot be written fails no verb" {
	mkdir "$MASU_RUNROOT/events.log"
	m_run --rm busybox:local true
	rmdir "$MASU_RUNROOT/events.log"
	ln -s /dev/full "$MASU_RUNROOT/events.log"
	m_run --rm busybox:local true
	rm "$MASU_RUNROOT/events.log"
}

@test "images tell import, tag, save, load, untag and delete" {
	local tree=$BATS_TEST_TMPDIR/tree
	mkdir "$tree"
	echo "only here" >"$tree/file"
	tar -C "$tree" -c . | m import --change 'LABEL from=test' - told:one
	m tag told:one told:two
	m save -o "$BATS_TEST_TMPDIR/told.tar" told:one
	m rmi told:two
	m rmi told:one
	m load -q -i "$BATS_TEST_TMPDIR/told.tar"
	m rmi told:one
	[ "$(actions)" = "image tag
image import
image tag
image save
image untag
image untag
image delete
image load
image untag
image delete" ]
	[ "$(jq -r 'select(.Action == "tag") | .Actor.Attributes.name' "$MASU_RUNROOT/events.log")" = "told:one
told:two" ]
	[ "$(last_of load | jq -r .from)" = test ]
	[ "$(jq -r .id "$MASU_RUNROOT/events.log" | sort -u | wc -l)" = 1 ]
}

@test "volumes tell create and destroy, once" {
	m volume create one
	m volume create one
	m volume rm one
	m_run --rm -v /data busybox:local true
	[ "$(actions | grep -c '^volume create')" = 2 ]
	[ "$(actions | grep -c '^volume destroy')" = 2 ]
}

@test "events --since --until prints the past in docker's text and ends" {
	local before
	before=$(date +%s.%N)
	m_run --rm --name past --label a=b busybox:local true
	run m events --since "$before" --until "$(date +%s.%N)"
	[ "$status" = 0 ]
	[ "${#lines[@]}" = 7 ]
	[[ "${lines[0]}" =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{9}(Z|[+-][0-9]{2}:[0-9]{2})\ container\ create\ [0-9a-f]{64}\ \(a=b,\ image=busybox:local,\ name=past\)$ ]]
	[[ "${lines[4]}" == *" container die "*" (a=b, exitCode=0, image=busybox:local, name=past)" ]]
	run m events --since "$(date +%s.%N)" --until "$(date +%s.%N)"
	[ "$output" = "" ]
	run -1 m events --since 2020-01-02 --until 2020-01-01
	[[ "$output" == *"cannot be after"* ]]
}

@test "events --filter and --format" {
	m_run --rm --name first busybox:local true
	m_run --name second busybox:local sh -c 'exit 5' || true
	run m events --since 0 --until "$(date +%s)".999999999 --filter container=second --filter event=die \
		--format '{{.Status}} {{.From}} {{.Actor.Attributes.exitCode}} {{.Type}} {{.Scope}} {{.Actor.Attributes.none}}'
	[ "$output" = "die busybox:local 5 container local <no value>" ]
	run m events --since 0 --until "$(date +%s)".999999999 --filter type=container --format '{{json .}}'
	[ "$(jq -r .Action <<<"$output" | paste -sd,)" = create,attach,start,die,destroy,create,attach,start,die ]
	[ "$(m events --since 1h --until 0s --filter type=network --format json | jq -r .Actor.ID | uniq)" = none ]
	run -1 m events --filter colour=red
	[[ "$output" == *"invalid filter 'colour=red'"* ]]
	run -1 m events --format '{{.Nothing}}'
}

# The last lines of a follower's file appear when they happen.
await_lines() { # file, pattern, count
	local i
	for ((i = 0; i < 1200; i++)); do
		[ "$(grep -c "$2" "$1")" -lt "$3" ] || return 0
		sleep 0.05
	done
	cat "$1"
	return 1
}

@test "events follows what happens, and an event of the past is not shown" {
	local out=$BATS_TEST_TMPDIR/out pid
	m_run --rm --name before busybox:local true
	"$MASU" events --filter type=container >"$out" 2>&1 3>&- &
	pid=$!
	local i
	for ((i = 0; i < 1200; i++)); do
		! ls -l /proc/"$pid"/fd 2>/dev/null | grep -q inotify || break
		sleep 0.05
	done
	m_run --rm --name after busybox:local true
	await_lines "$out" "destroy.*name=after" 1
	! grep name=before "$out"
	# Renamed under the follower, as rotation does.
	mv "$MASU_RUNROOT/events.log" "$MASU_RUNROOT/events.log.1"
	m_run --rm --name later busybox:local true
	await_lines "$out" "destroy.*name=later" 1
	[ "$(grep -c "create.*name=later" "$out")" = 1 ]
	kill "$pid"
	wait "$pid" || true
}

@test "events --until in the future ends by itself" {
	run timeout 60 "$MASU" events --since 1h --until "$(date -d '+1 second' +%s.%N)" --format '{{.Action}}'
	[ "$status" = 0 ]
}

@test "an event that the clock puts ten years ahead or back is told like any other" {
	local line
	m volume create clock >/dev/null
	line=$(head -1 "$MASU_RUNROOT/events.log")
	jq -c '.time += 315360000 | .timeNano += 315360000000000000' <<<"$line" >>"$MASU_RUNROOT/events.log"
	jq -c '.time -= 315360000 | .timeNano -= 315360000000000000' <<<"$line" >>"$MASU_RUNROOT/events.log"
	m volume rm clock
	[ "$(m events --since 1h --until 0s --format '{{.Action}}' | paste -sd,)" = create,destroy ]
	# With an end in the future it goes on to follow; what has happened is shown at once.
	[ "$(timeout 2 "$MASU" events --since 0 --until "$(date -d '+20 years' +%s)" --format '{{.Action}}' 3>&- |
		paste -sd,)" = create,create,create,destroy ]
	[ "$(m events --since 0 --until "$(date -d '-5 years' +%s)" | wc -l)" = 1 ]
}

@test "podman's events say the same of the same" {
	command -v podman >/dev/null || skip "no podman"
	oracle_crun_ready
	export ORACLE_PODMAN_RUNROOT=/run/podman-events # podman wants it short
	oracle_podman info >/dev/null
	local dir=$BATS_TEST_TMPDIR/podman
	p() {
		CONTAINERS_CONF=$BATS_FILE_TMPDIR/podman/containers.conf timeout 60 podman --root "$dir/root" \
			--runroot /run/podman-events --tmpdir "$dir/tmp" --storage-driver vfs --events-backend file "$@" 3>&-
	}
	m save -o "$BATS_TEST_TMPDIR/box.tar" busybox:local
	p load -q -i "$BATS_TEST_TMPDIR/box.tar" >/dev/null
	p run --rm --name same --network none --cgroups disabled busybox:local sh -c 'exit 3' || true
	m_run --rm --name same busybox:local sh -c 'exit 3' || true
	theirs=$(p events --stream=false --filter type=container --format '{{.Status}}' |
		sed -n 's/^died$/die/; s/^remove$/destroy/; /^\(create\|start\|die\|destroy\)$/p')
	# podman attaches after the start; the rest has one order.
	ours=$(m events --since 1h --until 0s --filter container=same --format '{{.Action}}' | grep -v attach)
	[ -n "$theirs" ]
	[ "$theirs" = "$ours" ]
}

# HOSTILE 46: the directory of live state is read-only or full. Its own tmpfs, of 64 KiB.
with_small_run() {
	export MASU_RUNROOT=$BATS_TEST_TMPDIR/small
	mkdir -p "$MASU_RUNROOT"
	mount -t tmpfs -o size=65536,mode=700 tmpfs "$MASU_RUNROOT"
}

one_line() {
	[ "${#lines[@]}" = 1 ] || { echo "lines: $output"; return 1; }
	[[ "$output" == "masu: "* ]]
}

@test "a runroot that is read-only: one clear line, and nothing is half made" {
	with_small_run
	m_run --rm -v first:/first busybox:local true # the folders are there
	wait_until 5 mount -o remount,ro "$MASU_RUNROOT" 2>/dev/null
	before=$(find "$MASU_ROOT" -not -path '*/trash*' -printf '%y %P\n' | sort)
	run -125 m_run --rm busybox:local true
	one_line
	[[ "$output" == *"Read-only file system"* ]]
	run -125 m_run -d --name kept busybox:local sleep 100
	one_line
	run m rm -f kept
	# What needs no live state works, told or not.
	m volume create second >/dev/null
	m volume rm second
	m ps -a >/dev/null
	m images >/dev/null
	diff <(echo "$before") <(find "$MASU_ROOT" -not -path "*/trash*" -printf "%y %P\n" | sort)
	mount -o remount,rw "$MASU_RUNROOT"
	m_run --rm busybox:local true
	umount -l "$MASU_RUNROOT"
}

@test "a runroot that is full: one clear line, and nothing is half made" {
	with_small_run
	m_run -d --name up busybox:local sleep 100 >/dev/null
	head -c 100000 /dev/zero >"$MASU_RUNROOT/filler" 2>/dev/null || true
	before=$(find "$MASU_ROOT" -not -path '*/trash*' -printf '%y %P\n' | sort)
	run -125 m_run --rm busybox:local true
	one_line
	[[ "$output" == *"No space left on device"* ]]
	diff <(echo "$before") <(find "$MASU_ROOT" -not -path "*/trash*" -printf "%y %P\n" | sort)
	# What runs goes on, and can be seen, entered and ended.
	status_is up running
	m exec up true
	m stop -t 0 up
	status_is up exited
	m volume create while-full >/dev/null
	rm "$MASU_RUNROOT/filler"
	m start up
	# The event that was cut off by the full disk does not hide those that came after.
	m events --since 1h --until 0s --format '{{.Action}}' | grep -q '^start$'
	m rm -f up
	umount -l "$MASU_RUNROOT"
}
