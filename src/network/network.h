/*
 * Network drivers and published ports. The engine makes (or borrows) a network namespace, then
 * connects it. Everything by our own netlink and nf_tables messages; no helper process.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"
#include "json/json.h"

enum network_protocol { NETWORK_TCP, NETWORK_UDP, NETWORK_SCTP };

/* How a published port is to be reached: `-p …,mode=`. */
enum network_mode {
	NETWORK_MODE_DEFAULT, /* nat */
	NETWORK_MODE_NAT,
	NETWORK_MODE_DIRECT, /* direct once a server listens, where that can be; nat till then */
	NETWORK_MODE_BPF,    /* by the host's BPF programs, or not at all */
	NETWORK_MODE_AUTO,   /* direct, or else bpf, or else nat */
};

static inline bool network_may_be_direct(enum network_mode mode)
{
	return mode == NETWORK_MODE_DIRECT || mode == NETWORK_MODE_AUTO;
}

/* The address families of a port whose server listens in the host's namespace. */
#define NETWORK_DIRECT_V4 1u
#define NETWORK_DIRECT_V6 2u

/* One published port (a range is as many of these). */
struct network_port {
	enum network_protocol protocol;
	enum network_mode mode;
	unsigned direct; /* NETWORK_DIRECT_*: those are not translated any more */
	bool bpf;	 /* BPF programs translate it; filled in by connect */
	bool unguarded;	 /* not direct because the guard could not be attached */
	uint16_t container_port;
	uint16_t host_port; /* 0: any free one; filled in by connect */
	bool host_ip_set;
	int host_family; /* AF_INET or AF_INET6 when host_ip_set */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	} host_ip;
};

/* What a connected container got; saved in its record and shown by inspect. */
struct network_endpoint {
	char network[64];
	char network_id[65]; /* "" for the default network */
	char driver[16];     /* "bridge" … */
	char id[65];
	char interface[16];	 /* inside: "eth0" */
	char host_interface[16]; /* outside: "veth…" */
	struct in_addr ipv4;
	uint8_t ipv4_prefix;
	struct in_addr gateway4; /* 0: there is no way out */
	struct in6_addr ipv6;
	uint8_t ipv6_prefix;
	struct in6_addr gateway6;
	bool has_ipv4, has_ipv6;
	uint8_t mac[6];
	struct network_port *ports;
	size_t port_count;
};

struct network_request {
	int root_fd;	     /* masu root: networks/<name>.json */
	int run_fd;	     /* masu runroot: leases, locks */
	const char *libexec; /* directory of masu-cni and the BPF programs; NULL: there are none */
	const char *container_id;
	const char *network; /* "bridge" (the default network) or a user network's name */
	int netns_fd;	     /* the container's network namespace */
	const struct network_port *ports;
	size_t port_count;
	const char *requested_ip, *requested_ip6; /* NULL: allocate */
	const char *mac_address;		  /* NULL: derive */
	const char *names;   /* that it answers to, with a blank between them; NULL: none */
	unsigned index;	     /* of the interface: 0 is eth0 */
	bool other4, other6; /* the default route leads through another network */
};

struct network_ops {
	const char *name;   /* "bridge", "host", "none", "container" */
	bool own_namespace; /* the container gets a new network namespace */
	/*
	 * Brings up lo and connects. The endpoint's arrays are in @arena. Undone whole on failure.
	 * A host port that is taken: -EADDRINUSE with docker's words. The caller is in the host's
	 * network namespace and has one thread; it should live as long as the container (the
	 * monitor), because until it disconnects or ends it holds the host ports with bound
	 * sockets, so that no other program gets them.
	 */
	int (*connect)(const struct network_request *request, struct arena *arena,
		       struct network_endpoint *ret, struct masu_error *err);
	/*
	 * What may follow the start of the container, called once after the reply: UDP clients that
	 * were sending to a published port before are led to the container. About 8 ms where UDP is
	 * published, nothing else.
	 */
	int (*settle)(const struct network_request *request,
		      const struct network_endpoint *endpoint, struct masu_error *err);
	/*
	 * Releases address, ports and their nf_tables elements; the veth goes with the namespace
	 * and is not waited for, but with request->netns_fd >= 0 it is removed from there. Leaves
	 * alone what meanwhile belongs to another container. Idempotent.
	 */
	int (*disconnect)(const struct network_request *request,
			  const struct network_endpoint *endpoint, struct masu_error *err);
	/*
	 * Makes again what somebody removed (bridge, table, elements, and with request->netns_fd
	 * >= 0 the interface). Idempotent.
	 */
	int (*repair)(const struct network_request *request,
		      const struct network_endpoint *endpoint, struct masu_error *err);
	/*
	 * Publishes what @request->ports has and the endpoint has not, and the other way round; the
	 * endpoint's array is in @arena then. All or, where a port is taken, nothing: -EADDRINUSE.
	 * In the process that connected.
	 */
	int (*change)(const struct network_request *request, struct arena *arena,
		      struct network_endpoint *endpoint, struct masu_error *err);
	/*
	 * The server of port @index listens on the host itself (direct.h), so it is no longer
	 * translated in @families (NETWORK_DIRECT_*), which the endpoint says from then on.
	 */
	int (*direct)(const struct network_request *request, struct network_endpoint *endpoint,
		      size_t index, unsigned families, struct masu_error *err);
};

/* In the process that connected: whether it holds ports of the host for the container, and what
 * lets them go where another process has disconnected it. */
bool network_holds_ports(const char *container_id);
void network_release_ports(const char *container_id);

/* "none", "host", "container" or "container:<id>", "cni:<name>", "bridge" or "default"; NULL: there
 * is no such network. */
const struct network_ops *network_driver(const char *name);

/*
 * Removes bridge and nf_tables table of a network that no container uses, after it has been unused
 * for @linger_ms; returns at once where one does or another process is already waiting. Removing
 * takes the kernel 50 ms and making them again 1 ms, so this is called after the reply, by the
 * monitor that has nothing left to do, and never on the way of a command.
 */
int network_retire(int root_fd, int run_fd, const char *network, unsigned linger_ms,
		   struct masu_error *err);
#define NETWORK_LINGER_MS 2000u

/* What a network still has of containers that are gone, or what those that run lack. */
struct network_leftovers {
	size_t leases; /* addresses, with their nf_tables elements */
	bool bridge;   /* bridge and table, without any lease and nobody about to remove them */
	bool lost;     /* bridge or table: somebody removed them, e.g. `nft flush ruleset` */
	int programs;  /* interfaces with BPF programs of bridges that are gone, whosever */
};
/* Looks for them and, with @repair, gives them back and makes them again. A network without
 * containers has none. */
int network_check(int root_fd, int run_fd, const char *network, bool repair,
		  struct network_leftovers *ret, struct masu_error *err);

/* The same with @repair for every network. */
int network_mend(int root_fd, int run_fd, struct masu_error *err);
/*
 * Asks the plugins of a "cni:" network about the container's @interface (CHECK); with @repair has
 * them take it back, whose container is gone. Runs a helper.
 */
int network_cni_check(const struct network_request *request, const char *interface, bool repair,
		      struct masu_error *err);

/*
 * A network to be defined, in docker's words; lists are NULL-terminated or counted. A subnet,
 * range, gateway or auxiliary address belongs to the subnet that it is in.
 */
struct network_pair {
	const char *key, *value;
};
struct network_create {
	const char *name, *driver; /* NULL: bridge */
	bool ipv6, internal, attachable;
	const char **subnets, **gateways, **ranges;
	const struct network_pair *reserved, *options, *labels;
	size_t reserved_count, option_count, label_count;
	const char *created; /* RFC 3339 */
};
/* Durable. -EEXIST: there is one of that name. */
int network_create(int root_fd, const struct network_create *request, char ret_id[65],
		   struct masu_error *err);
/* Removes the network with its bridge and rules; durable. -EBUSY: a container is connected. */
int network_remove(int root_fd, int run_fd, const char *network, struct masu_error *err);
/*
 * Takes back what killed commands connected of a running container and nobody knows of: its leases
 * there but that of @known (NULL: none), with their interfaces. Who calls this keeps others from
 * connecting the container.
 */
int network_drop_orphans(int root_fd, int run_fd, const char *network, const char *container_id,
			 const struct network_endpoint *known, struct masu_error *err);
/* Whether ports can be published on it. */
bool network_publishes(int root_fd, const char *network);
/* Makes the connected container answer to other names. */
int network_rename(int root_fd, int run_fd, const struct network_endpoint *endpoint,
		   const char *names, struct masu_error *err);
/* Leads the default routes of a namespace through the endpoints that are not NULL. */
int network_route(int netns_fd, const struct network_endpoint *ipv4,
		  const struct network_endpoint *ipv6, struct masu_error *err);

/* Brings "lo" up in a namespace. */
int network_loopback_up(int netns_fd, struct masu_error *err);

/*
 * Parses docker's -p forms ("80", "8080:80", "127.0.0.1:8080:80/udp", "[::1]:8080:80",
 * "8000-8010:80-90", "127.0.0.1::80"), with ",mode=" and direct, bpf, nat or auto behind, and the
 * long form "published=8080,target=80,protocol=tcp,mode=…", and appends to the array in the arena.
 * In the long form mode may also be swarm's "host" or "ingress", which say nothing here. Port 0
 * where a number is meant, 65536, reversed or unequal ranges, and duplicates are refused.
 */
int network_port_parse(struct arena *arena, const char *text, struct network_port **ports,
		       size_t *count, struct masu_error *err);

/* Appends one port to such an array. */
int network_port_add(struct arena *arena, const struct network_port *port,
		     struct network_port **ports, size_t *count, struct masu_error *err);

/*
 * Parses a port of the container as images and Docker's JSON name it: "80/tcp", "53/udp", and "80",
 * which is TCP (image-spec, config.md, ExposedPorts). Sets container_port and protocol of @ret.
 * -EINVAL.
 */
int network_port_name_parse(const char *name, struct network_port *ret);

/* How it is reached now; @family: AF_INET or AF_INET6. */
enum network_mode network_port_mode(const struct network_port *port, int family);

/* "nat", "direct", "bpf" or "auto". NETWORK_MODE_DEFAULT has no name: "". */
const char *network_mode_name(enum network_mode mode);
int network_mode_parse(const char *name, enum network_mode *ret); /* -EINVAL */

void network_endpoint_save(const struct network_endpoint *endpoint, struct json_writer *w);
int network_endpoint_load(struct arena *arena, const struct json *saved,
			  struct network_endpoint *ret, struct masu_error *err);
