#include "sys/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/str.h"
#include "sys/syscalls.h"

#define RESOLVE_ROOTED (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
#define READ_MIN       1024

static int open_resolved(int rootfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	/* EAGAIN: a rename raced with the lookup of ".."; the kernel asks to try again. */
	int r = -EAGAIN;
	for (int tries = 0; r == -EAGAIN && tries < 128; tries++)
		r = sys_openat2(rootfd, path, (uint64_t)(unsigned)flags, mode, resolve);
	return r;
}

int fs_open_in(int rootfd, const char *path, int flags, mode_t mode)
{
	if (fault_without("in-root")) {
		path += strspn(path, "/");
		return (int)sys_ret(openat(rootfd, *path ? path : ".", flags | O_CLOEXEC, mode));
	}
	return open_resolved(rootfd, path, flags, mode, RESOLVE_ROOTED);
}

int fs_open_beneath(int rootfd, const char *path, int flags)
{
	return open_resolved(rootfd, path, flags, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
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

/* A walk that makes what is missing; the path changes where a dangling link is followed. */
struct making {
	int rootfd;
	bool last_is_file;
	mode_t mode;
	char path[PATH_MAX];
};

#define MAKING_LINKS_MAX 40 /* as many as the kernel follows (MAXSYMLINKS) */

/*
 * The component path[start, end) is there and leads nowhere: if it is a link, its text takes its
 * place and -EAGAIN is returned.
 */
static int making_follow(struct making *m, int dir, const char *name, size_t start, size_t end)
{
	char text[PATH_MAX], whole[PATH_MAX];
	ssize_t len = readlinkat(dir, name, text, sizeof(text) - 1);
	if (len < 0)
		return errno == EINVAL || errno == ENOENT ? 0 : -errno;
	text[len] = '\0';
	int r = str_format(whole, sizeof(whole), "%.*s%s%s", text[0] == '/' ? 0 : (int)start,
			   m->path, text, m->path + end);
	if (r < 0)
		return r;
	memcpy(m->path, whole, sizeof(whole));
	return -EAGAIN;
}

/* Makes the component path[start, end) in @dir. 0, also where it is there by now. */
static int making_component(struct making *m, int dir, size_t start, size_t end, bool file)
{
	char name[NAME_MAX + 1];
	if (end - start > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, m->path + start, end - start);
	name[end - start] = '\0';
	if (streq(name, "..") || streq(name, "."))
		return -ENOENT;
	if (file) {
		int fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC,
				m->mode & 0666);
		if (fd >= 0) {
			close(fd);
			return 0;
		}
	} else if (mkdirat(dir, name, m->mode) == 0) {
		return 0;
	}
	return errno == EEXIST ? making_follow(m, dir, name, start, end) : -errno;
}

/*
 * One component at a time from the root. What is missing is made in the directory opened before,
 * which cannot be swapped for another; "..", and links that lead somewhere, are left to openat2 by
 * opening the whole prefix from the root. -EAGAIN: the path has changed.
 */
static int making_walk(struct making *m)
{
	char prefix[PATH_MAX];
	size_t end = 0;
	_cleanup_close_ int dir = fs_open_in(m->rootfd, "/", O_PATH | O_DIRECTORY, 0);
	while (dir >= 0) {
		size_t start = end + strspn(m->path + end, "/");
		end = start + strcspn(m->path + start, "/");
		if (start == end)
			break;
		bool last = m->path[end + strspn(m->path + end, "/")] == '\0';
		bool file = last && m->last_is_file;
		int flags = O_PATH | (last ? 0 : O_DIRECTORY);
		memcpy(prefix, m->path, end);
		prefix[end] = '\0';
		int next = fs_open_in(m->rootfd, prefix, flags, 0);
		if (next == -ENOENT) {
			int r = making_component(m, dir, start, end, file);
			if (r < 0)
				return r;
			next = fs_open_in(m->rootfd, prefix, flags, 0);
		}
		if (next < 0)
			return next;
		close(dir);
		dir = next;
	}
	return take_fd(&dir);
}

static int make_in(int rootfd, const char *path, bool file, mode_t mode)
{
	struct making m = { .rootfd = rootfd, .last_is_file = file, .mode = mode };
	size_t len = strlen(path);
	if (len >= sizeof(m.path))
		return -ENAMETOOLONG;
	if (file && (len == 0 || path[len - 1] == '/'))
		return -EINVAL;
	memcpy(m.path, path, len + 1);
	int r = -EAGAIN;
	for (int links = 0; r == -EAGAIN && links <= MAKING_LINKS_MAX; links++)
		r = making_walk(&m);
	return r == -EAGAIN ? -ELOOP : r;
}

int fs_mkdirs_in(int rootfd, const char *path, mode_t mode)
{
	int r = fs_open_in(rootfd, path, O_PATH | O_DIRECTORY, 0);
	if (r != -ENOENT)
		return r;
	_cleanup_close_ int fd = make_in(rootfd, path, false, mode);
	if (fd < 0)
		return fd;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? take_fd(&fd) : -ENOTDIR;
}

int fs_target_in(int rootfd, const char *path, bool want_file, mode_t mode)
{
	int r = fs_open_in(rootfd, path, O_PATH, 0);
	return r == -ENOENT ? make_in(rootfd, path, want_file, mode) : r;
}

static int read_limited(int fd, size_t limit, struct buf *ret)
{
	for (;;) {
		/* Most files are small: one read for the content and one for the end. The buffer
		 * doubles, and so do the reads. */
		size_t want = limit - ret->len + 1 < READ_MIN ? limit - ret->len + 1 : READ_MIN;
		int r = buf_reserve(ret, want);
		if (r < 0)
			return r;
		if (ret->cap - ret->len - 1 > want)
			want = ret->cap - ret->len - 1;
		if (want > limit - ret->len + 1)
			want = limit - ret->len + 1;
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
	bool careless = fault_without("regular-files");
	_cleanup_close_ int fd =
		fs_open_in(rootfd, path, O_RDONLY | O_NOCTTY | (careless ? 0 : O_NONBLOCK), 0);
	if (fd < 0)
		return fd;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!careless && !S_ISREG(st.st_mode))
		return -EINVAL;
	if (fault_without("size-cap"))
		limit = ret->limit = SIZE_MAX / 4;
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

ssize_t fs_read_full(int fd, void *buffer, size_t size)
{
	size_t len = 0;
	while (len < size) {
		ssize_t got = read(fd, (char *)buffer + len, size - len);
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0)
			break;
		if (got > 0)
			len += (size_t)got;
	}
	return (ssize_t)len;
}

int fs_read_arena(int dirfd, const char *path, size_t limit, struct arena *arena, char **ret,
		  size_t *ret_len)
{
	char head[4096];
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t first = fd < 0 ? -1 : read(fd, head, sizeof(head));
	struct stat st;
	if (first < 0 && (fd < 0 || (errno != EISDIR && errno != EAGAIN)))
		return -errno;
	/* Most are small: what is read whole at once needs no look at what it is. */
	st.st_size = first;
	if (first < 0 || (first == (ssize_t)sizeof(head) && fstat(fd, &st) < 0))
		return first < 0 ? -EINVAL : -errno;
	if (first == (ssize_t)sizeof(head) && !S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > limit)
		return -EFBIG;
	size_t size = (size_t)st.st_size, len = (size_t)first;
	char *text = arena_alloc(arena, size + 1);
	if (!text)
		return -ENOMEM;
	memcpy(text, head, len < size ? len : size);
	ssize_t rest = len < size ? fs_read_full(fd, text + len, size - len) : 0;
	if (rest < 0)
		return (int)rest;
	*ret = text;
	*ret_len = len + (size_t)rest;
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
	if (r == 0 && durable && !fault_without("sync") && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, temporary, dirfd, name) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dirfd, temporary, 0);
		return r;
	}
	return durable ? fs_fsync_dir(dirfd) : 0;
}

DIR *fs_opendir_at(int dirfd, const char *path)
{
	_cleanup_close_ int fd =
		openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir)
		take_fd(&fd);
	return dir;
}

int fs_rewrite(int dirfd, const char *name, const void *data, size_t len, mode_t mode)
{
	struct stat st;
	_cleanup_close_ int fd =
		openat(dirfd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	int r = fs_write_all(fd, data, len);
	if (r == 0 && (uint64_t)st.st_size > len && ftruncate(fd, (off_t)len) < 0)
		r = -errno;
	return r;
}

int fs_fsync_dir(int dirfd)
{
	if (fault_without("sync"))
		return 0;
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

int fs_take_off(const char *place, const struct mount_attr *attr, int *ret_fd)
{
	struct mount_attr wanted = *attr;
	_cleanup_close_ int mount = sys_open_tree(AT_FDCWD, place, OPEN_TREE_CLONE);
	int r = mount < 0 ? mount : sys_mount_setattr(mount, "", AT_EMPTY_PATH, &wanted);
	if (umount2(place, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && r == 0)
		r = -errno;
	if (r == 0)
		*ret_fd = take_fd(&mount);
	return r;
}
