/*
 * The aufs driver, for kernels that are patched with it: overlay's predecessor, with up to 127
 * branches. A layer is a directory of its files in which .wh.NAME hides a name; a container is a
 * writable branch above its layers. What has changed is seen by comparing the two unions.
 */
#include "storage/aufs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "state/trash.h"
#include "storage/drivers.h"
#include "storage/exporter.h"
#include "storage/usage.h"
#include "storage/whole.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define LAYERS	     "layers/aufs"
#define DIR_NAME     "aufs" /* in a container's directory */
#define BRANCH	     DIR_NAME "/rw"
#define PLACE	     DIR_NAME "/merged" /* where it is mounted until it is taken off */
#define OPTIONS_MAX  4096		/* mount(2) */
#define MAX_DEPTH    512
#define FILESYSTEMS  65536
#define OPAQUE_XATTR "trusted.overlay.opaque"

int aufs_options(int upper, const int *lower, size_t count, struct buf *ret)
{
	int r = buf_printf(ret, "br:");
	if (r == 0 && upper >= 0)
		r = buf_printf(ret, "/proc/self/fd/%d=rw", upper);
	/* Whiteouts of layers count only in branches that are said to have them. */
	for (size_t i = 0; r == 0 && i < count; i++)
		r = buf_printf(ret, "%s/proc/self/fd/%d=ro+wh", i || upper >= 0 ? ":" : "",
			       lower[i]);
	/* Where it keeps inode numbers must not be a branch; and layers do not change. */
	if (r == 0)
		r = buf_printf(ret, ",xino=/dev/shm/.aufs.xino,dio,udba=none");
	return r < 0 || ret->len >= OPTIONS_MAX ? -E2BIG : 0;
}

static bool supported(int root_fd, const char **reason)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, FILESYSTEMS + 1);
	if (fs_read_at(AT_FDCWD, "/proc/filesystems", FILESYSTEMS, &text) == 0 &&
	    strstr(buf_str(&text), "\taufs\n"))
		return true;
	*reason = "this kernel has no aufs, and none of Debian's has: it is a patch "
		  "(aufs-standalone) that a kernel is built with; use overlay";
	return false;
}

/* ---- layers ---- */

static int hide(int dir, const char *name)
{
	char mark[LIMIT_COMPONENT + sizeof(WHITEOUT) + 1];
	int r = str_format(mark, sizeof(mark), WHITEOUT "%s", name);
	if (r < 0 || strlen(mark) > LIMIT_COMPONENT)
		return -ENAMETOOLONG;
	if (unlinkat(dir, name, 0) < 0)
		return -errno;
	int fd = openat(dir, mark, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int make_opaque(int fd)
{
	char value;
	if (fgetxattr(fd, OPAQUE_XATTR, &value, 1) != 1 || value != 'y')
		return 0;
	int mark = openat(fd, WHITEOUT_OPAQUE, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC,
			  0444);
	if (mark < 0)
		return -errno;
	close(mark);
	return fremovexattr(fd, OPAQUE_XATTR) < 0 ? -errno : 0;
}

static int convert(int fd, unsigned depth)
{
	_cleanup_arena_ struct arena arena;
	const char **names;
	size_t count;
	struct stat st, directory;
	arena_init(&arena, 256u << 20);
	int r = depth > MAX_DEPTH ? -ELOOP : fs_names(fd, &arena, &names, &count);
	if (r == 0 && fstat(fd, &directory) < 0)
		r = -errno;
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0))
			r = hide(fd, names[i]);
		if (!S_ISDIR(st.st_mode))
			continue;
		_cleanup_close_ int below =
			openat(fd, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = below < 0 ? -errno : convert(below, depth + 1);
	}
	if (r == 0)
		r = make_opaque(fd);
	const struct timespec times[2] = { directory.st_atim, directory.st_mtim };
	return r == 0 && futimens(fd, times) < 0 ? -errno : r;
}

int aufs_convert(int fd)
{
	return convert(fd, 0);
}

static int finish(struct storage *s, const struct storage_layer *layer, int staged_fd,
		  struct storage_total *ret_total, struct masu_error *err)
{
	_cleanup_close_ int diff =
		openat(staged_fd, OVERLAY_DIFF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = diff < 0 ? -errno : aufs_convert(diff);
	if (r == 0)
		r = storage_usage(diff, ".", &ret_total->bytes, &ret_total->inodes);
	return r < 0 ? error_errno(err, r, "layer") : 0;
}

static int open_aufs(int root_fd, struct storage **ret, struct masu_error *err)
{
	int r = overlay_open_layers(root_fd, LAYERS, ret, err);
	if (r == 0)
		(*ret)->finish = finish;
	return r;
}

/* ---- containers ---- */

/* Looks like the root of the topmost layer: the union takes that from its first branch. */
static int create(struct storage *s, const struct storage_mount_request *r, struct masu_error *err)
{
	struct stat st = { .st_mode = 0755 };
	_cleanup_close_ int top = -1, branch = -1;
	int result =
		r->chain_count ? overlay_layer_open(s, r->chain_ids[r->chain_count - 1], &top) : 0;
	if (result == 0 && r->size)
		return error_set(err, -ENOTSUP,
				 "--storage-opt size is not supported by storage driver aufs");
	if (result == 0 && top >= 0 && fstat(top, &st) < 0)
		result = -errno;
	if (result == 0 && (mkdirat(r->container_fd, DIR_NAME, 0700) < 0 ||
			    mkdirat(r->container_fd, BRANCH, 0700) < 0))
		result = -errno;
	if (result == 0)
		branch = openat(r->container_fd, BRANCH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (result == 0 && (branch < 0 || fchown(branch, st.st_uid, st.st_gid) < 0 ||
			    fchmod(branch, st.st_mode & 07777) < 0))
		result = -errno;
	return result < 0 ? error_errno(err, result, "container %.12s: writable layer",
					r->container_id)
			  : 0;
}

/* Returns @result. */
static int close_all(const int *fds, size_t count, int result)
{
	while (count > 0)
		close(fds[--count]);
	return result;
}

/* @at: a directory to be mounted on for a moment. */
static int mount_union(struct storage *s, const struct storage_mount_request *r, int upper, int at,
		       int *ret_fd)
{
	_cleanup_buf_ struct buf options;
	char place[FS_PROC_FD_MAX];
	int lower[STORAGE_MAX_LAYERS], result = 0;
	size_t count = 0;
	if (r->chain_count > STORAGE_MAX_LAYERS)
		return -E2BIG;
	buf_init(&options, 2 * OPTIONS_MAX);
	while (result == 0 && count < r->chain_count) {
		result = overlay_layer_open(s, r->chain_ids[r->chain_count - 1 - count],
					    &lower[count]);
		count += result == 0;
	}
	if (result == 0)
		result = aufs_options(upper, lower, count, &options);
	fs_proc_fd(at, place);
	if (result < 0)
		return close_all(lower, count, result);
	/* lint: ok, a descriptor: aufs is older than fsopen(2). */
	if (mount("none", place, "aufs", upper < 0 ? MS_RDONLY : 0, buf_str(&options)) < 0)
		return close_all(lower, count, -errno);
	const struct mount_attr attr = { .attr_set = upper < 0 ? MOUNT_ATTR_RDONLY : 0,
					 .propagation = MS_PRIVATE };
	return close_all(lower, count, fs_take_off(place, &attr, ret_fd));
}

static int mount_aufs(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
		      struct masu_error *err)
{
	bool readonly = r->flags & STORAGE_READONLY;
	int dir = readonly ? s->layers_fd : r->container_fd;
	const char *place = readonly ? OVERLAY_EMPTY : PLACE;
	if (mkdirat(dir, place, 0755) < 0 && errno != EEXIST)
		return error_errno(err, -errno, "container %.12s: aufs", r->container_id);
	_cleanup_close_ int at = openat(dir, place, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int upper =
		readonly ? -1 : openat(r->container_fd, BRANCH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result =
		at < 0 || (!readonly && upper < 0) ? -errno : mount_union(s, r, upper, at, ret_fd);
	if (result == -ENOENT)
		return error_set(err, result,
				 "container %.12s: a layer of its image is missing; load or "
				 "import the image again",
				 r->container_id);
	return result < 0 ? error_errno(err, result, "container %.12s: aufs", r->container_id) : 0;
}

static int remove_aufs(struct storage *s, const char *container_id, int container_fd,
		       struct masu_error *err)
{
	int r = trash_move(s->root_fd, container_fd, DIR_NAME, container_id);
	if (r < 0 && r != -ENOENT)
		return error_errno(err, r, "container %.12s: writable layer", container_id);
	return 0;
}

/* ---- what has changed ---- */

static int open_unions(struct storage *s, const struct storage_mount_request *r, int *ret_upper,
		       int *ret_lower, struct masu_error *err)
{
	struct storage_mount_request layers = *r;
	_cleanup_close_ int upper = -1, lower = -1;
	layers.flags = STORAGE_READONLY;
	int result = mount_aufs(s, r, &upper, err);
	if (result == 0 && r->chain_count)
		result = mount_aufs(s, &layers, &lower, err);
	if (result < 0)
		return result;
	*ret_upper = openat(upper, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*ret_lower = lower < 0 ? -1 : openat(lower, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_upper < 0 || (lower >= 0 && *ret_lower < 0)
		       ? error_errno(err, -errno, "container %.12s: aufs", r->container_id)
		       : 0;
}

static int changes(struct storage *s, const struct storage_mount_request *r, struct arena *arena,
		   struct storage_change **ret, size_t *ret_count, struct masu_error *err)
{
	_cleanup_close_ int upper = -1, lower = -1;
	int result = open_unions(s, r, &upper, &lower, err);
	const struct overlay_comparison both = {
		.storage = s, .request = r, .upper = upper, .lower = lower, .hidden = true
	};
	return result < 0 ? result : overlay_compare(&both, arena, ret, ret_count, err);
}

int aufs_export(struct storage *s, const struct storage_export_request *request,
		struct tree_sink *sink, struct masu_error *err)
{
	_cleanup_close_ int upper = -1, lower = -1;
	int r = open_unions(s, &request->layers, &upper, &lower, err);
	return r < 0 ? r : whole_tell(s, request, upper, lower, NULL, sink, err);
}

static int usage(struct storage *s, int container_fd, uint64_t *ret_bytes, uint64_t *ret_inodes,
		 struct masu_error *err)
{
	int r = storage_usage(container_fd, BRANCH, ret_bytes, ret_inodes);
	return r < 0 ? error_errno(err, r, "size of the writable layer") : 0;
}

static int paths(const char *root, const char *container_id, const char *const *chain_ids,
		 struct arena *arena, struct storage_paths *ret)
{
	_cleanup_buf_ struct buf lower;
	size_t count = 0;
	buf_init(&lower, 0);
	while (chain_ids && chain_ids[count])
		count++;
	for (size_t i = count; i-- > 0;)
		buf_printf(&lower, "%s%s/" LAYERS "/%s/" OVERLAY_DIFF, lower.len ? ":" : "", root,
			   chain_ids[i]);
	const struct storage_paths found = {
		.lower = buf_error(&lower) ? NULL : arena_strdup(arena, buf_str(&lower)),
		.upper = arena_printf(arena, "%s/containers/%s/" BRANCH, root, container_id),
		.work = "",
	};
	if (!found.lower || !found.upper)
		return -ENOMEM;
	*ret = found;
	return 0;
}

const struct storage_ops aufs_ops = {
	.name = "aufs",
	.within_container = true,
	.supported = supported,
	.open = open_aufs,
	.close = overlay_close,
	.layer_prepare = overlay_layer_prepare,
	.layer_commit = overlay_layer_commit,
	.layer_abort = overlay_layer_abort,
	.layer_open = overlay_layer_open,
	.layer_sweep = overlay_layer_sweep,
	.layer_exists = overlay_layer_exists,
	.layer_size = overlay_layer_size,
	.layer_list = overlay_layer_list,
	.layer_remove = overlay_layer_remove,
	.layer_restore = overlay_layer_restore,
	.layer_verify = whole_layer_verify,
	.create = create,
	.mount = mount_aufs,
	.remove = remove_aufs,
	.changes = changes,
	.paths = paths,
	.usage = usage,
};
