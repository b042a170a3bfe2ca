/* Which published ports may become direct. */
#include <stddef.h>

#include "network/direct.h"
#include "network/direct_guard.h"
#include "network/port.h"

bool direct_are_halves(const struct network_port *a, const struct network_port *b)
{
	return a->protocol == b->protocol && a->container_port == b->container_port &&
	       a->host_port == b->host_port && a->host_ip_set && b->host_ip_set &&
	       a->host_family != b->host_family && !port_is_at_one(a) && !port_is_at_one(b) &&
	       network_may_be_direct(a->mode) && network_may_be_direct(b->mode);
}

const char *direct_refusal(const struct network_port *ports, size_t count, size_t index)
{
	size_t before = 0;
	if (ports[index].protocol == NETWORK_SCTP)
		return "SCTP ports cannot be direct";
	for (size_t i = 0; i < count; i++) {
		if (i != index && ports[i].protocol == ports[index].protocol &&
		    ports[i].container_port == ports[index].container_port &&
		    !direct_are_halves(&ports[i], &ports[index]))
			return "the container's port is published more than once";
		before += i < index && network_may_be_direct(ports[i].mode);
	}
	return before >= GUARD_PORTS_MAX ? "too many ports are to be direct" : NULL;
}

bool direct_wanted(const struct network_port *ports, size_t count, enum network_protocol protocol)
{
	for (size_t i = 0; i < count; i++)
		if (network_may_be_direct(ports[i].mode) && ports[i].protocol == protocol &&
		    !direct_refusal(ports, count, i))
			return true;
	return false;
}
