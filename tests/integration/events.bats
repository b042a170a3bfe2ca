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
