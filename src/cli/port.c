/* `masu port`. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/session.h"

static const char *const protocols[] = {
	[NETWORK_TCP] = "tcp", [NETWORK_UDP] = "udp", [NETWORK_SCTP] = "sctp"
};

/* One line of the answer: a port of the container and where it is reached. */
struct mapping {
	uint16_t port;
	const char *protocol;
	char host[INET6_ADDRSTRLEN + 16];
	const char *mode; /* how it is reached, where somebody asked for more than docker does */
};

struct mappings {
	struct mapping *list;
	size_t count;
};

static void add(struct mappings *mappings, const struct network_port *port, int family)
{
	char address[INET6_ADDRSTRLEN] = "";
	struct mapping *mapping = &mappings->list[mappings->count++];
	if (port->host_ip_set)
		inet_ntop(family, &port->host_ip, address, sizeof(address));
	else
		snprintf(address, sizeof(address), "%s", family == AF_INET ? "0.0.0.0" : "::");
	mapping->port = port->container_port;
	mapping->protocol = protocols[port->protocol];
	snprintf(mapping->host, sizeof(mapping->host), family == AF_INET ? "%s:%u" : "[%s]:%u",
		 address, port->host_port);
	mapping->mode = port->mode == NETWORK_MODE_DEFAULT
				? NULL
				: network_mode_name(network_port_mode(port, family));
}

static int compare(const void *a, const void *b)
{
	const struct mapping *left = a, *right = b;
	int r = (int)left->port - (int)right->port;
	if (r == 0)
		r = strcmp(left->protocol, right->protocol);
	return r ? r : strcmp(left->host, right->host);
}

/* What is published now: a container that does not run holds no port. */
static int collect(struct arena *arena, const struct container *container, struct mappings *ret,
		   struct masu_error *err)
{
	struct mappings mappings = { 0 };
	size_t count = 0;
	bool runs = container->status == CONTAINER_RUNNING || container->status == CONTAINER_PAUSED;
	for (size_t i = 0; runs && i < container->endpoint_count; i++)
		count += 2 * container->endpoints[i].port_count;
	mappings.list = arena_array(arena, struct mapping, count);
	if (!mappings.list)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; runs && i < container->endpoint_count; i++) {
		const struct network_endpoint *endpoint = &container->endpoints[i];
		for (size_t k = 0; k < endpoint->port_count; k++) {
			const struct network_port *port = &endpoint->ports[k];
			add(&mappings, port, port->host_ip_set ? port->host_family : AF_INET);
			if (!port->host_ip_set && endpoint->has_ipv6)
				add(&mappings, port, AF_INET6);
		}
	}
	qsort(mappings.list, mappings.count, sizeof(*mappings.list), compare);
	*ret = mappings;
	return 0;
}

/* "80" or "80/udp". */
static int print_one(struct arena *arena, const struct mappings *mappings, const char *name,
		     const char *wanted, struct masu_error *err)
{
	uint32_t number;
	bool found = false;
	const char *slash = strchr(wanted, '/');
	const char *digits =
		slash ? arena_strndup(arena, wanted, (size_t)(slash - wanted)) : wanted;
	const char *protocol = slash ? slash + 1 : "tcp";
	if (!digits)
		return error_set(err, -ENOMEM, "out of memory");
	if (str_to_u32(digits, &number) < 0 || number > UINT16_MAX)
		return error_set(err, -EINVAL, "invalid port (%.100s)", digits);
	for (size_t i = 0; i < mappings->count; i++) {
		const struct mapping *mapping = &mappings->list[i];
		if (mapping->port != number || !streq(mapping->protocol, protocol))
			continue;
		printf("%s\n", mapping->host);
		found = true;
	}
	return found ? 0
		     : error_set(err, -ENOENT, "No public port '%.100s' published for %.255s",
				 wanted, name);
}

static int port_run(struct cli_context *context, void *options, int argc, char **argv,
		    struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct container container;
	struct mappings mappings = { 0 };
	int r = session_container(context, argv[0], &engine, &container, err);
	if (r < 0)
		return r;
	r = collect(context->arena, &container, &mappings, err);
	if (r < 0 || argc > 1)
		return r < 0 ? r : print_one(context->arena, &mappings, argv[0], argv[1], err);
	for (size_t i = 0; i < mappings.count; i++)
		printf(mappings.list[i].mode ? "%u/%s -> %s (%s)\n" : "%u/%s -> %s\n",
		       mappings.list[i].port, mappings.list[i].protocol, mappings.list[i].host,
		       mappings.list[i].mode);
	return 0;
}

const struct cli_command port_command = {
	.name = "port",
	.synopsis = "CONTAINER [PRIVATE_PORT[/PROTO]]",
	.summary = "List port mappings or a specific mapping for the container",
	.run = port_run,
	.min_args = 1,
	.max_args = 2,
};
