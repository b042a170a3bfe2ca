/*
 * The host's side of a bridge network: the bridge, its nf_tables table, and the leases that say
 * what both must contain. Private to src/network.
 */
#pragma once

#include "network/definition.h"
#include "network/lease.h"
#include "network/link.h"
#include "network/network.h"
#include "network/nft.h"
#include "network/tcx.h"

struct bridge {
	struct definition definition;
	char table[sizeof("masu-") + IFNAMSIZ]; /* the nf_tables table's name */
	int run_fd;				/* borrowed */
	struct lease_pool pool;			/* locked shared */
	int route_fd; /* NETLINK_ROUTE and NETLINK_NETFILTER, in the host's namespace */
	int nft_fd;
	bool ipv6;
	struct tcx tcx; /* as far as bridge_programs() was called */
};

#define BRIDGE_NONE                                                                                \
	((struct bridge) { .pool = { -1, -1 }, .route_fd = -1, .nft_fd = -1, .tcx = TCX_NONE })

/* Opens the network, defining the default one on first use. -ENOENT: there is no such network. */
int bridge_open(int root_fd, int run_fd, const char *network, struct bridge *ret,
		struct masu_error *err);
/*
 * Makes sure that the bridge of that name, where there is one, is this network's and not that of
 * another --root, which may have been defined while neither had a bridge: then this one is defined
 * anew, if it has no container.
 */
int bridge_claim(int root_fd, struct bridge *bridge, struct masu_error *err);
/* Whether there is a bridge of that name that is not this network's. */
bool bridge_is_foreign(const struct bridge *bridge);
void bridge_close(struct bridge *bridge);
#define _cleanup_bridge_ __attribute__((cleanup(bridge_close)))

void bridge_gateways(const struct bridge *bridge, struct link_addresses *ret);
/* The container's addresses: the IPv6 one ends in the host part of the IPv4 one. */
void bridge_addresses(const struct bridge *bridge, const struct lease *lease,
		      struct link_addresses *ret);
/* The two ends of a routed pair. */
void bridge_routed(const struct bridge *bridge, const struct lease *lease, struct link_routed *ret);
/* What is routed through a container's gateways: none where the network leads nowhere. */
void bridge_routes(const struct bridge *bridge, struct link_addresses *ret);
struct link_port bridge_port(const struct bridge *bridge);
/* 02:42 and the IPv4 address, as docker makes it: whoever gets the address again gets the MAC. */
void bridge_mac(struct in_addr ipv4, uint8_t ret[6]);
void bridge_target(const struct bridge *bridge, const struct lease *lease, struct nft_target *ret);

/* Makes the bridge if it is missing and puts the interfaces of all leases into it. Its index. */
int bridge_ensure_link(struct bridge *bridge, struct masu_error *err);
/* Puts the host's end of a container into the bridge, or makes the way to it; @mac (NULL:
 * unchanged) is the container's. -ENODEV: it is gone. */
int bridge_attach(const struct bridge *bridge, const struct lease *lease, int index,
		  const uint8_t *mac);
/* Makes the table if it is missing, with the elements of all leases; @translates: also what
 * translates ports. */
int bridge_ensure_table(struct bridge *bridge, bool translates, struct masu_error *err);

/* Gives a new table, or new programs, what the leases say. One whose ports are taken is skipped: it
 * is a dead container's, whose interface has not gone yet. */
int bridge_publish_leases(struct bridge *bridge, struct masu_error *err);

/*
 * Adds the elements of the lease's ports in one transaction. -ENOENT: no table. -EADDRINUSE: a host
 * port leads to another container. Elements that lead to its address already are fine: that is
 * leased to one container only.
 */
int bridge_publish(struct bridge *bridge, const struct lease *lease, struct masu_error *err);
/* Removes the elements of the lease's ports, those that there are. */
int bridge_unpublish(struct bridge *bridge, const struct lease *lease, struct masu_error *err);
/* That, and for those too who have been sending datagrams: the kernel forgets their connections
 * (moby #8795). 20 ms where nf_tables translates UDP. bridge_ports.c. */
int bridge_end_ports(struct bridge *bridge, const struct lease *gone, struct masu_error *err);
/* That, of all ports, when the container leaves. */
int bridge_forget(struct bridge *bridge, const struct lease *lease, struct masu_error *err);

/* ---- bridge_bpf.c: the ports that BPF programs translate ---- */

/* Whether the bridge has programs; they are open then. */
bool bridge_programs(struct bridge *bridge);
/*
 * Decides which of @ports they translate, and makes them where they are missing; @kept (may be
 * NULL) says which are decided already, see port_hold_again(). -EOPNOTSUPP: one was asked for by
 * name and cannot be.
 */
int bridge_choose_modes(struct bridge *bridge, const char *libexec, struct network_port *ports,
			size_t count, const int *kept, struct masu_error *err);
/* As bridge_publish() and bridge_unpublish(), which call them. */
int bridge_publish_bpf(struct bridge *bridge, const struct lease *lease, struct masu_error *err);
int bridge_unpublish_bpf(struct bridge *bridge, const struct lease *lease);

/* The same for one port, done when this returns. */
int bridge_withdraw(struct bridge *bridge, const struct lease *lease,
		    const struct network_port *port, struct masu_error *err);

/* bridge_ports.c: network_ops' direct and change. */
int bridge_direct(const struct network_request *request, struct network_endpoint *endpoint,
		  size_t index, unsigned families, struct masu_error *err);
int bridge_change(const struct network_request *request, struct arena *arena,
		  struct network_endpoint *endpoint, struct masu_error *err);

/* Whether some lease has no interface: its container is gone, or it is being connected just now.
 * False without looking where there are more than @max leases. */
bool bridge_has_dead_lease(struct bridge *bridge, size_t max);

/* How many leases have no interface; the caller holds the lock alone. */
size_t bridge_count_dead(struct bridge *bridge);

/* Takes away the leases whose containers are gone, with their elements; how many. The caller's own
 * unfinished lease would go too, so it has none. *ret_left: leases that remain. */
int bridge_sweep(struct bridge *bridge, size_t *ret_left, struct masu_error *err);

/* Removes bridge and table; the caller holds the lock alone and there is no lease. */
int bridge_remove(struct bridge *bridge, struct masu_error *err);
