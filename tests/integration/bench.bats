# masu bench: what it writes, and what it says when something is missing. Whether it finds differences is in
# tests/alone/bench-planted.bats.

load ../lib/bench

setup_file() {
	small_run "$BATS_FILE_TMPDIR/small"
}

# A whole run with two workloads, for several tests.
small_run() { # output directory
	bench --rounds 6 --time 30 -o "$1" --openmetrics "$1.prom" spin start native container none >"$1.txt" 2>"$1.err"
}

@test "every column has its samples, and nothing is left behind" {
	out=$BATS_FILE_TMPDIR/small
	[ "$(jq -r .schema "$out/results.json")" = masu-bench/1 ]
	for column in native native-again container; do
		[ "$(cell "$out" spin.mops $column '.values | length')" = 6 ]
	done
	[ "$(cell "$out" start.run none '.values | length')" = 6 ]
	[ "$(jq -r '.machine.kernel' "$out/results.json")" = "$(uname -rm)" ]
	[ -z "$(ls -d "$BATS_FILE_TMPDIR"/masu-bench.* 2>/dev/null)" ]
	# Its own share of the CPU, which is not in any sample.
	jq -e '.harness < 0.05' "$out/results.json"
}

@test "the table, the metrics and the report say what the results say" {
	out=$BATS_FILE_TMPDIR/small
	grep -q 'integer operations' "$out.txt"
	grep -q '^masu_bench_samples{workload="spin",metric="mops",column="container",unit="M/s"} 6$' "$out.prom"
	[ "$(tail -n 1 "$out.prom")" = "# EOF" ]
	# One file: nothing is fetched, nothing is run.
	! grep -Eiq '<script|<link|<img|src=|href=|url\(|@import' "$out/report.html"
	python3 - "$out/report.html" <<-'CHECK'
		import sys
		from html.parser import HTMLParser
		class Check(HTMLParser):
		    stack = []
		    def handle_starttag(self, tag, attributes):
		        if tag not in ("meta", "br"): self.stack.append(tag)
		    def handle_startendtag(self, tag, attributes): pass
		    def handle_endtag(self, tag):
		        assert self.stack and self.stack.pop() == tag, (tag, self.getpos())
		check = Check()
		check.feed(open(sys.argv[1], encoding="utf-8").read())
		assert not check.stack, check.stack
	CHECK
	# Drawn again from the results, it is the same.
	mkdir "$BATS_TEST_TMPDIR/again"
	bench report "$out/results.json" -o "$BATS_TEST_TMPDIR/again" >/dev/null
	cmp "$out/report.html" "$BATS_TEST_TMPDIR/again/report.html"
}

@test "Ctrl-C keeps what is done" {
	setsid --wait "$MASU" bench --scratch "$BATS_TEST_TMPDIR" --full --rounds 30 -o "$BATS_TEST_TMPDIR/r" spin container \
		>/dev/null 2>"$BATS_TEST_TMPDIR/log" 3>&- 4>&- &
	waited=$!
	for _ in $(seq 300); do
		! grep -q 'left: spin' "$BATS_TEST_TMPDIR/log" || break
		sleep 0.1
	done
	sleep 0.2
	kill -INT "$(pgrep -o -f "^bench --scratch $BATS_TEST_TMPDIR")"
	status=0
	wait $waited || status=$?
	[ "$status" -eq 130 ]
	[ "$(jq -r .interrupted "$BATS_TEST_TMPDIR/r/results.json")" = true ]
	[ -s "$BATS_TEST_TMPDIR/r/report.html" ]
	[ -z "$(ls -d "$BATS_TEST_TMPDIR"/masu-bench.* 2>/dev/null)" ]
}

@test "a column with a userland proxy before the container's ports" {
	bench --rounds 2 --time 30 -o "$BATS_TEST_TMPDIR/r" latency proxy >/dev/null 2>"$BATS_TEST_TMPDIR/log"
	for row in tcp-p50 udp-p50; do
		[ "$(cell "$BATS_TEST_TMPDIR/r" latency.$row proxy '.values | length')" = 2 ]
	done
}

# Of dockerd what matters here: it shuts what is forwarded for everybody but its own.
@test "a dockerd of the harness shuts nobody else's ports" {
	local bin=$BATS_TEST_TMPDIR/bin
	mkdir "$bin"
	printf '#!/bin/sh\n[ "$1" = version ] || { echo "no such verb" >&2; exit 1; }\n' >"$bin/docker"
	printf '#!/bin/sh\niptables -P FORWARD DROP && : >%s/ran && exec sleep 600\n' "$bin" >"$bin/dockerd"
	sed -i 's/= version ]/& \&\& [ -e '"${bin//\//\\/}"'\/ran ]/' "$bin/docker"
	chmod +x "$bin"/*
	PATH=$bin:$PATH bench --rounds 2 --time 30 -o "$BATS_TEST_TMPDIR/r" latency docker-nat nat >/dev/null
	[ -e "$bin/ran" ]
	[ "$(cell "$BATS_TEST_TMPDIR/r" latency.tcp-p50 nat '.values | length')" = 2 ]
	[[ "$(jq -r '.notes[]' "$BATS_TEST_TMPDIR/r/results.json")" == *"dockerd's firewall rules are in the path"* ]]
}

@test "every storage driver has its column, btrfs on a filesystem made for it" {
	bench --rounds 2 --time 30 -o "$BATS_TEST_TMPDIR/r" files btrfs erofs fuse-overlay vfs >"$BATS_TEST_TMPDIR/table"
	for column in btrfs erofs fuse-overlay vfs; do
		[ "$(cell "$BATS_TEST_TMPDIR/r" files.create $column '.values | length')" = 2 ] || { cat "$BATS_TEST_TMPDIR/table"; return 1; }
	done
	grep -q "note: btrfs: a filesystem made for its column" "$BATS_TEST_TMPDIR/table"
	[ -z "$(losetup --list --noheadings --output BACK-FILE | grep masu-bench)" ]
}

@test "bad input is one line" {
	refused() { # message, arguments...
		local message=$1
		shift
		run bench -o "$BATS_TEST_TMPDIR/none" "$@"
		[ "$status" -ne 0 ]
		[ "${#lines[@]}" -eq 1 ]
		[[ "$output" == "masu: "*"$message"* ]] || { echo "$output"; return 1; }
	}
	refused 'no workload, group or column "reddis"' reddis
	refused "want WORKLOAD" --fail-if 'redis<1' spin
	refused "want NAME=ARGUMENTS" --column 'x y=z' spin
	refused "there is a column of that name" --column 'nat=z' spin
	refused "not two" --quick --full
	refused "want quick, full or paper" --profile slow
	refused "want seconds" --time -5 spin
	refused "want two results.json" compare "$BATS_FILE_TMPDIR/small/results.json"
	refused "not a result of masu bench" report "$BATS_FILE_TMPDIR/small.prom.json" ||
		refused "No such file" report "$BATS_TEST_TMPDIR/none.json"
	echo '{"schema":"other"}' >"$BATS_TEST_TMPDIR/other.json"
	refused "not a result of masu bench" report "$BATS_TEST_TMPDIR/other.json"
	[ ! -e "$BATS_TEST_TMPDIR/none" ]
}

@test "what is not there leaves cells empty that say why, and the others run" {
	# No podman and no fio in this PATH.
	mkdir "$BATS_TEST_TMPDIR/bin"
	for program in ip tar ldd rm cp sh bash cat; do ln -s "$(command -v $program)" "$BATS_TEST_TMPDIR/bin/"; done
	PATH=$BATS_TEST_TMPDIR/bin run bench --full --rounds 2 --time 20 -o "$BATS_TEST_TMPDIR/r" \
		--column 'odd=--no-such-option' spin podman odd
	[ "$status" -eq 0 ]
	[ "$(cell "$BATS_TEST_TMPDIR/r" spin.mops native '.values | length')" = 2 ]
	[[ "$(cell "$BATS_TEST_TMPDIR/r" spin.mops odd .why)" == *"--no-such-option"* ]]
	[[ "$output" == *"empty: odd: "*"--no-such-option"* ]]
	command -v podman >/dev/null && [ -x /usr/bin/podman ] ||
		[[ "$(cell "$BATS_TEST_TMPDIR/r" spin.mops podman .why)" == "podman is not installed: apt-get install podman" ]]
}

@test "without root the native columns run" {
	setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$MASU" || skip "nobody cannot reach $MASU"
	# Where nobody gets to, which is not below bats' own directory.
	nobody=$(mktemp -d /var/tmp/masu-bench-test.XXXXXX)
	chown 65534:65534 "$nobody"
	run setpriv --reuid 65534 --regid 65534 --clear-groups "$MASU" bench -q --rounds 2 --time 20 \
		--scratch "$nobody" -o "$nobody/r" spin container
	cp -r "$nobody/r" "$BATS_TEST_TMPDIR/" || true
	rm -rf "$nobody"
	[ "$status" -eq 0 ]
	[ "$(cell "$BATS_TEST_TMPDIR/r" spin.mops native '.values | length')" = 2 ]
	[ -n "$(cell "$BATS_TEST_TMPDIR/r" spin.mops container '.why // empty')" ]
}

@test "a full disk empties what needs it and says so" {
	mkdir "$BATS_TEST_TMPDIR/small"
	mount -t tmpfs -o size=160k tmpfs "$BATS_TEST_TMPDIR/small"
	run bench --rounds 2 --time 20 --scratch "$BATS_TEST_TMPDIR/small" -o "$BATS_TEST_TMPDIR/r" spin container
	umount "$BATS_TEST_TMPDIR/small"
	[ "$status" -eq 0 ]
	[ "$(cell "$BATS_TEST_TMPDIR/r" spin.mops native '.values | length')" = 2 ]
	[[ "$output" == *"empty: container: making the image: "* ]]
}

@test "a plan names the columns and measures nothing" {
	run bench --full -o "$BATS_TEST_TMPDIR/none" plan mysql latency
	[ "$status" -eq 0 ]
	for column in native-again container nat direct bpf routed proxy volume nat-volume vm; do
		grep -q "^mysql .* $column\b" <<<"$output" || { echo "$column"; return 1; }
	done
	[[ "$output" == *"cells: about "* ]]
	# A volume is nothing to a request's latency.
	! grep -q '^latency .*nat-volume' <<<"$output" || return 1
	[ ! -e "$BATS_TEST_TMPDIR/none" ]
}
