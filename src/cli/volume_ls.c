/* `masu volume ls`. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "cli/format.h"
#include "cli/session.h"
#include "cli/volume.h"
#include "volume/volume.h"

struct ls_options {
	bool quiet;
	const char *format;
	struct cli_list filter;
};

static const struct cli_option ls_options[] = {
	CLI_OPT(struct ls_options, filter, "filter", 'f', CLI_LIST, "filter",
		"Provide filter values (e.g. \"dangling=true\")"),
	CLI_OPT(struct ls_options, format, "format", 0, CLI_STRING, "string",
		"Format output: table, table TEMPLATE, json, or a Go template"),
	CLI_OPT(struct ls_options, quiet, "quiet", 'q', CLI_BOOL, NULL,
		"Only display volume names"),
};

static const struct format_heading ls_headings[] = {
	{ "Driver", "DRIVER" },	    { "Name", "VOLUME NAME" }, { "Mountpoint", "MOUNTPOINT" },
	{ "CreatedAt", "CREATED" }, { "Labels", "LABELS" },    { "Links", "LINKS" },
	{ "Scope", "SCOPE" },	    { "Size", "SIZE" },	       { "Availability", "AVAILABILITY" },
	{ "Group", "GROUP" },	    { "Status", "STATUS" },    { 0 },
};

/* ---- filters ---- */

struct filter {
	const char *key, *value;
};

struct filters {
	struct filter *items;
	size_t count;
	bool dangling_asked, dangling;
};

static int parse_dangling(struct filters *filters, const char *value, struct masu_error *err)
{
	bool yes = streq(value, "true") || streq(value, "1");
	if (!yes && !streq(value, "false") && !streq(value, "0"))
		return error_set(err, -EINVAL, "invalid filter 'dangling=%.100s'", value);
	filters->dangling_asked = true;
	filters->dangling = yes;
	return 0;
}

static int parse_filters(struct arena *arena, const struct cli_list *list, struct filters *ret,
			 struct masu_error *err)
{
	static const char *const keys[] = { "dangling", "driver", "label", "name" };
	struct filters filters = { .items = arena_array(arena, struct filter, list->count + 1) };
	if (!filters.items)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < list->count; i++) {
		const char *text = list->items[i], *equals = strchr(text, '=');
		struct filter *filter = &filters.items[filters.count++];
		for (size_t k = 0; equals && k < ARRAY_SIZE(keys); k++)
			if (strlen(keys[k]) == (size_t)(equals - text) &&
			    strncmp(keys[k], text, (size_t)(equals - text)) == 0)
				*filter = (struct filter) { keys[k], equals + 1 };
		if (!filter->key)
			return error_set(err, -EINVAL, "invalid filter '%.100s'", text);
		int r = streq(filter->key, "dangling")
				? parse_dangling(&filters, filter->value, err)
				: 0;
		if (r < 0)
			return r;
	}
	*ret = filters;
	return 0;
}

/* "key" or "key=value". */
static bool has_label(const struct volume *volume, const char *wanted)
{
	const char *equals = strchr(wanted, '=');
	size_t len = equals ? (size_t)(equals - wanted) : strlen(wanted);
	if (volume->anonymous && streq(wanted, VOLUME_ANONYMOUS_LABEL))
		return true;
	for (size_t i = 0; i < volume->label_count; i++) {
		const struct oci_pair *label = &volume->labels[i];
		if (strlen(label->key) == len && strncmp(label->key, wanted, len) == 0 &&
		    (!equals || streq(label->value, equals + 1)))
			return true;
	}
	return false;
}

/* As docker: one of the names and one of the drivers, but all of the labels. */
static bool matches(const struct filters *filters, const struct volume *volume, bool used)
{
	bool name_asked = false, name = false, driver_asked = false, driver = false;
	for (size_t i = 0; i < filters->count; i++) {
		const struct filter *filter = &filters->items[i];
		if (streq(filter->key, "name")) {
			name_asked = true;
			name |= strstr(volume->name, filter->value) != NULL;
		} else if (streq(filter->key, "driver")) {
			driver_asked = true;
			driver |= streq(volume->driver, filter->value);
		} else if (streq(filter->key, "label") && !has_label(volume, filter->value)) {
			return false;
		}
	}
	return (!name_asked || name) && (!driver_asked || driver) &&
	       (!filters->dangling_asked || filters->dangling != used);
}

/* ---- rows ---- */

static void put_labels(struct json_writer *w, const struct volume *volume)
{
	struct buf text;
	buf_init(&text, 0);
	if (volume->anonymous)
		buf_puts(&text, VOLUME_ANONYMOUS_LABEL "=");
	for (size_t i = 0; i < volume->label_count; i++)
		buf_printf(&text, "%s%s=%s", text.len ? "," : "", volume->labels[i].key,
			   volume->labels[i].value);
	json_field_string(w, "Labels", buf_str(&text));
	buf_free(&text);
}

static int make_row(struct arena *arena, const struct volume *volume, const struct json **ret,
		    struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 0);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_field_string(&w, "Availability", "N/A");
	json_field_string(&w, "CreatedAt", volume->created);
	json_field_string(&w, "Driver", volume->driver);
	json_field_string(&w, "Group", "N/A");
	put_labels(&w, volume);
	json_field_string(&w, "Links", "N/A");
	json_field_string(&w, "Mountpoint", volume->mountpoint);
	json_field_string(&w, "Name", volume->name);
	json_field_string(&w, "Scope", "local");
	json_field_string(&w, "Size", "N/A");
	json_field_string(&w, "Status", "N/A");
	json_end_object(&w);
	return json_parse_written(arena, &text, ret, err);
}

static int ls_run(struct cli_context *context, void *pointer, int argc, char **argv,
		  struct masu_error *err)
{
	const struct ls_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct container *containers = NULL;
	struct volume *list = NULL;
	struct filters filters = { 0 };
	size_t count = 0, container_count = 0, shown = 0;
	int r = parse_filters(context->arena, &options->filter, &filters, err);
	if (r == 0)
		r = session_open(context, &engine, err);
	if (r == 0)
		r = volume_list(engine.root_fd, engine.root, context->arena, &list, &count, err);
	if (r == 0 && filters.dangling_asked)
		r = engine_list(&engine, context->arena, true, &containers, &container_count, err);
	const struct json **rows = arena_array(context->arena, const struct json *, count + 1);
	if (r == 0 && !rows)
		r = error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count && r == 0; i++) {
		bool used = filters.dangling_asked &&
			    volume_user(containers, container_count, list[i].name);
		if (matches(&filters, &list[i], used))
			r = make_row(context->arena, &list[i], &rows[shown++], err);
	}
	if (r < 0)
		return r;
	const char *format = options->format;
	if (options->quiet && !format)
		format = "{{.Name}}";
	return format_rows(context->arena, format, "{{.Driver}}\t{{.Name}}", ls_headings, rows,
			   shown, err);
}

const struct cli_command volume_ls_command = {
	.name = "ls",
	.aliases = "list",
	.synopsis = "[OPTIONS]",
	.summary = "List volumes",
	.options = ls_options,
	.option_count = ARRAY_SIZE(ls_options),
	.options_size = sizeof(struct ls_options),
	CLI_MORE(ls_run),
};
