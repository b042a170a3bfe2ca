#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/lxc/lxc.h"
#include "exec/more/root.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

int lxc_sources_open(struct lxc_dir *dir, const struct exec_request *request, const char *root,
		     struct lxc_sources *ret, struct masu_error *err)
{
	size_t count = request->spec->mount_count;
	struct lxc_sources sources = { .request = request, .root = root };
	sources.path = arena_printf(&dir->arena, "%s/" LXC_SOURCES, dir->path);
	sources.trees = arena_array(&dir->arena, int, count);
	if (!sources.path || !sources.trees)
		return error_set(err, -ENOMEM, "out of memory");
	if (mkdirat(dir->fd, LXC_SOURCES, 0700) < 0 && errno != EEXIST)
		return error_errno(err, -errno, "%s", sources.path);
	for (size_t i = 0; i < count; i++)
		sources.trees[i] = -1;
	*ret = sources;
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++)
		if (request->spec->mounts[i].bind)
			r = root_source(&request->spec->mounts[i], "lxc", &sources.trees[i], err);
	if (r < 0)
		lxc_sources_close(ret);
	return r;
}

void lxc_sources_close(struct lxc_sources *sources)
{
	for (size_t i = 0; sources->trees && i < sources->request->spec->mount_count; i++)
		cleanup_close(&sources->trees[i]);
}

/* A memory file system at @path, that goes with the mount namespace. */
static int cover(const char *path, struct masu_error *err)
{
	return mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0
		       ? error_errno(err, -errno, "cannot mount on %s", path)
		       : 0;
}

static int make_place(int root_fd, const struct oci_mount *mount, bool file, struct masu_error *err)
{
	_cleanup_close_ int place = fs_target_in(root_fd, mount->destination, file, 0755);
	return place < 0 ? error_errno(err, place, "mount %s", mount->destination) : 0;
}

static int attach_one(const struct lxc_sources *sources, int dir_fd, int root_fd, size_t index,
		      struct masu_error *err)
{
	const struct exec_request *request = sources->request;
	const struct oci_mount *mount = &request->spec->mounts[index];
	bool groups = mount->type && streq(mount->type, "cgroup") && request->cgroup;
	struct stat st = { .st_mode = S_IFDIR };
	int tree = sources->trees[index], r = 0;
	char name[24];
	if (tree >= 0 && fstat(tree, &st) < 0)
		return error_errno(err, -errno, "mount %s", mount->destination);
	if (!str_after(mount->destination, "/dev/") && !str_after(mount->destination, "/sys/"))
		r = make_place(root_fd, mount, !S_ISDIR(st.st_mode), err);
	if (r < 0 || (tree < 0 && !groups))
		return r;
	snprintf(name, sizeof(name), "%zu", index);
	_cleanup_close_ int target = fs_target_in(dir_fd, name, !S_ISDIR(st.st_mode), 0755);
	if (target < 0)
		return error_errno(err, target, "%s/%s", sources->path, name);
	/* The groups' own directories are what their namespace shows as its roots. */
	if (groups)
		return cgroup_mount(request->cgroup, target, mount, false,
				    cgroup_mount_writable(request->spec, mount), err);
	r = sys_move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	return r < 0 ? error_errno(err, r, "mount %s", mount->destination) : 0;
}

int lxc_sources_attach(const struct lxc_sources *sources, struct masu_error *err)
{
	int r = cover(sources->path, err);
	if (r < 0)
		return r;
	/* lint: ok, the engine's own path */
	_cleanup_close_ int dir_fd =
		open(sources->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir_fd < 0)
		return error_errno(err, -errno, "%s", sources->path);
	/* lint: ok, as above */
	_cleanup_close_ int root_fd = open(sources->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return error_errno(err, -errno, "%s", sources->root);
	/* Inside it cannot be made any more; what is wrong with it is told when it is entered. */
	_cleanup_close_ int cwd =
		sources->request->spec->root_readonly
			? fs_mkdirs_in(root_fd, sources->request->spec->process.cwd, 0755)
			: -1;
	for (size_t i = 0; i < sources->request->spec->mount_count && r == 0; i++)
		r = attach_one(sources, dir_fd, root_fd, i, err);
	return r < 0 ? r : cover("/sys/fs/cgroup", err);
}
