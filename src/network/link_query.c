/* Asking for the host's interfaces and routes, for link.h. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/ioctl.h>

#include "network/link.h"
#include "sys/netlink.h"

#define _cleanup_batch_ __attribute__((cleanup(netlink_batch_free)))

struct link_walk {
	int (*link)(void *opaque, const struct link_facts *facts);
	void *opaque;
};

static int link_item(void *opaque, uint16_t type, const void *payload, size_t len)
{
	const struct link_walk *walk = opaque;
	struct ifinfomsg header;
	size_t size, fixed = NLMSG_ALIGN(sizeof(header));
	if (type != RTM_NEWLINK || len < sizeof(header))
		return 0;
	memcpy(&header, payload, sizeof(header));
	const void *master =
		netlink_find((const char *)payload + fixed, len - fixed, IFLA_MASTER, &size);
	const char *name =
		netlink_find((const char *)payload + fixed, len - fixed, IFLA_IFNAME, &size);
	const struct link_facts facts = { .index = header.ifi_index,
					  .name = name && size && !name[size - 1] ? name : "",
					  .type = header.ifi_type,
					  .has_master = master != NULL };
	return walk->link(walk->opaque, &facts);
}

int link_each(int fd, int (*link)(void *opaque, const struct link_facts *facts), void *opaque)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	struct link_walk walk = { link, opaque };
	netlink_batch_init(&batch);
	netlink_begin(&batch, RTM_GETLINK, NLM_F_DUMP, &header, sizeof(header));
	return netlink_dump(fd, &batch, link_item, &walk);
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
