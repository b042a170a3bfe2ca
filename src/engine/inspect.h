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

void inspect_network_settings_write(struct json_writer *w, struct arena *arena,
				    const struct container *container);
