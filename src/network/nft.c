#include "network/nft.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/str.h"
#include "network/nft_expr.h"
#include "network/tcx_layout.h"

/*
 * nft(8)'s numbers of the types that stand in our maps; the kernel only stores them, `nft list`
 * needs them to print the elements. A concatenation is the types shifted by six bits each.
 */
enum { TYPE_IPV4 = 7, TYPE_IPV6 = 8, TYPE_PROTO = 12, TYPE_SERVICE = 13 };

/* What is left of expired elements is freed that often; in between it costs 200 bytes each. */
#define GC_INTERVAL_MS 60000

enum map { MAP_PORT4, MAP_ADDR4, MAP_PORT6, MAP_ADDR6, MAP_COUNT };

static const struct {
	const char *name;
	uint32_t key_type, key_size, data_type, data_size;
} maps[MAP_COUNT] = {
	[MAP_PORT4] = { "port4", TYPE_PROTO << 6 | TYPE_SERVICE, 8, TYPE_IPV4 << 6 | TYPE_SERVICE,
			8 },
	[MAP_ADDR4] = { "addr4", TYPE_PROTO << 12 | TYPE_IPV4 << 6 | TYPE_SERVICE, 12,
			TYPE_IPV4 << 6 | TYPE_SERVICE, 8 },
	[MAP_PORT6] = { "port6", TYPE_PROTO << 6 | TYPE_SERVICE, 8, TYPE_IPV6 << 6 | TYPE_SERVICE,
			20 },
	[MAP_ADDR6] = { "addr6", TYPE_PROTO << 12 | TYPE_IPV6 << 6 | TYPE_SERVICE, 24,
			TYPE_IPV6 << 6 | TYPE_SERVICE, 20 },
};

static void begin(struct netlink_batch *batch, uint16_t message, uint16_t flags)
{
	struct nfgenmsg header = { .nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0 };
	netlink_begin(batch, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message), flags, &header,
		      sizeof(header));
}

static void put_control(struct netlink_batch *batch, uint16_t type)
{
	struct nfgenmsg header = { .nfgen_family = AF_UNSPEC,
				   .version = NFNETLINK_V0,
				   .res_id = htons(NFNL_SUBSYS_NFTABLES) };
	netlink_begin(batch, type, 0, &header, sizeof(header));
}

void nft_begin(struct netlink_batch *batch)
{
	put_control(batch, NFNL_MSG_BATCH_BEGIN);
}

void nft_end(struct netlink_batch *batch)
{
	/* Kernels before 6.10 do not acknowledge the end itself; the answer to the last request is
	 * sent after the commit, too. */
	netlink_await(batch);
	put_control(batch, NFNL_MSG_BATCH_END);
}

static void put_map(struct netlink_batch *batch, const char *table, enum map map)
{
	/* Exclusive, as the table: of two that find them missing one makes them. */
	begin(batch, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL);
	netlink_put_string(batch, NFTA_SET_TABLE, table);
	netlink_put_string(batch, NFTA_SET_NAME, maps[map].name);
	netlink_put_be32(batch, NFTA_SET_FLAGS, NFT_SET_MAP | NFT_SET_TIMEOUT);
	netlink_put_be32(batch, NFTA_SET_GC_INTERVAL, GC_INTERVAL_MS);
	netlink_put_be32(batch, NFTA_SET_KEY_TYPE, maps[map].key_type);
	netlink_put_be32(batch, NFTA_SET_KEY_LEN, maps[map].key_size);
	netlink_put_be32(batch, NFTA_SET_DATA_TYPE, maps[map].data_type);
	netlink_put_be32(batch, NFTA_SET_DATA_LEN, maps[map].data_size);
	netlink_put_be32(batch, NFTA_SET_ID, (uint32_t)map + 1);
}

static void put_chain(struct netlink_batch *batch, const char *table, const char *name)
{
	begin(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	netlink_put_string(batch, NFTA_CHAIN_TABLE, table);
	netlink_put_string(batch, NFTA_CHAIN_NAME, name);
}

static void put_base_chain(struct netlink_batch *batch, const char *table, const char *name,
			   const char *type, uint32_t hook, int32_t priority)
{
	put_chain(batch, table, name);
	netlink_put_string(batch, NFTA_CHAIN_TYPE, type);
	netlink_put_be32(batch, NFTA_CHAIN_POLICY, NF_ACCEPT);
	size_t nest = netlink_nest(batch, NFTA_CHAIN_HOOK);
	netlink_put_be32(batch, NFTA_HOOK_HOOKNUM, hook);
	netlink_put_be32(batch, NFTA_HOOK_PRIORITY, (uint32_t)priority);
	netlink_nest_end(batch, nest);
}

static size_t begin_rule(struct netlink_batch *batch, const char *table, const char *chain)
{
	begin(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	netlink_put_string(batch, NFTA_RULE_TABLE, table);
	netlink_put_string(batch, NFTA_RULE_CHAIN, chain);
	return netlink_nest(batch, NFTA_RULE_EXPRESSIONS);
}

/* "ip saddr SUBNET" or "ip6 saddr SUBNET"; @daddr for the destination. */
static void match_subnet(struct netlink_batch *batch, int family, const void *address,
			 uint8_t prefix, bool daddr)
{
	unsigned size = family == AF_INET ? 4 : 16, offset = family == AF_INET ? 12 : 8;
	unsigned bytes = (prefix + 7u) / 8;
	uint8_t mask[16] = { 0 }, value[16];
	for (unsigned bit = 0; bit < prefix; bit++)
		mask[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	for (unsigned i = 0; i < bytes; i++)
		value[i] = ((const uint8_t *)address)[i] & mask[i];
	expr_family(batch, family);
	expr_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, offset + (daddr ? size : 0), bytes,
		     NFT_REG_1);
	if (prefix % 8)
		expr_bitwise(batch, NFT_REG_1, mask, bytes);
	expr_compare(batch, NFT_CMP_EQ, value, bytes);
}

/* "ip daddr != ADDRESS" of a packet whose family is known. */
static void unless_address(struct netlink_batch *batch, int family, const void *address)
{
	unsigned size = family == AF_INET ? 4 : 16, offset = family == AF_INET ? 16 : 24;
	expr_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, offset, size, NFT_REG_1);
	expr_compare(batch, NFT_CMP_NEQ, address, size);
}

/*
 * Between two containers of a routed network nothing is translated, so no connection has to be
 * known. What goes to the gateway may be the answer to something that was.
 */
static void put_untracked(struct netlink_batch *batch, const struct nft_network *network,
			  int family, const void *gateway, uint8_t prefix)
{
	size_t rule = begin_rule(batch, network->table, "guard");
	match_subnet(batch, family, gateway, prefix, true);
	expr_interface(batch, NFT_META_IIFNAME, NFT_CMP_EQ, network->bridge);
	unless_address(batch, family, gateway);
	expr_notrack(batch);
	netlink_nest_end(batch, rule);
}

/* Where BPF programs masquerade they have marked the answers that they have translated. */
static void put_foreign(struct netlink_batch *batch, const struct nft_network *network, int family,
			const void *gateway, uint8_t prefix)
{
	static const uint32_t mark = TCX_PRIORITY;
	size_t rule = begin_rule(batch, network->table, "guard");
	match_subnet(batch, family, gateway, prefix, true);
	expr_interface(batch, NFT_META_IIFNAME, NFT_CMP_NEQ, network->bridge);
	expr_interface(batch, NFT_META_IIFNAME, NFT_CMP_NEQ, "lo");
	if (network->programs) {
		expr_meta(batch, NFT_META_PRIORITY, NFT_REG_1);
		expr_compare(batch, NFT_CMP_NEQ, &mark, sizeof(mark));
	}
	expr_verdict(batch, NF_DROP, NULL);
	netlink_nest_end(batch, rule);
}

/*
 * chain guard, at raw priority, before connection tracking and translation:
 *  - nobody but the host itself reaches 127.0.0.0/8 (a port published there would be reachable from
 *    the neighbours, and with route_localnet the host's own services from containers);
 *  - containers are reachable from outside through their published ports only, also for a
 *    neighbour that has a route to their subnet (moby #45610), and from other bridges not at all.
 * Every packet that comes in passes it, so each rule begins with what is not so for most of them.
 */
static void put_guard(struct netlink_batch *batch, const struct nft_network *network)
{
	static const uint8_t loopback[4] = { 127 };
	const char *table = network->table;
	put_base_chain(batch, table, "guard", "filter", NF_INET_PRE_ROUTING, -300);
	size_t rule = begin_rule(batch, table, "guard");
	match_subnet(batch, AF_INET, loopback, 8, true);
	expr_interface(batch, NFT_META_IIFNAME, NFT_CMP_NEQ, "lo");
	expr_verdict(batch, NF_DROP, NULL);
	netlink_nest_end(batch, rule);
	if (network->routed)
		put_untracked(batch, network, AF_INET, &network->ipv4, network->ipv4_prefix);
	put_foreign(batch, network, AF_INET, &network->ipv4, network->ipv4_prefix);
	if (!network->ipv6_prefix)
		return;
	if (network->routed)
		put_untracked(batch, network, AF_INET6, &network->ipv6, network->ipv6_prefix);
	put_foreign(batch, network, AF_INET6, &network->ipv6, network->ipv6_prefix);
}

/* "dnat ip to meta l4proto . [ip daddr .] th dport map @map": the key is built in 32-bit registers,
 * the map answers with address and port in the same place. */
static void put_translation(struct netlink_batch *batch, const char *table, enum map map)
{
	bool v6 = map == MAP_PORT6 || map == MAP_ADDR6;
	bool with_address = map == MAP_ADDR4 || map == MAP_ADDR6;
	unsigned size = v6 ? 16 : 4, at = NFT_REG32_00;
	size_t rule = begin_rule(batch, table, "publish");
	expr_family(batch, v6 ? AF_INET6 : AF_INET);
	expr_meta(batch, NFT_META_L4PROTO, at++);
	if (with_address) {
		expr_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, v6 ? 24 : 16, size, at);
		at += size / 4;
	}
	expr_payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, at);
	expr_lookup(batch, maps[map].name, (uint32_t)map + 1, NFT_REG32_00, NFT_REG32_00);
	expr_dnat(batch, v6 ? AF_INET6 : AF_INET, NFT_REG32_00, NFT_REG32_00 + size / 4);
	netlink_nest_end(batch, rule);
}

static void put_jump(struct netlink_batch *batch, const char *table, const char *chain)
{
	size_t rule = begin_rule(batch, table, chain);
	expr_destination_is_local(batch);
	expr_verdict(batch, NFT_JUMP, "publish");
	netlink_nest_end(batch, rule);
}

static void put_publish(struct netlink_batch *batch, const struct nft_network *network)
{
	const char *table = network->table;
	put_chain(batch, table, "publish");
	put_translation(batch, table, MAP_ADDR4);
	put_translation(batch, table, MAP_PORT4);
	if (network->ipv6_prefix) {
		put_translation(batch, table, MAP_ADDR6);
		put_translation(batch, table, MAP_PORT6);
	}
	put_base_chain(batch, table, "prerouting", "nat", NF_INET_PRE_ROUTING, -100);
	put_jump(batch, table, "prerouting");
	put_base_chain(batch, table, "output", "nat", NF_INET_LOCAL_OUT, -100);
	if (network->ipv6_prefix) {
		/* The kernel does not route an answer back to ::1 that came in by a bridge (it
		 * wants the loopback address on that very interface), so such a connection would
		 * hang; untranslated it is refused at once, and clients go on to 127.0.0.1. */
		size_t rule = begin_rule(batch, table, "output");
		match_subnet(batch, AF_INET6, &in6addr_loopback, 128, true);
		expr_verdict(batch, NF_ACCEPT, NULL);
		netlink_nest_end(batch, rule);
	}
	put_jump(batch, table, "output");
}

static void put_masquerade(struct netlink_batch *batch, const struct nft_network *network,
			   enum nft_cmp_ops out, int family, const void *source, uint8_t prefix,
			   bool translated_only)
{
	size_t rule = begin_rule(batch, network->table, "postrouting");
	expr_interface(batch, NFT_META_OIFNAME, out, network->bridge);
	match_subnet(batch, family, source, prefix, false);
	if (translated_only)
		expr_destination_translated(batch);
	/* The host's ends of routed containers have no address that could be taken. */
	if (network->routed && out == NFT_CMP_EQ)
		expr_snat(batch, family,
			  family == AF_INET ? (const void *)&network->ipv4 : &network->ipv6);
	else
		expr_masquerade(batch);
	netlink_nest_end(batch, rule);
}

/* What leaves the bridge's subnet gets the host's address. What comes back into it keeps the
 * client's, but for two whose answers would not find the way back: a container's connection to a
 * published port of its own bridge, and the host's from its loopback address. */
static void put_postrouting(struct netlink_batch *batch, const struct nft_network *network)
{
	static const uint8_t loopback4[4] = { 127 };
	put_base_chain(batch, network->table, "postrouting", "nat", NF_INET_POST_ROUTING, 100);
	bool masquerade = network->masquerade && !network->programs;
	if (masquerade)
		put_masquerade(batch, network, NFT_CMP_NEQ, AF_INET, &network->ipv4,
			       network->ipv4_prefix, false);
	put_masquerade(batch, network, NFT_CMP_EQ, AF_INET, &network->ipv4, network->ipv4_prefix,
		       true);
	put_masquerade(batch, network, NFT_CMP_EQ, AF_INET, loopback4, 8, false);
	if (!network->ipv6_prefix)
		return;
	if (masquerade)
		put_masquerade(batch, network, NFT_CMP_NEQ, AF_INET6, &network->ipv6,
			       network->ipv6_prefix, false);
	put_masquerade(batch, network, NFT_CMP_EQ, AF_INET6, &network->ipv6, network->ipv6_prefix,
		       true);
}

static void put_border(struct netlink_batch *batch, const struct nft_network *network,
		       enum nft_cmp_ops in, enum nft_cmp_ops out, bool translated)
{
	size_t rule = begin_rule(batch, network->table, "border");
	expr_interface(batch, NFT_META_IIFNAME, in, network->bridge);
	expr_interface(batch, NFT_META_OIFNAME, out, network->bridge);
	if (translated)
		expr_destination_translated(batch);
	expr_verdict(batch, translated ? NF_ACCEPT : NF_DROP, NULL);
	netlink_nest_end(batch, rule);
}

/* chain border. Of an internal network: its containers reach each other and the host. Of one whose
 * containers are kept apart: they reach published ports; a bridge's are by the bridge itself. */
static void put_borders(struct netlink_batch *batch, const struct nft_network *network)
{
	put_base_chain(batch, network->table, "border", "filter", NF_INET_FORWARD, 0);
	if (network->internal) {
		put_border(batch, network, NFT_CMP_EQ, NFT_CMP_NEQ, false);
		put_border(batch, network, NFT_CMP_NEQ, NFT_CMP_EQ, false);
	}
	if (network->isolated) {
		put_border(batch, network, NFT_CMP_EQ, NFT_CMP_EQ, true);
		put_border(batch, network, NFT_CMP_EQ, NFT_CMP_EQ, false);
	}
}

void nft_put_table(struct netlink_batch *batch, const struct nft_network *network)
{
	/* Exclusive: of two that find it missing at the same time, one makes it whole. */
	begin(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	netlink_put_string(batch, NFTA_TABLE_NAME, network->table);
	put_guard(batch, network);
	if (network->internal || network->isolated)
		put_borders(batch, network);
}

void nft_put_translation(struct netlink_batch *batch, const struct nft_network *network)
{
	for (unsigned map = 0; map < MAP_COUNT; map++)
		put_map(batch, network->table, map);
	put_publish(batch, network);
	put_postrouting(batch, network);
}

static const uint8_t protocols[] = {
	[NETWORK_TCP] = IPPROTO_TCP,
	[NETWORK_UDP] = IPPROTO_UDP,
	[NETWORK_SCTP] = IPPROTO_SCTP,
};

/* Bytes of a map key or value: every field starts at a multiple of four. */
struct field {
	uint8_t bytes[24];
	size_t len;
};

static void field_add(struct field *field, const void *data, size_t len)
{
	memcpy(field->bytes + field->len, data, len);
	field->len += (len + 3) & ~(size_t)3;
}

/* One element of a map: a host port of one address family and where it leads. */
struct element {
	enum map map;
	struct field key, value;
};

static void make_element(const struct network_port *port, const struct nft_target *target, bool v6,
			 struct element *ret)
{
	static const uint8_t any[16];
	uint16_t host_port = htons(port->host_port), container_port = htons(port->container_port);
	size_t size = v6 ? 16 : 4;
	/* 0.0.0.0 and :: mean every address of their family. */
	bool with_address = port->host_ip_set && memcmp(&port->host_ip, any, size) != 0;
	*ret = (struct element) { 0 };
	field_add(&ret->key, &protocols[port->protocol], 1);
	if (with_address)
		field_add(&ret->key, &port->host_ip, size);
	field_add(&ret->key, &host_port, 2);
	field_add(&ret->value, v6 ? (const void *)&target->ipv6 : &target->ipv4, size);
	field_add(&ret->value, &container_port, 2);
	ret->map = v6 ? (with_address ? MAP_ADDR6 : MAP_PORT6)
		      : (with_address ? MAP_ADDR4 : MAP_PORT4);
}

static size_t make_elements(const struct network_port *port, const struct nft_target *target,
			    struct element ret[2])
{
	size_t count = 0;
	if (port->bpf)
		return 0;
	if ((!port->host_ip_set || port->host_family == AF_INET) &&
	    !(port->direct & NETWORK_DIRECT_V4))
		make_element(port, target, false, &ret[count++]);
	if ((!port->host_ip_set || port->host_family == AF_INET6) && target->has_ipv6 &&
	    !(port->direct & NETWORK_DIRECT_V6))
		make_element(port, target, true, &ret[count++]);
	return count;
}

static void put_data(struct netlink_batch *batch, uint16_t type, const struct field *field)
{
	size_t nest = netlink_nest(batch, type);
	netlink_put(batch, NFTA_DATA_VALUE, field->bytes, field->len);
	netlink_nest_end(batch, nest);
}

static void put_element(struct netlink_batch *batch, uint16_t message, uint16_t flags,
			const char *table, const struct element *element, enum nft_change change)
{
	begin(batch, message, flags);
	netlink_put_string(batch, NFTA_SET_ELEM_LIST_TABLE, table);
	netlink_put_string(batch, NFTA_SET_ELEM_LIST_SET, maps[element->map].name);
	size_t list = netlink_nest(batch, NFTA_SET_ELEM_LIST_ELEMENTS);
	size_t item = netlink_nest(batch, NFTA_LIST_ELEM);
	put_data(batch, NFTA_SET_ELEM_KEY, &element->key);
	if (change != NFT_DELETE) {
		/* Milliseconds, rounded up to a tick; 0: for ever. */
		uint64_t timeout = htobe64(change == NFT_EXPIRE ? 1 : 0);
		put_data(batch, NFTA_SET_ELEM_DATA, &element->value);
		netlink_put(batch, NFTA_SET_ELEM_TIMEOUT, &timeout, sizeof(timeout));
	}
	netlink_nest_end(batch, item);
	netlink_nest_end(batch, list);
}

void nft_put_port(struct netlink_batch *batch, const char *table, const struct network_port *port,
		  const struct nft_target *target, enum nft_change change)
{
	struct element elements[2];
	size_t count = make_elements(port, target, elements);
	for (size_t i = 0; i < count; i++)
		put_element(batch, change == NFT_DELETE ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM,
			    change == NFT_DELETE ? 0 : NLM_F_CREATE, table, &elements[i], change);
}

uint32_t nft_port_elements(const struct network_port *port, const struct nft_target *target)
{
	struct element elements[2];
	return (uint32_t)make_elements(port, target, elements);
}

bool nft_can_expire(void)
{
	struct utsname name;
	unsigned major, minor;
	return uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 12));
}

/* Whether the answer holds an element with a timeout. */
static int note_timeout(void *opaque, uint16_t type, const void *payload, size_t len)
{
	static const uint16_t path[] = { NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_LIST_ELEM,
					 NFTA_SET_ELEM_TIMEOUT };
	const void *at = (const char *)payload + sizeof(struct nfgenmsg);
	size_t size = len < sizeof(struct nfgenmsg) ? 0 : len - sizeof(struct nfgenmsg);
	for (size_t i = 0; at && i < ARRAY_SIZE(path); i++)
		at = netlink_find(at, size, path[i], &size);
	static const uint8_t never[8];
	if (at && size == sizeof(never) && memcmp(at, never, sizeof(never)) != 0)
		*(bool *)opaque = true;
	return 0;
}

int nft_put_expired(struct netlink_batch *batch, int fd, const char *table,
		    const struct network_port *port, const struct nft_target *target)
{
	struct element elements[2];
	size_t count = make_elements(port, target, elements);
	bool any = false;
	for (size_t i = 0; i < count; i++) {
		_cleanup_batch_ struct netlink_batch query = { 0 };
		bool expiring = false;
		netlink_batch_init(&query);
		put_element(&query, NFT_MSG_GETSETELEM, 0, table, &elements[i], NFT_DELETE);
		int r = netlink_dump(fd, &query, note_timeout, &expiring);
		if (r < 0 && r != -ENOENT)
			return r;
		if (!expiring)
			continue;
		put_element(batch, NFT_MSG_DELSETELEM, 0, table, &elements[i], NFT_DELETE);
		any = true;
	}
	return any;
}

int nft_table_exists(int fd, const char *table)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	netlink_batch_init(&batch);
	begin(&batch, NFT_MSG_GETTABLE, 0);
	netlink_put_string(&batch, NFTA_TABLE_NAME, table);
	netlink_await(&batch);
	int r = netlink_transact(fd, &batch, NULL);
	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

int nft_translates(int fd, const char *table)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	netlink_batch_init(&batch);
	begin(&batch, NFT_MSG_GETSET, 0);
	netlink_put_string(&batch, NFTA_SET_TABLE, table);
	netlink_put_string(&batch, NFTA_SET_NAME, maps[MAP_PORT4].name);
	netlink_await(&batch);
	int r = netlink_transact(fd, &batch, NULL);
	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

int nft_table_delete(int fd, const char *table)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	netlink_batch_init(&batch);
	nft_begin(&batch);
	begin(&batch, NFT_MSG_DELTABLE, 0);
	netlink_put_string(&batch, NFTA_TABLE_NAME, table);
	nft_end(&batch);
	int r = netlink_transact(fd, &batch, NULL);
	return r == -ENOENT ? 0 : r;
}

int nft_error(struct masu_error *err, int code, const struct netlink_failure *failure,
	      const char *table)
{
	if (code == -EPROTONOSUPPORT || code == -EOPNOTSUPP || code == -EAFNOSUPPORT)
		return error_set(err, code,
				 "table inet %s: this kernel has no nf_tables with NAT for inet "
				 "(CONFIG_NF_TABLES_INET, NFT_NAT, NFT_MASQ, NFT_FIB_INET); use "
				 "--network host or none",
				 table);
	if (code == -EPERM)
		return error_set(err, code,
				 "table inet %s: not permitted; a bridge network needs root "
				 "(CAP_NET_ADMIN)",
				 table);
	return error_errno(err, code, "table inet %s: nf_tables refused the change%s%s", table,
			   *failure->text ? ": " : "", failure->text);
}
