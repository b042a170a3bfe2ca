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
