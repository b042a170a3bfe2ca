#include "cold/system/storage_measure.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/fs.h"

#define FILE_NAME    ".masu-storage-bench"
#define CHUNK	     (1u << 20)
#define PAGE	     4096u
#define RANDOM_READS 2000u
#define FSYNCS	     50u
#define MAX_DEPTH    200

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int write_file(int fd, char *buffer, uint64_t size, double *ret)
{
	double begin = now();
	for (uint64_t at = 0; at < size; at += CHUNK) {
		memset(buffer, (int)(at >> 20 & 0xff) | 1, PAGE);
		int r = fs_write_all(fd, buffer, CHUNK);
		if (r < 0)
			return r;
	}
	if (fsync(fd) < 0)
		return -errno;
	*ret = (double)size / 1e6 / (now() - begin);
	return 0;
}

static void forget(int fd)
{
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int read_file(int fd, char *buffer, uint64_t size, double *ret)
{
	forget(fd);
	double begin = now();
	for (uint64_t at = 0; at < size; at += CHUNK)
		if (pread(fd, buffer, CHUNK, (off_t)at) != CHUNK)
			return errno ? -errno : -EIO;
	*ret = (double)size / 1e6 / (now() - begin);
	return 0;
}

/* The same places each time. */
static int read_randomly(int fd, char *buffer, uint64_t size, double *ret)
{
	uint64_t seed = 88172645463325252ull, pages = size / PAGE;
	forget(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	double begin = now();
	for (unsigned i = 0; i < RANDOM_READS; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		if (pread(fd, buffer, PAGE, (off_t)(seed % pages * PAGE)) != PAGE)
			return errno ? -errno : -EIO;
	}
	*ret = RANDOM_READS / (now() - begin);
	return 0;
}

static int write_and_sync(int fd, char *buffer, uint64_t size, double *ret)
{
	double begin = now();
	for (unsigned i = 0; i < FSYNCS; i++)
		if (pwrite(fd, buffer, PAGE, (off_t)(size / FSYNCS / PAGE * PAGE * i)) != PAGE ||
		    fdatasync(fd) < 0)
			return -errno;
	*ret = FSYNCS / (now() - begin);
	return 0;
}

static int measure_file(int dir, uint64_t size, struct measured *ret)
{
	_cleanup_free_ char *buffer = malloc(CHUNK);
	_cleanup_close_ int fd =
		openat(dir, FILE_NAME, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || !buffer)
		return fd < 0 ? -errno : -ENOMEM;
	memset(buffer, 'm', CHUNK);
	int r = write_file(fd, buffer, size, &ret->write);
	if (r == 0)
		r = read_file(fd, buffer, size, &ret->read);
	if (r == 0)
		r = read_randomly(fd, buffer, size, &ret->random_read);
	if (r == 0)
		r = write_and_sync(fd, buffer, size, &ret->fsync);
	unlinkat(dir, FILE_NAME, 0);
	return r;
}

/* ---- the tree ---- */

struct storm {
	struct measured *measured;
	unsigned depth;
	size_t len;
	char path[PATH_MAX], biggest[PATH_MAX];
};

static int visit(struct storm *s, int dir);

static int visit_name(struct storm *s, int dir, const char *name)
{
	struct stat st;
	char byte;
	size_t before = s->len;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	s->measured->files++;
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return 0;
	int r = str_format(s->path + before, sizeof(s->path) - before, "%s%s", before ? "/" : "",
			   name);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (S_ISREG(st.st_mode)) {
		if (pread(fd, &byte, 1, 0) < 0)
			return -errno;
		if ((uint64_t)st.st_size > s->measured->biggest) {
			s->measured->biggest = (uint64_t)st.st_size;
			memcpy(s->biggest, s->path, sizeof(s->biggest));
		}
		s->path[before] = '\0';
		return 0;
	}
	s->len = before + strlen(s->path + before);
	r = s->depth < MAX_DEPTH ? visit(s, fd) : -ELOOP;
	s->len = before;
	s->path[before] = '\0';
	return r;
}

static int visit(struct storm *s, int dir)
{
	_cleanup_closedir_ DIR *list = fs_opendir_at(dir, ".");
	struct dirent *entry;
	int r = list ? 0 : -errno;
	s->depth++;
	while (r == 0 && (entry = readdir(list)))
		if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
			r = visit_name(s, dir, entry->d_name);
	s->depth--;
	return r;
}

static int append(int dir, const char *path, double *ret)
{
	double begin = now();
	_cleanup_close_ int fd =
		fs_open_in(dir, path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	if (write(fd, "", 1) != 1)
		return -errno;
	*ret = (now() - begin) * 1e3;
	return 0;
}

/* The second time: what comes from the disk is the disk's. */
static int measure_tree(int dir, struct measured *ret)
{
	_cleanup_free_ struct storm *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->measured = ret;
	int r = visit(s, dir);
	ret->files = 0;
	double begin = now();
	if (r == 0)
		r = visit(s, dir);
	ret->storm = (double)ret->files / (now() - begin);
	return r == 0 && *s->biggest ? append(dir, s->biggest, &ret->append) : r;
}

int storage_measure(int fd, uint64_t size, struct measured *ret, struct masu_error *err)
{
	struct measured measured = { 0 };
	int r = measure_tree(fd, &measured);
	if (r < 0)
		return error_errno(err, r, "reading the image's files");
	r = measure_file(fd, size, &measured);
	if (r < 0)
		return error_errno(err, r, "writing and reading a file of %llu bytes",
				   (unsigned long long)size);
	*ret = measured;
	return 0;
}
