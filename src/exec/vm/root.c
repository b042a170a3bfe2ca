/* The container's files at a path, for virtiofsd to share. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/more/root.h"
#include "exec/vm/vm.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

static int attach_bind(int root_fd, const struct oci_mount *mount, struct masu_error *err)
{
	struct stat st;
	_cleanup_close_ int tree = -1;
	int r = root_source(mount, "vm", &tree, err);
	if (r < 0)
		return r;
	if (fstat(tree, &st) < 0)
		return error_errno(err, -errno, "mount %s", mount->source);
	_cleanup_close_ int target =
		fs_target_in(root_fd, mount->destination, !S_ISDIR(st.st_mode), 0755);
	if (target < 0)
		return error_errno(err, target, "mount %s", mount->destination);
	r = sys_move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	return r < 0 ? error_errno(err, r, "mount %s", mount->destination) : 0;
}

/* The guest mounts on directories, and it is not to make any in a root that is read-only. */
static int make_place(int root_fd, const char *path, struct masu_error *err)
{
	_cleanup_close_ int place = fs_target_in(root_fd, path, false, 0755);
	return place < 0 ? error_errno(err, place, "mount %s", path) : 0;
}

static int make_mounts(const struct exec_request *request, int root_fd, struct masu_error *err)
{
	static const char *const places[] = { "/proc", "/sys", "/dev" };
	int r = 0;
	for (size_t i = 0; i < ARRAY_SIZE(places) && r == 0; i++)
		r = make_place(root_fd, places[i], err);
	for (size_t i = 0; i < request->spec->mount_count && r == 0; i++) {
		const struct oci_mount *mount = &request->spec->mounts[i];
		bool memory = mount->type && streq(mount->type, "tmpfs");
		if (mount->bind)
			r = attach_bind(root_fd, mount, err);
		else if (memory && mount->copy_up)
			r = error_set(err, -ENOTSUP,
				      "mount %s: the vm driver has no volumes of memory",
				      mount->destination);
		else if (memory && !str_after(mount->destination, "/dev"))
			r = make_place(root_fd, mount->destination, err);
	}
	return r;
}

int vm_root_make(const struct exec_request *request, const char *path, struct masu_error *err)
{
	int r = root_attach(request->rootfs_fd, path, err);
	if (r < 0)
		return r;
	/* lint: ok, the engine's own path */
	_cleanup_close_ int root_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root_fd < 0)
		return error_errno(err, -errno, "%s", path);
	r = make_mounts(request, root_fd, err);
	struct mount_attr readonly = { .attr_set = MOUNT_ATTR_RDONLY };
	if (r == 0 && request->spec->root_readonly &&
	    (r = sys_mount_setattr(root_fd, "", AT_EMPTY_PATH, &readonly)) < 0)
		error_errno(err, r, "cannot make the root read-only");
	return r;
}
