/*
 * A container's files held still while they are read: what it changed, and its volumes, as trees
 * that layers of an image are made of. For `commit`.
 */
#pragma once

#include "engine/engine.h"
#include "tree/tree.h"

#define SNAPSHOT_PAUSE	 1u /* a container that runs does not while it is read */
#define SNAPSHOT_VOLUMES 2u

struct snapshot_volume {
	const char *name;
	const char *path; /* where it is mounted, below the root: relative, without links */
	int fd;
};

struct snapshot {
	struct engine *engine;
	struct arena *arena;
	struct container container;
	int hold_fd;			 /* engine_hold() */
	bool held;			 /* it is to be let go */
	int lock_fd;			 /* of a container that does not run: nobody starts it */
	int layer_fd;			 /* and its layer is mounted */
	struct snapshot_volume *volumes; /* shallow ones before deep ones */
	size_t volume_count;
	const char **in_memory; /* names of volumes that are left out: a tmpfs each */
	size_t in_memory_count;
};

/*
 * Of a container in any state. Paused where asked for, however the caller ends it goes on (see
 * engine_hold()). Without SNAPSHOT_PAUSE a running one may change what is read meanwhile.
 */
int snapshot_open(struct engine *engine, struct arena *arena, const char *id, unsigned flags,
		  struct snapshot *ret, struct masu_error *err);
/* Tells @sink what the container changed in its root, as a layer has it (storage/export.h). */
int snapshot_changes(struct snapshot *snapshot, struct tree_sink *sink, struct masu_error *err);
/*
 * Tells @sink what is in a volume, as a layer that puts exactly this at the volume's path and hides
 * what the layers below have there.
 */
int snapshot_volume(struct snapshot *snapshot, const struct snapshot_volume *volume,
		    struct tree_sink *sink, struct masu_error *err);
/* The end of reading: -ENOENT where the container was removed meanwhile, and what was read is not
 * whole. The container's fields stay as long as the arena. */
int snapshot_end(struct snapshot *snapshot, struct masu_error *err);
void snapshot_close(struct snapshot *snapshot);
#define _cleanup_snapshot_ __attribute__((cleanup(snapshot_close)))
#define SNAPSHOT_CLOSED                                                                            \
	{                                                                                          \
		.container = { .dir_fd = -1, .run_fd = -1 }, .hold_fd = -1, .lock_fd = -1,         \
		.layer_fd = -1                                                                     \
	}
