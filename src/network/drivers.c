#include "network/drivers.h"

#include <stdbool.h>

#include "base/str.h"

static int connect_loopback(const struct network_request *request, struct arena *arena,
			    struct network_endpoint *ret, struct masu_error *err)
{
	struct network_endpoint endpoint = { .network = "none" };
	int r = network_loopback_up(request->netns_fd, err);
	if (r == 0)
		*ret = endpoint;
	return r;
}

static int connect_nothing(const struct network_request *request, struct arena *arena,
			   struct network_endpoint *ret, struct masu_error *err)
{
	*ret = (struct network_endpoint) { 0 };
	return 0;
}

static int nothing_to_do(const struct network_request *request,
			 const struct network_endpoint *endpoint, struct masu_error *err)
{
	return 0;
}

static const struct network_ops network_none = {
	.name = "none",
	.own_namespace = true,
	.connect = connect_loopback,
	.settle = nothing_to_do,
	.disconnect = nothing_to_do,
	.repair = nothing_to_do,
};

/* The host's namespace and another container's are used as they are. */
static const struct network_ops network_host = {
	.name = "host",
	.own_namespace = false,
	.connect = connect_nothing,
	.settle = nothing_to_do,
	.disconnect = nothing_to_do,
	.repair = nothing_to_do,
};

static const struct network_ops network_container = {
	.name = "container",
	.own_namespace = false,
	.connect = connect_nothing,
	.settle = nothing_to_do,
	.disconnect = nothing_to_do,
	.repair = nothing_to_do,
};

const struct network_ops *network_driver(const char *name)
{
	static const struct network_ops *const drivers[] = { &network_bridge, &network_none,
							     &network_host };
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (streq(name, drivers[i]->name))
			return drivers[i];
	if (streq(name, "default"))
		return &network_bridge;
	const char *rest = str_after(name, "cni:");
	if (rest && *rest)
		return &network_cni;
	rest = str_after(name, "container");
	return rest && (!*rest || (*rest == ':' && rest[1])) ? &network_container : NULL;
}
