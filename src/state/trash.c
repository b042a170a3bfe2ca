/*
 * The trash: removal is one rename(2) on the critical path, deletion comes behind. One process at a
 * time deletes, by a lock on the directory itself.
 */
#include "state/trash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "sys/fs.h"
#include "sys/subvolume.h"
#include "sys/syscalls.h"

#define TRASH	  "trash"
#define MAX_DEPTH 64

#define EROFS_MAGIC 0xE0F5E1E2

static int rename_into_trash(int root_fd, int dirfd, const char *name, const char *target)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), TRASH "/%s", target);
	if (r < 0)
		return r;
	r = sys_renameat2(dirfd, name, root_fd, path, RENAME_NOREPLACE);
	if (r == -EINVAL) /* a filesystem without RENAME_NOREPLACE; the names are unique anyway */
		r = renameat(dirfd, name, root_fd, path) < 0 ? -errno : 0;
	return r;
}

int trash_move(int root_fd, int dirfd, const char *name, const char *trash_name)
{
	int r = rename_into_trash(root_fd, dirfd, name, trash_name);
	if (r == -ENOENT) {
		if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (mkdirat(root_fd, TRASH, 0700) < 0 && errno != EEXIST)
			return -errno;
		r = rename_into_trash(root_fd, dirfd, name, trash_name);
	}
	if (r != -EEXIST && r != -ENOTEMPTY)
		return r;
	char id[ID_LENGTH + 1], unique[NAME_MAX + 1];
	r = id_random(id);
	if (r == 0)
		r = str_format(unique, sizeof(unique), "%s-%.16s", trash_name, id);
	return r < 0 ? r : rename_into_trash(root_fd, dirfd, name, unique);
}

/* One run of trash_empty(). */
struct deletion {
	int trash_fd;
	dev_t dev;
	long left;	 /* entries it may still delete, -1: all */
	bool more_above; /* something deep was moved to the top of the trash */
};

static void count_one(struct deletion *d)
{
	if (d->left > 0)
		d->left--;
}

/*
 * A container can nest directories without limit; below MAX_DEPTH a directory is moved up into the
 * trash and its turn comes later, so neither stack nor open files grow with the depth.
 */
static int move_up(struct deletion *d, int dirfd, const char *name)
{
	char id[ID_LENGTH + 1];
	int r = id_random(id);
	if (r == 0 && renameat(dirfd, name, d->trash_fd, id) < 0)
		r = -errno;
	d->more_above |= r == 0;
	return r;
}

static int delete_below(struct deletion *d, int fd, unsigned depth);

/* A layer's own mount, which whoever removed the layer was killed before taking away. */
static bool unmount_layer(int parent, const char *name)
{
	char proc[FS_PROC_FD_MAX], path[PATH_MAX];
	_cleanup_close_ int fd =
		openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && fs_is_type(fd, EROFS_MAGIC) &&
	       str_format(path, sizeof(path), "%s/%s", fs_proc_fd(parent, proc), name) == 0 &&
	       umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
}

/* One that a container made others in: those go with what else is in it. */
static int delete_subvolume(struct deletion *d, int parent, const char *name, unsigned depth)
{
	struct stat st;
	if (subvolume_destroy(parent, name) == 0)
		return 0;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!subvolume_is(fd) || fstat(fd, &st) < 0) {
		close(fd);
		return -EXDEV;
	}
	dev_t outer = d->dev;
	d->dev = st.st_dev;
	int r = delete_below(d, fd, depth + 1);
	d->dev = outer;
	if (r < 0 || d->left == 0)
		return r;
	return subvolume_destroy(parent, name);
}

static int delete_directory(struct deletion *d, int parent, const char *name, unsigned depth)
{
	if (depth >= MAX_DEPTH)
		return move_up(d, parent, name);
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = delete_below(d, fd, depth + 1);
	if (r == -EXDEV && unmount_layer(parent, name))
		return delete_directory(d, parent, name, depth);
	if (r == -EXDEV)
		return delete_subvolume(d, parent, name, depth);
	if (r < 0 || d->left == 0)
		return r;
	count_one(d);
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Deletes what is below @fd, which it closes, as far as allowed; another filesystem is left alone.
 */
static int delete_below(struct deletion *d, int fd, unsigned depth)
{
	_cleanup_closedir_ DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_dev != d->dev)
		return -EXDEV;
	int result = 0;
	struct dirent *entry;
	while (d->left != 0 && (entry = readdir(dir))) {
		if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
			continue;
		if (entry->d_type != DT_DIR && unlinkat(fd, entry->d_name, 0) == 0) {
			count_one(d);
			continue;
		}
		/* One stubborn entry does not keep the others. */
		int r = delete_directory(d, fd, entry->d_name, depth);
		if (r < 0)
			result = r;
	}
	return result;
}

/* Under the trash's lock. */
static int empty_locked(struct deletion *d)
{
	int r;
	do {
		d->more_above = false;
		int again = openat(d->trash_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = again < 0 ? -errno : delete_below(d, again, 0);
	} while (r == 0 && d->more_above && d->left != 0);
	return r;
}

static void (*also)(int root_fd);

void trash_also(void (*fn)(int root_fd))
{
	also = fn;
}

static int empty(int root_fd, size_t max_entries)
{
	_cleanup_close_ int fd = openat(root_fd, TRASH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	struct stat st;
	struct deletion d = {
		.trash_fd = fd,
		.left = max_entries == 0 || max_entries > LONG_MAX ? -1 : (long)max_entries,
	};
	int r = 0;
	/* Who found the lock taken left his piece to its holder, who therefore looks once more
	 * after letting go: directories count in the link count (on btrfs they do not; there the
	 * next one finds it). */
	do {
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			return errno == EWOULDBLOCK ? 0 : -errno;
		if (fstat(fd, &st) < 0)
			return -errno;
		d.dev = st.st_dev;
		r = empty_locked(&d);
		flock(fd, LOCK_UN);
	} while (r == 0 && d.left != 0 && fstat(fd, &st) == 0 && st.st_nlink > 2);
	return r;
}

int trash_empty(int root_fd, size_t max_entries)
{
	int r = empty(root_fd, max_entries);
	if (also)
		also(root_fd);
	return r;
}
