/* `masu ps`: what is shown of each container is in ps_row.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/ps.h"
#include "cli/session.h"

struct ps_options {
	bool all, latest, no_trunc, quiet, size;
	int64_t last;
	const char *format;
	struct cli_list filter;
};

static const struct cli_option ps_options[] = {
	CLI_OPT(struct ps_options, all, "all", 'a', CLI_BOOL, NULL,
		"Show all containers (default shows just running)"),
	CLI_OPT(struct ps_options, filter, "filter", 'f', CLI_LIST, "filter",
		"Filter output based on conditions provided"),
	CLI_OPT(struct ps_options, format, "format", 0, CLI_STRING, "string",
		"Format output: table, table TEMPLATE, json, or a Go template"),
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

static const struct format_heading headings[] = {
	{ "ID", "CONTAINER ID" },
	{ "Names", "NAMES" },
	{ "Image", "IMAGE" },
	{ "Command", "COMMAND" },
	{ "CreatedAt", "CREATED AT" },
	{ "RunningFor", "CREATED" },
	{ "Ports", "PORTS" },
	{ "State", "STATE" },
	{ "Status", "STATUS" },
	{ "Size", "SIZE" },
	{ "Labels", "LABELS" },
	{ "Mounts", "MOUNTS" },
	{ "LocalVolumes", "LOCAL VOLUMES" },
	{ "Networks", "NETWORKS" },
	{ 0 },
};

/* Whether the containers that do not run are wanted, by option or by what is filtered for. */
static bool wants_all(const struct ps_options *options)
{
	if (options->all || options->latest || options->last >= 0)
		return true;
	for (size_t i = 0; i < options->filter.count; i++)
		if (str_after(options->filter.items[i], "status=") ||
		    str_after(options->filter.items[i], "exited="))
			return true;
	return false;
}

static int collect(struct cli_context *context, struct engine *engine,
		   const struct ps_options *options, const struct json ***ret, size_t *ret_count,
		   struct masu_error *err)
{
	struct container *list;
	size_t count, shown = 0;
	const struct ps_wanted want = { .truncate = !options->no_trunc,
					.size = options->size,
					.label_object = options->format &&
							strstr(options->format, ".Label ") };
	int64_t limit = options->latest ? 1 : options->last >= 0 ? options->last : INT64_MAX;
	int r = ps_filters_check(&options->filter, err);
	if (r == 0)
		r = engine_list(engine, context->arena, wants_all(options), &list, &count, err);
	if (r < 0)
		return r;
	const struct json **rows = arena_array(context->arena, const struct json *, count + 1);
	if (!rows)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count && (int64_t)shown < limit; i++) {
		if (!ps_filters_match(&options->filter, list, count, &list[i]))
			continue;
		r = ps_row(context->arena, engine, &list[i], &want, &rows[shown], err);
		if (r < 0)
			return r;
		shown++;
	}
	*ret = rows;
	*ret_count = shown;
	return 0;
}

static int ps_run(struct cli_context *context, void *pointer, int argc, char **argv,
		  struct masu_error *err)
{
	static const char columns[] =
		"{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}"
		"\t{{.Ports}}\t{{.Names}}";
	static const char columns_size[] = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t"
					   "{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}";
	const struct ps_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	const struct json **rows = NULL;
	size_t count = 0;
	int r = session_open(context, &engine, err);
	if (r == 0)
		r = collect(context, &engine, options, &rows, &count, err);
	if (r < 0)
		return r;
	const char *format = options->format;
	if (options->quiet && (!format || streq(format, "table")))
		format = "{{.ID}}";
	return format_rows(context->arena, format, options->size ? columns_size : columns, headings,
			   rows, count, err);
}

#define PS_COMMAND(command_name)                                                                   \
	{                                                                                          \
		.name = (command_name), .synopsis = "[OPTIONS]", .summary = "List containers",     \
		.options = ps_options, .option_count = ARRAY_SIZE(ps_options),                     \
		.options_size = sizeof(struct ps_options), .defaults = ps_defaults, .run = ps_run  \
	}
const struct cli_command ps_command = PS_COMMAND("ps");
const struct cli_command container_ls_command = PS_COMMAND("ls");
