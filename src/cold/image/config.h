/* Making an image's config document: Docker's fields in the image spec's places. */
#pragma once

#include "base/buf.h"
#include "image/image.h"

/* A config under construction; lists grow in the arena. */
struct config_builder {
	struct arena *arena;
	struct image_config config;
	const char **on_build;
	const char *created, *architecture, *variant, *os;
	const char *author, *comment;
};

void image_config_init(struct config_builder *c, struct arena *arena);

/*
 * Applies one Dockerfile instruction ("CMD [\"sh\"]") as `docker import --change` does: CMD,
 * ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR.
 */
int image_config_change(struct config_builder *c, const char *instruction, struct masu_error *err);

/* The config document of an image of one layer. */
int image_config_write(const struct config_builder *c, const char *diff_id, struct buf *ret);
