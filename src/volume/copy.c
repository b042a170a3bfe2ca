/*
 * Copy-up: what an image has at a volume's mount point becomes the volume's first content. The
 * source is the image's, so nothing in it is followed and everything is opened by its directory's
 * fd.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/fs.h"
#include "volume/volume.h"

#define DEPTH_MAX	256
#define XATTR_LIST_MAX	65536
#define XATTR_VALUE_MAX 65536
#define COPY_CHUNK	(1u << 30)

/* Overlay's own attributes mean something to the kernel that they must not mean in a volume. */
static bool keeps_xattr(const char *name)
{
	return !str_after(name, "trusted.overlay.") && !str_after(name, "user.overlay.");
}

static int copy_xattrs(int from, int to)
{
	_cleanup_free_ char *names = malloc(XATTR_LIST_MAX);
	_cleanup_free_ char *value = malloc(XATTR_VALUE_MAX);
	if (!names || !value)
		return -ENOMEM;
	ssize_t len = flistxattr(from, names, XATTR_LIST_MAX);
	if (len < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (const char *name = names; name < names + len; name += strlen(name) + 1) {
		if (!keeps_xattr(name))
			continue;
		ssize_t size = fgetxattr(from, name, value, XATTR_VALUE_MAX);
		if (size < 0 || (fsetxattr(to, name, value, (size_t)size, 0) < 0 &&
				 errno != ENOTSUP && errno != EPERM))
			return -errno;
	}
	return 0;
}

static int copy_attributes(int from, int to, const struct stat *st)
{
	const struct timespec times[] = { st->st_atim, st->st_mtim };
	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return -errno;
	int r = copy_xattrs(from, to);
	if (r == 0 && futimens(to, times) < 0)
		r = -errno;
	return r;
}

static int copy_data(int from, int to)
{
	ssize_t copied;
	do
		copied = sendfile(to, from, NULL, COPY_CHUNK);
	while (copied > 0 || (copied < 0 && errno == EINTR));
	return copied < 0 ? -errno : 0;
}

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	_cleanup_close_ int from =
		openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_close_ int to =
		openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (from < 0 || to < 0)
		return -errno;
	int r = copy_data(from, to);
	return r < 0 ? r : copy_attributes(from, to, st);
}

static int copy_symlink(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t len = readlinkat(from_dir, name, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	if (symlinkat(target, to_dir, name) < 0 ||
	    fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int copy_node(int to_dir, const char *name, const struct stat *st)
{
	if (mknodat(to_dir, name, st->st_mode, st->st_rdev) < 0 ||
	    fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0)
		return -errno;
	return 0;
}

static int copy_tree(int from, int to, unsigned depth);

static int copy_directory(int from_dir, int to_dir, const char *name, unsigned depth)
{
	if (mkdirat(to_dir, name, 0700) < 0)
		return -errno;
	_cleanup_close_ int from =
		openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_close_ int to =
		openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0 || to < 0)
		return -errno;
	return copy_tree(from, to, depth + 1);
}

static int copy_entry(int from, int to, const char *name, unsigned depth)
{
	struct stat st;
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		return copy_directory(from, to, name, depth);
	case S_IFREG:
		return copy_file(from, to, name, &st);
	case S_IFLNK:
		return copy_symlink(from, to, name, &st);
	default:
		return copy_node(to, name, &st);
	}
}

/* Directory attributes come last: writing into it would change its times. */
static int copy_tree(int from, int to, unsigned depth)
{
	struct stat st;
	int listing =
		depth < DEPTH_MAX ? openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (listing < 0)
		return depth < DEPTH_MAX ? -errno : -ELOOP;
	_cleanup_closedir_ DIR *dir = fdopendir(listing);
	if (!dir) {
		close(listing);
		return -ENOMEM;
	}
	struct dirent *entry;
	int r = 0;
	while (r == 0 && (errno = 0, entry = readdir(dir)))
		if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
			r = copy_entry(from, to, entry->d_name, depth);
	if (r == 0 && errno)
		r = -errno;
	if (r == 0)
		r = fstat(from, &st) < 0 ? -errno : copy_attributes(from, to, &st);
	return r;
}

static bool is_empty(int fd)
{
	int listing = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = listing < 0 ? NULL : fdopendir(listing);
	struct dirent *entry;
	if (!dir)
		return false;
	while ((entry = readdir(dir)))
		if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
			return false;
	return true;
}

int volume_copy_up(int source_dir_fd, int volume_fd, struct masu_error *err)
{
	/* Two containers may start with one new volume at once: the second finds it filled. */
	int r = flock(volume_fd, LOCK_EX) < 0 ? -errno : 0;
	if (r == 0 && !is_empty(volume_fd)) {
		flock(volume_fd, LOCK_UN);
		return 0;
	}
	if (r == 0)
		r = copy_tree(source_dir_fd, volume_fd, 0);
	if (r == 0 && syncfs(volume_fd) < 0)
		r = -errno;
	flock(volume_fd, LOCK_UN);
	return r < 0 ? error_errno(err, r, "cannot copy the image's files into the volume") : 0;
}
