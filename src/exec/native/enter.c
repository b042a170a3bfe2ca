#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "exec/native/rootfs_private.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define MOUNTINFO_MAX (16u << 20)

/*
 * The root is already attached over "/" (rootfs_mount). pivot_root(2) with "." for both makes it
 * the namespace's root and the old root a mount on top of it, which umount2 of "." then reaches;
 * see pivot_root(2), NOTES. Nothing of the host's tree is left in the namespace.
 */
static int enter_by_pivot(int root_fd, struct masu_error *err)
{
	if (fchdir(root_fd) < 0)
		return error_errno(err, -errno, "enter the root");
	int r = sys_pivot_root(".", ".");
	if (r == -EINVAL)
		return error_set(err, r,
				 "pivot_root is refused here, as on an initramfs: use --no-pivot");
	if (r < 0)
		return error_errno(err, r, "pivot_root");
	if (!fault_without("old-root-gone") && umount2(".", MNT_DETACH) < 0)
		return error_errno(err, -errno, "unmount the old root");
	return 0;
}

/* mountinfo writes blanks, tabs, newlines and backslashes in octal (proc_pid_mountinfo(5)). */
static void unescape(char *s)
{
	char *out = s;
	for (; *s; s++) {
		unsigned code;
		if (*s == '\\' && sscanf(s + 1, "%3o", &code) == 1) {
			*out++ = (char)code;
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

/*
 * Unmounts what the host has mounted below its root; our own root, attached over "/", is not below
 * it by name. What is locked (mounts that a user namespace inherited) cannot be unmounted from
 * inside the container either.
 */
static int unmount_host_mounts(struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, MOUNTINFO_MAX);
	int r = fs_read_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text);
	if (r < 0)
		return error_errno(err, r, "no-pivot: read /proc/self/mountinfo");
	char *line, *rest = text.data;
	/* Parents come first: with a parent its children are gone, and ENOENT or EINVAL says so. */
	while ((line = strsep(&rest, "\n"))) {
		char path[4096];
		if (sscanf(line, "%*d %*d %*s %*s %4095s", path) != 1)
			continue;
		unescape(path);
		if (streq(path, "/"))
			continue;
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != ENOENT &&
		    errno != EINVAL && errno != EPERM)
			return error_errno(err, -errno, "no-pivot: unmount %s", path);
	}
	return 0;
}

static int enter_by_chroot(struct rootfs *rootfs, struct masu_error *err)
{
	/* /proc is needed to find the mounts and goes with them, so this comes first. */
	if (rootfs->child.context.mount_ns) {
		int r = unmount_host_mounts(err);
		if (r < 0)
			return r;
	}
	if (fchdir(rootfs->child.root_fd) < 0 || chroot(".") < 0)
		return error_errno(err, -errno, "enter the root");
	return 0;
}

int enter_root(struct rootfs *rootfs, struct masu_error *err)
{
	if (rootfs->request->no_pivot || !rootfs->child.context.mount_ns)
		return enter_by_chroot(rootfs, err);
	return enter_by_pivot(rootfs->child.root_fd, err);
}
