/* Making an image's config document: Docker's fields in the image spec's places. */
#pragma once

#include "base/buf.h"
#include "image/image.h"

/* One entry of an image's history. */
struct config_step {
	const char *created_by, *comment; /* NULL or "": none */
	bool empty_layer;
};

/* A config under construction; lists grow in the arena. */
struct config_builder {
	struct arena *arena;
	struct image_config config;
	const char **on_build;
	const char *created, *architecture, *variant, *os;
	const char *author;
	/* What the image it is made on has, NULL: none, and what led from there to here. */
	const struct json *base_history;
	const struct config_step *steps;
	size_t step_count;
};

void image_config_init(struct config_builder *c, struct arena *arena);

/*
 * Applies one Dockerfile instruction ("CMD [\"sh\"]") as `docker import --change` does: CMD,
 * ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR.
 */
int image_config_change(struct config_builder *c, const char *instruction, struct masu_error *err);

/* The config document of an image of these layers, lowest first. */
int image_config_write(const struct config_builder *c, const char *const *diff_ids,
		       size_t layer_count, struct buf *ret);

/* Now, as a config has it. */
int image_config_time(struct arena *arena, const char **ret);
