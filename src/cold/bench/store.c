/*
 * A filesystem for the one storage driver that wants its own: btrfs in a file of the scratch
 * directory, over a loop device, where that directory is on another. It goes with the mount.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/bench/place.h"
#include "sys/fs.h"

#define STORE_SIZE  (8ll << 30) /* of a sparse file: what is not written takes no room */
#define STORE_LIMIT 60.0

static int make_file(const char *path, struct masu_error *err)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, STORE_SIZE) < 0)
		return error_errno(err, -errno, "%s", path);
	return 0;
}

static int fill_file(struct place *place, const char *path, const char *at, struct masu_error *err)
{
	const char *make[] = { "mkfs.btrfs", "-q", path, NULL };
	const char *mount[] = { "mount", "-t", "btrfs", "-o", "loop", path, at, NULL };
	int r = place_host(place, make, STORE_LIMIT, NULL, err);
	if (r == -ENOENT)
		return error_set(err, r, "mkfs.btrfs is not installed; apt install btrfs-progs");
	return r < 0 ? r : place_host(place, mount, STORE_LIMIT, NULL, err);
}

int place_need_btrfs(struct place *place, struct masu_error *err)
{
	_cleanup_close_ int scratch = open(place->scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (scratch < 0)
		return error_errno(err, -errno, "%s", place->scratch);
	if (place->btrfs_file || fs_is_type(scratch, BTRFS_SUPER_MAGIC))
		return 0;
	const char *path = arena_printf(place->arena, "%s/btrfs.img", place->scratch);
	const char *at = arena_printf(place->arena, "%s/masubtrfs", place->scratch);
	if (!path || !at)
		return error_set(err, -ENOMEM, "out of memory");
	int r = fs_mkdirs(AT_FDCWD, at, 0700);
	if (r < 0)
		return error_errno(err, r, "%s", at);
	r = make_file(path, err);
	if (r == 0)
		r = fill_file(place, path, at, err);
	if (r < 0) {
		unlink(path);
		return error_wrap(err, "a btrfs for the column");
	}
	place->btrfs_file = path;
	return 0;
}
