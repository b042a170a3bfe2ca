/*
 * Layers that are kept as their tar: <chain-id>/{fs/,tar,index,layer.json}. The index is an EROFS
 * filesystem whose files lie in the tar; the kernel (Linux 6.12) mounts the two without a block
 * device.
 *
 * The mount on fs/ is made by the first container that needs the layer and stays: all containers
 * share its superblock, and so their files share memory, as they do with directories. It costs no
 * process anything, goes when the layer does, and is made again after a reboot or in another mount
 * namespace. Its maker holds a lock on <chain-id>/, as does who removes the layer.
 *
 * An fs/ that is not mounted would pass for an empty layer. So nobody uses the path: the directory
 * is opened, looked at, and used by its descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/overlay.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define EROFS_MAGIC 0xE0F5E1E2

/* Root's own view of the files; what a container may do with them is the overlay's to say. */
#define MOUNT_ATTRIBUTES                                                                           \
	(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static int set_file(int fs, const char *key, int fd)
{
	char path[FS_PROC_FD_MAX];
	return sys_fsconfig(fs, FSCONFIG_SET_STRING, key, fs_proc_fd(fd, path), 0);
}

int overlay_erofs_mount(int index_fd, int tar_fd, int *ret_fd)
{
	_cleanup_close_ int fs = sys_fsopen("erofs", 0);
	int r = fs < 0 ? fs : set_file(fs, "source", index_fd);
	if (r == 0)
		r = set_file(fs, "device", tar_fd);
	/* Kernels that do not know the word (before 6.15) read through the cache. */
	if (r == 0 && overlay_erofs_direct(tar_fd))
		sys_fsconfig(fs, FSCONFIG_SET_FLAG, "directio", NULL, 0);
	if (r == 0)
		r = sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	/* What the kernel calls invalid is not what masu wrote. */
	if (r == -EINVAL)
		r = -EUCLEAN;
	if (r == 0)
		r = sys_fsmount(fs, 0, MOUNT_ATTRIBUTES);
	if (r < 0)
		return r;
	*ret_fd = r;
	return 0;
}

/* Of the layer whose directory is open. */
static int mount_layer(int layer_fd, int *ret_fd)
{
	_cleanup_close_ int index = openat(layer_fd, OVERLAY_INDEX, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int tar = openat(layer_fd, OVERLAY_TAR, O_RDONLY | O_CLOEXEC);
	if (index < 0 || tar < 0)
		return -errno;
	return overlay_erofs_mount(index, tar, ret_fd);
}

/* fs/ of a layer's directory; *ret_mounted: whether that is the layer's files. */
static int open_root(int layer_fd, const char *path, int *ret_fd, bool *ret_mounted)
{
	int fd = openat(layer_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	*ret_mounted = fs_is_type(fd, EROFS_MAGIC);
	return 0;
}

/* The directory of a layer, locked and still the one that has the name. */
static int lock_layer(struct storage *s, const char *chain_id, int *ret_fd)
{
	struct stat opened, named;
	_cleanup_close_ int fd =
		openat(s->layers_fd, chain_id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0 || fstat(fd, &opened) < 0 ||
	    fstatat(s->layers_fd, chain_id, &named, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (opened.st_ino != named.st_ino || opened.st_dev != named.st_dev)
		return -ENOENT;
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Somebody may have been faster; the mount's own descriptor is the root of it. */
static int attach(struct storage *s, const char *chain_id, int *ret_fd)
{
	bool mounted = false;
	_cleanup_close_ int layer = -1, root = -1, mount = -1;
	int r = lock_layer(s, chain_id, &layer);
	if (r == 0)
		r = open_root(layer, OVERLAY_FS, &root, &mounted);
	if (r < 0)
		return r;
	if (mounted) {
		*ret_fd = take_fd(&root);
		return 0;
	}
	r = mount_layer(layer, &mount);
	if (r == 0)
		r = sys_move_mount(mount, "", root, "",
				   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	if (r == 0)
		*ret_fd = take_fd(&mount);
	return r;
}

int overlay_erofs_open(struct storage *s, const char *chain_id, int *ret_fd)
{
	return overlay_chain_id_valid(chain_id) ? overlay_erofs_open_at(s, chain_id, ret_fd)
						: -EBADMSG;
}

int overlay_erofs_open_at(struct storage *s, const char *name, int *ret_fd)
{
	char path[128];
	bool mounted = false;
	_cleanup_close_ int root = -1;
	int r = str_format(path, sizeof(path), "%s/" OVERLAY_FS, name);
	if (r == 0)
		r = open_root(s->layers_fd, path, &root, &mounted);
	if (r < 0)
		return r;
	if (!mounted)
		return attach(s, name, ret_fd);
	*ret_fd = take_fd(&root);
	return 0;
}

int overlay_erofs_look(int layer_fd, int *ret_fd)
{
	bool mounted = false;
	_cleanup_close_ int root = -1, mount = -1;
	int r = open_root(layer_fd, OVERLAY_FS, &root, &mounted);
	if (r == 0 && !mounted)
		r = mount_layer(layer_fd, &mount);
	if (r < 0)
		return r;
	int fd = openat(mounted ? root : mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int overlay_erofs_lock(struct storage *s, const char *chain_id)
{
	int fd;
	int r = lock_layer(s, chain_id, &fd);
	return r < 0 ? r : fd;
}

void overlay_erofs_detach(int layer_fd)
{
	char path[FS_PROC_FD_MAX + sizeof(OVERLAY_FS)], proc[FS_PROC_FD_MAX];
	_cleanup_close_ int root = -1;
	bool mounted = false;
	while (open_root(layer_fd, OVERLAY_FS, &root, &mounted) == 0 && mounted) {
		cleanup_close(&root);
		str_format(path, sizeof(path), "%s/" OVERLAY_FS, fs_proc_fd(layer_fd, proc));
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return;
	}
}

/* ---- making them ---- */

/* The second name of a file that is the tar already; -1: it has to be copied. */
static int link_tar(int staged_fd, int tar_fd)
{
	char path[FS_PROC_FD_MAX];
	if (tar_fd < 0 || linkat(AT_FDCWD, fs_proc_fd(tar_fd, path), staged_fd, OVERLAY_TAR,
				 AT_SYMLINK_FOLLOW) < 0)
		return -1;
	return openat(staged_fd, OVERLAY_TAR, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

int overlay_layer_indexed(struct storage *s, const char *staging, int tar_fd,
			  struct storage_indexed *ret, struct masu_error *err)
{
	char path[128];
	struct storage_indexed made = { .tar_fd = -1, .index_fd = -1 };
	int r = str_format(path, sizeof(path), OVERLAY_STAGING "/%s", staging);
	_cleanup_close_ int staged =
		openat(s->layers_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r < 0 || staged < 0)
		return error_errno(err, r < 0 ? r : -errno, "layer: staging %s", staging);
	/* The same directory, so that its lock stays. */
	if (renameat(staged, OVERLAY_DIFF, staged, OVERLAY_FS) < 0)
		return error_errno(err, -errno, "layer: staging %s", staging);
	made.tar_fd = link_tar(staged, tar_fd);
	made.linked = made.tar_fd >= 0;
	if (!made.linked)
		made.tar_fd = openat(staged, OVERLAY_TAR,
				     O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (made.tar_fd >= 0)
		made.index_fd = openat(staged, OVERLAY_INDEX,
				       O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (made.index_fd < 0) {
		r = -errno;
		cleanup_close(&made.tar_fd);
		return error_errno(err, r, "layer: staging %s", staging);
	}
	made.open = true;
	*ret = made;
	return 0;
}

int overlay_layer_try(int index_fd, int tar_fd)
{
	_cleanup_close_ int fd = -1;
	return overlay_erofs_mount(index_fd, tar_fd, &fd);
}
