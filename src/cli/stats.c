/* `masu stats`: a table that is drawn anew every second, or once. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/human.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/session.h"

#define INTERVAL_MS	 1000
#define FIRST_LOOK_MS	 500 /* between the two readings that the first CPU percentage needs */
#define SHORT_ID	 12
#define CLEAR_FROM_START "\033[H\033[J"

struct stats_options {
	bool all, no_stream, no_trunc;
	const char *format;
};

static const struct cli_option stats_table[] = {
	CLI_OPT(struct stats_options, all, "all", 'a', CLI_BOOL, NULL,
		"Show all containers (default shows just running)"),
	CLI_OPT(struct stats_options, format, "format", 0, CLI_STRING, "string",
		"Format output: table, table TEMPLATE, json, or a Go template"),
	CLI_OPT(struct stats_options, no_stream, "no-stream", 0, CLI_BOOL, NULL,
		"Disable streaming stats and only pull the first result"),
	CLI_OPT(struct stats_options, no_trunc, "no-trunc", 0, CLI_BOOL, NULL,
		"Do not truncate output"),
};

static const struct format_heading headings[] = {
	{ "Container", "CONTAINER" },
	{ "ID", "CONTAINER ID" },
	{ "Name", "NAME" },
	{ "CPUPerc", "CPU %" },
	{ "MemUsage", "MEM USAGE / LIMIT" },
	{ "MemPerc", "MEM %" },
	{ "NetIO", "NET I/O" },
	{ "BlockIO", "BLOCK I/O" },
	{ "PIDs", "PIDS" },
	{ "CPUPressure", "CPU PRESSURE" },
	{ "MemPressure", "MEM PRESSURE" },
	{ "IOPressure", "I/O PRESSURE" },
	{ 0 },
};

static const char columns[] = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}"
			      "\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";

/* One container at one tick. */
struct sample {
	char id[65];
	const char *asked, *name; /* as the user wrote it; NULL: it was not named */
	struct engine_stats stats;
};

struct samples {
	struct arena arena;
	struct sample *list;
	size_t count;
};

struct watching {
	struct engine *engine;
	const struct stats_options *options;
	char **names; /* NULL-terminated; none: whatever there is */
	char (*ids)[65];
	size_t count;
};

/* ---- taking ---- */

static int add_sample(struct watching *w, struct samples *to, const char *id, const char *name,
		      const char *asked, struct masu_error *err)
{
	struct sample *sample = &to->list[to->count];
	int r = engine_stats(w->engine, &to->arena, id, &sample->stats, err);
	if (r < 0)
		return r;
	snprintf(sample->id, sizeof(sample->id), "%s", id);
	sample->name = name;
	sample->asked = asked;
	to->count++;
	return 0;
}

/* One that was removed in between is left out. */
static int take_named(struct watching *w, struct samples *ret, struct masu_error *err)
{
	ret->list = arena_array(&ret->arena, struct sample, w->count + 1);
	if (!ret->list)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < w->count; i++) {
		struct container container;
		int r = engine_load(w->engine, &ret->arena, w->ids[i], &container, err);
		if (r == 0) {
			container_close(&container);
			r = add_sample(w, ret, w->ids[i], container.name, w->names[i], err);
		}
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

static int take_all(struct watching *w, struct samples *ret, struct masu_error *err)
{
	struct container *list;
	size_t count;
	int r = engine_list(w->engine, &ret->arena, w->options->all, &list, &count, err);
	if (r < 0)
		return r;
	ret->list = arena_array(&ret->arena, struct sample, count + 1);
	if (!ret->list)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		r = add_sample(w, ret, list[i].id, list[i].name, NULL, err);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

static int take(struct watching *w, struct samples *ret, struct masu_error *err)
{
	arena_free(&ret->arena);
	arena_init(&ret->arena, 0);
	ret->count = 0;
	return w->count ? take_named(w, ret, err) : take_all(w, ret, err);
}

static const struct sample *find(const struct samples *samples, const char *id)
{
	for (size_t i = 0; i < samples->count; i++)
		if (streq(samples->list[i].id, id))
			return &samples->list[i];
	return NULL;
}

/* ---- showing ---- */

static const char *percent(struct arena *arena, bool known, uint64_t hundredths)
{
	return known ? arena_printf(arena, "%" PRIu64 ".%02u%%", hundredths / 100,
				    (unsigned)(hundredths % 100))
		     : "--";
}

static const char *pair(struct arena *arena, bool known, uint64_t left, uint64_t right)
{
	char a[HUMAN_MAX], b[HUMAN_MAX];
	return known ? arena_printf(arena, "%s / %s", human_size(left, a), human_size(right, b))
		     : "--";
}

static const char *memory(struct arena *arena, const struct engine_stats *s)
{
	char used[HUMAN_MAX], limit[HUMAN_MAX];
	if (s->running && !s->has_memory)
		return "--";
	return arena_printf(arena, "%s / %s", human_binary(s->memory, used),
			    human_binary(s->memory_limit, limit));
}

/* Of the last ten seconds: how long some, and how long all of its tasks were held up. */
static const char *pressure(struct arena *arena, const struct engine_stats *s,
			    const struct engine_pressure *p)
{
	if (!s->has_pressure)
		return "--";
	return arena_printf(arena, "%u.%02u%% / %u.%02u%%", p->some_avg / 100, p->some_avg % 100,
			    p->full_avg / 100, p->full_avg % 100);
}

/* Members in docker's (alphabetical) order. */
static const struct json *row(struct arena *arena, const struct stats_options *options,
			      const struct sample *sample, const struct sample *before)
{
	const struct engine_stats *s = &sample->stats;
	struct json_builder b;
	const char *id =
		options->no_trunc ? sample->id : arena_strndup(arena, sample->id, SHORT_ID);
	uint64_t memory_share =
		s->memory_limit ? (uint64_t)((unsigned __int128)s->memory * 10000 / s->memory_limit)
				: 0;
	json_builder_init(&b, arena, JSON_OBJECT);
	json_build_string(&b, "BlockIO",
			  pair(arena, !s->running || s->has_io, s->read_bytes, s->written_bytes));
	json_build_string(&b, "CPUPerc",
			  percent(arena, !s->running || s->has_cpu,
				  before ? engine_stats_cpu(&before->stats, s) : 0));
	json_build_string(&b, "CPUPressure", pressure(arena, s, &s->cpu_pressure));
	json_build_string(&b, "Container", sample->asked ? sample->asked : id);
	json_build_string(&b, "ID", id);
	json_build_string(&b, "IOPressure", pressure(arena, s, &s->io_pressure));
	json_build_string(&b, "MemPerc",
			  percent(arena, !s->running || s->has_memory, memory_share));
	json_build_string(&b, "MemPressure", pressure(arena, s, &s->memory_pressure));
	json_build_string(&b, "MemUsage", memory(arena, s));
	json_build_string(&b, "Name", sample->name);
	json_build_string(&b, "NetIO", pair(arena, true, s->received_bytes, s->sent_bytes));
	json_build_string(&b, "PIDs", arena_printf(arena, "%" PRIu64, s->tasks));
	return b.value;
}

static int show(const struct stats_options *options, struct samples *now,
		const struct samples *before, struct masu_error *err)
{
	const struct json **rows = arena_array(&now->arena, const struct json *, now->count + 1);
	bool redraw = !options->no_stream && isatty(STDOUT_FILENO);
	if (!rows)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < now->count; i++) {
		rows[i] = row(&now->arena, options, &now->list[i], find(before, now->list[i].id));
		if (!rows[i])
			return error_set(err, -ENOMEM, "out of memory");
	}
	if (redraw)
		fputs(CLEAR_FROM_START, stdout);
	int r = format_rows(&now->arena, options->format, columns, headings, rows, now->count, err);
	if (r == 0 && (fflush(stdout) == EOF || ferror(stdout)))
		r = error_set(err, -EPIPE, "cannot write the output");
	return r;
}

static void sleep_until(struct timespec *next, unsigned milliseconds)
{
	next->tv_nsec += (long)milliseconds * 1000000;
	next->tv_sec += next->tv_nsec / 1000000000;
	next->tv_nsec %= 1000000000;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL) == EINTR)
		;
}

/* The first percentage needs two looks. */
static int watch(struct watching *w, struct masu_error *err)
{
	struct samples samples[2] = { 0 }, *now = &samples[0], *before = &samples[1];
	const struct stats_options *options = w->options;
	struct timespec next;
	clock_gettime(CLOCK_MONOTONIC, &next);
	int r = take(w, before, err);
	unsigned wait = FIRST_LOOK_MS;
	while (r == 0) {
		sleep_until(&next, wait);
		wait = INTERVAL_MS;
		r = take(w, now, err);
		/* Whoever named containers that are all gone has seen what there is to see. */
		if (r < 0 || (w->count && !now->count))
			break;
		r = show(options, now, before, err);
		if (options->no_stream)
			break;
		struct samples *last = before;
		before = now;
		now = last;
	}
	arena_free(&samples[0].arena);
	arena_free(&samples[1].arena);
	return r;
}

static int stats_run(struct cli_context *context, void *pointer, int argc, char **argv,
		     struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct watching w = {
		.engine = &engine, .options = pointer, .names = argv, .count = (size_t)argc
	};
	int r = session_open(context, &engine, err);
	if (r < 0)
		return r;
	w.ids = arena_calloc(context->arena, (size_t)argc + 1, sizeof(*w.ids));
	if (!w.ids)
		return error_set(err, -ENOMEM, "out of memory");
	for (int i = 0; i < argc && r == 0; i++)
		r = engine_resolve(&engine, argv[i], w.ids[i], err);
	return r < 0 ? r : watch(&w, err);
}

const struct cli_command stats_command = {
	.name = "stats",
	.synopsis = "[OPTIONS] [CONTAINER...]",
	.summary = "Display a live stream of container(s) resource usage statistics",
	.options = stats_table,
	.option_count = ARRAY_SIZE(stats_table),
	.options_size = sizeof(struct stats_options),
	CLI_MORE(stats_run),
	.max_args = -1,
};
