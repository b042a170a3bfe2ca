/* The layers of an image builder that are kept as their tar with an index (docs/storage.md). */
#pragma once

#include "cold/image/build.h"

/* Whether the layer is to have an index. Asks the kernel once, when the first layer is made. */
bool layer_index_wanted(struct image_builder *builder, const struct built_layer *layer);

/*
 * The two files, open in layer->indexed, in the place that the driver has prepared. What comes out
 * of @in_fd is their tar; where that is a file that is one, it gets a second name.
 */
int layer_index_prepare(struct image_builder *builder, int in_fd, struct built_layer *layer,
			struct masu_error *err);
/*
 * Nothing where the layer has no index. The index is sound, the kernel mounts it, and
 * layer->index_digest is what it hashes to.
 */
int layer_index_finish(struct image_builder *builder, struct built_layer *layer,
		       struct masu_error *err);
void layer_index_close(struct built_layer *layer);
