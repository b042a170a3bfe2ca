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
	const char *table, *bridge; /* the interface; "…*": those that begin so */
	bool routed;		    /* containers are no neighbours of each other */
	bool isolated;		    /* routed: they do not reach each other at all */
	bool internal;		    /* nothing is forwarded to or from elsewhere */
	bool masquerade;	    /* who goes elsewhere gets the host's address */
	bool programs;		    /* BPF programs do that instead (tcx.h) */
	struct in_addr ipv4;	    /* the gateway's, in the subnet */
	uint8_t ipv4_prefix;
	struct in6_addr ipv6;
	uint8_t ipv6_prefix; /* 0: none */
};

/* Where published ports lead. */
struct nft_target {
	struct in_addr ipv4;
	bool has_ipv6;
	struct in6_addr ipv6;
};

/* Appends the creation of the table with what keeps networks apart. */
void nft_put_table(struct netlink_batch *batch, const struct nft_network *network);
/* Appends what translates: maps, empty, and chains. While there is such a chain, the kernel tracks
 * every connection of the host. -EEXIST comes of it where the table has it already. */
void nft_put_translation(struct netlink_batch *batch, const struct nft_network *network);

/*
 * What to do to the elements of a port.
 *  ADD: fine where the same element exists; -EEXIST or -EBUSY where the host port leads elsewhere.
 *  EXPIRE: the element ends with the kernel's next tick (1 to 10 ms). Unlike DELETE it leaves no
 *  work that waits for an RCU grace period and that every close of a netfilter socket in the
 *  namespace then waits for, 10 ms under the lock of all nf_tables changes. Linux 6.12 and later;
 *  see nft_can_expire().
 *  ADD makes an element that is about to expire stay.
 */
enum nft_change { NFT_ADD, NFT_EXPIRE, NFT_DELETE };

/* Appends up to two messages, one for each address family of the port that is translated. */
void nft_put_port(struct netlink_batch *batch, const char *table, const struct network_port *port,
		  const struct nft_target *target, enum nft_change change);

/* How many messages that is: none where every family of the port is direct, or BPF programs
 * translate it. */
uint32_t nft_port_elements(const struct network_port *port, const struct nft_target *target);

/* Whether the kernel can change the time an element has left. */
bool nft_can_expire(void);

/* Appends the deletion of those elements of the port that are about to expire: 1 if there are any,
 * 0 if not, or -errno. */
int nft_put_expired(struct netlink_batch *batch, int fd, const char *table,
		    const struct network_port *port, const struct nft_target *target);

/* Every batch begins and ends with these; nft_end() asks for the ACK. */
void nft_begin(struct netlink_batch *batch);
void nft_end(struct netlink_batch *batch);

/* Whether the table exists: 1, 0 or -errno. */
int nft_table_exists(int fd, const char *table);
/* Whether it has what nft_put_translation() makes. */
int nft_translates(int fd, const char *table);
/* Removes the table with all that is in it. 0 also where there is none. */
int nft_table_delete(int fd, const char *table);

/* Turns a failed transaction into a message that names what the kernel lacks. */
int nft_error(struct masu_error *err, int code, const struct netlink_failure *failure,
	      const char *table);
