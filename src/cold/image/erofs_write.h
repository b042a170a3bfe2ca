/*
 * Writing a tree down as an EROFS index: a file that the kernel mounts together with the tar, which
 * is its extra device. What is not to be found in the tar as it has to be (files with holes, files
 * with something else than zeroes behind their end) is copied into the index.
 *
 * Layout: superblock, device slot, inodes from EROFS_META_BLOCK on, then blocks of directories, of
 * long links and of copied content.
 */
#pragma once

#include "cold/image/erofs_tree.h"

/*
 * What the index's writer leaves to its parent, who can see the layers below (marks.h): a letter, a
 * path and a NUL.
 */
#define EROFS_MARK_OPAQUE 'o' /* the layer's root is opaque */
#define EROFS_MARK_IMPLIED                                                                         \
	'i' /* and the inode's offset in 16 hexadecimal digits before the path                     \
	     */

/*
 * @tree is settled. @tar_fd: for reading what is copied. @marks: gets the marks. -E2BIG where the
 * index would pass its maximum.
 */
int erofs_write(struct erofs_tree *tree, int index_fd, int tar_fd, int marks_fd,
		struct masu_error *err);
