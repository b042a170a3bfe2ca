/*
 * The way from 127.0.0.11:53 to the resolver's own ports, as Docker's resolver has it, but without
 * connection tracking: ports are rewritten where packets come in by "lo", so nothing else in the
 * container passes a rule.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

#include "network/dns_internal.h"
#include "network/nft.h"
#include "network/nft_expr.h"

#define TABLE "masu-dns"
#define CHAIN "ports"

static const uint8_t own_address[4] = { 127, 0, 0, 11 };

static void begin(struct netlink_batch *batch, uint16_t message, uint16_t flags)
{
	struct nfgenmsg header = { .nfgen_family = NFPROTO_NETDEV, .version = NFNETLINK_V0 };
	netlink_begin(batch, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message), flags, &header,
		      sizeof(header));
}

static void put_chain(struct netlink_batch *batch)
{
	begin(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	netlink_put_string(batch, NFTA_TABLE_NAME, TABLE);
	begin(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	netlink_put_string(batch, NFTA_CHAIN_TABLE, TABLE);
	netlink_put_string(batch, NFTA_CHAIN_NAME, CHAIN);
	netlink_put_string(batch, NFTA_CHAIN_TYPE, "filter");
	netlink_put_be32(batch, NFTA_CHAIN_POLICY, NF_ACCEPT);
	size_t hook = netlink_nest(batch, NFTA_CHAIN_HOOK);
	netlink_put_be32(batch, NFTA_HOOK_HOOKNUM, NF_NETDEV_INGRESS);
	netlink_put_be32(batch, NFTA_HOOK_PRIORITY, 0);
	netlink_put_string(batch, NFTA_HOOK_DEV, "lo");
	netlink_nest_end(batch, hook);
}

/* "ip saddr|daddr 127.0.0.11 udp|tcp sport|dport FROM" and the same port set to TO. */
static void put_rule(struct netlink_batch *batch, uint8_t protocol, bool source, uint16_t from,
		     uint16_t to)
{
	const uint16_t ip = htons(ETH_P_IP), old_port = htons(from), new_port = htons(to);
	uint32_t port_at = source ? 0 : 2;
	begin(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	netlink_put_string(batch, NFTA_RULE_TABLE, TABLE);
	netlink_put_string(batch, NFTA_RULE_CHAIN, CHAIN);
	size_t rule = netlink_nest(batch, NFTA_RULE_EXPRESSIONS);
	expr_meta(batch, NFT_META_PROTOCOL, NFT_REG_1);
	expr_compare(batch, NFT_CMP_EQ, &ip, sizeof(ip));
	expr_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, source ? 12 : 16, sizeof(own_address),
		     NFT_REG_1);
	expr_compare(batch, NFT_CMP_EQ, own_address, sizeof(own_address));
	expr_meta(batch, NFT_META_L4PROTO, NFT_REG_1);
	expr_compare(batch, NFT_CMP_EQ, &protocol, sizeof(protocol));
	expr_payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, port_at, sizeof(old_port), NFT_REG_1);
	expr_compare(batch, NFT_CMP_EQ, &old_port, sizeof(old_port));
	expr_immediate(batch, &new_port, sizeof(new_port));
	expr_payload_write(batch, NFT_REG_1, port_at, sizeof(new_port),
			   protocol == IPPROTO_UDP ? 6 : 16);
	netlink_nest_end(batch, rule);
}

int dns_rules_add(int nft_fd, uint16_t udp_port, uint16_t tcp_port)
{
	_cleanup_batch_ struct netlink_batch batch = { 0 };
	netlink_batch_init(&batch);
	nft_begin(&batch);
	put_chain(&batch);
	put_rule(&batch, IPPROTO_UDP, false, 53, udp_port);
	put_rule(&batch, IPPROTO_UDP, true, udp_port, 53);
	put_rule(&batch, IPPROTO_TCP, false, 53, tcp_port);
	put_rule(&batch, IPPROTO_TCP, true, tcp_port, 53);
	nft_end(&batch);
	return netlink_transact(nft_fd, &batch, NULL);
}
