/*
 * The overlay driver: container roots. The mount is made with fsopen(2) and stays detached, so it
 * needs no mount point; directories are named through /proc/self/fd, so that no length of a path
 * meets the 4096 bytes that mount(2) allows for options.
 *
 * What an upper directory means does not depend on the kernel's defaults: index is off, and
 * metacopy and redirect_dir, which come together, are on for a writable layer, so that chown of a
 * tree and rename of a directory copy no data. Who reads the upper directory (changes, export)
 * reads what is only named there through overlay_merged(). Layers have none of those attributes:
 * the unpacker drops them, and where only layers are mounted they would mean nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "state/trash.h"
#include "storage/drivers.h"
#include "storage/overlay.h"
#include "storage/usage.h"
#include "sys/fs.h"
#include "sys/proc.h"
#include "sys/project_quota.h"
#include "sys/syscalls.h"

#define UPPER OVERLAY_UPPER
#define WORK  "overlay/work"
/* Set by a volatile mount and never removed by the kernel: it refuses the directory from then on.
 */
#define VOLATILE_MARK WORK "/work/incompat"

/* On the container's overlay/: the boot in which it was last mounted volatile. */
#define BOOT_XATTR "trusted.masu.boot"

#define FS_LOG_MAX	    256
#define FSCONFIG_STRING_MAX 255

bool overlay_supported(int root_fd, const char **reason)
{
	if (fs_is_type(root_fd, OVERLAYFS_SUPER_MAGIC)) {
		*reason = "the root directory is itself on overlay, which cannot hold the writable "
			  "layer of another overlay; put --root on ext4, xfs, btrfs or tmpfs";
		return false;
	}
	if (fs_is_type(root_fd, NFS_SUPER_MAGIC) || fs_is_type(root_fd, MSDOS_SUPER_MAGIC)) {
		*reason = "the root directory's filesystem has no trusted extended attributes; put "
			  "--root on ext4, xfs, btrfs or tmpfs";
		return false;
	}
	_cleanup_close_ int fs = sys_fsopen("overlay", 0);
	if (fs == -ENODEV) {
		*reason = "this kernel has no overlay filesystem";
		return false;
	}
	return true;
}

int overlay_open_layers(int root_fd, const char *path, struct storage **ret, struct masu_error *err)
{
	_cleanup_close_ int fd = openat(root_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		int r = fs_mkdirs(root_fd, path, 0700);
		if (r < 0)
			return error_errno(err, r, "%s: cannot be made", path);
		fd = openat(root_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return error_errno(err, -errno, "%s", path);
	struct storage *s = malloc(sizeof(*s));
	if (!s)
		return error_set(err, -ENOMEM, "out of memory");
	*s = (struct storage) { .root_fd = root_fd, .layers_fd = take_fd(&fd) };
	*ret = s;
	return 0;
}

static int overlay_open(int root_fd, struct storage **ret, struct masu_error *err)
{
	return overlay_open_layers(root_fd, OVERLAY_DIR, ret, err);
}

void overlay_close(struct storage *s)
{
	if (!s)
		return;
	close(s->layers_fd);
	free(s);
}

/* The root of a container looks like the root of its topmost layer: overlay takes it from upper. */
static int match_root(struct storage *s, const struct storage_mount_request *r, int container_fd)
{
	struct stat st;
	char path[128];
	if (r->chain_count == 0)
		return 0;
	const char *top = r->chain_ids[r->chain_count - 1];
	int result = str_format(path, sizeof(path), "%s/" OVERLAY_DIFF, top);
	if (result < 0)
		return result;
	if (fstatat(s->layers_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		_cleanup_close_ int fd = -1;
		result = errno == ENOENT ? overlay_erofs_open(s, top, &fd) : -errno;
		if (result < 0)
			return result;
		if (fstat(fd, &st) < 0)
			return -errno;
	}
	if ((st.st_uid || st.st_gid) &&
	    fchownat(container_fd, UPPER, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if ((st.st_mode & 07777) != 0755 &&
	    fchmodat(container_fd, UPPER, st.st_mode & 07777, 0) < 0)
		return -errno;
	return 0;
}

static bool cannot_mount_erofs(int code)
{
	return code == -ENODEV || code == -ENOTBLK || code == -EUCLEAN;
}

static int explain_erofs(const struct storage_mount_request *r, int code, struct masu_error *err)
{
	if (code == -EUCLEAN)
		return error_set(err, code,
				 "container %.12s: the index of a layer of its image is damaged; "
				 "run masu system check",
				 r->container_id);
	return error_set(err, code,
			 "container %.12s: a layer of its image is kept as its tar, which this "
			 "kernel cannot mount; boot Linux 6.12 or later with EROFS, or remove the "
			 "image and load it again with --layer-format=dir",
			 r->container_id);
}

/* What both directories are made in: a copy-up renames from one to the other. */
static int limit(const struct storage_mount_request *r, struct masu_error *err)
{
	_cleanup_close_ int dir =
		openat(r->container_fd, "overlay", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = dir < 0 ? error_errno(err, -errno, "writable layer")
			     : project_quota_set(dir, r->size, err);
	return result < 0 ? error_wrap(err, "--storage-opt size") : 0;
}

int overlay_create(struct storage *s, const struct storage_mount_request *r, struct masu_error *err)
{
	if (mkdirat(r->container_fd, "overlay", 0700) < 0)
		return error_errno(err, -errno, "container %.12s: writable layer", r->container_id);
	int limited = r->size ? limit(r, err) : 0;
	if (limited < 0)
		return limited;
	if (mkdirat(r->container_fd, UPPER, 0755) < 0 || mkdirat(r->container_fd, WORK, 0700) < 0)
		return error_errno(err, -errno, "container %.12s: writable layer", r->container_id);
	int result = match_root(s, r, r->container_fd);
	if (cannot_mount_erofs(result))
		return explain_erofs(r, result, err);
	if (result < 0)
		return error_errno(
			err, result,
			"container %.12s: a layer of its image is missing; load or import "
			"the image again",
			r->container_id);
	return 0;
}

/* What the kernel wrote about its refusal, without the level letter; "" when nothing. */
static void kernel_reason(int fs, char ret[FS_LOG_MAX])
{
	char text[FS_LOG_MAX];
	ssize_t len = read(fs, text, sizeof(text) - 1);
	ret[0] = '\0';
	if (len <= 2)
		return;
	while (len > 0 && text[len - 1] == '\n')
		len--;
	text[len] = '\0';
	str_format(ret, FS_LOG_MAX, " (%s)", text + 2);
}

static int set_path(int fs, const char *key, int dirfd, const char *below)
{
	char path[192];
	int r = str_format(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, below);
	return r < 0 ? r : sys_fsconfig(fs, FSCONFIG_SET_STRING, key, path, 0);
}

/*
 * Kept as its tar, or a directory. Asked for first: that costs a system call, and a kernel that is
 * given a directory that is not there writes to its log, which may be a slow console.
 */
static int set_lower(struct storage *s, int fs, const char *chain_id, bool *ret_indexed)
{
	char below[128];
	_cleanup_close_ int root = -1;
	int result = overlay_erofs_open(s, chain_id, &root);
	*ret_indexed |= result == 0;
	if (result == 0)
		return set_path(fs, "lowerdir+", root, "");
	if (result != -ENOENT)
		return result;
	result = str_format(below, sizeof(below), "%s/" OVERLAY_DIFF, chain_id);
	return result < 0 ? result : set_path(fs, "lowerdir+", s->layers_fd, below);
}

/* All layers as one filesystem; -ENOENT where they are not. Alone it would not be enough. */
static int set_merged(struct storage *s, int fs, const struct storage_mount_request *r,
		      bool *ret_indexed)
{
	_cleanup_close_ int root = -1;
	int result = s->merged(s, r->chain_ids[r->chain_count - 1], &root);
	if (result < 0)
		return result;
	*ret_indexed = true;
	result = set_path(fs, "lowerdir+", root, "");
	if (result == 0 && (r->flags & STORAGE_READONLY) &&
	    (mkdirat(s->layers_fd, OVERLAY_EMPTY, 0755) == 0 || errno == EEXIST))
		result = set_path(fs, "lowerdir+", s->layers_fd, OVERLAY_EMPTY);
	return result;
}

/* Topmost first, one call a layer; Linux 6.8 or later, else -EINVAL at the first. */
static int set_lower_one_by_one(struct storage *s, int fs, const struct storage_mount_request *r,
				bool *ret_indexed)
{
	int merged =
		r->flags & OVERLAY_MERGED ? set_path(fs, "lowerdir+", r->container_fd, UPPER) : 0;
	if (merged < 0)
		return merged;
	if (s->merged && r->chain_count) {
		merged = set_merged(s, fs, r, ret_indexed);
		if (merged != -ENOENT)
			return merged;
	}
	for (size_t i = r->chain_count; i-- > 0;) {
		int result = set_lower(s, fs, r->chain_ids[i], ret_indexed);
		if (result < 0)
			return result;
	}
	return r->chain_count ? 0 : set_path(fs, "lowerdir+", s->layers_fd, OVERLAY_EMPTY);
}

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

/*
 * Older kernels take one option for all lower directories, and fsconfig(2) takes 255 bytes of it:
 * each is an open file here, named by its number alone, because the working directory is
 * /proc/self/fd until the mount is made. That is room for about 70 layers.
 */
static int set_lower_together(struct storage *s, int fs, const struct storage_mount_request *r,
			      int *fds, size_t *ret_count)
{
	_cleanup_buf_ struct buf option;
	char below[128];
	int result = 0;
	buf_init(&option, FSCONFIG_STRING_MAX);
	if (r->flags & OVERLAY_MERGED)
		result = buf_printf(&option, "%d/" UPPER, r->container_fd);
	for (size_t i = r->chain_count; i-- > 0 && result == 0;) {
		result = str_format(below, sizeof(below), "%s/" OVERLAY_DIFF, r->chain_ids[i]);
		if (result < 0)
			break;
		int fd = openat(s->layers_fd, below, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			result = overlay_erofs_open(s, r->chain_ids[i], &fd);
		if (fd < 0)
			return result < 0 ? result : -errno;
		fds[(*ret_count)++] = fd;
		result = buf_printf(&option, "%s%d", option.len ? ":" : "", fd);
	}
	if (result == 0 && r->chain_count == 0)
		result = buf_printf(&option, "%s%d/" OVERLAY_EMPTY, option.len ? ":" : "",
				    s->layers_fd);
	return result < 0 ? result
			  : sys_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", option.data, 0);
}

static int set_upper(int fs, const struct storage_mount_request *r)
{
	int result = set_path(fs, "upperdir", r->container_fd, UPPER);
	if (result == 0)
		result = set_path(fs, "workdir", r->container_fd, WORK);
	if (result == 0 && (r->flags & STORAGE_VOLATILE))
		result = sys_fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0);
	return result;
}

static int set_options(int fs, const struct storage_mount_request *r)
{
	/* In this order: metacopy is refused as long as redirects are off. */
	static const char *const names[] = { "index", "redirect_dir", "metacopy" };
	bool resolve = !(r->flags & STORAGE_READONLY) || (r->flags & OVERLAY_MERGED);
	/* What df and mount show as the device, as with Docker. */
	int result = sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", "overlay", 0);
	for (size_t i = 0; i < ARRAY_SIZE(names) && result == 0; i++)
		result = sys_fsconfig(fs, FSCONFIG_SET_STRING, names[i],
				      resolve && i > 0 ? "on" : "off", 0);
	if (result == 0 && r->mount_label)
		result = sys_fsconfig(fs, FSCONFIG_SET_STRING, "context", r->mount_label, 0);
	return result;
}

/* One try; *step says what the kernel refused. */
static int try_mount(struct storage *s, const struct storage_mount_request *r, bool one_by_one,
		     int *ret_fd, const char **step, char reason[FS_LOG_MAX])
{
	int lower[STORAGE_MAX_LAYERS];
	size_t lower_count = 0;
	bool writable = !(r->flags & STORAGE_READONLY), indexed = false;
	_cleanup_close_ int fs = sys_fsopen("overlay", 0);
	*step = "fsopen(overlay)";
	if (fs < 0)
		return fs;
	*step = "lower directories";
	int result = one_by_one ? set_lower_one_by_one(s, fs, r, &indexed)
				: set_lower_together(s, fs, r, lower, &lower_count);
	if (result == 0) {
		*step = "options";
		result = set_options(fs, r);
	}
	/* So that files of other filesystems than the writable layer's are on the same device. */
	if (result == 0 && indexed)
		result = sys_fsconfig(fs, FSCONFIG_SET_STRING, "xino", "on", 0);
	if (result == 0 && writable)
		result = set_upper(fs, r);
	if (result == 0) {
		*step = "mount";
		result = sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	}
	close_all(lower, lower_count);
	if (result == 0)
		result = sys_fsmount(fs, 0, writable ? 0 : MOUNT_ATTR_RDONLY);
	if (result < 0) {
		kernel_reason(fs, reason);
		return result;
	}
	*ret_fd = result;
	return 0;
}

/* As try_mount(), from within /proc/self/fd. */
static int try_older_mount(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
			   const char **step, char reason[FS_LOG_MAX])
{
	_cleanup_close_ int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC); /* lint: ok */
	if (before < 0 || chdir("/proc/self/fd") < 0)
		return -errno;
	int result = try_mount(s, r, false, ret_fd, step, reason);
	if (fchdir(before) < 0 && result == 0) {
		close(*ret_fd);
		result = -errno;
	}
	return result;
}

/*
 * A volatile layer that was mounted before. As long as the machine has not gone down what is there
 * is what was written, on the disk or in memory; then the kernel's mark may go. Otherwise it may be
 * anything: -ESTALE.
 */
static int allow_again(const struct storage_mount_request *r, const char *boot,
		       struct masu_error *err)
{
	char path[FS_PROC_FD_MAX + sizeof("/overlay")], proc[FS_PROC_FD_MAX];
	char then[BOOT_ID_SIZE] = "";
	str_format(path, sizeof(path), "%s/overlay", fs_proc_fd(r->container_fd, proc));
	if (getxattr(path, BOOT_XATTR, then, sizeof(then) - 1) > 0 && !streq(then, boot))
		return error_set(err, -ESTALE,
				 "container %.12s: the machine went down while its writable layer "
				 "was volatile (--rm), so files in it may be empty or old; remove "
				 "it, or remove containers/%s/" VOLATILE_MARK
				 " to use it nevertheless",
				 r->container_id, r->container_id);
	int result = fs_remove_tree(r->container_fd, VOLATILE_MARK);
	return result < 0 ? error_errno(err, result, "container %.12s: " VOLATILE_MARK,
					r->container_id)
			  : 0;
}

/* Before each volatile mount. Without extended attributes there are no volatile mounts. */
static int begin_volatile(const struct storage_mount_request *r, struct masu_error *err)
{
	char path[FS_PROC_FD_MAX + sizeof("/overlay")], proc[FS_PROC_FD_MAX], boot[BOOT_ID_SIZE];
	int result = proc_boot_id(boot);
	if (result == 0 && faccessat(r->container_fd, VOLATILE_MARK, F_OK, 0) == 0) {
		result = allow_again(r, boot, err);
		if (result < 0)
			return result;
	}
	str_format(path, sizeof(path), "%s/overlay", fs_proc_fd(r->container_fd, proc));
	if (result == 0 && setxattr(path, BOOT_XATTR, boot, strlen(boot), 0) < 0)
		result = -errno;
	return result < 0
		       ? error_errno(err, result, "container %.12s: " BOOT_XATTR, r->container_id)
		       : 0;
}

static int mount_overlay(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
			 struct masu_error *err)
{
	const char *step = "lower directories";
	char reason[FS_LOG_MAX] = "";
	bool older = fault_without("overlay-append");
	int result = r->flags & STORAGE_VOLATILE ? begin_volatile(r, err) : 0;
	if (result < 0)
		return result;
	result = older ? -EINVAL : try_mount(s, r, true, ret_fd, &step, reason);
	/* A kernel that does not know lowerdir+ says so at once (6.5) or when it mounts (before).
	 */
	if (result == -EINVAL)
		result = try_older_mount(s, r, ret_fd, &step, reason);
	if (result == 0)
		return 0;
	if (cannot_mount_erofs(result))
		return explain_erofs(r, result, err);
	if (result == -ENOENT)
		return error_set(err, result,
				 "container %.12s: a layer of its image is missing%s; load or "
				 "import the image again",
				 r->container_id, reason);
	if (result == -E2BIG)
		return error_set(err, result,
				 "container %.12s: %zu layers are too many for this kernel; Linux "
				 "6.8 takes %d",
				 r->container_id, r->chain_count, STORAGE_MAX_LAYERS);
	return error_errno(err, result, "container %.12s: overlay: %s%s", r->container_id, step,
			   reason);
}

/* Overlay wants two layers where nothing is writable; one is simply bind-mounted. */
static int mount_single(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
			struct masu_error *err)
{
	char path[128];
	int result = str_format(path, sizeof(path), "%s/" OVERLAY_DIFF, r->chain_ids[0]);
	if (result < 0 || !overlay_chain_id_valid(r->chain_ids[0]))
		return error_set(err, -EINVAL, "layer %s: not a chain id", r->chain_ids[0]);
	_cleanup_close_ int root = -1;
	_cleanup_close_ int fd = sys_open_tree(s->layers_fd, path, OPEN_TREE_CLONE);
	if (fd == -ENOENT && overlay_erofs_open(s, r->chain_ids[0], &root) == 0)
		fd = sys_open_tree(root, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	result = fd < 0 ? fd : sys_mount_setattr(fd, "", AT_EMPTY_PATH, &attr);
	if (result < 0)
		return error_errno(err, result, "layer %.12s", r->chain_ids[0]);
	*ret_fd = take_fd(&fd);
	return 0;
}

int overlay_mount(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
		  struct masu_error *err)
{
	if (r->chain_count > STORAGE_MAX_LAYERS)
		return error_set(err, -E2BIG, "container %.12s: %zu layers; at most %d are allowed",
				 r->container_id, r->chain_count, STORAGE_MAX_LAYERS);
	if (r->chain_count == 0 && mkdirat(s->layers_fd, OVERLAY_EMPTY, 0755) < 0 &&
	    errno != EEXIST)
		return error_errno(err, -errno, OVERLAY_DIR "/" OVERLAY_EMPTY);
	if ((r->flags & STORAGE_READONLY) && !(r->flags & OVERLAY_MERGED) && r->chain_count == 1)
		return mount_single(s, r, ret_fd, err);
	return mount_overlay(s, r, ret_fd, err);
}

int overlay_merged(struct storage *s, const struct storage_mount_request *r, int *ret_fd,
		   struct masu_error *err)
{
	struct storage_mount_request merged = *r;
	merged.flags = STORAGE_READONLY | OVERLAY_MERGED;
	return overlay_mount(s, &merged, ret_fd, err);
}

int overlay_remove(struct storage *s, const char *container_id, int container_fd,
		   struct masu_error *err)
{
	_cleanup_close_ int dir =
		openat(container_fd, "overlay", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = trash_move(s->root_fd, container_fd, "overlay", container_id);
	if (r < 0 && r != -ENOENT)
		return error_errno(err, r, "container %.12s: writable layer", container_id);
	if (dir >= 0)
		project_quota_clear(dir);
	return 0;
}

int overlay_usage(struct storage *s, int container_fd, uint64_t *ret_bytes, uint64_t *ret_inodes,
		  struct masu_error *err)
{
	int r = storage_usage_writable(container_fd, UPPER, ret_bytes, ret_inodes);
	return r < 0 ? error_errno(err, r, "size of the writable layer") : 0;
}

/* Where a layer's files are seen. */
static const char *files_of(const char *root, const char *chain_id)
{
	char path[PATH_MAX];
	if (str_format(path, sizeof(path), "%s/" OVERLAY_DIR "/%s/" OVERLAY_INDEX, root,
		       chain_id) == 0 &&
	    access(path, F_OK) == 0)
		return OVERLAY_FS;
	return OVERLAY_DIFF;
}

int overlay_paths(const char *root, const char *container_id, const char *const *chain_ids,
		  struct arena *arena, struct storage_paths *ret)
{
	_cleanup_buf_ struct buf lower;
	size_t count = 0;
	buf_init(&lower, 0);
	while (chain_ids && chain_ids[count])
		count++;
	for (size_t i = count; i-- > 0;)
		buf_printf(&lower, "%s%s/" OVERLAY_DIR "/%s/%s", lower.len ? ":" : "", root,
			   chain_ids[i], files_of(root, chain_ids[i]));
	const struct storage_paths paths = {
		.lower = buf_error(&lower) ? NULL : arena_strdup(arena, buf_str(&lower)),
		.upper = arena_printf(arena, "%s/containers/%s/" UPPER, root, container_id),
		.work = arena_printf(arena, "%s/containers/%s/" WORK, root, container_id),
	};
	if (!paths.lower || !paths.upper || !paths.work)
		return -ENOMEM;
	*ret = paths;
	return 0;
}

const struct storage_ops overlay_ops = {
	.name = "overlay",
	.supported = overlay_supported,
	.open = overlay_open,
	.mount = overlay_mount,
	OVERLAY_FAMILY_OPS,
};
