#include "network/link.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/str.h"
#include "sys/netlink.h"

#define _cleanup_batch_ __attribute__((cleanup(netlink_batch_free)))

/* ioctls on interfaces work on any socket, so the netlink one serves: half a microsecond. */
static int link_ioctl(int fd, unsigned long request, const char *name, struct ifreq *ifr)
{
	*ifr = (struct ifreq) { 0 };
	if (str_format(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name) < 0)
		return -EINVAL;
	return ioctl(fd, (int)request, ifr) < 0 ? -errno : 0;
}

int link_index(int fd, const char *name)
{
	struct ifreq ifr;
	int r = link_ioctl(fd, SIOCGIFINDEX, name, &ifr);
	return r < 0 ? r : ifr.ifr_ifindex;
}

int link_mtu(int fd, const char *name)
{
	struct ifreq ifr;
	int r = link_ioctl(fd, SIOCGIFMTU, name, &ifr);
	return r < 0 ? r : ifr.ifr_mtu;
}

int link_mac(int fd, const char *name, uint8_t ret[6])
{
	struct ifreq ifr;
	int r = link_ioctl(fd, SIOCGIFHWADDR, name, &ifr);
	if (r == 0)
		memcpy(ret, ifr.ifr_hwaddr.sa_data, 6);
	return r;
}

int link_up(int fd, const char *name)
{
	struct ifreq ifr;
	int r = link_ioctl(fd, SIOCGIFFLAGS, name, &ifr);
	if (r < 0 || (ifr.ifr_flags & IFF_UP))
		return r;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

static void begin_link(struct netlink_batch *batch, uint16_t type, uint16_t flags, int index,
		       unsigned interface_flags)
{
	struct ifinfomsg header = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = index,
		.ifi_flags = interface_flags,
		.ifi_change = interface_flags,
	};
	netlink_begin(batch, type, flags, &header, sizeof(header));
}

static void put_address(struct netlink_batch *batch, int index, int family, const void *address,
			uint8_t prefix)
{
	size_t len = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	struct ifaddrmsg header = {
		.ifa_family = (uint8_t)family,
		.ifa_prefixlen = prefix,
		/* masu gives every address once: nothing to detect, and no second of waiting. */
		.ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = (uint32_t)index,
	};
	netlink_begin(batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof(header));
	netlink_put(batch, IFA_LOCAL, address, len);
	netlink_put(batch, IFA_ADDRESS, address, len);
	if (family == AF_INET && prefix < 31) {
		struct in_addr broadcast = *(const struct in_addr *)address;
		broadcast.s_addr |= htonl((uint32_t)(0xffffffffu >> prefix));
		netlink_put(batch, IFA_BROADCAST, &broadcast, sizeof(broadcast));
	}
}

static void put_addresses(struct netlink_batch *batch, int index,
			  const struct link_addresses *addresses)
{
	put_address(batch, index, AF_INET, &addresses->ipv4, addresses->ipv4_prefix);
	if (addresses->ipv6_prefix)
		put_address(batch, index, AF_INET6, &addresses->ipv6, addresses->ipv6_prefix);
}

static void put_default_route(struct netlink_batch *batch, int index, int family,
			      const void *gateway)
{
	static const struct in6_addr none;
	size_t len = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	if (memcmp(gateway, &none, len) == 0)
		return;
	struct rtmsg header = {
		.rtm_family = (uint8_t)family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};
	netlink_begin(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof(header));
	netlink_put(batch, RTA_GATEWAY, gateway, len);
	netlink_put_u32(batch, RTA_OIF, (uint32_t)index);
}

int link_bridge_create(int fd, const char *name, const uint8_t mac[6], uint32_t mtu,
		       struct masu_error *err)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	netlink_batch_init(&batch);
	begin_link(&batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, 0);
	netlink_put_string(&batch, IFLA_IFNAME, name);
	netlink_put(&batch, IFLA_ADDRESS, mac, 6);
	netlink_put_u32(&batch, IFLA_MTU, mtu);
	size_t info = netlink_nest(&batch, IFLA_LINKINFO);
	netlink_put_string(&batch, IFLA_INFO_KIND, "bridge");
	size_t data = netlink_nest(&batch, IFLA_INFO_DATA);
	/* Without a querier, snooping only delays IPv6 neighbour discovery of new ports. */
	netlink_put_u8(&batch, IFLA_BR_MCAST_SNOOPING, 0);
	netlink_nest_end(&batch, data);
	netlink_nest_end(&batch, info);
	netlink_await(&batch);
	int r = netlink_transact(fd, &batch, NULL);
	if (r == -EOPNOTSUPP)
		return error_set(err, r,
				 "bridge %s: this kernel has no bridge driver (CONFIG_BRIDGE)",
				 name);
	if (r < 0 && r != -EEXIST)
		return error_errno(err, r, "bridge %s: cannot create it", name);
	return r;
}

int link_bridge_setup(int fd, const char *name, const struct link_addresses *addresses,
		      struct masu_error *err)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	struct netlink_failure failure;
	int index = link_index(fd, name);
	if (index < 0)
		return error_errno(err, index, "bridge %s", name);
	netlink_batch_init(&batch);
	/*
	 * route_localnet lets a connection to 127.0.0.1:port reach a container; what a container
	 * sends to 127.0.0.0/8 is dropped by our guard chain. No redirects: they would tell
	 * containers to bypass the address translation.
	 */
	begin_link(&batch, RTM_SETLINK, 0, index, IFF_UP);
	size_t spec = netlink_nest(&batch, IFLA_AF_SPEC);
	size_t inet = netlink_nest(&batch, AF_INET);
	size_t conf = netlink_nest(&batch, IFLA_INET_CONF);
	netlink_put_u32(&batch, IPV4_DEVCONF_ROUTE_LOCALNET, 1);
	netlink_put_u32(&batch, IPV4_DEVCONF_SEND_REDIRECTS, 0);
	netlink_nest_end(&batch, conf);
	netlink_nest_end(&batch, inet);
	netlink_nest_end(&batch, spec);
	put_addresses(&batch, index, addresses);
	netlink_await(&batch);
	int r = netlink_transact(fd, &batch, &failure);
	if (r < 0)
		return error_errno(err, r, "bridge %s: cannot set it up%s%s", name,
				   *failure.text ? ": " : "", failure.text);
	return 0;
}

/* A veth has as many queues as the machine has CPUs, each four objects in sysfs; the driver is
 * lockless, so one is as fast and cheaper to make. */
static void put_one_queue(struct netlink_batch *batch)
{
	netlink_put_u32(batch, IFLA_NUM_TX_QUEUES, 1);
	netlink_put_u32(batch, IFLA_NUM_RX_QUEUES, 1);
}

static void put_port(struct netlink_batch *batch, const char *name, const struct link_port *port)
{
	if (!port->hairpin && !port->isolated)
		return;
	begin_link(batch, RTM_NEWLINK, 0, 0, 0);
	netlink_put_string(batch, IFLA_IFNAME, name);
	size_t info = netlink_nest(batch, IFLA_LINKINFO);
	netlink_put_string(batch, IFLA_INFO_SLAVE_KIND, "bridge");
	size_t data = netlink_nest(batch, IFLA_INFO_SLAVE_DATA);
	if (port->hairpin)
		netlink_put_u8(batch, IFLA_BRPORT_MODE, 1);
	if (port->isolated)
		netlink_put_u8(batch, IFLA_BRPORT_ISOLATED, 1);
	netlink_nest_end(batch, data);
	netlink_nest_end(batch, info);
}

static void put_veth(struct netlink_batch *batch, const struct link_veth *veth)
{
	begin_link(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, IFF_UP);
	netlink_put_string(batch, IFLA_IFNAME, veth->host_name);
	netlink_put_u32(batch, IFLA_MTU, veth->mtu);
	netlink_put_u32(batch, IFLA_MASTER, (uint32_t)veth->bridge_index);
	put_one_queue(batch);
	size_t info = netlink_nest(batch, IFLA_LINKINFO);
	netlink_put_string(batch, IFLA_INFO_KIND, "veth");
	size_t data = netlink_nest(batch, IFLA_INFO_DATA);
	size_t peer = netlink_nest(batch, VETH_INFO_PEER);
	/* Not up yet: the driver refuses that for an end whose other end is not there. */
	struct ifinfomsg inner = { 0 };
	netlink_put_raw(batch, &inner, sizeof(inner));
	netlink_put_string(batch, IFLA_IFNAME, veth->name);
	netlink_put(batch, IFLA_ADDRESS, veth->mac, 6);
	netlink_put_u32(batch, IFLA_MTU, veth->mtu);
	put_one_queue(batch);
	netlink_put_u32(batch, IFLA_NET_NS_FD, (uint32_t)veth->netns_fd);
	netlink_nest_end(batch, peer);
	netlink_nest_end(batch, data);
	netlink_nest_end(batch, info);
}

/*
 * The bridge sends frames for @mac to this port and does not learn otherwise. An address may be
 * given again while the interface of its last container still waits for the kernel to remove it:
 * neither what it still sends nor what the bridge remembers may lead frames there.
 */
static void put_forwarding_entry(struct netlink_batch *batch, int index, const uint8_t *mac)
{
	struct ndmsg header = {
		.ndm_family = AF_BRIDGE,
		.ndm_ifindex = index,
		.ndm_state = NUD_NOARP,
		.ndm_flags = NTF_MASTER | NTF_STICKY,
	};
	netlink_begin(batch, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof(header));
	netlink_put(batch, NDA_LLADDR, mac, 6);
}

int link_veth_create(int fd, const struct link_veth *veth, struct masu_error *err)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	struct netlink_failure failure;
	netlink_batch_init(&batch);
	put_veth(&batch, veth);
	netlink_await(&batch);
	int r = netlink_transact(fd, &batch, &failure);
	if (r == -EEXIST)
		return r;
	if (r == 0) {
		netlink_batch_reset(&batch);
		put_forwarding_entry(&batch, link_index(fd, veth->host_name), veth->mac);
		put_port(&batch, veth->host_name, &veth->port);
		netlink_await(&batch);
		r = netlink_transact(fd, &batch, &failure);
	}
	if (r == 0)
		return 0;
	/* Where the bridge went away in between, the pair may exist without it. */
	link_delete(fd, veth->host_name);
	if (r == -ENODEV || r == -EINVAL)
		return -ENODEV;
	if (r == -EOPNOTSUPP)
		return error_set(err, r, "this kernel has no veth driver (CONFIG_VETH)");
	return error_errno(err, r, "veth pair %s: cannot create it%s%s", veth->host_name,
			   *failure.text ? ": " : "", failure.text);
}

int link_attach(int fd, const char *name, int bridge_index, const struct link_port *port)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	netlink_batch_init(&batch);
	begin_link(&batch, RTM_SETLINK, 0, 0, IFF_UP);
	netlink_put_string(&batch, IFLA_IFNAME, name);
	netlink_put_u32(&batch, IFLA_MASTER, (uint32_t)bridge_index);
	put_port(&batch, name, port);
	netlink_await(&batch);
	return netlink_transact(fd, &batch, NULL);
}

int link_configure(int fd, const char *name, const struct link_addresses *addresses,
		   const struct link_addresses *gateways, bool *ret_ipv6, struct masu_error *err)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	struct netlink_failure failure;
	int index = link_index(fd, name), loopback = link_index(fd, "lo");
	if (index < 0 || loopback < 0)
		return error_errno(err, index < 0 ? index : loopback,
				   "interface %s is not in the container's network namespace",
				   index < 0 ? name : "lo");
	netlink_batch_init(&batch);
	begin_link(&batch, RTM_SETLINK, 0, loopback, IFF_UP);
	begin_link(&batch, RTM_SETLINK, 0, index, IFF_UP);
	put_address(&batch, index, AF_INET, &addresses->ipv4, addresses->ipv4_prefix);
	put_default_route(&batch, index, AF_INET, &gateways->ipv4);
	uint32_t ipv4_last = batch.sequence;
	if (addresses->ipv6_prefix) {
		put_address(&batch, index, AF_INET6, &addresses->ipv6, addresses->ipv6_prefix);
		put_default_route(&batch, index, AF_INET6, &gateways->ipv6);
	}
	netlink_await(&batch);
	int r = netlink_transact(fd, &batch, &failure);
	/* net.ipv6.conf.*.disable_ipv6 is set in the container's namespace: as it wants. */
	bool refused = r == -EACCES && failure.sequence > ipv4_last;
	if (r < 0 && !refused)
		return error_errno(err, r, "interface %s: cannot set addresses and routes%s%s",
				   name, *failure.text ? ": " : "", failure.text);
	*ret_ipv6 = addresses->ipv6_prefix && !refused;
	return 0;
}

int link_route(int fd, const char *name, const struct link_addresses *gateways)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	int index = link_index(fd, name);
	if (index < 0)
		return index;
	netlink_batch_init(&batch);
	put_default_route(&batch, index, AF_INET, &gateways->ipv4);
	put_default_route(&batch, index, AF_INET6, &gateways->ipv6);
	if (batch.sequence == 0)
		return 0;
	netlink_await(&batch);
	return netlink_transact(fd, &batch, NULL);
}

int link_macvlan_create(int fd, const struct link_veth *link, struct masu_error *err)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	struct netlink_failure failure;
	netlink_batch_init(&batch);
	begin_link(&batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, 0);
	netlink_put_string(&batch, IFLA_IFNAME, link->name);
	netlink_put(&batch, IFLA_ADDRESS, link->mac, 6);
	if (link->mtu)
		netlink_put_u32(&batch, IFLA_MTU, link->mtu);
	netlink_put_u32(&batch, IFLA_LINK, (uint32_t)link->bridge_index);
	netlink_put_u32(&batch, IFLA_NET_NS_FD, (uint32_t)link->netns_fd);
	size_t info = netlink_nest(&batch, IFLA_LINKINFO);
	netlink_put_string(&batch, IFLA_INFO_KIND, "macvlan");
	size_t data = netlink_nest(&batch, IFLA_INFO_DATA);
	netlink_put_u32(&batch, IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE);
	netlink_nest_end(&batch, data);
	netlink_nest_end(&batch, info);
	netlink_await(&batch);
	int r = netlink_transact(fd, &batch, &failure);
	if (r == -EOPNOTSUPP)
		return error_set(err, r, "this kernel has no macvlan driver (CONFIG_MACVLAN)");
	if (r < 0 && r != -EEXIST)
		return error_errno(err, r, "macvlan interface: cannot create it%s%s",
				   *failure.text ? ": " : "", failure.text);
	return r;
}

int link_delete(int fd, const char *name)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	netlink_batch_init(&batch);
	begin_link(&batch, RTM_DELLINK, 0, 0, 0);
	netlink_put_string(&batch, IFLA_IFNAME, name);
	netlink_await(&batch);
	int r = netlink_transact(fd, &batch, NULL);
	return r == -ENODEV ? 0 : r;
}

struct route_walk {
	int (*route)(void *opaque, struct in_addr destination, uint8_t prefix, int interface);
	void *opaque;
};

static int route_item(void *opaque, uint16_t type, const void *payload, size_t len)
{
	const struct route_walk *walk = opaque;
	struct rtmsg header;
	if (type != RTM_NEWROUTE || len < sizeof(header))
		return 0;
	memcpy(&header, payload, sizeof(header));
	struct in_addr destination = { 0 };
	int interface = 0;
	size_t size, fixed = NLMSG_ALIGN(sizeof(header));
	const char *attributes = (const char *)payload + fixed;
	const void *found = netlink_find(attributes, len - fixed, RTA_DST, &size);
	if (found && size == sizeof(destination))
		memcpy(&destination, found, size);
	found = netlink_find(attributes, len - fixed, RTA_OIF, &size);
	if (found && size == sizeof(interface))
		memcpy(&interface, found, size);
	return walk->route(walk->opaque, destination, header.rtm_dst_len, interface);
}

int link_each_route4(int fd,
		     int (*route)(void *opaque, struct in_addr destination, uint8_t prefix,
				  int interface),
		     void *opaque)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	struct rtmsg header = { .rtm_family = AF_INET };
	struct route_walk walk = { route, opaque };
	netlink_batch_init(&batch);
	netlink_begin(&batch, RTM_GETROUTE, NLM_F_DUMP, &header, sizeof(header));
	return netlink_dump(fd, &batch, route_item, &walk);
}

struct default_mtu {
	int fd;
	uint32_t mtu;
};

static int note_default_mtu(void *opaque, struct in_addr destination, uint8_t prefix, int interface)
{
	struct default_mtu *found = opaque;
	struct ifreq ifr = { .ifr_ifindex = interface };
	if (prefix != 0 || !interface || ioctl(found->fd, SIOCGIFNAME, &ifr) < 0 ||
	    ioctl(found->fd, SIOCGIFMTU, &ifr) < 0)
		return 0;
	found->mtu = (uint32_t)ifr.ifr_mtu;
	return 1;
}

uint32_t link_default_mtu(int fd)
{
	struct default_mtu found = { fd, 1500 };
	(void)link_each_route4(fd, note_default_mtu, &found);
	return found.mtu;
}

static int note_local(void *opaque, uint16_t type, const void *payload, size_t len)
{
	struct rtmsg header;
	if (type == RTM_NEWROUTE && len >= sizeof(header)) {
		memcpy(&header, payload, sizeof(header));
		*(bool *)opaque = header.rtm_type == RTN_LOCAL;
	}
	return 0;
}

int link_is_local(int fd, int family, const void *address)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	uint8_t bits = family == AF_INET ? 32 : 128;
	struct rtmsg header = { .rtm_family = (uint8_t)family, .rtm_dst_len = bits };
	bool local = false;
	netlink_batch_init(&batch);
	netlink_begin(&batch, RTM_GETROUTE, 0, &header, sizeof(header));
	netlink_put(&batch, RTA_DST, address, bits / 8);
	int r = netlink_dump(fd, &batch, note_local, &local);
	return r < 0 ? r : local;
}
