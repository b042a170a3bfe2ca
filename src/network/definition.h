/*
 * What a bridge network is: <root>/networks/<name>.json, in the shape of docker's `network inspect`
 * so that an administrator can read and change it. The default network is defined on first use.
 * Private to src/network.
 */
#pragma once

#include <net/if.h>
#include <netinet/in.h>

#include "base/arena.h"
#include "base/error.h"

struct definition {
	char name[64];
	char bridge[IFNAMSIZ]; /* also the nf_tables table's name */
	struct in_addr gateway4;
	uint8_t prefix4; /* 8 to 30 */
	struct in6_addr gateway6;
	uint8_t prefix6; /* 0: the network has no IPv6; else a multiple of 8 up to 96 */
	uint32_t mtu;	 /* 0: that of the host's default route */
};

/* -ENOENT without a message where the network is not defined. */
int definition_load(int root_fd, const char *name, struct definition *ret, struct masu_error *err);

/*
 * Defines the default network, anew where it is defined: the first name of masu0, masu1 … that no
 * interface has, the first subnet of docker's pool (172.17.0.0/16 to 172.31.0.0/16,
 * then 192.168.0.0/20 and on) that no route of the host overlaps, and a random unique local IPv6
 * prefix (RFC 4193). @route_fd: a NETLINK_ROUTE socket. The caller holds the network's lock.
 */
int definition_create_default(int root_fd, int route_fd, struct definition *ret,
			      struct masu_error *err);
