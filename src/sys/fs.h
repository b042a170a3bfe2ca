/*
 * Files and directories. Two families:
 *   fs_*_in()  paths that an image, a container or a user chose: resolved inside a root by
 * openat2(2) with RESOLVE_IN_ROOT, so no "..", absolute link or race leads out of it; the others:
 * paths that masu itself made. All return 0 (or an fd) or -errno.
 */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"

/* Opens @path inside @rootfd (RESOLVE_IN_ROOT, no magic links). O_CLOEXEC is implied. */
int fs_open_in(int rootfd, const char *path, int flags, mode_t mode);

/* As fs_open_in(), but what leads out of the root is refused (-EXDEV) rather than taken in it. */
int fs_open_beneath(int rootfd, const char *path, int flags);

/* As fs_open_in(), and no component may be a symlink nor on another filesystem than the root's. */
int fs_open_in_strict(int rootfd, const char *path, int flags, mode_t mode);

/* As fs_open_in(), and no component may be a symlink (-ELOOP). */
int fs_open_in_real(int rootfd, const char *path, int flags, mode_t mode);

/*
 * mkdir -p of @path inside @rootfd; each level is opened in the root, missing ones made with @mode,
 * also where a link leads to what is missing. Returns an O_PATH fd of the last one.
 */
int fs_mkdirs_in(int rootfd, const char *path, mode_t mode);

/*
 * Makes @path exist inside @rootfd as a mount target: a directory, or an empty regular file where
 * @want_file (without @mode's x bits). What exists is kept whatever its kind; a link
 * that leads nowhere is followed inside the root. Returns an O_PATH fd of it.
 */
int fs_target_in(int rootfd, const char *path, bool want_file, mode_t mode);

/*
 * Reads a regular file inside the root, at most @limit bytes (-EFBIG past that; -EINVAL where it is
 * not a regular file). Never blocks on a FIFO or device.
 */
int fs_read_in(int rootfd, const char *path, size_t limit, struct buf *ret);

/*
 * The names in directory @fd but "." and "..", sorted by their bytes, NULL-terminated, in the
 * arena.
 */
int fs_names(int fd, struct arena *arena, const char ***ret, size_t *ret_count);

/* mkdir -p on an ordinary path. */
int fs_mkdirs(int dirfd, const char *path, mode_t mode);

/* Reads a whole file, at most @limit bytes (-EFBIG past that). Works on /proc and cgroup files. */
int fs_read_at(int dirfd, const char *path, size_t limit, struct buf *ret);

/*
 * Reads a regular file whole into the arena, with a NUL behind it: -EFBIG past @limit bytes,
 * -EINVAL where it is not a regular file. Never blocks on a FIFO or device.
 */
int fs_read_arena(int dirfd, const char *path, size_t limit, struct arena *arena, char **ret,
		  size_t *ret_len);

/* Reads a small kernel file into @dst with a NUL, trailing newline removed. -EFBIG where it does
 * not fit. */
int fs_read_small(int dirfd, const char *path, char *dst, size_t size);

/* opendir(3) of @path below @dirfd, "." for itself, without following a link there. NULL: errno. */
DIR *fs_opendir_at(int dirfd, const char *path);

/* One write(2) of @text to an existing file (kernel files); O_WRONLY, no O_CREAT, no O_TRUNC. */
int fs_write_at(int dirfd, const char *path, const char *text);

/* Reads up to @size bytes, fewer only at the end, restarting on EINTR and short reads; how many. */
ssize_t fs_read_full(int fd, void *buffer, size_t size);

/* Writes all of @len bytes, restarting on EINTR and short writes. */
int fs_write_all(int fd, const void *data, size_t len);

/*
 * Replaces @name in @dirfd by a file of @len bytes and @mode that appears whole or not at all: a
 * temporary file in the same directory, rename(2). With @durable also fsync of file and directory
 * before the return, so that a reply given after it survives power loss.
 */
int fs_write_atomic(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
		    bool durable);

/*
 * Makes the content of @name in @dirfd exactly @data without replacing the inode, which may be
 * bound somewhere; neither atomic nor durable. Never truncates to nothing on the way: ext4 takes
 * that for a replacement and flushes the file when it is closed.
 */
int fs_rewrite(int dirfd, const char *name, const void *data, size_t len, mode_t mode);

int fs_fsync_dir(int dirfd);

/* rm -rf of @name in @dirfd; never follows a symlink, never leaves the filesystem of @name. -ENOENT
 * is success. */
int fs_remove_tree(int dirfd, const char *name);

/* True where @fd is on filesystem type @magic (linux/magic.h). */
bool fs_is_type(int fd, long magic);

/* "/proc/self/fd/N" into @ret: the path by which calls without an AT_EMPTY_PATH reach @fd. */
#define FS_PROC_FD_MAX 32
const char *fs_proc_fd(int fd, char ret[FS_PROC_FD_MAX]);

/*
 * What is mounted at @place becomes a detached mount (open_tree(2)) with these attributes
 * (mount_setattr(2)), and the place is free again, also where that failed.
 */
struct mount_attr; /* linux/mount.h */
int fs_take_off(const char *place, const struct mount_attr *attr, int *ret_fd);
