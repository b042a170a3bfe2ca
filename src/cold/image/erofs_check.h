/*
 * Reading an EROFS index back: whether all of it is what erofs_write() writes and nothing else. The
 * kernel mounts it as root, and the process that wrote it had read what somebody sent; so before
 * the mount it is looked at by one that has not. Pure: looks at memory, takes a little.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct erofs_view {
	const uint8_t *data; /* the index */
	size_t len;
	uint64_t tar_len;
};

struct erofs_found {
	uint64_t names;	 /* without "." and ".." */
	uint64_t inodes; /* that they lead to, the root among them */
	uint64_t bytes;	 /* of the regular files */
};

/*
 * Every directory is entered once and lists its names in order, every inode, attribute and chunk
 * lies where such a thing may lie, and every link is counted. -EUCLEAN with a message that says
 * which inode is wrong.
 */
int erofs_check(const struct erofs_view *view, struct erofs_found *ret, struct masu_error *err);
