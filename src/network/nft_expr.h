/*
 * nf_tables expressions: each appends one element to a rule's list of expressions (the kernel's
 * instructions, named as `nft --debug=netlink` prints them). Numbers of registers are the kernel's:
 * NFT_REG_1 is 16 bytes, NFT_REG32_00 the first four of them. Private to src/network.
 */
#pragma once

#include <netinet/in.h>

#include <linux/netfilter/nf_tables.h>
#include <stdint.h>

#include "sys/netlink.h"

#define _cleanup_batch_ __attribute__((cleanup(netlink_batch_free)))

/* meta load KEY => REG */
void expr_meta(struct netlink_batch *batch, uint32_t key, uint32_t reg);
/* cmp OP reg 1 VALUE */
void expr_compare(struct netlink_batch *batch, enum nft_cmp_ops op, const void *value, size_t len);
/* reg &= MASK */
void expr_bitwise(struct netlink_batch *batch, uint32_t reg, const void *mask, size_t len);
/* payload load LENb @ BASE + OFFSET => REG */
void expr_payload(struct netlink_batch *batch, uint32_t base, uint32_t offset, uint32_t len,
		  uint32_t reg);
/* payload write reg => LENb @ transport header + OFFSET, with the checksum at @checksum made right.
 */
void expr_payload_write(struct netlink_batch *batch, uint32_t reg, uint32_t offset, uint32_t len,
			uint32_t checksum);
/* immediate reg 1 VALUE */
void expr_immediate(struct netlink_batch *batch, const void *value, size_t len);
/* Verdict; @chain only with NFT_JUMP. */
void expr_verdict(struct netlink_batch *batch, int verdict, const char *chain);
/* lookup reg SOURCE set NAME dreg DEST; @id is the set's within the same transaction. */
void expr_lookup(struct netlink_batch *batch, const char *set, uint32_t id, uint32_t source,
		 uint32_t dest);
void expr_dnat(struct netlink_batch *batch, int family, uint32_t address_reg, uint32_t port_reg);
void expr_masquerade(struct netlink_batch *batch);
/* The packet belongs to no connection; at raw priority. */
void expr_notrack(struct netlink_batch *batch);
/* snat to ADDRESS */
void expr_snat(struct netlink_batch *batch, int family, const void *address);

/* meta nfproto ipv4 or ipv6 */
void expr_family(struct netlink_batch *batch, int family);
/* meta iifname/oifname (not) equal to NAME, or beginning as a NAME that ends in "*" */
void expr_interface(struct netlink_batch *batch, uint32_t key, enum nft_cmp_ops op,
		    const char *name);
/* fib daddr type local */
void expr_destination_is_local(struct netlink_batch *batch);
/* ct status dnat */
void expr_destination_translated(struct netlink_batch *batch);
