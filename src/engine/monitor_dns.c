/* The container's resolver (network/dns.h), as long as it is in a user network. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "engine/monitor.h"
#include "engine/network.h"
#include "network/dns.h"

static int open_resolver(struct monitor *m, pid_t pid, struct masu_error *err)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	_cleanup_close_ int netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return error_errno(err, -errno, "%s", path);
	const struct dns_start start = { .root_fd = m->engine->root_fd,
					 .run_fd = m->engine->run_fd,
					 .netns_fd = netns,
					 .servers = m->container.config.dns };
	int r = dns_open(&start, &m->dns, err);
	if (r < 0)
		return r;
	r = watch(m->epoll_fd, dns_fd(m->dns), SOURCE_DNS, 0, EPOLLIN);
	if (r == 0)
		return 0;
	resolver_end(m);
	return error_errno(err, r, "cannot watch the container's resolver");
}

int resolver_begin(struct monitor *m, pid_t pid, struct masu_error *err)
{
	const struct container *container = &m->container;
	const char *networks[DNS_NETWORKS_MAX];
	size_t count = 0;
	bool forward = false;
	for (size_t i = 0; i < container->endpoint_count; i++) {
		const struct network_endpoint *e = &container->endpoints[i];
		forward |= e->gateway4.s_addr || !IN6_IS_ADDR_UNSPECIFIED(&e->gateway6);
		if (engine_network_has_names(e->network) && count < DNS_NETWORKS_MAX)
			networks[count++] = e->network;
	}
	if (!m->dns && !count)
		return 0;
	int r = m->dns ? 0 : open_resolver(m, pid, err);
	if (r == 0)
		dns_set_networks(m->dns, networks, count, forward);
	return r;
}

void resolver_reload(struct monitor *m)
{
	struct masu_error err = { 0 };
	if (m->process.pidfd < 0 || m->launch->parked || m->restart.waiting)
		return;
	if (monitor_remember(m) == 0 && m->container.pid &&
	    resolver_begin(m, m->container.pid, &err) < 0)
		log_warn("%s", err.message);
}

void resolver_end(struct monitor *m)
{
	dns_close(m->dns);
	m->dns = NULL;
}
