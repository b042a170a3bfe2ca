/* A directory as the sink of a tree. */
#pragma once

#include "tree/tree.h"

struct tree_make_options {
	/* Owners as the entries say; else all belongs to @uid and @gid, and the set-id bits go
	 * where that is somebody else than before. */
	bool keep_owner;
	uint32_t uid, gid;
	/*
	 * What comes out of a container must not give its maker power over this machine: device
	 * nodes are @uid's alone, and without keep_owner nothing is set-id or has capabilities.
	 */
	bool from_container;
	bool silent_top; /* the top's own owner, mode and times stay as they are */
};

struct tree_maker;

/*
 * Makes entries below @root_fd (any directory fd), without following a link in any component of a
 * path; @root_fd stays the caller's. Nothing that exists is opened for writing: a new file takes
 * the name when it is complete. What is there and no directory is replaced; a directory is merged
 * with a directory; a directory in place of something else, or the other way round, is refused
 * with docker's words. Directories that are implied are made.
 */
int tree_maker_new(int root_fd, const struct tree_make_options *options, struct tree_maker **ret,
		   struct masu_error *err);
struct tree_sink *tree_maker_sink(struct tree_maker *maker);
void tree_maker_free(struct tree_maker *maker);
static inline void tree_maker_cleanup(struct tree_maker **maker)
{
	if (*maker)
		tree_maker_free(*maker);
}
#define _cleanup_tree_maker_ __attribute__((cleanup(tree_maker_cleanup)))
