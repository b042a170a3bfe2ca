/* A directory as the source of a tree. */
#pragma once

#include <sys/stat.h>

#include "tree/tree.h"

/* What becomes of an object. */
enum tree_choice {
	TREE_TELL,
	TREE_LEAVE_OUT, /* with all that is below it */
	TREE_TELL_ONLY	/* the entry as it is by now, which has no content, and nothing below it */
};

/* Who has something to say about what is met. Both return 0 or -errno with a message. */
struct tree_walk_hooks {
	void *data;
	/*
	 * Before anything else, may be NULL: another file in the place of the one that was met.
	 * *fd (O_PATH) is closed by who replaces it. What is in a directory that was replaced is
	 * that one's.
	 */
	int (*replace)(void *data, const char *path, int *fd, struct masu_error *err);
	/*
	 * Of each object before it is told: @entry says what @fd (O_PATH) and @st say, attributes
	 * and content excepted, and may be changed.
	 */
	int (*choose)(void *data, int fd, const struct stat *st, struct tar_entry *entry,
		      enum tree_choice *ret, struct masu_error *err);
	/* Of a directory between its own entry and what is in it; @fd is open for reading. */
	int (*entered)(void *data, int fd, const struct tar_entry *entry, struct masu_error *err);
	/* Names of extended attributes that mean that the object cannot be told: -ENOTSUP. */
	const char *const *refused_xattrs; /* NULL-terminated */
};

struct tree_walk_options {
	const char *name; /* of the top in the entries' paths; "": they are relative to the top */
	bool without_top; /* only what is in it */
	bool sorted;	  /* what is in a directory by the bytes of its names; else in any order */
	const struct tree_walk_hooks *hooks; /* NULL: none */
};

/*
 * Tells @sink everything of what @fd (O_PATH, or open) is and, where it is a directory, of all that
 * is below it, mounts included. Links are not followed. Sockets, and what vanishes meanwhile, are
 * left out; a filesystem that only shows the kernel (proc, sysfs, cgroup …) is an empty directory.
 * Only regular files are opened for reading, so nothing blocks. Calls sink->finish() at the end.
 */
int tree_scan(int fd, const struct tree_walk_options *options, struct tree_sink *sink,
	      struct masu_error *err);
