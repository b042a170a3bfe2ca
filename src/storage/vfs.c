/*
 * The vfs driver: a copy of everything for each layer and each container. It needs nothing of the
 * kernel and of the filesystem, and where that shares blocks (FICLONE; copy_file_range(2) does) a
 * copy costs its names alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "storage/drivers.h"
#include "storage/whole.h"
#include "sys/project_quota.h"

static int make(struct storage *s, int dir, int from, struct masu_error *err)
{
	_cleanup_close_ int below = -1, to = -1;
	int r = mkdirat(dir, OVERLAY_ROOT, 0755) < 0 ? -errno : 0;
	if (r == 0)
		r = whole_open_place(s, dir, false, &to);
	if (r == 0 && from >= 0)
		r = whole_open_place(s, from, true, &below);
	if (r < 0)
		return error_errno(err, r, OVERLAY_ROOT);
	return from < 0 ? 0 : whole_copy(below, to, err);
}

/* A number of blocks that all of the container takes, since all is its own. */
static int limit_all(int dir, uint64_t bytes, struct masu_error *err)
{
	int r = project_quota_set(dir, bytes, err);
	return r < 0 ? error_wrap(err, "--storage-opt size") : 0;
}

static void unlimit(int dir)
{
	project_quota_clear(dir);
}

static const struct whole_ops whole = { .name = "vfs",
					.layers = "layers/vfs",
					.make = make,
					.limit_all = limit_all,
					.unlimit = unlimit };

static bool supported(int root_fd, const char **reason)
{
	return true;
}

static int open_vfs(int root_fd, struct storage **ret, struct masu_error *err)
{
	return whole_open(&whole, root_fd, ret, err);
}

static int paths(const char *root, const char *container_id, const char *const *chain_ids,
		 struct arena *arena, struct storage_paths *ret)
{
	return whole_paths(&whole, root, container_id, chain_ids, arena, ret);
}

const struct storage_ops vfs_ops = {
	.name = "vfs",
	.supported = supported,
	.open = open_vfs,
	.paths = paths,
	WHOLE_LAYER_OPS,
};
