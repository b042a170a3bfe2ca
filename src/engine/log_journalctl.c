#include "engine/log_journalctl.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "json/json.h"

#define NOT_FOUND 127
#define READ_SIZE 65536

/* Runs journalctl with its output on @out; the child's pid or -errno. */
static pid_t spawn(const char *const *args, int out)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid < 0 ? -errno : pid;
	dup2(out, STDOUT_FILENO);
	execvp(args[0], (char *const *)args);
	_exit(NOT_FOUND);
}

void journal_sync(void)
{
	static const char *const args[] = { "journalctl", "--sync", NULL };
	_cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	pid_t pid = null >= 0 ? spawn(args, null) : -1;
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

int journal_open(struct journal_reader *reader, const char *id, bool follow, int64_t tail)
{
	char match[96], lines[48];
	int ends[2];
	snprintf(match, sizeof(match), "CONTAINER_ID_FULL=%s", id);
	snprintf(lines, sizeof(lines), "--lines=%lld", (long long)tail);
	const char *const args[] = {
		"journalctl",
		"--quiet",
		"--no-pager",
		"--all",
		"--output=json",
		"--output-fields=MESSAGE,PRIORITY,CONTAINER_PARTIAL_MESSAGE,SYSLOG_TIMESTAMP",
		match,
		tail >= 0 ? lines : "--no-tail",
		follow ? "--follow" : NULL,
		NULL
	};
	*reader = (struct journal_reader) { .fd = -1 };
	buf_init(&reader->text, LOG_LINE_MAX * 8 + READ_SIZE);
	arena_init(&reader->arena, 0);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	_cleanup_close_ int theirs = ends[1];
	reader->fd = ends[0];
	reader->pid = spawn(args, theirs);
	if (reader->pid < 0)
		return reader->pid;
	return fcntl(reader->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static void reap(struct journal_reader *reader)
{
	int status = 0;
	while (reader->pid > 0 && waitpid(reader->pid, &status, 0) < 0 && errno == EINTR)
		;
	reader->missing = WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND;
	reader->pid = 0;
}

void journal_close(struct journal_reader *reader)
{
	if (reader->pid > 0)
		kill(reader->pid, SIGTERM);
	reap(reader);
	cleanup_close(&reader->fd);
	buf_free(&reader->text);
	arena_free(&reader->arena);
}

/* A field's value: text, or the bytes one by one where they are no printable text. */
static char *value_of(struct arena *arena, const struct json *value, size_t *ret_len)
{
	uint64_t byte;
	char *text = value ? arena_alloc(arena, value->text_len + value->count + 2) : NULL;
	*ret_len = 0;
	if (!text || (value->type != JSON_STRING && value->type != JSON_ARRAY))
		return NULL;
	if (value->type == JSON_STRING)
		memcpy(text, value->text, *ret_len = value->text_len);
	json_foreach (item, value->type == JSON_ARRAY ? value : NULL) {
		if (!json_u64(item, &byte) || byte > 255)
			return NULL;
		text[(*ret_len)++] = (char)byte;
	}
	return text;
}

/* One message; false: it is none of a container's. */
static bool parse_message(struct journal_reader *reader, const char *line, size_t len,
			  struct log_entry *ret)
{
	const struct json *message;
	const char *partial, *priority, *time;
	arena_reset(&reader->arena);
	if (json_parse_flags(&reader->arena, line, len, JSON_ALLOW_NUL, &message, NULL) < 0 ||
	    !json_string(json_get(message, "SYSLOG_TIMESTAMP"), &time))
		return false;
	char *text = value_of(&reader->arena, json_get(message, "MESSAGE"), &len);
	if (!text)
		return false;
	bool goes_on = json_string(json_get(message, "CONTAINER_PARTIAL_MESSAGE"), &partial) &&
		       streq(partial, "true");
	bool is_error =
		json_string(json_get(message, "PRIORITY"), &priority) && streq(priority, "3");
	if (!goes_on)
		text[len++] = '\n';
	*ret = (struct log_entry) { .stream = is_error ? 2 : 1,
				    .time = time,
				    .time_len = strlen(time),
				    .data = text,
				    .len = len };
	return true;
}

/* A whole line of what has been read; false: there is none. */
static bool take_line(struct journal_reader *reader, struct log_entry *ret)
{
	for (;;) {
		const char *line = buf_str(&reader->text) + reader->at;
		const char *newline = memchr(line, '\n', reader->text.len - reader->at);
		if (!newline)
			return false;
		reader->at += (size_t)(newline - line) + 1;
		if (parse_message(reader, line, (size_t)(newline - line), ret))
			return true;
	}
}

/* 1: something was read. */
static int fill(struct journal_reader *reader)
{
	struct buf *text = &reader->text;
	if (reader->at) {
		memmove(text->data, text->data + reader->at, text->len - reader->at);
		text->len -= reader->at;
		reader->at = 0;
	}
	if (buf_reserve(text, READ_SIZE) < 0) {
		buf_reset(text); /* no message is as long as that */
		return 1;
	}
	ssize_t got = read(reader->fd, text->data + text->len, READ_SIZE);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	text->len += (size_t)got;
	reader->ended = got == 0;
	if (reader->ended)
		reap(reader);
	return got > 0;
}

int journal_next(struct journal_reader *reader, struct log_entry *ret)
{
	while (!take_line(reader, ret)) {
		int r = reader->ended ? 0 : fill(reader);
		if (r <= 0)
			return r;
	}
	return 1;
}
