/* `masu network ls`. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "cli/format.h"
#include "cli/network.h"
#include "cli/session.h"

#define SHORT_ID 12

struct ls_options {
	bool quiet, no_trunc;
	const char *format;
	struct cli_list filter;
};

static const struct cli_option options[] = {
	CLI_OPT(struct ls_options, filter, "filter", 'f', CLI_LIST, "filter",
		"Provide filter values (e.g. \"driver=bridge\")"),
	CLI_OPT(struct ls_options, format, "format", 0, CLI_STRING, "string",
		"Format output: table, table TEMPLATE, json, or a Go template"),
	CLI_OPT(struct ls_options, no_trunc, "no-trunc", 0, CLI_BOOL, NULL,
		"Do not truncate the output"),
	CLI_OPT(struct ls_options, quiet, "quiet", 'q', CLI_BOOL, NULL, "Only display network IDs"),
};

static const struct format_heading headings[] = {
	{ "CreatedAt", "CREATED AT" },
	{ "Driver", "DRIVER" },
	{ "ID", "NETWORK ID" },
	{ "IPv6", "IPV6" },
	{ "Internal", "INTERNAL" },
	{ "Labels", "LABELS" },
	{ "Name", "NAME" },
	{ "Scope", "SCOPE" },
	{ 0 },
};

static bool is_predefined(const struct json *network)
{
	const char *name = json_text(network, "Name");
	return streq(name, "bridge") || streq(name, "host") || streq(name, "none");
}

/* ---- filters ---- */

enum key { KEY_DANGLING, KEY_DRIVER, KEY_ID, KEY_LABEL, KEY_NAME, KEY_SCOPE, KEY_TYPE, KEY_COUNT };
static const char *const key_names[KEY_COUNT] = { "dangling", "driver", "id",  "label",
						  "name",     "scope",	"type" };

struct filter {
	enum key key;
	const char *value;
};

struct filters {
	struct filter *items;
	size_t count;
	bool given[KEY_COUNT];
};

static int check_value(const struct filter *filter, struct masu_error *err)
{
	const char *value = filter->value;
	if (filter->key == KEY_TYPE && !streq(value, "custom") && !streq(value, "builtin"))
		return error_set(err, -EINVAL, "invalid filter: 'type'='%.60s'", value);
	if (filter->key == KEY_DANGLING && !streq(value, "true") && !streq(value, "1") &&
	    !streq(value, "false") && !streq(value, "0"))
		return error_set(err, -EINVAL, "invalid value for filter 'dangling'");
	return 0;
}

static int parse_filters(struct arena *arena, const struct cli_list *list, struct filters *ret,
			 struct masu_error *err)
{
	struct filters filters = { .items = arena_array(arena, struct filter, list->count + 1) };
	int r = 0;
	if (!filters.items)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < list->count; i++) {
		const char *text = list->items[i], *equals = strchr(text, '=');
		struct filter *filter = &filters.items[filters.count++];
		unsigned key = 0;
		while (key < KEY_COUNT && equals &&
		       (strlen(key_names[key]) != (size_t)(equals - text) ||
			memcmp(key_names[key], text, (size_t)(equals - text)) != 0))
			key++;
		if (!equals || key == KEY_COUNT)
			return error_set(err, -EINVAL, "invalid filter '%.100s'", text);
		*filter = (struct filter) { (enum key)key, equals + 1 };
		filters.given[key] = true;
		r = check_value(filter, err);
	}
	*ret = filters;
	return r;
}

static bool has_label(const struct json *network, const char *wanted)
{
	const char *equals = strchr(wanted, '=');
	size_t len = equals ? (size_t)(equals - wanted) : strlen(wanted);
	json_foreach (label, json_get(network, "Labels")) {
		const char *value = "";
		json_string(label, &value);
		if (strlen(label->key) == len && memcmp(label->key, wanted, len) == 0)
			return !equals || streq(value, equals + 1);
	}
	return false;
}

static bool is_used(const struct json *network, const struct container *list, size_t count)
{
	const char *name = json_text(network, "Name");
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < list[i].endpoint_count; k++)
			if (streq(list[i].endpoints[k].network, name))
				return true;
	return false;
}

static bool matches(const struct filter *filter, const struct json *network, bool used)
{
	const char *value = filter->value;
	switch (filter->key) {
	case KEY_DANGLING:
		return (streq(value, "true") || streq(value, "1")) ==
		       (!used && !is_predefined(network));
	case KEY_DRIVER:
		return streq(json_text(network, "Driver"), value);
	case KEY_ID:
		return strstr(json_text(network, "Id"), value) != NULL;
	case KEY_LABEL:
		return has_label(network, value);
	case KEY_NAME:
		return strstr(json_text(network, "Name"), value) != NULL;
	case KEY_SCOPE:
		return streq(json_text(network, "Scope"), value);
	default:
		return is_predefined(network) == streq(value, "builtin");
	}
}

/* As docker: one of each key, but all of the labels. */
static bool all_match(const struct filters *filters, const struct json *network, bool used)
{
	bool matched[KEY_COUNT] = { 0 };
	for (size_t i = 0; i < filters->count; i++) {
		bool yes = matches(&filters->items[i], network, used);
		if (!yes && filters->items[i].key == KEY_LABEL)
			return false;
		matched[filters->items[i].key] |= yes;
	}
	for (unsigned key = 0; key < KEY_COUNT; key++)
		if (filters->given[key] && !matched[key])
			return false;
	return true;
}

/* ---- rows ---- */

static void put_flag(struct json_writer *w, const char *key, const struct json *value)
{
	bool yes = false;
	json_bool(value, &yes);
	json_field_string(w, key, yes ? "true" : "false");
}

static int make_row(struct arena *arena, const struct json *network, bool no_trunc,
		    const struct json **ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	_cleanup_buf_ struct buf labels;
	struct json_writer w;
	char id[65];
	(void)str_format(id, sizeof(id), "%.*s", no_trunc ? 64 : SHORT_ID,
			 json_text(network, "Id"));
	buf_init(&text, 0);
	buf_init(&labels, 0);
	json_foreach (label, json_get(network, "Labels")) {
		const char *value = "";
		json_string(label, &value);
		buf_printf(&labels, "%s%s=%s", labels.len ? "," : "", label->key, value);
	}
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_field_string(&w, "CreatedAt", json_text(network, "Created"));
	json_field_string(&w, "Driver", json_text(network, "Driver"));
	json_field_string(&w, "ID", id);
	put_flag(&w, "IPv6", json_get(network, "EnableIPv6"));
	put_flag(&w, "Internal", json_get(network, "Internal"));
	json_field_string(&w, "Labels", buf_str(&labels));
	json_field_string(&w, "Name", json_text(network, "Name"));
	json_field_string(&w, "Scope", json_text(network, "Scope"));
	json_end_object(&w);
	return json_parse_written(arena, &text, ret, err);
}

static int ls_run(struct cli_context *context, void *pointer, int argc, char **argv,
		  struct masu_error *err)
{
	const struct ls_options *o = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct container *containers = NULL;
	const struct json **list = NULL;
	struct filters filters = { 0 };
	size_t count = 0, container_count = 0, shown = 0;
	int r = parse_filters(context->arena, &o->filter, &filters, err);
	if (r == 0)
		r = session_open(context, &engine, err);
	if (r == 0)
		r = engine_network_list(&engine, context->arena, &list, &count, err);
	if (r == 0 && filters.given[KEY_DANGLING])
		r = engine_list(&engine, context->arena, false, &containers, &container_count, err);
	const struct json **rows = arena_array(context->arena, const struct json *, count + 1);
	if (r == 0 && !rows)
		r = error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count && r == 0; i++)
		if (all_match(&filters, list[i], is_used(list[i], containers, container_count)))
			r = make_row(context->arena, list[i], o->no_trunc, &rows[shown++], err);
	if (r < 0)
		return r;
	return format_rows(context->arena, o->quiet && !o->format ? "{{.ID}}" : o->format,
			   "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}", headings, rows, shown,
			   err);
}

const struct cli_command network_ls_command = {
	.name = "ls",
	.aliases = "list",
	.synopsis = "[OPTIONS]",
	.summary = "List networks",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.options_size = sizeof(struct ls_options),
	CLI_MORE(ls_run),
};
