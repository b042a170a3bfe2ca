/* What goes with each record: labels and variables of the container, and its tag. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/regex.h"
#include "base/str.h"
#include "engine/log_driver.h"

#define ATTRS_MAX    4096
#define SHORT_LENGTH 12

struct attrs {
	struct arena *arena;
	struct oci_pair *list;
	size_t count, room;
};

/* The same key again replaces the value, as in docker's map. */
static int add(struct attrs *attrs, const char *key, const char *value, struct masu_error *err)
{
	for (size_t i = 0; i < attrs->count; i++) {
		if (streq(attrs->list[i].key, key)) {
			attrs->list[i].value = value;
			return 0;
		}
	}
	if (attrs->count == attrs->room)
		return error_set(err, -E2BIG, "more than %zu log attributes", attrs->room);
	attrs->list[attrs->count++] = (struct oci_pair) { key, value };
	return 0;
}

static bool listed(const char *list, const char *key)
{
	size_t len = strlen(key);
	while (list) {
		if (strncmp(list, key, len) == 0 && (list[len] == ',' || !list[len]))
			return true;
		list = strchr(list, ',');
		list += list ? 1 : 0;
	}
	return false;
}

static int compile(const char *expression, const char *option, struct regex *ret,
		   struct masu_error *err)
{
	if (regex_compile(expression, ret) < 0)
		return error_set(err, -EINVAL,
				 "log opt '%s': the regular expression \"%.128s\" is not "
				 "supported",
				 option, expression);
	return 0;
}

/* Adds those of @pairs whose keys are in @list or match @expression. */
static int choose(struct attrs *attrs, const struct oci_pair *pairs, size_t count, const char *list,
		  const char *expression, const char *option, struct masu_error *err)
{
	struct regex regex;
	int r = expression ? compile(expression, option, &regex, err) : 0;
	for (size_t i = 0; r == 0 && i < count; i++)
		if (listed(list, pairs[i].key) ||
		    (expression && regex_matches(&regex, pairs[i].key)))
			r = add(attrs, pairs[i].key, pairs[i].value, err);
	return r;
}

static int choose_env(struct attrs *attrs, char *const *env, const struct log_options *options,
		      struct masu_error *err)
{
	size_t count = strv_length(env), used = 0;
	if (!options->env && !options->env_regex)
		return 0;
	struct oci_pair *pairs = arena_array(attrs->arena, struct oci_pair, count + 1);
	if (!pairs)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		const char *equals = strchr(env[i], '=');
		if (!equals)
			continue;
		pairs[used].value = equals + 1;
		pairs[used].key = arena_strndup(attrs->arena, env[i], (size_t)(equals - env[i]));
		if (!pairs[used++].key)
			return error_set(err, -ENOMEM, "out of memory");
	}
	return choose(attrs, pairs, used, options->env, options->env_regex, "env-regex", err);
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct oci_pair *)a)->key, ((const struct oci_pair *)b)->key);
}

int log_attrs_collect(struct arena *arena, const struct log_options *options,
		      const struct container *container, bool tag, struct oci_pair **ret,
		      size_t *ret_count, struct masu_error *err)
{
	const struct container_config *config = &container->config;
	struct attrs attrs = { .arena = arena };
	const char *text;
	*ret = NULL;
	*ret_count = 0;
	if (!options->labels && !options->labels_regex && !options->env && !options->env_regex &&
	    !(tag && options->tag))
		return 0;
	attrs.room = config->label_count + strv_length(config->env) + 1;
	attrs.room = attrs.room < ATTRS_MAX ? attrs.room : ATTRS_MAX;
	attrs.list = arena_array(arena, struct oci_pair, attrs.room);
	if (!attrs.list)
		return error_set(err, -ENOMEM, "out of memory");
	int r = choose(&attrs, config->labels, config->label_count, options->labels,
		       options->labels_regex, "labels-regex", err);
	if (r == 0)
		r = choose_env(&attrs, config->env, options, err);
	if (r == 0 && tag && options->tag)
		r = log_tag(arena, options->tag, "", container, &text, err);
	if (r == 0 && tag && options->tag && *text)
		r = add(&attrs, "tag", text, err);
	if (r < 0)
		return r;
	qsort(attrs.list, attrs.count, sizeof(*attrs.list), compare);
	*ret = attrs.list;
	*ret_count = attrs.count;
	return 0;
}

/* ---- tag ---- */

enum tag_field {
	TAG_ID,
	TAG_FULL_ID,
	TAG_NAME,
	TAG_IMAGE_ID,
	TAG_IMAGE_FULL_ID,
	TAG_IMAGE_NAME,
	TAG_DAEMON_NAME,
	TAG_HOSTNAME,
	TAG_COUNT
};

static const char *const tag_names[TAG_COUNT] = {
	[TAG_ID] = ".ID",
	[TAG_FULL_ID] = ".FullID",
	[TAG_NAME] = ".Name",
	[TAG_IMAGE_ID] = ".ImageID",
	[TAG_IMAGE_FULL_ID] = ".ImageFullID",
	[TAG_IMAGE_NAME] = ".ImageName",
	[TAG_DAEMON_NAME] = ".DaemonName",
	[TAG_HOSTNAME] = ".Hostname",
};

/* The field between "{{" and "}}" at @text; *ret_rest is what follows. -1: there is none. */
static int tag_parse(const char *text, const char **ret_rest)
{
	const char *end = strstr(text, "}}");
	if (!end)
		return -1;
	*ret_rest = end + 2;
	text += 2 + strspn(text + 2, " ");
	for (; end > text && end[-1] == ' '; end--)
		;
	for (int field = 0; field < TAG_COUNT; field++)
		if (strlen(tag_names[field]) == (size_t)(end - text) &&
		    strncmp(tag_names[field], text, (size_t)(end - text)) == 0)
			return field;
	return -1;
}

static const char *tag_value(struct arena *arena, int field, const struct container *container)
{
	char host[256] = "";
	const char *image = container->image_id ? container->image_id : "";
	const char *digest = str_after(image, "sha256:");
	switch ((enum tag_field)field) {
	case TAG_ID:
		return arena_strndup(arena, container->id, SHORT_LENGTH);
	case TAG_FULL_ID:
		return container->id;
	case TAG_NAME:
		return container->name;
	case TAG_IMAGE_ID:
		return arena_strndup(arena, digest ? digest : image, SHORT_LENGTH);
	case TAG_IMAGE_FULL_ID:
		return image;
	case TAG_IMAGE_NAME:
		return container->config.image ? container->config.image : "";
	case TAG_DAEMON_NAME:
		return "masu";
	default:
		gethostname(host, sizeof(host) - 1);
		return arena_strdup(arena, host);
	}
}

int log_tag(struct arena *arena, const char *template, const char *fallback,
	    const struct container *container, const char **ret, struct masu_error *err)
{
	const char *text = "", *rest = template ? template : fallback;
	while (text && *rest) {
		const char *open = strstr(rest, "{{");
		size_t plain = open ? (size_t)(open - rest) : strlen(rest);
		int field = open ? tag_parse(open, &open) : 0;
		if (field < 0)
			return error_set(
				err, -EINVAL,
				"log opt 'tag': \"%.128s\" is not supported (.ID, .FullID, "
				".Name, .ImageID, .ImageFullID, .ImageName, .DaemonName and "
				".Hostname are)",
				rest + plain);
		/* Without a container only the template is checked. */
		const char *value = open && container ? tag_value(arena, field, container) : "";
		text = value ? arena_printf(arena, "%s%.*s%s", text, (int)plain, rest, value)
			     : NULL;
		rest = open ? open : rest + plain;
	}
	if (!text)
		return error_set(err, -ENOMEM, "out of memory");
	*ret = text;
	return 0;
}

int log_attrs_check(const struct log_options *options, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	struct attrs none = { 0 };
	const char *text;
	arena_init(&arena, 0);
	int r = options->tag ? log_tag(&arena, options->tag, "", NULL, &text, err) : 0;
	if (r == 0)
		r = choose(&none, NULL, 0, NULL, options->labels_regex, "labels-regex", err);
	if (r == 0)
		r = choose(&none, NULL, 0, NULL, options->env_regex, "env-regex", err);
	return r;
}
