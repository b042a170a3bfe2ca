/* What the files of src/volume share. */
#pragma once

#include "volume/volume.h"

#define VOLUME_SNAPSHOTS "snapshots" /* in a volume's directory: snapshot.h */

/* All that is in directory @source, and its own look, into directory @target. Not durable. */
int volume_copy_tree(int source, int target, struct masu_error *err);

/* The present as RFC 3339 text in the arena; NULL: out of memory. */
const char *volume_now(struct arena *arena);
