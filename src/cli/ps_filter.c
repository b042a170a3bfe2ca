/* `ps --filter`: docker's keys and what they mean. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/regex.h"
#include "base/str.h"
#include "cli/ps.h"
#include "engine/engine.h"
#include "image/image.h"

enum filter_key {
	FILTER_ANCESTOR,
	FILTER_BEFORE,
	FILTER_EXITED,
	FILTER_EXPOSE,
	FILTER_HEALTH,
	FILTER_ID,
	FILTER_IS_TASK,
	FILTER_LABEL,
	FILTER_NAME,
	FILTER_NETWORK,
	FILTER_PUBLISH,
	FILTER_SINCE,
	FILTER_STATUS,
	FILTER_VOLUME,
	FILTER_COUNT
};

static const char *const key_names[] = { "ancestor", "before",	"exited", "expose", "health",
					 "id",	     "is-task", "label",  "name",   "network",
					 "publish",  "since",	"status", "volume" };

struct port_range {
	uint32_t first, last;
	enum network_protocol protocol;
};

/* One value of a key, and what it was looked up to be. */
struct filter {
	enum filter_key key;
	const char *value;
	union {
		struct regex *pattern;	 /* name; NULL: it is none, and matches only itself */
		const char *found;	 /* before, since: when it was created; ancestor: its id */
		int64_t code;		 /* exited */
		bool yes;		 /* is-task */
		struct port_range range; /* publish, expose */
	};
};

struct ps_filters {
	struct filter *list;
	size_t count;
	bool given[FILTER_COUNT];
};

static bool one_of(const char *value, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (streq(words[i], value))
			return true;
	return false;
}

static int parse_range(const struct filter *filter, struct port_range *ret, struct masu_error *err)
{
	static const char *const names[] = {
		[NETWORK_TCP] = "tcp", [NETWORK_UDP] = "udp", [NETWORK_SCTP] = "sctp"
	};
	char text[32];
	int fits = str_format(text, sizeof(text), "%s", filter->value);
	char *slash = fits == 0 ? strchr(text, '/') : NULL;
	bool valid = fits == 0;
	if (slash) {
		*slash++ = '\0';
		valid = one_of(slash, names, ARRAY_SIZE(names));
	}
	for (size_t i = 0; slash && i < ARRAY_SIZE(names); i++)
		if (streq(slash, names[i]))
			ret->protocol = (enum network_protocol)i;
	char *dash = strchr(text, '-');
	if (dash)
		*dash++ = '\0';
	if (!valid || str_to_u32(text, &ret->first) < 0 ||
	    str_to_u32(dash ? dash : text, &ret->last) < 0 || ret->last > UINT16_MAX ||
	    ret->first > ret->last)
		return error_set(err, -EINVAL,
				 "invalid filter '%s=%.100s': expected PORT[-PORT][/PROTOCOL]",
				 key_names[filter->key], filter->value);
	return 0;
}

static int find_created(struct engine *engine, struct arena *arena, struct filter *filter,
			struct masu_error *err)
{
	char id[65];
	struct container container;
	int r = engine_resolve(engine, filter->value, id, err);
	if (r == 0)
		r = engine_load(engine, arena, id, &container, err);
	if (r < 0)
		return r;
	container_close(&container);
	filter->found = container.created;
	return 0;
}

static int invalid(const struct filter *filter, struct masu_error *err)
{
	return error_set(err, -EINVAL, "invalid filter '%s=%.100s'", key_names[filter->key],
			 filter->value);
}

static int look_up(struct engine *engine, struct arena *arena, struct filter *filter,
		   struct masu_error *err)
{
	static const char *const states[] = { "created", "restarting", "running", "removing",
					      "paused",	 "exited",     "dead" };
	static const char *const healths[] = { "none", "starting", "healthy", "unhealthy" };
	static const char *const truths[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const falsehoods[] = { "0", "f", "F", "false", "FALSE", "False" };
	struct image image;
	switch (filter->key) {
	case FILTER_ANCESTOR:
		/* An image that is not there is nobody's ancestor, as with docker. */
		if (image_find(engine->root_fd, arena, filter->value, &image, NULL) == 0)
			filter->found = arena_strdup(arena, image.id);
		return 0;
	case FILTER_BEFORE:
	case FILTER_SINCE:
		return find_created(engine, arena, filter, err);
	case FILTER_EXITED:
		return str_to_i64(filter->value, &filter->code) < 0 ? invalid(filter, err) : 0;
	case FILTER_EXPOSE:
	case FILTER_PUBLISH:
		return parse_range(filter, &filter->range, err);
	case FILTER_HEALTH:
		return one_of(filter->value, healths, ARRAY_SIZE(healths)) ? 0
									   : invalid(filter, err);
	case FILTER_IS_TASK:
		filter->yes = one_of(filter->value, truths, ARRAY_SIZE(truths));
		return filter->yes || one_of(filter->value, falsehoods, ARRAY_SIZE(falsehoods))
			       ? 0
			       : invalid(filter, err);
	case FILTER_NAME:
		filter->pattern = arena_new(arena, struct regex);
		if (!filter->pattern)
			return error_set(err, -ENOMEM, "out of memory");
		if (regex_compile(filter->value, filter->pattern) < 0)
			filter->pattern = NULL;
		return 0;
	case FILTER_STATUS:
		return one_of(filter->value, states, ARRAY_SIZE(states)) ? 0 : invalid(filter, err);
	default:
		return 0;
	}
}

static int split(const char *text, struct filter *ret, struct masu_error *err)
{
	const char *equals = strchr(text, '=');
	if (!equals)
		return error_set(err, -EINVAL, "bad format of filter (expected name=value): %.100s",
				 text);
	for (int key = 0; key < FILTER_COUNT; key++) {
		const char *rest = str_after(text, key_names[key]);
		if (rest != equals)
			continue;
		*ret = (struct filter) { .key = (enum filter_key)key, .value = equals + 1 };
		return 0;
	}
	return error_set(err, -EINVAL, "invalid filter '%.*s'",
			 (int)(equals - text > 100 ? 100 : equals - text), text);
}

int ps_filters_parse(struct engine *engine, struct arena *arena, const struct cli_list *list,
		     struct ps_filters **ret, struct masu_error *err)
{
	struct ps_filters *filters = arena_new(arena, struct ps_filters);
	struct filter *parsed = arena_array(arena, struct filter, list->count);
	if (!filters || !parsed)
		return error_set(err, -ENOMEM, "out of memory");
	filters->list = parsed;
	for (size_t i = 0; i < list->count; i++) {
		int r = split(list->items[i], &parsed[i], err);
		if (r == 0)
			r = look_up(engine, arena, &parsed[i], err);
		if (r < 0)
			return r;
		filters->given[parsed[i].key] = true;
		filters->count++;
	}
	*ret = filters;
	return 0;
}

bool ps_filters_want_all(const struct ps_filters *filters)
{
	return filters->given[FILTER_STATUS] || filters->given[FILTER_EXITED];
}

static bool label_matches(const struct container *container, const char *wanted)
{
	const char *equals = strchr(wanted, '=');
	size_t len = equals ? (size_t)(equals - wanted) : strlen(wanted);
	for (size_t i = 0; i < container->config.label_count; i++) {
		const struct oci_pair *label = &container->config.labels[i];
		if (strlen(label->key) == len && memcmp(label->key, wanted, len) == 0)
			return !equals || streq(label->value, equals + 1);
	}
	return false;
}

static bool volume_matches(const struct container *container, const char *wanted)
{
	for (size_t i = 0; i < container->config.mount_count; i++)
		if (streq_null(container->config.mounts[i].source, wanted) ||
		    streq(container->config.mounts[i].target, wanted))
			return true;
	return false;
}

/* Docker's names begin with a slash; a pattern may count on it. */
static bool name_matches(const struct filter *filter, const char *name)
{
	char with_slash[300];
	if (streq(filter->value, name))
		return true;
	if (!filter->pattern || str_format(with_slash, sizeof(with_slash), "/%s", name) < 0)
		return false;
	return regex_matches(filter->pattern, name) || regex_matches(filter->pattern, with_slash);
}

static bool in_range(const struct port_range *range, uint32_t port, enum network_protocol protocol)
{
	return protocol == range->protocol && port >= range->first && port <= range->last;
}

/* What a running container has, or what the others ask for. */
static bool port_matches(const struct filter *filter, const struct network_port *ports,
			 size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (in_range(&filter->range,
			     filter->key == FILTER_PUBLISH ? ports[i].host_port
							   : ports[i].container_port,
			     ports[i].protocol))
			return true;
	return false;
}

static bool ports_match(const struct filter *filter, const struct container *container)
{
	for (size_t i = 0; i < container->endpoint_count; i++)
		if (port_matches(filter, container->endpoints[i].ports,
				 container->endpoints[i].port_count))
			return true;
	if (container->endpoint_count == 0 &&
	    port_matches(filter, container->config.ports, container->config.port_count))
		return true;
	for (const char **expose = container->config.expose;
	     filter->key == FILTER_EXPOSE && expose && *expose; expose++) {
		const struct filter exposed = { .key = FILTER_EXPOSE, .value = *expose };
		struct port_range range = { 0 };
		if (parse_range(&exposed, &range, NULL) == 0 &&
		    in_range(&filter->range, range.first, range.protocol))
			return true;
	}
	return false;
}

static bool network_matches(const struct container_config *config, const char *value)
{
	const char *network = config->network ? config->network : "bridge";
	if (!config->networks)
		return streq(network, value);
	for (size_t i = 0; i < config->network_count; i++)
		if (streq(config->networks[i].name, value))
			return true;
	return false;
}

static bool matches(const struct filter *filter, const struct container *container)
{
	switch (filter->key) {
	case FILTER_ANCESTOR:
		return filter->found && streq(container->image_id, filter->found);
	case FILTER_BEFORE:
		return strcmp(container->created, filter->found) < 0;
	case FILTER_SINCE:
		return strcmp(container->created, filter->found) > 0;
	case FILTER_EXITED:
		return container->status == CONTAINER_EXITED &&
		       filter->code == container->exit_code;
	case FILTER_EXPOSE:
	case FILTER_PUBLISH:
		return ports_match(filter, container);
	case FILTER_HEALTH:
		return streq(filter->value, ps_health(container));
	case FILTER_ID:
		return str_after(container->id, filter->value) != NULL;
	case FILTER_IS_TASK:
		return !filter->yes; /* tasks are swarm's */
	case FILTER_LABEL:
		return label_matches(container, filter->value);
	case FILTER_NAME:
		return name_matches(filter, container->name);
	case FILTER_NETWORK:
		return network_matches(&container->config, filter->value);
	case FILTER_STATUS:
		return streq(container_status_name(container->status), filter->value);
	default:
		return volume_matches(container, filter->value);
	}
}

/* Several values of one key: one of them is enough; labels must all be there. A published and an
 * exposed port count as one key, as with docker. */
bool ps_filters_match(const struct ps_filters *filters, const struct container *container)
{
	bool matched[FILTER_COUNT] = { 0 };
	for (size_t i = 0; i < filters->count; i++) {
		const struct filter *filter = &filters->list[i];
		bool yes = matches(filter, container);
		if (!yes && filter->key == FILTER_LABEL)
			return false;
		enum filter_key key = filter->key == FILTER_EXPOSE ? FILTER_PUBLISH : filter->key;
		matched[key] |= yes;
	}
	for (int key = 0; key < FILTER_COUNT; key++) {
		int counted = key == FILTER_EXPOSE ? FILTER_PUBLISH : key;
		if (filters->given[key] && !matched[counted])
			return false;
	}
	return true;
}
