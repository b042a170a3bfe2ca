/* A layer of an image put onto a directory that has what is below it. */
#pragma once

#include "tree/tree.h"

struct tree_applier;

/*
 * A sink that makes what a layer says, whiteouts (image specification, layer.md) carried out:
 * ".wh.NAME" removes, ".wh..wh..opq" empties the directory it comes in, which must come before
 * what the layer has in that. Nothing leaves @root_fd, no link is followed. @root_fd stays the
 * caller's.
 */
int tree_applier_new(int root_fd, struct tree_applier **ret, struct masu_error *err);
struct tree_sink *tree_applier_sink(struct tree_applier *applier);
void tree_applier_free(struct tree_applier *applier);
static inline void tree_applier_cleanup(struct tree_applier **applier)
{
	if (*applier)
		tree_applier_free(*applier);
}
/* Removes all that is in directory @fd. */
int tree_empty_directory(int fd);

#define _cleanup_tree_applier_ __attribute__((cleanup(tree_applier_cleanup)))
