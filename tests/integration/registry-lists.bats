#!/usr/bin/env bats
# pull --all-tags and search: what a registry lists, in pages and badly.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/registry

PLAIN=127.0.0.1:5000 LISTS=127.0.0.1:5001

setup_file() {
	engine_setup_file
	registry_client_setup
	registry_start plain 5000
	registry_layout "$BATS_FILE_TMPDIR/layout" 2 20
	for tag in a b c d e; do
		skopeo copy -q --dest-tls-verify=false "oci:$BATS_FILE_TMPDIR/layout:layers:test" "docker://$PLAIN/paged/box:$tag"
	done
	skopeo copy -q --dest-tls-verify=false "oci:$MASU_ROOT/images:busybox:local" "docker://$PLAIN/paged/box:c"
	export LOG=$BATS_FILE_TMPDIR/requests
	python3 "$BATS_TEST_DIRNAME/../lib/list-registry.py" 5001 "http://$PLAIN" "$LOG" >/dev/null 2>&1 3>&- 4>&- &
	echo $! >"$BATS_FILE_TMPDIR/pid"
	wait_until 20 bash -c "exec 5<>/dev/tcp/127.0.0.1/5001" 2>/dev/null
}

teardown_file() {
	kill "$(cat "$BATS_FILE_TMPDIR/pid")"
	engine_teardown_file
	registry_stop plain
}

setup() {
	export MASU_ROOT=$BATS_TEST_TMPDIR/root
	m images >/dev/null
	: >"$LOG"
}

@test "every tag is pulled; layers they share come once" {
	run -0 m pull -a "$PLAIN/paged/box"
	for tag in a b c d e; do
		[[ "$output" == *"$tag: Pulling from paged/box"* ]]
	done
	[ "$(grep -c ^Digest: <<<"$output")" = 5 ]
	[ "$(grep -c ': Pull complete$' <<<"$output")" = 3 ]
	[ "${lines[-2]}" = "Status: Downloaded newer image for $PLAIN/paged/box" ]
	[ "${lines[-1]}" = "$PLAIN/paged/box" ]
	[ "$(m images --format '{{.Tag}}' "$PLAIN/paged/box" | sort | tr -d '\n')" = abcde ]
	run -0 m pull --all-tags "$PLAIN/paged/box"
	[ "${lines[-2]}" = "Status: Image is up to date for $PLAIN/paged/box" ]
	run -0 m pull -qa "$PLAIN/paged/box"
	[ "$output" = "$PLAIN/paged/box" ]
}

@test "a list in pages is read to its end" {
	m pull -qa "$LISTS/paged/box"
	[ "$(m images --format '{{.Tag}}' "$LISTS/paged/box" | sort | tr -d '\n')" = abcde ]
	[ "$(grep -c /tags/list "$LOG")" = 3 ]
}

@test "lists that are none, lead elsewhere or have no end" {
	run -1 m pull -qa "$LISTS/bad/box"
	[[ "$output" == *"lists a tag that is none" ]]
	run -1 m pull -qa "$LISTS/none/box"
	[[ "$output" == *"list of tags holds none" ]]
	for way in elsewhere other; do
		run -1 m pull -qa "$LISTS/$way/box"
		[[ "$output" == *"the list of tags goes on somewhere else" ]]
	done
	! grep -q secret "$LOG"
	run -1 m pull -qa "$LISTS/loop/box"
	[[ "$output" == *"the list of tags has no end" ]]
	[ -z "$(m images -q)" ]
}

@test "names of pull -a: docker's words" {
	run -1 m pull -a "$PLAIN/paged/box:a"
	[ "$output" = "masu: tag can't be used with --all-tags/-a" ]
	run -1 m pull -a "$PLAIN/nosuch"
	[ "${#lines[@]}" = 1 ]
	[[ "$output" == "masu: "*"name unknown"* ]]
}

@test "search: docker's table, its filters, and one line a result whatever is in it" {
	run -0 m search "$LISTS/box"
	[ "${lines[0]}" = "NAME                 DESCRIPTION                                     STARS     OFFICIAL" ]
	[[ "${lines[1]}" == "busybox              Busybox base image.                             3100      [OK]"* ]]
	[[ "${lines[2]}" == "radial/busyboxplus   Full-chain, Internet enabled, busybox made f…   57"* ]]
	[[ "${lines[3]}" == "evil/box             two lines and ?[31mcolour"* ]]
	[ "${#lines[@]}" = 4 ]
	grep -qx '/v1/search?q=box&n=25' "$LOG"
	run -0 m search --limit 1 --format '{{.Name}} {{.StarCount}}' "$LISTS/a b/c"
	[ "$output" = "busybox 3100" ]
	grep -qxF '/v1/search?q=a%20b%2Fc&n=1' "$LOG"
	run -0 m search --filter is-official=false --filter stars=10 --format '{{.Name}}' "$LISTS/box"
	[ "$output" = radial/busyboxplus ]
	run -0 m search --no-trunc --filter is-automated=true --format json "$LISTS/box"
	[ "$(jq -r .Description <<<"$output")" = "Full-chain, Internet enabled, busybox made from scratch. Comes in git" ]
}

@test "search: what cannot be asked, and a registry that has none" {
	run -1 m search "$PLAIN/box"
	[ "$output" = "masu: $PLAIN offers no search: docker.io does, and few other registries" ]
	run -1 m search --limit 101 "$LISTS/box"
	[ "$output" = "masu: Limit 101 is outside the range of [1, 100]" ]
	run -1 m search --filter colour=red "$LISTS/box"
	[ "$output" = "masu: invalid filter 'colour=red'" ]
	run -1 m search "https://$LISTS/box"
	[[ "$output" == *"should not have a scheme" ]]
}
