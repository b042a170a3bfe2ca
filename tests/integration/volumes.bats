#!/usr/bin/env bats
# Named volumes: what fills them, what may be asked of them, and what happens to them.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	local tree=$BATS_FILE_TMPDIR/tree
	mkdir -p "$tree/seed/sub" "$tree/void"
	echo seed >"$tree/seed/file"
	ln "$tree/seed/file" "$tree/seed/hard"
	ln -s file "$tree/seed/link"
	truncate -s 8M "$tree/seed/hole"
	chown -R 1000:100 "$tree/seed"
	chmod 2770 "$tree/seed"
	chmod 1777 "$tree/void"
	tar -C "$tree" -c . | "$MASU" import - volumes:1 >/dev/null
}

teardown_file() {
	engine_teardown_file
}

setup() {
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	remove_all
	m volume prune -af >/dev/null
}

data() { # volume: where its files are
	echo "$MASU_ROOT/volumes/$1/_data"
}

# --- copy-up ---

@test "the first use fills a volume with what the image has there, owners and links and holes" {
	m_run --rm -v vol:/seed volumes:1 true
	[ "$(stat -c '%a %u:%g' "$(data vol)")" = "2770 1000:100" ]
	[ "$(cat "$(data vol)/file")" = seed ]
	[ "$(stat -c %i "$(data vol)/file")" = "$(stat -c %i "$(data vol)/hard")" ]
	[ "$(readlink "$(data vol)/link")" = file ]
	[ "$(stat -c %b "$(data vol)/hole")" -lt 100 ]
	# only the first use, and only where it is empty
	rm "$(data vol)/file"
	m_run --rm -v vol:/seed volumes:1 sh -c '! test -e /seed/file'
	m volume create other >/dev/null
	: >"$(data other)/mine"
	m_run --rm -v other:/seed volumes:1 sh -c 'test -e /seed/mine && ! test -e /seed/file'
	# an empty directory of the image gives its own look
	m_run --rm -v void:/void volumes:1 true
	[ "$(stat -c %a "$(data void)")" = 1777 ]
}

@test "nocopy leaves it empty, in -v and in --mount" {
	m_run --rm -v a:/seed:nocopy volumes:1 sh -c '! test -e /seed/file'
	m_run --rm --mount type=volume,src=b,dst=/seed,volume-nocopy volumes:1 sh -c '! test -e /seed/file'
	m_run --rm --mount type=volume,src=c,dst=/seed,volume-nocopy=false volumes:1 test -e /seed/file
}

@test "what a killed copy-up left is copied anew" {
	m volume create half >/dev/null
	mkdir "$(data half)/sub" && echo incompl >"$(data half)/file"
	: >"$MASU_ROOT/volumes/half/copying"
	m_run --rm -v half:/seed volumes:1 sh -c '[ "$(cat /seed/file)" = seed ] && test -L /seed/link'
	[ ! -e "$MASU_ROOT/volumes/half/copying" ]
	echo mine >"$(data half)/file"
	m_run --rm -v half:/seed volumes:1 sh -c '[ "$(cat /seed/file)" = mine ]'
}
