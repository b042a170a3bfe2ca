#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cgroup/cgroup.h"
#include "exec/native/rootfs_private.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

/* "/a//b/" and "a/b" name the same place: the path without its leading slashes. */
static const char *relative(const char *path)
{
	return path + strspn(path, "/");
}

static bool is_below(const char *path, const char *dir)
{
	path = relative(path);
	dir = relative(dir);
	size_t len = strlen(dir);
	while (len > 0 && dir[len - 1] == '/')
		len--;
	return strncmp(path, dir, len) == 0 && (len == 0 || path[len] == '/') && path[len];
}

static bool is_same(const char *path, const char *dir)
{
	return streq(relative(path), relative(dir));
}

int mount_attach(int tree_fd, int target_fd)
{
	return sys_move_mount(tree_fd, "", target_fd, "",
			      MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/* Kernel filesystems bring their directories along: nothing has to be made in them. */
static bool has_own_tree(const struct oci_mount *mount)
{
	static const char *const types[] = { "proc",	"sysfs",  "cgroup",
					     "cgroup2", "devpts", "mqueue" };
	for (size_t i = 0; mount->type && i < ARRAY_SIZE(types); i++)
		if (streq(mount->type, types[i]))
			return true;
	return false;
}

bool mount_readonly_is_late(const struct rootfs *rootfs, const struct oci_mount *mount)
{
	const struct oci_spec *spec = rootfs->spec;
	if (!(mount->attr_set & MOUNT_ATTR_RDONLY) || (!mount->bind && has_own_tree(mount)))
		return false;
	/* Nodes, links and the console are made in /dev after the mounts. */
	if (mount->copy_up || is_same(mount->destination, "/dev") ||
	    is_same(mount->destination, "/"))
		return true;
	if (spec->process.cwd && is_below(spec->process.cwd, mount->destination))
		return true;
	for (const struct oci_mount *m = mount + 1; m < spec->mounts + spec->mount_count; m++)
		if (is_below(m->destination, mount->destination))
			return true;
	return false;
}

void mount_readonly_later(struct rootfs *rootfs, int fd)
{
	rootfs->child.readonly_fds[rootfs->child.readonly_count++] = fd;
}

/*
 * The O_PATH fd to mount on. /proc, /sys and /dev have to be real directories: what the runtime and
 * the container trust in them must not be where an image's symlink points.
 */
static int open_target(const struct rootfs *rootfs, const struct oci_mount *mount, bool want_file,
		       struct masu_error *err)
{
	const char *path = mount->destination;
	int root = rootfs->child.root_fd, fd;
	bool strict = !mount->bind && has_own_tree(mount);
	if (!want_file &&
	    (strict || is_same(path, "/dev") || is_same(path, "/proc") || is_same(path, "/sys")))
		return rootfs_real_dir(root, path, err);
	fd = mount->target_nofollow ? fs_open_in(root, path, O_PATH | O_NOFOLLOW, 0) : -ENOENT;
	if (fd == -ENOENT)
		fd = fs_target_in(root, path, want_file, 0755);
	/* A link of procfs differs from process to process: what covers it would be anybody's. */
	if (fd >= 0 && mount->target_nofollow && fs_is_type(fd, PROC_SUPER_MAGIC)) {
		close(fd);
		return error_set(err, -EPERM, "mount %s: dest-nofollow is refused on procfs", path);
	}
	return fd < 0 ? error_errno(err, fd, "mount %s: open the mount point", path) : fd;
}

static int attach_error(const struct rootfs *rootfs, const struct oci_mount *mount, int code,
			int tree, int target, struct masu_error *err)
{
	struct stat what, where;
	if (fstat(tree, &what) == 0 && fstat(target, &where) == 0 &&
	    S_ISDIR(what.st_mode) != S_ISDIR(where.st_mode))
		return error_set(err, code,
				 "mount %s: a directory and a file cannot cover each other",
				 mount->destination);
	if (code == -EINVAL && !rootfs->child.context.mount_ns)
		return error_set(err, code,
				 "mount %s: without a new mount namespace mounts need Linux 6.15",
				 mount->destination);
	return error_errno(err, code, "mount %s", mount->destination);
}

/* Attaches @tree and remembers what later steps reach by its fd, which the child then keeps. */
static int attach(struct rootfs *rootfs, const struct oci_mount *mount, int tree, int target,
		  struct masu_error *err)
{
	int r = mount_attach(tree, target);
	if (r < 0)
		return attach_error(rootfs, mount, r, tree, target, err);
	if (mount_readonly_is_late(rootfs, mount))
		mount_readonly_later(rootfs, tree);
	if (is_same(mount->destination, "/")) {
		rootfs->child.root_fd = tree;
		rootfs->child.dev_fd = -1;
		rootfs->child.own_proc = false;
	} else if (is_same(mount->destination, "/dev")) {
		bool bind = mount->bind;
		rootfs->child.dev_fd = tree;
		rootfs->child.host_dev = bind;
		rootfs->child.fresh_dev = !bind && streq(mount->type, "tmpfs") && !mount->copy_up;
	} else if (is_same(mount->destination, "/proc")) {
		rootfs->child.own_proc = !mount->bind && fs_is_type(tree, PROC_SUPER_MAGIC);
	}
	return 0;
}

static int make_link(const struct rootfs *rootfs, const struct oci_mount *mount, const char *text,
		     struct masu_error *err)
{
	const char *path = relative(mount->destination), *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char *parent = arena_strndup(rootfs->arena, path, slash ? (size_t)(slash - path) : 0);
	if (!parent)
		return error_errno(err, -ENOMEM, "mount %s", mount->destination);
	_cleanup_close_ int dir = fs_mkdirs_in(rootfs->child.root_fd, *parent ? parent : "/", 0755);
	if (dir < 0)
		return error_errno(err, dir, "mount %s", mount->destination);
	if (symlinkat(text, dir, name) == 0)
		return 0;
	/* The same link is what was asked for; anything else there is not replaced. */
	char old[PATH_MAX];
	ssize_t len = errno == EEXIST ? readlinkat(dir, name, old, sizeof(old)) : -1;
	if (len >= 0 && (size_t)len == strlen(text) && memcmp(old, text, (size_t)len) == 0)
		return 0;
	return error_errno(err, -errno, "mount %s: make the link to %s", mount->destination, text);
}

static int mount_bind(struct rootfs *rootfs, const struct oci_mount *mount,
		      const struct mount_source *source, struct masu_error *err)
{
	if (source->skip)
		return 0;
	if (source->link)
		return make_link(rootfs, mount, source->link, err);
	int tree = source->tree_fd, r;
	bool is_dir = source->is_dir;
	if (tree < 0) {
		struct stat st;
		r = bind_clone(rootfs, mount, true, &tree, err);
		if (r < 0)
			return r;
		if (fstat(tree, &st) < 0)
			return error_errno(err, -errno, "mount %s", mount->destination);
		is_dir = S_ISDIR(st.st_mode);
	}
	_cleanup_close_ int target = open_target(rootfs, mount, !is_dir, err);
	return target < 0 ? target : attach(rootfs, mount, tree, target, err);
}

static int mount_remount(struct rootfs *rootfs, const struct oci_mount *mount,
			 struct masu_error *err)
{
	_cleanup_close_ int target =
		fs_open_in(rootfs->child.root_fd, mount->destination, O_PATH, 0);
	if (target < 0)
		return error_errno(err, target, "remount %s", mount->destination);
	int r = 0;
	if (!mount->bind && ((mount->data && *mount->data) || mount->sb_flags))
		r = filesystem_reconfigure(mount, target, err);
	if (r < 0)
		return r;
	r = mount_set_attributes(target, false, mount->attr_set, mount->attr_clear,
				 mount->propagation);
	if (r == 0 && (mount->rec_attr_set || mount->rec_attr_clear))
		r = mount_set_attributes(target, true, mount->rec_attr_set, mount->rec_attr_clear,
					 0);
	if (r == -EINVAL)
		return error_set(err, r, "remount %s: it is not a mount point", mount->destination);
	return r < 0 ? error_errno(err, r, "remount %s", mount->destination) : 0;
}

/* Where this user namespace may not mount sysfs, proc or mqueue, the host's one is bound. */
static int mount_fallback(struct rootfs *rootfs, const struct oci_mount *mount, int tree,
			  int target, struct masu_error *err)
{
	const char *path = bind_fallback(mount);
	int r;
	if (!path)
		return error_errno(err, -EPERM, "mount %s: %s", mount->destination, mount->type);
	if (tree < 0) {
		r = bind_clone_path(path, true, &tree);
		if (r < 0)
			return error_errno(
				err, r, "mount %s: neither a new %s nor the host's %s is allowed",
				mount->destination, mount->type, path);
	}
	/* What the host's sysfs tells is not the container's: it is there to be read. */
	uint64_t recursive = streq(mount->type, "sysfs") ? MOUNT_ATTR_RDONLY : 0;
	r = mount_set_attributes(tree, true, recursive | mount->rec_attr_set, 0, 0);
	if (r == 0)
		r = mount_set_attributes(tree, false, mount->attr_set, 0, mount->propagation);
	if (r < 0)
		return error_errno(err, r, "mount %s: the host's %s", mount->destination, path);
	return attach(rootfs, mount, tree, target, err);
}

/* Mounts by mount(2), for options that fsconfig(2) cannot carry, and opens the result. */
static int mount_classic(struct rootfs *rootfs, const struct oci_mount *mount, int target,
			 struct masu_error *err)
{
	bool late = mount_readonly_is_late(rootfs, mount);
	int r = filesystem_mount2(mount, target, !late, err);
	if (r < 0)
		return r;
	int fd = fs_open_in(rootfs->child.root_fd, mount->destination, O_PATH, 0);
	if (fd < 0)
		return error_errno(err, fd, "mount %s: open it", mount->destination);
	if (late)
		mount_readonly_later(rootfs, fd);
	if (is_same(mount->destination, "/"))
		rootfs->child.root_fd = fd;
	else if (!late)
		close(fd);
	return 0;
}

static int set_options(const struct oci_mount *mount, int tree, struct masu_error *err)
{
	int r = 0;
	if (mount->rec_attr_set || mount->rec_attr_clear)
		r = mount_set_attributes(tree, true, mount->rec_attr_set, mount->rec_attr_clear, 0);
	if (r == 0 && mount->propagation & ~(unsigned long)(MS_PRIVATE | MS_REC))
		r = mount_set_attributes(tree, mount->propagation & MS_REC, 0, 0,
					 mount->propagation);
	return r < 0 ? error_errno(err, r, "mount %s: set options", mount->destination) : 0;
}

/*
 * A tmpfs that names no mode looks like the directory it covers, as runc has it; -1 where it names
 * one, or where there is no such directory yet: then it is the kernel's default.
 */
static int covered_mode(const struct rootfs *rootfs, const struct oci_mount *mount)
{
	struct stat st;
	if (mount->data && (str_after(mount->data, "mode=") || strstr(mount->data, ",mode=")))
		return -1;
	_cleanup_close_ int fd =
		fs_open_in(rootfs->child.root_fd, mount->destination, O_PATH | O_DIRECTORY, 0);
	return fd < 0 || fstat(fd, &st) < 0 ? -1 : (int)(st.st_mode & 07777);
}

static int mount_filesystem(struct rootfs *rootfs, const struct oci_mount *mount, int prepared,
			    struct masu_error *err)
{
	int tree, mode = streq(mount->type, "tmpfs") ? covered_mode(rootfs, mount) : -1;
	_cleanup_close_ int target = open_target(rootfs, mount, false, err);
	if (target < 0)
		return target;
	if (filesystem_needs_mount2(mount))
		return mount_classic(rootfs, mount, target, err);
	int r = filesystem_open(mount, mode, rootfs->mount_label,
				!mount_readonly_is_late(rootfs, mount), &tree, err);
	if (r == -EPERM)
		return mount_fallback(rootfs, mount, prepared, target, err);
	if (r == 0 && mount->copy_up)
		r = copy_up(target, tree, err);
	if (r == 0)
		r = set_options(mount, tree, err);
	return r < 0 ? r : attach(rootfs, mount, tree, target, err);
}

/* Without a group of its own the container sees the caller's groups, and cannot change them. */
static int mount_host_cgroups(struct rootfs *rootfs, const struct oci_mount *mount, int target,
			      struct masu_error *err)
{
	int tree = -1, r = bind_clone_path("/sys/fs/cgroup", true, &tree);
	if (r == 0)
		r = mount_set_attributes(tree, true, MOUNT_ATTR_RDONLY | mount->attr_set, 0,
					 mount->propagation);
	if (r < 0)
		return error_errno(err, r, "mount %s: the host's /sys/fs/cgroup",
				   mount->destination);
	return attach(rootfs, mount, tree, target, err);
}

static int mount_cgroup(struct rootfs *rootfs, const struct oci_mount *mount,
			struct masu_error *err)
{
	_cleanup_close_ int target = open_target(rootfs, mount, false, err);
	if (target < 0)
		return target;
	if (!rootfs->request->cgroup)
		return mount_host_cgroups(rootfs, mount, target, err);
	int r = cgroup_mount(rootfs->request->cgroup, target, mount,
			     rootfs->child.context.cgroup_ns,
			     cgroup_mount_writable(rootfs->spec, mount), err);
	return r < 0 ? error_wrap(err, "mount %s", mount->destination) : 0;
}

int mount_entry(struct rootfs *rootfs, size_t index, struct masu_error *err)
{
	const struct oci_mount *mount = &rootfs->spec->mounts[index];
	const struct mount_source *source = &rootfs->sources[index];
	if (mount->remount)
		return mount_remount(rootfs, mount, err);
	if (mount->bind)
		return mount_bind(rootfs, mount, source, err);
	if (!mount->type || streq(mount->type, "none"))
		return error_set(err, -EINVAL,
				 "mount %s: neither a filesystem type nor the option bind is given",
				 mount->destination);
	if (mount->copy_up && !streq(mount->type, "tmpfs"))
		return error_set(err, -EINVAL, "mount %s: tmpcopyup works with tmpfs, not with %s",
				 mount->destination, mount->type);
	if (mount->idmap || mount->idmap_recursive)
		return error_set(err, -EINVAL,
				 "mount %s: idmap works with bind mounts, not with %s",
				 mount->destination, mount->type);
	if (streq(mount->type, "cgroup"))
		return mount_cgroup(rootfs, mount, err);
	return mount_filesystem(rootfs, mount, source->tree_fd, err);
}
