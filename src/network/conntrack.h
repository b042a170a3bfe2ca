/*
 * Connections that the kernel tracks (ctnetlink). A translation is looked up once, for the first
 * packet of a connection; UDP has no connections of its own, so a client that sends on and on
 * before a port is published, or after its container was replaced, would be led astray for as long
 * as it does. Private to src/network.
 */
#pragma once

#include "network/network.h"
#include "network/nft.h"

/*
 * Forgets the tracked UDP connections of the host's addresses with these (published) ports that do
 * not lead to @target, so that their next packet is looked up again. The kernel walks its whole
 * table for each address family: 4 ms with the 262,144 buckets of a machine with 4 GiB and more.
 * What fails is only logged: it is no reason not to run a container.
 */
void conntrack_forget_udp(int nft_fd, int route_fd, const struct network_port *ports, size_t count,
			  const struct nft_target *target);
