/*
 * The container's filesystem view, in the order it comes about:
 *
 *   parent, host namespaces      rootfs_prepare()  clones the root and the bind mounts (open_tree),
 *                                                  id-mapped ones too: all a container may not see
 *   child, all namespaces        rootfs_mount()    root, mounts, devices, links
 *                                rootfs_enter()    pivot_root, the old root is gone
 *                                rootfs_finish()   sysctls are set by then; masked and read-only
 *                                                  paths, read-only root, rootfs propagation
 *
 * All container paths go through fs_open_in() on the root's fd and mounts are attached by fd
 * (move_mount), so neither a symlink nor a rename race in the rootfs leads out (HOSTILE, class
 * table). docs/rootfs.md argues it in full.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "exec/exec.h"

struct rootfs;

/*
 * Parent side. Borrowed @request must outlive the result; memory is in @arena, fds are closed by
 * rootfs_close() in the parent (the child inherits them and closes by exec).
 */
int rootfs_prepare(struct arena *arena, const struct exec_request *request, struct rootfs **ret,
		   struct masu_error *err);
void rootfs_close(struct rootfs *rootfs);

struct rootfs_context {
	bool user_ns; /* the child is in a user namespace: no mknod, bind devices instead */
	bool cgroup_ns;
	bool own_network_ns; /* sysfs may be mounted */
	/*
	 * False: no new mount namespace, none at all or one that was joined. The root and its
	 * mounts are then a detached tree that only this process sees and that goes with it; needs
	 * Linux 6.15.
	 */
	bool mount_ns;
};

/*
 * Child side, single-threaded, after all namespaces are entered and with an fsuid that is root in
 * its user namespace. "/" still is the host's until rootfs_enter().
 */
int rootfs_mount(struct rootfs *rootfs, const struct rootfs_context *context,
		 struct masu_error *err);

/*
 * Fd (O_PATH) of the assembled root, valid between mount and enter; for the console and
 * createContainer hooks.
 */
int rootfs_fd(const struct rootfs *rootfs);

/*
 * Binds the pty peer @slave_fd over /dev/console. The peer must be of the container's own devpts
 * (open pts/ptmx in it, then TIOCGPTPEER): a mount of another namespace cannot be cloned. After
 * rootfs_mount().
 */
int rootfs_bind_console(struct rootfs *rootfs, int slave_fd, struct masu_error *err);

/* pivot_root (or MS_MOVE+chroot with request->no_pivot); cwd is "/" after. */
int rootfs_enter(struct rootfs *rootfs, struct masu_error *err);

/* Masks by inode-checked /dev/null and read-only tmpfs, read-only paths, root flags. */
int rootfs_finish(struct rootfs *rootfs, struct masu_error *err);
