/* Copy-up: what an image has at a volume's mount point becomes the volume's first content. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/fs.h"
#include "sys/subvolume.h"
#include "tree/make.h"
#include "tree/walk.h"
#include "volume/internal.h"

/* In the volume's directory while its content is copied: what a killed copy left is not content. */
#define MARK "copying"

/* With @clear what is there is removed. */
static bool is_empty(int fd, bool clear)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(fd, ".");
	struct dirent *entry;
	if (!dir)
		return false;
	while ((entry = readdir(dir)))
		if (!streq(entry->d_name, ".") && !streq(entry->d_name, "..") &&
		    (!clear || fs_remove_tree(dirfd(dir), entry->d_name) < 0))
			return false;
	return true;
}

static int set_mark(int volume_dir)
{
	_cleanup_close_ int fd = openat(volume_dir, MARK, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : 0;
}

/* On the disk before anybody writes to the volume: else a power cut could leave the mark alone. */
static int remove_mark(int volume_dir)
{
	return unlinkat(volume_dir, MARK, 0) < 0 ? -errno : fs_fsync_dir(volume_dir);
}

int volume_copy_mark(int from, int to, struct masu_error *err)
{
	int r = faccessat(from, MARK, F_OK, 0) == 0 ? set_mark(to) : 0;
	return r < 0 ? error_errno(err, r, MARK) : 0;
}

int volume_copy_tree(int source, int target, struct masu_error *err)
{
	const struct tree_make_options options = { .keep_owner = true };
	const struct tree_walk_options walk = { .name = "" };
	_cleanup_tree_maker_ struct tree_maker *maker = NULL;
	int r = tree_maker_new(target, &options, &maker, err);
	return r < 0 ? r : tree_scan(source, &walk, tree_maker_sink(maker), err);
}

int volume_make_data(int dir, const char *name)
{
	return subvolume_make(dir, name, -1, false) == 0 || mkdirat(dir, name, 0755) == 0 ? 0
											  : -errno;
}

int volume_copy_data(int source, int dir, const char *name, bool frozen, struct masu_error *err)
{
	if (subvolume_is_plain(source) && subvolume_make(dir, name, source, frozen) == 0)
		return 0;
	int r = volume_make_data(dir, name);
	if (r < 0)
		return error_errno(err, r, "%s", name);
	_cleanup_close_ int target =
		openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0)
		return error_errno(err, -errno, "%s", name);
	r = volume_copy_tree(source, target, err);
	return r == 0 && syncfs(target) < 0 ? error_errno(err, -errno, "syncfs") : r;
}

static int copy_marked(int source, int target, int volume_dir, struct masu_error *err)
{
	bool resume = volume_dir >= 0 && faccessat(volume_dir, MARK, F_OK, 0) == 0;
	if (!is_empty(target, resume))
		return resume ? error_set(err, -EIO, "what a killed copy left cannot be removed")
			      : 0;
	/* Only the directory's own look: nothing that could be left half done. */
	if (is_empty(source, false) && !resume)
		return volume_copy_tree(source, target, err);
	int r = volume_dir >= 0 ? set_mark(volume_dir) : 0;
	if (r < 0)
		return error_errno(err, r, "cannot mark the copy");
	r = volume_copy_tree(source, target, err);
	if (r == 0 && syncfs(target) < 0)
		r = error_errno(err, -errno, "syncfs");
	if (r == 0 && volume_dir >= 0 && (r = remove_mark(volume_dir)) < 0)
		error_errno(err, r, "cannot finish the copy");
	return r;
}

int volume_copy_up(int source_fd, int data_fd, int volume_dir, struct masu_error *err)
{
	/* Two containers may start with one new volume at once: the second finds it filled. */
	if (flock(data_fd, LOCK_EX) < 0)
		return error_errno(err, -errno, "cannot lock the volume");
	int r = copy_marked(source_fd, data_fd, volume_dir, err);
	flock(data_fd, LOCK_UN);
	return r < 0 ? error_wrap(err, "cannot copy the image's files into the volume") : 0;
}
