/* What the files of src/volume share. */
#pragma once

#include "volume/volume.h"

#define VOLUME_SNAPSHOTS     "snapshots"     /* in a volume's directory: snapshot.h */
#define VOLUME_SNAPSHOT_JSON "snapshot.json" /* in a snapshot's */

#define VOLUME_PATH_MAX (255 + sizeof("volumes/"))

/* Where the volume is below the root. -EINVAL where that is no name for one. */
int volume_path(const char *name, char ret[VOLUME_PATH_MAX], struct masu_error *err);
/* volume.json in the volume's directory, durable. */
int volume_write_record(int dir, const struct volume *volume, struct masu_error *err);
/* The directories that lead to a record, which is on the disk. */
int volume_sync(int root_fd, int dir);

/*
 * An empty data directory @name in @dir: a subvolume where that is on btrfs, so that copies of it
 * cost nothing.
 */
int volume_make_data(int dir, const char *name);
/*
 * @name in @dir as a copy of the data directory @source, its own look included: a snapshot where
 * both are on one btrfs and @source is a subvolume, else made file by file. Durable. @frozen:
 * nobody will write to it, which the filesystem may see to.
 */
int volume_copy_data(int source, int dir, const char *name, bool frozen, struct masu_error *err);

/* volume_make_filled(), but @make makes _data in the volume's directory as well. */
int volume_make_by(int root_fd, const char *root, struct arena *arena, const struct volume *request,
		   volume_fill make, void *data, struct volume *ret, struct masu_error *err);

/* All that is in directory @source, and its own look, into directory @target. Not durable. */
int volume_copy_tree(int source, int target, struct masu_error *err);

/* Of volume directory @from into @to: the mark of a first copy (volume_copy_up()) that was killed.
 */
int volume_copy_mark(int from, int to, struct masu_error *err);

/* The present as RFC 3339 text in the arena; NULL: out of memory. */
const char *volume_now(struct arena *arena);
