/*
 * What tools/bench-claim times: what a container's start does for its network, step by step, and
 * what would be left of it if namespaces with their pair of interfaces were made in advance.
 *
 *	claim ROOT RUNROOT ROUNDS PORTS		PORTS: published beside, by another container
 *	claim ROOT RUNROOT calls ROUNDS		only connects, with a port, and disconnects: for
 *strace
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/link.h"
#include "network/netns.h"
#include "network/network.h"
#include "sys/fs.h"

#define ROUNDS_MAX 2000
#define PORTS_MAX  4000
#define PREPARED   16 /* at a time: an unused namespace takes memory of the kernel */
#define BRIDGE	   "claim0"

#define PUBLISHED 10

enum { SPACE, PAIR, FRESH, READY, BARE, CONNECT, PUBLISH, DISCONNECT, STEPS };

static const char *const names[STEPS] = {
	[SPACE] = "a network namespace",
	[PAIR] = "its pair of interfaces",
	[FRESH] = "addresses and routes in it",
	[READY] = "the same in one made before, pair and all",
	[BARE] = "connect as masu does, without a port",
	[CONNECT] = "connect with ten ports",
	[PUBLISH] = "one port more while it runs",
	[DISCONNECT] = "disconnect",
};

static double times[STEPS][ROUNDS_MAX];
static struct masu_error err;
static int own_fd; /* this process's namespace */

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "claim: %s: %s\n", what, *err.message ? err.message : strerror(errno));
	exit(EXIT_FAILURE);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int new_namespace(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		fail("unshare");
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(own_fd, CLONE_NEWNET) < 0)
		fail("/proc/self/ns/net");
	return fd;
}

static struct link_addresses addresses(unsigned host)
{
	struct link_addresses at = { .ipv4.s_addr = htonl(0x0a630000 + host),
				     .ipv4_prefix = 16,
				     .ipv6_prefix = 64 };
	inet_pton(AF_INET6, "fd63::", &at.ipv6);
	at.ipv6.s6_addr32[3] = htonl(host);
	return at;
}

static void make_pair(int route_fd, int namespace, unsigned host)
{
	const uint8_t mac[6] = { 2, 0x42, 10, 99, (uint8_t)(host >> 8), (uint8_t)host };
	char name[IFNAMSIZ];
	(void)str_format(name, sizeof(name), "claim-%u", host);
	const struct link_veth veth = {
		.host_name = name,
		.bridge_index = link_index(route_fd, BRIDGE),
		.name = "eth0",
		.netns_fd = namespace,
		.mac = mac,
		.mtu = 1500,
	};
	if (link_veth_create(route_fd, &veth, &err) < 0)
		fail("pair");
}

static void configure(int namespace, unsigned host)
{
	const struct link_addresses own = addresses(host), gateway = addresses(1);
	bool ipv6 = true;
	_cleanup_close_ int fd = netns_netlink(namespace, NETLINK_ROUTE);
	if (fd < 0 || link_configure(fd, "eth0", &own, &gateway, NULL, &ipv6, &err) < 0)
		fail("addresses");
}

/* Namespaces as a pool would have them, and what it would take to claim one. */
static void time_steps(unsigned rounds)
{
	const uint8_t mac[6] = { 2, 0x42, 10, 99, 0, 1 };
	const struct link_addresses gateway = addresses(1);
	_cleanup_close_ int route = netlink_open(NETLINK_ROUTE);
	if (route < 0 || link_bridge_create(route, BRIDGE, mac, 1500, &err) < 0 ||
	    link_bridge_setup(route, BRIDGE, &gateway, false, &err) < 0)
		fail("bridge");
	for (unsigned i = 0; i < rounds; i++) {
		double start = now();
		_cleanup_close_ int namespace = new_namespace();
		double made = now();
		make_pair(route, namespace, 2 + i % 1000);
		double paired = now();
		configure(namespace, 2 + i % 1000);
		times[FRESH][i] = now() - paired;
		times[PAIR][i] = paired - made;
		times[SPACE][i] = made - start;
		usleep(1000); /* the kernel takes namespaces away beside this */
		char name[IFNAMSIZ];
		(void)str_format(name, sizeof(name), "claim-%u", 2 + i % 1000);
		(void)link_delete(route, name);
	}
	for (unsigned i = 0; i < rounds; i += PREPARED) {
		int pool[PREPARED];
		for (unsigned k = 0; k < PREPARED; k++) {
			pool[k] = new_namespace();
			make_pair(route, pool[k], 2000 + k);
		}
		for (unsigned k = 0; k < PREPARED; k++) {
			double start = now();
			configure(pool[k], 2000 + k);
			if (i + k < rounds)
				times[READY][i + k] = now() - start;
		}
		for (unsigned k = 0; k < PREPARED; k++) {
			char name[IFNAMSIZ];
			(void)str_format(name, sizeof(name), "claim-%u", 2000 + k);
			(void)link_delete(route, name);
			close(pool[k]);
		}
	}
	(void)link_delete(route, BRIDGE);
}

/* One container: connected with @ports ports, one more, and disconnected. */
static void connect_one(struct network_request *request, const struct network_port *list,
			size_t ports, double *connected, double *published, double *gone)
{
	const struct network_ops *ops = network_driver(request->network);
	struct network_endpoint endpoint;
	_cleanup_arena_ struct arena arena;
	arena_init(&arena, 0);
	request->netns_fd = new_namespace();
	request->ports = list;
	request->port_count = ports;
	double start = now();
	if (ops->connect(request, &arena, &endpoint, &err) < 0)
		fail("connect");
	*connected = now() - start;
	if (published) {
		request->port_count = ports + 1;
		start = now();
		if (ops->change(request, &arena, &endpoint, &err) < 0)
			fail("port");
		*published = now() - start;
	}
	/* The interfaces go with the namespace, which nobody waits for. */
	close(request->netns_fd);
	request->netns_fd = -1;
	start = now();
	if (ops->disconnect(request, &endpoint, &err) < 0)
		fail("disconnect");
	*gone = now() - start;
}

/* One more than a container starts with. */
static struct network_port published[PUBLISHED + 1];

static void time_masu(struct network_request request, unsigned rounds, unsigned others)
{
	static struct network_port list[PORTS_MAX];
	struct network_endpoint endpoint;
	_cleanup_arena_ struct arena arena;
	struct network_request other = request;
	arena_init(&arena, 0);
	for (unsigned i = 0; i < others; i++)
		list[i] = (struct network_port) { .container_port = (uint16_t)(1 + i),
						  .host_port = (uint16_t)(20000 + i) };
	other.container_id = "others";
	other.netns_fd = new_namespace();
	other.ports = list;
	other.port_count = others;
	const struct network_ops *ops = network_driver(other.network);
	if (ops->connect(&other, &arena, &endpoint, &err) < 0)
		fail("connect");
	for (unsigned i = 0; i < rounds; i++) {
		double ignored;
		connect_one(&request, published, 0, &times[BARE][i], NULL, &ignored);
		connect_one(&request, published, PUBLISHED, &times[CONNECT][i], &times[PUBLISH][i],
			    &times[DISCONNECT][i]);
	}
	if (ops->disconnect(&other, &endpoint, &err) < 0)
		fail("disconnect");
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void print(unsigned rounds)
{
	printf("%-44s %8s %8s\n", "us", "p50", "p10");
	for (unsigned step = 0; step < STEPS; step++) {
		qsort(times[step], rounds, sizeof(times[step][0]), compare);
		printf("%-44s %8.1f %8.1f\n", names[step], times[step][rounds / 2],
		       times[step][rounds / 10]);
	}
	printf("%-44s %8.1f %8.1f\n", "so a port, within a connect",
	       (times[CONNECT][rounds / 2] - times[BARE][rounds / 2]) / PUBLISHED,
	       (times[CONNECT][rounds / 10] - times[BARE][rounds / 10]) / PUBLISHED);
	printf("%-44s %8.1f %8.1f\n", "and what a pool would take off a connect",
	       times[PAIR][rounds / 2], times[PAIR][rounds / 10]);
}

int main(int argc, char **argv)
{
	uint32_t rounds, others = 0;
	bool calls = argc == 5 && streq(argv[3], "calls");
	if (argc != 5 || str_to_u32(argv[calls ? 4 : 3], &rounds) < 0 || rounds == 0 ||
	    rounds > ROUNDS_MAX || (!calls && str_to_u32(argv[4], &others) < 0) ||
	    others > PORTS_MAX) {
		fprintf(stderr, "claim: see the head of tools/claim.c\n");
		return 2;
	}
	struct network_request request = {
		.root_fd = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC),
		.run_fd = open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC),
		.container_id = "claim",
		.network = "bridge",
	};
	for (unsigned i = 0; i <= PUBLISHED; i++)
		published[i] = (struct network_port) { .container_port = (uint16_t)(80 + i),
						       .host_port = (uint16_t)(18080 + i) };
	own_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (request.root_fd < 0 || request.run_fd < 0 || own_fd < 0)
		fail("open");
	for (unsigned i = 0; calls && i < rounds; i++) {
		double ignored;
		connect_one(&request, published, 1, &ignored, NULL, &ignored);
	}
	if (calls)
		return 0;
	time_steps(rounds);
	time_masu(request, rounds, others);
	print(rounds);
	return 0;
}
