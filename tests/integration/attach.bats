#!/usr/bin/env bats
# attach and terminals: many clients at once, stuck ones, detach keys, sizes, and that the end of the output
# is never lost. HOSTILE 49: stdin that nobody reads, a terminal resized over and over.

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

on_terminal() { # rows, columns, command...; the script is on stdin
	python3 "$REPO/tests/lib/terminal.py" "$@" 3>&- 4>&-
}

run_options() {
	echo "--cgroup-parent $GROUP --network none"
}

open_files() { # pid
	ls "/proc/$1/fd" | wc -l
}

# A monitor without clients has the socket that it listens at, and no other.
is_unattended() { # name
	[ "$(ls -l "/proc/$(monitor_of "$1")/fd" | grep -c socket:)" -eq 1 ]
}

is_attended() { # name
	[ "$(ls -l "/proc/$(monitor_of "$1")/fd" | grep -c socket:)" -gt 1 ]
}

anonymous_kib() { # pid
	awk '/^Anonymous:/ { print $2 }' "/proc/$1/smaps_rollup"
}

@test "many clients at once see the same" {
	m_run -d --name stage busybox:local sh -c 'while [ ! -e /go ]; do sleep 0.05; done; i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done' >/dev/null
	local i pids=()
	for i in $(seq 60); do
		timeout -s KILL 60 "$MASU" attach --no-stdin --sig-proxy=false stage >"$BATS_TEST_TMPDIR/seen$i" 3>&- 4>&- </dev/null &
		pids+=($!)
	done
	all_attached() {
		[ "$(open_files "$(monitor_of stage)")" -ge 120 ]
	}
	wait_until 20 all_attached
	m exec stage touch /go
	wait "${pids[@]}"
	for i in $(seq 60); do
		seq 0 1999 | cmp - "$BATS_TEST_TMPDIR/seen$i"
	done
}

@test "more clients than there is room for are refused; the others stay" {
	m_run -d -i --name full busybox:local sh -c 'echo up; cat' >/dev/null
	wait_until 5 logged full up
	python3 - "$MASU_RUNROOT/containers/$(field full .Id)/ctl.sock" <<-'PY'
	import array, os, resource, socket, struct, sys
	resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
	os.chdir(os.path.dirname(sys.argv[1]))
	attached, refused, kept = 0, 0, []
	for _ in range(450):
	    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	    s.connect("ctl.sock")
	    try:
	        s.send(struct.pack("IIii", 1, 6, 0, 0))
	        data, control, _, _ = s.recvmsg(4096, socket.CMSG_SPACE(4))
	    except (BrokenPipeError, ConnectionResetError):
	        data, control = b"", []
	    if control:
	        kept.append((s, array.array("i", control[0][2])[0]))
	        attached += 1
	    else:
	        refused += 1
	print(attached, refused)
	assert attached >= 390 and refused >= 50, (attached, refused)
	PY
	# They are gone: there is room again, and the container has not noticed.
	timeout -s KILL 60 "$MASU" attach --sig-proxy=false full <<<hello >"$BATS_TEST_TMPDIR/out" 3>&- 4>&- &
	wait_until 10 grep -q hello "$BATS_TEST_TMPDIR/out"
	kill $!
	status_is full running
}

@test "stuck clients are cut off and hold up neither the container nor the others" {
	m_run -d --name loud busybox:local sh -c 'while [ ! -e /go ]; do sleep 0.05; done; yes "a line of output..." | head -c 48000000; echo done' >/dev/null
	local i pids=() monitor before
	monitor=$(monitor_of loud)
	for i in 1 2 3 4 5 6 7 8 9 10; do
		"$MASU" attach --no-stdin --sig-proxy=false loud 3>&- 4>&- </dev/null | sleep 60 3>&- 4>&- &
		pids+=($!)
	done
	attached() {
		[ "$(ls -l "/proc/$monitor/fd" | grep -c socket:)" -ge 21 ]
	}
	wait_until 10 attached
	before=$(open_files "$monitor")
	timeout -s KILL 60 "$MASU" attach --no-stdin --sig-proxy=false loud >"$BATS_TEST_TMPDIR/seen" 3>&- 4>&- </dev/null &
	local reader=$!
	has_one_more() { [ "$(open_files "$monitor")" -gt "$before" ]; }
	wait_until 10 has_one_more
	m exec loud touch /go
	wait_until 60 status_is loud exited
	wait "$reader"
	kill "${pids[@]}" || true
	[ "$(tail -n 1 "$BATS_TEST_TMPDIR/seen")" = done ]
	[ "$(wc -c <"$BATS_TEST_TMPDIR/seen")" -eq 48000005 ]
}

@test "attaching and going, 10,000 times: the monitor is as it was" {
	m_run -d -i --name door busybox:local sh -c 'echo up; cat >/dev/null' >/dev/null
	wait_until 5 logged door up
	local monitor files memory
	monitor=$(monitor_of door)
	come_and_go() { # times
		python3 - "$MASU_RUNROOT/containers/$(field door .Id)/ctl.sock" "$1" <<-'PY'
		import array, os, socket, struct, sys
		os.chdir(os.path.dirname(sys.argv[1]))
		for i in range(int(sys.argv[2])):
		    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		    s.connect("ctl.sock")
		    kind = i % 4
		    if kind != 0:  # one in four says nothing at all
		        s.send(struct.pack("IIii", 1, 7 if kind == 1 else 6, 0, 0))
		    if kind != 2:  # one in four does not wait for the answer
		        if kind:
		            _, control, _, _ = s.recvmsg(4096, socket.CMSG_SPACE(4))
		            fd = array.array("i", control[0][2])[0]
		            if kind == 1:
		                os.write(fd, b"some input\n")
		            os.close(fd)
		    s.close()
		PY
	}
	come_and_go 200
	wait_until 5 eval '[ "$(anonymous_kib '"$monitor"')" -le 64 ]'
	files=$(open_files "$monitor")
	memory=$(anonymous_kib "$monitor")
	come_and_go 10000
	has_as_before() { [ "$(open_files "$monitor")" -eq "$files" ]; }
	wait_until 10 has_as_before
	wait_until 5 eval '[ "$(anonymous_kib '"$monitor"')" -le '"$((memory + 8))"' ]'
	status_is door running
}

@test "attach: --no-stdin, detach keys, and what the container prints meanwhile" {
	m_run -d -it --name term busybox:local sh >/dev/null
	on_terminal 24 80 "$MASU" attach term <<-'STEPS' >"$BATS_TEST_TMPDIR/out" || status=$?
	send echo a$((1+1))b\r
	expect a2b
	send \x10\x11
	expect read escape sequence
	STEPS
	[ "${status:-0}" -eq 1 ]
	status_is term running
	# Other keys; a part of them is input like any other.
	on_terminal 24 80 "$MASU" attach --detach-keys ctrl-a,x term <<-'STEPS' >"$BATS_TEST_TMPDIR/out" || status=$?
	send echo \x10\x11 c$((2+3))d\r
	expect c5d
	send \x01x
	expect read escape sequence
	STEPS
	run -125 m attach --detach-keys ctrl-nope term
	# What nobody typed does not arrive.
	wait_until 5 is_unattended term
	on_terminal 24 80 "$MASU" attach --no-stdin --sig-proxy=false term <<-'STEPS' >"$BATS_TEST_TMPDIR/out" &
	send exit 7\r
	expect from another
	STEPS
	local watcher=$! status
	wait_until 5 is_attended term
	status=0
	on_terminal 24 80 "$MASU" attach term <<-'STEPS' >/dev/null || status=$?
	send echo from anoth""er; sleep 0.3; exit 5\r
	STEPS
	[ "$status" -eq 5 ]
	wait "$watcher" || true
	grep -q "from another" "$BATS_TEST_TMPDIR/out"
	[ "$(m wait term)" = 5 ]
}

@test "signals are forwarded to the container unless --sig-proxy=false" {
	m_run -d --name sig busybox:local sh -c 'trap "echo got; exit 9" TERM; echo up; while :; do sleep 0.05; done' >/dev/null
	wait_until 5 logged sig up
	"$MASU" attach --no-stdin --sig-proxy=false sig >/dev/null 3>&- 4>&- </dev/null &
	local pid=$!
	wait_until 5 is_attended sig
	kill -TERM "$pid"
	wait "$pid" || true
	status_is sig running
	"$MASU" attach --no-stdin sig >"$BATS_TEST_TMPDIR/out" 3>&- 4>&- </dev/null &
	pid=$!
	wait_until 5 takes_signals "$pid"
	kill -TERM "$pid"
	local status=0
	wait "$pid" || status=$?
	[ "$status" -eq 9 ]
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = got ]
}

@test "exec -it: size, resize, detach keys; the process stays when the client goes" {
	m_run -d --name host busybox:local sleep 600 >/dev/null
	on_terminal 33 99 "$MASU" exec -it host sh <<-'STEPS' >"$BATS_TEST_TMPDIR/out"
	send stty size\r
	expect 33 99
	resize 21 55
	send until stty size | grep "2[1] 55"; do sleep 0.05; done\r
	expect 21 55
	send exit\r
	STEPS
	on_terminal 24 80 "$MASU" exec -it host sh -c 'echo ready; read -r x; while [ ! -e /stop ]; do echo tick; sleep 0.05; done; echo "$?" >/finished' \
		<<-'STEPS' >"$BATS_TEST_TMPDIR/out" || true
	expect ready
	send go\r
	expect tick
	send \x10\x11
	expect read escape sequence
	STEPS
	sleep 0.2
	m exec host touch /stop
	wait_until 5 m exec host test -e /finished
}

@test "the end of the output is never lost: run and exec, with and without a terminal, 200 times each" {
	m_run -d --name base busybox:local sleep 600 >/dev/null
	tail_of() { # times, command...
		local i
		for i in $(seq "$1"); do
			"${@:2}" 3>&- 4>&- </dev/null | tr -d '\r' | tail -n 1
		done | sort | uniq -c | sed 's/^ *//'
	}
	local program='i=0; while [ $i -lt 50 ]; do echo "a line of some length $i"; i=$((i+1)); done; printf "%s\n" THE-END'
	[ "$(tail_of 200 "$MASU" exec base sh -c "$program")" = "200 THE-END" ]
	[ "$(tail_of 200 "$MASU" exec -t base sh -c "$program")" = "200 THE-END" ]
	[ "$(tail_of 200 "$MASU" run --rm $(run_options) busybox:local sh -c "$program")" = "200 THE-END" ]
	[ "$(tail_of 200 "$MASU" run --rm -t $(run_options) busybox:local sh -c "$program")" = "200 THE-END" ]
}

@test "run -it and exec -it on a real terminal keep the last line, 30 times each" {
	m_run -d --name base busybox:local sleep 600 >/dev/null
	local i
	for i in $(seq 30); do
		on_terminal 24 80 "$MASU" run --rm -it $(run_options) busybox:local sh -c 'seq 100; echo THE-END' </dev/null >"$BATS_TEST_TMPDIR/out"
		[ "$(tr -d '\r' <"$BATS_TEST_TMPDIR/out" | tail -n 1)" = THE-END ]
		on_terminal 24 80 "$MASU" exec -it base sh -c 'seq 100; echo THE-END' </dev/null >"$BATS_TEST_TMPDIR/out"
		[ "$(tr -d '\r' <"$BATS_TEST_TMPDIR/out" | tail -n 1)" = THE-END ]
	done
}

@test "stdin that is never read, and a terminal resized 10,000 times, stop nobody (HOSTILE 49)" {
	m_run -d -it --name deaf busybox:local sh -c 'stty raw -echo; echo up; while [ ! -e /go ]; do sleep 0.05; done; stty size; exit 4' >/dev/null
	wait_until 5 logged deaf up
	python3 - "$MASU_RUNROOT/containers/$(field deaf .Id)/ctl.sock" <<-'PY'
	import array, os, socket, struct, sys
	os.chdir(os.path.dirname(sys.argv[1]))
	s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	s.connect("ctl.sock")
	s.send(struct.pack("IIii", 1, 7, 0, 0))
	_, control, _, _ = s.recvmsg(4096, socket.CMSG_SPACE(4))
	stream = socket.socket(fileno=array.array("i", control[0][2])[0])
	stream.setblocking(False)
	sent = 0
	try:  # more than terminal, monitor and socket hold
	    while sent < 50000000:
	        sent += stream.send(b"x" * 65536)
	except BlockingIOError:
	    pass
	assert 0 < sent < 50000000
	for i in range(10000):
	    s.send(struct.pack("IIii", 2, 0, 10 + i % 50, 20 + i % 100))
	s.send(struct.pack("IIii", 2, 0, 45, 123))
	PY
	m exec deaf touch /go
	[ "$(m wait deaf)" = 4 ]
	logged deaf "45 123"
}
