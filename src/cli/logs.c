/* `masu logs`. */
#include <errno.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "cli/time_text.h"

struct logs_options {
	bool details, follow, timestamps;
	const char *since, *until, *tail;
};

static const struct cli_option logs_options[] = {
	CLI_OPT(struct logs_options, details, "details", 0, CLI_BOOL, NULL,
		"Show extra details provided to logs"),
	CLI_OPT(struct logs_options, follow, "follow", 'f', CLI_BOOL, NULL, "Follow log output"),
	CLI_OPT(struct logs_options, since, "since", 0, CLI_STRING, "string",
		"Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. "
		"\"42m\")"),
	CLI_OPT(struct logs_options, tail, "tail", 'n', CLI_STRING, "string",
		"Number of lines to show from the end of the logs (default \"all\")"),
	CLI_OPT(struct logs_options, timestamps, "timestamps", 't', CLI_BOOL, NULL,
		"Show timestamps"),
	CLI_OPT(struct logs_options, until, "until", 0, CLI_STRING, "string",
		"Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. "
		"\"42m\")"),
};

/* A long line comes in pieces: what stands in front of a line is printed once. */
struct printer {
	const struct logs_options *options;
	bool line_begun[2];
};

static int print_piece(void *opaque, int stream, const char *time, const char *data, size_t len)
{
	struct printer *printer = opaque;
	bool *begun = &printer->line_begun[stream == 2];
	FILE *out = stream == 2 ? stderr : stdout;
	if (!*begun && printer->options->timestamps)
		fprintf(out, "%s ", time);
	/* Docker puts the driver's attributes here; this log keeps none. */
	if (!*begun && printer->options->details)
		fputc(' ', out);
	fwrite(data, 1, len, out);
	*begun = len == 0 || data[len - 1] != '\n';
	if (printer->options->follow || stream == 2)
		fflush(out);
	return ferror(out) ? -EPIPE : 0;
}

static int parse_tail(const char *text, int64_t *ret, struct masu_error *err)
{
	*ret = -1;
	if (!text || streq(text, "all") || !*text || str_to_i64(text, ret) == 0)
		return 0;
	return error_set(err, -EINVAL, "invalid value for --tail: %.100s", text);
}

static int logs_run(struct cli_context *context, void *pointer, int argc, char **argv,
		    struct masu_error *err)
{
	const struct logs_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct printer printer = { .options = options };
	struct logs_config config = { .follow = options->follow };
	char id[65];
	int r = parse_tail(options->tail, &config.tail, err);
	if (r == 0 && options->since)
		r = time_parse_point(context->arena, options->since, &config.since, err);
	if (r == 0 && options->until)
		r = time_parse_point(context->arena, options->until, &config.until, err);
	if (r == 0)
		r = session_open(context, &engine, err);
	if (r == 0)
		r = engine_resolve(&engine, argv[0], id, err);
	if (r == 0)
		r = engine_logs(&engine, context->arena, id, &config, print_piece, &printer, err);
	/* The reader went away: `masu logs | head`. */
	return r == -EPIPE ? 1 : r;
}

const struct cli_command logs_command = {
	.name = "logs",
	.synopsis = "[OPTIONS] CONTAINER",
	.summary = "Fetch the logs of a container",
	.options = logs_options,
	.option_count = ARRAY_SIZE(logs_options),
	.options_size = sizeof(struct logs_options),
	.run = logs_run,
	.min_args = 1,
	.max_args = 1,
};
