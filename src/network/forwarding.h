/* Kernel settings that a bridge network needs. Private to src/network. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/*
 * Lets the host forward packets, and keeps a bridge from taking router advertisements of
 * containers (CVE-2020-13401). Forwarding stays on afterwards: others may have come to rely on it.
 * Where turning IPv6 forwarding on would make the host deaf to the routers it got its own address
 * from, accept_ra is set to 2 for those interfaces.
 */
int forwarding_enable(const char *bridge, bool ipv6, struct masu_error *err);

/* The same for the host's end of one container: it has IPv6, and takes no router advertisements. */
void forwarding_port(const char *name);

/* Whether the kernel has IPv6 at all. */
bool host_has_ipv6(void);

/* Whether bridged frames pass through the IP hooks (br_netfilter): then a container reaches its own
 * published port only through a port in hairpin mode. */
bool bridge_frames_are_filtered(void);

/* Lets lo take packets that the programs of the bpf mode put there: the answers to the host's own
 * clients, whose addresses are the host's. Nothing else comes in by lo. */
int forwarding_loopback(void);
