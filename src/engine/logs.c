/* `logs`: a log read back, and followed for as long as the container may write to it. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/internal.h"
#include "engine/log_journalctl.h"
#include "engine/log_reader.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define JOURNAL_QUIET_MS 300 /* after its end, until nothing more of a container is expected */

struct logs {
	struct engine *engine;
	const char *id;
	const struct logs_config *config;
	engine_log_fn fn;
	void *opaque;
	struct log_reader reader;
	struct journal_reader *journal; /* instead of it; NULL: the log is in files */
	bool over;			/* --until is passed */
};

/* RFC 3339 in UTC, all with nine digits, so that text compares as time does. */
static int compare_time(const struct log_entry *entry, const char *time)
{
	size_t len = strlen(time);
	int r = memcmp(entry->time, time, entry->time_len < len ? entry->time_len : len);
	return r ? r : (entry->time_len > len) - (entry->time_len < len);
}

static int deliver(struct logs *logs, const struct log_entry *entry)
{
	const struct logs_config *config = logs->config;
	if (config->since && compare_time(entry, config->since) < 0)
		return 0;
	if (config->until && compare_time(entry, config->until) > 0) {
		logs->over = true;
		return 0;
	}
	return logs->fn(logs->opaque, entry);
}

/* Says what a reader that was slower than the rotation could not see. */
static int deliver_missing(struct logs *logs, const struct log_entry *next)
{
	static const char text[] =
		"masu: lines are missing here: the log was rotated faster than it was read\n";
	struct log_entry entry = *next;
	entry.stream = 2;
	entry.attrs = NULL;
	entry.data = text;
	entry.len = sizeof(text) - 1;
	logs->reader.missing = 0;
	return deliver(logs, &entry);
}

static int next_entry(struct logs *logs, struct log_entry *ret)
{
	return logs->journal ? journal_next(logs->journal, ret)
			     : log_reader_next(&logs->reader, ret);
}

/* All that is there now. */
static int read_all(struct logs *logs)
{
	static const struct log_entry pause = { .data = NULL };
	struct log_entry entry;
	int r;
	while (!logs->over && (r = next_entry(logs, &entry)) != 0) {
		if (r > 0 && logs->reader.missing)
			r = deliver_missing(logs, &entry);
		if (r >= 0)
			r = deliver(logs, &entry);
		if (r < 0)
			return r;
	}
	return logs->fn(logs->opaque, &pause);
}

/* Milliseconds until --until is reached, -1: there is no such time. */
static int time_left(const struct logs_config *config)
{
	struct timespec now;
	struct tm tm = { 0 };
	if (!config->until ||
	    sscanf(config->until, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t seconds = (int64_t)timegm(&tm) + 1 - now.tv_sec;
	return seconds < 0 ? 0 : seconds > 86400 ? 86400000 : (int)seconds * 1000;
}

/* The monitor that may write to the log; -ESRCH: the container has ended. */
static int open_monitor(struct logs *logs)
{
	_cleanup_arena_ struct arena arena;
	struct container container;
	arena_init(&arena, 0);
	int r = engine_load(logs->engine, &arena, logs->id, &container, NULL);
	if (r < 0)
		return -ESRCH; /* removed meanwhile */
	container_close(&container);
	bool lives = container.status == CONTAINER_RUNNING ||
		     container.status == CONTAINER_PAUSED ||
		     container.status == CONTAINER_RESTARTING;
	return lives && container.monitor_pid ? sys_pidfd_open(container.monitor_pid, 0) : -ESRCH;
}

/* Waits for something to happen to the log. 1: the monitor has ended. */
static int wait_change(struct logs *logs, int notify, int monitor)
{
	char events[4096];
	struct pollfd polls[] = { { .fd = notify, .events = POLLIN },
				  { .fd = monitor, .events = POLLIN } };
	int left = time_left(logs->config);
	int r = poll(polls, ARRAY_SIZE(polls), left);
	if (r < 0 && errno != EINTR)
		return -errno;
	if (r == 0 && time_left(logs->config) == 0)
		logs->over = true;
	while (read(notify, events, sizeof(events)) > 0)
		;
	return r > 0 && polls[1].revents != 0;
}

static int follow(struct logs *logs)
{
	char path[FS_PROC_FD_MAX];
	_cleanup_close_ int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (notify < 0 || inotify_add_watch(notify, fs_proc_fd(logs->reader.dir_fd, path),
					    IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return -errno;
	for (;;) {
		/* Looked for first: what it writes before its end is read after that. */
		_cleanup_close_ int monitor = open_monitor(logs);
		int ended = monitor < 0, r = read_all(logs);
		while (r == 0 && !ended && !logs->over) {
			ended = wait_change(logs, notify, monitor);
			r = ended < 0 ? ended : read_all(logs);
		}
		/* It may have been started again by another monitor. */
		if (r < 0 || logs->over || monitor < 0)
			return r;
	}
}

/* Until the journal's program ends; one that follows is ended once the container has, and what it
 * printed last has come. */
static int read_journal_messages(struct logs *logs, int *monitor)
{
	bool last = false;
	for (;;) {
		int r = read_all(logs);
		if (r < 0 || logs->over || logs->journal->ended)
			return r;
		struct pollfd polls[] = { { .fd = logs->journal->fd, .events = POLLIN },
					  { .fd = *monitor, .events = POLLIN } };
		int left = last ? JOURNAL_QUIET_MS : *monitor < 0 ? -1 : time_left(logs->config);
		r = poll(polls, ARRAY_SIZE(polls), left);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0 && (last || time_left(logs->config) == 0))
			return 0;
		if (r <= 0 || !polls[1].revents)
			continue;
		cleanup_close(monitor);
		*monitor = open_monitor(logs); /* it may have been started again */
		last = *monitor < 0;
		if (last)
			journal_sync();
	}
}

static int read_journal(struct logs *logs, struct masu_error *err)
{
	struct journal_reader journal;
	_cleanup_close_ int monitor = logs->config->follow ? open_monitor(logs) : -1;
	journal_sync();
	int r = journal_open(&journal, logs->id, monitor >= 0, logs->config->tail);
	logs->journal = &journal;
	if (r == 0)
		r = read_journal_messages(logs, &monitor);
	bool missing = journal.missing;
	journal_close(&journal);
	if (missing)
		return error_set(err, -ENOENT,
				 "the log is in the journal, and there is no journalctl to read "
				 "it; elsewhere: journalctl CONTAINER_ID_FULL=%s",
				 logs->id);
	return r;
}

int engine_logs(struct engine *engine, struct arena *arena, const char *id,
		const struct logs_config *config, engine_log_fn fn, void *opaque,
		struct masu_error *err)
{
	struct container container;
	struct log_options options;
	char name[96];
	int r = engine_load(engine, arena, id, &container, err);
	if (r < 0)
		return r;
	_cleanup_close_ int dir = take_fd(&container.dir_fd);
	container_close(&container);
	const struct container_config *log = &container.config;
	r = log_options_parse(log->log_driver, log->log_options, log->log_option_count, &options,
			      err);
	if (r < 0)
		return r;
	struct logs logs = {
		.engine = engine, .id = id, .config = config, .fn = fn, .opaque = opaque
	};
	if (options.ops == &log_journald)
		return read_journal(&logs, err);
	if (!options.ops->codec)
		return error_set(err, -ENOTSUP,
				 "configured logging driver does not support reading");
	r = log_reader_open(&logs.reader, dir, log_file_name(log->log_driver, id, name), &options);
	if (r == 0)
		r = log_reader_seek(&logs.reader, config->tail);
	if (r == 0)
		r = config->follow ? follow(&logs) : read_all(&logs);
	log_reader_close(&logs.reader);
	if (r < 0 && err && !error_is_set(err))
		error_errno(err, r, "container %.12s: its log", id);
	return r;
}
