/* Adding and removing published ports of a container that there is. */
#include <errno.h>

#include "base/str.h"
#include "engine/internal.h"
#include "engine/network.h"

static bool in_protocol(const struct network_port *port, const struct network_port *named)
{
	return port->protocol == named->protocol && port->container_port == named->container_port;
}

/* What `--publish-rm` names: without a host's port, or an address, all of the container's port. */
static bool is_named(const struct network_port *port, const struct network_port *named)
{
	if (!in_protocol(port, named) || (named->host_port && named->host_port != port->host_port))
		return false;
	return !named->host_ip_set ||
	       (port->host_ip_set && port->host_family == named->host_family &&
		memcmp(&port->host_ip, &named->host_ip, named->host_family == AF_INET ? 4 : 16) ==
			0);
}

static int parse(struct arena *arena, const char *const *texts, struct network_port **ports,
		 size_t *count, struct masu_error *err)
{
	int r = 0;
	for (; texts && *texts && r == 0; texts++)
		r = network_port_parse(arena, *texts, ports, count, err);
	return r;
}

/* A server that listens on the host cannot be made to leave; and its port leads nowhere else. */
static int check_live(const struct container *container, const struct network_port *port,
		      struct masu_error *err)
{
	const struct network_endpoint *e = engine_network_published(container);
	bool taken = false;
	for (size_t i = 0; container->pid && e && i < e->port_count; i++)
		taken |= e->ports[i].direct && in_protocol(&e->ports[i], port);
	if (!taken)
		return 0;
	return error_set(err, -EBUSY,
			 "port %u is direct, its server listens on the host: stop the container "
			 "first",
			 port->container_port);
}

static int remove_port(struct container *container, const struct network_port *named,
		       const char *text, struct masu_error *err)
{
	struct container_config *config = &container->config;
	size_t left = 0;
	int r = 0;
	for (size_t i = 0; i < config->port_count && r == 0; i++) {
		if (!is_named(&config->ports[i], named))
			config->ports[left++] = config->ports[i];
		else
			r = check_live(container, &config->ports[i], err);
	}
	if (r == 0 && left == config->port_count)
		r = error_set(err, -ENOENT, "port %s is not published", text);
	config->port_count = left;
	return r;
}

int update_ports(struct arena *arena, struct container *container,
		 const struct container_update *update, struct masu_error *err)
{
	struct container_config *config = &container->config;
	struct network_port *ports = NULL;
	size_t count = 0;
	if (!update->publish_add && !update->publish_rm)
		return 0;
	if (!engine_network_connects(config))
		return error_set(err, -EINVAL, "network %s has no published ports",
				 engine_network_name(config));
	/* Of its own: the one that is there stays what it is if this comes to nothing. */
	struct network_port *copy = arena_array(arena, struct network_port, config->port_count + 1);
	if (!copy)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < config->port_count; i++)
		copy[i] = config->ports[i];
	config->ports = copy;
	int r = 0;
	for (const char *const *text = update->publish_rm; text && *text && r == 0; text++) {
		struct network_port *named = NULL;
		size_t named_count = 0;
		r = network_port_parse(arena, *text, &named, &named_count, err);
		for (size_t i = 0; i < named_count && r == 0; i++)
			r = remove_port(container, &named[i], *text, err);
	}
	/* In one list, so that what is published twice is refused. */
	for (size_t i = 0; i < config->port_count && r == 0; i++)
		r = network_port_add(arena, &config->ports[i], &ports, &count, err);
	size_t first = count;
	if (r == 0)
		r = parse(arena, update->publish_add, &ports, &count, err);
	for (size_t i = first; i < count && r == 0; i++)
		r = check_live(container, &ports[i], err);
	if (r < 0)
		return r;
	config->ports = ports;
	config->port_count = count;
	return 0;
}
