#!/usr/bin/env bats
# Volumes that go to another root: by rename on one filesystem, by a copy to another, also when killed.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/storage

setup_file() {
	engine_setup_file
	gcc -O1 -Wall -D_GNU_SOURCE "$REPO/tests/torture/stepper.c" -o "$BATS_FILE_TMPDIR/stepper"
	export FAR=$BATS_FILE_TMPDIR/far NEAR=$BATS_FILE_TMPDIR/near
	loop_filesystem "$FAR" 64M ext4
}

teardown_file() {
	umount -l "$FAR" 2>/dev/null || true
	engine_teardown_file
}

setup() {
	m volume create --label kind=test data >/dev/null
	DATA=$MASU_ROOT/volumes/data/_data
	mkdir "$DATA/dir"
	echo first >"$DATA/file"
	ln "$DATA/file" "$DATA/dir/same"
	ln -s ../file "$DATA/dir/link"
	truncate -s 1M "$DATA/hole"
	chown -h 1000:100 "$DATA/dir/link" "$DATA/file"
	chmod 4750 "$DATA/file"
	chmod 1777 "$DATA"
	touch -d '2001-02-03 04:05:06.789012345' "$DATA/dir"
	m volume snapshot data one >/dev/null
	echo second >"$DATA/more"
}

teardown() {
	remove_all
	m volume prune -af >/dev/null
	at "$FAR" volume prune -af >/dev/null
	at "$NEAR" volume prune -af >/dev/null
}

at() { # root command...
	"$MASU" --root "$1" "${@:2}" 3>&- 4>&-
}

# What a volume in a root is: its files, its snapshot's and its look.
look() { # root volume
	(cd "$1/volumes/$2" && find _data snapshots -mindepth 1 \( -type d -printf '%p %m %U:%G\n' -o -printf '%p %y %m %U:%G %s %n %l %T@\n' \) | grep -v '\.json ' | sort
		stat -c %y _data/dir snapshots/one/_data/dir
		find . -type f ! -name hole ! -name '*.json' ! -name lock -exec sha256sum {} + | sort
		stat -c '%a %u:%g' . _data snapshots/one/_data)
	at "$1" volume inspect -f '{{.CreatedAt}} {{.Labels}} {{.Snapshots}}' "$2"
}

@test "within a filesystem and to another one: files, snapshots and labels are what they were" {
	local before
	before=$(look "$MASU_ROOT" data)
	inode=$(stat -c %i "$DATA/file")
	m volume mv --to-root "$NEAR" data
	run -1 m volume inspect data
	[ "$(look "$NEAR" data)" = "$before" ]
	[ "$(stat -c %i "$NEAR/volumes/data/_data/file")" = "$inode" ]
	at "$NEAR" volume mv --to-root "$FAR" data other
	run -1 at "$NEAR" volume inspect data
	diff <(echo "$before") <(look "$FAR" other)
	[ "$(stat -c %b "$FAR/volumes/other/_data/hole")" -le 8 ]
	at "$FAR" volume restore other@one >/dev/null
	[ ! -e "$FAR/volumes/other/_data/more" ]
	at "$FAR" volume mv --to-root "$MASU_ROOT" other data
	[ "$(m_run --rm -v data:/x busybox:local cat /x/dir/same)" = first ]
	m events --since 1m --until 0s --filter type=volume --filter event=move | grep -q data
	[ -z "$(ls -A "$FAR/volumes/.moving" "$NEAR/trash" | grep -v :)" ]
}

@test "what cannot be moved is named, and stays" {
	at "$FAR" volume create data >/dev/null
	run -1 m volume mv --to-root "$FAR" data
	[ "$output" = "masu: a volume named data exists already in $FAR" ]
	run -1 m volume mv --to-root "$MASU_ROOT" data
	[[ "$output" == *"that is where it is" ]]
	run -1 m volume mv data
	[[ "$output" == *"the new name is missing"* ]]
	run -1 m volume mv --to-root "$FAR" nosuch
	[[ "$output" == *"no such volume"* ]]
	run -1 m volume mv --to-root "$FAR" data ../x
	[[ "$output" == *"invalid characters"* ]]
	m_create --name user -v data@one:/x busybox:local true >/dev/null
	run -1 m volume mv --to-root "$FAR" data data2
	[[ "$output" == *"volume is in use"* ]]
	m rm user >/dev/null
	# More than there is room for.
	head -c 100M /dev/zero | tr '\0' x >"$DATA/big"
	run -1 m volume mv --to-root "$FAR" data data2
	[[ "$output" == *"No space left on device"* ]]
	[ "$(cat "$DATA/more")" = second ]
	[ -z "$(ls -A "$FAR/volumes/.moving")" ]
	m volume mv --to-root "$MASU_ROOT" data renamed
	[ "$(cat "$MASU_ROOT/volumes/renamed/_data/more")" = second ]
}

@test "killed anywhere it is whole here, there, or in both" {
	local before total step point places root
	before=$(look "$MASU_ROOT" data)
	local move=("$MASU" volume mv --to-root "$FAR" data)
	total=$("$BATS_FILE_TMPDIR/stepper" count "${move[@]}" 3>&1 4>&-)
	[ "$total" -gt 20 ]
	step=$((total / 20 + 1))
	at "$FAR" volume mv --to-root "$MASU_ROOT" data
	for ((point = 1 + RANDOM % step; point <= total; point += step)); do
		"$BATS_FILE_TMPDIR/stepper" kill $point "${move[@]}" >/dev/null 2>&1 3>&- 4>&- || true
		places=0
		for root in "$FAR" "$MASU_ROOT"; do
			[ -n "$(at "$root" volume ls -q)" ] || continue
			[ "$(look "$root" data)" = "$before" ] || { echo "killed at $point of $total: $root"; return 1; }
			places=$((places + 1))
		done
		[ $places -gt 0 ] || { echo "killed at $point of $total: it is gone"; return 1; }
		if [ $places = 2 ]; then at "$FAR" volume rm data >/dev/null; fi
		[ -n "$(m volume ls -q)" ] || at "$FAR" volume mv --to-root "$MASU_ROOT" data
	done
	# What is left is told, and removed.
	mkdir -p "$FAR/volumes/.moving/left/_data"
	run -1 at "$FAR" system check
	[[ "$output" == *"volumes/.moving"*"killed"* ]]
	at "$FAR" system check --repair >/dev/null
	run -0 at "$FAR" system check
	[ -z "$(ls -A "$FAR/volumes/.moving")" ]
}
