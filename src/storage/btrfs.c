/*
 * The btrfs driver: a subvolume for each layer and each container, made as a snapshot of the one
 * below; a limit on a container's size is one on what its subvolume alone has (a qgroup).
 * Subvolumes are deleted with the trash (state/trash.c). ioctls as in btrfs-ioctl(2) and
 * linux/btrfs.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/drivers.h"
#include "storage/whole.h"
#include "sys/fs.h"
#include "sys/subvolume.h"

static bool supported(int root_fd, const char **reason)
{
	if (fs_is_type(root_fd, BTRFS_SUPER_MAGIC))
		return true;
	*reason = "--root is not on btrfs; make one with mkfs.btrfs and put --root there";
	return false;
}

static int make(struct storage *s, int dir, int from, struct masu_error *err)
{
	_cleanup_close_ int below = -1;
	int r = from < 0 ? 0 : whole_open_place(s, from, true, &below);
	if (r == 0)
		r = subvolume_make(dir, OVERLAY_ROOT, below, false);
	return r < 0 ? error_errno(err, r, "subvolume") : 0;
}

/* Nobody writes to a layer, and a snapshot of it can be written to. */
static int seal(int root, struct masu_error *err)
{
	uint64_t flags = 0;
	if (ioctl(root, BTRFS_IOC_SUBVOL_GETFLAGS, &flags) < 0)
		return error_errno(err, -errno, "subvolume");
	flags |= BTRFS_SUBVOL_RDONLY;
	if (ioctl(root, BTRFS_IOC_SUBVOL_SETFLAGS, &flags) < 0)
		return error_errno(err, -errno, "subvolume: read-only");
	return 0;
}

/* Counting starts with the first container that has a limit, and counts what is there first. */
static int start_counting(int fd)
{
	struct btrfs_ioctl_quota_ctl_args enable = { .cmd = BTRFS_QUOTA_CTL_ENABLE };
	struct btrfs_ioctl_quota_rescan_args scan = { 0 };
	if (ioctl(fd, BTRFS_IOC_QUOTA_CTL, &enable) < 0)
		return -errno;
	/* EINPROGRESS: enabling has begun one. */
	if (ioctl(fd, BTRFS_IOC_QUOTA_RESCAN, &scan) < 0 && errno != EINPROGRESS)
		return -errno;
	return ioctl(fd, BTRFS_IOC_QUOTA_RESCAN_WAIT) < 0 ? -errno : 0;
}

static int limit(struct storage *s, int dir, uint64_t bytes, struct masu_error *err)
{
	struct btrfs_ioctl_qgroup_limit_args args = {
		.lim = { .flags = BTRFS_QGROUP_LIMIT_MAX_EXCL, .max_excl = bytes },
	};
	_cleanup_close_ int fd = openat(dir, OVERLAY_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, -errno, "subvolume");
	int r = ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &args) < 0 ? -errno : 0;
	if (r == -ENOTCONN || r == -EINVAL || r == -ENOENT) {
		r = start_counting(fd);
		if (r == 0 && ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &args) < 0)
			r = -errno;
	}
	return r < 0 ? error_errno(err, r, "--storage-opt size: btrfs quota") : 0;
}

static const struct whole_ops whole = {
	.name = "btrfs", .layers = "layers/btrfs", .make = make, .seal = seal, .limit = limit
};

static int open_btrfs(int root_fd, struct storage **ret, struct masu_error *err)
{
	return whole_open(&whole, root_fd, ret, err);
}

static int paths(const char *root, const char *container_id, const char *const *chain_ids,
		 struct arena *arena, struct storage_paths *ret)
{
	return whole_paths(&whole, root, container_id, chain_ids, arena, ret);
}

const struct storage_ops btrfs_ops = {
	.name = "btrfs",
	.supported = supported,
	.open = open_btrfs,
	.paths = paths,
	WHOLE_LAYER_OPS,
};
