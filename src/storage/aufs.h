/* What of the aufs driver can be tested where no kernel has aufs. */
#pragma once

#include "base/buf.h"

/*
 * mount(2)'s data: the writable branch @upper (-1: none) first, then @lower, topmost layer first,
 * each by its descriptor (aufs(5), "br"). Their paths are /proc/self/fd/N. -E2BIG past one page.
 */
int aufs_options(int upper, const int *lower, size_t count, struct buf *ret);

/*
 * Makes overlay's marks in the tree @fd those of aufs: a device 0:0 becomes an empty file .wh.NAME,
 * an opaque directory gets a file .wh..wh..opq.
 */
int aufs_convert(int fd);
