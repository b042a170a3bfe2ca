/*
 * The bpf mode of published ports: programs on the host's interfaces translate without netfilter
 * (bpf/tcx.c; docs/networking.md has the picture). One set of programs for each bridge network that
 * has such ports. The set is where it works: attached to interfaces, found by asking the bridge,
 * and gone with the network namespace; no file, no process and no mount keeps it. Private to
 * src/network.
 */
#pragma once

#include "network/nft.h"

struct bridge;

/* The maps of a network's programs. */
struct tcx {
	int ports_fd, hosts_fd, seen_fd;
	bool masquerades;
};
#define TCX_NONE ((struct tcx) { -1, -1, -1, false })

/* The programs of the bridge: -ENOENT where it has none. */
int tcx_open(int bridge_index, struct tcx *ret);
void tcx_close(struct tcx *tcx);
#define _cleanup_tcx_ __attribute__((cleanup(tcx_close)))

/*
 * Loads the programs from @directory and attaches them to every interface of the host; @masquerade:
 * what containers send out gets the host's address from them. Takes 20 ms an interface. The caller
 * holds the network's lock alone. On failure nothing is left. -EOPNOTSUPP with a reason where this
 * host cannot have them.
 */
int tcx_install(struct bridge *bridge, const char *directory, bool masquerade, struct tcx *ret,
		struct masu_error *err);
/* Detaches the bridge's programs from everywhere. */
int tcx_remove(int route_fd, int bridge_index);
/* Detaches programs whose bridge is gone; how many interfaces had any. Without @remove only counts.
 */
int tcx_strays(int route_fd, bool remove);
/* Attaches every network's programs to the interfaces that have come since; @made: a network's
 * bridge among them, or 0. */
int tcx_spread(int route_fd, int nft_fd, int made);

/* Whether the port can be translated by the programs. */
bool tcx_takes(const struct network_port *port);
/* Leads the port to the target. -EADDRINUSE: it leads to another container. */
int tcx_publish(const struct tcx *tcx, const struct network_port *port,
		const struct nft_target *target);
/* Ends that, where it leads there. */
int tcx_unpublish(const struct tcx *tcx, const struct network_port *port,
		  const struct nft_target *target);
/* Where the target is: the host's end of its pair, and the MAC address of the other. */
int tcx_put_host(const struct tcx *tcx, const struct nft_target *target, int interface,
		 const uint8_t mac[6]);
void tcx_drop_host(const struct tcx *tcx, const struct nft_target *target);
