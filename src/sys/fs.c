#include "sys/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/str.h"
#include "sys/syscalls.h"

#define RESOLVE_ROOTED (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

int fs_open_in(int rootfd, const char *path, int flags, mode_t mode)
{
	if (fault_without("in-root")) {
		path += strspn(path, "/");
		return (int)sys_ret(openat(rootfd, *path ? path : ".", flags | O_CLOEXEC, mode));
	}
	/* EAGAIN: a rename raced with the lookup of ".."; the kernel asks to try again. */
	int r = -EAGAIN;
	for (int tries = 0; r == -EAGAIN && tries < 128; tries++)
		r = sys_openat2(rootfd, path, (uint64_t)(unsigned)flags, mode, RESOLVE_ROOTED);
	return r;
}

int fs_open_in_strict(int rootfd, const char *path, int flags, mode_t mode)
{
	int r = -EAGAIN;
	for (int tries = 0; r == -EAGAIN && tries < 128; tries++)
		r = sys_openat2(rootfd, path, (uint64_t)(unsigned)flags, mode,
				RESOLVE_ROOTED | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	return r;
}

int fs_open_in_real(int rootfd, const char *path, int flags, mode_t mode)
{
	if (fault_without("no-symlinks"))
		return fs_open_in(rootfd, path, flags, mode);
	int r = -EAGAIN;
	for (int tries = 0; r == -EAGAIN && tries < 128; tries++)
		r = sys_openat2(rootfd, path, (uint64_t)(unsigned)flags, mode,
				RESOLVE_ROOTED | RESOLVE_NO_SYMLINKS);
	return r;
}

/*
 * Walks @path one component at a time from the root; a missing component is made in the directory
 * opened before, which cannot be swapped for another. ".." and links are left to openat2 by opening
 * the whole prefix again from the root.
 */
int fs_mkdirs_in(int rootfd, const char *path, mode_t mode)
{
	char prefix[PATH_MAX];
	size_t len = strlen(path), at = 0;
	if (len >= sizeof(prefix))
		return -ENAMETOOLONG;
	int r = fs_open_in(rootfd, path, O_PATH | O_DIRECTORY, 0);
	if (r != -ENOENT)
		return r;
	_cleanup_close_ int dir = fs_open_in(rootfd, "/", O_PATH | O_DIRECTORY, 0);
	if (dir < 0)
		return dir;
	while (at < len) {
		at += strspn(path + at, "/");
		size_t part = strcspn(path + at, "/");
		if (part == 0)
			break;
		const char *name = path + at;
		at += part;
		memcpy(prefix, path, at);
		prefix[at] = '\0';
		int next = fs_open_in(rootfd, prefix, O_PATH | O_DIRECTORY, 0);
		if (next == -ENOENT) {
			char component[NAME_MAX + 1];
			if (part > NAME_MAX)
				return -ENAMETOOLONG;
			memcpy(component, name, part);
			component[part] = '\0';
			if (streq(component, ".."))
				return -ENOENT;
			if (mkdirat(dir, component, mode) < 0 && errno != EEXIST)
				return -errno;
			next = fs_open_in(rootfd, prefix, O_PATH | O_DIRECTORY, 0);
		}
		if (next < 0)
			return next;
		close(dir);
		dir = next;
	}
	return take_fd(&dir);
}

int fs_target_in(int rootfd, const char *path, bool want_file, mode_t mode)
{
	int r = fs_open_in(rootfd, path, O_PATH, 0);
	if (r != -ENOENT)
		return r;
	if (!want_file)
		return fs_mkdirs_in(rootfd, path, mode);
	char parent[PATH_MAX];
	if (str_format(parent, sizeof(parent), "%s", path) < 0)
		return -ENAMETOOLONG;
	char *slash = strrchr(parent, '/');
	const char *name = slash ? slash + 1 : parent;
	if (!*name || streq(name, "..") || streq(name, "."))
		return -EINVAL;
	_cleanup_close_ int dir = -1;
	if (slash && slash != parent) {
		*slash = '\0';
		dir = fs_mkdirs_in(rootfd, parent, 0755);
	} else {
		dir = fs_open_in(rootfd, "/", O_PATH | O_DIRECTORY, 0);
	}
	if (dir < 0)
		return dir;
	_cleanup_close_ int file =
		openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, mode);
	if (file < 0 && errno != EEXIST)
		return -errno;
	return fs_open_in(rootfd, path, O_PATH, 0);
}

static int read_limited(int fd, size_t limit, struct buf *ret)
{
	for (;;) {
		size_t want = limit - ret->len + 1 < 65536 ? limit - ret->len + 1 : 65536;
		int r = buf_reserve(ret, want);
		if (r < 0)
			return r;
		ssize_t got = read(fd, ret->data + ret->len, want);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0) {
			ret->data[ret->len] = '\0';
			return 0;
		}
		ret->len += (size_t)got;
		if (ret->len > limit)
			return -EFBIG;
	}
}

int fs_read_in(int rootfd, const char *path, size_t limit, struct buf *ret)
{
	_cleanup_close_ int fd = fs_open_in(rootfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return fd;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > 0 && (uint64_t)st.st_size > limit)
		return -EFBIG;
	return read_limited(fd, limit, ret);
}

int fs_mkdirs(int dirfd, const char *path, mode_t mode)
{
	char prefix[PATH_MAX];
	size_t len = strlen(path);
	if (len == 0 || len >= sizeof(prefix))
		return len ? -ENAMETOOLONG : -EINVAL;
	if (mkdirat(dirfd, path, mode) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -errno;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(prefix, path, i);
		prefix[i] = '\0';
		if (mkdirat(dirfd, prefix, mode) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

int fs_read_at(int dirfd, const char *path, size_t limit, struct buf *ret)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	return read_limited(fd, limit, ret);
}

int fs_read_arena(int dirfd, const char *path, size_t limit, struct arena *arena, char **ret,
		  size_t *ret_len)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > limit)
		return -EFBIG;
	size_t size = (size_t)st.st_size, len = 0;
	char *text = arena_alloc(arena, size + 1);
	if (!text)
		return -ENOMEM;
	while (len < size) {
		ssize_t got = read(fd, text + len, size - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		len += (size_t)got;
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

int fs_read_small(int dirfd, const char *path, char *dst, size_t size)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	ssize_t got = read(fd, dst, size);
	if (got < 0)
		return -errno;
	if ((size_t)got == size)
		return -EFBIG;
	while (got > 0 && dst[got - 1] == '\n')
		got--;
	dst[got] = '\0';
	return 0;
}

int fs_write_at(int dirfd, const char *path, const char *text)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	ssize_t written;
	do
		written = write(fd, text, strlen(text));
	while (written < 0 && errno == EINTR);
	if (written < 0)
		return -errno;
	return (size_t)written == strlen(text) ? 0 : -EIO;
}

int fs_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;
	while (len > 0) {
		ssize_t written = write(fd, p, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		p += written;
		len -= (size_t)written;
	}
	return 0;
}

int fs_write_atomic(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
		    bool durable)
{
	char id[ID_LENGTH + 1], temporary[NAME_MAX + 1];
	int r = id_random(id);
	if (r < 0)
		return r;
	/* The ".tmp-" prefix is what recovery removes. */
	r = str_format(temporary, sizeof(temporary), ".tmp-%.16s", id);
	if (r < 0)
		return r;
	_cleanup_close_ int fd =
		openat(dirfd, temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	r = fs_write_all(fd, data, len);
	if (r == 0 && durable && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, temporary, dirfd, name) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dirfd, temporary, 0);
		return r;
	}
	return durable ? fs_fsync_dir(dirfd) : 0;
}

int fs_fsync_dir(int dirfd)
{
	if (fsync(dirfd) == 0)
		return 0;
	if (errno != EBADF)
		return -errno;
	/* An O_PATH fd cannot be synced itself. */
	_cleanup_close_ int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int remove_children(int fd, dev_t dev, unsigned depth)
{
	if (depth > 4000) {
		close(fd);
		return -ELOOP;
	}
	_cleanup_closedir_ DIR *dir = fdopendir(fd);
	if (!dir) {
		int r = -errno;
		close(fd);
		return r;
	}
	struct dirent *entry;
	while ((errno = 0, entry = readdir(dir))) {
		if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
			continue;
		if (entry->d_type != DT_DIR && unlinkat(dirfd(dir), entry->d_name, 0) == 0)
			continue;
		if (entry->d_type != DT_DIR && errno != EISDIR && errno != EPERM)
			return -errno;
		int child = openat(dirfd(dir), entry->d_name,
				   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child < 0)
			return -errno;
		struct stat st;
		if (fstat(child, &st) < 0 || st.st_dev != dev) {
			close(child);
			return -EXDEV;
		}
		int r = remove_children(child, dev, depth + 1);
		if (r < 0)
			return r;
		if (unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return -errno;
	}
	return errno ? -errno : 0;
}

int fs_remove_tree(int dirfd, const char *name)
{
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	struct stat st;
	if (fstat(fd, &st) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	int r = remove_children(fd, st.st_dev, 0);
	if (r < 0)
		return r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

bool fs_is_type(int fd, long magic)
{
	struct statfs fs;
	return fstatfs(fd, &fs) == 0 && (long)fs.f_type == magic;
}

const char *fs_proc_fd(int fd, char ret[FS_PROC_FD_MAX])
{
	snprintf(ret, FS_PROC_FD_MAX, "/proc/self/fd/%d", fd);
	return ret;
}
