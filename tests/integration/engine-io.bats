#!/usr/bin/env bats
# A container's stdio: what is attached, what is logged, what a slow or dead client does.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
}

teardown_file() {
	engine_teardown_file
}

teardown() {
	remove_all
}

@test "stdin reaches the container and its end does too" {
	run bash -c 'printf "one\ntwo\n" | "$MASU" run --rm -i --cgroup-parent "$GROUP" --network none busybox:local cat 3>&-'
	[ "$status" -eq 0 ]
	[ "$output" = $'one\ntwo' ]
	# Without -i there is nothing to read.
	run bash -c 'echo x | "$MASU" run --rm --cgroup-parent "$GROUP" --network none busybox:local cat 3>&-'
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}

@test "no byte is lost either way, whatever the pace" {
	head -c 3000000 /dev/urandom >"$BATS_TEST_TMPDIR/in"
	bash -c '"$MASU" run --rm -i --cgroup-parent "$GROUP" --network none busybox:local cat <"$0" 3>&- |
		(sleep 0.2; sha256sum)' "$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/sum"
	[ "$(cat "$BATS_TEST_TMPDIR/sum")" = "$(sha256sum <"$BATS_TEST_TMPDIR/in")" ]
}

@test "stdin that is never read stops nobody" {
	m_run -d -i --name deaf busybox:local sh -c 'sleep 0.5; exit 3' >/dev/null
	timeout -s KILL 5 bash -c 'head -c 1000000 /dev/zero | "$MASU" attach deaf 3>&-' || true
	run m wait deaf
	[ "$output" = 3 ]
}

@test "output is attached from the first byte and kept in the log" {
	local i
	for i in 1 2 3 4 5; do
		run m_run --name "log$i" busybox:local sh -c 'echo first; echo second >&2; printf third'
		[[ "$output" == *first* && "$output" == *second* && "$output" == *third* ]]
	done
	run --separate-stderr m logs log1
	[ "$output" = $'first\nthird' ]
	[ "$stderr" = second ]
	run m logs --tail 1 log1
	[ "$output" = third ]
	local log
	log=$(field log1 .LogPath)
	jq -se 'any(.log == "first\n" and .stream == "stdout" and (.time | test("^2.*Z$")))' "$log"
}

@test "logs follow a running container and end with it" {
	m_run -d --name slow busybox:local sh -c 'for i in 1 2 3; do echo line $i; sleep 0.2; done' >/dev/null
	run timeout -s KILL 60 "$MASU" logs -f slow
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -eq 3 ]
}

@test "the log is bounded and rotated; old lines are still read in order" {
	m_run --name chatty --log-opt max-size=20k --log-opt max-file=3 busybox:local \
		sh -c 'i=0; while [ $i -lt 1000 ]; do echo "line number $i"; i=$((i+1)); done' >/dev/null
	local log
	log=$(field chatty .LogPath)
	[ -e "$log.1" ] && [ -e "$log.2" ] && [ ! -e "$log.3" ]
	[ "$(stat -c %s "$log.1")" -le 20480 ]
	run m logs chatty
	[ "${lines[-1]}" = "line number 999" ]
	[ "${#lines[@]}" -gt 300 ]
	run m logs --tail 300 chatty
	[ "${#lines[@]}" -eq 300 ]
	[ "${lines[0]}" = "line number 700" ]
}

@test "log drivers: none keeps nothing, unknown ones are refused by name" {
	m_run --name quiet --log-driver none busybox:local echo hidden
	run m logs quiet
	[ "$status" -ne 0 ]
	[ -z "$(find "$MASU_ROOT/containers" -name '*.log')" ]
	run -125 m_run --log-driver syslog busybox:local true
	[[ "$output" == *syslog* ]]
	run -125 m_run --log-opt compress=true busybox:local true
	[[ "$output" == *compress=false* ]]
}

@test "a terminal: size, one stream, exit status" {
	run bash -c 'script -qec "stty rows 33 cols 99; \"$MASU\" run --rm -it --cgroup-parent $GROUP --network none busybox:local sh -c \"tty; stty size; exit 5\"" /dev/null 3>&- </dev/null'
	[ "$status" -eq 5 ]
	[[ "$output" == *"/dev/"*"33 99"* ]]
}

@test "attach joins a running container; when it goes the container stays" {
	m_run -d -i --name talk busybox:local sh -c 'while read -r line; do echo "got $line"; done; echo end' >/dev/null
	# Without StdinOnce the end of one client's input is not the container's.
	timeout -s KILL 60 "$MASU" attach --sig-proxy=false talk <<<hello >/dev/null 3>&- 4>&- &
	wait_until 5 logged talk "got hello"
	kill $! || true
	status_is talk running
}

@test "an attached reader that stops reading is cut off; container and log go on" {
	m_run -d --name busy busybox:local sh -c 'sleep 0.5; head -c 20000000 /dev/zero | tr "\0" x | fold -w 1000; echo done >&2; sleep 60' >/dev/null
	"$MASU" attach busy 3>&- 4>&- | sleep 100 &
	local reader=$!
	wait_until 20 logged busy done
	status_is busy running
	kill "$reader" || true
}

@test "a detached container outlives the command line that started it" {
	m_run --name stays busybox:local sh -c 'echo up; sleep 60' >/dev/null &
	local cli=$!
	wait_until 5 logged stays up
	pkill -KILL -P "$cli" || kill -KILL "$cli"
	sleep 0.1
	status_is stays running
	m exec stays true
}

@test "the control socket admits only its owner" {
	m_run -d --name guarded busybox:local sleep 60 >/dev/null
	local dir=$MASU_RUNROOT/containers/$(field guarded .Id)
	[ "$(stat -c %a "$dir")" = 700 ]
	[ "$(stat -c %a "$dir/ctl.sock")" = 600 ]
	local up=$dir
	while [ -n "$up" ]; do # no change from /tmp upwards
		chmod o+x "$up"
		up=${up%/*}
	done
	chmod 666 "$dir/ctl.sock"
	# Even with the modes opened, a peer of another user is hung up on.
	run setpriv --reuid 65534 --regid 65534 --clear-groups /usr/bin/python3 - "$dir/ctl.sock" <<-'PY'
	import os, socket, struct, sys
	os.chdir(os.path.dirname(sys.argv[1]))
	s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	s.connect("ctl.sock")
	try:
	    s.send(struct.pack("IIii", 1, 2, 0, 0))
	    print(len(s.recv(100)))
	except (BrokenPipeError, ConnectionResetError):
	    print(0)
	PY
	[ "${lines[-1]}" = 0 ]
}
