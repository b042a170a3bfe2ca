# Beside the firewalls that Debian has: ufw, firewalld, and nftables.service's `flush ruleset`. Rules of
# masu's outlive their reload or come back, and what they block stays blocked as docs/networking.md says.

setup_file() {
	load ../lib/engine.bash
	engine_setup_file
	ip link set lo up
	load ../lib/lan.bash
	lan_make
	ip -n lan route add default via 10.9.0.1
	ip netns exec lan python3 -m http.server -d "$BATS_FILE_TMPDIR/tree/data" 9000 >/dev/null 2>&1 3>&- 4>&- &
	echo $! >"$BATS_FILE_TMPDIR/lan.pid"
	# What they write is this file's own.
	local dir
	for dir in /etc/ufw /etc/default /etc/firewalld; do
		[ -d $dir ] || continue
		cp -a $dir "$BATS_FILE_TMPDIR/${dir//\//_}"
		mount --bind "$BATS_FILE_TMPDIR/${dir//\//_}" $dir
	done
}

setup() {
	load ../lib/engine.bash
	daemons=()
}

teardown() {
	[ ${#daemons[@]} -eq 0 ] || kill "${daemons[@]}" 2>/dev/null || true
	remove_all
	nft flush ruleset
}

teardown_file() {
	engine_teardown_file
	kill "$(cat "$BATS_FILE_TMPDIR/lan.pid")" || true
	umount /etc/ufw /etc/default /etc/firewalld 2>/dev/null || true
	ip netns del lan
}

web() { # name, options of run …
	local name=$1
	shift
	m_run -d --name "$name" --network bridge "$@" busybox:local httpd -f -p 80 -h /data >/dev/null
}

from_lan() { ip netns exec lan curl -fs --max-time 3 "http://10.9.0.1:$1/hello"; }
from_host() { curl -fs --max-time 3 "http://127.0.0.1:$1/hello"; }
open_to_lan() { wait_until 5 from_lan "$1"; }
closed_to_lan() {
	run from_lan "$1"
	[ "$status" -ne 0 ]
}
out_of() { timeout 5 "$MASU" exec "$1" wget -qO- http://10.9.0.2:9000/hello 3>&- 4>&-; }
# It is, once the server listens.
is_direct() { [ "$(field straight '.NetworkSettings.Ports["80/tcp"][0].Mode')" = direct ]; }
masu_rules() { nft list table inet masu0; }

@test "ufw: what it blocks is blocked, what it allows is open, a reload loses nothing" {
	command -v ufw || skip "ufw is not installed"
	web web -p 8080:80
	web straight -p 8081:80,mode=direct
	open_to_lan 8080
	wait_until 5 from_lan 8081
	local before mode
	wait_seconds 5 is_direct || true # where the kernel cannot, it stays translated
	mode=$(field straight '.NetworkSettings.Ports["80/tcp"][0].Mode')
	before=$(masu_rules)
	sed -i 's/^ENABLED=.*/ENABLED=yes/; s/^LOGLEVEL=.*/LOGLEVEL=off/' /etc/ufw/ufw.conf
	ufw --force enable
	closed_to_lan 8080
	closed_to_lan 8081
	from_host 8080
	run out_of web
	[ "$status" -ne 0 ]
	# The container's port, on its way through the host; the host's own, where the server listens there.
	ufw route allow proto tcp to any port 80
	open_to_lan 8080
	if [ "$mode" = direct ]; then
		closed_to_lan 8081
		ufw allow 8081/tcp
	fi
	open_to_lan 8081
	ufw route allow in on masu0
	wait_until 5 out_of web
	ufw reload
	[ "$(masu_rules)" = "$before" ]
	open_to_lan 8080
	open_to_lan 8081
	# A container that comes while it is on.
	web late -p 8082:80
	open_to_lan 8082
	ufw --force disable
	[ "$(nft list table inet masu0 | grep -c 808)" = "$(( $(grep -c 808 <<<"$before") + 2 ))" ]
	open_to_lan 8080
}

@test "firewalld: reloads lose nothing; translated ports are open, direct ones as the zone says" {
	command -v firewalld || skip "firewalld is not installed"
	mkdir -p /run/dbus
	dbus-daemon --system --nofork --nopidfile >/dev/null 2>&1 3>&- 4>&- &
	daemons+=($!)
	wait_until 5 test -S /run/dbus/system_bus_socket
	firewalld --nofork --nopid >"$BATS_TEST_TMPDIR/log" 2>&1 3>&- 4>&- &
	daemons+=($!)
	wait_until 20 firewall-cmd --state
	firewall-cmd --zone=public --add-interface=lan0
	web web -p 8080:80
	web straight -p 8081:80,mode=direct
	local before mode
	wait_seconds 5 is_direct || true # where the kernel cannot, it stays translated
	mode=$(field straight '.NetworkSettings.Ports["80/tcp"][0].Mode')
	before=$(masu_rules)
	# Its forward chain accepts all that was translated, whoever did it.
	open_to_lan 8080
	from_host 8080
	if [ "$mode" = direct ]; then
		closed_to_lan 8081
		firewall-cmd --zone=public --add-port=8081/tcp
	fi
	open_to_lan 8081
	# Interfaces that nobody put into a zone are in the default one, which forwards within itself.
	out_of web
	firewall-cmd --permanent --zone=trusted --add-interface=masu0
	firewall-cmd --reload
	[ "$(masu_rules)" = "$before" ]
	open_to_lan 8080
	firewall-cmd --zone=public --add-interface=lan0
	wait_until 5 out_of web
	firewall-cmd --complete-reload
	[ "$(masu_rules)" = "$before" ]
	open_to_lan 8080
}

@test "flush ruleset: what runs gets its rules again by the next container, system start or system check" {
	m network create -d routed --subnet 10.61.0.0/16 far >/dev/null
	web web -p 8080:80
	m_run -d --name other --network far -p 8090:80 busybox:local httpd -f -p 80 -h /data >/dev/null
	open_to_lan 8080
	open_to_lan 8090
	local before
	before=$(nft list ruleset)
	nft flush ruleset
	closed_to_lan 8080
	run m system check
	[ "$status" -ne 0 ]
	[ "$(grep -c "nf_tables table was removed while containers use it" <<<"$output")" = 2 ]
	m system start
	open_to_lan 8080
	open_to_lan 8090
	[ "$(nft list ruleset | sort)" = "$(sort <<<"$before")" ]
	m system check
	# The interfaces, too; and what system check says it repairs it has repaired.
	ip link del masu0
	nft flush ruleset
	run m system check --repair
	[[ $output == *"they are made again, with all published ports"* ]]
	open_to_lan 8080
	m exec web ping -c1 -W2 10.9.0.2
	nft flush ruleset
	web late -p 8082:80
	open_to_lan 8080
	open_to_lan 8082
}
