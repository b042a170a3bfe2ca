#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "exec/native/rootfs_private.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

/* runtime-linux.md, "Dev symbolic links", and ptmx of "Default Devices". */
static const struct {
	const char *text, *name;
	bool needs_proc;
} links[] = {
	{ "/proc/self/fd", "fd", true },       { "/proc/self/fd/0", "stdin", true },
	{ "/proc/self/fd/1", "stdout", true }, { "/proc/self/fd/2", "stderr", true },
	{ "/proc/kcore", "core", true },       { "pts/ptmx", "ptmx", false },
};

int devices_open_dir(struct rootfs *rootfs, struct masu_error *err)
{
	if (rootfs->child.dev_fd >= 0)
		return 0;
	int fd = rootfs_real_dir(rootfs->child.root_fd, "/dev", err);
	if (fd < 0)
		return fd;
	rootfs->child.dev_fd = fd;
	return 0;
}

/* The last component of @path, which may end in slashes. */
static int device_name(const char *path, size_t *ret_start, char name[NAME_MAX + 1])
{
	size_t end = strlen(path), start;
	while (end > 0 && path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && path[start - 1] != '/';)
		start--;
	if (str_format(name, NAME_MAX + 1, "%.*s", (int)(end - start), path + start) < 0)
		return -ENAMETOOLONG;
	*ret_start = start;
	return !*name || streq(name, ".") || streq(name, "..") ? -EINVAL : 0;
}

/* The directory of @path (made when missing), an fd to close where *ret_own, and the name in it. */
static int open_parent(struct rootfs *rootfs, const char *path, int *ret_dir, bool *ret_own,
		       char name[NAME_MAX + 1], struct masu_error *err)
{
	char parent[PATH_MAX];
	size_t start;
	int r = device_name(path, &start, name);
	if (r == 0)
		r = str_format(parent, sizeof(parent), "%.*s", (int)start, path);
	if (r < 0)
		return error_errno(err, r, "device %s", path);
	*ret_own = !streq(parent, "/dev/");
	*ret_dir = rootfs->child.dev_fd;
	if (*ret_own)
		*ret_dir = fs_mkdirs_in(rootfs->child.root_fd, *parent ? parent : "/", 0755);
	return *ret_dir < 0 ? error_errno(err, *ret_dir, "device %s", path) : 0;
}

static int set_owner(int dir, const char *name, const struct device *device)
{
	if (device->uid == 0 && device->gid == 0)
		return 0;
	return fchownat(dir, name, device->uid, device->gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* Something is there already: it is the node, or it goes. */
static int replace_node(int dir, const char *name, const struct device *device)
{
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (device_is_node(&st, device))
		return 0;
	if (unlinkat(dir, name, 0) < 0)
		return -errno;
	if (mknodat(dir, name, device_node_type(device) | device->mode,
		    makedev(device->major, device->minor)) < 0)
		return -errno;
	return set_owner(dir, name, device);
}

static int make_node(int dir, const char *name, const struct device *device)
{
	if (mknodat(dir, name, device_node_type(device) | device->mode,
		    makedev(device->major, device->minor)) < 0)
		return errno == EEXIST ? replace_node(dir, name, device) : -errno;
	return set_owner(dir, name, device);
}

/* An O_PATH fd of the file @name in @dir, made when missing; never through a link. */
static int open_file(int dir, const char *name, mode_t mode)
{
	int fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd >= 0)
		return fd;
	if (errno != EEXIST)
		return -errno;
	fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	struct stat st;
	if (fault_without("console-link") && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode)) {
		close(fd);
		return (int)sys_ret(openat(dir, name, O_PATH | O_CLOEXEC));
	}
	if (fstat(fd, &st) < 0 || S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode)) {
		close(fd);
		return -ELOOP;
	}
	return fd;
}

static int bind_node(int dir, const char *name, struct device *device, struct masu_error *err)
{
	int r;
	struct stat st;
	/* Twice in the list (the spec may name a default device): the first one counts. */
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && device_is_node(&st, device))
		return 0;
	struct device own = *device;
	if (own.tree_fd < 0) {
		r = device_clone_host(&own, err);
		if (r < 0)
			return r;
	}
	_cleanup_close_ int target = open_file(dir, name, 0644);
	if (target < 0)
		return error_errno(err, target, "device %s: make the mount point", device->path);
	r = mount_attach(own.tree_fd, target);
	return r < 0 ? error_errno(err, r, "device %s: bind the host's", device->path) : 0;
}

static int create_device(struct rootfs *rootfs, struct device *device, struct masu_error *err)
{
	int dir, r = -EPERM;
	bool own;
	char name[NAME_MAX + 1];
	int opened = open_parent(rootfs, device->path, &dir, &own, name, err);
	if (opened < 0)
		return opened;
	if (!rootfs->child.context.user_ns || device->type == 'p')
		r = make_node(dir, name, device);
	if (r == -EPERM && device->type != 'p')
		r = bind_node(dir, name, device, err);
	else if (r < 0)
		error_errno(err, r, "device %s", device->path);
	if (own)
		close(dir);
	return r;
}

static bool has_proc(const struct rootfs *rootfs)
{
	if (rootfs->child.own_proc)
		return true;
	int fd = fs_open_in(rootfs->child.root_fd, "/proc/self", O_PATH | O_NOFOLLOW, 0);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int create_links(const struct rootfs *rootfs, struct masu_error *err)
{
	int dev = rootfs->child.dev_fd;
	bool proc = has_proc(rootfs);
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		if (links[i].needs_proc && !proc)
			continue;
		if (symlinkat(links[i].text, dev, links[i].name) == 0)
			continue;
		if (errno != EEXIST)
			return error_errno(err, -errno, "link /dev/%s", links[i].name);
		if (links[i].needs_proc)
			continue;
		/* A node of the image would open the host's ptmx, not the container's. */
		if (unlinkat(dev, links[i].name, 0) < 0 ||
		    symlinkat(links[i].text, dev, links[i].name) < 0)
			return error_errno(err, -errno, "link /dev/%s", links[i].name);
	}
	return 0;
}

int devices_create(struct rootfs *rootfs, struct masu_error *err)
{
	int r = devices_open_dir(rootfs, err);
	for (size_t i = 0; r == 0 && i < rootfs->device_count; i++)
		r = create_device(rootfs, &rootfs->devices[i], err);
	return r < 0 ? r : create_links(rootfs, err);
}

int rootfs_bind_console(struct rootfs *rootfs, int slave_fd, struct masu_error *err)
{
	struct stat st;
	/* Unix98 pty slaves are 136-143 (Documentation/admin-guide/devices.txt). */
	if (fstat(slave_fd, &st) < 0 || !S_ISCHR(st.st_mode) ||
	    (!fault_without("console-check") &&
	     (major(st.st_rdev) < 136 || major(st.st_rdev) > 143 ||
	      !fs_is_type(slave_fd, DEVPTS_SUPER_MAGIC))))
		return error_set(err, -EINVAL, "console: what was opened is not a pseudoterminal");
	int r = devices_open_dir(rootfs, err);
	if (r < 0)
		return r;
	_cleanup_close_ int target = open_file(rootfs->child.dev_fd, "console", 0620);
	if (target == -ELOOP)
		return error_set(
			err, target,
			"console: /dev/console in the root is a link or directory: refused");
	if (target < 0)
		return error_errno(err, target, "console: make /dev/console");
	_cleanup_close_ int tree =
		sys_open_tree(slave_fd, "", OPEN_TREE_CLONE | (unsigned)AT_EMPTY_PATH);
	if (tree < 0)
		return error_errno(err, tree, "console: clone the pseudoterminal");
	r = mount_attach(tree, target);
	return r < 0 ? error_errno(err, r, "console: bind over /dev/console") : 0;
}
