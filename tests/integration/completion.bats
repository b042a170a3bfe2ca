#!/usr/bin/env bats
# Completion: what `masu completion SHELL` gives real shells, asked without a terminal.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	m_create --name web busybox:local true >/dev/null
	m_run -d --name worker busybox:local sleep 300
	m volume create data >/dev/null
}

teardown_file() {
	engine_teardown_file
}

# The program under the name that the scripts are for.
setup() {
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	ln -s "$MASU" "$BATS_TEST_TMPDIR/bin/masu"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH
}

in_bash() { # the line as typed, with the cursor at its end: the candidates on one line
	bash --norc --noprofile -c '
		source <(masu completion bash)
		COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
		read -ra COMP_WORDS <<<"$1"
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		$(complete -p masu | sed "s/.*-F \([^ ]*\).*/\1/")
		[ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\n" "${COMPREPLY[@]}" | sort | tr "\n" " "' bash "$1" 2>/dev/null 3>&- 4>&-
}

in_fish() {
	fish --no-config -c 'masu completion fish | source; complete -C $argv[1]' -- "$1" 3>&- 4>&- | cut -f 1 | sort | tr '\n' ' '
}

in_zsh() { # zsh's own helpers only print what they are given
	zsh -f -c '
		compdef() { : }
		_describe() { local c; for c in "${(@P)2}"; do print -r -- "${${c//\\:/@}%%:*}"; done | sed "s/@/:/g" }
		_files() { : }
		source <(masu completion zsh)
		words=(${(z)1}); [[ $1 == *" " ]] && words+=("")
		CURRENT=${#words}
		_masu' zsh "$1" 3>&- 4>&- | sort | tr '\n' ' '
}

check() { # shell function
	local in=$1
	[ "$($in 'masu comp')" = "completion " ]
	[ "$($in 'masu container re')" = "rename restart " ]
	[ "$($in 'masu ps --no')" = "--no-trunc " ]
	[ "$($in 'masu --runr')" = "--runroot " ]
	[ "$($in 'masu --debug volume l')" = "ls " ]
	[ "$($in 'masu rm w')" = "web worker " ]
	[ "$($in 'masu container remove we')" = "web " ]
	[ "$($in 'masu stop ')" = "worker " ]
	[ "$($in 'masu start ')" = "web " ]
	[ "$($in 'masu rm -f web wo')" = "worker " ]
	[ "$($in 'masu run --rm -it busy')" = "busybox:local " ]
	[ "$($in 'masu run --restart un')" = "unless-stopped " ]
	[ "$($in 'masu volume inspect ')" = "data " ]
	[ "$($in 'masu run --network br')" = "bridge " ]
	[ "$($in 'masu run --volumes-from we')" = "web " ]
	[ "$($in 'masu inspect --type vol')" = "volume " ]
	[ "$($in 'masu inspect dat')" = "data " ]
	[ "$($in 'masu exec -u root wor')" = "worker " ]
	[ "$($in 'masu exec worker --no')" = "" ]
	[ "$($in 'masu nosuch ')" = "" ]
}

@test "bash" {
	check in_bash
	# Words that bash cuts at "=" and ":" are completed from there on.
	[ "$(in_bash 'masu run --network=br')" = "bridge " ]
	[ "$(in_bash 'masu run busybox:lo')" = "local " ]
	[ "$(in_bash 'masu run -d')" = "" ]
}

@test "fish" {
	command -v fish >/dev/null || skip "fish is not installed"
	check in_fish
	[ "$(in_fish 'masu run --network=br')" = "--network=bridge " ]
	[ "$(in_fish 'masu run busybox:lo')" = "busybox:local " ]
	run -0 fish --no-config -c 'masu completion fish | source; complete -C "masu rm we"'
	[ "$output" = "web"$'\t'"busybox:local, created" ]
}

@test "zsh" {
	command -v zsh >/dev/null || skip "zsh is not installed"
	check in_zsh
	[ "$(in_zsh 'masu run --network=br')" = "--network=bridge " ]
	[ "$(in_zsh 'masu run busybox:lo')" = "busybox:local " ]
}

@test "what the shells ask: candidates, what they are, whether files may be meant" {
	run -0 m __complete ps --last
	[ "${lines[0]}" = "--last"$'\t'"Show n last created containers (includes all states) (default -1)" ]
	[ "${lines[1]}" = ":0" ]
	run -0 m __complete ps --last ''
	[ "$output" = ":0" ]
	run -0 m __complete run --env-file ''
	[ "$output" = ":1" ]
	run -0 m __complete run busybox:local ''
	[ "$output" = ":1" ]
	run -0 m __complete cp ''
	[ "${lines[-1]}" = ":1" ]
	run -0 m __complete
	[[ "$output" == *$'\n'"run"$'\t'"Create and run a new container from an image"$'\n'* ]]
	[[ "$output" != *__complete* ]]
}

@test "asking leaves nothing behind where nothing is" {
	MASU_ROOT=$BATS_TEST_TMPDIR/none MASU_RUNROOT=$BATS_TEST_TMPDIR/none2 run -0 m __complete rm ''
	[ "$output" = ":0" ]
	[ ! -e "$BATS_TEST_TMPDIR/none" ]
	[ ! -e "$BATS_TEST_TMPDIR/none2" ]
}

@test "other shells are refused by name" {
	run -1 m completion powershell
	[ "$output" = "masu: powershell: completion is for bash, fish and zsh" ]
}

@test "every option of every verb is offered" {
	local verb
	for verb in run ps inspect 'volume ls' 'image ls' logs; do
		diff <(m $verb --help | sed -nE 's/^ +(-., )?--([a-z0-9-]+) .*/--\2/p' | sort) \
			<(m __complete $verb -- | grep '^--' | cut -f 1 | grep -vx -- --help | sort)
	done
}
