#include "state/event_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "state/event_log.h"
#include "sys/fs.h"

#define CHUNK	   65536u
#define FILES_MAX  3 /* one that was renamed, one between, the current one */
#define OPEN_TRIES 8

struct log_file {
	int fd;
	dev_t dev;
	ino_t ino;
	struct buf text; /* a line that is not whole yet */
};

struct event_reader {
	int run_fd, inotify_fd;
	struct log_file files[FILES_MAX]; /* oldest first; the last one is or was the current one */
	size_t count;
	struct arena arena; /* of the event that is handed out */
};

static void file_close(struct log_file *file)
{
	cleanup_close(&file->fd);
	buf_free(&file->text);
}

/* 1, or 0 where there is no such file. */
static int file_open(int run_fd, const char *name, struct log_file *ret)
{
	struct stat st;
	_cleanup_close_ int fd =
		openat(run_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret = (struct log_file) { .fd = take_fd(&fd), .dev = st.st_dev, .ino = st.st_ino };
	buf_init(&ret->text, EVENT_LINE_MAX + CHUNK);
	return 1;
}

static bool same_file(const struct log_file *a, const struct log_file *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

/*
 * Opens the current log and the one before, as @ret[0] and @ret[1] from the older to the newer.
 * Returns how many there are. The newer one first, because it may become the older one meanwhile.
 */
static int open_both(int run_fd, struct log_file ret[2])
{
	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		struct log_file current, old;
		int has_current = file_open(run_fd, EVENT_LOG_NAME, &current);
		if (has_current < 0)
			return has_current;
		int has_old = file_open(run_fd, EVENT_LOG_OLD_NAME, &old);
		if (has_old < 0 || (has_old && has_current && same_file(&old, &current))) {
			if (has_current)
				file_close(&current);
			if (has_old < 0)
				return has_old;
			file_close(&old);
			continue;
		}
		if (has_old)
			ret[0] = old;
		if (has_current)
			ret[has_old] = current;
		return has_old + has_current;
	}
	return -EAGAIN;
}

static int watch(struct event_reader *reader)
{
	char path[FS_PROC_FD_MAX];
	reader->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (reader->inotify_fd < 0 ||
	    inotify_add_watch(reader->inotify_fd, fs_proc_fd(reader->run_fd, path),
			      IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return -errno;
	return 0;
}

int event_reader_open(int run_fd, bool follow, struct event_reader **ret, struct masu_error *err)
{
	struct event_reader *reader = calloc(1, sizeof(*reader));
	if (!reader)
		return error_set(err, -ENOMEM, "out of memory");
	reader->run_fd = run_fd;
	reader->inotify_fd = -1;
	arena_init(&reader->arena, 0);
	int r = follow ? watch(reader) : 0;
	if (r == 0)
		r = open_both(run_fd, reader->files);
	if (r < 0) {
		event_reader_close(reader);
		return error_errno(err, r, "cannot read the event log");
	}
	reader->count = (size_t)r;
	*ret = reader;
	return 0;
}

void event_reader_close(struct event_reader *reader)
{
	if (!reader)
		return;
	for (size_t i = 0; i < reader->count; i++)
		file_close(&reader->files[i]);
	cleanup_close(&reader->inotify_fd);
	arena_free(&reader->arena);
	free(reader);
}

int event_reader_fd(const struct event_reader *reader)
{
	return reader->inotify_fd;
}

/* Where the next event might begin. */
static const char *next_start(const char *text)
{
	const char *status = strstr(text, "{\"status\":"), *type = strstr(text, "{\"Type\":");
	return !status || (type && type < status) ? type : status;
}

/* What a full disk cut off may stand before an event. */
static int hand_out(struct event_reader *reader, const char *line, event_fn fn, void *opaque)
{
	const struct json *event;
	for (const char *start = line; fn && start; start = next_start(start + 1)) {
		size_t len = strlen(start);
		arena_reset(&reader->arena);
		if (json_parse(&reader->arena, start, len, &event, NULL) == 0)
			return fn(opaque, event, start, len);
		if (!len)
			break;
	}
	return 0;
}

/* Hands out the whole lines of the buffer and keeps what is left. */
static int take_lines(struct event_reader *reader, struct buf *text, event_fn fn, void *opaque)
{
	char *line = text->data, *end;
	int r = 0;
	while (r >= 0 && (end = memchr(line, '\n', text->len - (size_t)(line - text->data)))) {
		*end = '\0';
		r = hand_out(reader, line, fn, opaque);
		line = end + 1;
	}
	text->len -= (size_t)(line - text->data);
	memmove(text->data, line, text->len + 1);
	/* Longer than any event: damaged. */
	if (text->len > EVENT_LINE_MAX)
		text->len = 0;
	return r;
}

/* 1, or 0 where there is no more at the moment. */
static int read_chunk(struct log_file *file)
{
	ssize_t n;
	int r = buf_reserve(&file->text, CHUNK);
	if (r < 0)
		return r;
	do
		n = read(file->fd, file->text.data + file->text.len, CHUNK);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	file->text.len += (size_t)n;
	file->text.data[file->text.len] = '\0';
	return 1;
}

/*
 * Hands out what is in the file and in the older ones. A late writer may have appended to an older
 * file and then to this one: so older files are looked into between reading this one and handing
 * out what was read, and what a process tells comes in its order.
 */
static int drain_file(struct event_reader *reader, size_t index, event_fn fn, void *opaque)
{
	struct log_file *file = &reader->files[index];
	int more;
	do {
		more = read_chunk(file);
		int r = more < 0 || index == 0 ? 0 : drain_file(reader, index - 1, fn, opaque);
		if (r == 0 && more > 0)
			r = take_lines(reader, &file->text, fn, opaque);
		if (r < 0)
			return r;
	} while (more > 0);
	return more;
}

static bool knows(const struct event_reader *reader, const struct log_file *file)
{
	for (size_t i = 0; i < reader->count; i++)
		if (same_file(&reader->files[i], file))
			return true;
	return false;
}

/* True where the name leads to another file than the last one that was read. */
static bool was_rotated(const struct event_reader *reader)
{
	struct stat st;
	if (fstatat(reader->run_fd, EVENT_LOG_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	if (reader->count == 0)
		return true;
	const struct log_file *last = &reader->files[reader->count - 1];
	return st.st_ino != last->ino || st.st_dev != last->dev;
}

/* Goes on to the files that are there now. The one that was current is kept: a writer that opened
 * it before may still append. */
static int reopen(struct event_reader *reader)
{
	struct log_file now[2];
	int found = open_both(reader->run_fd, now);
	if (found < 0)
		return found;
	while (reader->count > 1) {
		file_close(&reader->files[0]);
		memmove(&reader->files[0], &reader->files[1],
			--reader->count * sizeof(reader->files[0]));
	}
	for (int i = 0; i < found; i++) {
		if (knows(reader, &now[i]))
			file_close(&now[i]);
		else
			reader->files[reader->count++] = now[i];
	}
	return 0;
}

static void forget_changes(int inotify_fd)
{
	char events[sizeof(struct inotify_event) + NAME_MAX + 1]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	while (inotify_fd >= 0 && read(inotify_fd, events, sizeof(events)) > 0)
		;
}

int event_reader_drain(struct event_reader *reader, event_fn fn, void *opaque)
{
	/* Before the files: what changes from here on is told again. */
	forget_changes(reader->inotify_fd);
	for (;;) {
		int r = reader->count ? drain_file(reader, reader->count - 1, fn, opaque) : 0;
		if (r < 0 || !was_rotated(reader))
			return r;
		r = reopen(reader);
		if (r < 0)
			return r;
	}
}
