#include "engine/network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "exec/exec.h"
#include "network/direct.h"

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

int engine_network_check(struct engine *engine, const struct container_config *config,
			 struct masu_error *err)
{
	const char *name = engine_network_name(config);
	char path[300];
	bool shares = mode_host(name) || mode_container(name, NULL);
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
	if (shares || network_driver(name))
		return 0;
	if (!name_valid(name) || str_format(path, sizeof(path), "networks/%s.json", name) < 0 ||
	    faccessat(engine->root_fd, path, F_OK, 0) < 0)
		return error_set(err, -ENOENT, "network %.255s not found", name);
	return 0;
}

bool engine_network_connects(const struct container_config *config)
{
	const char *name = engine_network_name(config);
	/* With "none" the exec driver brings up the loopback, and that is all. */
	return !mode_host(name) && !mode_container(name, NULL) && !streq(name, "none");
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

static struct network_request request_of(struct engine *engine, const struct container *container,
					 int netns_fd)
{
	const struct container_config *config = &container->config;
	return (struct network_request) {
		.root_fd = engine->root_fd,
		.run_fd = engine->run_fd,
		.container_id = container->id,
		.network = engine_network_name(config),
		.netns_fd = netns_fd,
		.ports = config->ports,
		.port_count = config->port_count,
		.requested_ip = config->ip,
		.mac_address = config->mac_address,
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

int engine_network_connect(struct engine *engine, struct arena *arena, struct container *container,
			   pid_t pid, struct masu_error *err)
{
	char path[32];
	const struct network_ops *ops = driver_of(engine_network_name(&container->config));
	if (!ops || !ops->connect)
		return error_set(err, -EINVAL, "network %s: its driver cannot connect a container",
				 engine_network_name(&container->config));
	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	_cleanup_close_ int netns = open(path, O_RDONLY | O_CLOEXEC);
	struct network_endpoint *endpoint = arena_new(arena, struct network_endpoint);
	if (netns < 0)
		return error_errno(err, -errno, "%s", path);
	if (!endpoint)
		return error_set(err, -ENOMEM, "out of memory");
	struct network_request request = request_of(engine, container, netns);
	int r = container->config.publish_all
			? publish_all(arena, &container->config, &request, err)
			: 0;
	if (r == 0)
		r = ops->connect(&request, arena, endpoint, err);
	if (r < 0)
		return r;
	container->endpoints = endpoint;
	container->endpoint_count = 1;
	event_network(engine, container, "connect");
	return 0;
}

void engine_network_settle(struct engine *engine, const struct container *container)
{
	struct masu_error err = { 0 };
	const struct network_ops *ops = driver_of(engine_network_name(&container->config));
	const struct network_request request = request_of(engine, container, -1);
	for (size_t i = 0; i < container->endpoint_count; i++)
		if (ops && ops->settle && ops->settle(&request, &container->endpoints[i], &err) < 0)
			log_debug("%s", err.message);
}

const char *engine_network_refuses_direct(const struct container_config *config)
{
	uint64_t capabilities = 0;
	const uint64_t too_much = UINT64_C(1) << CAP_NET_ADMIN | UINT64_C(1) << CAP_SYS_ADMIN |
				  UINT64_C(1) << CAP_BPF | UINT64_C(1) << CAP_SYS_MODULE |
				  UINT64_C(1) << CAP_SYS_RAWIO;
	if (!engine_network_connects(config))
		return "the network has no published ports";
	if (config->privileged)
		return "the container is privileged";
	if (!spec_filter_is_default(config))
		return "the container has a seccomp profile of its own, or none";
	if (spec_capabilities(config, &capabilities, NULL) < 0 || capabilities & too_much)
		return "the container has a capability that reaches the host through a socket";
	return config->runtime ? "another runtime makes the container" : NULL;
}

unsigned engine_network_traps(const struct container_config *config)
{
	return direct_wanted(config->ports, config->port_count) &&
			       !engine_network_refuses_direct(config)
		       ? EXEC_TRAP_LISTEN
		       : 0;
}

int engine_network_change(struct engine *engine, struct arena *arena, struct container *container,
			  struct masu_error *err)
{
	const struct network_ops *ops = driver_of(engine_network_name(&container->config));
	struct network_request request = request_of(engine, container, -1);
	if (!ops || !ops->change || container->endpoint_count == 0)
		return error_set(err, -EOPNOTSUPP, "its network has no published ports");
	int r = container->config.publish_all
			? publish_all(arena, &container->config, &request, err)
			: 0;
	return r < 0 ? r : ops->change(&request, arena, &container->endpoints[0], err);
}

int engine_network_direct(struct engine *engine, struct container *container, size_t port,
			  unsigned families, struct masu_error *err)
{
	const struct network_ops *ops = driver_of(engine_network_name(&container->config));
	const struct network_request request = request_of(engine, container, -1);
	if (!ops || !ops->direct || container->endpoint_count == 0 ||
	    port >= container->endpoints[0].port_count)
		return error_set(err, -EOPNOTSUPP, "this network has no direct ports");
	return ops->direct(&request, &container->endpoints[0], port, families, err);
}

int engine_network_disconnect(struct engine *engine, const struct container *container,
			      struct masu_error *err)
{
	int result = 0;
	const struct network_ops *ops = driver_of(engine_network_name(&container->config));
	const struct network_request request = request_of(engine, container, -1);
	for (size_t i = 0; i < container->endpoint_count; i++) {
		int r = ops && ops->disconnect
				? ops->disconnect(&request, &container->endpoints[i], err)
				: 0;
		if (r < 0)
			result = r;
		event_network(engine, container, "disconnect");
	}
	return result;
}

void engine_network_retire(struct engine *engine, const struct container_config *config)
{
	struct masu_error err = { 0 };
	if (engine_network_connects(config) &&
	    network_retire(engine->root_fd, engine->run_fd, engine_network_name(config),
			   NETWORK_LINGER_MS, &err) < 0)
		log_debug("%s", err.message);
}
