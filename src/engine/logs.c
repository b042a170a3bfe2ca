/* Reading the log back, across rotated files, and following it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/internal.h"
#include "engine/log_writer.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define FILES_MAX    1000
#define SCAN_CHUNK   65536
#define RECORD_BYTES (LOG_RECORD_MAX + 1024)

struct log_reader {
	int dir_fd;
	char name[80];
	const struct logs_config *config;
	engine_log_fn fn;
	void *opaque;
	char *line; /* the record that is being read */
	size_t len;
	bool skip; /* too long to be one of ours: ignored up to its end */
};

static void file_name(const struct log_reader *reader, unsigned index, char ret[96])
{
	if (index)
		snprintf(ret, 96, "%s.%u", reader->name, index);
	else
		snprintf(ret, 96, "%s", reader->name);
}

static int open_file(const struct log_reader *reader, unsigned index)
{
	char name[96];
	file_name(reader, index, name);
	int fd = openat(reader->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* One record. What is damaged (the disk was full) is passed over. */
static int deliver(struct log_reader *reader)
{
	_cleanup_arena_ struct arena arena;
	const struct json *record;
	const char *text, *stream, *time;
	const struct json *log;
	arena_init(&arena, 4u << 20);
	if (json_parse_flags(&arena, reader->line, reader->len, JSON_ALLOW_NUL, &record, NULL) < 0)
		return 0;
	log = json_get(record, "log");
	if (!json_string(log, &text) || !json_string(json_get(record, "stream"), &stream) ||
	    !json_string(json_get(record, "time"), &time))
		return 0;
	if (reader->config->since && strcmp(time, reader->config->since) < 0)
		return 0;
	if (reader->config->until && strcmp(time, reader->config->until) > 0)
		return 0;
	return reader->fn(reader->opaque, streq(stream, "stderr") ? 2 : 1, time, text,
			  log->text_len);
}

static int feed(struct log_reader *reader, const char *data, size_t len)
{
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t part = newline ? (size_t)(newline - data) : len;
		if (reader->len + part > RECORD_BYTES)
			reader->skip = true;
		if (!reader->skip) {
			memcpy(reader->line + reader->len, data, part);
			reader->len += part;
		}
		if (!newline)
			return 0;
		int r = reader->skip ? 0 : deliver(reader);
		if (r < 0)
			return r;
		reader->skip = false;
		reader->len = 0;
		data += part + 1;
		len -= part + 1;
	}
	return 0;
}

/* From the fd's position to the present end. */
static int read_file(struct log_reader *reader, int fd)
{
	static char chunk[SCAN_CHUNK];
	for (;;) {
		ssize_t got = read(fd, chunk, sizeof(chunk));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : 0;
		int r = feed(reader, chunk, (size_t)got);
		if (r < 0)
			return r;
	}
}

/*
 * Where the last *lines records of a file begin. *lines becomes what the file lacked.
 */
static int seek_tail(int fd, int64_t *lines, off_t *ret)
{
	static char chunk[SCAN_CHUNK];
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	off_t end = st.st_size;
	int64_t found = 0;
	while (end > 0) {
		off_t from = end > SCAN_CHUNK ? end - SCAN_CHUNK : 0;
		ssize_t got = pread(fd, chunk, (size_t)(end - from), from);
		if (got < 0)
			return -errno;
		for (ssize_t i = got; i-- > 0;) {
			/* The newline at the very end closes the last record. */
			if (chunk[i] != '\n' || from + i == st.st_size - 1)
				continue;
			if (++found == *lines) {
				*lines = 0;
				*ret = from + i + 1;
				return 0;
			}
		}
		end = from;
	}
	*lines -= found + (st.st_size > 0);
	*ret = 0;
	return 0;
}

static unsigned oldest_file(const struct log_reader *reader)
{
	unsigned index = 0;
	while (index < FILES_MAX) {
		char name[96];
		file_name(reader, index + 1, name);
		if (faccessat(reader->dir_fd, name, F_OK, 0) < 0)
			break;
		index++;
	}
	return index;
}

/* The oldest file that is needed, and the place in it. */
static int find_start(struct log_reader *reader, unsigned *ret_index, off_t *ret_at)
{
	unsigned oldest = oldest_file(reader);
	int64_t lines = reader->config->tail;
	*ret_index = oldest;
	*ret_at = 0;
	if (lines < 0)
		return 0;
	for (unsigned index = 0; index <= oldest; index++) {
		_cleanup_close_ int fd = open_file(reader, index);
		*ret_index = index;
		if (fd < 0)
			continue;
		if (lines == 0) {
			*ret_at = lseek(fd, 0, SEEK_END);
			return 0;
		}
		int r = seek_tail(fd, &lines, ret_at);
		if (r < 0 || lines <= 0)
			return r;
	}
	return 0;
}

/* The whole log up to now; *ret_fd is the newest file, at its end. */
static int read_all(struct log_reader *reader, int *ret_fd)
{
	unsigned index;
	off_t at;
	int r = find_start(reader, &index, &at);
	for (;; index--) {
		_cleanup_close_ int fd = open_file(reader, index);
		if (r == 0 && fd >= 0 && at > 0 && lseek(fd, at, SEEK_SET) < 0)
			r = -errno;
		if (r == 0 && fd >= 0)
			r = read_file(reader, fd);
		if (r < 0)
			return r;
		at = 0;
		if (index == 0) {
			*ret_fd = take_fd(&fd);
			return 0;
		}
	}
}

static bool is_same_file(int fd, int other)
{
	struct stat a, b;
	return fd >= 0 && other >= 0 && fstat(fd, &a) == 0 && fstat(other, &b) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* Reads what came since; where the log was rotated, the rest of the old file and then the new. */
static int read_more(struct log_reader *reader, int *fd)
{
	int r = *fd >= 0 ? read_file(reader, *fd) : 0;
	_cleanup_close_ int newest = open_file(reader, 0);
	if (r < 0 || newest < 0 || is_same_file(*fd, newest))
		return r;
	if (*fd >= 0) {
		r = read_file(reader, *fd);
		close(*fd);
	}
	*fd = take_fd(&newest);
	return r < 0 ? r : read_file(reader, *fd);
}

static int follow(struct log_reader *reader, int *fd, pid_t monitor, struct masu_error *err)
{
	char path[FS_PROC_FD_MAX], events[4096];
	_cleanup_close_ int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	_cleanup_close_ int monitor_fd = monitor ? sys_pidfd_open(monitor, 0) : -ESRCH;
	if (notify < 0 || inotify_add_watch(notify, fs_proc_fd(reader->dir_fd, path),
					    IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return error_errno(err, -errno, "cannot follow the log");
	struct pollfd polls[] = { { .fd = notify, .events = POLLIN },
				  { .fd = monitor_fd, .events = POLLIN } };
	for (;;) {
		int r = read_more(reader, fd);
		/* No monitor, or it has ended: nothing more will come. */
		if (r < 0 || monitor_fd < 0 || polls[1].revents)
			return r;
		if (poll(polls, ARRAY_SIZE(polls), -1) < 0 && errno != EINTR)
			return -errno;
		while (read(notify, events, sizeof(events)) > 0)
			;
	}
}

int engine_logs(struct engine *engine, struct arena *arena, const char *id,
		const struct logs_config *config, engine_log_fn fn, void *opaque,
		struct masu_error *err)
{
	struct container container;
	_cleanup_close_ int fd = -1;
	int r = engine_load(engine, arena, id, &container, err);
	if (r < 0)
		return r;
	_cleanup_close_ int dir = take_fd(&container.dir_fd);
	container_close(&container);
	if (!container.log_path[0])
		return error_set(err, -ENOTSUP,
				 "configured logging driver does not support reading");
	struct log_reader reader = {
		.dir_fd = dir,
		.config = config,
		.fn = fn,
		.opaque = opaque,
		.line = arena_alloc(arena, RECORD_BYTES + 1),
	};
	if (!reader.line)
		return error_set(err, -ENOMEM, "out of memory");
	snprintf(reader.name, sizeof(reader.name), "%s-json.log", id);
	r = read_all(&reader, &fd);
	if (r == 0 && config->follow)
		r = follow(&reader, &fd, container.monitor_pid, err);
	if (r < 0 && err && !error_is_set(err))
		error_errno(err, r, "container %.12s: its log", id);
	return r;
}
