/* Loop devices (loop(4)), for pools that lie in files. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/*
 * A loop device of @fd (open for writing), which goes when its last user does; *ret_fd is the
 * first. -ENOENT, -ENXIO: the kernel has none.
 */
int dm_loop_attach(int fd, int *ret_fd, dev_t *ret_dev);
/* The file behind it has another size now. */
int dm_loop_resize(dev_t dev);
/* Bytes of a block device. */
int dm_block_size(int fd, uint64_t *ret);
