/* An image as an archive, for `save` and for what carries more than an image. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "cold/image/staging.h"

/* What else is in the archive: blobs from staging, and a document. */
struct save_more {
	const struct staging *staging;
	const struct staged_blob *blobs;
	size_t count;
	const char *name; /* of the document */
	const struct buf *document;
};

/* Writes the image (a name, which goes along, or an id) of the store @images_fd to @out. */
int save_image(struct arena *arena, int images_fd, const char *image, const struct save_more *more,
	       int out, struct masu_error *err);
