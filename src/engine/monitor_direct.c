/*
 * Ports that become direct (network/direct.h): calls of listen(2) in the container wait until the
 * monitor has answered them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "engine/monitor.h"
#include "engine/network.h"
#include "network/direct.h"

/* The port is the host's now: out of the translation, and on record. Without families: it could not
 * be guarded, which is on record as well. */
static int taken(void *opaque, size_t port, unsigned families)
{
	struct monitor *m = opaque;
	struct masu_error err = { 0 };
	int r = monitor_remember(m);
	if (r == 0 && !m->cgroup)
		r = container_cgroup_open(m->engine, m->arena, &m->container, &m->cgroup, &err);
	struct network_endpoint *endpoint = r == 0 ? engine_network_published(&m->container) : NULL;
	if (endpoint && !families && port < endpoint->port_count)
		endpoint->ports[port].unguarded = true;
	if (r == 0 && families)
		r = engine_network_direct(m->engine, &m->container, port, families, &err);
	if (r < 0) {
		log_debug("%s", err.message);
		return r;
	}
	/* What is shown; the lease is what counts. */
	if (store_write_live(&m->container, m->start_time, m->cgroup, &err) < 0)
		log_debug("%s", err.message);
	return 0;
}

int direct_listen(struct monitor *m, int listener_fd)
{
	struct monitor_direct *direct = &m->direct;
	unsigned index = 0;
	while (index < direct->count && direct->listeners[index] >= 0)
		index++;
	if (index == direct->count) {
		int *grown = realloc(direct->listeners, (index + 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		direct->listeners = grown;
		direct->listeners[direct->count++] = -1;
	}
	int r = watch(m->epoll_fd, listener_fd, SOURCE_DIRECT, index, EPOLLIN);
	if (r == 0)
		direct->listeners[index] = listener_fd;
	return r;
}

void direct_begin(struct monitor *m)
{
	const struct container *container = &m->container;
	int fd = take_fd(&m->process.trap_fd);
	if (fd < 0)
		return;
	const struct direct_request request = {
		.container_id = container->id,
		.endpoint = engine_network_published(container),
		.cgroup_fd = cgroup_clone_fd(m->cgroup),
	};
	int r = !request.endpoint ? -ENOENT : direct_open(&request, &m->direct.state);
	if (r < 0)
		log_debug("no port becomes direct: %s", strerror(-r));
	/* Without somebody who answers, listen(2) would fail: the fd stays open then. */
	r = direct_listen(m, fd);
	if (r < 0)
		log_debug("listen(2) in the container waits for ever: %s", strerror(-r));
}

void direct_ports_changed(struct monitor *m)
{
	int r = direct_moved(m->direct.state, engine_network_published(&m->container));
	if (r < 0)
		log_debug("no more ports become direct: %s", strerror(-r));
}

void direct_ports_gone(struct monitor *m)
{
	if (!network_holds_ports(m->container.id) || monitor_remember(m) < 0)
		return;
	const struct network_endpoint *endpoint = engine_network_published(&m->container);
	if (endpoint && endpoint->port_count)
		return;
	network_release_ports(m->container.id);
	(void)direct_moved(m->direct.state, NULL);
}

static void drop(struct monitor *m, unsigned index)
{
	watch(m->epoll_fd, m->direct.listeners[index], SOURCE_DIRECT, index, 0);
	cleanup_close(&m->direct.listeners[index]);
}

void direct_event(struct monitor *m, unsigned index, uint32_t events)
{
	if (index >= m->direct.count || m->direct.listeners[index] < 0)
		return;
	/* The last process that had the filter is gone. */
	if (events & (EPOLLHUP | EPOLLERR) ||
	    direct_answer(m->direct.state, m->direct.listeners[index], taken, m) < 0)
		drop(m, index);
}

void direct_end(struct monitor *m)
{
	for (unsigned i = 0; i < m->direct.count; i++)
		if (m->direct.listeners[i] >= 0)
			drop(m, i);
	direct_close(m->direct.state);
	free(m->direct.listeners);
	m->direct = (struct monitor_direct) { 0 };
}
