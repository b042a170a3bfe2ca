/*
 * What was copied up, read off the writable layer: overlay notes on each such file where it comes
 * from. The writable layer is the container's: nothing in it is opened for reading but directories
 * and, through the descriptor that was looked at, regular files.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/copyups.h"
#include "storage/overlay.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define MAX_DEPTH	400 /* one open directory each */
#define EXTENTS_AT_ONCE 128
#define EXTENTS_MAX	(1u << 20)

struct finder {
	struct arena *arena;
	int lower; /* the layers; -1: none */
	struct storage_copyup *list;
	size_t count, capacity;
	unsigned depth;
	size_t len;
	char path[PATH_MAX];
};

static int64_t nanoseconds(const struct statx_timestamp *t)
{
	return t->tv_sec * 1000000000 + t->tv_nsec;
}

/* Bytes in extents that somebody else has as well; 0 where the filesystem cannot tell. */
static uint64_t shared_bytes(int fd)
{
	union {
		struct fiemap map;
		char space[sizeof(struct fiemap) + EXTENTS_AT_ONCE * sizeof(struct fiemap_extent)];
	} u;
	uint64_t at = 0, shared = 0;
	for (unsigned seen = 0; seen < EXTENTS_MAX;) {
		memset(&u.map, 0, sizeof(u.map));
		u.map.fm_start = at;
		u.map.fm_length = FIEMAP_MAX_OFFSET - at;
		u.map.fm_extent_count = EXTENTS_AT_ONCE;
		if (ioctl(fd, FS_IOC_FIEMAP, &u.map) < 0 || u.map.fm_mapped_extents == 0)
			return shared;
		for (unsigned i = 0; i < u.map.fm_mapped_extents; i++) {
			const struct fiemap_extent *extent = &u.map.fm_extents[i];
			if (extent->fe_flags & FIEMAP_EXTENT_SHARED)
				shared += extent->fe_length;
			at = extent->fe_logical + extent->fe_length;
			if (extent->fe_flags & FIEMAP_EXTENT_LAST)
				return shared;
		}
		seen += u.map.fm_mapped_extents;
	}
	return shared;
}

static bool has_xattr(int fd, const char *name)
{
	return fgetxattr(fd, name, NULL, 0) >= 0;
}

/* The image's file of that name, where it still has one. */
static bool look_below(const struct finder *f, struct statx *ret)
{
	_cleanup_close_ int fd =
		f->lower < 0 ? -ENOENT : fs_open_in_real(f->lower, f->path, O_PATH | O_NOFOLLOW, 0);
	return fd >= 0 && sys_statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, ret) == 0 &&
	       S_ISREG(ret->stx_mode);
}

static void measure(const struct finder *f, int fd, const struct statx *st,
		    struct storage_copyup *ret)
{
	struct statx below;
	bool named = look_below(f, &below);
	ret->size = st->stx_size;
	ret->metadata_only = has_xattr(fd, OVERLAY_XATTR_METACOPY);
	ret->shared = ret->metadata_only ? 0 : shared_bytes(fd);
	ret->bytes = ret->metadata_only ? 0 : named ? below.stx_size : st->stx_size;
	ret->took_ns = -1;
	if (!(st->stx_mask & STATX_BTIME))
		return;
	ret->took_ns = nanoseconds(&st->stx_ctime) - nanoseconds(&st->stx_btime);
	/* Copied up it gets the times that the image's file has; writing to it takes them away. */
	ret->took_exact = named && nanoseconds(&below.stx_mtime) == nanoseconds(&st->stx_mtime);
	if (ret->took_ns < 0) /* the clock was set */
		ret->took_ns = -1;
}

static int add(struct finder *f, int fd, const struct statx *st)
{
	if (f->count == f->capacity) {
		size_t capacity = f->capacity ? f->capacity * 2 : 64;
		struct storage_copyup *grown =
			arena_array(f->arena, struct storage_copyup, capacity);
		if (!grown)
			return -ENOMEM;
		if (f->count)
			memcpy(grown, f->list, f->count * sizeof(*grown));
		f->list = grown;
		f->capacity = capacity;
	}
	struct storage_copyup *found = &f->list[f->count];
	*found = (struct storage_copyup) { .path = arena_strndup(f->arena, f->path, f->len) };
	if (!found->path)
		return -ENOMEM;
	measure(f, fd, st, found);
	f->count++;
	return 0;
}

static int find_file(struct finder *f, int file)
{
	struct statx st;
	char proc[FS_PROC_FD_MAX];
	_cleanup_close_ int fd = open(fs_proc_fd(file, proc), /* lint: ok */
				      O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = sys_statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st);
	if (r < 0)
		return r;
	/* Of a file with several names in a layer overlay notes no origin. */
	return has_xattr(fd, OVERLAY_XATTR_ORIGIN) || has_xattr(fd, OVERLAY_XATTR_METACOPY)
		       ? add(f, fd, &st)
		       : 0;
}

static int find_below(struct finder *f, int dir);

static int find_name(struct finder *f, int parent, const char *name)
{
	struct stat st;
	_cleanup_close_ int fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? 0 : -errno; /* gone meanwhile */
	if (S_ISREG(st.st_mode))
		return find_file(f, fd);
	if (!S_ISDIR(st.st_mode))
		return 0;
	_cleanup_close_ int dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -errno : find_below(f, dir);
}

static int find_below(struct finder *f, int dir)
{
	const char **names;
	size_t count, before = f->len;
	if (f->depth == MAX_DEPTH)
		return -ELOOP;
	int r = fs_names(dir, f->arena, &names, &count);
	f->depth++;
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = str_format(f->path + before, sizeof(f->path) - before, "/%s", names[i]);
		f->len = before + 1 + strlen(names[i]);
		if (r == 0)
			r = find_name(f, dir, names[i]);
	}
	f->depth--;
	if (r == 0)
		f->path[f->len = before] = '\0';
	return r;
}

int overlay_copyups(struct storage *s, const struct storage_mount_request *request,
		    struct arena *arena, struct storage_copyup **ret, size_t *ret_count,
		    struct masu_error *err)
{
	struct storage_mount_request layers = *request;
	struct finder *f = arena_new(arena, struct finder);
	_cleanup_close_ int lower = -1;
	_cleanup_close_ int upper = openat(request->container_fd, OVERLAY_UPPER,
					   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (!f)
		return error_set(err, -ENOMEM, "out of memory");
	if (upper < 0)
		return error_errno(err, -errno, "container %.12s: writable layer",
				   request->container_id);
	layers.flags = STORAGE_READONLY;
	layers.container_fd = -1;
	int r = layers.chain_count ? overlay_mount(s, &layers, &lower, err) : 0;
	if (r < 0)
		return r;
	f->arena = arena;
	f->lower = lower;
	r = find_below(f, upper);
	if (r < 0)
		return error_errno(err, r, "container %.12s: %.300s", request->container_id,
				   *f->path ? f->path : "/");
	*ret = f->list;
	*ret_count = f->count;
	return 0;
}
