#include "engine/log_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define BUFFER_SIZE  (256u << 10) /* more than the longest record; stays in a processor's cache */
#define ROTATE_TRIES 100	  /* to see a rotation through that is under way */

static int open_file(const struct log_reader *reader, unsigned index)
{
	char name[LOG_ROTATED_NAME_MAX];
	int fd = openat(reader->dir_fd, log_rotated_name(reader->name, index, name),
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int log_reader_open(struct log_reader *reader, int dir_fd, const char *name,
		    const struct log_options *options)
{
	*reader = (struct log_reader) { .dir_fd = dir_fd,
					.max_file = options->max_file,
					.codec = options->ops->codec,
					.fd = -1,
					.buffer = malloc(BUFFER_SIZE) };
	snprintf(reader->name, sizeof(reader->name), "%s", name);
	return reader->buffer ? 0 : -ENOMEM;
}

void log_reader_close(struct log_reader *reader)
{
	cleanup_close(&reader->fd);
	free(take_ptr(reader->buffer));
}

/* Goes on with the file @fd, which it takes over. */
static void use_file(struct log_reader *reader, int fd)
{
	cleanup_close(&reader->fd);
	reader->fd = fd;
	reader->generation = log_file_generation(fd);
	reader->at = reader->len =
		0; /* a part of a record at the end of a file never becomes one */
}

/* ---- from one file to the next ---- */

static bool is_file(const struct log_reader *reader, unsigned index, const struct stat *st)
{
	char name[LOG_ROTATED_NAME_MAX];
	struct stat other;
	return fstatat(reader->dir_fd, log_rotated_name(reader->name, index, name), &other,
		       AT_SYMLINK_NOFOLLOW) == 0 &&
	       other.st_ino == st->st_ino && other.st_dev == st->st_dev;
}

/* The place of the file that is being read; max_file where it has fallen out. Files only move
 * upwards, so one that is looked for in that direction is not missed. */
static unsigned find_file(const struct log_reader *reader, const struct stat *st)
{
	unsigned index = 0;
	while (index < reader->max_file && !is_file(reader, index, st))
		index++;
	return index;
}

/* The newest of the files that are older than place @index, or as old; -ENOENT: there is none. */
static int open_below(const struct log_reader *reader, unsigned index)
{
	int fd = -ENOENT;
	while (fd < 0 && index-- > 0)
		fd = open_file(reader, index);
	return fd;
}

/* The file that follows the present one: 0: there is none. -EAGAIN: the log is just being rotated.
 */
static int open_next(const struct log_reader *reader, bool patient, int *ret_fd)
{
	struct stat st;
	if (fstat(reader->fd, &st) < 0)
		return -errno;
	unsigned index = find_file(reader, &st);
	if (index == 0)
		return 0;
	_cleanup_close_ int fd = open_file(reader, index - 1);
	/* A name is missing for a moment between two renames; for good if the writer died there. */
	if (fd < 0 && (index == reader->max_file || !patient))
		fd = open_below(reader, index);
	if (fd < 0)
		return patient ? -EAGAIN : 0;
	/* What was opened stood in front of the present file only if that has not moved. */
	if (index < reader->max_file && !is_file(reader, index, &st))
		return -EAGAIN;
	*ret_fd = take_fd(&fd);
	return 1;
}

/* 1: goes on with the next file. 0: the present one is the newest. */
static int next_file(struct log_reader *reader)
{
	int fd = -1, r = -EAGAIN;
	for (unsigned i = 0; r == -EAGAIN && i <= ROTATE_TRIES; i++) {
		r = open_next(reader, i < ROTATE_TRIES, &fd);
		if (r == -EAGAIN)
			sched_yield();
	}
	if (r <= 0)
		return r == -EAGAIN ? 0 : r;
	uint64_t before = reader->generation;
	use_file(reader, fd);
	if (reader->generation > before + 1)
		reader->missing += reader->generation - before - 1;
	return 1;
}

/* ---- records ---- */

/* More of the present file behind what is left. 1, 0 at its present end, or -errno. */
static int fill(struct log_reader *reader)
{
	ssize_t got;
	memmove(reader->buffer, reader->buffer + reader->at, reader->len);
	reader->at = 0;
	do
		got = read(reader->fd, reader->buffer + reader->len, BUFFER_SIZE - reader->len);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	reader->len += (size_t)got;
	return got > 0;
}

/* A record out of the buffer; false: none is whole. */
static bool decode(struct log_reader *reader, struct log_entry *ret)
{
	while (reader->len) {
		size_t used = reader->codec->decode(reader->buffer + reader->at, reader->len, ret);
		/* Too long to be one of ours. */
		if (used == 0 && reader->at == 0 && reader->len == BUFFER_SIZE)
			used = reader->len;
		if (used == 0)
			return false;
		reader->at += used;
		reader->len -= used;
		if (ret->data)
			return true;
	}
	return false;
}

int log_reader_next(struct log_reader *reader, struct log_entry *ret)
{
	for (;;) {
		if (decode(reader, ret))
			return 1;
		int r = reader->fd >= 0 ? fill(reader) : 0;
		if (r > 0)
			continue;
		if (r < 0)
			return r;
		if (reader->fd < 0) {
			int fd = open_below(reader, reader->max_file);
			if (fd < 0)
				return fd == -ENOENT ? 0 : fd;
			use_file(reader, fd);
			continue;
		}
		r = next_file(reader);
		if (r <= 0)
			return r;
	}
}

/* ---- the beginning ---- */

/* The oldest file. */
static int seek_oldest(struct log_reader *reader)
{
	for (unsigned index = reader->max_file; index-- > 0;) {
		int fd = open_file(reader, index);
		if (fd >= 0) {
			use_file(reader, fd);
			return 0;
		}
	}
	return 0;
}

int log_reader_seek(struct log_reader *reader, int64_t lines)
{
	if (lines < 0)
		return seek_oldest(reader);
	for (unsigned index = 0; index < reader->max_file; index++) {
		struct stat st;
		off_t at = 0;
		_cleanup_close_ int fd = open_file(reader, index);
		if (fd < 0)
			continue;
		int r = fstat(fd, &st) < 0 ? -errno : 0;
		if (r == 0 && lines == 0)
			at = st.st_size;
		else if (r == 0)
			r = reader->codec->seek_tail(fd, st.st_size, &lines, &at);
		if (r == 0 && lseek(fd, at, SEEK_SET) < 0)
			r = -errno;
		if (r < 0)
			return r;
		use_file(reader, take_fd(&fd));
		if (lines <= 0)
			return 0;
	}
	return 0;
}
