/* What the files of src/volume share. */
#pragma once

#include "volume/volume.h"

#define VOLUME_SNAPSHOTS "snapshots" /* in a volume's directory: snapshot.h */

/* All that is in directory @source, and its own look, into directory @target. Not durable. */
int volume_copy_tree(int source, int target, struct masu_error *err);

/* The present as RFC 3339 text in the arena; NULL: out of memory. */
const char *volume_now(struct arena *arena);

/*
 * Makes a volume of which nobody knows before @fill has filled its data directory. Durable, except
 * for what @fill does. -EEXIST.
 */
typedef int (*volume_fill)(void *data, int data_fd, struct masu_error *err);
int volume_make_filled(int root_fd, const char *root, struct arena *arena,
		       const struct volume *request, volume_fill fill, void *data,
		       struct volume *ret, struct masu_error *err);
