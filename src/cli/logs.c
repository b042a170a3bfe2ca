/* `masu logs`. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/relay.h"
#include "cli/session.h"
#include "cli/time_text.h"
#include "json/json.h"

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

#define OUT_SIZE 65536

/*
 * Records on their way to stdout and stderr: one buffer for both, so that what goes to the same
 * place stays in order. A long line comes in pieces: what stands in front of a line is printed
 * once.
 */
struct printer {
	const struct logs_options *options;
	bool line_begun[2];
	int fd; /* where the buffer goes */
	size_t len;
	char *out;
	/* The attributes of the last record, and what they look like. */
	struct buf attrs, details;
};

static int flush(struct printer *printer)
{
	int r = relay_write(printer->fd, printer->out, printer->len);
	printer->len = 0;
	return r;
}

static int put(struct printer *printer, const char *data, size_t len)
{
	int r = 0;
	if (printer->len + len > OUT_SIZE)
		r = flush(printer);
	if (r < 0 || len > OUT_SIZE)
		return r < 0 ? r : relay_write(printer->fd, data, len);
	memcpy(printer->out + printer->len, data, len);
	printer->len += len;
	return 0;
}

/* As in the query of a URL, like docker's. */
static void put_escaped(struct buf *out, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		unsigned letter = (*p | 0x20u) - 'a', digit = (unsigned)*p - '0';
		if (letter < 26 || digit < 10 || strchr("-_.~", *p))
			buf_putc(out, (char)*p);
		else if (*p == ' ')
			buf_putc(out, '+');
		else
			buf_printf(out, "%%%02X", *p);
	}
}

/* "key=value,key=value " */
static int make_details(struct printer *printer, const struct log_entry *entry)
{
	_cleanup_arena_ struct arena arena;
	const struct json *attrs = NULL;
	const char *value;
	arena_init(&arena, 0);
	buf_reset(&printer->attrs);
	buf_append(&printer->attrs, entry->attrs, entry->attrs_len);
	buf_reset(&printer->details);
	if (entry->attrs_len)
		json_parse(&arena, entry->attrs, entry->attrs_len, &attrs, NULL);
	json_foreach (attr, attrs) {
		if (!json_string(attr, &value))
			continue;
		if (printer->details.len)
			buf_putc(&printer->details, ',');
		put_escaped(&printer->details, attr->key);
		buf_putc(&printer->details, '=');
		put_escaped(&printer->details, value);
	}
	return buf_putc(&printer->details, ' ');
}

static int put_details(struct printer *printer, const struct log_entry *entry)
{
	int r = 0;
	/* Those of a container's records are all the same. */
	if (!printer->details.len || printer->attrs.len != entry->attrs_len ||
	    memcmp(buf_str(&printer->attrs), entry->attrs ? entry->attrs : "", entry->attrs_len))
		r = make_details(printer, entry);
	return r < 0 ? r : put(printer, printer->details.data, printer->details.len);
}

static int print_piece(void *opaque, const struct log_entry *entry)
{
	struct printer *printer = opaque;
	bool *begun = &printer->line_begun[entry->stream == 2];
	int fd = entry->stream == 2 ? STDERR_FILENO : STDOUT_FILENO, r = 0;
	if (!entry->data)
		return flush(printer);
	if (fd != printer->fd)
		r = flush(printer);
	printer->fd = fd;
	if (r == 0 && !*begun && printer->options->timestamps) {
		r = put(printer, entry->time, entry->time_len);
		if (r == 0)
			r = put(printer, " ", 1);
	}
	if (r == 0 && !*begun && printer->options->details)
		r = put_details(printer, entry);
	if (r == 0)
		r = put(printer, entry->data, entry->len);
	*begun = entry->len == 0 || entry->data[entry->len - 1] != '\n';
	return r;
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
	struct printer printer = { .options = options, .fd = STDOUT_FILENO };
	struct logs_config config = { .follow = options->follow };
	char id[65];
	buf_init(&printer.attrs, 0);
	buf_init(&printer.details, 0);
	printer.out = arena_alloc(context->arena, OUT_SIZE);
	int r = printer.out ? parse_tail(options->tail, &config.tail, err)
			    : error_set(err, -ENOMEM, "out of memory");
	if (r == 0 && options->since)
		r = time_parse_point(context->arena, options->since, &config.since, err);
	if (r == 0 && options->until)
		r = time_parse_point(context->arena, options->until, &config.until, err);
	if (r == 0)
		r = session_resolve(context, argv[0], &engine, id, err);
	if (r == 0)
		r = engine_logs(&engine, context->arena, id, &config, print_piece, &printer, err);
	buf_free(&printer.attrs);
	buf_free(&printer.details);
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
	CLI_MORE(logs_run),
	.min_args = 1,
	.max_args = 1,
};
