#include <errno.h>

#include "base/str.h"
#include "engine/config.h"
#include "engine/network.h"

static void text_write(struct json_writer *w, const char *key, const char *text)
{
	if (text)
		json_field_string(w, key, text);
}

void networks_config_write(struct json_writer *w, const struct container_config *config)
{
	json_begin_object(w);
	for (size_t i = 0; i < config->network_count; i++) {
		const struct network_config *network = &config->networks[i];
		json_key(w, network->name);
		json_begin_object(w);
		text_write(w, "IPv4Address", network->ip);
		text_write(w, "IPv6Address", network->ip6);
		text_write(w, "MacAddress", network->mac_address);
		if (network->gw_priority)
			json_field_i64(w, "GwPriority", network->gw_priority);
		if (network->aliases && network->aliases[0]) {
			json_key(w, "Aliases");
			json_put_strings(w, network->aliases);
		}
		json_end_object(w);
	}
	json_end_object(w);
}

int networks_config_read(struct arena *arena, const struct json *object,
			 struct container_config *config)
{
	if (!object)
		return 0;
	if (object->type != JSON_OBJECT || object->count > CONTAINER_NETWORKS_MAX)
		return -EBADMSG;
	/* One more: not NULL where the container was disconnected from everything. */
	config->networks = arena_array(arena, struct network_config, (size_t)object->count + 1);
	if (!config->networks)
		return -ENOMEM;
	json_foreach (item, object) {
		struct network_config *network = &config->networks[config->network_count++];
		int64_t priority = 0;
		network->name = item->key;
		json_string(json_get(item, "IPv4Address"), &network->ip);
		json_string(json_get(item, "IPv6Address"), &network->ip6);
		json_string(json_get(item, "MacAddress"), &network->mac_address);
		json_i64(json_get(item, "GwPriority"), &priority);
		network->gw_priority = (int)priority;
		network->aliases = json_strings(arena, json_get(item, "Aliases"));
	}
	return 0;
}

size_t config_networks(const struct container_config *config, struct network_config *single,
		       const struct network_config **ret)
{
	if (config->networks) {
		*ret = config->networks;
		return config->network_count;
	}
	*single = (struct network_config) { .name = engine_network_name(config),
					    .mac_address = config->mac_address };
	*ret = single;
	return 1;
}
