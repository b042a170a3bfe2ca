/* What the files of src/volume share. */
#pragma once

#include "volume/volume.h"

#define VOLUME_SNAPSHOTS "snapshots" /* in a volume's directory: snapshot.h */

#define VOLUME_PATH_MAX (255 + sizeof("volumes/"))

/* Where the volume is below the root. -EINVAL where that is no name for one. */
int volume_path(const char *name, char ret[VOLUME_PATH_MAX], struct masu_error *err);
/* volume.json in the volume's directory, durable. */
int volume_write_record(int dir, const struct volume *volume, struct masu_error *err);
/* The directories that lead to a record, which is on the disk. */
int volume_sync(int root_fd, int dir);

/* All that is in directory @source, and its own look, into directory @target. Not durable. */
int volume_copy_tree(int source, int target, struct masu_error *err);

/* Of volume directory @from into @to: the mark of a first copy (volume_copy_up()) that was killed.
 */
int volume_copy_mark(int from, int to, struct masu_error *err);

/* The present as RFC 3339 text in the arena; NULL: out of memory. */
const char *volume_now(struct arena *arena);
