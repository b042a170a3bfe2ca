#pragma once

#include "engine/engine.h"

/* Forks the monitor of a container that does not run and waits until it runs. @lock_fd: the
 * container's lock, taken over. */
int supervise_start(struct engine *engine, struct arena *arena, const struct container *container,
		    int lock_fd, struct engine_attach *attach, struct masu_error *err);
