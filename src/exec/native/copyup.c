/*
 * tmpcopyup: what the image has at the mount point appears in the tmpfs. The source belongs to an
 * image and others may change it meanwhile, so every step is one name in an open directory, links
 * are never followed and depth is bounded; the tmpfs's own limit bounds the size.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/native/rootfs_private.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define COPY_DEPTH_MAX 64

struct copy {
	const char *name; /* the entry being copied, for the message */
	unsigned depth;
};

static int copy_directory(struct copy *copy, int from, int to);

static int copy_attributes(int to, const char *name, const struct stat *st)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };
	if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	/* chown clears setuid and setgid: the mode comes after it. */
	if (!S_ISLNK(st->st_mode) && fchmodat(to, name, st->st_mode & 07777, 0) < 0)
		return -errno;
	return utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_file(int from, int to, const char *name)
{
	_cleanup_close_ int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (in < 0)
		return -errno;
	struct stat st;
	if (fstat(in, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	_cleanup_close_ int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	ssize_t sent;
	do
		sent = sendfile(out, in, NULL, 1u << 20);
	while (sent > 0 || (sent < 0 && errno == EINTR));
	return sent < 0 ? -errno : copy_attributes(to, name, &st);
}

static int copy_link(int from, int to, const char *name, const struct stat *st)
{
	char text[PATH_MAX];
	ssize_t len = readlinkat(from, name, text, sizeof(text) - 1);
	if (len < 0)
		return -errno;
	text[len] = '\0';
	if (symlinkat(text, to, name) < 0)
		return -errno;
	return copy_attributes(to, name, st);
}

static int copy_subdirectory(struct copy *copy, int from, int to, const char *name,
			     const struct stat *st)
{
	_cleanup_close_ int in =
		openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0)
		return -errno;
	if (mkdirat(to, name, 0700) < 0)
		return -errno;
	_cleanup_close_ int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out < 0)
		return -errno;
	int r = copy_directory(copy, in, out);
	return r < 0 ? r : copy_attributes(to, name, st);
}

static int copy_entry(struct copy *copy, int from, int to, const char *name)
{
	struct stat st;
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		return copy_subdirectory(copy, from, to, name, &st);
	case S_IFREG:
		return copy_file(from, to, name);
	case S_IFLNK:
		return copy_link(from, to, name, &st);
	case S_IFSOCK:
		return 0; /* nobody listens on a copy */
	default:
		if (mknodat(to, name, st.st_mode & (S_IFMT | 07777), st.st_rdev) < 0)
			return -errno;
		return copy_attributes(to, name, &st);
	}
}

static int copy_directory(struct copy *copy, int from, int to)
{
	if (++copy->depth > COPY_DEPTH_MAX)
		return -ELOOP;
	_cleanup_closedir_ DIR *dir = fs_opendir_at(from, ".");
	if (!dir)
		return -errno;
	struct dirent *entry;
	while ((errno = 0, entry = readdir(dir))) {
		if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
			continue;
		int r = copy_entry(copy, from, to, entry->d_name);
		if (r < 0)
			return r;
	}
	copy->depth--;
	return errno ? -errno : 0;
}

int copy_up(int from_fd, int to_fd, struct masu_error *err)
{
	struct copy copy = { 0 };
	int r = copy_directory(&copy, from_fd, to_fd);
	struct stat st;
	if (r == 0 && fstat(from_fd, &st) < 0)
		r = -errno;
	if (r == 0 && fchownat(to_fd, "", st.st_uid, st.st_gid, AT_EMPTY_PATH) < 0)
		r = -errno;
	return r < 0 ? error_errno(err, r, "tmpcopyup: copy the image's files") : 0;
}
