#include "state/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/fs.h"

#define LOCK_NAME	 "lock"
#define TEMPORARY_PREFIX ".tmp-" /* fs_write_atomic()'s */

/* The last folder tells that all of them exist: they are made in this order. */
static const char *const root_folders[] = { "images", "layers",	  "containers", "volumes",
					    "cache",  "networks", "trash" };
static const char *const runroot_folders[] = { "containers", "networks" };

static int make_folders(int fd, const char *const *folders, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (mkdirat(fd, folders[i], 0700) < 0 && errno != EEXIST)
			return -errno;
	return 0;
}

static int open_root(const char *path, const char *const *folders, size_t count, bool durable,
		     int *ret_fd, struct masu_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		int r = fs_mkdirs(AT_FDCWD, path, 0700);
		if (r < 0)
			return error_errno(err, r, "cannot make %s", path);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return error_errno(err, -errno, "cannot open %s", path);
	if (faccessat(fd, folders[count - 1], F_OK, 0) < 0) {
		int r = make_folders(fd, folders, count);
		/* Once in a root's life: what is acknowledged below must not vanish with its
		 * directory. A runroot vanishes in any case. */
		if (r == 0 && durable && syncfs(fd) < 0)
			r = -errno;
		if (r < 0)
			return error_errno(err, r, "cannot prepare %s", path);
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

int state_open_root(const char *path, int *ret_fd, struct masu_error *err)
{
	return open_root(path, root_folders, ARRAY_SIZE(root_folders), true, ret_fd, err);
}

int state_open_runroot(const char *path, int *ret_fd, struct masu_error *err)
{
	return open_root(path, runroot_folders, ARRAY_SIZE(runroot_folders), false, ret_fd, err);
}

int record_write(int dirfd, const char *name, const struct buf *document, bool durable,
		 struct masu_error *err)
{
	int r = buf_error(document);
	if (r == 0 && document->len > RECORD_MAX_BYTES)
		r = -EFBIG;
	if (r == 0)
		r = fs_write_atomic(dirfd, name, buf_str(document), document->len, 0600, durable);
	if (r < 0)
		return error_errno(err, r, "cannot write %s", name);
	return 0;
}

int record_read(int dirfd, const char *name, struct arena *arena, const struct json **ret,
		struct masu_error *err)
{
	char *text;
	size_t len;
	int r = fs_read_arena(dirfd, name, RECORD_MAX_BYTES, arena, &text, &len);
	if (r == -ENOENT)
		return r;
	if (r < 0)
		return error_errno(err, r, "cannot read %s", name);
	r = json_parse(arena, text, len, ret, err);
	if (r < 0 && err)
		return error_wrap(err, "%s", name);
	return r;
}

static int lock_file(int dirfd, int operation)
{
	_cleanup_close_ int fd = openat(dirfd, LOCK_NAME, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r;
	do
		r = flock(fd, operation);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	/* Whoever held it before removed the object. */
	if (st.st_nlink == 0)
		return -ENOENT;
	return take_fd(&fd);
}

int record_lock(int dirfd, enum record_lock_mode mode, struct masu_error *err)
{
	int fd = lock_file(dirfd, mode == RECORD_LOCK_SHARED ? LOCK_SH : LOCK_EX);
	if (fd < 0 && fd != -ENOENT)
		return error_errno(err, fd, "cannot take the lock");
	return fd;
}

int record_try_lock(int dirfd, enum record_lock_mode mode)
{
	return lock_file(dirfd, LOCK_NB | (mode == RECORD_LOCK_SHARED ? LOCK_SH : LOCK_EX));
}

static bool is_directory(DIR *dir, const struct dirent *entry)
{
	struct stat st;
	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(st.st_mode);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Doubles a full array; a NULL entry always fits behind the last. */
static int names_add(struct arena *arena, const char ***names, size_t *count, size_t *room,
		     const char *name)
{
	if (*count + 1 >= *room) {
		size_t grown_room = *room ? *room * 2 : 32;
		const char **grown = arena_array(arena, const char *, grown_room);
		if (!grown)
			return -ENOMEM;
		if (*count)
			memcpy(grown, *names, *count * sizeof(*grown));
		*names = grown;
		*room = grown_room;
	}
	(*names)[*count] = arena_strdup(arena, name);
	if (!(*names)[*count])
		return -ENOMEM;
	(*count)++;
	return 0;
}

int record_list(int directory, struct arena *arena, const char ***ret, size_t *ret_count,
		struct masu_error *err)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(directory, ".");
	if (!dir)
		return error_errno(err, -errno, "cannot list a directory");
	const char **names = arena_array(arena, const char *, 1);
	size_t count = 0, room = 0;
	struct dirent *entry;
	while ((errno = 0, entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || !is_directory(dir, entry))
			continue;
		if (names_add(arena, &names, &count, &room, entry->d_name) < 0)
			return error_set(err, -ENOMEM, "out of memory listing a directory");
	}
	if (errno)
		return error_errno(err, -errno, "cannot list a directory");
	if (!names)
		return error_set(err, -ENOMEM, "out of memory listing a directory");
	qsort(names, count, sizeof(*names), compare_names);
	*ret = names;
	*ret_count = count;
	return 0;
}

int record_sweep(int directory, unsigned min_age)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(directory, ".");
	if (!dir)
		return -errno;
	time_t now = time(NULL);
	struct dirent *entry;
	while ((errno = 0, entry = readdir(dir))) {
		struct stat st;
		if (!str_after(entry->d_name, TEMPORARY_PREFIX) ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISREG(st.st_mode) && now - st.st_mtime >= (time_t)min_age &&
		    unlinkat(dirfd(dir), entry->d_name, 0) < 0 && errno != ENOENT)
			return -errno;
	}
	return -errno;
}
