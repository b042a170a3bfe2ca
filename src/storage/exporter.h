/* What the exporters of all drivers share: the marks of what is gone, and what masu made itself. */
#pragma once

#include "storage/export.h"
#include "tree/maxima.h"
#include "tree/walk.h"

#define WHITEOUT	".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

struct exporter {
	struct storage *storage;
	const struct storage_mount_request *request;
	int lower;	 /* -1: no layers */
	int merged;	 /* overlay_merged(), where it is needed; else -1 */
	bool redirected; /* the directory that is met was another one in the layers */
	bool layer;	 /* a layer is told, with all its marks, and not what a container changed */
	const char *const *made;
	struct tree_sink *sink;
	char path[LIMIT_PATH + sizeof(WHITEOUT_OPAQUE) + 1]; /* of a marker */
};

bool exporter_same_look(const struct stat *a, const struct stat *b);

/* Tells the sink that @path is gone, or (@opaque) all that was in it. */
int exporter_hide(struct exporter *x, const char *path, bool opaque, struct masu_error *err);

/*
 * For tree_walk_hooks; @data is the exporter. Devices 0:0 become whiteouts, masu's own mount points
 * are left out, names that an image cannot have are refused.
 */
int exporter_choose(void *data, int fd, const struct stat *st, struct tar_entry *entry,
		    enum tree_choice *ret, struct masu_error *err);

/* A layer as overlay keeps it, told as the image specification has it. */
int overlay_tell_layer(int diff_fd, struct tree_sink *sink, struct masu_error *err);
