#include "network/nft_expr.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

struct expression {
	size_t element, data;
};

static struct expression begin_expression(struct netlink_batch *batch, const char *name)
{
	struct expression expression;
	expression.element = netlink_nest(batch, NFTA_LIST_ELEM);
	netlink_put_string(batch, NFTA_EXPR_NAME, name);
	expression.data = netlink_nest(batch, NFTA_EXPR_DATA);
	return expression;
}

static void end_expression(struct netlink_batch *batch, struct expression expression)
{
	netlink_nest_end(batch, expression.data);
	netlink_nest_end(batch, expression.element);
}

static void put_value(struct netlink_batch *batch, uint16_t type, const void *value, size_t len)
{
	size_t nest = netlink_nest(batch, type);
	netlink_put(batch, NFTA_DATA_VALUE, value, len);
	netlink_nest_end(batch, nest);
}

void expr_meta(struct netlink_batch *batch, uint32_t key, uint32_t reg)
{
	struct expression e = begin_expression(batch, "meta");
	netlink_put_be32(batch, NFTA_META_KEY, key);
	netlink_put_be32(batch, NFTA_META_DREG, reg);
	end_expression(batch, e);
}

void expr_compare(struct netlink_batch *batch, enum nft_cmp_ops op, const void *value, size_t len)
{
	struct expression e = begin_expression(batch, "cmp");
	netlink_put_be32(batch, NFTA_CMP_SREG, NFT_REG_1);
	netlink_put_be32(batch, NFTA_CMP_OP, op);
	put_value(batch, NFTA_CMP_DATA, value, len);
	end_expression(batch, e);
}

void expr_bitwise(struct netlink_batch *batch, uint32_t reg, const void *mask, size_t len)
{
	static const uint8_t zero[16];
	struct expression e = begin_expression(batch, "bitwise");
	netlink_put_be32(batch, NFTA_BITWISE_SREG, reg);
	netlink_put_be32(batch, NFTA_BITWISE_DREG, reg);
	netlink_put_be32(batch, NFTA_BITWISE_LEN, (uint32_t)len);
	put_value(batch, NFTA_BITWISE_MASK, mask, len);
	put_value(batch, NFTA_BITWISE_XOR, zero, len);
	end_expression(batch, e);
}

void expr_payload(struct netlink_batch *batch, uint32_t base, uint32_t offset, uint32_t len,
		  uint32_t reg)
{
	struct expression e = begin_expression(batch, "payload");
	netlink_put_be32(batch, NFTA_PAYLOAD_DREG, reg);
	netlink_put_be32(batch, NFTA_PAYLOAD_BASE, base);
	netlink_put_be32(batch, NFTA_PAYLOAD_OFFSET, offset);
	netlink_put_be32(batch, NFTA_PAYLOAD_LEN, len);
	end_expression(batch, e);
}

void expr_payload_write(struct netlink_batch *batch, uint32_t reg, uint32_t offset, uint32_t len,
			uint32_t checksum)
{
	struct expression e = begin_expression(batch, "payload");
	netlink_put_be32(batch, NFTA_PAYLOAD_SREG, reg);
	netlink_put_be32(batch, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
	netlink_put_be32(batch, NFTA_PAYLOAD_OFFSET, offset);
	netlink_put_be32(batch, NFTA_PAYLOAD_LEN, len);
	netlink_put_be32(batch, NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
	netlink_put_be32(batch, NFTA_PAYLOAD_CSUM_OFFSET, checksum);
	netlink_put_be32(batch, NFTA_PAYLOAD_CSUM_FLAGS, 0);
	end_expression(batch, e);
}

void expr_immediate(struct netlink_batch *batch, const void *value, size_t len)
{
	struct expression e = begin_expression(batch, "immediate");
	netlink_put_be32(batch, NFTA_IMMEDIATE_DREG, NFT_REG_1);
	put_value(batch, NFTA_IMMEDIATE_DATA, value, len);
	end_expression(batch, e);
}

void expr_verdict(struct netlink_batch *batch, int verdict, const char *chain)
{
	struct expression e = begin_expression(batch, "immediate");
	netlink_put_be32(batch, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	size_t data = netlink_nest(batch, NFTA_IMMEDIATE_DATA);
	size_t nest = netlink_nest(batch, NFTA_DATA_VERDICT);
	netlink_put_be32(batch, NFTA_VERDICT_CODE, (uint32_t)verdict);
	if (chain)
		netlink_put_string(batch, NFTA_VERDICT_CHAIN, chain);
	netlink_nest_end(batch, nest);
	netlink_nest_end(batch, data);
	end_expression(batch, e);
}

void expr_lookup(struct netlink_batch *batch, const char *set, uint32_t id, uint32_t source,
		 uint32_t dest)
{
	struct expression e = begin_expression(batch, "lookup");
	netlink_put_string(batch, NFTA_LOOKUP_SET, set);
	netlink_put_be32(batch, NFTA_LOOKUP_SET_ID, id);
	netlink_put_be32(batch, NFTA_LOOKUP_SREG, source);
	netlink_put_be32(batch, NFTA_LOOKUP_DREG, dest);
	end_expression(batch, e);
}

void expr_dnat(struct netlink_batch *batch, int family, uint32_t address_reg, uint32_t port_reg)
{
	struct expression e = begin_expression(batch, "nat");
	netlink_put_be32(batch, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	netlink_put_be32(batch, NFTA_NAT_FAMILY, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
	netlink_put_be32(batch, NFTA_NAT_REG_ADDR_MIN, address_reg);
	netlink_put_be32(batch, NFTA_NAT_REG_PROTO_MIN, port_reg);
	end_expression(batch, e);
}

void expr_masquerade(struct netlink_batch *batch)
{
	end_expression(batch, begin_expression(batch, "masq"));
}

void expr_notrack(struct netlink_batch *batch)
{
	end_expression(batch, begin_expression(batch, "notrack"));
}

void expr_snat(struct netlink_batch *batch, int family, const void *address)
{
	expr_immediate(batch, address, family == AF_INET ? 4 : 16);
	struct expression e = begin_expression(batch, "nat");
	netlink_put_be32(batch, NFTA_NAT_TYPE, NFT_NAT_SNAT);
	netlink_put_be32(batch, NFTA_NAT_FAMILY, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
	netlink_put_be32(batch, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
	end_expression(batch, e);
}

void expr_family(struct netlink_batch *batch, int family)
{
	uint8_t protocol = family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6;
	expr_meta(batch, NFT_META_NFPROTO, NFT_REG_1);
	expr_compare(batch, NFT_CMP_EQ, &protocol, sizeof(protocol));
}

void expr_interface(struct netlink_batch *batch, uint32_t key, enum nft_cmp_ops op,
		    const char *name)
{
	char value[IFNAMSIZ] = "";
	size_t len = strnlen(name, IFNAMSIZ - 1);
	bool starts = len && name[len - 1] == '*';
	memcpy(value, name, len);
	expr_meta(batch, key, NFT_REG_1);
	expr_compare(batch, op, value, starts ? len - 1 : sizeof(value));
}

void expr_destination_is_local(struct netlink_batch *batch)
{
	uint32_t local = RTN_LOCAL;
	struct expression e = begin_expression(batch, "fib");
	netlink_put_be32(batch, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
	netlink_put_be32(batch, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	netlink_put_be32(batch, NFTA_FIB_DREG, NFT_REG_1);
	end_expression(batch, e);
	expr_compare(batch, NFT_CMP_EQ, &local, sizeof(local));
}

void expr_destination_translated(struct netlink_batch *batch)
{
	uint32_t mask = IPS_DST_NAT, zero = 0;
	struct expression e = begin_expression(batch, "ct");
	netlink_put_be32(batch, NFTA_CT_KEY, NFT_CT_STATUS);
	netlink_put_be32(batch, NFTA_CT_DREG, NFT_REG_1);
	end_expression(batch, e);
	expr_bitwise(batch, NFT_REG_1, &mask, sizeof(mask));
	expr_compare(batch, NFT_CMP_NEQ, &zero, sizeof(zero));
}
