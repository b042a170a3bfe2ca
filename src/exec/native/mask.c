#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "exec/native/rootfs_private.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

/* What covers masked paths: one null device and one empty directory, cloned for each. */
struct cover {
	int null_fd;
	int empty_fd;
};

/* A path that is not there needs no cover. */
static int open_covered(const struct rootfs *rootfs, const char *path, const char *what,
			int *ret_fd, struct masu_error *err)
{
	int fd = fs_open_in(rootfs->child.root_fd, path, O_PATH, 0);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return error_errno(err, fd, "%s path %s", what, path);
	*ret_fd = fd;
	return 1;
}

/*
 * The container's /dev/null, checked by its number on the fd that is cloned: an image or another
 * container on the same root may have put anything under that name (CVE-2025-31133).
 */
static int open_null(struct rootfs *rootfs, int *ret_fd, struct masu_error *err)
{
	struct stat st;
	int r = devices_open_dir(rootfs, err);
	if (r < 0)
		return r;
	bool unchecked = fault_without("null-check");
	_cleanup_close_ int fd = openat(rootfs->child.dev_fd, "null",
					O_PATH | (unchecked ? 0 : O_NOFOLLOW) | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, -errno, "masked paths: open /dev/null");
	if (fstat(fd, &st) < 0)
		return error_errno(err, -errno, "masked paths: stat /dev/null");
	if (!unchecked && (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)))
		return error_set(err, -EINVAL,
				 "masked paths: /dev/null in the root is not the null device: "
				 "refused");
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Puts @tree over @target and keeps it as what the next paths are covered with. */
static int cover_first(int tree, int target, int *ret_cover)
{
	int r = mount_attach(tree, target);
	if (r == 0)
		*ret_cover = tree;
	else
		close(tree);
	return r;
}

static int cover_again(int cover, int target)
{
	_cleanup_close_ int tree =
		sys_open_tree(cover, "", OPEN_TREE_CLONE | (unsigned)AT_EMPTY_PATH);
	return tree < 0 ? tree : mount_attach(tree, target);
}

static int cover_file(struct rootfs *rootfs, struct cover *cover, int target,
		      struct masu_error *err)
{
	int r;
	if (cover->null_fd >= 0) {
		r = cover_again(cover->null_fd, target);
		return r < 0 ? error_errno(err, r, "bind /dev/null") : 0;
	}
	_cleanup_close_ int null = -1;
	r = open_null(rootfs, &null, err);
	if (r < 0)
		return r;
	int tree = sys_open_tree(null, "", OPEN_TREE_CLONE | (unsigned)AT_EMPTY_PATH);
	r = tree < 0 ? tree : mount_set_attributes(tree, false, MOUNT_ATTR_RDONLY, 0, 0);
	if (r == 0)
		r = cover_first(tree, target, &cover->null_fd);
	return r < 0 ? error_errno(err, r, "bind /dev/null") : 0;
}

static int cover_directory(struct cover *cover, int target, struct masu_error *err)
{
	const uint64_t attributes =
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	int tree, r;
	if (cover->empty_fd >= 0) {
		r = cover_again(cover->empty_fd, target);
	} else {
		r = filesystem_new("tmpfs", attributes, &tree);
		if (r == 0)
			r = cover_first(tree, target, &cover->empty_fd);
	}
	return r < 0 ? error_errno(err, r, "mount an empty tmpfs") : 0;
}

static int mask_path(struct rootfs *rootfs, struct cover *cover, const char *path,
		     struct masu_error *err)
{
	struct stat st;
	_cleanup_close_ int target = -1;
	int r = open_covered(rootfs, path, "masked", &target, err);
	if (r <= 0)
		return r;
	if (fstat(target, &st) < 0)
		return error_errno(err, -errno, "masked path %s", path);
	r = S_ISDIR(st.st_mode) ? cover_directory(cover, target, err)
				: cover_file(rootfs, cover, target, err);
	return r < 0 ? error_wrap(err, "masked path %s", path) : 0;
}

int mask_paths(struct rootfs *rootfs, struct masu_error *err)
{
	struct cover cover = { -1, -1 };
	int r = 0;
	if (fault_without("masks"))
		return 0;
	for (char **path = rootfs->spec->masked_paths; r == 0 && path && *path; path++)
		r = mask_path(rootfs, &cover, *path, err);
	cleanup_close(&cover.null_fd);
	cleanup_close(&cover.empty_fd);
	return r;
}

int readonly_paths(struct rootfs *rootfs, struct masu_error *err)
{
	for (char **path = rootfs->spec->readonly_paths; path && *path; path++) {
		_cleanup_close_ int target = -1;
		int r = open_covered(rootfs, *path, "read-only", &target, err);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		_cleanup_close_ int tree = sys_open_tree(
			target, "", OPEN_TREE_CLONE | AT_RECURSIVE | (unsigned)AT_EMPTY_PATH);
		r = tree < 0 ? tree : mount_set_attributes(tree, true, MOUNT_ATTR_RDONLY, 0, 0);
		if (r == 0)
			r = mount_attach(tree, target);
		if (r < 0)
			return error_errno(err, r, "read-only path %s", *path);
	}
	return 0;
}
