/*
 * `--precopy PATH`: files that the container is known to write are copied up when it is made, not
 * at the first write. Overlay copies a file when it is opened for writing, so that is all that is
 * done to each, in a mount that nobody else sees; blocks are shared where the filesystem can.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/internal.h"
#include "sys/fs.h"

#define MAX_DEPTH 256 /* one open directory each */

static int copy_below(int dir, unsigned depth);

static int copy_name(int dir, const char *name, unsigned depth)
{
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	bool directory = S_ISDIR(st.st_mode);
	/* The files are the image's, and nobody changes them here. */
	_cleanup_close_ int fd =
		openat(dir, name,
		       O_NOFOLLOW | O_CLOEXEC | (directory ? O_RDONLY | O_DIRECTORY : O_WRONLY));
	if (fd < 0)
		return -errno;
	return directory ? copy_below(fd, depth + 1) : 0;
}

static int copy_below(int fd, unsigned depth)
{
	struct dirent *entry;
	int r = 0;
	if (depth > MAX_DEPTH)
		return -ELOOP;
	_cleanup_closedir_ DIR *dir = fs_opendir_at(fd, ".");
	if (!dir)
		return -errno;
	while (r == 0 && (entry = readdir(dir)))
		if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
			r = copy_name(fd, entry->d_name, depth);
	return r;
}

static int copy_path(int root, const char *path)
{
	struct stat st;
	if (*path != '/')
		return -EINVAL;
	_cleanup_close_ int fd = fs_open_in(root, path, O_PATH, 0);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return copy_below(fd, 0);
	_cleanup_close_ int file =
		S_ISREG(st.st_mode) ? fs_open_in(root, path, O_WRONLY, 0) : -EINVAL;
	return file < 0 ? file : 0;
}

int container_precopy(const struct storage_ops *ops, struct storage *storage,
		      const struct storage_mount_request *request, const char *const *paths,
		      struct masu_error *err)
{
	_cleanup_close_ int root = -1;
	int r = ops->mount(storage, request, &root, err);
	for (const char *const *path = paths; r == 0 && *path; path++) {
		r = copy_path(root, *path);
		if (r == -ENOENT) /* which to the caller would be an image that is missing */
			r = error_set(err, -EINVAL, "--precopy %.300s: not in the image", *path);
		else if (r == -EINVAL)
			error_set(err, r,
				  "--precopy %.300s: not the absolute path of a file or directory",
				  *path);
		else if (r < 0)
			error_errno(err, r, "--precopy %.300s", *path);
	}
	return r;
}
