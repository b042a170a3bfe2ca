#include "storage/usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/fs.h"

#define MAX_DEPTH 512 /* one open directory each */

struct usage {
	dev_t dev;
	bool writable; /* a layer of overlay's, see has_no_content() */
	uint64_t bytes, inodes;
	uint64_t parts; /* of bytes, in 2^-32 */
	uint64_t taken; /* on the disk */
};

static int add_below(struct usage *usage, int fd, unsigned depth);

/* A file of an overlay's writable layer whose content is still in a layer below. */
static bool has_no_content(int dirfd, const char *name, const struct stat *st)
{
	char path[FS_PROC_FD_MAX + NAME_MAX + 2], proc[FS_PROC_FD_MAX];
	return (uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size &&
	       str_format(path, sizeof(path), "%s/%s", fs_proc_fd(dirfd, proc), name) == 0 &&
	       lgetxattr(path, "trusted.overlay.metacopy", NULL, 0) >= 0;
}

static int add_entry(struct usage *usage, int dirfd, const char *name, unsigned depth)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	usage->inodes++;
	usage->taken += (uint64_t)st.st_blocks * 512 / (st.st_nlink ? st.st_nlink : 1);
	/* All names of a file are below the same directory, so their shares add up to its size. */
	if (S_ISREG(st.st_mode) && st.st_size > 0 && st.st_nlink > 0 &&
	    !(usage->writable && has_no_content(dirfd, name, &st))) {
		usage->bytes += (uint64_t)st.st_size / st.st_nlink;
		usage->parts += ((uint64_t)st.st_size % st.st_nlink << 32) / st.st_nlink;
	}
	if (!S_ISDIR(st.st_mode) || st.st_dev != usage->dev)
		return 0;
	if (depth >= MAX_DEPTH)
		return -ELOOP;
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return add_below(usage, fd, depth + 1);
}

static int add_below(struct usage *usage, int fd, unsigned depth)
{
	_cleanup_closedir_ DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	struct dirent *entry;
	while ((entry = readdir(dir))) {
		if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
			continue;
		int r = add_entry(usage, fd, entry->d_name, depth);
		if (r < 0)
			return r;
	}
	return 0;
}

static int sum_up(int dirfd, const char *name, bool writable, uint64_t *ret_bytes,
		  uint64_t *ret_inodes, uint64_t *ret_taken)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	struct usage usage = { .dev = st.st_dev, .writable = writable };
	int r = add_below(&usage, fd, 0);
	if (r < 0)
		return r;
	*ret_bytes = usage.bytes + ((usage.parts + (1u << 31)) >> 32);
	*ret_inodes = usage.inodes;
	if (ret_taken)
		*ret_taken = usage.taken;
	return 0;
}

int storage_usage(int dirfd, const char *name, uint64_t *ret_bytes, uint64_t *ret_inodes)
{
	return sum_up(dirfd, name, false, ret_bytes, ret_inodes, NULL);
}

int storage_usage_writable(int dirfd, const char *name, uint64_t *ret_bytes, uint64_t *ret_inodes)
{
	return sum_up(dirfd, name, true, ret_bytes, ret_inodes, NULL);
}

int storage_usage_taken(int dirfd, const char *name, uint64_t *ret_taken)
{
	uint64_t bytes, inodes;
	return sum_up(dirfd, name, false, &bytes, &inodes, ret_taken);
}
