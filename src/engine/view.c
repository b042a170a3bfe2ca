#include "engine/view.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/internal.h"
#include "engine/volumes.h"
#include "state/record.h"
#include "sys/fs.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

#define ETC_FILES 3

void container_view_close(struct container_view *view)
{
	cleanup_close(&view->root_fd);
	cleanup_close(&view->layer_fd);
	cleanup_close(&view->lock_fd);
}

/* ---- a container that runs ---- */

/*
 * Where this process is, to come back to: setns(2) takes root and working directory along. A
 * deleted working directory cannot be opened (-1) and is not come back to.
 */
struct place {
	int ns, root, cwd;
};

static void place_close(struct place *place)
{
	cleanup_close(&place->ns);
	cleanup_close(&place->root);
	cleanup_close(&place->cwd);
}

static int place_remember(struct place *ret)
{
	ret->ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	ret->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	ret->cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return ret->ns < 0 || ret->root < 0 ? -errno : 0;
}

static int place_return(const struct place *place)
{
	if (setns(place->ns, CLONE_NEWNS) < 0 || fchdir(place->root) < 0 || chroot(".") < 0)
		return -errno;
	return place->cwd >= 0 && fchdir(place->cwd) < 0 ? -errno : 0;
}

/*
 * Enters the mount namespace just to open its root. Not /proc/<pid>/root: the process may have
 * changed its root since, and a clone of the mount alone is to be had inside only.
 */
static int open_joined(int pidfd, unsigned flags, int *ret)
{
	struct place place __attribute__((cleanup(place_close))) = { -1, -1, -1 };
	int r = place_remember(&place);
	if (r < 0)
		return r;
	if (setns(pidfd, CLONE_NEWNS) < 0)
		return -errno;
	_cleanup_close_ int root = flags & VIEW_MOUNTS
					   ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)
					   : sys_open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE);
	int opened = root < 0 ? (flags & VIEW_MOUNTS ? -errno : root) : 0;
	r = place_return(&place);
	if (r == 0 && opened == 0)
		*ret = take_fd(&root);
	return r < 0 ? r : opened;
}

/* 1: it has ended. */
static int view_running(const struct container *container, unsigned flags,
			struct container_view *ret, struct masu_error *err)
{
	_cleanup_close_ int pidfd = proc_open(container->pid, container->pid_start_time);
	int r = pidfd < 0 ? pidfd : open_joined(pidfd, flags, &ret->root_fd);
	if (r == -ESRCH)
		return 1;
	return r < 0 ? error_errno(err, r, "cannot look into container %s", container->name) : 0;
}

/* ---- one that does not ---- */

struct attached {
	int fd;
	const char *target;
};

static void attached_close(struct attached *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		cleanup_close(&list[i].fd);
}

/* Detached copies of what is mounted when it runs, each by a descriptor. -1: nothing to mount. */
static int clone_mount(struct engine *engine, struct arena *arena, const struct mount_config *mount,
		       int *ret_fd, struct masu_error *err)
{
	struct volume_source source;
	struct mount_attr readonly = { .attr_set = MOUNT_ATTR_RDONLY };
	*ret_fd = -1;
	if (mount->kind == MOUNT_TMPFS)
		return 0;
	int r = volumes_source(engine, arena, mount, &source, err);
	if (r < 0 || !source.device)
		return r;
	_cleanup_close_ int part = -1;
	if (mount->subpath) {
		r = volumes_open_subpath(mount, &source, O_PATH, &part, err);
		if (r < 0)
			return r;
	}
	_cleanup_close_ int fd =
		sys_open_tree(part < 0 ? AT_FDCWD : part, part < 0 ? source.device : "",
			      OPEN_TREE_CLONE | (source.recursive ? AT_RECURSIVE : 0) |
				      (part < 0 ? 0 : AT_EMPTY_PATH));
	if (fd < 0)
		return error_errno(err, fd, "mount %s: %.300s", mount->target, source.device);
	bool sealed = mount->readonly;
	for (const char **word = source.words; *word; word++)
		sealed |= streq(*word, "ro");
	if (sealed && (r = sys_mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &readonly)) < 0)
		return error_errno(err, r, "mount %s: read-only", mount->target);
	*ret_fd = take_fd(&fd);
	return 0;
}

static bool is_mounted_over(const struct container_config *config, const char *target)
{
	for (size_t i = 0; i < config->mount_count; i++)
		if (streq(config->mounts[i].target, target))
			return true;
	return false;
}

static size_t clone_etc_files(const struct container *container, struct attached *list)
{
	static const char *const files[ETC_FILES][2] = { { "hosts", "/etc/hosts" },
							 { "hostname", "/etc/hostname" },
							 { "resolv.conf", "/etc/resolv.conf" } };
	size_t count = 0;
	for (size_t i = 0; i < ETC_FILES; i++) {
		if (is_mounted_over(&container->config, files[i][1]))
			continue;
		int fd = sys_open_tree(container->dir_fd, files[i][0], OPEN_TREE_CLONE);
		if (fd >= 0) /* written at the first start */
			list[count++] = (struct attached) { fd, files[i][1] };
	}
	return count;
}

static int clone_mounts(struct engine *engine, struct arena *arena,
			const struct container *container, struct attached *list, size_t *ret_count,
			struct masu_error *err)
{
	const struct mount_config **sorted;
	int r = volumes_by_depth(arena, &container->config, &sorted, err);
	*ret_count = r < 0 ? 0 : clone_etc_files(container, list);
	for (size_t i = 0; r == 0 && i < container->config.mount_count; i++) {
		int fd = -1;
		r = clone_mount(engine, arena, sorted[i], &fd, err);
		if (r == 0 && fd >= 0)
			list[(*ret_count)++] = (struct attached) { fd, sorted[i]->target };
	}
	return r;
}

static int attach(int root, const struct attached *what, struct masu_error *err)
{
	struct stat st;
	if (fstat(what->fd, &st) < 0)
		return error_errno(err, -errno, "mount %s", what->target);
	_cleanup_close_ int target = fs_target_in(root, what->target, !S_ISDIR(st.st_mode), 0755);
	int r = target < 0 ? target
			   : sys_move_mount(what->fd, "", target, "",
					    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	return r < 0 ? error_errno(err, r, "mount %s", what->target) : 0;
}

/*
 * Mounts hang together only within a mount namespace: this process moves into a new one, where
 * nothing of what it does reaches another. The root then lies on the container's own directory, not
 * on "/": a ".." there would lead into it.
 */
static int assemble(struct engine *engine, const char *id, int root, const struct attached *list,
		    size_t count, struct masu_error *err)
{
	struct mount_attr private = { .propagation = MS_PRIVATE };
	char path[PATH_MAX], below[CONTAINER_PATH_MAX];
	int r = str_format(path, sizeof(path), "%s/%s", engine->root, store_path(id, below));
	if (r == 0 && unshare(CLONE_NEWNS) < 0)
		r = -errno;
	if (r == 0)
		r = sys_mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &private);
	if (r == 0)
		r = sys_move_mount(root, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
	if (r < 0)
		return error_errno(err, r, "cannot mount the container's root");
	for (size_t i = 0; r == 0 && i < count; i++)
		r = attach(root, &list[i], err);
	return r;
}

static int mount_stopped(struct engine *engine, struct arena *arena,
			 const struct container *container, unsigned flags, int *ret_root,
			 struct masu_error *err)
{
	const struct storage_ops *ops;
	struct storage *storage;
	size_t count = 0;
	struct storage_mount_request request = container_layers(container);
	request.flags = container->config.auto_remove ? STORAGE_VOLATILE : 0;
	struct mount_attr readonly = { .attr_set = MOUNT_ATTR_RDONLY };
	_cleanup_close_ int root = -1;
	struct attached *list =
		arena_array(arena, struct attached, container->config.mount_count + ETC_FILES);
	int r = list ? container_storage(engine, container, &ops, &storage, err)
		     : error_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = ops->mount(storage, &request, &root, err);
	/* Before the caller puts something into them, which would keep the image's content out. */
	if (r == 0 && (flags & VIEW_MOUNTS))
		r = volumes_populate(engine, container, root, err);
	if (r == 0 && (flags & VIEW_MOUNTS)) {
		r = clone_mounts(engine, arena, container, list, &count, err);
		if (r == 0 && count)
			r = assemble(engine, container->id, root, list, count, err);
		attached_close(list, count);
	}
	if (r == 0 && (flags & VIEW_MOUNTS) && container->config.readonly_rootfs &&
	    (r = sys_mount_setattr(root, "", AT_EMPTY_PATH, &readonly)) < 0)
		error_errno(err, r, "cannot make the container's root read-only");
	if (r == 0)
		*ret_root = take_fd(&root);
	return r;
}

static bool runs(const struct container *container)
{
	return container->pid && container->status != CONTAINER_CREATED;
}

/* With the lock nobody starts it; 1: somebody has, before. */
static int view_stopped(struct engine *engine, struct arena *arena, const char *id, unsigned flags,
			struct container_view *ret, struct masu_error *err)
{
	struct container container;
	int r = store_load(engine, arena, id, &container, err);
	if (r < 0)
		return r;
	if (runs(&container)) {
		r = 1;
	} else {
		/* What create has prepared has the root mounted. */
		r = container_unpark(&container, err);
		if (r == 0)
			r = store_lock_layer(&container, &ret->layer_fd, err);
		if (r == 0)
			r = mount_stopped(engine, arena, &container, flags, &ret->root_fd, err);
	}
	container_close(&container);
	return r;
}

static int view_either(struct engine *engine, struct arena *arena, const char *id, unsigned flags,
		       struct container_view *ret, struct masu_error *err)
{
	struct container container;
	int r = engine_load(engine, arena, id, &container, err);
	if (r < 0)
		return r;
	r = runs(&container) ? view_running(&container, flags, ret, err) : 1;
	_cleanup_close_ int lock =
		r == 1 ? record_lock(container.dir_fd, RECORD_LOCK_EXCLUSIVE, err) : -1;
	container_close(&container);
	if (r != 1)
		return r;
	if (lock < 0)
		return lock == -ENOENT ? error_set(err, lock, "No such container: %s", id) : lock;
	r = view_stopped(engine, arena, id, flags, ret, err);
	if (r == 0)
		ret->lock_fd = take_fd(&lock);
	return r;
}

int container_view_open(struct engine *engine, struct arena *arena, const char *id, unsigned flags,
			struct container_view *ret, struct masu_error *err)
{
	struct container_view view = CONTAINER_VIEW_CLOSED;
	int r = 1;
	/* It may end and be started between the look at it and its lock. */
	for (int tries = 0; r == 1 && tries < 8; tries++)
		r = view_either(engine, arena, id, flags, &view, err);
	if (r == 0)
		*ret = view;
	else
		container_view_close(&view);
	return r == 1 ? error_set(err, -EAGAIN, "container %.12s starts and ends all the time", id)
		      : r;
}
