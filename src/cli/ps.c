/* `masu ps`: what is shown of each container is in ps_row.c. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/words.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/ps.h"
#include "cli/recreate.h"
#include "cli/session.h"

struct ps_options {
	bool all, command, latest, no_trunc, quiet, size;
	int64_t last;
	const char *format;
	struct cli_list filter;
};

static const struct cli_option ps_options[] = {
	CLI_OPT(struct ps_options, all, "all", 'a', CLI_BOOL, NULL,
		"Show all containers (default shows just running)"),
	CLI_OPT(struct ps_options, command, "command", 0, CLI_BOOL, NULL,
		"Print the command lines that make the containers again"),
	CLI_OPT(struct ps_options, filter, "filter", 'f', CLI_LIST, "filter",
		"Filter output based on conditions provided"),
	CLI_OPT(struct ps_options, format, "format", 0, CLI_STRING, "string",
		"Format output: table, table TEMPLATE, json, raw, or a Go template"),
	CLI_OPT(struct ps_options, last, "last", 'n', CLI_INT, "int",
		"Show n last created containers (includes all states) (default -1)"),
	CLI_OPT(struct ps_options, latest, "latest", 'l', CLI_BOOL, NULL,
		"Show the latest created container (includes all states)"),
	CLI_OPT(struct ps_options, no_trunc, "no-trunc", 0, CLI_BOOL, NULL,
		"Don't truncate output"),
	CLI_OPT(struct ps_options, quiet, "quiet", 'q', CLI_BOOL, NULL,
		"Only display container IDs"),
	CLI_OPT(struct ps_options, size, "size", 's', CLI_BOOL, NULL, "Display total file sizes"),
};

static void ps_defaults(void *pointer)
{
	((struct ps_options *)pointer)->last = -1;
}

#define CREATED_SIZE 40 /* whole words */

/* A line to be: what it is sorted by, and what it shows. */
struct line {
	char created[CREATED_SIZE], id[65];
	struct json_builder row;
	const char *command; /* with --command; else NULL */
};

struct lines {
	struct ps_view *view;
	const struct ps_filters *filters;
	bool commands; /* wanted rather than rows */
	struct line **list;
	size_t count, room;
};

static int lines_add(struct lines *lines, struct line *line)
{
	struct arena *arena = lines->view->arena;
	if (lines->count == lines->room) {
		size_t room = lines->room ? lines->room * 2 : 64;
		struct line **grown = arena_array(arena, struct line *, room);
		if (!grown)
			return -ENOMEM;
		if (lines->count)
			memcpy(grown, lines->list, lines->count * sizeof(*grown));
		lines->list = grown;
		lines->room = room;
	}
	lines->list[lines->count++] = line;
	return 0;
}

static int line_command(struct ps_view *view, struct arena *scratch,
			const struct container *container, const char **ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, 0);
	int r = recreate_line(view->engine, scratch, container, &text, err);
	if (r < 0)
		return r;
	*ret = arena_strdup(view->arena, buf_str(&text));
	return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int line_make(void *opaque, struct arena *scratch, const struct container *container,
		     struct masu_error *err)
{
	struct lines *lines = opaque;
	if (!ps_filters_match(lines->filters, container))
		return 0;
	struct line *line = arena_new(lines->view->arena, struct line);
	if (!line || lines_add(lines, line) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	memcpy(line->created, container->created,
	       strnlen(container->created, sizeof(line->created) - 1));
	memcpy(line->id, container->id, sizeof(line->id));
	if (!CLI_IS_HOT && lines->commands)
		return line_command(lines->view, scratch, container, &line->command, err);
	return ps_row(lines->view, container, &line->row, err);
}

static int newest_first(const void *a, const void *b)
{
	const char *left = (*(struct line *const *)b)->created;
	const char *right = (*(struct line *const *)a)->created;
	/* As strcmp(3): that what is behind the end is zero makes words of the same order. */
	for (size_t at = 0; at < CREATED_SIZE; at += sizeof(uint64_t)) {
		uint64_t x = be64toh(load_word(left + at)), y = be64toh(load_word(right + at));
		if (x != y)
			return x < y ? -1 : 1;
	}
	return 0;
}

static int collect(struct ps_view *view, const struct ps_options *options, const char *format,
		   const struct json ***ret, size_t *ret_count, struct masu_error *err)
{
	struct ps_filters *filters;
	struct lines lines = { .view = view };
	bool limited = options->last > 0 || options->latest;
	bool with_size = options->size || strstr(format, ".Size");
	int r = ps_filters_parse(view->engine, view->arena, &options->filter, &filters, err);
	if (r < 0)
		return r;
	lines.filters = filters;
	lines.commands = options->command;
	r = engine_each(view->engine, options->all || limited || ps_filters_want_all(filters),
			line_make, &lines, err);
	if (r < 0)
		return r;
	if (lines.count)
		qsort(lines.list, lines.count, sizeof(*lines.list), newest_first);
	size_t limit = options->last > 0 ? (size_t)options->last : 1;
	if (limited && lines.count > limit)
		lines.count = limit;
	const struct json **rows = arena_array(view->arena, const struct json *, lines.count + 1);
	if (!rows)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < lines.count; i++) {
		if (options->command) {
			puts(lines.list[i]->command);
			continue;
		}
		rows[i] = lines.list[i]->row.value;
		if (with_size)
			r = ps_row_size(view, lines.list[i]->id, rows[i], err);
		if (r < 0)
			return r;
	}
	*ret = rows;
	*ret_count = lines.count;
	return 0;
}

static const char columns[] = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}"
			      "\t{{.Ports}}\t{{.Names}}";
static const char raw_form[] =
	"container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\n"
	"created_at: {{.CreatedAt}}\nstate: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\n"
	"names: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n";

/* Docker's choice: -q beats a format, "table" and "raw" are names of formats, -s adds a column. */
static const char *choose_format(struct arena *arena, const struct ps_options *options)
{
	const char *format = options->format ? options->format : "table";
	const char *with_size = options->size ? "\t{{.Size}}" : "";
	if (options->quiet) {
		if (options->format && !streq(format, "table") && !streq(format, "raw"))
			fputs("WARNING: Ignoring custom format, because both --format and --quiet "
			      "are set.\n",
			      stderr);
		return streq(format, "raw") ? "container_id: {{.ID}}" : "{{.ID}}";
	}
	if (streq(format, "table"))
		return arena_printf(arena, "table %s%s", columns, with_size);
	if (streq(format, "raw"))
		return arena_printf(arena, "%s%s", raw_form,
				    options->size ? "size: {{.Size}}\n" : "");
	if (str_after(format, "table "))
		return arena_printf(arena, "%s%s", format, with_size);
	return format;
}

static int ps_run(struct cli_context *context, void *pointer, int argc, char **argv,
		  struct masu_error *err)
{
	const struct ps_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	if (CLI_IS_HOT && options->command)
		return cli_exec_more(context, err);
	const char *format = choose_format(context->arena, options);
	const struct json **rows = NULL;
	struct ps_view view;
	size_t count = 0;
	if (!format)
		return error_set(err, -ENOMEM, "out of memory");
	int r = session_open(context, &engine, err);
	if (r < 0)
		return r;
	ps_view_init(&view, &engine, context->arena, !options->no_trunc, format);
	r = collect(&view, options, format, &rows, &count, err);
	ps_view_free(&view);
	return r < 0 || options->command ? r
					 : format_rows(context->arena, format, columns, ps_headings,
						       rows, count, err);
}

#define PS_COMMAND(command_name, other_names)                                                      \
	{                                                                                          \
		.name = (command_name), .aliases = (other_names), .synopsis = "[OPTIONS]",         \
		.summary = "List containers", .options = ps_options,                               \
		.option_count = ARRAY_SIZE(ps_options), .options_size = sizeof(struct ps_options), \
		.defaults = ps_defaults, CLI_MORE(ps_run)                                          \
	}
const struct cli_command ps_command = PS_COMMAND("ps", NULL);
const struct cli_command container_ls_command = PS_COMMAND("ls", "ps list");
