/*
 * Connections within the host without packets (docs/sockmap.md): what one container's socket sends
 * is put into the queue of the other end's socket. masu-more alone has it, so a container that
 * wants it has masu-more as its monitor.
 * Contract: Documentation/bpf/map_sockmap.rst; net/ipv4/tcp_bpf.c of Linux 6.13 and later.
 */
#pragma once

#include "base/error.h"
#include "network/network.h"
#include "sys/bpf.h"
#include "sys/kernel_types.h"

struct sockmap_request {
	int run_fd;    /* masu runroot: which says where the programs are that all of them share */
	int cgroup_fd; /* the container's group in the unified tree */
	const struct network_endpoint *endpoints;
	size_t endpoint_count;
};

/*
 * From now on TCP connections made in the group to addresses of its networks or of the host are
 * short ones, where the other end is in such a group as well, as long as a process lives that has
 * called this (the monitor); without one they are ordinary ones. The caller is in the host's
 * network namespace. -EOPNOTSUPP: not on this kernel, with the reason; always in the hot program.
 */
int sockmap_attach(const struct sockmap_request *request, struct masu_error *err);

/* ---- sockmap_programs.c; its parts are named for tests ---- */

/*
 * A connection, by what both ends know of it and nobody else has, whatever was translated in
 * between: the sequence numbers that it began with.
 */
struct sockmap_key {
	uint32_t client, server;
	uint32_t end; /* SOCKMAP_CLIENT or SOCKMAP_SERVER */
};
enum { SOCKMAP_CLIENT, SOCKMAP_SERVER };

/* What is kept of a socket. */
struct sockmap_record {
	struct sockmap_key own, other;
	uint64_t own_at, other_at; /* struct sock in the kernel; 0: not known yet */
};

/* An address that may be on this host, IPv4 as ::ffff:a.b.c.d. */
struct sockmap_near {
	uint32_t bits;
	struct in6_addr address;
};

enum sockmap_map { SOCKMAP_SOCKETS, SOCKMAP_RECORDS, SOCKMAP_PLACES, SOCKMAP_NEAR, SOCKMAP_MAPS };

/* Where the kernel keeps what of a socket. */
struct sockmap_offsets {
	uint32_t write_seq, copied_seq, upper, received, received_max;
};

int sockmap_offsets(const struct kernel_types *types, struct sockmap_offsets *ret);
/* -1 in all of @ret first; closed by the caller, also after a failure. */
int sockmap_make_maps(int ret[SOCKMAP_MAPS]);
extern const char *const sockmap_map_names[SOCKMAP_MAPS];

#define SOCKMAP_PROGRAM                                                                            \
	"masu_sockmap1" /* another number where what is shared becomes different                   \
			 */

/* Both return the program's fd or -errno. */
int sockmap_load_begin(const int maps[SOCKMAP_MAPS]);
int sockmap_load_send(const int maps[SOCKMAP_MAPS], const struct sockmap_offsets *offsets);
