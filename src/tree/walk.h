/* A directory as the source of a tree. */
#pragma once

#include "tree/tree.h"

struct tree_walk_options {
	const char *name; /* of the top in the entries' paths; "": they are relative to the top */
	bool without_top; /* only what is in it */
};

/*
 * Tells @sink everything of what @fd (O_PATH, or open) is and, where it is a directory, of all that
 * is below it, mounts included. Links are not followed. Sockets, and what vanishes meanwhile, are
 * left out; a filesystem that only shows the kernel (proc, sysfs, cgroup …) is an empty directory.
 * Only regular files are opened for reading, so nothing blocks. Calls sink->finish() at the end.
 */
int tree_scan(int fd, const struct tree_walk_options *options, struct tree_sink *sink,
	      struct masu_error *err);
