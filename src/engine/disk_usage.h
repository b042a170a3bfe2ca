/*
 * What takes how much of the disk, for `system df` and prune. An image's bytes are those of its
 * unpacked layers and of the blobs they were unpacked from; what several images have is counted
 * once, and as shared by each of them. What a container uses cannot be reclaimed.
 */
#pragma once

#include "engine/engine.h"
#include "volume/volume.h"

struct disk_usage_image {
	struct image image;	/* .reference is one of its names, the first in the index */
	uint64_t bytes, shared; /* of bytes, those that other images have too */
	unsigned containers;	/* that were made from it */
};

struct disk_usage_container {
	struct container container; /* without open files */
	uint64_t bytes;		    /* of its writable layer */
	bool active;		    /* running, paused, restarting */
};

struct disk_usage_volume {
	struct volume volume;
	uint64_t bytes;
	unsigned containers; /* that mount it */
};

/* Bytes on the disk, and of those the bytes of what no container uses or that does not run. */
struct disk_usage_sum {
	uint64_t bytes, reclaimable;
	size_t count, active;
};

struct disk_usage {
	struct disk_usage_image *images; /* one an image, however many names it has; newest first */
	struct disk_usage_container *containers; /* newest first */
	struct disk_usage_volume *volumes;	 /* by name */
	struct disk_usage_sum image_sum, container_sum, volume_sum;
};

/* Bytes of the files of a volume and of its snapshots; 0 where it is gone. */
uint64_t disk_usage_of_volume(const struct engine *engine, const char *name);

/* Everything in the arena. */
int engine_disk_usage(struct engine *engine, struct arena *arena, struct disk_usage *ret,
		      struct masu_error *err);

/* Only what images take together. */
int engine_image_bytes(struct engine *engine, struct arena *arena, uint64_t *ret,
		       struct masu_error *err);
