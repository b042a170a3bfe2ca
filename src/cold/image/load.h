/* Images out of an archive that was taken apart, for `load` and for what carries more than images.
 */
#pragma once

#include "cold/image/archive.h"
#include "cold/image/build.h"

/* Builds and commits what archive_plan() found. *ret: @count images, in the builder's arena. */
int load_images(struct image_builder *builder, const struct archive_image *from, size_t count,
		struct built_image **ret, struct masu_error *err);
