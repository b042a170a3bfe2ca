/* A container's files from outside, for cp, diff and export. */
#pragma once

#include "engine/engine.h"

/* With mounts and volumes, as the container sees them; else its root alone. */
#define VIEW_MOUNTS 1u

struct container_view {
	int root_fd;  /* openat2(2) with RESOLVE_IN_ROOT goes from here */
	int lock_fd;  /* of a container that does not run: it cannot be started meanwhile */
	int layer_fd; /* locked, because its layer is mounted */
};

/*
 * Opens the container's root. Of one that runs it is what its first process has in its mount
 * namespace, whatever is mounted there by now; nothing of the container is run and no process of
 * the caller's stays in there. Of one that does not run the root is mounted for the caller alone:
 * detached or in a mount namespace of the caller's own, into which this process then has moved, so
 * that nothing is left of it whenever and however the caller ends.
 */
int container_view_open(struct engine *engine, struct arena *arena, const char *id, unsigned flags,
			struct container_view *ret, struct masu_error *err);
void container_view_close(struct container_view *view);
#define _cleanup_container_view_ __attribute__((cleanup(container_view_close)))
#define CONTAINER_VIEW_CLOSED                                                                      \
	{                                                                                          \
		.root_fd = -1, .lock_fd = -1, .layer_fd = -1                                       \
	}
