/*
 * nf_tables: the one table a bridge network has, and the elements that publish ports. Its text, as
 * `nft list ruleset` shows it, is in docs/networking.md. Private to src/network.
 *
 * A publish is one element of a map for each address family, never a rule: adding and finding it
 * costs the same with one port and with 3,000.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>

#include "base/error.h"
#include "network/network.h"
#include "sys/netlink.h"

struct nft_network {
	const char *table;   /* the bridge's name too */
	struct in_addr ipv4; /* any address of the subnet */
	uint8_t ipv4_prefix;
	struct in6_addr ipv6;
	uint8_t ipv6_prefix; /* multiple of 8; 0: none */
};

/* Where published ports lead. */
struct nft_target {
	struct in_addr ipv4;
	bool has_ipv6;
	struct in6_addr ipv6;
};

/* Appends the creation of the table with its chains, rules and empty maps. */
void nft_put_table(struct netlink_batch *batch, const struct nft_network *network);

/* Appends the elements of one port: one or two messages. With @exclusive an element that exists is
 * an error (-EEXIST), else it is kept. */
void nft_put_port(struct netlink_batch *batch, const char *table, const struct network_port *port,
		  const struct nft_target *target, bool exclusive);
/* Appends the removal of the same elements. */
void nft_drop_port(struct netlink_batch *batch, const char *table, const struct network_port *port,
		   const struct nft_target *target);

/* Every batch begins and ends with these; nft_end() asks for the ACK. */
void nft_begin(struct netlink_batch *batch);
void nft_end(struct netlink_batch *batch);

/* Whether the table exists: 1, 0 or -errno. */
int nft_table_exists(int fd, const char *table);
/* Removes the table with all that is in it. 0 also where there is none. */
int nft_table_delete(int fd, const char *table);

/* Turns a failed transaction into a message that names what the kernel lacks. */
int nft_error(struct masu_error *err, int code, const struct netlink_failure *failure,
	      const char *table);
