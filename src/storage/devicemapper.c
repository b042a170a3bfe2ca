/*
 * The devicemapper driver: a thin device with a filesystem for each layer and each container, made
 * as a snapshot of the one below (dm-thin). What is told apart here is whose device it is; the pool
 * is dm_pool.c's, devices are dm_device.c's, tables and records dm_text.c's.
 *
 * A place (a layer's or container's directory) has no files, but the record of its device. Removing
 * one dooms the device, which is deleted behind, with the trash.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "state/trash.h"
#include "storage/dm_setup.h"
#include "storage/drivers.h"
#include "storage/whole.h"
#include "sys/fs.h"

#define LAYERS "layers/" DM_OWN_DIR

/* The pool, from when it is first needed: what only reads records does not need it. */
static int pool_of(struct storage *s, struct dm_pool **ret, struct masu_error *err)
{
	struct dm_pool *pool = s->driver;
	int r = pool->node >= 0 ? 0 : dm_pool_open(s->root_fd, pool, err);
	*ret = pool;
	return r;
}

/* ---- trees ---- */

static int make(struct storage *s, int dir, int from, struct masu_error *err)
{
	struct dm_pool *pool;
	int r = pool_of(s, &pool, err);
	return r < 0 ? r : dm_device_make(pool, dir, from, err);
}

static int open_tree(struct storage *s, int place, bool layer, int *ret_fd)
{
	struct dm_pool *pool;
	int r = pool_of(s, &pool, NULL);
	return r < 0 ? r : dm_device_look(pool, place, layer, ret_fd);
}

static int mount_tree(struct storage *s, int place, bool layer, int *ret_fd, struct masu_error *err)
{
	struct dm_pool *pool;
	int r = pool_of(s, &pool, err);
	return r < 0 ? r : dm_device_mount(pool, place, layer, ret_fd, err);
}

static int room(struct storage *s, uint64_t bytes, struct masu_error *err)
{
	struct dm_pool *pool;
	int r = pool_of(s, &pool, err);
	/* What is doomed may be what is missing. */
	if (r == 0)
		dm_device_reap(pool);
	return r < 0 ? r : dm_pool_room(pool, bytes, err);
}

/* A pool that is full is found out when what was written reaches it. */
static int seal(int root, struct masu_error *err)
{
	return syncfs(root) < 0 ? error_errno(err, -errno, "storage driver devicemapper: syncfs")
				: 0;
}

static int limit(struct storage *s, int dir, uint64_t bytes, struct masu_error *err)
{
	struct dm_pool *pool;
	int r = pool_of(s, &pool, err);
	return r < 0 ? r : dm_device_grow(pool, dir, bytes, err);
}

static const struct whole_ops whole = {
	.name = DM_OWN_DIR,
	.layers = LAYERS,
	.make = make,
	.look = open_tree,
	.attach = mount_tree,
	.room = room,
	.seal = seal,
	.limit = limit,
};

/* ---- removal ---- */

static int doom(struct storage *s, const struct dm_device_record *device)
{
	struct dm_pool *pool = s->driver;
	int r = pool->dir_fd >= 0 ? 0 : dm_pool_prepare(s->root_fd, pool, NULL);
	if (r == 0)
		r = dm_device_doom(pool, device->id);
	/* Somebody else has removed it. */
	return r == -ENOENT ? 0 : r;
}

/* The device of the place @path below @dir; -ENOENT where it has none. */
static int device_of(int dir, const char *path, struct dm_device_record *ret)
{
	_cleanup_close_ int place =
		openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return place < 0 ? -errno : dm_device_read(place, ret);
}

static int remove_container(struct storage *s, const char *container_id, int container_fd,
			    struct masu_error *err)
{
	struct dm_device_record device;
	int there = device_of(container_fd, DM_OWN_DIR, &device);
	int r = whole_remove(s, container_id, container_fd, err);
	/* In this order: what has a place has its device. */
	if (r == 0 && there == 0 && (r = doom(s, &device)) < 0)
		error_errno(err, r, "container %.12s: " DM_DEVICE, container_id);
	return r;
}

static int remove_layer(struct storage *s, const char *chain_id, struct masu_error *err)
{
	struct dm_device_record device;
	int there = overlay_chain_id_valid(chain_id) ? device_of(s->layers_fd, chain_id, &device)
						     : -EINVAL;
	int r = overlay_layer_remove(s, chain_id, err);
	if (r == 0 && there == 0 && (r = doom(s, &device)) < 0)
		error_errno(err, r, "layer %.12s: " DM_DEVICE, chain_id);
	return r;
}

/* The device first: a layer that has its name is whole. */
static int restore_layer(struct storage *s, const char *chain_id)
{
	struct dm_device_record device;
	struct dm_pool *pool = s->driver;
	char path[160];
	int r = overlay_trash_path(chain_id, path);
	if (r == 0)
		r = device_of(s->root_fd, path, &device);
	if (r == 0 && pool->dir_fd < 0)
		r = dm_pool_prepare(s->root_fd, pool, NULL);
	if (r == 0)
		r = dm_device_spare(pool, device.id);
	return r < 0 ? r : overlay_layer_restore(s, chain_id);
}

static int staged_device(struct storage *s, const char *staging, struct dm_device_record *ret)
{
	char path[128];
	int r = str_format(path, sizeof(path), OVERLAY_STAGING "/%s", staging);
	return r < 0 ? r : device_of(s->layers_fd, path, ret);
}

static int abort_layer(struct storage *s, const char *staging)
{
	struct dm_device_record device;
	int there = staged_device(s, staging, &device);
	int r = overlay_layer_abort(s, staging);
	return r == 0 && there == 0 ? doom(s, &device) : r;
}

/*
 * A commit that finds the layer there already drops the staged one, and what was killed has left
 * devices that nobody has: both are found here.
 */
static int doom_one(struct dm_pool *pool, uint32_t id, void *opaque)
{
	return dm_device_doom(pool, id);
}

static int sweep(struct storage *s)
{
	struct dm_pool *pool = s->driver;
	int r = overlay_layer_sweep(s);
	if (r == 0)
		r = pool_of(s, &pool, NULL);
	if (r == 0)
		r = dm_device_lost(pool, doom_one, NULL);
	return r < 0 ? r : dm_device_reap(pool);
}

/* With the trash: in a process that may have closed all that it had of the pool. */
static void reap_behind(int root_fd)
{
	struct dm_pool pool;
	_cleanup_closedir_ DIR *doomed = fs_opendir_at(root_fd, DM_OWN_DIR "/" DM_DOOMED);
	struct dirent *entry = NULL;
	while (doomed && (entry = readdir(doomed)) && entry->d_name[0] == '.')
		;
	if (!entry || dm_pool_open(root_fd, &pool, NULL) < 0)
		return;
	dm_device_reap(&pool);
	dm_pool_close(&pool);
}

/* ---- the driver ---- */

static int open_driver(int root_fd, struct storage **ret, struct masu_error *err)
{
	struct dm_pool *pool = malloc(sizeof(*pool));
	if (!pool)
		return error_set(err, -ENOMEM, "out of memory");
	*pool = DM_POOL_CLOSED;
	int r = whole_open(&whole, root_fd, ret, err);
	if (r < 0) {
		free(pool);
		return r;
	}
	(*ret)->driver = pool;
	trash_also(reap_behind);
	return 0;
}

static void close_driver(struct storage *s)
{
	dm_pool_close(s->driver);
	free(s->driver);
	overlay_close(s);
}

static int retire(struct storage *s, struct masu_error *err)
{
	struct dm_pool *pool;
	int r = pool_of(s, &pool, err);
	if (r == 0 && (r = dm_device_reap(pool)) < 0)
		error_errno(err, r, "storage driver devicemapper: devices");
	return r < 0 ? r : dm_retire(pool, err);
}

static int pool_status_of(struct storage *s, struct dm_pool **ret,
			  struct dm_pool_status *ret_status, uint64_t *ret_block,
			  struct masu_error *err)
{
	int r = pool_of(s, ret, err);
	return r < 0 ? r : dm_pool_status(*ret, ret_status, ret_block, err);
}

static int tell_pool(struct storage *s, struct storage_pool *ret, struct masu_error *err)
{
	struct dm_pool_status status;
	struct dm_pool *pool;
	uint64_t block;
	int r = pool_status_of(s, &pool, &status, &block, err);
	if (r < 0)
		return r;
	*ret = (struct storage_pool) { .data_used = status.data_used * block,
				       .data_total = status.data_total * block,
				       .metadata_used = status.metadata_used * 4096,
				       .metadata_total = status.metadata_total * 4096 };
	str_format(ret->name, sizeof(ret->name), "%s",
		   *pool->record.options.thinpool ? pool->record.options.thinpool : pool->name);
	str_format(ret->filesystem, sizeof(ret->filesystem), "%s", pool->record.options.fs);
	return 0;
}

struct checking {
	storage_fault fault;
	void *opaque;
	bool repair;
};

static int tell_lost(struct dm_pool *pool, uint32_t id, void *opaque)
{
	const struct checking *c = opaque;
	char what[96];
	str_format(what, sizeof(what), "device %u of the pool is of no layer and no container", id);
	c->fault(c->opaque, what, "it is deleted", true, c->repair ? dm_device_doom(pool, id) : 0);
	return 0;
}

static int check(struct storage *s, bool repair, storage_fault fault, void *opaque,
		 struct masu_error *err)
{
	struct checking c = { .fault = fault, .opaque = opaque, .repair = repair };
	struct dm_pool_status status;
	struct dm_pool *pool;
	uint64_t block;
	int r = pool_status_of(s, &pool, &status, &block, err);
	if (r < 0)
		return r;
	if (status.mode != DM_POOL_WRITE || status.needs_check)
		fault(opaque,
		      status.mode == DM_POOL_OUT_OF_SPACE ? "the pool is full"
							  : "the pool takes no changes any more",
		      status.mode == DM_POOL_OUT_OF_SPACE
			      ? "remove containers and images, or make it larger"
			      : "see dmesg; thin_check and thin_repair of thin-provisioning-tools",
		      false, 0);
	r = dm_device_lost(pool, tell_lost, &c);
	if (r == 0 && repair)
		r = dm_device_reap(pool);
	return r < 0 ? error_errno(err, r, "devices of the pool") : 0;
}

static int paths(const char *root, const char *container_id, const char *const *chain_ids,
		 struct arena *arena, struct storage_paths *ret)
{
	size_t count = strv_length((char *const *)chain_ids);
	struct storage_paths found = {
		.lower = count ? arena_printf(arena, "%s/" LAYERS "/%s", root, chain_ids[count - 1])
			       : "",
		.upper = arena_printf(arena, "%s/containers/%s/" DM_OWN_DIR, root, container_id),
		.work = "",
	};
	if (!found.lower || !found.upper)
		return -ENOMEM;
	*ret = found;
	return 0;
}

const struct storage_ops devicemapper_ops = {
	.name = DM_OWN_DIR,
	.whole_layers = true,
	.supported = dm_supported,
	.setup = dm_set_up,
	.retire = retire,
	.open = open_driver,
	.close = close_driver,
	.layer_prepare = overlay_layer_prepare,
	.layer_commit = overlay_layer_commit,
	.layer_abort = abort_layer,
	.layer_open = overlay_layer_open,
	.layer_sweep = sweep,
	.layer_exists = overlay_layer_exists,
	.layer_size = overlay_layer_size,
	.layer_list = overlay_layer_list,
	.layer_remove = remove_layer,
	.layer_restore = restore_layer,
	.layer_verify = whole_layer_verify,
	.create = whole_create,
	.mount = whole_mount,
	.remove = remove_container,
	.changes = whole_changes,
	.usage = whole_usage,
	.paths = paths,
	.pool = tell_pool,
	.check = check,
};
