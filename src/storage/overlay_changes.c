/*
 * What a container changed, read off its upper directory: a device 0:0 hides a name, an opaque
 * directory hides all that the layers have in it (Linux, Documentation/filesystems/overlayfs.rst).
 * The layers are looked at through a read-only mount of them. The upper directory is the
 * container's: nothing in it is opened but directories, and links are never followed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/overlay.h"
#include "sys/fs.h"

#define MAX_DEPTH 400 /* two open directories each */

struct differ {
	struct storage *storage;
	const struct storage_mount_request *request;
	struct masu_error *err;
	int merged; /* overlay_merged(), where it is needed; else -1 */
	struct arena *arena;
	const struct timespec *since;
	struct storage_change *changes;
	size_t count, capacity;
	unsigned depth;
	size_t len;
	char path[PATH_MAX];
};

static int add(struct differ *d, char kind, bool only_inside)
{
	if (d->count == d->capacity) {
		size_t capacity = d->capacity ? d->capacity * 2 : 256;
		struct storage_change *grown =
			arena_array(d->arena, struct storage_change, capacity);
		if (!grown)
			return -ENOMEM;
		if (d->count)
			memcpy(grown, d->changes, d->count * sizeof(*grown));
		d->changes = grown;
		d->capacity = capacity;
	}
	const char *path = arena_strndup(d->arena, d->path, d->len);
	if (!path)
		return -ENOMEM;
	d->changes[d->count++] =
		(struct storage_change) { .kind = kind, .only_inside = only_inside, .path = path };
	return 0;
}

/* ---- names ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Those of both directories (@hidden -1: none), sorted, each once. */
static int collect(struct arena *arena, int upper, int hidden, const char ***ret, size_t *ret_count)
{
	const char **more;
	size_t count, more_count, kept = 1;
	int r = fs_names(upper, arena, ret, ret_count);
	if (r < 0 || hidden < 0)
		return r;
	r = fs_names(hidden, arena, &more, &more_count);
	count = *ret_count + more_count;
	if (r < 0 || more_count == 0)
		return r;
	const char **names = arena_array(arena, const char *, count);
	if (!names)
		return -ENOMEM;
	memcpy(names, *ret, *ret_count * sizeof(*names));
	memcpy(names + *ret_count, more, more_count * sizeof(*names));
	qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 1; i < count; i++)
		if (!streq(names[i], names[kept - 1]))
			names[kept++] = names[i];
	*ret = names;
	*ret_count = kept;
	return 0;
}

/* ---- comparing ---- */

bool overlay_has_xattr(int dir, const char *name, const char *xattr)
{
	char path[FS_PROC_FD_MAX + NAME_MAX + 2], proc[FS_PROC_FD_MAX];
	return str_format(path, sizeof(path), "%s/%s", fs_proc_fd(dir, proc), name) == 0 &&
	       lgetxattr(path, xattr, NULL, 0) >= 0;
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool is_opaque(const struct differ *d, int fd)
{
	char value;
	if (d->storage->opaque_files &&
	    faccessat(fd, OVERLAY_OPAQUE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return true;
	return fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

static bool same_look(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid;
}

/* Copied up and left as it was, as far as docker looks. */
static bool same_file(const struct differ *d, const struct stat *a, const struct stat *b)
{
	if (d->since &&
	    (a->st_ctim.tv_sec > d->since->tv_sec ||
	     (a->st_ctim.tv_sec == d->since->tv_sec && a->st_ctim.tv_nsec > d->since->tv_nsec)))
		return false;
	return same_look(a, b) && a->st_rdev == b->st_rdev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int compare(struct differ *d, int upper, int lower, bool hidden);

static int open_directory(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * A directory that was renamed is an attribute that says where in the layers it was, and what is
 * in it is there. As the container sees it, it is whole: *hidden.
 */
static int open_upper(struct differ *d, int parent, const char *name, bool *hidden)
{
	if (!overlay_has_xattr(parent, name, OVERLAY_XATTR_REDIRECT))
		return open_directory(parent, name);
	int r = d->merged < 0 ? overlay_merged(d->storage, d->request, &d->merged, d->err) : 0;
	*hidden = true;
	return r < 0 ? r : fs_open_in_real(d->merged, d->path, O_RDONLY | O_DIRECTORY, 0);
}

/* @lower is the parent's, -1 where the layers have no directory of that name. */
static int compare_directory(struct differ *d, int upper_parent, int lower_parent, const char *name,
			     const struct stat *st, const struct stat *below, bool hidden)
{
	bool both = below && S_ISDIR(below->st_mode);
	size_t at = d->count;
	bool only_inside = both && same_look(st, below);
	_cleanup_close_ int upper = open_upper(d, upper_parent, name, &hidden);
	_cleanup_close_ int lower = both ? open_directory(lower_parent, name) : -1;
	if (upper < 0 || (both && lower < 0))
		return upper < 0 ? upper : lower;
	int r = add(d, below ? 'C' : 'A', only_inside);
	if (r == 0)
		r = compare(d, upper, lower, hidden);
	/* Copied up for something in it that in the end is as it was. */
	if (r == 0 && only_inside && d->count == at + 1)
		d->count--;
	return r;
}

static int compare_name(struct differ *d, int upper, int lower, const char *name, bool hidden)
{
	struct stat st, below;
	bool there = lower >= 0 && fstatat(lower, name, &below, AT_SYMLINK_NOFOLLOW) == 0;
	if (fstatat(upper, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || is_whiteout(&st))
		return there ? add(d, 'D', false) : 0; /* hidden by an opaque directory, or alone */
	if (S_ISDIR(st.st_mode))
		return compare_directory(d, upper, lower, name, &st, there ? &below : NULL, hidden);
	return there && same_file(d, &st, &below) ? 0 : add(d, there ? 'C' : 'A', false);
}

/* @lower: the same directory in the layers, or -1; @hidden: by an opaque one above. */
static int compare(struct differ *d, int upper, int lower, bool hidden)
{
	const char **names = NULL;
	size_t count = 0, before = d->len;
	if (d->depth == MAX_DEPTH)
		return -ELOOP;
	hidden = lower >= 0 && (hidden || is_opaque(d, upper));
	int r = collect(d->arena, upper, hidden ? lower : -1, &names, &count);
	d->depth++;
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (d->storage->opaque_files && streq(names[i], OVERLAY_OPAQUE_FILE))
			continue;
		r = str_format(d->path + before, sizeof(d->path) - before, "/%s", names[i]);
		d->len = before + 1 + strlen(names[i]);
		if (r == 0)
			r = compare_name(d, upper, lower, names[i], hidden);
		if (r == 0)
			d->len = before;
	}
	d->depth--;
	return r;
}

int overlay_compare(const struct overlay_comparison *c, struct arena *arena,
		    struct storage_change **ret, size_t *ret_count, struct masu_error *err)
{
	struct differ *d = arena_new(arena, struct differ);
	if (!d)
		return error_set(err, -ENOMEM, "out of memory");
	*d = (struct differ) { .storage = c->storage,
			       .request = c->request,
			       .err = err,
			       .merged = -1,
			       .arena = arena,
			       .since = c->since };
	int r = compare(d, c->upper, c->lower, c->hidden);
	cleanup_close(&d->merged);
	if (r < 0)
		return error_errno(err, r, "container %.12s: %.300s", c->request->container_id,
				   *d->path ? d->path : "/");
	*ret = d->changes;
	*ret_count = d->count;
	return 0;
}

int overlay_changes(struct storage *s, const struct storage_mount_request *r, struct arena *arena,
		    struct storage_change **ret, size_t *ret_count, struct masu_error *err)
{
	struct storage_mount_request layers = *r;
	layers.flags = STORAGE_READONLY;
	layers.container_fd = -1;
	_cleanup_close_ int lower = -1;
	_cleanup_close_ int upper = open_directory(r->container_fd, OVERLAY_UPPER);
	if (upper < 0)
		return error_errno(err, upper, "container %.12s: writable layer", r->container_id);
	int result = r->chain_count ? overlay_mount(s, &layers, &lower, err) : 0;
	if (result < 0)
		return result;
	const struct overlay_comparison both = {
		.storage = s, .request = r, .upper = upper, .lower = lower
	};
	return overlay_compare(&both, arena, ret, ret_count, err);
}
