/* Between a container's mounts and the volumes. */
#pragma once

#include "engine/engine.h"
#include "volume/volume.h"

/*
 * Completes @config's mounts for creation: --volumes-from is resolved, the image's volumes are
 * added, anonymous volumes get names; then every volume is made and every bind source checked or,
 * for -v, made. Made volumes are durable unless the container is removed by itself. Where there
 * are volumes it leaves engine_volumes_lock() held, also on failure.
 */
int volumes_prepare(struct engine *engine, struct arena *arena, const char *const *image_volumes,
		    struct container_config *config, struct masu_error *err);
/* Docker's copy-up: fills volumes that are empty from the image's directory at the mount point. */
int volumes_populate(struct engine *engine, const struct container *container, int rootfs_fd,
		     struct masu_error *err);
/* Removes the container's anonymous volumes that no other container uses. */
void volumes_remove_anonymous(struct engine *engine, const struct container *container);
/* The mounts, shallow targets before deep ones, in the arena. */
int volumes_by_depth(struct arena *arena, const struct container_config *config,
		     const struct mount_config ***ret, struct masu_error *err);
/*
 * Where the files of a bind or volume are: @ret->device is a path on this machine, NULL where they
 * are in memory (tmpfs). -ENOENT where the volume is gone.
 */
int volumes_source(struct engine *engine, struct arena *arena, const struct mount_config *mount,
		   struct volume_source *ret, struct masu_error *err);
/* With volume-subpath: what of the volume is mounted; links are followed as long as they stay in
 * it. */
int volumes_open_subpath(const struct mount_config *mount, const struct volume_source *source,
			 int flags, int *ret_fd, struct masu_error *err);
/*
 * -EBUSY where another container that runs uses the volume @name, which is in memory: each would
 * have one of its own.
 */
int volumes_check_memory(struct engine *engine, struct arena *arena, const char *id,
			 const char *name, struct masu_error *err);
