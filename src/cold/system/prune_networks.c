/* Which networks nobody uses. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/session.h"
#include "cold/system/prune.h"
#include "engine/events.h"

/* A container that does not run keeps what it will be connected to. */
static bool is_used(const struct container *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		const struct container_config *config = &list[i].config;
		if (!config->networks && streq_null(config->network, name))
			return true;
		for (size_t k = 0; k < config->network_count; k++)
			if (streq(config->networks[k].name, name))
				return true;
	}
	return false;
}

static int labels_of(struct arena *arena, const struct json *network, struct oci_pair **ret,
		     size_t *ret_count)
{
	const struct json *labels = json_get(network, "Labels");
	size_t count = 0;
	struct oci_pair *pairs =
		arena_array(arena, struct oci_pair, labels ? labels->count + 1 : 1);
	if (!pairs)
		return -ENOMEM;
	json_foreach (label, labels) {
		pairs[count].key = label->key;
		pairs[count].value = "";
		json_string(label, &pairs[count++].value);
	}
	*ret = pairs;
	*ret_count = count;
	return 0;
}

static bool goes(const struct prune_run *run, const struct json *network,
		 const struct container *containers, size_t count)
{
	static const char *const predefined[] = { "bridge", "host", "none", NULL };
	const char *name = json_text(network, "Name");
	struct oci_pair *labels;
	size_t label_count;
	return !strv_contains(predefined, name) && !is_used(containers, count, name) &&
	       prune_old_enough(run, json_text(network, "Created")) &&
	       labels_of(run->arena, network, &labels, &label_count) == 0 &&
	       prune_labels_match(run->filters, labels, label_count);
}

int prune_networks(struct prune_run *run, struct masu_error *err)
{
	const struct oci_pair reclaimed = { "reclaimed", "0" };
	struct container *containers = NULL;
	const struct json **list = NULL;
	size_t count = 0, container_count = 0, removed = 0;
	int r = engine_list(run->engine, run->arena, true, &containers, &container_count, err);
	if (r == 0)
		r = engine_network_list(run->engine, run->arena, &list, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct masu_error why = { 0 };
		const char *name = json_text(list[i], "Name");
		if (!goes(run, list[i], containers, container_count))
			continue;
		int result = engine_network_remove(run->engine, name, &why);
		/* It has come into use meanwhile, or is gone. */
		if (result == -EBUSY || result == -ENOENT)
			continue;
		if (result < 0) {
			session_report(&why);
			continue;
		}
		if (removed++ == 0)
			puts("Deleted Networks:");
		puts(name);
	}
	if (removed)
		putchar('\n');
	if (r == 0)
		event_emit(run->engine, "network", "prune", "", &reclaimed, 1);
	return r;
}
