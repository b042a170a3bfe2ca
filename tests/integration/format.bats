#!/usr/bin/env bats
# --format: Go's templates. Podman's are the real ones: the same template over the same values must give
# the same text, or fail in both. (What docker's client says is recorded in tests/unit/test-cli-output.c.)

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup_file
	m_create --name one --label tier=web --label com.example.x=y busybox:local sh -c 'echo "a b"' >/dev/null
	m_create --name two --label tier=db busybox:local true >/dev/null
	# The path may not be long.
	export ORACLE_PODMAN_RUNROOT=/run/podman
	if command -v podman >/dev/null; then
		tar -C "$BATS_FILE_TMPDIR/tree" -cf "$BATS_FILE_TMPDIR/busybox.tar" .
		oracle_podman import -c 'ENV FROM_IMAGE=yes' "$BATS_FILE_TMPDIR/busybox.tar" localhost/busybox:local >/dev/null 2>&1
		oracle_podman create --name one --network none --label tier=web --label com.example.x=y busybox:local \
			sh -c 'echo "a b"' >/dev/null
		oracle_podman create --name two --network none --label tier=db busybox:local true >/dev/null
	fi
}

teardown_file() {
	engine_teardown_file
	! command -v podman >/dev/null || oracle_podman rm -fa -t 0 >/dev/null 2>&1
}

# Runs one template in both and compares; a failure is compared as one.
same() { # template, verb and name...
	local ours theirs our_status=0 their_status=0
	ours=$(m "${@:2}" --format "$1" 2>/dev/null) || our_status=1
	theirs=$(oracle_podman "${@:2}" --format "$1" 2>/dev/null) || their_status=1
	[ $our_status = 0 ] || ours=failed
	[ $their_status = 0 ] || theirs=failed
	[ "$ours" = "$theirs" ] || {
		printf '%s\n  masu:   %s\n  podman: %s\n' "$1" "$ours" "$theirs"
		return 1
	}
}

@test "inspect: values, blocks, variables, functions, as podman prints them" {
	command -v podman >/dev/null || skip "podman is not installed"
	local template wrong=0
	while IFS= read -r template; do
		same "$template" inspect one || wrong=$((wrong + 1))
	done <<-'END'
	{{.Config.Cmd}}
	{{.Config.Labels}}
	{{.Config.Labels.tier}} {{.Config.Labels.nope}}
	{{index .Config.Labels "com.example.x"}}|{{index .Config.Labels "nope"}}|
	{{index .Config.Cmd 1}}
	{{index .Config.Cmd 7}}
	{{json .Config.Cmd}}
	{{json .Config.Labels}}
	{{len .Config.Cmd}} {{len .Config.Labels}} {{len "abc"}}
	{{range .Config.Cmd}}<{{.}}>{{end}}
	{{range $i, $w := .Config.Cmd}}{{$i}}:{{$w}} {{end}}
	{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}
	{{range .Mounts}}x{{else}}none{{end}}
	{{with .Config}}{{index .Cmd 0}}{{end}}
	{{with .Mounts}}x{{else}}none{{end}}
	{{if .State.Running}}up{{else}}down{{end}}
	{{if and (eq 1 1) (not .State.Running)}}yes{{end}}
	{{if or .State.Running (gt (len .Config.Cmd) 2)}}yes{{end}}
	{{if .State.Running}}a{{else if eq (len .Config.Cmd) 3}}b{{else}}c{{end}}
	{{$x := index .Config.Cmd 0}}{{$x}}{{$x = "y"}}{{$x}}
	{{with $x := .Config.Cmd}}{{len $x}}{{end}}
	{{range $i, $w := .Config.Cmd}}{{if $i}}, {{end}}{{$w}}{{end}}
	{{join .Config.Cmd "+"}}
	{{split "a,b,c" ","}}
	{{upper "ab"}} {{lower "AB"}} {{title "ab cd"}}
	{{truncate "abcdef" 3}} {{slice "abcdef" 1 3}} {{slice .Config.Cmd 1}}
	{{print "a" 1 2 "b"}}|{{println "x" 1}}|
	{{printf "%s-%d-%v-%q-%5d|%-5s|%05.1f|%x|%t" "s" 3 true "q" 42 "ab" 1.25 255 false}}
	{{printf "%d" "a"}}{{printf "%s" 1}}{{printf "%d"}}{{printf "%d" 1 2}}
	{{"quoted \"\\\t\x41"}} {{`raw`}} {{'a'}} {{0x1f}} {{-7}} {{1.5}}
	{{1 | printf "%d-%d" 2}}
	{{.Config.Cmd | json | printf "<%s>"}}
	{{(index .Config.Cmd 0) | upper}}
	{{html "<a href=\"x\">"}} {{urlquery "a b&c"}} {{js "it's"}}
	{{eq "a" "b" "a"}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt "b" "a"}} {{ge 1 2}}
	a  {{- 1 -}}  b
	a {{/* comment */}} b {{- /* trimmed */ -}} c
	{{range .Config.Cmd}}{{if eq . "-c"}}{{continue}}{{end}}{{.}} {{end}}
	{{range .Config.Cmd}}{{if eq . "-c"}}{{break}}{{end}}{{.}} {{end}}
	{{$x := 1}}{{if true}}{{$x := 2}}{{end}}{{$x}}
	{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}
	{{.NoSuchField}}
	{{nosuchfunction 1}}
	{{if}}x{{end}}
	{{.Config.Cmd
	{{end}}
	{{if true}}x
	{{eq 1 "a"}}
	{{len 3}}
	{{upper 1}}
	{{$undefined}}
	{{(1}}
	{{"x}}
	{{1 2}}
	END
	[ $wrong -eq 0 ]
}

@test "ps: rows" {
	command -v podman >/dev/null || skip "podman is not installed"
	local template wrong=0
	while IFS= read -r template; do
		same "$template" ps -a --filter name=one || wrong=$((wrong + 1))
	done <<-'END'
	{{.Names}}
	{{.Names}} {{.Status}}
	{{upper .Names}} {{len .Names}}
	{{if eq .Names "one"}}yes{{else}}no{{end}}
	{{.NoSuchField}}
	{{.Names
	END
	[ $wrong -eq 0 ]
}

@test "tables: headings, functions in them, escapes that a shell leaves" {
	run -0 m ps -a --format 'table {{upper .Names}}\t{{truncate .ID 4}}\t{{.Label "com.example.x-y"}}'
	[ "${lines[0]}" = "NAMES     CONTAINER ID   x y" ]
	[[ "${lines[1]}" =~ ^"TWO       "[0-9a-f]{4}" "+$ ]]
	run -0 m ps -a --format 'table {{.Names}}' --filter name=nosuch
	[ "$output" = NAMES ]
	run -0 m ps -a --format '{{.Names}}\t{{.State}}' --filter name=one
	[ "$output" = $'one\tcreated' ]
	run -0 m ps -l --format raw
	[ "${lines[0]}" = "container_id: $(field two .Id | cut -c1-12)" ]
	[ "${lines[4]}" = "state: created" ]
	[ "${lines[5]}" = "status: Created" ]
	[ "${lines[6]}" = "names: two" ]
	[ "${lines[8]}" = "ports:" ]
}

@test "a template that is wrong prints nothing else" {
	run -1 --separate-stderr m ps -a --format '{{.Names}}{{.Nope}}'
	[ "$output" = "" ]
	[ "$stderr" = 'masu: failed to execute template: template: :1:12: executing "" at <.Nope>: map has no entry for key "Nope"' ]
	run -1 --separate-stderr m ps -a --format '{{.Names'
	[ "$stderr" = 'masu: failed to parse template: template: :1: unclosed action' ]
	run -64 --separate-stderr m inspect --format '{{if}}' one
	[ "$output" = "" ]
	[ "$stderr" = 'masu: template parsing error: template: :1: missing value for if' ]
	run -1 --separate-stderr m inspect --format '{{.Nope}}' one
	[ "$stderr" = 'masu: template parsing error: template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope"' ]
}

@test "images: columns, templates, filters" {
	m tag busybox:local other:v2
	run -0 m images
	[ "${lines[0]}" = "REPOSITORY   TAG       IMAGE ID       CREATED                  SIZE" ] ||
		[[ "${lines[0]}" =~ ^"REPOSITORY   TAG       IMAGE ID       CREATED"\ +"SIZE"$ ]]
	[ "${#lines[@]}" -eq 3 ]
	run -0 m images --format '{{.Repository}}:{{.Tag}}' --filter 'reference=oth*'
	[ "$output" = other:v2 ]
	run -0 m images --format '{{.Repository}}' --filter 'reference=other:v*' --filter reference=busybox
	[ "$(sort <<<"$output" | tr '\n' ' ')" = "busybox other " ]
	run -0 m images -q --no-trunc other
	[ "$output" = "$(field one .Image)" ]
	run -0 m image ls --format json busybox
	[ "$(jq -r '[.Repository, .Tag, .Containers] | join(" ")' <<<"$output")" = "busybox local N/A" ]
	run -0 m images --filter dangling=true -q
	[ "$output" = "" ]
	run -0 m images --filter dangling=false --filter before=busybox:local -q
	[ "$output" = "" ]
	run -1 m images --filter nosuch=1
	[ "$output" = "masu: invalid filter 'nosuch=1'" ]
	run -0 m images --digests --format 'table {{.Repository}}\t{{.Digest}}' other
	[[ "${lines[1]}" =~ ^"other        sha256:"[0-9a-f]{64}$ ]]
	m rmi other:v2
}

@test "groups have docker's other names, and an unknown verb a suggestion" {
	[ "$(m container ps -a --format '{{.Names}}' | tr '\n' ' ')" = "two one " ]
	[ "$(m container list -aq | wc -l)" -eq 2 ]
	[ "$(m image list -q | wc -l)" -eq 1 ]
	m volume create gone >/dev/null
	[ "$(m volume list -q)" = gone ]
	[ "$(m volume remove gone)" = gone ]
	m_create --name gone busybox:local true >/dev/null
	[ "$(m container remove gone)" = gone ]
	run -1 m remove one
	[[ "$output" == *"'remove' is not a masu command"* ]]
	run -1 m imagess
	[[ "$output" == *"'imagess' is not a masu command; did you mean 'images'?"* ]]
	run -1 m container lss
	[[ "$output" == *"'lss' is not a masu container command; did you mean 'ls'?"* ]]
	run -0 m container ls --help
	[[ "$output" == *"Aliases:"*"masu container ls, masu container ps, masu container list"* ]]
	run -0 m ps --help
	[[ "$output" != *"Aliases:"* ]]
}
