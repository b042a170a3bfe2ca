/*
 * Drives src/network without containers, for tests/integration/network.bats: connects a network
 * namespace under a made-up container id, and everything else the engine does with a network.
 *
 *	network-driver ROOT RUNROOT connect ID NETNS [IP|-] [HOSTIP@]HOSTPORT:PORT/PROTOCOL...
 *	network-driver ROOT RUNROOT hold ID NETNS ...	as connect, then waits for the end of stdin
 *	network-driver ROOT RUNROOT disconnect ID
 *	network-driver ROOT RUNROOT repair ID NETNS|-
 *	network-driver ROOT RUNROOT retire MILLISECONDS
 *
 * The endpoint is kept in RUNROOT/ID.json, as the engine keeps it in the container's record.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/network.h"
#include "sys/fs.h"

static struct arena arena;
static struct masu_error err;

static int fail(void)
{
	fprintf(stderr, "network-driver: %s\n", err.message);
	return 1;
}

static int usage(void)
{
	fprintf(stderr, "network-driver: see the head of tests/integration/network-driver.c\n");
	return 2;
}

static int save(const struct network_request *request, const struct network_endpoint *endpoint)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	char name[80];
	buf_init(&text, 0);
	json_writer_init(&w, &text, true);
	network_endpoint_save(endpoint, &w);
	(void)str_format(name, sizeof(name), "%s.json", request->container_id);
	int r = fs_write_atomic(request->run_fd, name, text.data, text.len, 0600, false);
	if (r < 0)
		return error_errno(&err, r, "%s", name);
	printf("%s\n", buf_str(&text));
	return 0;
}

static int load(const struct network_request *request, struct network_endpoint *ret)
{
	_cleanup_buf_ struct buf text;
	const struct json *document;
	char name[80];
	buf_init(&text, 0);
	(void)str_format(name, sizeof(name), "%s.json", request->container_id);
	int r = fs_read_at(request->run_fd, name, 1 << 20, &text);
	if (r < 0)
		return error_errno(&err, r, "%s", name);
	r = json_parse(&arena, buf_str(&text), text.len, &document, &err);
	return r < 0 ? r : network_endpoint_load(&arena, document, ret, &err);
}

static int connect_verb(struct network_request *request, int argc, char **argv, bool hold)
{
	struct network_port *ports = NULL;
	struct network_endpoint endpoint;
	if (argc < 2)
		return usage();
	request->container_id = argv[0];
	request->netns_fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (argc > 2 && !streq(argv[2], "-"))
		request->requested_ip = argv[2];
	for (int i = 3; i < argc; i++)
		if (network_port_parse(&arena, argv[i], &ports, &request->port_count, &err) < 0)
			return fail();
	request->ports = ports;
	const struct network_ops *ops = network_driver(request->network);
	if (ops->connect(request, &arena, &endpoint, &err) < 0)
		return fail();
	if (save(request, &endpoint) < 0) {
		ops->disconnect(request, &endpoint, NULL);
		return fail();
	}
	if (ops->settle(request, &endpoint, &err) < 0)
		return fail();
	fflush(stdout);
	while (hold && getchar() != EOF)
		continue;
	return 0;
}

static int repair_verb(struct network_request *request, int argc, char **argv)
{
	struct network_endpoint endpoint;
	if (argc < 2)
		return usage();
	request->container_id = argv[0];
	request->netns_fd = streq(argv[1], "-") ? -1 : open(argv[1], O_RDONLY | O_CLOEXEC);
	if (load(request, &endpoint) < 0 ||
	    network_driver(request->network)->repair(request, &endpoint, &err) < 0)
		return fail();
	return 0;
}

static int disconnect_verb(struct network_request *request, int argc, char **argv)
{
	struct network_endpoint endpoint;
	if (argc < 1)
		return usage();
	request->container_id = argv[0];
	if (load(request, &endpoint) < 0 ||
	    network_driver(request->network)->disconnect(request, &endpoint, &err) < 0)
		return fail();
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return usage();
	struct network_request request = {
		.root_fd = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC),
		.run_fd = open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC),
		.network = "bridge",
		.netns_fd = -1,
		.libexec = getenv("MASU_LIBEXEC"),
	};
	arena_init(&arena, 0);
	const char *verb = argv[3];
	argc -= 4;
	argv += 4;
	uint32_t linger;
	if (streq(verb, "connect") || streq(verb, "hold"))
		return connect_verb(&request, argc, argv, streq(verb, "hold"));
	if (streq(verb, "disconnect"))
		return disconnect_verb(&request, argc, argv);
	if (streq(verb, "repair"))
		return repair_verb(&request, argc, argv);
	if (streq(verb, "retire") && argc == 1 && str_to_u32(argv[0], &linger) == 0)
		return network_retire(request.root_fd, request.run_fd, "bridge", linger, &err) < 0
			       ? fail()
			       : 0;
	return usage();
}
