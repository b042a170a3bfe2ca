#include "cold/system/event_filter.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

struct event_view {
	const char *type, *action, *scope, *id;
	const struct json *attributes;
};

static const char *attribute(const struct event_view *event, const char *key)
{
	const char *value = "";
	json_string(json_get(event->attributes, key), &value);
	return value;
}

static bool label_matches(const struct event_view *event, const char *wanted)
{
	const char *equals = strchr(wanted, '=');
	size_t len = equals ? (size_t)(equals - wanted) : strlen(wanted);
	json_foreach (item, event->attributes) {
		if (strlen(item->key) != len || memcmp(item->key, wanted, len) != 0)
			continue;
		const char *value;
		return !equals || (json_string(item, &value) && streq(value, equals + 1));
	}
	return false;
}

/* "busybox" is also "busybox:local"; a colon before a slash is a port. */
static bool name_matches(const char *name, const char *wanted)
{
	const char *rest = str_after(name, wanted);
	return rest && (!*rest || (*rest == ':' && !strchr(rest, '/')));
}

static bool image_matches(const struct event_view *event, const char *wanted)
{
	const char *name = attribute(event, streq(event->type, "image") ? "name" : "image");
	return name_matches(event->id, wanted) || name_matches(name, wanted);
}

static bool container_matches(const struct event_view *event, const char *wanted)
{
	return str_after(event->id, wanted) || str_after(attribute(event, "name"), wanted);
}

static bool action_matches(const struct event_view *event, const char *wanted)
{
	static const char *const with_text[] = { "exec_create", "exec_start", "health_status" };
	for (size_t i = 0; i < ARRAY_SIZE(with_text); i++)
		if (streq(wanted, with_text[i]))
			return str_after(event->action, wanted) != NULL;
	return streq(event->action, wanted);
}

static bool type_matches(const struct event_view *event, const char *wanted)
{
	return streq(event->type, wanted);
}

static bool scope_matches(const struct event_view *event, const char *wanted)
{
	return streq(event->scope, wanted);
}

static const struct filter {
	const char *name;
	bool (*matches)(const struct event_view *event, const char *wanted);
	bool all;  /* every value must match, not one of them */
	bool type; /* only events of the type of that name */
} filters_known[] = {
	{ "container", container_matches, .type = true },
	{ "daemon", container_matches, .type = true },
	{ "event", action_matches },
	{ "image", image_matches },
	{ "label", label_matches, .all = true },
	{ "network", container_matches, .type = true },
	{ "scope", scope_matches },
	{ "type", type_matches },
	{ "volume", container_matches, .type = true },
};

static const char *value_of(const char *filter, const char *name)
{
	const char *rest = str_after(filter, name);
	return rest && *rest == '=' ? rest + 1 : NULL;
}

int event_filters_check(const struct cli_list *filters, struct masu_error *err)
{
	for (size_t i = 0; i < filters->count; i++) {
		bool known = false;
		for (size_t k = 0; k < ARRAY_SIZE(filters_known); k++)
			known |= value_of(filters->items[i], filters_known[k].name) != NULL;
		if (!known)
			return error_set(err, -EINVAL, "invalid filter '%.100s'",
					 filters->items[i]);
	}
	return 0;
}

static bool filter_matches(const struct filter *filter, const struct cli_list *filters,
			   const struct event_view *event)
{
	size_t given = 0, matched = 0;
	for (size_t i = 0; i < filters->count; i++) {
		const char *value = value_of(filters->items[i], filter->name);
		if (!value)
			continue;
		given++;
		matched += (!filter->type || streq(event->type, filter->name)) &&
			   filter->matches(event, value);
	}
	return given == 0 || (filter->all ? matched == given : matched > 0);
}

bool event_filters_match(const struct cli_list *filters, const struct json *event)
{
	const struct json *actor = json_get(event, "Actor");
	struct event_view view = { "", "", "", "", json_get(actor, "Attributes") };
	json_string(json_get(event, "Type"), &view.type);
	json_string(json_get(event, "Action"), &view.action);
	json_string(json_get(event, "scope"), &view.scope);
	json_string(json_get(actor, "ID"), &view.id);
	for (size_t i = 0; i < ARRAY_SIZE(filters_known); i++)
		if (!filter_matches(&filters_known[i], filters, &view))
			return false;
	return true;
}
