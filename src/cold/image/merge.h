/* An image's layers in one piece, for drivers that mount it so (struct storage_ops, layer_merge).
 */
#pragma once

#include "cold/image/build.h"

/*
 * After the image's layers are committed. Reads them as a container would see them and writes them
 * as one tar with an index; nothing where the driver does not want that or it is there. A failure
 * is told by a warning: containers have the layers one by one then.
 */
void image_merge(struct image_builder *builder, const struct built_image *image);
