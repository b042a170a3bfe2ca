#include "sys/subvolume.h"

#include <errno.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/str.h"
#include "sys/fs.h"

bool subvolume_is(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && st.st_ino == BTRFS_FIRST_FREE_OBJECTID &&
	       fs_is_type(fd, BTRFS_SUPER_MAGIC);
}

bool subvolume_is_plain(int fd)
{
	struct btrfs_ioctl_get_subvol_rootref_args inner = { 0 };
	/* Linux 4.18; it says EOVERFLOW where there are more than it has room for. */
	return subvolume_is(fd) && ioctl(fd, BTRFS_IOC_GET_SUBVOL_ROOTREF, &inner) == 0 &&
	       inner.num_items == 0;
}

int subvolume_make(int dir, const char *name, int from, bool readonly)
{
	struct btrfs_ioctl_vol_args_v2 args = {
		.fd = from,
		.flags = readonly ? BTRFS_SUBVOL_RDONLY : 0,
	};
	if (!fs_is_type(dir, BTRFS_SUPER_MAGIC))
		return -EOPNOTSUPP;
	int r = str_format(args.name, sizeof(args.name), "%s", name);
	if (r < 0)
		return r;
	return ioctl(dir, from < 0 ? BTRFS_IOC_SUBVOL_CREATE_V2 : BTRFS_IOC_SNAP_CREATE_V2, &args) <
			       0
		       ? -errno
		       : 0;
}

int subvolume_destroy(int dir, const char *name)
{
	struct btrfs_ioctl_vol_args args = { 0 };
	if (!fs_is_type(dir, BTRFS_SUPER_MAGIC))
		return -EOPNOTSUPP;
	int r = str_format(args.name, sizeof(args.name), "%s", name);
	if (r < 0)
		return r;
	return ioctl(dir, BTRFS_IOC_SNAP_DESTROY, &args) < 0 ? -errno : 0;
}
