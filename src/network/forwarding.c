#include "network/forwarding.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "sys/fs.h"

static bool setting_is(const char *path, char value)
{
	char text[16];
	return fs_read_small(AT_FDCWD, path, text, sizeof(text)) == 0 && text[0] == value &&
	       text[1] == '\0';
}

bool host_has_ipv6(void)
{
	return access("/proc/net/if_inet6", F_OK) == 0;
}

bool bridge_frames_are_filtered(void)
{
	return setting_is("/proc/sys/net/bridge/bridge-nf-call-iptables", '1') ||
	       setting_is("/proc/sys/net/bridge/bridge-nf-call-ip6tables", '1');
}

static void keep_router_advertisements(const char *bridge)
{
	_cleanup_closedir_ DIR *conf = opendir("/proc/sys/net/ipv6/conf");
	struct dirent *entry;
	while (conf && (entry = readdir(conf))) {
		const char *name = entry->d_name;
		char path[300];
		if (name[0] == '.' || streq(name, "all") || streq(name, "default") ||
		    streq(name, "lo") || streq(name, bridge) ||
		    str_format(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra", name) <
			    0)
			continue;
		if (setting_is(path, '1'))
			(void)fs_write_at(AT_FDCWD, path, "2");
	}
}

static void set_ipv6(const char *interface, const char *key, const char *value)
{
	char path[128];
	if (str_format(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", interface, key) == 0) {
		int r = fs_write_at(AT_FDCWD, path, value);
		if (r < 0)
			log_warn("interface %s: cannot set %s to %s: %s", interface, path, value,
				 strerror(-r));
	}
}

int forwarding_enable(const char *bridge, bool ipv6, struct masu_error *err)
{
	static const char ipv4_path[] = "/proc/sys/net/ipv4/ip_forward";
	static const char ipv6_path[] = "/proc/sys/net/ipv6/conf/all/forwarding";
	if (!setting_is(ipv4_path, '1')) {
		int r = fs_write_at(AT_FDCWD, ipv4_path, "1");
		if (r < 0)
			return error_errno(err, r,
					   "cannot turn IPv4 forwarding on, which bridge networks "
					   "need (sysctl net.ipv4.ip_forward=1)");
	}
	if (!ipv6)
		return 0;
	set_ipv6(bridge, "disable_ipv6", "0");
	set_ipv6(bridge, "accept_ra", "0");
	/* Until duplicate detection of the link-local address is over, the bridge asks for no
	 * neighbour on behalf of others: forwarded connections would fail for two seconds. */
	set_ipv6(bridge, "accept_dad", "0");
	if (!setting_is(ipv6_path, '1')) {
		keep_router_advertisements(bridge);
		int r = fs_write_at(AT_FDCWD, ipv6_path, "1");
		if (r < 0)
			log_warn("cannot turn IPv6 forwarding on (%s): containers have no IPv6 "
				 "beyond this host",
				 strerror(-r));
	}
	return 0;
}

void forwarding_port(const char *name)
{
	if (!setting_is("/proc/sys/net/ipv6/conf/default/disable_ipv6", '0'))
		set_ipv6(name, "disable_ipv6", "0");
	/* With forwarding on, 1 means no. */
	if (setting_is("/proc/sys/net/ipv6/conf/default/accept_ra", '2'))
		set_ipv6(name, "accept_ra", "0");
}

int forwarding_loopback(void)
{
	static const char *const paths[] = { "/proc/sys/net/ipv4/conf/lo/route_localnet",
					     "/proc/sys/net/ipv4/conf/lo/accept_local" };
	int r = 0;
	for (size_t i = 0; i < ARRAY_SIZE(paths) && r == 0; i++)
		if (!setting_is(paths[i], '1'))
			r = fs_write_at(AT_FDCWD, paths[i], "1");
	return r;
}
