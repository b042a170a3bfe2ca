#!/usr/bin/env bats
# masu is replaced while containers run (HOSTILE 47): what runs goes on under the monitor it was started
# with, and the new program sees and handles it. The two programs here are the release and the debug
# build: of another compiler, C library and size, so what one has in memory is nothing to the other.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	export RELEASE=$MASU DEBUG=$REPO/build-debug/bin/masu PROGRAM=$BATS_FILE_TMPDIR/bin
	export LIBEXEC_RELEASE=$MASU_LIBEXEC LIBEXEC_DEBUG=$REPO/build-debug/bin/libexec/masu
	export MASU=$PROGRAM/masu MASU_LIBEXEC=$PROGRAM/libexec
	mkdir "$PROGRAM"
	install_from "$RELEASE" "$LIBEXEC_RELEASE"
	engine_setup_file
}

teardown_file() {
	engine_teardown_file
}

teardown() {
	remove_all
}

# As a package manager does it: new files take the names of the old ones.
install_from() { # masu, libexec folder
	mkdir -p "$PROGRAM/libexec.new"
	cp "$2"/* "$PROGRAM/libexec.new"
	rm -rf "$PROGRAM/libexec"
	mv "$PROGRAM/libexec.new" "$PROGRAM/libexec"
	cp "$1" "$PROGRAM/masu.new"
	mv "$PROGRAM/masu.new" "$PROGRAM/masu"
}

upgrade() { install_from "$DEBUG" "$LIBEXEC_DEBUG"; }
downgrade() { install_from "$RELEASE" "$LIBEXEC_RELEASE"; }

ticks() { # name, at least
	[ "$(m logs "$1" | wc -l)" -ge "$2" ]
}

restarted() { # name, at least
	[ "$(field "$1" .RestartCount)" -ge "$2" ] && status_is "$1" running
}

# What runs before is handled by what comes after.
handled_by_the_other() { # command that replaces the program
	local before
	m_run -d --name ticks -i busybox:local sh -c 'trap "echo bye; exit 7" TERM; while :; do echo tick; sleep 0.1; done' >/dev/null
	m_run -d --name again --restart always busybox:local sh -c 'sleep 0.3; exit 3' >/dev/null
	m_create --name later busybox:local echo "started by the other" >/dev/null
	m_run -d --name paused busybox:local sleep 60 >/dev/null
	m pause paused >/dev/null
	"$1"
	[ "$(m ps -q | wc -l)" -eq 3 ]
	before=$(m logs ticks | wc -l)
	wait_until 10 ticks ticks $((before + 5))
	run -0 m exec -e WORD=word ticks sh -c 'echo $WORD; cat /proc/1/comm'
	[ "$output" = $'word\nsh' ]
	before=$(field again .RestartCount)
	wait_until 20 restarted again $((before + 2))
	m update --memory 64m ticks >/dev/null
	m rename ticks tocks
	run -0 m stop tocks
	[ "$(field tocks .State.ExitCode)" = 7 ]
	[ "$(m logs --tail 1 tocks)" = bye ]
	m unpause paused >/dev/null
	status_is paused running
	run -0 m start -a later
	[ "$output" = "started by the other" ]
	# Who waited under the old program's monitor and who attached through it is served by it.
	m start tocks >/dev/null
	status_is tocks running
	m rm -f tocks again later paused >/dev/null
	wait_until 10 nothing_left
}

@test "what the old program started, the new one handles" {
	handled_by_the_other upgrade
}

@test "and the other way round" {
	handled_by_the_other downgrade
}

@test "an attached client and a waiting one stay through the upgrade" {
	m_run -d -i --name asked busybox:local sh -c 'read word; echo "got $word"; exit 5' >/dev/null
	mkfifo "$BATS_TEST_TMPDIR/in"
	m attach asked <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" &
	local attached=$!
	m wait asked >"$BATS_TEST_TMPDIR/waited" &
	local waiting=$!
	exec 7>"$BATS_TEST_TMPDIR/in"
	upgrade
	echo word >&7
	exec 7>&-
	local status=0
	wait $attached || status=$?
	[ $status -eq 5 ]
	wait $waiting
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = "got word" ]
	[ "$(cat "$BATS_TEST_TMPDIR/waited")" = 5 ]
}

@test "a container outlives the program itself" {
	m_run -d --name alone --restart on-failure:1 busybox:local sh -c 'sleep 0.5; echo ran; exit 4' >/dev/null
	rm -r "$PROGRAM/masu" "$PROGRAM/libexec"
	# What it records can be read once there is a program again.
	sleep 0.2
	downgrade
	wait_until 10 status_is alone exited
	[ "$(field alone .State.ExitCode)" = 4 ]
	[ "$(field alone .RestartCount)" = 1 ]
	[ "$(m logs alone)" = $'ran\nran' ]
}
