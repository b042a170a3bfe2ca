#include "cold/image/marks.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/erofs_format.h"
#include "cold/image/erofs_write.h"
#include "cold/image/writer.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define MARKS_LIMIT (32u << 20)
#define MARK_DIGITS 16

static int open_directory(int root, const char *path)
{
	return sys_openat2(root, path, O_RDONLY | O_DIRECTORY, 0,
			   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

/* Something else has the name by now, or nothing. */
static bool not_there(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

static int set_opaque(int target_fd, const char *path, bool has_below, struct masu_error *err)
{
	/* A root cannot be opaque: the kernel merges it with the roots below in any case. */
	if (!*path && has_below)
		return error_set(err, -EOPNOTSUPP,
				 "an opaque whiteout of the layer's root is not supported");
	if (!*path)
		return 0;
	_cleanup_close_ int fd = open_directory(target_fd, path);
	if (not_there(fd))
		return 0;
	if (fd < 0 || fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
		return error_errno(err, fd < 0 ? fd : -errno,
				   "entry \"%.200s\": cannot be made opaque", path);
	return 0;
}

/* The directory of that name which the topmost layer with one has; false: it has none or hides it.
 */
static bool look_below(const int *below, size_t below_count, const char *path, struct stat *ret)
{
	for (size_t i = below_count; i-- > 0;) {
		_cleanup_close_ int from = open_directory(below[i], *path ? path : ".");
		if (from != -ENOENT)
			return from >= 0 && fstat(from, ret) == 0;
	}
	return false;
}

/*
 * A directory that the archive only implied gets owner, mode and time of the one it covers, as if
 * the layer had been made by changing a file in it.
 */
static int copy_look(int target_fd, const char *path, const int *below, size_t below_count,
		     struct masu_error *err)
{
	struct stat st;
	if (!look_below(below, below_count, path, &st))
		return 0;
	_cleanup_close_ int fd = open_directory(target_fd, *path ? path : ".");
	struct timespec times[2] = { st.st_atim, st.st_mtim };
	if (not_there(fd))
		return 0;
	if (fd < 0 || fchown(fd, st.st_uid, st.st_gid) < 0 || fchmod(fd, st.st_mode & 07777) < 0 ||
	    futimens(fd, times) < 0)
		return error_errno(err, fd < 0 ? fd : -errno, "entry \"%.200s\"", path);
	return 0;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The paths that have an entry of their own, sorted. */
static int collect_explicit(const struct buf *marks, struct arena *arena, const char ***ret,
			    size_t *ret_count)
{
	size_t count = 0;
	for (size_t at = 0; at < marks->len; at += strlen(marks->data + at) + 1)
		count += marks->data[at] == MARK_EXPLICIT;
	const char **paths = arena_array(arena, const char *, count + 1);
	if (!paths)
		return -ENOMEM;
	count = 0;
	for (size_t at = 0; at < marks->len; at += strlen(marks->data + at) + 1)
		if (marks->data[at] == MARK_EXPLICIT)
			paths[count++] = marks->data + at + 1;
	qsort(paths, count, sizeof(*paths), compare_paths);
	*ret = paths;
	*ret_count = count;
	return 0;
}

/* Opened anew through /proc, so that they are read from their beginning. */
static int read_marks(int marks_fd, struct buf *ret, struct masu_error *err)
{
	char proc[FS_PROC_FD_MAX];
	buf_init(ret, 2 * MARKS_LIMIT);
	int r = fs_read_at(AT_FDCWD, fs_proc_fd(marks_fd, proc), MARKS_LIMIT, ret);
	return r < 0 ? error_errno(err, r, "marks of the unpacker") : 0;
}

int marks_apply(int marks_fd, int target_fd, const int *below, size_t below_count,
		struct masu_error *err)
{
	_cleanup_buf_ struct buf marks;
	_cleanup_arena_ struct arena arena;
	const char **explicit_paths;
	size_t explicit_count;
	arena_init(&arena, 8 * MARKS_LIMIT);
	int r = read_marks(marks_fd, &marks, err);
	if (r < 0)
		return r;
	if (collect_explicit(&marks, &arena, &explicit_paths, &explicit_count) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t at = 0; at < marks.len && r == 0; at += strlen(marks.data + at) + 1) {
		const char *path = marks.data + at + 1;
		if (marks.data[at] == MARK_OPAQUE)
			r = set_opaque(target_fd, path, below_count > 0, err);
		else if (marks.data[at] == MARK_IMPLIED && below_count > 0 &&
			 !bsearch(&path, explicit_paths, explicit_count, sizeof(*explicit_paths),
				  compare_paths))
			r = copy_look(target_fd, path, below, below_count, err);
	}
	/* The layers below may not have been there when this one's root was made. */
	const char *root = "";
	if (r == 0 &&
	    !bsearch(&root, explicit_paths, explicit_count, sizeof(*explicit_paths), compare_paths))
		r = copy_look(target_fd, root, below, below_count, err);
	return r;
}

/* Owner, mode and time of the inode at @at become those of @st. */
static int patch_inode(int index_fd, uint64_t at, const struct stat *st)
{
	struct erofs_inode inode;
	if (at > INT64_MAX || pread(index_fd, &inode, sizeof(inode), (off_t)at) != sizeof(inode))
		return -EPROTO;
	inode.mode = htole16((uint16_t)(S_IFDIR | (st->st_mode & 07777)));
	inode.uid = htole32(st->st_uid);
	inode.gid = htole32(st->st_gid);
	inode.mtime = (int64_t)htole64((uint64_t)st->st_mtim.tv_sec);
	inode.mtime_ns = htole32((uint32_t)st->st_mtim.tv_nsec);
	return pwrite(index_fd, &inode, sizeof(inode), (off_t)at) == sizeof(inode) ? 0 : -EIO;
}

static int apply_index_mark(const char *mark, int index_fd, const int *below, size_t below_count,
			    struct masu_error *err)
{
	struct stat st;
	char digits[MARK_DIGITS + 1], *end;
	if (*mark == EROFS_MARK_OPAQUE && below_count > 0)
		return error_set(err, -EOPNOTSUPP,
				 "an opaque whiteout of the layer's root is not supported");
	if (*mark != EROFS_MARK_IMPLIED || strlen(mark) < 1 + MARK_DIGITS)
		return 0;
	memcpy(digits, mark + 1, MARK_DIGITS);
	digits[MARK_DIGITS] = '\0';
	uint64_t at = strtoull(digits, &end, 16);
	if (!look_below(below, below_count, mark + 1 + MARK_DIGITS, &st))
		return 0;
	int r = *end ? -EPROTO : patch_inode(index_fd, at, &st);
	return r < 0 ? error_errno(err, r, "index of the layer") : 0;
}

int marks_apply_index(int marks_fd, int index_fd, const int *below, size_t below_count,
		      struct masu_error *err)
{
	_cleanup_buf_ struct buf marks;
	int r = read_marks(marks_fd, &marks, err);
	for (size_t at = 0; r == 0 && at < marks.len; at += strlen(marks.data + at) + 1)
		r = apply_index_mark(marks.data + at, index_fd, below, below_count, err);
	return r;
}
