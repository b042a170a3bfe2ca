/*
 * What a socket of the host's network namespace may do in the hands of a container: programs on the
 * container's control group (Documentation/bpf/prog_cgroup_sockopt.rst and bpf(2)), which every
 * socket made in that group passes for as long as it lives, whoever holds it. Private to
 * src/network.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* A port whose server may be in the host's namespace. */
struct guard_port {
	uint8_t protocol; /* IPPROTO_* */
	uint16_t container_port, host_port;
	unsigned taken; /* NETWORK_DIRECT_* by which the container reaches its own server there */
	const uint32_t *address; /* where that is; NULL: at the gateway's */
};

/* Where a container reaches what listens on every address of the host, and its own addresses. */
struct guard_addresses {
	struct in_addr gateway4, own4;
	bool has_ipv6;
	struct in6_addr gateway6, own6;
};

#define GUARD_PORTS_MAX 32

struct guard {
	int cgroup_fd;	     /* borrowed */
	uint64_t host_netns; /* SO_NETNS_COOKIE */
	struct guard_addresses addresses;
	bool udp;     /* some of the ports are UDP */
	int peers_fd; /* UDP peers that have been heard from; -1: none yet */
	bool attached;
};

/*
 * Attaches the guard, or brings it up to date. Without it no socket may be handed out. For a socket
 * of the host's namespace
 *  - connect(2), also by MSG_FASTOPEN or after connect(AF_UNSPEC), is refused;
 *  - sending a datagram to an address, or connect(2) of a datagram socket, is refused unless
 *    something was received from there by recvfrom(2) or its like;
 *  - bind(2) is refused for all but the host ports of @ports;
 *  - setsockopt(2) is refused for what chooses routes, interfaces, sources and groups of the host;
 *  - getsockname(2) tells the container's port instead of the host's.
 * For one of the container's own, a connection to a taken port at a loopback address or at the
 * container's own goes to where its server is.
 */
int guard_attach(struct guard *guard, const struct guard_port *ports, size_t count);
/* The same, where @ports may be others than before. */
int guard_renew(struct guard *guard, const struct guard_port *ports, size_t count);
void guard_close(struct guard *guard);
