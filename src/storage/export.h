/*
 * What a container changed as a layer of an image. A table by itself beside storage_ops: only
 * `commit` needs it, and the hot program does not link it.
 */
#pragma once

#include "storage/storage.h"
#include "tree/tree.h"

struct storage_export_request {
	struct storage_mount_request layers; /* of the container */
	/*
	 * Paths (relative, NULL-terminated) that masu makes where the layers do not have them, to
	 * mount something there. What it made and nobody filled is no change.
	 */
	const char *const *made;
};

/*
 * Tells @sink what changed, read from the writable layer alone, as the image specification has it
 * in a layer (layer.md, "Whiteouts"): ".wh.NAME" for a name that is gone, ".wh..wh..opq" in a
 * directory whose place another one has taken. Names in the order of their bytes, so the same layer
 * gives the same tree. Names of whiteouts that the container made itself are refused: an image
 * cannot have them.
 */
typedef int (*storage_exporter)(struct storage *s, const struct storage_export_request *request,
				struct tree_sink *sink, struct masu_error *err);

/* Of the driver of exactly this name; NULL: it cannot. */
storage_exporter storage_exporter_of(const char *driver);

int overlay_export(struct storage *s, const struct storage_export_request *request,
		   struct tree_sink *sink, struct masu_error *err);
int aufs_export(struct storage *s, const struct storage_export_request *request,
		struct tree_sink *sink, struct masu_error *err);
int whole_export(struct storage *s, const struct storage_export_request *request,
		 struct tree_sink *sink, struct masu_error *err);
