/* `masu history`: what made an image, step by step, newest first, with docker's columns. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/human.h"
#include "base/str.h"
#include "cli/format.h"
#include "cli/images.h"
#include "cli/session.h"
#include "image/store.h"
#include "json/json.h"
#include "storage/storage.h"

#define SHOWN_ID 12
#define SHOWN_BY 45 /* of the command that made a step */

struct history_options {
	bool no_trunc, quiet, human;
	const char *format;
};

static const struct cli_option history_option_table[] = {
	CLI_OPT(struct history_options, format, "format", 0, CLI_STRING, "string",
		"Format output: table, table TEMPLATE, json, or a Go template"),
	CLI_OPT(struct history_options, human, "human", 'H', CLI_BOOL, NULL,
		"Print sizes and dates in human readable format"),
	CLI_OPT(struct history_options, no_trunc, "no-trunc", 0, CLI_BOOL, NULL,
		"Don't truncate output"),
	CLI_OPT(struct history_options, quiet, "quiet", 'q', CLI_BOOL, NULL, "Only show image IDs"),
};

static const struct format_heading headings[] = {
	{ "ID", "IMAGE" },
	{ "CreatedSince", "CREATED" },
	{ "CreatedAt", "CREATED AT" },
	{ "CreatedBy", "CREATED BY" },
	{ "Size", "SIZE" },
	{ "Comment", "COMMENT" },
	{ 0 },
};

struct history {
	struct arena *arena;
	const struct history_options *options;
	struct image image;
	const struct json *config;
	const struct storage_ops *ops;
	struct storage *storage;
};

static void set_defaults(void *options)
{
	((struct history_options *)options)->human = true;
}

/* RFC 3339 in this machine's time zone. */
static const char *local_time(struct arena *arena, int64_t seconds)
{
	char date[32], zone[8];
	struct tm tm;
	time_t when = (time_t)seconds;
	if (!localtime_r(&when, &tm) || !strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) ||
	    strftime(zone, sizeof(zone), "%z", &tm) != strlen("+0000"))
		return "";
	return streq(zone + 1, "0000") ? arena_printf(arena, "%sZ", date)
				       : arena_printf(arena, "%s%.3s:%s", date, zone, zone + 3);
}

static int load(struct history *h, int root_fd, const char *name, struct masu_error *err)
{
	struct image_index index;
	const struct image_entry *entry;
	const char *text;
	size_t len;
	_cleanup_close_ int images_fd =
		openat(root_fd, IMAGES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images_fd < 0)
		return error_errno(err, -errno, "images");
	int r = image_index_load(images_fd, h->arena, &index, err);
	if (r == 0)
		r = image_index_find(images_fd, &index, name, &entry, err);
	if (r == 0)
		r = image_load(images_fd, h->arena, entry, &h->image, NULL, err);
	if (r == 0)
		r = image_blob_read(images_fd, h->arena, h->image.id, IMAGE_MAX_DOCUMENT, &text,
				    &len, err);
	return r < 0 ? r : json_parse(h->arena, text, len, &h->config, err);
}

/* Of the files that the step added; a step without a layer has none. */
static const char *size_text(const struct history *h, size_t layer, bool empty, char ret[HUMAN_MAX])
{
	uint64_t bytes = 0;
	if (!empty && layer < h->image.layer_count)
		h->ops->layer_size(h->storage, h->image.chain_ids[layer], &bytes);
	if (h->options->human)
		return human_size(bytes, ret);
	str_format(ret, HUMAN_MAX, "%llu", (unsigned long long)bytes);
	return ret;
}

static const char *id_text(const struct history *h, bool newest)
{
	const char *id = h->image.id;
	if (!newest)
		return "<missing>"; /* as of every image that was not built here */
	return h->options->no_trunc ? id
				    : arena_strndup(h->arena, id + strlen("sha256:"), SHOWN_ID);
}

/* One line, at most SHOWN_BY characters of it. */
static const char *by_text(const struct history *h, const char *by)
{
	char *text = arena_strdup(h->arena, by);
	size_t shown = 0, at = 0;
	if (!text)
		return NULL;
	for (char *p = text; *p; p++)
		*p = *p == '\t' ? ' ' : *p;
	str_make_printable(text, false);
	while (text[at] && (shown < SHOWN_BY || ((unsigned char)text[at] & 0xc0) == 0x80))
		shown += ((unsigned char)text[at++] & 0xc0) != 0x80;
	if (h->options->no_trunc || !text[at])
		return text;
	do /* the last character, of one or more bytes, makes room */
		at--;
	while (at && ((unsigned char)text[at] & 0xc0) == 0x80);
	return arena_printf(h->arena, "%.*s…", (int)at, text);
}

static int make_row(const struct history *h, const struct json *item, bool newest, size_t layer,
		    const struct json **ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	const char *created = "", *by = "", *comment = "", *ago = "N/A", *at = "";
	char since[HUMAN_MAX], size[HUMAN_MAX];
	int64_t seconds;
	bool empty = false;
	json_string(json_get(item, "created"), &created);
	json_string(json_get(item, "created_by"), &by);
	json_string(json_get(item, "comment"), &comment);
	json_bool(json_get(item, "empty_layer"), &empty);
	if (time_parse_rfc3339(created, &seconds) == 0) {
		ago = arena_printf(h->arena, "%s ago", human_duration(time(NULL) - seconds, since));
		at = local_time(h->arena, seconds);
	}
	const char *id = id_text(h, newest), *shown = by_text(h, by);
	if (!ago || !at || !id || !shown)
		return error_set(err, -ENOMEM, "out of memory");
	buf_init(&text, 0);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_field_string(&w, "Comment", comment);
	json_field_string(&w, "CreatedAt", at);
	json_field_string(&w, "CreatedBy", shown);
	json_field_string(&w, "CreatedSince", h->options->human ? ago : at);
	json_field_string(&w, "ID", id);
	json_field_string(&w, "Size", size_text(h, layer, empty, size));
	json_end_object(&w);
	return json_parse_written(h->arena, &text, ret, err);
}

static int print_rows(const struct history *h, struct masu_error *err)
{
	const struct json *history = json_get(h->config, "history");
	size_t count = history ? history->count : 0, at = count, layer = 0;
	const struct json **rows = arena_array(h->arena, const struct json *, count + 1);
	const char *format = h->options->format;
	int r = rows ? 0 : error_set(err, -ENOMEM, "out of memory");
	json_foreach (item, r == 0 ? history : NULL) {
		bool empty = false;
		json_bool(json_get(item, "empty_layer"), &empty);
		at--;
		r = make_row(h, item, at == 0, layer, &rows[at], err);
		layer += !empty;
		if (r < 0)
			break;
	}
	if (r < 0)
		return r;
	if (h->options->quiet && !format)
		format = "{{.ID}}";
	return format_rows(h->arena, format,
			   "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
			   headings, rows, count, err);
}

static int run(struct cli_context *context, void *data, int argc, char **argv,
	       struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct history h = { .arena = context->arena, .options = data };
	int r = session_open(context, &engine, err);
	if (r == 0)
		r = load(&h, engine.root_fd, argv[0], err);
	if (r < 0)
		return r;
	h.ops = storage_driver(engine.storage_driver);
	if (!h.ops || h.ops->open(engine.root_fd, &h.storage, err) < 0)
		return error_set(err, -EINVAL, "storage driver %s", engine.storage_driver);
	r = print_rows(&h, err);
	h.ops->close(h.storage);
	return r;
}

const struct cli_command history_command = {
	.name = "history",
	.synopsis = "[OPTIONS] IMAGE",
	.summary = "Show the history of an image",
	.options = history_option_table,
	.option_count = ARRAY_SIZE(history_option_table),
	.options_size = sizeof(struct history_options),
	.defaults = set_defaults,
	CLI_MORE(run),
	.min_args = 1,
	.max_args = 1,
};
