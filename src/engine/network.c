#include "engine/network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/config.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "exec/exec.h"
#include "network/direct.h"
#include "network/sockmap.h"

const char *engine_network_name(const struct container_config *config)
{
	const char *name = config->network;
	return !name || !*name || streq(name, "default") ? "bridge" : name;
}

static const struct network_ops *driver_of(const char *network)
{
	if (mode_container(network, NULL))
		return network_driver("container");
	const struct network_ops *ops = network_driver(network);
	return ops ? ops : network_driver("bridge");
}

bool engine_network_has_names(const char *network)
{
	return !network_driver(network) && !mode_container(network, NULL);
}

bool engine_network_resolves(const struct container_config *config)
{
	struct network_config single;
	const struct network_config *networks;
	size_t count = config_networks(config, &single, &networks);
	for (size_t i = 0; i < count; i++)
		if (engine_network_has_names(networks[i].name))
			return true;
	return false;
}

/* Names of DNS; they are also names of files. */
static bool alias_valid(const char *alias)
{
	size_t len = strlen(alias);
	if (len == 0 || len > 253 || streq(alias, ".") || streq(alias, ".."))
		return false;
	for (const char *p = alias; *p; p++)
		if (!name_char_valid(*p))
			return false;
	return true;
}

static int check_one(struct engine *engine, struct arena *arena, struct network_config *network,
		     struct masu_error *err)
{
	int r = 0;
	if (network_driver(network->name)) {
		if (network->aliases && network->aliases[0])
			return error_set(err, -EINVAL,
					 "network-scoped alias is supported only for containers in "
					 "user defined networks");
		return 0;
	}
	r = engine_network_resolve(engine, arena, network->name, &network->name, err);
	for (const char **alias = network->aliases; r == 0 && alias && *alias; alias++)
		if (!alias_valid(*alias))
			r = error_set(err, -EINVAL,
				      "invalid network alias %.100s: only [a-zA-Z0-9_.-] are "
				      "allowed",
				      *alias);
	return r;
}

static int check_networks(struct engine *engine, struct arena *arena,
			  struct container_config *config, struct masu_error *err)
{
	int r = 0;
	if (config->network_count > CONTAINER_NETWORKS_MAX)
		return error_set(err, -E2BIG, "a container is connected to %d networks at most",
				 CONTAINER_NETWORKS_MAX);
	for (size_t i = 0; r == 0 && i < config->network_count; i++) {
		const char *name = config->networks[i].name;
		if (config->network_count > 1 && str_after(name, "cni:"))
			return error_set(err, -EINVAL,
					 "conflicting options: a container in a CNI network is in "
					 "no other network");
		if (config->network_count > 1 &&
		    (mode_host(name) || streq(name, "none") || mode_container(name, NULL)))
			return error_set(err, -EINVAL,
					 "conflicting options: cannot attach both user-defined and "
					 "non-user-defined network-modes");
		r = check_one(engine, arena, &config->networks[i], err);
		for (size_t k = 0; r == 0 && k < i; k++)
			if (streq(config->networks[k].name, config->networks[i].name))
				r = error_set(err, -EINVAL,
					      "network \"%s\" is specified multiple times",
					      config->networks[i].name);
	}
	if (r == 0 && config->network_count)
		config->network = config->networks[0].name;
	return r;
}

static int check_options(const struct container_config *config, struct masu_error *err)
{
	for (const char **option = config->network_options; option && *option; option++)
		if (!streq(*option, "accel=sockmap"))
			return error_set(err, -EINVAL,
					 "--network-opt %.60s is not supported; use accel=sockmap",
					 *option);
	if (engine_network_accelerates(config) && config->runtime &&
	    !streq(config->runtime, "native"))
		return error_set(err, -EINVAL,
				 "conflicting options: --network-opt and the exec driver %.60s",
				 config->runtime);
	return 0;
}

int engine_network_check(struct engine *engine, struct arena *arena,
			 struct container_config *config, struct masu_error *err)
{
	const char *name = engine_network_name(config);
	bool shares = mode_host(name) || mode_container(name, NULL);
	int r = check_options(config, err);
	if (r < 0)
		return r;
	if (config->port_count && mode_container(name, NULL))
		return error_set(err, -EINVAL,
				 "conflicting options: port publishing and the container type "
				 "network mode");
	if (config->hostname && mode_container(name, NULL))
		return error_set(err, -EINVAL,
				 "conflicting options: hostname and the network mode");
	if (config->mac_address && shares)
		return error_set(err, -EINVAL,
				 "conflicting options: mac-address and the network mode");
	if (config->networks)
		return check_networks(engine, arena, config, err);
	return engine_network_has_names(name)
		       ? engine_network_resolve(engine, arena, name, &config->network, err)
		       : 0;
}

bool engine_network_connects(const struct container_config *config)
{
	const char *name = engine_network_name(config);
	/* With "none" the exec driver brings up the loopback, and that is all. */
	return !mode_host(name) && !mode_container(name, NULL) && !streq(name, "none") &&
	       (!config->networks || config->network_count);
}

bool engine_network_is_own(const struct container_config *config)
{
	const char *name = engine_network_name(config);
	return !mode_host(name) && !mode_container(name, NULL);
}

int engine_network_make(int *ret_fd)
{
	_cleanup_close_ int host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (host < 0 || unshare(CLONE_NEWNET) < 0)
		return -errno;
	_cleanup_close_ int made = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int r = made < 0 ? -errno : 0;
	if (setns(host, CLONE_NEWNET) < 0)
		return -errno;
	if (r == 0)
		r = network_loopback_up(made, NULL);
	if (r == 0)
		*ret_fd = take_fd(&made);
	return r;
}

/* What the container answers to on a user network, in lower case; NULL on the default one. */
static const char *names_of(struct arena *arena, const struct container *container,
			    const struct network_config *network)
{
	const char *hostname = container->config.hostname;
	_cleanup_buf_ struct buf text;
	buf_init(&text, 0);
	if (!engine_network_has_names(network->name))
		return NULL;
	buf_printf(&text, "%s %.12s", container->name, container->id);
	if (hostname && alias_valid(hostname))
		buf_printf(&text, " %s", hostname);
	for (const char **alias = network->aliases; alias && *alias; alias++)
		buf_printf(&text, " %s", *alias);
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] >= 'A' && text.data[i] <= 'Z')
			text.data[i] = (char)(text.data[i] - 'A' + 'a');
	return buf_error(&text) ? NULL : arena_strdup(arena, buf_str(&text));
}

static struct network_request request_of(struct engine *engine, const struct container *container,
					 const char *network, int netns_fd)
{
	return (struct network_request) {
		.root_fd = engine->root_fd,
		.run_fd = engine->run_fd,
		.libexec = engine->libexec,
		.container_id = container->id,
		.network = network,
		.netns_fd = netns_fd,
	};
}

/* --publish-all: the configured ports, and a free one of the host for each exposed port that has
 * none. */
static int publish_all(struct arena *arena, const struct container_config *config,
		       struct network_request *request, struct masu_error *err)
{
	size_t exposed = strv_length((char *const *)config->expose), count = config->port_count;
	struct network_port *ports = arena_array(arena, struct network_port, count + exposed);
	if (!ports)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++)
		ports[i] = config->ports[i];
	for (size_t i = 0; i < exposed; i++) {
		struct network_port port = { 0 };
		bool published = false;
		if (network_port_name_parse(config->expose[i], &port) < 0)
			return error_set(err, -EINVAL, "invalid exposed port: %.64s",
					 config->expose[i]);
		for (size_t k = 0; k < count && !published; k++)
			published = ports[k].container_port == port.container_port &&
				    ports[k].protocol == port.protocol;
		if (!published)
			ports[count++] = port;
	}
	request->ports = ports;
	request->port_count = count;
	return 0;
}

int engine_network_connect_one(struct engine *engine, struct arena *arena,
			       const struct container *container,
			       const struct network_config *network,
			       const struct network_place *place, struct network_endpoint *ret,
			       struct masu_error *err)
{
	const struct network_ops *ops = driver_of(network->name);
	struct network_request request =
		request_of(engine, container, network->name, place->netns_fd);
	request.requested_ip = network->ip;
	request.requested_ip6 = network->ip6;
	request.mac_address = network->mac_address;
	request.names = names_of(arena, container, network);
	request.index = place->index;
	request.other4 = place->other4;
	request.other6 = place->other6;
	int r = 0;
	if (!ops || !ops->connect)
		return error_set(err, -EINVAL, "network %s: its driver cannot connect a container",
				 network->name);
	if (place->publish) {
		request.ports = container->config.ports;
		request.port_count = container->config.port_count;
	}
	if (place->publish && container->config.publish_all)
		r = publish_all(arena, &container->config, &request, err);
	return r < 0 ? r : ops->connect(&request, arena, ret, err);
}

/* The networks as the default route looks for its way: by priority, of equals the first. */
static void order_networks(const struct network_config *networks, size_t count,
			   unsigned char *order)
{
	for (size_t i = 0; i < count; i++) {
		size_t at = i;
		for (; at > 0 && networks[order[at - 1]].gw_priority < networks[i].gw_priority;
		     at--)
			order[at] = order[at - 1];
		order[at] = (unsigned char)i;
	}
}

static void undo_connect(struct engine *engine, const struct container *container,
			 const struct network_endpoint *endpoints, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (*endpoints[i].network)
			engine_network_disconnect_one(engine, container, &endpoints[i], -1, NULL);
}

int engine_network_connect(struct engine *engine, struct arena *arena, struct container *container,
			   pid_t pid, struct masu_error *err)
{
	char path[32];
	unsigned char order[CONTAINER_NETWORKS_MAX];
	struct network_config single;
	const struct network_config *networks;
	size_t count = config_networks(&container->config, &single, &networks);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	_cleanup_close_ int netns = open(path, O_RDONLY | O_CLOEXEC);
	struct network_endpoint *endpoints = arena_array(arena, struct network_endpoint, count);
	struct network_place place = { .netns_fd = netns };
	bool published = false;
	int r = 0;
	if (netns < 0)
		return error_errno(err, -errno, "%s", path);
	if (!endpoints)
		return error_set(err, -ENOMEM, "out of memory");
	order_networks(networks, count, order);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct network_endpoint *endpoint = &endpoints[order[i]];
		place.index = order[i];
		place.publish =
			!published &&
			(count == 1 || network_publishes(engine->root_fd, networks[order[i]].name));
		published |= place.publish;
		r = engine_network_connect_one(engine, arena, container, &networks[order[i]],
					       &place, endpoint, err);
		place.other4 |= endpoint->gateway4.s_addr != 0;
		place.other6 |= !IN6_IS_ADDR_UNSPECIFIED(&endpoint->gateway6);
	}
	if (r < 0) {
		undo_connect(engine, container, endpoints, count);
		return r;
	}
	container->endpoints = endpoints;
	container->endpoint_count = count;
	for (size_t i = 0; i < count; i++)
		event_endpoint(engine, container, &endpoints[i], "connect");
	return 0;
}

bool engine_network_accelerates(const struct container_config *config)
{
	return config->network_options && *config->network_options;
}

int engine_network_accelerate(struct engine *engine, const struct container *container,
			      int cgroup_fd, struct masu_error *err)
{
	const struct sockmap_request request = { engine->run_fd, cgroup_fd, container->endpoints,
						 container->endpoint_count };
	return sockmap_attach(&request, err);
}

void engine_network_settle(struct engine *engine, const struct container *container)
{
	struct masu_error err = { 0 };
	for (size_t i = 0; i < container->endpoint_count; i++) {
		const struct network_endpoint *endpoint = &container->endpoints[i];
		const struct network_ops *ops = driver_of(endpoint->network);
		const struct network_request request =
			request_of(engine, container, endpoint->network, -1);
		if (ops && ops->settle && ops->settle(&request, endpoint, &err) < 0)
			log_debug("%s", err.message);
	}
}

int engine_network_disconnect_one(struct engine *engine, const struct container *container,
				  const struct network_endpoint *endpoint, int netns_fd,
				  struct masu_error *err)
{
	const struct network_ops *ops = driver_of(endpoint->network);
	const struct network_request request =
		request_of(engine, container, endpoint->network, netns_fd);
	return ops && ops->disconnect ? ops->disconnect(&request, endpoint, err) : 0;
}

const char *engine_network_refuses_direct(const struct container_config *config)
{
	uint64_t capabilities = 0;
	const uint64_t too_much = UINT64_C(1) << CAP_NET_ADMIN | UINT64_C(1) << CAP_SYS_ADMIN |
				  UINT64_C(1) << CAP_BPF | UINT64_C(1) << CAP_SYS_MODULE |
				  UINT64_C(1) << CAP_SYS_RAWIO;
	if (!engine_network_connects(config))
		return "the network has no published ports";
	if (str_after(engine_network_name(config), "cni:"))
		return "the network's plugins publish its ports";
	if (config->privileged)
		return "the container is privileged";
	if (!spec_filter_is_default(config))
		return "the container has a seccomp profile of its own, or none";
	if (spec_capabilities(config, &capabilities, NULL) < 0 || capabilities & too_much)
		return "the container has a capability that reaches the host through a socket";
	return config->runtime ? "another runtime makes the container" : NULL;
}

struct network_endpoint *engine_network_published(const struct container *container)
{
	struct network_endpoint *found = NULL;
	for (size_t i = 0; i < container->endpoint_count; i++)
		if (!found || (!found->port_count && container->endpoints[i].port_count))
			found = &container->endpoints[i];
	return found;
}

unsigned engine_network_traps(const struct container_config *config)
{
	unsigned traps = 0;
	if (direct_wanted(config->ports, config->port_count, NETWORK_TCP))
		traps |= EXEC_TRAP_LISTEN;
	if (direct_wanted(config->ports, config->port_count, NETWORK_UDP))
		traps |= EXEC_TRAP_LISTEN | EXEC_TRAP_BIND;
	return traps && !engine_network_refuses_direct(config) ? traps : 0;
}

int engine_network_change(struct engine *engine, struct arena *arena, struct container *container,
			  struct masu_error *err)
{
	struct network_endpoint *endpoint = engine_network_published(container);
	const struct network_ops *ops = endpoint ? driver_of(endpoint->network) : NULL;
	if (!ops || !ops->change)
		return error_set(err, -EOPNOTSUPP,
				 "ports of its network are published when it starts, or never");
	struct network_request request = request_of(engine, container, endpoint->network, -1);
	request.ports = container->config.ports;
	request.port_count = container->config.port_count;
	int r = container->config.publish_all
			? publish_all(arena, &container->config, &request, err)
			: 0;
	return r < 0 ? r : ops->change(&request, arena, endpoint, err);
}

int engine_network_direct(struct engine *engine, struct container *container, size_t port,
			  unsigned families, struct masu_error *err)
{
	struct network_endpoint *endpoint = engine_network_published(container);
	if (!endpoint || port >= endpoint->port_count)
		return error_set(err, -EOPNOTSUPP, "this network has no direct ports");
	const struct network_ops *ops = driver_of(endpoint->network);
	const struct network_request request = request_of(engine, container, endpoint->network, -1);
	if (!ops || !ops->direct)
		return error_set(err, -EOPNOTSUPP, "this network has no direct ports");
	return ops->direct(&request, endpoint, port, families, err);
}

int engine_network_disconnect(struct engine *engine, const struct container *container,
			      struct masu_error *err)
{
	int result = 0;
	/* Who was killed before he could write down what plugins made has left their own record. */
	const struct network_endpoint unknown = { .interface = "eth0" };
	const char *name = engine_network_name(&container->config);
	if (!container->endpoint_count && str_after(name, "cni:")) {
		const struct network_request request = request_of(engine, container, name, -1);
		return driver_of(name)->disconnect(&request, &unknown, err);
	}
	for (size_t i = 0; i < container->endpoint_count; i++) {
		const struct network_endpoint *endpoint = &container->endpoints[i];
		int r = engine_network_disconnect_one(engine, container, endpoint, -1, err);
		if (r < 0)
			result = r;
		event_endpoint(engine, container, endpoint, "disconnect");
	}
	return result;
}

void engine_network_drop_orphans(struct engine *engine, const struct container *container)
{
	struct network_config single;
	const struct network_config *networks;
	size_t count = config_networks(&container->config, &single, &networks);
	struct masu_error err = { 0 };
	for (size_t i = 0; i < count; i++)
		if ((streq(networks[i].name, "bridge") || !network_driver(networks[i].name)) &&
		    network_drop_orphans(engine->root_fd, engine->run_fd, networks[i].name,
					 container->id, NULL, &err) < 0)
			log_debug("%s", err.message);
}

int engine_network_rename(struct engine *engine, struct arena *arena,
			  const struct container *container, struct masu_error *err)
{
	struct network_config single;
	const struct network_config *networks;
	size_t count = config_networks(&container->config, &single, &networks);
	int r = 0;
	for (size_t i = 0; i < container->endpoint_count; i++)
		for (size_t k = 0; r == 0 && k < count; k++)
			if (streq(container->endpoints[i].network, networks[k].name) &&
			    engine_network_has_names(networks[k].name))
				r = network_rename(engine->root_fd, engine->run_fd,
						   &container->endpoints[i],
						   names_of(arena, container, &networks[k]), err);
	return r;
}

void engine_network_retire(struct engine *engine, const struct container_config *config)
{
	struct masu_error err = { 0 };
	struct network_config single;
	const struct network_config *networks;
	size_t count = config_networks(config, &single, &networks);
	for (size_t i = 0; i < count && engine_network_connects(config); i++)
		if (network_retire(engine->root_fd, engine->run_fd, networks[i].name,
				   NETWORK_LINGER_MS, &err) < 0)
			log_debug("%s", err.message);
}
