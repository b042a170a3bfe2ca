#pragma once

#include "engine/engine.h"

/* Connects to a container's monitor. -ENOENT or -ECONNREFUSED: there is none. */
int monitor_connect(const struct container *container, int *ret_fd);
/* The same without having loaded the container. */
int monitor_connect_id(struct engine *engine, const char *id, int *ret_fd);

/*
 * Tells the monitor that the end which follows is meant, so that no restart policy applies to it;
 * @flags: CTL_STOP_*. After 0 the container's pid is final. A monitor that does not answer holds
 * nobody up. Without one nothing restarts: then the record says for `system start` that it was
 * stopped, and the return is < 0.
 */
int monitor_announce_stop(struct container *container, unsigned flags);

/* Has the monitor take note that the container's record or cgroups have changed. 0 also where there
 * is none. */
int monitor_reload(const struct container *container);
/* Has the monitor publish what the record says now. */
int monitor_publish(const struct container *container, struct masu_error *err);
/* Hands over the seccomp listener of a process that was started in the container. */
int monitor_trap(const struct container *container, int listener_fd);
