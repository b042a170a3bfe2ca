/*
 * The limit of a volume that travels: kept where the filesystem it comes to can keep it.
 */
#pragma once

#include "volume/volume.h"

/* What the volume may hold, in bytes; 0: no limit. */
uint64_t volume_limit_of(struct arena *arena, const struct volume *volume);

/*
 * Gives @request the limit of @bytes; where the filesystem of @root_fd keeps none it goes without,
 * which is told. In the arena.
 */
int volume_limit_keep(int root_fd, struct arena *arena, uint64_t bytes, struct volume *request,
		      struct masu_error *err);
