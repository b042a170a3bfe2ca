/* Looking at single files of an EROFS index that erofs_check() has found sound; for tests. */
#pragma once

#include <stdbool.h>

#include "cold/image/erofs_check.h"

/* One file of a sound index, in the machine's own byte order. */
struct erofs_file {
	uint16_t mode;
	uint32_t uid, gid, links, device;
	uint64_t size;
	int64_t mtime;
	uint32_t mtime_ns;
	bool opaque;
	const char *target; /* of a symlink, size bytes without a NUL */
};

uint32_t erofs_root(const struct erofs_view *view);
/* The inode of that name in the directory; 0: there is none. */
uint32_t erofs_find(const struct erofs_view *view, uint32_t directory, const char *name);
void erofs_look(const struct erofs_view *view, uint32_t inode, struct erofs_file *ret);
