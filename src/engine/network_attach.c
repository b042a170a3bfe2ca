/* Connecting containers that exist to networks, and disconnecting them; live where they run. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/attach.h"
#include "engine/config.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "engine/lifecycle.h"
#include "engine/network.h"

struct change {
	struct engine *engine;
	struct arena *arena;
	struct container *container;
	const char *network;
	int netns_fd;  /* -1: it does not run */
	bool resolved; /* it had a resolver of its own before */
};

/* From now on the container's own list, which a plain --network has not made. */
static int own_list(struct change *c, struct masu_error *err)
{
	struct container_config *config = &c->container->config;
	struct network_config single;
	const struct network_config *networks;
	size_t count = config_networks(config, &single, &networks);
	struct network_config *list = arena_array(c->arena, struct network_config, count + 1);
	if (!list)
		return error_set(err, -ENOMEM, "out of memory");
	if (count)
		memcpy(list, networks, count * sizeof(*list));
	config->networks = list;
	config->network_count = count;
	return 0;
}

static size_t find_network(const struct container_config *config, const char *name)
{
	size_t i = 0;
	while (i < config->network_count && !streq(config->networks[i].name, name))
		i++;
	return i;
}

static size_t find_endpoint(const struct container *container, const char *name)
{
	size_t i = 0;
	while (i < container->endpoint_count && !streq(container->endpoints[i].network, name))
		i++;
	return i;
}

static int priority_of(const struct change *c, const struct network_endpoint *endpoint)
{
	const struct container_config *config = &c->container->config;
	size_t i = find_network(config, endpoint->network);
	return i < config->network_count ? config->networks[i].gw_priority : 0;
}

/* The default routes lead where they would after a start. */
static void choose_routes(struct change *c)
{
	struct masu_error err = { 0 };
	const struct network_endpoint *best4 = NULL, *best6 = NULL;
	for (size_t i = 0; i < c->container->endpoint_count; i++) {
		const struct network_endpoint *e = &c->container->endpoints[i];
		if (e->gateway4.s_addr && (!best4 || priority_of(c, e) > priority_of(c, best4)))
			best4 = e;
		if (!IN6_IS_ADDR_UNSPECIFIED(&e->gateway6) &&
		    (!best6 || priority_of(c, e) > priority_of(c, best6)))
			best6 = e;
	}
	if (network_route(c->netns_fd, best4, best6, &err) < 0)
		log_warn("%s", err.message);
}

/* The lowest number that no interface of the container's has. */
static unsigned free_index(const struct container *container)
{
	unsigned index = 0;
	for (size_t i = 0; i < container->endpoint_count;) {
		const char *name = container->endpoints[i].interface;
		uint32_t number;
		name += strcspn(name, "0123456789");
		if (str_to_u32(name, &number) == 0 && number == index) {
			index++;
			i = 0;
		} else {
			i++;
		}
	}
	return index;
}

/* What is connected, for whoever takes it down, and for who asks. */
static int record_endpoints(struct change *c, struct masu_error *err)
{
	int r = store_replace_endpoints(c->container, err);
	if (r == 0)
		r = etc_hosts_write(c->container, err);
	return r;
}

static int connect_live(struct change *c, const struct network_config *network,
			struct masu_error *err)
{
	struct container *container = c->container;
	size_t count = container->endpoint_count;
	struct network_endpoint *list = arena_array(c->arena, struct network_endpoint, count + 1);
	/* The routes come last, when it is known which one leads out. */
	struct network_place place = { .netns_fd = c->netns_fd,
				       .index = free_index(container),
				       .other4 = true,
				       .other6 = true };
	if (!list)
		return error_set(err, -ENOMEM, "out of memory");
	if (count)
		memcpy(list, container->endpoints, count * sizeof(*list));
	struct masu_error first = { 0 };
	int r = engine_network_connect_one(c->engine, c->arena, container, network, &place,
					   &list[count], &first);
	/* An interface of a command that was killed, or the container's own. */
	for (unsigned tries = 0; r == -EEXIST && tries < CONTAINER_NETWORKS_MAX; tries++) {
		place.index++;
		error_clear(&first);
		r = engine_network_connect_one(c->engine, c->arena, container, network, &place,
					       &list[count], &first);
	}
	if (r < 0 && err)
		*err = first;
	if (r < 0)
		return r;
	container->endpoints = list;
	container->endpoint_count = count + 1;
	r = record_endpoints(c, err);
	if (r < 0) {
		engine_network_disconnect_one(c->engine, container, &list[count], c->netns_fd,
					      NULL);
		container->endpoint_count = count;
		return r;
	}
	/* From now on its monitor resolves names. */
	if (!c->resolved && engine_network_resolves(&container->config) &&
	    (r = etc_files_refresh(container, err)) < 0)
		return r;
	choose_routes(c);
	event_endpoint(c->engine, container, &list[count], "connect");
	return 0;
}

static int disconnect_live(struct change *c, struct masu_error *err)
{
	struct container *container = c->container;
	size_t at = find_endpoint(container, c->network);
	if (at == container->endpoint_count)
		return 0;
	struct network_endpoint endpoint = container->endpoints[at];
	int r = engine_network_disconnect_one(c->engine, container, &endpoint, c->netns_fd, err);
	if (r < 0)
		return r;
	memmove(&container->endpoints[at], &container->endpoints[at + 1],
		(container->endpoint_count - at - 1) * sizeof(endpoint));
	container->endpoint_count--;
	r = record_endpoints(c, err);
	choose_routes(c);
	event_endpoint(c->engine, container, &endpoint, "disconnect");
	return r;
}

/* What a killed command has left of the network in the running container. */
static int drop_orphans(struct change *c, bool connected, struct masu_error *err)
{
	struct container *container = c->container;
	size_t at = find_endpoint(container, c->network);
	if (c->netns_fd < 0)
		return 0;
	if (!connected && at < container->endpoint_count)
		return disconnect_live(c, err);
	return network_drop_orphans(
		c->engine->root_fd, c->engine->run_fd, c->network, container->id,
		at < container->endpoint_count ? &container->endpoints[at] : NULL, err);
}

static int check_mode(const struct container *container, const char *verb, struct masu_error *err)
{
	const char *mode = engine_network_name(&container->config);
	if (str_after(mode, "cni:"))
		return error_set(err, -EINVAL,
				 "container cannot be %s: a container in a CNI network is in no "
				 "other network",
				 verb);
	if (mode_host(mode) || mode_container(mode, NULL))
		return error_set(err, -EINVAL,
				 "container sharing network namespace with another container or "
				 "host cannot be connected to any other network");
	if (streq(mode, "none"))
		return error_set(err, -EINVAL,
				 "container cannot be %s: it was made with --network none", verb);
	return 0;
}

static int open_namespace(struct change *c, struct masu_error *err)
{
	char path[32];
	if (!c->container->pid || !container_is_alive(c->container))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)c->container->pid);
	c->netns_fd = open(path, O_RDONLY | O_CLOEXEC);
	return c->netns_fd < 0 ? error_errno(err, -errno, "%s", path) : 0;
}

static int connect_locked(struct change *c, const struct network_config *network,
			  struct masu_error *err)
{
	struct container_config *config = &c->container->config;
	if (find_network(config, c->network) < config->network_count)
		return error_set(err, -EEXIST, "endpoint with name %s already exists in network %s",
				 c->container->name, c->network);
	struct container_config scratch = { .networks = (struct network_config[]) { *network },
					    .network_count = 1 };
	int r = engine_network_check(c->engine, c->arena, &scratch, err);
	if (r < 0)
		return r;
	if (config->network_count == CONTAINER_NETWORKS_MAX)
		return error_set(err, -E2BIG, "a container is connected to %d networks at most",
				 CONTAINER_NETWORKS_MAX);
	r = drop_orphans(c, false, err);
	if (r < 0)
		return r;
	config->networks[config->network_count++] = *network;
	r = c->netns_fd >= 0 ? connect_live(c, network, err) : 0;
	return r < 0 ? r : store_replace_record(c->container, err);
}

static int disconnect_locked(struct change *c, struct masu_error *err)
{
	struct container_config *config = &c->container->config;
	size_t at = find_network(config, c->network);
	int r = drop_orphans(c, at < config->network_count, err);
	if (r < 0)
		return r;
	if (at == config->network_count)
		return error_set(err, -ENOENT, "container %s is not connected to network %s",
				 c->container->name, c->network);
	memmove(&config->networks[at], &config->networks[at + 1],
		(config->network_count - at - 1) * sizeof(config->networks[0]));
	config->network_count--;
	/* The record first: killed in between, the next start knows nothing of it. */
	r = store_replace_record(c->container, err);
	return r == 0 && c->netns_fd >= 0 ? disconnect_live(c, err) : r;
}

/* @network NULL: away from c->network. */
static int change(struct engine *engine, const char *id, const char *name,
		  const struct network_config *network, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_close_ int lock = -1;
	struct container container;
	struct change c = {
		.engine = engine, .arena = &arena, .container = &container, .netns_fd = -1
	};
	arena_init(&arena, 0);
	int r = engine_network_resolve(engine, &arena, name, &c.network, err);
	if (r == 0 && (mode_host(c.network) || streq(c.network, "none")))
		r = error_set(err, -EINVAL,
			      "container cannot be %s network %s: that is decided when it is made",
			      network ? "connected to" : "disconnected from", c.network);
	if (r == 0)
		r = container_load_locked(engine, &arena, id, &container, &lock, err);
	if (r < 0)
		return r;
	r = lifecycle_check(&container, VERB_CHANGE, err);
	if (r == 0)
		r = check_mode(&container, network ? "connected" : "disconnected", err);
	/* What waits for the start was made for the old networks. */
	if (r == 0)
		r = container_unpark(&container, err);
	if (r == 0 && container.status == CONTAINER_CREATED)
		container.pid = 0;
	if (r == 0)
		r = open_namespace(&c, err);
	if (r == 0) {
		c.resolved = engine_network_resolves(&container.config);
		r = own_list(&c, err);
	}
	if (r == 0 && network) {
		struct network_config wanted = *network;
		wanted.name = c.network;
		r = connect_locked(&c, &wanted, err);
	} else if (r == 0) {
		r = disconnect_locked(&c, err);
	}
	cleanup_close(&c.netns_fd);
	cleanup_close(&lock);
	if (r == 0)
		monitor_reload(&container);
	container_close(&container);
	return r;
}

int engine_network_attach(struct engine *engine, const char *id,
			  const struct network_config *network, struct masu_error *err)
{
	return change(engine, id, network->name, network, err);
}

int engine_network_detach(struct engine *engine, const char *id, const char *network,
			  struct masu_error *err)
{
	return change(engine, id, network, NULL, err);
}
