/*
 * Leases: which container has which address of a network. One file an address,
 * <runroot>/networks/<network>/<address>, made with O_EXCL: that decides who gets it, without a
 * daemon. It says what is needed to make the container's part of the network again:
 *   <container id>
 *   <host interface>
 *   names <name> <name> ...	where it has any
 *   ipv6 <address>		one that was asked for
 *   <protocol> <host address|*> <host port> <container port> [bpf] [direct<families>]
 * the last for each published port.
 * The lease lives as long as the host interface, which the kernel removes with the container's
 * network namespace; so a lease whose interface is gone is free, whoever crashed. The file "lock"
 * beside them is held shared while a connection is being made and exclusively to take leases away.
 *
 * "names/<name>/<address>" beside them says that the container with this address answers to the
 * name (a link to its IPv6 address, "-" where it has none), and "v6-<address>" that an IPv6 address
 * was asked for. They are made after the lease that lists them and removed before it, so that
 * whoever takes a dead container's lease away finds them. Private to src/network.
 */
#pragma once

#include <net/if.h>
#include <netinet/in.h>

#include "base/error.h"
#include "base/id.h"
#include "network/definition.h"
#include "network/network.h"

struct lease_pool {
	int dir_fd;
	int lock_fd; /* "lock" also holds the address to try next */
};

struct lease {
	struct in_addr ipv4;
	char id[ID_LENGTH + 1];
	char interface[IFNAMSIZ];
	const char *names;    /* in lower case, with a blank between them; NULL or "": none */
	struct in6_addr ipv6; /* asked for; "::": it ends in the IPv4 address's host part */
	struct network_port *ports;
	size_t port_count;
	const uint8_t *mac; /* not written; NULL: the one that follows from the address */
};

/* Opens (making it where missing) a network's pool, not yet locked. */
int lease_open(int run_fd, const char *network, struct lease_pool *ret, struct masu_error *err);
void lease_close(struct lease_pool *pool);

/* @operation as for flock(2). */
int lease_lock(struct lease_pool *pool, int operation);

/*
 * The descriptor that makes its holder the one who removes the unused network of @dir_fd (a pool's
 * directory); -EWOULDBLOCK: another is at it. It is the directory's own flock(2): a file made for
 * it could come to be while `network rm` empties the directory, and stay.
 */
int lease_retire_lock(int dir_fd);

/*
 * Writes @lease under a free address of the network's range (never the gateway's, a reserved one,
 * the first or the last), or under lease->ipv4 where that is set. The address that was given back
 * last is given again first: the same container started again finds its old elements and neighbour
 * entries. -EADDRINUSE: none is free; no message.
 */
int lease_take(struct lease_pool *pool, const struct definition *definition, struct lease *lease);

/* The IPv4 address of the network that ends as an IPv6 one does. */
struct in_addr lease_ipv4_of(const struct definition *definition, const struct in6_addr *ipv6);
/* The IPv6 address that goes with an IPv4 one. */
struct in6_addr lease_ipv6(const struct definition *definition, struct in_addr ipv4);

/* Writes @lease again, which is the caller's, under its address, with the names that it has there.
 */
int lease_write(struct lease_pool *pool, const struct lease *lease);

/* Gives @ipv4 back if it still is @id's: 1 if so, 0 if it was not, or -errno. */
int lease_give(struct lease_pool *pool, struct in_addr ipv4, const char *id);
bool lease_is_of(struct lease_pool *pool, struct in_addr ipv4, const char *id);

/* Takes a lease away, whosever it is: only with the lock held alone. */
int lease_remove(struct lease_pool *pool, struct in_addr ipv4);

/* Makes the container with lease @ipv4 answer to @names and to nothing else. */
int lease_rename(struct lease_pool *pool, const struct definition *definition, struct arena *arena,
		 struct in_addr ipv4, const char *names);

/* How many leases there are, at most @max (also where that cannot be told). */
size_t lease_count(const struct lease_pool *pool, size_t max);

/* The lease of that address, in @arena: 1, 0 if there is none, or -errno. */
int lease_find(struct lease_pool *pool, struct arena *arena, struct in_addr ipv4,
	       struct lease *ret);

/* All leases, in no order. One that its writer has not finished, or never will, has an empty id
 * and interface and no ports. */
int lease_list(struct lease_pool *pool, struct arena *arena, struct lease **ret, size_t *ret_count);

/* ---- lease_names.c: what a lease lists ---- */

#define LEASE_NAMES_MAX 4000

/* @claims: also the IPv6 address that was asked for. -EADDRINUSE: another container has that. */
int lease_list_add(struct lease_pool *pool, const struct definition *definition,
		   const struct lease *lease, bool claims);
/* Removes what the lease lists, but for what is also in @kept (may be NULL). */
void lease_list_remove(struct lease_pool *pool, const struct lease *lease, const char *kept);
/* Whether nobody has asked for that IPv6 address. */
bool lease_ipv6_is_free(struct lease_pool *pool, const struct in6_addr *ipv6);
