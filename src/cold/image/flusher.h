/*
 * Writing to the disk while there is still work: the kernel keeps what is written in memory for
 * half a minute, so a sync at the end of a pull would begin with everything left to do. A process
 * of its own syncs the filesystem after every few megabytes instead; the sync that counts, before
 * the commit, finds little.
 */
#pragma once

#include <stdint.h>

struct flusher;

/* For the filesystem of @fd. NULL where it cannot be had: then the commit takes longer. */
struct flusher *flusher_start(int fd);
/* There is this much altogether now. Never waits. @flusher may be NULL. */
void flusher_tell(struct flusher *flusher, uint64_t bytes);
/* Waits for the sync under way, which the caller's own would wait for, too. */
void flusher_stop(struct flusher *flusher);
static inline void flusher_stopp(struct flusher **flusher)
{
	flusher_stop(*flusher);
}
#define _cleanup_flusher_ __attribute__((cleanup(flusher_stopp)))
