#include "exec/native/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/log.h"
#include "base/trace.h"
#include "exec/native/rootfs_private.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define SELINUX_FS_MAGIC 0xf97cff8cL

/* What filesystems are mounted with, or NULL. As crun, and where nothing can enforce it anyway. */
static const char *mount_label(const struct oci_spec *spec)
{
	if (!spec->mount_label || !*spec->mount_label)
		return NULL;
	_cleanup_close_ int fd = open("/sys/fs/selinux", O_PATH | O_CLOEXEC);
	if (fd >= 0 && fs_is_type(fd, SELINUX_FS_MAGIC))
		return spec->mount_label;
	log_warn("linux.mountLabel \"%s\" has no effect: SELinux is not enabled on this host",
		 spec->mount_label);
	return NULL;
}

/*
 * The detached tree that becomes "/". A parent without privileges may not clone it; the child then
 * does, in its own mount namespace, from root_path.
 */
static int prepare_root(struct rootfs *rootfs, struct masu_error *err)
{
	const struct exec_request *request = rootfs->request;
	const char *path = request->spec->root_path;
	if (request->rootfs_fd >= 0) {
		rootfs->root_fd = request->rootfs_fd;
	} else {
		if (!path || !*path)
			return error_set(err, -EINVAL, "config.json has no root.path");
		rootfs->root_path =
			*path == '/' ? path
				     : arena_printf(rootfs->arena, "%s/%s", request->bundle, path);
		if (!rootfs->root_path)
			return error_errno(err, -ENOMEM, "root %s", path);
		int fd = sys_open_tree(*path == '/' ? AT_FDCWD : request->bundle_fd, path,
				       OPEN_TREE_CLONE | AT_RECURSIVE);
		if (fd == -EPERM)
			return 0;
		if (fd < 0)
			return error_errno(err, fd, "root %s", rootfs->root_path);
		rootfs->root_fd = fd;
		rootfs->root_own = true;
	}
	struct stat st;
	if (fstat(rootfs->root_fd, &st) < 0)
		return error_errno(err, -errno, "root %s", path ? path : "");
	if (!S_ISDIR(st.st_mode))
		return error_errno(err, -ENOTDIR, "root %s", path ? path : "");
	/* A clone of a shared mount is its peer: what is mounted below would appear on the host. */
	int r = mount_set_attributes(rootfs->root_fd, true, 0, 0, rootfs->propagation);
	return r < 0 ? error_errno(err, r, "root %s: set propagation", path ? path : "") : 0;
}

static struct rootfs *rootfs_new(struct arena *arena, const struct exec_request *request)
{
	const struct oci_spec *spec = request->spec;
	struct rootfs *rootfs = arena_new(arena, struct rootfs);
	if (!rootfs)
		return NULL;
	*rootfs = (struct rootfs) {
		.arena = arena,
		.request = request,
		.spec = spec,
		.root_fd = -1,
		.nodes_fd = -1,
		.sources = arena_array(arena, struct mount_source, spec->mount_count + 1),
		.devices = arena_array(arena, struct device,
				       spec->device_count + ROOTFS_DEFAULT_DEVICES),
		.child = { .root_fd = -1,
			   .dev_fd = -1,
			   .readonly_fds = arena_array(arena, int, spec->mount_count + 1) }
	};
	if (!rootfs->sources || !rootfs->devices || !rootfs->child.readonly_fds)
		return NULL;
	for (size_t i = 0; i < spec->mount_count; i++)
		rootfs->sources[i].tree_fd = -1;
	/*
	 * Events from outside reach the container only where the spec asks for it, and never the
	 * other way round: a "shared" root is the first of a peer group of its own (rootfs_finish).
	 */
	bool follows = spec->rootfs_propagation & (MS_SLAVE | MS_SHARED);
	rootfs->propagation = follows ? MS_SLAVE : MS_PRIVATE;
	return rootfs;
}

int rootfs_prepare(struct arena *arena, const struct exec_request *request, struct rootfs **ret,
		   struct masu_error *err)
{
	struct rootfs *rootfs = rootfs_new(arena, request);
	if (!rootfs)
		return error_errno(err, -ENOMEM, "prepare root");
	rootfs->mount_label = mount_label(request->spec);
	int r = prepare_root(rootfs, err);
	for (size_t i = 0; r == 0 && i < request->spec->mount_count; i++)
		r = bind_prepare(rootfs, i, err);
	if (r == 0)
		r = devices_prepare(rootfs, err);
	if (r < 0) {
		rootfs_close(rootfs);
		return r;
	}
	trace_mark("rootfs: prepare");
	*ret = rootfs;
	return 0;
}

void rootfs_close(struct rootfs *rootfs)
{
	if (!rootfs)
		return;
	if (rootfs->root_own)
		cleanup_close(&rootfs->root_fd);
	for (size_t i = 0; i < rootfs->spec->mount_count; i++)
		cleanup_close(&rootfs->sources[i].tree_fd);
	for (size_t i = 0; i < rootfs->device_count; i++)
		cleanup_close(&rootfs->devices[i].tree_fd);
	cleanup_close(&rootfs->nodes_fd);
	rootfs->root_own = false;
	rootfs->device_count = 0;
}

int rootfs_real_dir(int root_fd, const char *path, struct masu_error *err)
{
	int fd = fs_open_in_real(root_fd, path, O_PATH | O_DIRECTORY, 0);
	if (fd == -ENOENT) {
		int made = fs_mkdirs_in(root_fd, path, 0755);
		if (made < 0)
			return error_errno(err, made, "make %s in the root", path);
		close(made);
		/* What was made may have been swapped since; only this open decides. */
		fd = fs_open_in_real(root_fd, path, O_PATH | O_DIRECTORY, 0);
	}
	if (fd == -ELOOP || fd == -ENOTDIR)
		return error_set(err, fd,
				 "%s in the root is a symbolic link or no directory: refused "
				 "because mounts would land elsewhere",
				 path);
	return fd < 0 ? error_errno(err, fd, "open %s in the root", path) : fd;
}

/*
 * In a mount namespace that was joined, only trees begun there may be mounted on: the root is put
 * on a directory that is attached nowhere. Others in that namespace see none of it.
 */
static int adopt_root(int fd)
{
	int base = -1, r = filesystem_new("tmpfs", 0, &base);
	return r < 0 ? r : mount_attach(fd, base);
}

/* Attaches the root over "/" of the new mount namespace, where rootfs_enter() finds it. */
static int attach_root(struct rootfs *rootfs, struct masu_error *err)
{
	int fd = rootfs->root_fd, r = 0;
	if (rootfs->child.context.mount_ns) {
		/*
		 * The namespace's mounts are peers of the host's: as slaves they tell the host
		 * nothing, neither the attaching here nor the unmounting in rootfs_enter().
		 */
		struct mount_attr attr = { .propagation = MS_SLAVE };
		r = sys_mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &attr);
		if (r < 0)
			return error_errno(err, r, "detach the mount namespace from the host's");
	}
	if (fd < 0) {
		r = bind_clone_path(rootfs->root_path, true, &fd);
		if (r == 0)
			r = mount_set_attributes(fd, true, 0, 0, rootfs->propagation);
		if (r < 0)
			return error_errno(err, r, "root %s", rootfs->root_path);
	}
	rootfs->child.root_fd = fd;
	/* Without a mount namespace of its own the tree stays detached: nobody else sees it. */
	if (rootfs->child.context.mount_ns)
		r = sys_move_mount(fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH);
	else if (rootfs->spec->namespaces[OCI_NS_MOUNT].path)
		r = adopt_root(fd);
	return r < 0 ? error_errno(err, r, "attach the root") : 0;
}

int rootfs_mount(struct rootfs *rootfs, const struct rootfs_context *context,
		 struct masu_error *err)
{
	rootfs->child.context = *context;
	int r = attach_root(rootfs, err);
	if (r < 0)
		return r;
	trace_mark("rootfs: attach");
	/* Modes below are meant as they are written. */
	mode_t mask = umask(0);
	for (size_t i = 0; r == 0 && i < rootfs->spec->mount_count; i++)
		r = mount_entry(rootfs, i, err);
	trace_mark("rootfs: mounts");
	if (r == 0 && !rootfs->child.host_dev)
		r = devices_create(rootfs, err);
	umask(mask);
	trace_mark("rootfs: devices");
	return r;
}

int rootfs_fd(const struct rootfs *rootfs)
{
	return rootfs->child.root_fd;
}

int rootfs_enter(struct rootfs *rootfs, struct masu_error *err)
{
	int r = enter_root(rootfs, err);
	if (r < 0)
		return r;
	trace_mark("rootfs: enter");
	return 0;
}

/* What linux.rootfsPropagation still asks for; slave and private were set on the clone. */
static int finish_propagation(const struct rootfs *rootfs, struct masu_error *err)
{
	unsigned long wanted = rootfs->spec->rootfs_propagation;
	unsigned long type = wanted & (MS_SHARED | MS_UNBINDABLE);
	if (!type)
		return 0;
	if (type & MS_SHARED) {
		/* A peer group of its own, not the host's: leave the master first. */
		int r = mount_set_attributes(rootfs->child.root_fd, false, 0, 0, MS_PRIVATE);
		if (r < 0)
			return error_errno(err, r, "linux.rootfsPropagation");
	}
	int r = mount_set_attributes(rootfs->child.root_fd, wanted & MS_REC, 0, 0, type);
	return r < 0 ? error_errno(err, r, "linux.rootfsPropagation") : 0;
}

static int make_readonly(const struct rootfs *rootfs, struct masu_error *err)
{
	for (size_t i = 0; i < rootfs->child.readonly_count; i++) {
		int r = mount_set_attributes(rootfs->child.readonly_fds[i], false,
					     MOUNT_ATTR_RDONLY, 0, 0);
		if (r < 0)
			return error_errno(err, r, "make a mount read-only");
	}
	if (!rootfs->spec->root_readonly)
		return 0;
	int r = mount_set_attributes(rootfs->child.root_fd, false, MOUNT_ATTR_RDONLY, 0, 0);
	return r < 0 ? error_errno(err, r, "make the root read-only") : 0;
}

int rootfs_finish(struct rootfs *rootfs, struct masu_error *err)
{
	int r = readonly_paths(rootfs, err);
	if (r == 0)
		r = mask_paths(rootfs, err);
	if (r == 0)
		r = make_readonly(rootfs, err);
	if (r == 0)
		r = finish_propagation(rootfs, err);
	trace_mark("rootfs: finish");
	return r;
}
