/*
 * Direct publishing: a server's listening socket is replaced, while listen(2) is being called, by
 * one in the host's network namespace, bound to the published port; a datagram socket while bind(2)
 * is. From then on the kernel brings connections to it as to any server of the host: no
 * translation, no bridge, no copy. The engine has the call trapped (exec.h) and hands the listener
 * over; docs/direct-ports.md has the picture.
 */
#pragma once

#include "network/network.h"

struct direct;

struct direct_request {
	const char *container_id;
	const struct network_endpoint *endpoint;
	int cgroup_fd; /* the container's cgroup2 group */
};

/* Why a port that asked for it stays translated whatever happens; NULL: it may become direct. */
const char *direct_refusal(const struct network_port *ports, size_t count, size_t index);
/* "-p 0.0.0.0:8080:80 -p [::]:8080:80" is "-p 8080:80" in two words. */
bool direct_are_halves(const struct network_port *a, const struct network_port *b);
/* Whether there is a port of @protocol that may. */
bool direct_wanted(const struct network_port *ports, size_t count, enum network_protocol protocol);

/* -EOPNOTSUPP: this kernel lacks what it takes. The caller is in the host's network namespace, and
 * holds the ports (network_ops.connect). */
int direct_open(const struct direct_request *request, struct direct **ret);
void direct_close(struct direct *direct);
/* Ports of the endpoint have come or gone; NULL: it has gone itself. Of what comes, servers that
 * listen from now on become direct; UDP where there was a port that was to be at direct_open(). If
 * this fails, none does. */
int direct_moved(struct direct *direct, const struct network_endpoint *endpoint);

/*
 * Answers the next call that was trapped; with @direct NULL it goes on. Where it is a server of a
 * published port, @taken is called with the port's index in the endpoint and NETWORK_DIRECT_* once
 * the host's socket is there and before the server gets it: to let the translation go; or without
 * families, where its guard could not be attached. If that
 * fails, and in every other case, the call does what it would have done. 0, or -errno where the
 * listener cannot be used any more.
 */
int direct_answer(struct direct *direct, int listener_fd,
		  int (*taken)(void *opaque, size_t port, unsigned families), void *opaque);
