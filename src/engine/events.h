/*
 * What happens, told to `masu events`: Docker's events, by Docker's names and with its attributes
 * (docs/events.md lists them), appended to the log of state/event_log.h by whoever makes them
 * happen. An event that cannot be written is lost; what it tells of is done all the same.
 */
#pragma once

#include "engine/engine.h"
#include "state/event_log.h"

/* @type "image", "volume", "network", "daemon" …; @attributes may be NULL with @count 0. */
void event_emit(struct engine *engine, const char *type, const char *action, const char *id,
		const struct oci_pair *attributes, size_t count);

/* An event of a container: with its labels, image and name, and @more. The container's strings must
 * be alive, so a monitor that gave its memory back loads the record first. */
void event_container(struct engine *engine, const struct container *container, const char *action,
		     const struct oci_pair *more, size_t count);
/* As above, with one more attribute, a number. */
void event_container_number(struct engine *engine, const struct container *container,
			    const char *action, const char *key, int64_t value);
/* As above, for who has only the id: reads the container's record. */
void event_container_id(struct engine *engine, const char *id, const char *action,
			const struct oci_pair *more, size_t count);

/* A network that the container is connected to. */
void event_endpoint(struct engine *engine, const struct container *container,
		    const struct network_endpoint *endpoint, const char *action);
/* "create" or "destroy" of a network. */
void event_network_defined(struct engine *engine, const char *name, const char *id,
			   const char *driver, const char *action);
/* The host's network or none, which nothing is connected to; nothing where it has another. */
void event_network(struct engine *engine, const struct container *container, const char *action);

/* "create" or "destroy" of a volume. */
void event_volume(struct engine *engine, const char *name, const char *action);

/* Volumes mounted and the container started, in this order. */
void event_started(struct engine *engine, const struct container *container);
/* "oom" where the OOM killer was at work, and "die". */
void event_died(struct engine *engine, const struct container *container, int status);
/* What follows "die" when its network and its mounts are gone, save what
 * engine_network_disconnect() tells by itself. */
void event_released(struct engine *engine, const struct container *container);
