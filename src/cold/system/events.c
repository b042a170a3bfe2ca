/* `masu events`: what happened and what happens, from the event log. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/session.h"
#include "cli/template.h"
#include "cli/time_text.h"
#include "cold/system/event_filter.h"
#include "cold/system/verbs.h"
#include "state/event_reader.h"

#define NS_PER_SECOND INT64_C(1000000000)

struct stream {
	const struct events_options *options;
	struct template *template; /* NULL: text or JSON */
	int64_t since, until;	   /* nanoseconds since 1970, of what is shown of the past */
	struct arena arena;
	struct masu_error *err;
};

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/* RFC 3339 with nanoseconds, in local time. */
static void print_time(int64_t ns)
{
	time_t seconds = (time_t)(ns / NS_PER_SECOND);
	char date[32], zone[8] = "";
	struct tm tm;
	if (ns < 0 || !localtime_r(&seconds, &tm) ||
	    !strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) ||
	    !strftime(zone, sizeof(zone), "%z", &tm))
		return;
	printf("%s.%09lld", date, (long long)(ns % NS_PER_SECOND));
	if (tm.tm_gmtoff == 0)
		printf("Z ");
	else
		printf("%.3s:%s ", zone, zone + 3);
}

static void print_text(const struct json *event, int64_t ns)
{
	const struct json *actor = json_get(event, "Actor");
	const char *before = " (";
	print_time(ns);
	printf("%s %s %s", json_text(event, "Type"), json_text(event, "Action"),
	       json_text(actor, "ID"));
	const struct json *attributes = json_get(actor, "Attributes");
	json_foreach (item, attributes) {
		printf("%s%s=%s", before, item->key, item->text ? item->text : "");
		before = ", ";
	}
	puts(*before == ',' ? ")" : "");
}

/* What the template sees: all members, by the names that they have in Go. */
static const struct json *go_object(struct arena *arena, const struct json *event)
{
	static const char *const names[][2] = {
		{ "Action", "Action" }, { "Actor", "Actor" },	    { "From", "from" },
		{ "ID", "id" },		{ "Scope", "scope" },	    { "Status", "status" },
		{ "Time", "time" },	{ "TimeNano", "timeNano" }, { "Type", "Type" },
	};
	static const struct json absent = { .type = JSON_STRING, .text = "" };
	struct json *object = arena_new(arena, struct json);
	struct json *members = arena_array(arena, struct json, ARRAY_SIZE(names));
	if (!object || !members)
		return NULL;
	*object =
		(struct json) { .type = JSON_OBJECT, .count = ARRAY_SIZE(names), .child = members };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct json *member = json_get(event, names[i][1]);
		members[i] = member ? *member : absent;
		members[i].key = names[i][0];
		members[i].next = i + 1 < ARRAY_SIZE(names) ? &members[i + 1] : NULL;
	}
	return object;
}

static int render(struct stream *stream, const struct json *event, struct buf *out)
{
	const struct json *object = go_object(&stream->arena, event);
	if (!object)
		return error_set(stream->err, -ENOMEM, "out of memory");
	return template_run(stream->template, &stream->arena, object, 0, out, stream->err);
}

static int print_template(struct stream *stream, const struct json *event)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 0);
	arena_reset(&stream->arena);
	int r = render(stream, event, &out);
	if (r == 0)
		puts(buf_str(&out));
	return r;
}

static int show(void *opaque, const struct json *event, const char *line, size_t len)
{
	struct stream *stream = opaque;
	const char *format = stream->options->format;
	int64_t ns = 0;
	json_i64(json_get(event, "timeNano"), &ns);
	if (ns < stream->since || ns > stream->until ||
	    !event_filters_match(&stream->options->filter, event))
		return 0;
	if (!format)
		print_text(event, ns);
	else if (!stream->template)
		printf("%.*s\n", (int)len, line);
	else
		return print_template(stream, event);
	return 0;
}

/* 1: there is more to read; 0: the time has come, or nobody reads what is printed. */
static int await_more(int fd, const struct timespec *deadline, struct masu_error *err)
{
	struct pollfd fds[] = { { .fd = fd, .events = POLLIN }, { .fd = STDOUT_FILENO } };
	struct timespec now, left;
	clock_gettime(CLOCK_MONOTONIC, &now);
	int64_t ns =
		(deadline->tv_sec - now.tv_sec) * NS_PER_SECOND + deadline->tv_nsec - now.tv_nsec;
	if (ns < 0)
		ns = 0;
	left = (struct timespec) { .tv_sec = ns / NS_PER_SECOND, .tv_nsec = ns % NS_PER_SECOND };
	int r = ppoll(fds, ARRAY_SIZE(fds), deadline->tv_sec ? &left : NULL, NULL);
	if (r < 0 && errno != EINTR)
		return error_errno(err, -errno, "cannot wait for events");
	return r != 0 && !(fds[1].revents & (POLLERR | POLLHUP | POLLNVAL));
}

static int follow(struct stream *stream, struct event_reader *reader, int64_t until)
{
	struct timespec deadline = { 0 };
	int r;
	if (until != INT64_MAX) {
		int64_t left = until - now_ns();
		clock_gettime(CLOCK_MONOTONIC, &deadline);
		left += deadline.tv_nsec;
		deadline.tv_sec += left / NS_PER_SECOND;
		deadline.tv_nsec = left % NS_PER_SECOND;
	}
	/* What comes from now on is shown whatever the clock says of it. */
	stream->since = INT64_MIN;
	stream->until = INT64_MAX;
	while ((r = await_more(event_reader_fd(reader), &deadline, stream->err)) > 0) {
		r = event_reader_drain(reader, show, stream);
		if (r < 0)
			return r;
		fflush(stdout);
	}
	return r;
}

/* A template that cannot be rendered is refused now and not when something happens. */
static int prepare_template(struct stream *stream, struct arena *arena)
{
	static const char nothing[] = "{\"Actor\":{\"ID\":\"\",\"Attributes\":{}}}";
	const char *format = stream->options->format;
	_cleanup_buf_ struct buf out;
	const struct json *event;
	buf_init(&out, 0);
	if (!format || streq(format, "json") || streq(format, "{{json .}}"))
		return 0;
	int r = template_parse(arena, format, &stream->template, stream->err);
	if (r == 0)
		r = json_parse(arena, nothing, sizeof(nothing) - 1, &event, stream->err);
	return r < 0 ? r : render(stream, event, &out);
}

/* A bound that is not given is as far away as can be. */
static int parse_bounds(const struct events_options *options, int64_t *ret_since,
			int64_t *ret_until, struct masu_error *err)
{
	int r = 0;
	*ret_since = INT64_MIN;
	*ret_until = INT64_MAX;
	if (options->since && *options->since)
		r = time_parse_ns(options->since, ret_since, err);
	if (r == 0 && options->until && *options->until)
		r = time_parse_ns(options->until, ret_until, err);
	if (r == 0 && *ret_until < *ret_since)
		return error_set(err, -EINVAL,
				 "`since` time (%s) cannot be after `until` time (%s)",
				 options->since, options->until);
	return r;
}

static int stream_events(struct engine *engine, struct arena *arena,
			 const struct events_options *options, struct masu_error *err)
{
	_cleanup_event_reader_ struct event_reader *reader = NULL;
	struct stream stream = { .options = options, .err = err };
	int r = parse_bounds(options, &stream.since, &stream.until, err);
	if (r < 0)
		return r;
	int64_t until = stream.until;
	bool past_only = until < now_ns();
	bool live_only = stream.since == INT64_MIN && until == INT64_MAX;
	arena_init(&stream.arena, 0);
	r = prepare_template(&stream, arena);
	if (r == 0)
		r = event_reader_open(engine->run_fd, !past_only, &reader, err);
	if (r == 0 && (r = event_reader_drain(reader, live_only ? NULL : show, &stream)) < 0 &&
	    !error_is_set(err))
		error_errno(err, r, "cannot read the event log");
	fflush(stdout);
	if (r == 0 && !past_only)
		r = follow(&stream, reader, until);
	arena_free(&stream.arena);
	return r;
}

static int events_run(struct cli_context *context, void *pointer, int argc, char **argv,
		      struct masu_error *err)
{
	const struct events_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	int r = event_filters_check(&options->filter, err);
	if (r == 0)
		r = session_open(context, &engine, err);
	return r < 0 ? r : stream_events(&engine, context->arena, options, err);
}

const struct cli_command events_command = { EVENTS_COMMAND, .run = events_run };
