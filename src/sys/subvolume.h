/*
 * Subvolumes of btrfs: directories that are copied whole by one call, whatever is in them. The
 * ioctls of linux/btrfs.h (btrfs-ioctl(2)).
 */
#pragma once

#include <stdbool.h>

/* True where @fd is the top of a subvolume. */
bool subvolume_is(int fd);

/*
 * True where it is one that a snapshot holds all of: others that lie in it, which a snapshot leaves
 * out (also a container may make some), are none.
 */
bool subvolume_is_plain(int fd);

/*
 * Makes @name in directory @dir: empty where @from is -1, else a snapshot of the subvolume @from,
 * which @readonly nobody can write to. A snapshot is durable. -EOPNOTSUPP where that is not on
 * btrfs.
 */
int subvolume_make(int dir, const char *name, int from, bool readonly);

/* Deletes subvolume @name in @dir with all that is in it; -errno where it is none or has others in
 * it. */
int subvolume_destroy(int dir, const char *name);
