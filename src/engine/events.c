#include "engine/events.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/internal.h"
#include "engine/network.h"

#define NUMBER_TEXT_MAX 24

static int append(struct engine *engine, const struct event *event)
{
	int r = event_log_append(engine->run_fd, event, 1);
	if (r < 0 && r != -E2BIG)
		log_debug("%s/" EVENT_LOG_NAME ": %s", engine->runroot, strerror(-r));
	return r;
}

void event_emit(struct engine *engine, const char *type, const char *action, const char *id,
		const struct oci_pair *attributes, size_t count)
{
	const struct event event = { type, action, id, attributes, count };
	append(engine, &event);
}

void event_container(struct engine *engine, const struct container *container, const char *action,
		     const struct oci_pair *more, size_t count)
{
	const struct container_config *config = &container->config;
	size_t labels = config->label_count, at = labels;
	_cleanup_free_ struct oci_pair *attributes =
		calloc(labels + 2 + count, sizeof(*attributes));
	if (!attributes)
		return;
	if (labels)
		memcpy(attributes, config->labels, labels * sizeof(*attributes));
	if (config->image)
		attributes[at++] = (struct oci_pair) { "image", config->image };
	attributes[at++] = (struct oci_pair) { "name", container->name };
	for (size_t i = 0; i < count; i++)
		attributes[at++] = more[i];
	struct event event = { "container", action, container->id, attributes, at };
	/* That it happened is worth more than its labels. */
	if (append(engine, &event) == -E2BIG) {
		event.attributes += labels;
		event.attribute_count -= labels;
		append(engine, &event);
	}
}

void event_container_number(struct engine *engine, const struct container *container,
			    const char *action, const char *key, int64_t value)
{
	char text[NUMBER_TEXT_MAX];
	snprintf(text, sizeof(text), "%lld", (long long)value);
	event_container(engine, container, action, &(struct oci_pair) { key, text }, 1);
}

void event_container_id(struct engine *engine, const char *id, const char *action,
			const struct oci_pair *more, size_t count)
{
	_cleanup_arena_ struct arena arena;
	struct container container;
	arena_init(&arena, 0);
	if (store_load(engine, &arena, id, &container, NULL) < 0)
		return;
	event_container(engine, &container, action, more, count);
	container_close(&container);
}

void event_endpoint(struct engine *engine, const struct container *container,
		    const struct network_endpoint *endpoint, const char *action)
{
	const char *name = endpoint->network;
	const struct oci_pair attributes[] = {
		{ "container", container->id },
		{ "name", name },
		{ "type", endpoint->driver },
	};
	event_emit(engine, "network", action, *endpoint->network_id ? endpoint->network_id : name,
		   attributes, ARRAY_SIZE(attributes));
}

void event_network_defined(struct engine *engine, const char *name, const char *id,
			   const char *driver, const char *action)
{
	const struct oci_pair attributes[] = { { "name", name }, { "type", driver } };
	event_emit(engine, "network", action, id, attributes, ARRAY_SIZE(attributes));
}

void event_network(struct engine *engine, const struct container *container, const char *action)
{
	const char *name = engine_network_name(&container->config);
	if (!mode_host(name) && !streq(name, "none"))
		return;
	const struct oci_pair attributes[] = {
		{ "container", container->id },
		{ "name", name },
		{ "type", mode_host(name) ? "host" : "null" },
	};
	event_emit(engine, "network", action, name, attributes, ARRAY_SIZE(attributes));
}

void event_volume(struct engine *engine, const char *name, const char *action)
{
	const struct oci_pair driver = { "driver", "local" };
	event_emit(engine, "volume", action, name, &driver, 1);
}

static void volume_mounted(struct engine *engine, const struct container *container,
			   const struct mount_config *mount)
{
	const struct oci_pair attributes[] = {
		{ "container", container->id },
		{ "destination", mount->target },
		{ "driver", "local" },
		{ "propagation", mount->propagation ? mount->propagation : "" },
		{ "read/write", mount->readonly ? "false" : "true" },
	};
	event_emit(engine, "volume", "mount", mount->source, attributes, ARRAY_SIZE(attributes));
}

void event_started(struct engine *engine, const struct container *container)
{
	for (size_t i = 0; i < container->config.mount_count; i++)
		if (container->config.mounts[i].kind == MOUNT_VOLUME)
			volume_mounted(engine, container, &container->config.mounts[i]);
	event_container(engine, container, "start", NULL, 0);
}

void event_died(struct engine *engine, const struct container *container, int status)
{
	if (container->oom_killed)
		event_container(engine, container, "oom", NULL, 0);
	event_container_number(engine, container, "die", "exitCode", status);
}

void event_released(struct engine *engine, const struct container *container)
{
	const struct oci_pair attributes[] = { { "container", container->id },
					       { "driver", "local" } };
	/* Host and none have nothing that is disconnected, but docker tells so. */
	if (!engine_network_connects(&container->config))
		event_network(engine, container, "disconnect");
	for (size_t i = 0; i < container->config.mount_count; i++) {
		const struct mount_config *mount = &container->config.mounts[i];
		if (mount->kind == MOUNT_VOLUME)
			event_emit(engine, "volume", "unmount", mount->source, attributes,
				   ARRAY_SIZE(attributes));
	}
}
