#pragma once

#include "engine/engine.h"

/*
 * Refuses, before anything is made, what a container with this configuration could not be: Docker's
 * rules and words where it has them. What is asked for and not supported is refused by name. Reads
 * the files that options name (a seccomp profile) into the configuration.
 */
int config_validate(struct engine *engine, struct arena *arena, struct container_config *config,
		    struct masu_error *err);

/* What --storage-opt says: size=BYTES, 0 where it says nothing. -EINVAL names what is wrong. */
int config_storage_size(const struct container_config *config, uint64_t *ret,
			struct masu_error *err);
/* The part of config_validate() that refuses what is not supported. */
int config_check_supported(const struct container_config *config, struct masu_error *err);

/* "SIGTERM", "TERM" or "15", also "RTMIN+3". -EINVAL with Docker's message. */
int signal_parse(const char *text, int *ret, struct masu_error *err);
