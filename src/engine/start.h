#pragma once

#include "engine/engine.h"

/* Forks the monitor of a container that does not run and waits until it runs. @lock_fd: the
 * container's lock, taken over. */
int supervise_start(struct engine *engine, struct arena *arena, const struct container *container,
		    int lock_fd, struct engine_attach *attach, struct masu_error *err);

/* Forks a monitor that prepares the container just created and waits for its start; where that is
 * not worthwhile or not possible, nothing happens. @lock_fd stays the caller's too. */
void supervise_park(struct engine *engine, struct arena *arena, const struct container *container,
		    int lock_fd);
