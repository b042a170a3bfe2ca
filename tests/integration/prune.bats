#!/usr/bin/env bats
# system df, and what prune takes away and what it keeps.

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
	m volume prune -af >/dev/null
	m image prune -f >/dev/null
}

# An image with one layer of @2 bytes.
make_image() { # name, bytes, [import options]
	local tree=$BATS_TEST_TMPDIR/tree-$RANDOM
	mkdir "$tree"
	head -c "$2" /dev/zero >"$tree/$RANDOM"
	tar -C "$tree" -c . | m import "${@:3}" - "$1" >/dev/null
}

df_field() { # type, field
	m system df --format '{{json .}}' | jq -r "select(.Type == \"$1\") | .$2"
}

@test "container prune removes what does not run, and tells how much it was" {
	m_create --name made busybox:local true >/dev/null
	m_run --name done busybox:local sh -c 'head -c 2000000 /dev/zero >/file'
	m_run -d --name up busybox:local sleep 100 >/dev/null
	ids=$(m ps -aq --no-trunc --filter status=created --filter status=exited)
	run -0 m container prune -f
	[ "${lines[0]}" = "Deleted Containers:" ]
	[ "$(sort <<<"${lines[1]}"$'\n'"${lines[2]}")" = "$(sort <<<"$ids")" ]
	[ "${lines[-1]}" = "Total reclaimed space: 2MB" ]
	[ "$(m ps -a --format '{{.Names}}')" = up ]
	run -0 m container prune -f
	[ "$output" = "Total reclaimed space: 0B" ]
	[ "$(m events --since 1h --until 0s -f event=prune -f type=container --format '{{.Actor.Attributes.reclaimed}}' |
		tail -2 | paste -sd,)" = 2000000,0 ]
}

@test "prune asks, and takes nothing but y for a yes" {
	m_create --name kept busybox:local true >/dev/null
	run -0 m container prune <<<"n"
	[ "$output" = "WARNING! This will remove all stopped containers.
Are you sure you want to continue? [y/N] Total reclaimed space: 0B" ]
	run -0 m container prune </dev/null
	run -0 m container prune <<<"yes"
	m inspect kept >/dev/null
	run -0 m system prune <<<""
	[ "$output" = "WARNING! This will remove:
  - all stopped containers
  - all networks not used by at least one container
  - all dangling images

Are you sure you want to continue? [y/N] " ]
	run -0 m system prune -a --volumes --filter label=x <<<"n"
	[ "$output" = "WARNING! This will remove:
  - all stopped containers
  - all anonymous volumes not used by at least one container
  - all networks not used by at least one container
  - all images without at least one container associated to them

  Items to be pruned will be filtered with:
  - label=x

Are you sure you want to continue? [y/N] " ]
	m inspect kept >/dev/null
	run -0 m container prune <<<"y"
	[[ "$output" == *"Deleted Containers:"* ]]
}

@test "filters: until, label, label!, and what is not known" {
	m_create --name old --label keep=no busybox:local true >/dev/null
	m_create --name new --label keep=yes busybox:local true >/dev/null
	m container prune -f --filter until=1h
	[ "$(m ps -aq | wc -l)" = 2 ]
	m container prune -f --filter label=keep=yes --filter label=other
	[ "$(m ps -aq | wc -l)" = 2 ]
	m container prune -f --filter label!=keep=yes
	[ "$(m ps -a --format '{{.Names}}')" = new ]
	m container prune -f --filter "until=$(date -d '+10 years' +%s)" --filter label=keep
	[ -z "$(m ps -aq)" ]
	run -1 m container prune -f --filter colour=red
	[[ "$output" == *"invalid filter 'colour=red'"* ]]
	run -1 m volume prune -f --filter until=1h
	[[ "$output" == *"invalid filter"* ]]
	run -1 m system prune -f --volumes --filter until=1h
	[[ "$output" == *'"until" filter is not supported with "--volumes"'* ]]
}

@test "image prune takes dangling images, with -a all that no container uses" {
	make_image one:local 300000
	make_image one:local 400000
	make_image two:local 500000 --change 'LABEL keep=yes'
	m tag two:local two:more
	m_create --name user busybox:local true >/dev/null
	run -0 m image prune -f
	[ "${lines[0]}" = "Deleted Images:" ]
	[ "$(grep -c ^untagged: <<<"$output")" = 0 ]
	[ "$(m images --format json | jq -r .Repository | sort | paste -sd,)" = busybox,one,two,two ]
	run -0 m image prune -af --filter label!=keep
	[ "${lines[1]}" = "untagged: one:local" ]
	[[ "${lines[2]}" == "deleted: sha256:"* ]]
	run -0 m image prune -af
	[ "$(grep ^untagged: <<<"$output" | sort | paste -sd,)" = "untagged: two:local,untagged: two:more" ]
	[[ "${lines[-1]}" == "Total reclaimed space: 5"[01]*kB || "${lines[-1]}" == "Total reclaimed space: 1."*MB ]]
	[ "$(m images --format json | jq -r .Repository)" = busybox ]
	m start user
}

@test "volume prune takes anonymous volumes, with -a also named ones, and none in use" {
	m volume create named --label a=b >/dev/null
	m_create --name user -v used:/used -v /anonymous busybox:local true >/dev/null
	m_run --name gone -v /data busybox:local sh -c 'head -c 70000 /dev/zero >/data/file'
	m rm gone >/dev/null
	[ "$(df_field "Local Volumes" TotalCount)" = 4 ]
	run -0 m volume prune -f
	[ "${#lines[@]}" = 3 ]
	[[ "${lines[-1]}" == "Total reclaimed space: 70"*kB ]]
	run -0 m volume prune -af --filter label!=a
	[ "$output" = "Total reclaimed space: 0B" ]
	run -0 m volume prune -f --filter all=true
	[ "${lines[1]}" = named ]
	[ "$(m volume ls -q | wc -l)" = 2 ]
}

@test "volume prune takes nothing while a container's record cannot be read" {
	local id
	id=$(m_create -v mine:/mine busybox:local true)
	cp "$MASU_ROOT/containers/$id/container.json" "$BATS_TEST_TMPDIR/record"
	echo damaged >"$MASU_ROOT/containers/$id/container.json"
	run -1 m volume prune -af
	[[ "$output" == *"${id:0:12} may use any volume"* ]]
	cp "$BATS_TEST_TMPDIR/record" "$MASU_ROOT/containers/$id/container.json"
	[ "$(m volume ls -q)" = mine ]
}

@test "system prune -a --volumes leaves what is used" {
	make_image gone:local 1000
	m_create --name stopped -v /data busybox:local true >/dev/null
	m_run -d --name up -v kept:/kept busybox:local sleep 100 >/dev/null
	run -0 m system prune -af --volumes
	[[ "$output" == *"Deleted Containers:"*"Deleted Volumes:"*"Deleted Images:"*"Total reclaimed space: "* ]]
	[ "$(m ps -a --format '{{.Names}}')" = up ]
	[ "$(m volume ls -q)" = kept ]
	[ "$(m images --format json | jq -r .Repository)" = busybox ]
}

@test "creations and prunes at once: none made is broken" {
	local i pids=()
	for i in 1 2 3 4 5 6; do
		m_run --name "c$i" -v /data busybox:local true &
		pids+=($!)
		m system prune -f --volumes >/dev/null &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
	run -0 m system prune -f --volumes
	[ -z "$(m ps -aq)" ]
	[ -z "$(m volume ls -q)" ]
}

@test "system df counts what there is, what is used, and what can be had back" {
	local layer blob
	make_image two:local 500000
	m tag two:local two:again
	m_run --name done busybox:local sh -c 'head -c 3000000 /dev/zero >/file'
	m_run -d --name up -v vol:/vol busybox:local sh -c 'head -c 1000000 /dev/zero >/file; head -c 9000 /dev/zero >/vol/x; sleep 100' >/dev/null
	wait_until 5 test -s "$MASU_ROOT/volumes/vol/_data/x"
	[ "$(df_field Images TotalCount),$(df_field Images Active)" = 2,1 ]
	[ "$(df_field Containers TotalCount),$(df_field Containers Active)" = 2,1 ]
	[ "$(df_field Containers Size)" = 4MB ]
	[ "$(df_field Containers Reclaimable)" = "3MB (75%)" ]
	[ "$(df_field "Local Volumes" Size)" = 9kB ]
	[ "$(df_field "Local Volumes" Reclaimable)" = "0B (0%)" ]
	[ "$(df_field "Build Cache" Reclaimable)" = 0B ]
	[ "$(m system df | head -1 | tr -s ' ')" = "TYPE TOTAL ACTIVE SIZE RECLAIMABLE" ]
	run -0 m system df -v
	[[ "$output" == "Images space usage:"*"REPOSITORY "*"SHARED SIZE"*"Containers space usage:"*"CONTAINER ID "*"Local Volumes space usage:"*"VOLUME NAME "*"Build cache usage: 0B"* ]]
	[ "$(m system df -v --format '{{range .Containers}}{{.Names}}={{.Size}} {{end}}')" = "up=1MB done=3MB " ]
	[ "$(m system df -v --format '{{range .Volumes}}{{.Name}} {{.Links}} {{.Size}}{{end}}')" = "vol 1 9kB" ]
	[ "$(m system df -v --format '{{range .Images}}{{.Repository}}:{{.Containers}} {{end}}' | tr ' ' '\n' | sort | paste -sd,)" = ",busybox:2,two:0" ]
}

@test "system df: what two images share is counted once" {
	local tree=$BATS_TEST_TMPDIR/shared
	mkdir "$tree"
	head -c 700000 /dev/urandom >"$tree/file"
	tar -C "$tree" -cf "$tree.tar" .
	# As directories: a tar that is kept is also the blob, until the blob is written again.
	m import --layer-format=dir "$tree.tar" share:one >/dev/null
	before=$(df_field Images Size)
	m import --layer-format=dir --change 'LABEL other=config' "$tree.tar" share:two >/dev/null
	run -0 m system df -v --format '{{range .Images}}{{.Repository}} {{.SharedSize}} {{.UniqueSize}}{{println}}{{end}}'
	echo "$output"
	# 700 kB of files and the same in the blob they came from.
	[ "$(grep -c '^share 1\.4[0-9]*MB [0-9.]*k*B$' <<<"$output")" = 2 ]
	[ "$(grep -c '^busybox 0B ' <<<"$output")" = 1 ]
	# All in all hardly more than before.
	echo "$before, then $(df_field Images Size)"
	[ "$(sed 's/\..*//' <<<"$before")" = "$(df_field Images Size | sed 's/\..*//')" ]
}
