#pragma once

#include "engine/engine.h"

/* Connects to a container's monitor. -ENOENT or -ECONNREFUSED: there is none. */
int monitor_connect(const struct container *container, int *ret_fd);
/* The same without having loaded the container. */
int monitor_connect_id(struct engine *engine, const char *id, int *ret_fd);

/* Has the monitor take note that the container's record or cgroups have changed. 0 also where there
 * is none. */
int monitor_reload(const struct container *container);
