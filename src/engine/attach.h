#pragma once

#include "engine/engine.h"

/* Connects to a container's monitor. -ENOENT or -ECONNREFUSED: there is none. */
int monitor_connect(const struct container *container, int *ret_fd);
/* The same without having loaded the container. */
int monitor_connect_id(struct engine *engine, const char *id, int *ret_fd);
