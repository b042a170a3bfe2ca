/* A log kept in files: records are collected, written by one write(2), and the files rotate. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/log_driver.h"
#include "engine/trim.h"

#define BATCH_MAX  (256u << 10)
#define GENERATION "user.masu.log-generation"

/* Records on their way to the file: one monitor has one log. */
static char space[BATCH_MAX] __attribute__((aligned(4096)));
static struct {
	size_t len;
	uint64_t records;
	char *data;
} batch = { .data = space };

static int open_file(const struct log *log, const char *name, int flags)
{
	return openat(log->dir_fd, name,
		      O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | flags, 0640);
}

int log_file_open(struct log *log, const struct container *container, struct masu_error *err)
{
	struct stat st;
	log_file_name(log->ops->name, container->id, log->name);
	log->fd = open_file(log, log->name, 0);
	if (log->fd < 0 || fstat(log->fd, &st) < 0)
		return error_errno(err, -errno, "container %.12s: cannot open its log",
				   container->id);
	log->size = (uint64_t)st.st_size;
	return 0;
}

uint64_t log_file_generation(int fd)
{
	uint64_t generation;
	if (fgetxattr(fd, GENERATION, &generation, sizeof(generation)) != sizeof(generation))
		return 0;
	return generation;
}

const char *log_rotated_name(const char *name, unsigned index, char ret[LOG_ROTATED_NAME_MAX])
{
	if (index)
		snprintf(ret, LOG_ROTATED_NAME_MAX, "%s.%u", name, index);
	else
		snprintf(ret, LOG_ROTATED_NAME_MAX, "%s", name);
	return ret;
}

/* The next file, which has its number before it has its name. */
static int open_next(const struct log *log, uint64_t generation)
{
	char making[LOG_ROTATED_NAME_MAX];
	snprintf(making, sizeof(making), "%s.new", log->name);
	int fd = open_file(log, making, O_TRUNC);
	/* Where there are no attributes, readers cannot tell what they missed. */
	if (fd >= 0 && fsetxattr(fd, GENERATION, &generation, sizeof(generation), 0) < 0)
		errno = 0;
	if (fd >= 0 && renameat(log->dir_fd, making, log->dir_fd, log->name) < 0)
		cleanup_close(&fd); /* the next write tries again */
	return fd;
}

/*
 * name -> name.1 -> … -> name.(max_file - 1), from the oldest on, which falls out. It is removed
 * rather than renamed over: ext4 flushes what replaces a file. The new file is always another
 * inode, also where it is the only one, so that a reader can tell it from the old one.
 */
static void rotate(struct log *log)
{
	char older[112], newer[112];
	uint64_t generation = log_file_generation(log->fd) + 1;
	cleanup_close(&log->fd);
	unlinkat(log->dir_fd, log_rotated_name(log->name, log->options.max_file - 1, older), 0);
	for (unsigned i = log->options.max_file - 1; i > 0; i--)
		renameat(log->dir_fd, log_rotated_name(log->name, i - 1, newer), log->dir_fd,
			 log_rotated_name(log->name, i, older));
	log->fd = open_next(log, generation);
	log->size = 0;
}

/* All or nothing: what was written of a record that did not fit on the disk is taken back. */
static int write_batch(struct log *log)
{
	size_t done = 0;
	if (log->fd < 0) /* could not be made when it was rotated */
		log->fd = open_file(log, log->name, 0);
	while (log->fd >= 0 && done < batch.len) {
		ssize_t written = write(log->fd, batch.data + done, batch.len - done);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			break;
		done += (size_t)written;
	}
	if (done == batch.len) {
		log->size += done;
		return 0;
	}
	if (done && ftruncate(log->fd, (off_t)log->size) < 0)
		log->size += done; /* a damaged record, which readers pass over */
	return -EIO;
}

void log_file_flush(struct log *log)
{
	if (batch.len == 0)
		return;
	if (write_batch(log) < 0) {
		log->failed += batch.records;
		log->lost += batch.records;
	}
	batch.len = 0;
	batch.records = 0;
}

char *log_file_reserve(struct log *log, size_t max)
{
	if (batch.len + max > BATCH_MAX)
		log_file_flush(log);
	return batch.data + batch.len;
}

void log_file_commit(struct log *log, size_t len)
{
	const char *record = batch.data + batch.len;
	uint64_t before = log->size + batch.len;
	if (log->options.max_size && before && before + len > log->options.max_size) {
		log_file_flush(log);
		rotate(log);
		memmove(batch.data, record, len);
	}
	batch.len += len;
	batch.records++;
}

void log_file_rest(struct log *log)
{
	trim_range(space, sizeof(space));
}

int log_file_seek_tail(int fd, off_t size, log_find_fn find, int64_t *lines, off_t *ret)
{
	_cleanup_free_ char *window = malloc(LOG_TAIL_WINDOW);
	off_t end = size;
	if (!window)
		return -ENOMEM;
	while (end > 0) {
		size_t len = end > LOG_TAIL_WINDOW ? LOG_TAIL_WINDOW : (size_t)end, first = 0;
		off_t from = end - (off_t)len;
		ssize_t got = pread(fd, window, len, from);
		if (got != (ssize_t)len)
			return got < 0 ? -errno : -EIO;
		size_t found = find(window, len, end == size, from == 0, lines, &first);
		if (found) {
			*ret = from + (off_t)found;
			return 0;
		}
		if (from == 0)
			break;
		end = from + (off_t)first;
	}
	*lines -= size > 0;
	*ret = 0;
	return 0;
}
