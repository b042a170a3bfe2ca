#!/usr/bin/env bats
# `masu system start` after a reboot: what policies promise comes back, and only that; and the units
# that systemd runs it with.

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

# The machine goes down: every process is gone at once, and so is what a tmpfs held.
reboot_machine() {
	local live pids=()
	for live in "$MASU_RUNROOT"/containers/*/live.json; do
		[ -e "$live" ] || continue
		pids+=("$(jq -r .MonitorPid "$live")" "$(jq -r .Pid "$live")")
	done
	local pid
	for pid in "${pids[@]}"; do
		[ "$pid" = 0 ] || kill -KILL "$pid" 2>/dev/null || true
	done
	for pid in "${pids[@]}"; do
		[ "$pid" = 0 ] || wait_until 5 pid_gone "$pid"
	done
	rm -rf "${MASU_RUNROOT:?}"
	find /sys/fs/cgroup -depth -path "*$GROUP/*" -type d -exec rmdir {} + 2>/dev/null || true
}

long() { # name, options...
	local name=$1
	shift
	m_run -d --name "$name" "$@" busybox:local sleep 1000 >/dev/null
}

@test "policies decide who comes back" {
	long always --restart always
	long always-stopped --restart always
	long unless --restart unless-stopped
	long unless-stopped --restart unless-stopped
	long failing --restart on-failure
	long none
	m_run -d --name succeeded --restart on-failure busybox:local true >/dev/null
	m_create --name never --restart always busybox:local sleep 1000 >/dev/null
	m stop -t 0 always-stopped unless-stopped >/dev/null
	wait_until 5 status_is succeeded exited
	reboot_machine
	status_is always exited
	status_is none exited
	[ "$(field always .State.ExitCode)" = 255 ]
	run --separate-stderr m system start
	[ "$status" -eq 0 ]
	[ "$(LC_ALL=C sort <<<"$output")" = "$(printf '%s: started\n' always always-stopped failing unless | LC_ALL=C sort)" ]
	[ -z "$stderr" ]
	status_is always running
	status_is always-stopped running
	status_is unless running
	status_is failing running
	status_is unless-stopped exited
	status_is none exited
	status_is succeeded exited
	status_is never created
	# What runs is told and left alone; the promise is as good as before.
	local pid
	pid=$(field always .State.Pid)
	run m system start
	[[ "$output" == *"always: running"* ]]
	[ "$(field always .State.Pid)" = "$pid" ]
	kill -KILL "$pid"
	again() { [ "$(field always .RestartCount)" = 1 ]; }
	wait_until 5 again
}

@test "a start promises durably, and a container that waited for its restart comes back" {
	m_run -d --name waiting --restart always busybox:local sh -c '[ -e /ok ] && exec sleep 1000; exit 1' >/dev/null
	often() { [ "$(field waiting .RestartCount)" -gt 4 ]; }
	wait_until 20 often
	wait_until 5 status_is waiting restarting
	reboot_machine
	status_is waiting exited
	run m system start
	[ "$output" = "waiting: started" ]
	[ "$(field waiting .RestartCount)" -lt 4 ]
}

@test "one that cannot be started is told with the reason, and the others are started" {
	mkdir "$BATS_TEST_TMPDIR/bind"
	long broken --restart always -v "$BATS_TEST_TMPDIR/bind:/b"
	long fine --restart always
	reboot_machine
	rmdir "$BATS_TEST_TMPDIR/bind"
	ln -s nowhere "$BATS_TEST_TMPDIR/bind"
	run --separate-stderr -1 m system start
	[ "$output" = "fine: started" ]
	[[ "$stderr" == "masu: broken: "* ]]
	[ "$(wc -l <<<"$stderr")" = 1 ]
	status_is fine running
}

@test "those whose namespaces others join are started first" {
	long front --restart always
	NETWORK=container:front long user --restart always
	m stop -t 0 user front >/dev/null
	# By age the wrong one would be first.
	NETWORK=none long base --restart always
	m rm -f front >/dev/null
	m rename base front
	m start user
	reboot_machine
	run m system start
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "front: started" ]
	[ "${lines[1]}" = "user: started" ]
}

@test "one whose monitor was killed is told" {
	long orphan --restart always
	local monitor
	monitor=$(monitor_of orphan)
	kill -KILL "$monitor"
	wait_until 5 pid_gone "$monitor"
	run m system start
	[ "$status" -eq 0 ]
	[[ "$output" == "orphan: running, but its monitor was killed"* ]]
}

@test "containers with --rm that the reboot ended are gone" {
	long once --rm
	m_create --rm --name later busybox:local true >/dev/null
	reboot_machine
	# It was made in an earlier boot.
	local record
	record=$MASU_ROOT/containers/$(field once .Id)/container.json
	sed -i 's/"Created":"20[0-9][0-9]/"Created":"2001/' "$record"
	run m system start
	[ "$status" -eq 0 ]
	gone once
	status_is later created
}

verified() { # unit file
	systemd-analyze verify --man=no "$1"
}

@test "a generated unit is what systemd takes, and says what was asked for" {
	command -v systemd-analyze >/dev/null || skip "no systemd-analyze"
	m_create --name web --stop-timeout 7 busybox:local sleep 1000 >/dev/null
	cd "$BATS_TEST_TMPDIR"
	run m generate systemd --files --name --restart-policy always --restart-sec 3 --after db.service \
		--wants db.service -e 'A=b "c" 100% $x' web
	[ "$status" -eq 0 ]
	[ "$output" = "$BATS_TEST_TMPDIR/container-web.service" ]
	run verified ./container-web.service
	[ "$status" -eq 0 ]
	grep -q '^Restart=always$' container-web.service
	grep -q '^RestartSec=3$' container-web.service
	grep -q '^TimeoutStopSec=67$' container-web.service
	grep -q '^After=db.service$' container-web.service
	grep -qxF 'Environment="A=b \"c\" 100%% $x"' container-web.service
	grep -q -- "^ExecStop=.* stop --timeout 7 web$" container-web.service
	grep -q -- "^ExecStart=$MASU --root $MASU_ROOT --runroot $MASU_RUNROOT start --attach web$" container-web.service
	# What it runs works.
	local line
	line=$(sed -n 's/^ExecStart=//p' container-web.service)
	$line 3>&- 4>&- &
	wait_until 5 status_is web running
	line=$(sed -n 's/^ExecStop=//p' container-web.service)
	${line/--timeout 7/--timeout 0} 3>&- 4>&-
	status_is web exited
	wait
}

@test "units are refused for what they would break" {
	m_create --name own --restart always busybox:local true >/dev/null
	run m generate systemd own
	[ "$status" -ne 0 ]
	[[ "$output" == *"has a restart policy of its own"* ]]
	m_create --name plain busybox:local true >/dev/null
	run m generate systemd --restart-policy sometimes plain
	[[ "$output" == *"sometimes is not a valid restart policy"* ]]
	run m generate systemd --after $'a\nExecStart=/bin/evil' plain
	[ "$status" -ne 0 ]
	run m generate systemd --container-prefix ../x plain
	[ "$status" -ne 0 ]
	# Without a name it is the id's.
	run m generate systemd plain
	[ "${lines[0]}" = "# container-$(field plain .Id).service" ]
}

# The words of a unit's command, one a line: systemd.syntax(7), without its variables.
command_words() { # setting, unit file
	python3 - "$1" "$2" <<-'PY'
	import re, sys
	text = open(sys.argv[2]).read().replace("\\\n", " ")
	line = re.search(rf"^{sys.argv[1]}=(.*)$", text, re.M).group(1)
	for quoted, plain in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line):
	    word = re.sub(r"\\(x..|.)", lambda m: chr(int(m[1][1:], 16)) if m[1][0] == "x" and len(m[1]) > 1 else m[1], quoted) if not plain else plain
	    print(word.replace("%%", "%").replace("$$", "$"))
	PY
}

@test "generate systemd --new: a unit that makes a new container at every start" {
	command -v systemd-analyze >/dev/null || skip "no systemd-analyze"
	cd "$BATS_TEST_TMPDIR"
	m_create --name fresh --restart unless-stopped --rm=false -e 'A=x $y 100% "q"' --label 'l=\' -it --stop-timeout 3 \
		busybox:local sh -c 'echo "a b" $A; sleep 1000' >/dev/null
	run -0 m generate systemd --new --files --name --container-prefix c --separator _ -t 5 fresh
	[ "$output" = "$BATS_TEST_TMPDIR/c_fresh.service" ]
	run -0 verified ./c_fresh.service
	grep -qx 'Restart=always' c_fresh.service
	grep -qx 'TimeoutStopSec=65' c_fresh.service
	grep -qx "ExecStartPre=$MASU --root $MASU_ROOT --runroot $MASU_RUNROOT rm --force --ignore fresh" c_fresh.service
	grep -qx "ExecStop=.* stop --ignore --timeout 5 fresh" c_fresh.service
	run ! grep -q -e '--restart' c_fresh.service
	# What it runs works, takes the old one's place, and is gone afterwards.
	local pre create start stop old
	old=$(field fresh .Id)
	mapfile -t pre < <(command_words ExecStartPre c_fresh.service)
	mapfile -t create < <(command_words ExecStartPre <(sed '/^ExecStartPre=.* rm /d' c_fresh.service))
	mapfile -t start < <(command_words ExecStart c_fresh.service)
	mapfile -t stop < <(command_words ExecStop c_fresh.service)
	"${pre[@]}" 3>&- 4>&-
	"${pre[@]}" 3>&- 4>&- # nothing there is no failure, and nothing to tell
	"${create[@]}" >/dev/null 3>&- 4>&-
	"${start[@]}" >out </dev/null 3>&- 4>&- &
	wait_until 5 status_is fresh running
	[ "$(field fresh .Id)" != "$old" ]
	[ "$(field fresh '.Config.Env | map(select(startswith("A=")))[0]')" = 'A=x $y 100% "q"' ]
	[ "$(field fresh .Config.Labels.l)" = '\' ]
	[ "$(field fresh .HostConfig.RestartPolicy.Name)" = no ]
	wait_until 5 grep -q '^a b x \$y 100% "q"' out
	stop=("${stop[@]/#5/0}")
	run -0 "${stop[@]}"
	wait
	gone fresh
	run -0 "${stop[@]}"
	[ -z "$output" ]
}

@test "generate systemd --new quotes as podman's does, and takes the restart policy over as it does" {
	command -v podman >/dev/null || skip "no podman"
	export ORACLE_PODMAN_RUNROOT=/run/podman-unit # the path may not be long
	local policy
	tar -C "$BATS_FILE_TMPDIR/tree" -c . | oracle_podman import -q - busybox:local >/dev/null
	local -a options=(-e 'A=x $y 100% "q" \' -e B=plain --label 'x=a;b' busybox:local sh -c 'echo "a b" '\''c'\'' $A %n')
	for policy in "" on-failure:3 always unless-stopped; do
		oracle_podman create --name same ${policy:+--restart "$policy"} "${options[@]}" >/dev/null
		m_create --name same ${policy:+--restart "$policy"} "${options[@]}" >/dev/null
		oracle_podman generate systemd --new --name same >"$BATS_TEST_TMPDIR/podman"
		m generate systemd --new --name same >"$BATS_TEST_TMPDIR/masu"
		local file setting
		for setting in Restart TimeoutStopSec; do
			[ "$(grep "^$setting=" "$BATS_TEST_TMPDIR/podman")" = "$(grep "^$setting=" "$BATS_TEST_TMPDIR/masu")" ]
		done
		for file in podman masu; do # its own words, behind the name
			sed '/^ExecStartPre=.* rm --force/d; s/^ExecStartPre=.* create/ExecStart=create/; /^ExecStart=.*start --attach/d' "$BATS_TEST_TMPDIR/$file" >"$BATS_TEST_TMPDIR/$file.unit"
			command_words ExecStart "$BATS_TEST_TMPDIR/$file.unit" | sed -n '/^A=/p; /^B=/p; /^x=/p; /^busybox/,$p' >"$BATS_TEST_TMPDIR/$file.words"
		done
		diff "$BATS_TEST_TMPDIR/podman.words" "$BATS_TEST_TMPDIR/masu.words"
		[ "$(head -1 "$BATS_TEST_TMPDIR/masu.words")" = 'A=x $y 100% "q" \' ]
		oracle_podman rm same >/dev/null
		m rm same >/dev/null
	done
}

@test "generate quadlet: podman's settings where it has them, its options else" {
	cd "$BATS_TEST_TMPDIR"
	m_create --name web --restart always -p 8080:80 -v data:/data:ro -e 'A=x $y 100%' --label 'l=a b' --read-only --init \
		-m 64m --health-cmd 'true "x" %' --cap-add NET_ADMIN --entrypoint '' busybox:local sh -c $'a "b"\nc' >/dev/null
	run -0 m generate quadlet --files --after db.service -t 7 web
	[ "$output" = "$BATS_TEST_TMPDIR/web.container" ]
	cat web.container
	cat >wanted <<-'EOF'
	[Unit]
	Description=Container web
	Wants=network-online.target
	After=network-online.target
	After=db.service

	[Container]
	Image=busybox:local
	RunInit=true
	ReadOnly=true
	ContainerName=web
	Network=none
	PodmanArgs=--cgroup-parent GROUP
	AddCapability=NET_ADMIN
	PodmanArgs=--memory 67108864
	Environment="A=x $$y 100%%"
	Label="l=a b"
	ExposeHostPort=80/tcp
	HealthCmd=true "x" %%
	PublishPort=8080:80/tcp
	Volume=data:/data:ro
	PodmanArgs=--entrypoint ""
	Exec=sh -c "a \"b\"\x0ac"

	[Service]
	Restart=always
	TimeoutStopSec=67

	[Install]
	WantedBy=multi-user.target
	EOF
	sed -i "s|GROUP|$GROUP|" wanted
	diff <(LC_ALL=C sort wanted) <(sed 1,3d web.container | LC_ALL=C sort)
	[ "$(head -1 web.container)" = "# web.container" ]
	m_create --name ours --domainname d busybox:local true >/dev/null
	run ! m generate quadlet ours
	[[ "$output" == *"the container has --domainname, which podman has not"* ]]
	m rm web ours
}

@test "the service that runs at boot is what systemd takes" {
	command -v systemd-analyze >/dev/null || skip "no systemd-analyze"
	sed "s|@BINDIR@/masu|$MASU|" "$REPO/units/masu.service.in" >"$BATS_TEST_TMPDIR/masu.service"
	run verified "$BATS_TEST_TMPDIR/masu.service"
	[ "$status" -eq 0 ]
}

@test "system stop stops all, and system start brings back what it stopped" {
	long kept --restart unless-stopped
	long by-hand --restart unless-stopped
	long plain
	m stop -t 0 by-hand >/dev/null
	run m system stop -t 0
	[ "$status" -eq 0 ]
	[ "$(sort <<<"$output")" = "$(printf 'kept\nplain')" ]
	status_is kept exited
	run m system start
	[ "$output" = "kept: started" ]
	status_is by-hand exited
	status_is plain exited
}
