/* The column PORTS, in the order and the groups of docker's own. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/ps.h"

#define MAX_PORTS 65536u

static const char *const protocols[] = {
	[NETWORK_TCP] = "tcp", [NETWORK_UDP] = "udp", [NETWORK_SCTP] = "sctp"
};

/* One line of docker's list: an exposed port has no address. */
struct shown_port {
	char ip[INET6_ADDRSTRLEN];
	uint16_t host, container;
	enum network_protocol protocol;
};

static int compare_ports(const void *a, const void *b)
{
	const struct shown_port *x = a, *y = b;
	if (x->container != y->container)
		return x->container < y->container ? -1 : 1;
	int order = strcmp(x->ip, y->ip);
	if (order == 0)
		order = (x->host > y->host) - (x->host < y->host);
	return order ? order : strcmp(protocols[x->protocol], protocols[y->protocol]);
}

struct ports {
	struct shown_port *list;
	size_t count;
};

static void add(struct ports *ports, const struct network_port *port, int family)
{
	struct shown_port *to = &ports->list[ports->count++];
	*to = (struct shown_port) { .host = port->host_port,
				    .container = port->container_port,
				    .protocol = port->protocol };
	if (port->host_ip_set)
		inet_ntop(family, &port->host_ip, to->ip, sizeof(to->ip));
	else
		snprintf(to->ip, sizeof(to->ip), "%s", family == AF_INET ? "0.0.0.0" : "::");
}

static void add_published(struct ports *ports, const struct network_endpoint *endpoint)
{
	for (size_t i = 0; i < endpoint->port_count; i++) {
		const struct network_port *port = &endpoint->ports[i];
		add(ports, port, port->host_ip_set ? port->host_family : AF_INET);
		if (!port->host_ip_set && endpoint->has_ipv6)
			add(ports, port, AF_INET6);
	}
}

static bool is_published(const struct ports *ports, const struct shown_port *port)
{
	for (size_t i = 0; i < ports->count; i++)
		if (ports->list[i].container == port->container &&
		    ports->list[i].protocol == port->protocol)
			return true;
	return false;
}

static void add_exposed(struct ports *ports, const char **expose)
{
	for (; expose && *expose; expose++) {
		unsigned number;
		char name[8];
		struct shown_port port = { 0 };
		if (sscanf(*expose, "%5u/%7s", &number, name) != 2 || number > UINT16_MAX)
			continue;
		port.container = (uint16_t)number;
		for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
			if (streq(name, protocols[i]))
				port.protocol = (enum network_protocol)i;
		if (!is_published(ports, &port))
			ports->list[ports->count++] = port;
	}
}

static void put_separator(struct buf *out)
{
	if (out->len)
		buf_puts(out, ", ");
}

static void put_address(const struct shown_port *port, struct buf *out)
{
	buf_printf(out, strchr(port->ip, ':') ? "[%s]:" : "%s:", port->ip);
}

/* Ports that follow one another and have the same number outside are shown as a range. */
struct group {
	const struct shown_port *first;
	uint16_t last;
};

static void put_group(const struct group *group, struct buf *out)
{
	char range[16];
	snprintf(range, sizeof(range), group->first->container == group->last ? "%u" : "%u-%u",
		 group->first->container, group->last);
	put_separator(out);
	if (group->first->ip[0]) {
		put_address(group->first, out);
		buf_printf(out, "%s->", range);
	}
	buf_printf(out, "%s/%s", range, protocols[group->first->protocol]);
}

static struct group *group_of(struct group *groups, size_t count, const struct shown_port *port)
{
	for (size_t i = 0; i < count; i++)
		if (groups[i].first->protocol == port->protocol &&
		    streq(groups[i].first->ip, port->ip))
			return &groups[i];
	return NULL;
}

static bool maps_to_itself(const struct shown_port *port)
{
	return !port->ip[0] || port->host == port->container;
}

/* Groups that were broken off come first, then the others, then what maps to another number. */
static void put_ports(const struct ports *ports, struct group *groups, struct buf *out)
{
	size_t count = 0;
	for (size_t i = 0; i < ports->count; i++) {
		const struct shown_port *port = &ports->list[i];
		if (!maps_to_itself(port))
			continue;
		struct group *group = group_of(groups, count, port);
		if (group && port->container == group->last + 1) {
			group->last = port->container;
			continue;
		}
		if (group)
			put_group(group, out);
		else
			group = &groups[count++];
		*group = (struct group) { port, port->container };
	}
	for (size_t i = 0; i < count; i++)
		put_group(&groups[i], out);
	for (size_t i = 0; i < ports->count; i++) {
		const struct shown_port *port = &ports->list[i];
		if (maps_to_itself(port))
			continue;
		put_separator(out);
		put_address(port, out);
		buf_printf(out, "%u->%u/%s", port->host, port->container,
			   protocols[port->protocol]);
	}
}

void ps_ports(const struct container *container, struct buf *out)
{
	size_t room = 0;
	if (container->endpoint_count == 0 || !container_is_alive(container))
		return;
	for (const char **expose = container->config.expose; expose && *expose; expose++)
		room++;
	for (size_t i = 0; i < container->endpoint_count; i++)
		room += 2 * container->endpoints[i].port_count;
	if (room == 0 || room > 4 * MAX_PORTS)
		return;
	struct ports ports = { .list = calloc(room, sizeof(*ports.list)) };
	struct group *groups = calloc(room, sizeof(*groups));
	if (ports.list && groups) {
		for (size_t i = 0; i < container->endpoint_count; i++)
			add_published(&ports, &container->endpoints[i]);
		add_exposed(&ports, container->config.expose);
		qsort(ports.list, ports.count, sizeof(*ports.list), compare_ports);
		put_ports(&ports, groups, out);
	} else {
		out->error = -ENOMEM;
	}
	free(groups);
	free(ports.list);
}
