/* Between a container and the network drivers. */
#pragma once

#include "engine/engine.h"

/* Refuses networks that do not exist; who named one by its id gets its name. */
int engine_network_check(struct engine *engine, struct arena *arena,
			 struct container_config *config, struct masu_error *err);
/* "bridge" where none was asked for. */
const char *engine_network_name(const struct container_config *config);
/* Whether containers of the network find each other by name: on all that somebody made. */
bool engine_network_has_names(const char *network);
/* Whether the container is in one of those. */
bool engine_network_resolves(const struct container_config *config);
/* True where its connections within the host are to be short (network/sockmap.h). Then masu-more is
 * its monitor. */
bool engine_network_accelerates(const struct container_config *config);
/* Sees to that, in the monitor, before the container's program runs. */
int engine_network_accelerate(struct engine *engine, const struct container *container,
			      int cgroup_fd, struct masu_error *err);
/* True where there is something to connect once the namespace exists. */
bool engine_network_connects(const struct container_config *config);
/* True where the container gets a network namespace of its own. */
bool engine_network_is_own(const struct container_config *config);
/*
 * A new network namespace whose loopback is up, as an fd; the caller's own is the same after.
 * Making one takes the kernel as long as half of what a monitor does before it needs it, so its
 * starter does it meanwhile.
 */
int engine_network_make(int *ret_fd);
/* Where in a container a network is connected. */
struct network_place {
	int netns_fd;
	unsigned index;	     /* of the interface */
	bool publish;	     /* here are the container's ports */
	bool other4, other6; /* the default route leads elsewhere already */
};
int engine_network_connect_one(struct engine *engine, struct arena *arena,
			       const struct container *container,
			       const struct network_config *network,
			       const struct network_place *place, struct network_endpoint *ret,
			       struct masu_error *err);
/* @netns_fd -1: the namespace goes anyway. */
int engine_network_disconnect_one(struct engine *engine, const struct container *container,
				  const struct network_endpoint *endpoint, int netns_fd,
				  struct masu_error *err);
/* The container has another name: its networks answer to it. */
int engine_network_rename(struct engine *engine, struct arena *arena,
			  const struct container *container, struct masu_error *err);
/* Where the container's ports are published; the first where it has none, NULL without networks. */
struct network_endpoint *engine_network_published(const struct container *container);
/* Connects the network namespace of @pid to all of the container's networks; the endpoints are set
 * in @container, in the order of its networks. */
int engine_network_connect(struct engine *engine, struct arena *arena, struct container *container,
			   pid_t pid, struct masu_error *err);
/* What of connecting may follow the reply that the container runs. */
void engine_network_settle(struct engine *engine, const struct container *container);
/* Why no port of the container can be direct, whatever `-p …,mode=` says; NULL: they can. */
const char *engine_network_refuses_direct(const struct container_config *config);
/* EXEC_TRAP_*: what the monitor is to answer for that. */
unsigned engine_network_traps(const struct container_config *config);
/* Published are what the configuration says from now on, as far as the container was connected. */
int engine_network_change(struct engine *engine, struct arena *arena, struct container *container,
			  struct masu_error *err);
/* The server of port @port of the first endpoint listens on the host (network_ops.direct). */
int engine_network_direct(struct engine *engine, struct container *container, size_t port,
			  unsigned families, struct masu_error *err);
/* What a monitor that was killed has connected and could not write down, while nobody else connects
 * the container. What cannot be taken back now goes with the namespace. */
void engine_network_drop_orphans(struct engine *engine, const struct container *container);
/* Gives back what connect took; idempotent, also where the namespace is gone. */
int engine_network_disconnect(struct engine *engine, const struct container *container,
			      struct masu_error *err);
/* Removes bridge and rules where no container has used the network for a while; waits for that, so
 * only for a monitor that has nothing left to do and whose stdio is nobody's. */
void engine_network_retire(struct engine *engine, const struct container_config *config);
