#include "network/link.h"

#include <arpa/inet.h>
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
#include "network/forwarding.h"
#include "sys/netlink.h"

#define _cleanup_batch_ __attribute__((cleanup(netlink_batch_free)))

/* The host's end of each routed pair. */
static const uint8_t host_mac[6] = { 0x02, 0x42, 169, 254, 1, 1 };

struct in_addr link_next_hop4(void)
{
	return (struct in_addr) { htonl(0xa9fe0101) };
}

struct in6_addr link_next_hop6(void)
{
	return (struct in6_addr) { .s6_addr = { 0xfe, 0x80, [15] = 1 } };
}

static bool link_is_next_hop(struct in_addr address)
{
	return address.s_addr == link_next_hop4().s_addr;
}

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
		.ifa_scope = family == AF_INET && link_is_next_hop(*(const struct in_addr *)address)
				     ? RT_SCOPE_LINK
				     : RT_SCOPE_UNIVERSE,
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

static const struct in6_addr nowhere;

/* To @destination by @gateway, from @source; NULL: none of these. */
static void put_route(struct netlink_batch *batch, int index, int family, const void *destination,
		      uint8_t prefix, const void *gateway, const void *source)
{
	size_t len = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	struct rtmsg header = {
		.rtm_family = (uint8_t)family,
		.rtm_dst_len = prefix,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST,
	};
	/* No address of the interface's says that the next hop is there. */
	if (gateway && family == AF_INET && link_is_next_hop(*(const struct in_addr *)gateway))
		header.rtm_flags = RTNH_F_ONLINK;
	netlink_begin(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof(header));
	if (destination)
		netlink_put(batch, RTA_DST, destination, len);
	if (gateway)
		netlink_put(batch, RTA_GATEWAY, gateway, len);
	if (source)
		netlink_put(batch, RTA_PREFSRC, source, len);
	netlink_put_u32(batch, RTA_OIF, (uint32_t)index);
}

static void put_default_route(struct netlink_batch *batch, int index, int family,
			      const void *gateway)
{
	size_t len = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	if (memcmp(gateway, &nowhere, len) != 0)
		put_route(batch, index, family, NULL, 0, gateway, NULL);
}

static void put_neighbour(struct netlink_batch *batch, int index, int family, const void *address,
			  const uint8_t *mac)
{
	size_t len = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	struct ndmsg header = { .ndm_family = (uint8_t)family,
				.ndm_ifindex = index,
				.ndm_state = NUD_PERMANENT };
	netlink_begin(batch, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof(header));
	netlink_put(batch, NDA_DST, address, len);
	netlink_put(batch, NDA_LLADDR, mac, 6);
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

/*
 * route_localnet lets a connection to 127.0.0.1:port reach a container; what a container sends to
 * 127.0.0.0/8 is dropped by our guard chain. No redirects: they would tell containers to bypass the
 * address translation.
 */
static void put_ipv4_settings(struct netlink_batch *batch)
{
	size_t inet = netlink_nest(batch, AF_INET);
	size_t conf = netlink_nest(batch, IFLA_INET_CONF);
	netlink_put_u32(batch, IPV4_DEVCONF_ROUTE_LOCALNET, 1);
	netlink_put_u32(batch, IPV4_DEVCONF_SEND_REDIRECTS, 0);
	netlink_nest_end(batch, conf);
	netlink_nest_end(batch, inet);
}

int link_bridge_setup(int fd, const char *name, const struct link_addresses *addresses,
		      bool next_hop, struct masu_error *err)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	struct netlink_failure failure;
	int index = link_index(fd, name);
	if (index < 0)
		return error_errno(err, index, "bridge %s", name);
	netlink_batch_init(&batch);
	begin_link(&batch, RTM_SETLINK, 0, index, IFF_UP);
	size_t spec = netlink_nest(&batch, IFLA_AF_SPEC);
	put_ipv4_settings(&batch);
	netlink_nest_end(&batch, spec);
	put_addresses(&batch, index, addresses);
	if (next_hop) {
		const struct in_addr own = link_next_hop4();
		put_address(&batch, index, AF_INET, &own, 32);
	}
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
	begin_link(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, veth->routed ? 0 : IFF_UP);
	netlink_put_string(batch, IFLA_IFNAME, veth->host_name);
	netlink_put_u32(batch, IFLA_MTU, veth->mtu);
	if (veth->routed)
		netlink_put(batch, IFLA_ADDRESS, host_mac, 6);
	else
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

/*
 * The host's end of a routed pair: the next hop of the container, and the way to it. Neither side
 * has to ask for the other. Without @mac only the routes, which go with the addresses they are
 * from.
 */
static void put_routed(struct netlink_batch *batch, int index, const struct link_routed *routed,
		       const uint8_t *mac)
{
	const struct in6_addr own = link_next_hop6();
	begin_link(batch, RTM_SETLINK, 0, index, 0);
	size_t spec = netlink_nest(batch, IFLA_AF_SPEC);
	put_ipv4_settings(batch);
	if (routed->addresses.ipv6_prefix) {
		size_t inet6 = netlink_nest(batch, AF_INET6);
		netlink_put_u8(batch, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
		netlink_nest_end(batch, inet6);
	}
	netlink_nest_end(batch, spec);
	begin_link(batch, RTM_SETLINK, 0, index, IFF_UP);
	put_route(batch, index, AF_INET, &routed->addresses.ipv4, 32, NULL, &routed->host.ipv4);
	if (mac)
		put_neighbour(batch, index, AF_INET, &routed->addresses.ipv4, mac);
	if (!routed->addresses.ipv6_prefix)
		return;
	put_address(batch, index, AF_INET6, &own, 64);
	put_route(batch, index, AF_INET6, &routed->addresses.ipv6, 128, NULL, &routed->host.ipv6);
	if (mac)
		put_neighbour(batch, index, AF_INET6, &routed->addresses.ipv6, mac);
}

int link_routed_setup(int fd, const char *name, const struct link_routed *routed,
		      const uint8_t *mac)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	int index = link_index(fd, name);
	if (index < 0)
		return index;
	netlink_batch_init(&batch);
	put_routed(&batch, index, routed, mac);
	netlink_await(&batch);
	return netlink_transact(fd, &batch, NULL);
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
		int index = link_index(fd, veth->host_name);
		if (veth->routed) {
			if (veth->routed->addresses.ipv6_prefix)
				forwarding_port(veth->host_name);
			put_routed(&batch, index, veth->routed, veth->mac);
		} else {
			put_forwarding_entry(&batch, index, veth->mac);
			put_port(&batch, veth->host_name, &veth->port);
		}
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

/* The network's other containers are behind the next hop, too. */
static void put_way(struct netlink_batch *batch, int index, int family,
		    const struct link_routed *routed)
{
	const struct in_addr hop4 = link_next_hop4();
	const struct in6_addr hop6 = link_next_hop6();
	if (family == AF_INET) {
		put_neighbour(batch, index, family, &hop4, host_mac);
		put_route(batch, index, family, &routed->subnet.ipv4, routed->subnet.ipv4_prefix,
			  &hop4, NULL);
	} else {
		put_neighbour(batch, index, family, &hop6, host_mac);
		put_route(batch, index, family, &routed->subnet.ipv6, routed->subnet.ipv6_prefix,
			  &hop6, NULL);
	}
}

int link_configure(int fd, const char *name, const struct link_addresses *addresses,
		   const struct link_addresses *gateways, const struct link_routed *routed,
		   bool *ret_ipv6, struct masu_error *err)
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
	if (routed)
		put_way(&batch, index, AF_INET, routed);
	put_default_route(&batch, index, AF_INET, &gateways->ipv4);
	uint32_t ipv4_last = batch.sequence;
	if (addresses->ipv6_prefix) {
		put_address(&batch, index, AF_INET6, &addresses->ipv6, addresses->ipv6_prefix);
		if (routed)
			put_way(&batch, index, AF_INET6, routed);
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

void link_put_child(struct netlink_batch *batch, const struct link_veth *link,
		    const struct link_ipvlan *ipvlan)
{
	begin_link(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, 0);
	netlink_put_string(batch, IFLA_IFNAME, link->name);
	/* All of ipvlan's have their parent's. */
	if (!ipvlan)
		netlink_put(batch, IFLA_ADDRESS, link->mac, 6);
	if (link->mtu)
		netlink_put_u32(batch, IFLA_MTU, link->mtu);
	netlink_put_u32(batch, IFLA_LINK, (uint32_t)link->bridge_index);
	netlink_put_u32(batch, IFLA_NET_NS_FD, (uint32_t)link->netns_fd);
	size_t info = netlink_nest(batch, IFLA_LINKINFO);
	netlink_put_string(batch, IFLA_INFO_KIND, ipvlan ? "ipvlan" : "macvlan");
	size_t data = netlink_nest(batch, IFLA_INFO_DATA);
	if (ipvlan) {
		netlink_put(batch, IFLA_IPVLAN_MODE, &ipvlan->mode, sizeof(ipvlan->mode));
		netlink_put(batch, IFLA_IPVLAN_FLAGS, &ipvlan->flags, sizeof(ipvlan->flags));
	} else {
		netlink_put_u32(batch, IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE);
	}
	netlink_nest_end(batch, data);
	netlink_nest_end(batch, info);
	netlink_await(batch);
}

int link_child_create(int fd, const struct link_veth *link, const struct link_ipvlan *ipvlan,
		      struct masu_error *err)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	struct netlink_failure failure;
	const char *kind = ipvlan ? "ipvlan" : "macvlan";
	netlink_batch_init(&batch);
	link_put_child(&batch, link, ipvlan);
	int r = netlink_transact(fd, &batch, &failure);
	if (r == -EOPNOTSUPP)
		return error_set(err, r, "this kernel has no %s driver (CONFIG_%s)", kind,
				 ipvlan ? "IPVLAN" : "MACVLAN");
	if (r < 0 && r != -EEXIST)
		return error_errno(err, r, "%s interface: cannot create it%s%s", kind,
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
