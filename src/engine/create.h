#pragma once

#include "engine/engine.h"

/* engine_create() for who goes on with the container: *ret as loaded, *ret_lock its lock. */
int container_create(struct engine *engine, struct arena *arena,
		     const struct container_config *config, struct container *ret, int *ret_lock,
		     struct masu_error *err);
