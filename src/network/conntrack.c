#include "network/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>

#include "base/log.h"
#include "network/link.h"
#include "network/nft_expr.h"

#ifndef CTA_FILTER_F_CTA_PROTO_NUM
/* Linux 5.8; the constants are not in its exported headers. */
#define CTA_FILTER_F_CTA_PROTO_NUM (1u << 3)
#endif

struct walk {
	int route_fd;
	int family;
	const struct network_port *ports;
	size_t count;
	const struct nft_target *target;
	struct netlink_batch *deletions;
	bool found;
};

static void begin(struct netlink_batch *batch, uint16_t message, uint16_t flags, int family)
{
	struct nfgenmsg header = { .nfgen_family = (uint8_t)family, .version = NFNETLINK_V0 };
	netlink_begin(batch, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | message), flags, &header,
		      sizeof(header));
}

/* One direction of a connection, as far as it matters here. */
struct tuple {
	uint8_t protocol;
	uint16_t destination_port;
	size_t address_len;
	uint8_t source[16], destination[16];
};

static bool copy_address(const void *ip, size_t len, uint16_t type, size_t want, uint8_t *ret)
{
	size_t size;
	const void *found = ip ? netlink_find(ip, len, type, &size) : NULL;
	if (!found || size != want)
		return false;
	memcpy(ret, found, want);
	return true;
}

static bool parse_tuple(const void *attributes, size_t len, uint16_t type, int family,
			struct tuple *ret)
{
	size_t size, ip_len, proto_len;
	bool v6 = family == AF_INET6;
	struct tuple tuple = { .address_len = v6 ? 16 : 4 };
	const void *nest = netlink_find(attributes, len, type, &size);
	if (!nest)
		return false;
	const void *ip = netlink_find(nest, size, CTA_TUPLE_IP, &ip_len);
	const void *proto = netlink_find(nest, size, CTA_TUPLE_PROTO, &proto_len);
	if (!proto ||
	    !copy_address(ip, ip_len, v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, tuple.address_len,
			  tuple.source) ||
	    !copy_address(ip, ip_len, v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, tuple.address_len,
			  tuple.destination))
		return false;
	const void *number = netlink_find(proto, proto_len, CTA_PROTO_NUM, &size);
	if (!number || size != sizeof(tuple.protocol))
		return false;
	memcpy(&tuple.protocol, number, size);
	const void *port = netlink_find(proto, proto_len, CTA_PROTO_DST_PORT, &size);
	if (!port || size != sizeof(tuple.destination_port))
		return false;
	memcpy(&tuple.destination_port, port, size);
	tuple.destination_port = ntohs(tuple.destination_port);
	*ret = tuple;
	return true;
}

static bool is_published(const struct walk *walk, const struct tuple *tuple)
{
	static const uint8_t any[16];
	for (size_t i = 0; i < walk->count; i++) {
		const struct network_port *port = &walk->ports[i];
		if (port->protocol != NETWORK_UDP || port->host_port != tuple->destination_port)
			continue;
		if (!port->host_ip_set ||
		    (port->host_family == walk->family &&
		     (memcmp(&port->host_ip, any, tuple->address_len) == 0 ||
		      memcmp(&port->host_ip, tuple->destination, tuple->address_len) == 0)))
			return true;
	}
	return false;
}

static int note_connection(void *opaque, uint16_t type, const void *payload, size_t len)
{
	struct walk *walk = opaque;
	struct tuple original, reply;
	size_t size;
	if (len < sizeof(struct nfgenmsg))
		return 0;
	const char *attributes = (const char *)payload + sizeof(struct nfgenmsg);
	len -= sizeof(struct nfgenmsg);
	if (!parse_tuple(attributes, len, CTA_TUPLE_ORIG, walk->family, &original) ||
	    !parse_tuple(attributes, len, CTA_TUPLE_REPLY, walk->family, &reply) ||
	    original.protocol != IPPROTO_UDP || !is_published(walk, &original))
		return 0;
	const void *target =
		walk->family == AF_INET6 ? (const void *)&walk->target->ipv6 : &walk->target->ipv4;
	if (memcmp(reply.source, target, reply.address_len) == 0)
		return 0;
	/* Others' connections to the same port elsewhere are none of ours. */
	if (link_is_local(walk->route_fd, walk->family, original.destination) <= 0)
		return 0;
	const void *tuple = netlink_find(attributes, len, CTA_TUPLE_ORIG, &size);
	begin(walk->deletions, IPCTNL_MSG_CT_DELETE, 0, walk->family);
	netlink_put(walk->deletions, CTA_TUPLE_ORIG | NLA_F_NESTED, tuple, size);
	const void *zone = netlink_find(attributes, len, CTA_ZONE, &size);
	if (zone)
		netlink_put(walk->deletions, CTA_ZONE, zone, size);
	walk->found = true;
	return 0;
}

/* Asks for UDP only (the filter needs one family); a kernel that does not know the filter sends
 * everything. */
static void put_query(struct netlink_batch *batch, int family)
{
	begin(batch, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family);
	size_t tuple = netlink_nest(batch, CTA_TUPLE_ORIG);
	size_t proto = netlink_nest(batch, CTA_TUPLE_PROTO);
	netlink_put_u8(batch, CTA_PROTO_NUM, IPPROTO_UDP);
	netlink_nest_end(batch, proto);
	netlink_nest_end(batch, tuple);
	size_t filter = netlink_nest(batch, CTA_FILTER);
	netlink_put_u32(batch, CTA_FILTER_ORIG_FLAGS, CTA_FILTER_F_CTA_PROTO_NUM);
	netlink_put_u32(batch, CTA_FILTER_REPLY_FLAGS, 0);
	netlink_nest_end(batch, filter);
}

static void forget_family(struct walk *walk, int nft_fd, int family)
{
	_cleanup_batch_ struct netlink_batch query = { 0 };
	_cleanup_batch_ struct netlink_batch deletions = { 0 };
	netlink_batch_init(&query);
	netlink_batch_init(&deletions);
	walk->family = family;
	walk->deletions = &deletions;
	walk->found = false;
	put_query(&query, family);
	int r = netlink_dump(nft_fd, &query, note_connection, walk);
	if (r == 0 && walk->found) {
		netlink_await(&deletions);
		r = netlink_transact(nft_fd, &deletions, NULL);
	}
	/* ENOENT: it ended by itself. */
	if (r < 0 && r != -ENOENT)
		log_debug("tracked UDP connections: %s", strerror(-r));
}

void conntrack_forget_udp(int nft_fd, int route_fd, const struct network_port *ports, size_t count,
			  const struct nft_target *target)
{
	struct walk walk = {
		.route_fd = route_fd, .ports = ports, .count = count, .target = target
	};
	bool v4 = false, v6 = false;
	for (size_t i = 0; i < count; i++) {
		if (ports[i].protocol != NETWORK_UDP)
			continue;
		v4 |= !ports[i].host_ip_set || ports[i].host_family == AF_INET;
		v6 |= !ports[i].host_ip_set || ports[i].host_family == AF_INET6;
	}
	if (v4)
		forget_family(&walk, nft_fd, AF_INET);
	if (v6 && target->has_ipv6)
		forget_family(&walk, nft_fd, AF_INET6);
}
