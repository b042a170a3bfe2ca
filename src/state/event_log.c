#include "state/event_log.h"

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
#include "json/json.h"

#define OPEN_TRIES    4
#define FEW_ATTRIBUTE 32 /* sorted on the stack */

/* By key; of equal keys, which are of one array, in the order they were given. */
static int compare_pairs(const void *a, const void *b)
{
	const struct oci_pair *left = *(const struct oci_pair *const *)a;
	const struct oci_pair *right = *(const struct oci_pair *const *)b;
	int order = strcmp(left->key, right->key);
	return order ? order : (left > right) - (left < right);
}

static const char *attribute(const struct event *event, const char *key)
{
	for (size_t i = event->attribute_count; i-- > 0;)
		if (streq(event->attributes[i].key, key))
			return event->attributes[i].value;
	return NULL;
}

/* Sorted, as Go writes a map. */
static int put_attributes(struct json_writer *w, const struct event *event)
{
	const struct oci_pair *few[FEW_ATTRIBUTE];
	_cleanup_free_ const struct oci_pair **many = NULL;
	const struct oci_pair **sorted = few;
	size_t count = event->attribute_count;
	if (count > FEW_ATTRIBUTE) {
		sorted = many = calloc(count, sizeof(const struct oci_pair *));
		if (!many)
			return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++)
		sorted[i] = &event->attributes[i];
	qsort(sorted, count, sizeof(const struct oci_pair *), compare_pairs);
	json_begin_object(w);
	for (size_t i = 0; i < count; i++)
		if (i + 1 == count || !streq(sorted[i]->key, sorted[i + 1]->key))
			json_field_string(w, sorted[i]->key,
					  sorted[i]->value ? sorted[i]->value : "");
	json_end_object(w);
	return 0;
}

/* Docker's events.Message (moby, api/types/events), in its order of fields. */
static int put_event(struct buf *out, const struct event *event, const struct timespec *now)
{
	struct json_writer w;
	size_t start = out->len;
	bool container = streq(event->type, "container");
	json_writer_init(&w, out, false);
	json_begin_object(&w);
	if (container || streq(event->type, "image")) {
		json_field_string(&w, "status", event->action);
		if (*event->id)
			json_field_string(&w, "id", event->id);
	}
	const char *image = container ? attribute(event, "image") : NULL;
	if (image)
		json_field_string(&w, "from", image);
	json_field_string(&w, "Type", event->type);
	json_field_string(&w, "Action", event->action);
	json_key(&w, "Actor");
	json_begin_object(&w);
	json_field_string(&w, "ID", event->id);
	json_key(&w, "Attributes");
	int r = put_attributes(&w, event);
	json_end_object(&w);
	json_field_string(&w, "scope", "local");
	json_field_i64(&w, "time", now->tv_sec);
	json_field_i64(&w, "timeNano", now->tv_sec * INT64_C(1000000000) + now->tv_nsec);
	json_end_object(&w);
	buf_putc(out, '\n');
	if (r == 0)
		r = buf_error(out);
	return r == 0 && out->len - start > EVENT_LINE_MAX ? -E2BIG : r;
}

/*
 * Renames the full log @fd; whoever else finds it full meanwhile finds the lock taken or the name
 * taken away from the file, and goes on with the new one. True: there may be a new one.
 */
static bool rotate(int run_fd, int fd)
{
	struct stat named, opened;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return false;
	if (fstat(fd, &opened) < 0)
		return false;
	if (fstatat(run_fd, EVENT_LOG_NAME, &named, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT;
	/* Nobody renames this file without its lock, so what the name says now it says then. */
	if (named.st_ino != opened.st_ino || named.st_dev != opened.st_dev)
		return true;
	return renameat(run_fd, EVENT_LOG_NAME, run_fd, EVENT_LOG_OLD_NAME) == 0;
}

static int open_log(int run_fd)
{
	int fd = openat(run_fd, EVENT_LOG_NAME,
			O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	return fd < 0 ? -errno : fd;
}

/* A log that takes one more event. Full ones are rotated; where that cannot be, because a process
 * was stopped amidst of it, they grow on up to a bound. */
static int open_writable(int run_fd)
{
	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		_cleanup_close_ int fd = open_log(run_fd);
		if (fd < 0)
			return fd;
		off_t size = lseek(fd, 0, SEEK_END);
		if (size < 0)
			return -errno;
		if (size >= EVENT_LOG_SIZE && rotate(run_fd, fd))
			continue;
		return size < EVENT_LOG_HARD_MAX ? take_fd(&fd) : -EFBIG;
	}
	return -EFBIG;
}

/* What a full disk cut off ends its line, so that the next event has one of its own. */
static int write_lines(int fd, const struct buf *lines)
{
	ssize_t written;
	do
		written = write(fd, lines->data, lines->len);
	while (written < 0 && errno == EINTR);
	if (written < 0)
		return -errno;
	if ((size_t)written < lines->len)
		return write(fd, "\n", 1) == 1 ? -ENOSPC : -errno;
	return 0;
}

int event_log_append(int run_fd, const struct event *events, size_t count)
{
	_cleanup_buf_ struct buf lines;
	struct timespec now;
	buf_init(&lines, count * EVENT_LINE_MAX + count);
	clock_gettime(CLOCK_REALTIME, &now);
	for (size_t i = 0; i < count; i++) {
		int r = put_event(&lines, &events[i], &now);
		if (r < 0)
			return r;
	}
	_cleanup_close_ int fd = open_writable(run_fd);
	return fd < 0 ? fd : write_lines(fd, &lines);
}
