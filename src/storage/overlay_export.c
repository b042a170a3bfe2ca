/*
 * A container's upper directory as a layer of an image. The upper directory is the container's:
 * what is in it is opened as tree/walk.c does, and compared with the layers, mounted read-only,
 * inside their root.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/export.h"
#include "storage/exporter.h"
#include "storage/overlay.h"
#include "sys/fs.h"
#include "tree/walk.h"

#define NAMES_MEMORY (512u << 20)

/* What the layers have there; false: nothing. */
static bool look_below(const struct exporter *x, const char *path, struct stat *ret)
{
	_cleanup_close_ int fd =
		x->lower < 0 ? -ENOENT : fs_open_in_real(x->lower, path, O_PATH | O_NOFOLLOW, 0);
	return fd >= 0 && fstat(fd, ret) == 0;
}

bool exporter_same_look(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid;
}

/* ---- what masu made ---- */

static bool is_made(const struct exporter *x, const char *path)
{
	for (const char *const *p = x->made; *p; p++)
		if (streq(*p, path))
			return true;
	return false;
}

static bool may_hold_made(const struct exporter *x, const char *path)
{
	size_t len = strlen(path);
	for (const char *const *p = x->made; *p; p++)
		if (strncmp(*p, path, len) == 0 && (*p)[len] == '/')
			return true;
	return false;
}

static int list(int fd, struct arena *arena, const char ***ret, size_t *ret_count)
{
	_cleanup_close_ int dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -errno : fs_names(dir, arena, ret, ret_count);
}

/* An empty file or directory in the place of something that masu mounts there. */
static bool is_mount_point(const struct exporter *x, const char *path, int fd,
			   const struct stat *st)
{
	_cleanup_arena_ struct arena arena;
	const char **names;
	struct stat below;
	size_t count;
	arena_init(&arena, NAMES_MEMORY);
	if (!is_made(x, path) || look_below(x, path, &below))
		return false;
	if (S_ISREG(st->st_mode))
		return st->st_size == 0;
	return S_ISDIR(st->st_mode) && list(fd, &arena, &names, &count) == 0 && count == 0;
}

static bool child_is_mount_point(const struct exporter *x, int dir, const char *directory,
				 const char *name)
{
	char path[LIMIT_PATH + 1];
	struct stat st;
	_cleanup_close_ int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && fstat(fd, &st) == 0 &&
	       str_format(path, sizeof(path), "%s/%s", directory, name) == 0 &&
	       is_mount_point(x, path, fd, &st);
}

/* A directory that is there, or was copied up, only for such places. */
static bool holds_only_mount_points(const struct exporter *x, const char *path, int fd,
				    const struct stat *st)
{
	_cleanup_arena_ struct arena arena;
	const char **names;
	struct stat below;
	size_t count;
	arena_init(&arena, NAMES_MEMORY);
	if (!S_ISDIR(st->st_mode) || !may_hold_made(x, path) ||
	    (look_below(x, path, &below) && !exporter_same_look(st, &below)))
		return false;
	if (list(fd, &arena, &names, &count) < 0 || count == 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!child_is_mount_point(x, fd, path, names[i]))
			return false;
	return true;
}

/* ---- whiteouts ---- */

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* The entry that hides @path, or all that is in it. */
static int marker_of(struct exporter *x, const char *path, bool opaque, struct tar_entry *ret,
		     struct masu_error *err)
{
	const char *name = name_of(path);
	int r = opaque ? str_format(x->path, sizeof(x->path), "%s/" WHITEOUT_OPAQUE, path)
		       : str_format(x->path, sizeof(x->path), "%.*s" WHITEOUT "%s",
				    (int)(name - path), path, name);
	if (r < 0 || strlen(x->path) > LIMIT_PATH)
		return error_set(err, -ENAMETOOLONG, "%.300s: too long a path for an image", path);
	*ret = (struct tar_entry) { .type = TAR_FILE, .path = x->path, .link = "", .mode = 0600 };
	return 0;
}

/* ---- what is in the writable layer by name only ---- */

static bool has_xattr(int fd, const char *xattr)
{
	char path[FS_PROC_FD_MAX];
	return getxattr(fs_proc_fd(fd, path), xattr, NULL, 0) >= 0;
}

/* A file without its content, a directory without what is in it: as the container sees them. */
static int replace(void *data, const char *path, int *fd, struct masu_error *err)
{
	struct exporter *x = data;
	struct stat st, other;
	x->redirected = false;
	if (fstat(*fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) ||
	    !has_xattr(*fd, S_ISREG(st.st_mode) ? OVERLAY_XATTR_METACOPY : OVERLAY_XATTR_REDIRECT))
		return 0;
	int r = x->merged < 0 ? overlay_merged(x->storage, x->request, &x->merged, err) : 0;
	if (r < 0)
		return r;
	_cleanup_close_ int seen = fs_open_in_real(x->merged, path, O_PATH | O_NOFOLLOW, 0);
	if (seen < 0)
		return error_errno(err, seen, "%.300s", path);
	if (fstat(seen, &other) < 0 || (other.st_mode & S_IFMT) != (st.st_mode & S_IFMT))
		return error_set(err, -ESTALE, "%.300s: changed while it was read", path);
	x->redirected = S_ISDIR(st.st_mode);
	close(*fd);
	*fd = take_fd(&seen);
	return 0;
}

int exporter_hide(struct exporter *x, const char *path, bool opaque, struct masu_error *err)
{
	struct tar_entry marker;
	int r = marker_of(x, path, opaque, &marker, err);
	if (r == 0)
		r = tree_begin(x->sink, &marker, err);
	return r < 0 ? r : x->sink->end(x->sink, err);
}

int exporter_choose(void *data, int fd, const struct stat *st, struct tar_entry *entry,
		    enum tree_choice *ret, struct masu_error *err)
{
	struct exporter *x = data;
	const char *name = name_of(entry->path);
	if (x->storage && x->storage->opaque_files &&
	    (streq(name, OVERLAY_OPAQUE_FILE) || streq(name, OVERLAY_OPAQUE_DEVICE))) {
		*ret = TREE_LEAVE_OUT;
		return 0;
	}
	if (str_after(name_of(entry->path), WHITEOUT))
		return error_set(err, -EINVAL,
				 "%.300s: an image cannot have a name that begins with \"%s\"; "
				 "rename it in the container",
				 entry->path, WHITEOUT);
	if (S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0)) {
		*ret = TREE_TELL_ONLY;
		return marker_of(x, entry->path, false, entry, err);
	}
	if (is_mount_point(x, entry->path, fd, st) ||
	    holds_only_mount_points(x, entry->path, fd, st))
		*ret = TREE_LEAVE_OUT;
	return 0;
}

/* The kernel marks every new directory; only where the layers have one there is it of any use. */
static int entered(void *data, int fd, const struct tar_entry *entry, struct masu_error *err)
{
	struct exporter *x = data;
	struct stat below;
	char value;
	bool opaque = x->redirected ||
		      (x->storage && x->storage->opaque_files &&
		       faccessat(fd, WHITEOUT_OPAQUE, F_OK, AT_SYMLINK_NOFOLLOW) == 0) ||
		      (fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y');
	if (!opaque ||
	    (!x->layer && (!look_below(x, entry->path, &below) || !S_ISDIR(below.st_mode))))
		return 0;
	return exporter_hide(x, entry->path, true, err);
}

int overlay_tell_layer(int diff_fd, struct tree_sink *sink, struct masu_error *err)
{
	static const char *const nothing[] = { NULL };
	struct exporter x = { .lower = -1, .layer = true, .made = nothing, .sink = sink };
	const struct tree_walk_hooks hooks = { .data = &x,
					       .choose = exporter_choose,
					       .entered = entered };
	const struct tree_walk_options walk = { .name = "", .hooks = &hooks };
	return tree_scan(diff_fd, &walk, sink, err);
}

int overlay_export(struct storage *s, const struct storage_export_request *request,
		   struct tree_sink *sink, struct masu_error *err)
{
	/* masu's own mounts make none of these, and replace() has resolved the others. */
	static const char *const refused[] = { OVERLAY_XATTR_METACOPY, "trusted.overlay.whiteout",
					       NULL };
	struct storage_mount_request layers = request->layers;
	struct exporter x = { .storage = s,
			      .request = &request->layers,
			      .merged = -1,
			      .made = request->made,
			      .sink = sink };
	const struct tree_walk_hooks hooks = { .data = &x,
					       .replace = replace,
					       .choose = exporter_choose,
					       .entered = entered,
					       .refused_xattrs = refused };
	struct tree_walk_options walk = { .name = "", .sorted = true, .hooks = &hooks };
	struct stat st, below;
	_cleanup_close_ int lower = -1;
	_cleanup_close_ int upper = openat(request->layers.container_fd, OVERLAY_UPPER,
					   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (upper < 0)
		return error_errno(err, -errno, "container %.12s: writable layer",
				   request->layers.container_id);
	layers.flags = STORAGE_READONLY;
	layers.container_fd = -1;
	int r = layers.chain_count ? overlay_mount(s, &layers, &lower, err) : 0;
	if (r < 0)
		return r;
	x.lower = lower;
	if (fstat(upper, &st) < 0 || (lower >= 0 && fstat(lower, &below) < 0))
		return error_errno(err, -errno, "container %.12s: writable layer",
				   request->layers.container_id);
	walk.without_top = lower >= 0 && exporter_same_look(&st, &below);
	r = tree_scan(upper, &walk, sink, err);
	cleanup_close(&x.merged);
	return r;
}
