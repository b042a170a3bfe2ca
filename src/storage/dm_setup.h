/* The pool's beginning and end. */
#pragma once

#include "storage/dm_device.h"

/* Whether the kernel can; *reason (static) says why not. */
bool dm_supported(int root_fd, const char **reason);

/*
 * The root gets a pool, with the one device that all others descend from: by mkfs, the only program
 * that this driver ever starts. What a call left that was killed is removed first.
 */
int dm_set_up(int root_fd, const char *options, struct masu_error *err);

/* The root has another driver now, and no layer and no container of this one. */
int dm_retire(struct dm_pool *pool, struct masu_error *err);
