/* The parts of the inspect document; only src/engine uses this. */
#pragma once

#include "engine/engine.h"
#include "json/json.h"

/* ---- inspect_config.c ---- */

void inspect_config_write(struct json_writer *w, struct arena *arena,
			  const struct container *container);
void inspect_host_config_write(struct json_writer *w, struct arena *arena,
			       const struct container *container);

/* ---- inspect_network.c ---- */

/* "" where there is none. */
const char *inspect_address(int family, bool has, const void *address, char ret[INET6_ADDRSTRLEN]);
void inspect_mac(const struct network_endpoint *e, char ret[18]);
/* Of a network that has none of its own. */
void inspect_network_id(const char *name, char ret[65]);
void inspect_network_settings_write(struct json_writer *w, struct arena *arena,
				    const struct container *container);
