/* Devices of the pool: thin ones with a filesystem each, made as snapshots of one another. */
#pragma once

#include "storage/dm_pool.h"

#define DM_DEVICE "device" /* in the place (directory) of a layer or container */

/*
 * A device for the place @dir, which gets its record: a snapshot of the one whose place @from is,
 * or (-1) of the empty one. The number is on the disk before the device is in the pool, so none can
 * be forgotten.
 */
int dm_device_make(struct dm_pool *pool, int dir, int from, struct masu_error *err);
/* One with nothing on it, in no place. */
int dm_device_make_empty(struct dm_pool *pool, uint64_t sectors, struct dm_device_record *ret,
			 struct masu_error *err);
int dm_device_read(int dir, struct dm_device_record *ret);
/* Larger, with its filesystem, which must be mounted by nobody else. */
int dm_device_grow(struct dm_pool *pool, int dir, uint64_t bytes, struct masu_error *err);

/*
 * The filesystem on the device of place @dir as a detached mount. The device is in the kernel until
 * the last mount of it is gone. A layer's is mounted read-only by everybody, from its commit on.
 */
int dm_device_mount(struct dm_pool *pool, int dir, bool readonly, int *ret_fd,
		    struct masu_error *err);
/* … as a directory to look into, which keeps the mount. */
int dm_device_look(struct dm_pool *pool, int dir, bool readonly, int *ret_fd);

/* The device is not needed any more, or again. It goes with dm_device_reap(). */
int dm_device_doom(struct dm_pool *pool, uint32_t id);
int dm_device_spare(struct dm_pool *pool, uint32_t id);
/* Deletes doomed devices, but those that are still mounted. */
int dm_device_reap(struct dm_pool *pool);

/*
 * Its block device, for a moment: opened with @flags, and taken out of the kernel by
 * dm_device_close(), unless somebody else has it. -EBUSY with O_EXCL: somebody has it mounted.
 */
int dm_device_open(struct dm_pool *pool, const struct dm_device_record *device, int flags,
		   int *ret_fd, dev_t *ret_dev);
void dm_device_close(struct dm_pool *pool, const struct dm_device_record *device, int *fd);

/*
 * Calls @fn for each device that no layer, container or staging directory has: whoever made it was
 * killed. Nothing where somebody is making one right now.
 */
typedef int (*dm_device_fn)(struct dm_pool *pool, uint32_t id, void *opaque);
int dm_device_lost(struct dm_pool *pool, dm_device_fn fn, void *opaque);
