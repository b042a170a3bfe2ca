#include "exec/more/root.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sys/syscalls.h"

/* What the host unmounts is to go here, too, and nothing of ours is to come there. */
static int leave_host(struct masu_error *err)
{
	struct mount_attr follow = { .propagation = MS_SLAVE };
	if (unshare(CLONE_NEWNS) < 0)
		return error_errno(err, -errno, "cannot make a mount namespace");
	int r = sys_mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &follow);
	return r < 0 ? error_errno(err, r, "cannot make the mounts follow the host's") : 0;
}

int root_attach(int rootfs_fd, const char *path, struct masu_error *err)
{
	int r = leave_host(err);
	if (r < 0)
		return r;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_errno(err, -errno, "%s", path);
	/* The mount itself stays with who has it. */
	_cleanup_close_ int clone =
		sys_open_tree(rootfs_fd, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | OPEN_TREE_CLOEXEC);
	if (clone < 0)
		return error_errno(err, clone, "cannot attach the container's root");
	r = sys_move_mount(clone, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
	return r < 0 ? error_errno(err, r, "cannot attach the container's root at %s", path) : 0;
}

int root_source(const struct oci_mount *mount, const char *driver, int *ret_tree,
		struct masu_error *err)
{
	unsigned flags =
		OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (mount->recursive_bind ? AT_RECURSIVE : 0);
	struct mount_attr attr = { .attr_set = mount->attr_set, .attr_clr = mount->attr_clear };
	struct mount_attr all = { .attr_set = mount->rec_attr_set,
				  .attr_clr = mount->rec_attr_clear };
	if (mount->sb_flags & MS_RDONLY)
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	if (mount->idmap || mount->mappings.uid_count)
		return error_set(err, -ENOTSUP, "mount %s: the %s driver has no mapped mounts",
				 mount->destination, driver);
	/* lint: ok, the path is the administrator's or the engine's */
	_cleanup_close_ int tree =
		mount->source_fd ? sys_open_tree(mount->source_fd, "", flags | AT_EMPTY_PATH)
				 : sys_open_tree(AT_FDCWD, mount->source, flags);
	if (tree < 0)
		return error_errno(err, tree, "mount %s", mount->source);
	int r = 0;
	if (attr.attr_set || attr.attr_clr)
		r = sys_mount_setattr(tree, "", AT_EMPTY_PATH, &attr);
	if (r == 0 && (all.attr_set || all.attr_clr))
		r = sys_mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &all);
	if (r < 0)
		return error_errno(err, r, "mount %s", mount->destination);
	*ret_tree = take_fd(&tree);
	return 0;
}
