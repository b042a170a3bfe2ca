/*
 * What a network is: <root>/networks/<name>.json, in the shape of docker's `network inspect` so
 * that an administrator can read and change it. The default network is defined on first use, the
 * others by network_create(). Private to src/network.
 */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/id.h"
#include "json/json.h"

#define DEFINITION_RESERVED_MAX 16
#define DEFINITION_MAX_BYTES	65536

#define OPTION_BRIDGE	  "com.docker.network.bridge.name"
#define OPTION_ICC	  "com.docker.network.bridge.enable_icc"
#define OPTION_MASQUERADE "com.docker.network.bridge.enable_ip_masquerade"
#define OPTION_BINDING	  "com.docker.network.bridge.host_binding_ipv4"
#define OPTION_MTU	  "com.docker.network.driver.mtu"
#define OPTION_PREFIX	  "com.docker.network.container_iface_prefix"
#define OPTION_PARENT	  "parent"
#define OPTION_MACVLAN	  "macvlan_mode"
#define OPTION_IPVLAN	  "ipvlan_mode"
#define OPTION_FLAG	  "ipvlan_flag"

/* How containers are connected. The first two have an interface of the network's own on the host,
 * and published ports. */
enum definition_kind {
	KIND_BRIDGE,
	KIND_ROUTED, /* no frames between containers: each has a route of its own on the host */
	KIND_MACVLAN,
	KIND_IPVLAN
};

/* An address in a network of @prefix bits; 0: there is none. */
struct cidr4 {
	struct in_addr address;
	uint8_t prefix;
};
struct cidr6 {
	struct in6_addr address;
	uint8_t prefix;
};

struct definition {
	char name[64];
	char id[ID_LENGTH + 1]; /* "" for the default network */
	enum definition_kind kind;
	char bridge[IFNAMSIZ]; /* also the nf_tables table's name; routed: only carries the
				  gateway's addresses; macvlan, ipvlan: the parent */
	char ports[IFNAMSIZ];  /* how the host's ends of containers begin */
	uint16_t ipvlan_mode, ipvlan_flags; /* IPVLAN_MODE_*, IPVLAN_F_* */
	struct in_addr gateway4;
	uint8_t prefix4; /* 8 to 30 */
	struct in6_addr gateway6;
	uint8_t prefix6;     /* 0: the network has no IPv6; else so wide that an IPv6 address can
				end in the IPv4 address's host part */
	struct cidr4 range4; /* what containers get by themselves; the subnet */
	struct cidr6 range6;
	uint32_t mtu;		  /* 0: that of the host's default route */
	char interface[IFNAMSIZ]; /* of containers, without its number: "eth" */
	struct in_addr binding4;  /* where ports without an address are published; 0: everywhere */
	bool internal, isolated, no_masquerade;
	struct in_addr reserved4[DEFINITION_RESERVED_MAX];
	struct in6_addr reserved6[DEFINITION_RESERVED_MAX];
	size_t reserved4_count, reserved6_count;
};

/* "bridge" … */
const char *definition_driver(enum definition_kind kind);
/* Whether the network has an interface and rules on the host. */
static inline bool definition_has_host(const struct definition *definition)
{
	return definition->kind == KIND_BRIDGE || definition->kind == KIND_ROUTED;
}

/* -ENOENT without a message where the network is not defined. */
int definition_load(int root_fd, const char *name, struct definition *ret, struct masu_error *err);
/* What a document says; -EINVAL without a message. ret->name is the caller's. */
int definition_parse(const struct json *document, struct definition *ret);

/* "192.0.2.0/24", with a prefix of 1 to 32 or 128 bits. -EINVAL. */
int cidr_parse(const char *text, int family, void *ret_address, uint8_t *ret_prefix);
/* Clears the bits behind the prefix. */
void cidr_mask(int family, void *address, uint8_t prefix);
/* Whether one contains the other. */
bool cidr_overlap(int family, const void *a, uint8_t a_prefix, const void *b, uint8_t b_prefix);

/*
 * Holds off everybody else who defines networks until *ret_fd, the directory of definitions, is
 * closed.
 */
int definition_lock(int root_fd, int *ret_fd, struct masu_error *err);
/* Calls @fn for each defined network that can be read, until it returns non-zero: that is
 * returned. */
int definition_each(int root_fd, int (*fn)(void *opaque, const struct definition *definition),
		    void *opaque);

/*
 * Chooses gateway4 and prefix4: the first subnet of docker's pool (172.17.0.0/16 to 172.31.0.0/16,
 * then 192.168.0.0/20 and on) that overlaps no route of the host and no other network.
 */
int definition_choose_subnet(int root_fd, int route_fd, struct definition *definition,
			     struct masu_error *err);
/* Chooses gateway6 and prefix6: a random unique local prefix (RFC 4193). */
int definition_choose_prefix6(struct definition *definition, struct masu_error *err);

/* Replaces <root>/networks/<name>.json, durable. */
int definition_write(int root_fd, const char *name, const struct buf *text, struct masu_error *err);
/* One element of IPAM.Config without its end: the subnet of @gateway, and @gateway. */
void definition_write_subnet(struct json_writer *w, int family, const void *gateway,
			     uint8_t prefix);

/*
 * Defines the default network, anew where it is defined: the first name of masu0, masu1 … that no
 * interface has, a free subnet and a random prefix. @route_fd: a NETLINK_ROUTE socket. The caller
 * holds the network's lock.
 */
int definition_create_default(int root_fd, int route_fd, struct definition *ret,
			      struct masu_error *err);
