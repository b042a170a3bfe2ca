/*
 * Interfaces, addresses and routes by rtnetlink(7). Every function takes a NETLINK_ROUTE socket,
 * which decides the network namespace it acts in. Private to src/network.
 */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sys/netlink.h"

struct link_addresses {
	struct in_addr ipv4;
	uint8_t ipv4_prefix;
	struct in6_addr ipv6;
	uint8_t ipv6_prefix; /* 0: no IPv6 */
};

/* How a bridge treats one of its ports. */
struct link_port {
	bool hairpin;  /* it may send back through the port a frame came from */
	bool isolated; /* nothing goes from it to another isolated one */
};

/* The container's side and the host's of a routed pair; the subnet that is behind the host. */
struct link_routed {
	struct link_addresses addresses, host, subnet;
};
/* What a routed container sends everything to: 169.254.1.1 and fe80::1 are the host, everywhere. */
struct in_addr link_next_hop4(void);
struct in6_addr link_next_hop6(void);

struct link_veth {
	const char *host_name;
	int bridge_index;		  /* the interface that it is a part of */
	const struct link_routed *routed; /* then not of a bridge; NULL: of that */
	const char *name;		  /* in the namespace */
	int netns_fd;
	const uint8_t *mac; /* of the inner end, 6 bytes */
	uint32_t mtu;
	struct link_port port;
};

/* The interface's index, or -ENODEV. */
int link_index(int fd, const char *name);
/* The interface's MTU, or -errno. */
int link_mtu(int fd, const char *name);

/* The interface's MAC address: 0 or -errno. */
int link_mac(int fd, const char *name, uint8_t ret[6]);

/* A bridge, still down. -EEXIST without a message where one of that name exists. */
int link_bridge_create(int fd, const char *name, const uint8_t mac[6], uint32_t mtu,
		       struct masu_error *err);
/* Gives a bridge its addresses (@next_hop: and the next hop's) and settings and brings it up.
 * Idempotent. */
int link_bridge_setup(int fd, const char *name, const struct link_addresses *addresses,
		      bool next_hop, struct masu_error *err);

/* A pair, one end up in the bridge or routed, the other down in the namespace. -EEXIST: the name is
 * taken; -ENODEV: no such bridge or, routed, address of the host's; both without a message in @err.
 */
int link_veth_create(int fd, const struct link_veth *veth, struct masu_error *err);

/* Puts an interface into a bridge again. -ENODEV where it is gone. */
int link_attach(int fd, const char *name, int bridge_index, const struct link_port *port);

/* Sets up the host's end of a routed pair again; @mac NULL: but for the neighbours. -ENODEV. */
int link_routed_setup(int fd, const char *name, const struct link_routed *routed,
		      const uint8_t *mac);

/* Brings lo and @name up and gives @name addresses and default routes via those @gateways that are
 * not 0. @routed NULL: the subnet is on the link. *ret_ipv6: whether it got the IPv6 ones; a
 * namespace may have IPv6 disabled. */
int link_configure(int fd, const char *name, const struct link_addresses *addresses,
		   const struct link_addresses *gateways, const struct link_routed *routed,
		   bool *ret_ipv6, struct masu_error *err);
/* Replaces the default routes by ones via those @gateways that are not 0. */
int link_route(int fd, const char *name, const struct link_addresses *gateways);

/* What ipvlan's interfaces are made with: the kernel's IPVLAN_MODE_* and IPVLAN_F_*. */
struct link_ipvlan {
	uint16_t mode, flags;
};
/* An interface of @link's parent in the namespace, down: with a MAC address of its own (macvlan,
 * mode bridge), or with @ipvlan one that has its parent's. -EEXIST: the name is taken. */
int link_child_create(int fd, const struct link_veth *link, const struct link_ipvlan *ipvlan,
		      struct masu_error *err);
/* The request for that; for tests where the kernel has no ipvlan. */
void link_put_child(struct netlink_batch *batch, const struct link_veth *link,
		    const struct link_ipvlan *ipvlan);

/* Brings an interface up. */
int link_up(int fd, const char *name);

/* Removes an interface and waits for it: 10 to 80 ms. -ENODEV is success. */
int link_delete(int fd, const char *name);

struct link_facts {
	int index;
	const char *name;
	unsigned type;	 /* ARPHRD_* */
	bool has_master; /* what comes in by it comes in again by its bridge or bond */
};
/* Calls @link for every interface; non-zero ends the walk and is returned. */
int link_each(int fd, int (*link)(void *opaque, const struct link_facts *facts), void *opaque);

/* Calls @route for every IPv4 route's destination; non-zero ends the walk and is returned. */
int link_each_route4(int fd,
		     int (*route)(void *opaque, struct in_addr destination, uint8_t prefix,
				  int interface),
		     void *opaque);

/* The MTU of the interface of the default route; 1500 where there is none. */
uint32_t link_default_mtu(int fd);

/* Whether the address (of @family) is one of the host's: 1, 0 or -errno. */
int link_is_local(int fd, int family, const void *address);
