/* Between a container and the network drivers. */
#pragma once

#include "engine/engine.h"

/* The driver and the network's name in it; refuses networks that do not exist. */
int engine_network_check(struct engine *engine, const struct container_config *config,
			 struct masu_error *err);
/* "bridge" where none was asked for. */
const char *engine_network_name(const struct container_config *config);
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
/* Connects the network namespace of @pid; the endpoint is added to @container. */
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
/* Gives back what connect took; idempotent, also where the namespace is gone. */
int engine_network_disconnect(struct engine *engine, const struct container *container,
			      struct masu_error *err);
/* Removes bridge and rules where no container has used the network for a while; waits for that, so
 * only for a monitor that has nothing left to do and whose stdio is nobody's. */
void engine_network_retire(struct engine *engine, const struct container_config *config);
