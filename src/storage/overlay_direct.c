/*
 * Whether a layer's tar is read around the page cache. The files of an EROFS mount are cached for
 * themselves; read through the cache of the tar below them, every byte is in memory twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdint.h>

#include "storage/overlay.h"
#include "sys/syscalls.h"

#define SYS_CACHESTAT 451 /* Linux 6.5 */

/* Of the index: the least that is read of the tar, from where it may begin. */
#define BLOCK 512

/* How much of a tar says whether it is in the cache: who has written or read it began here. */
#define BEGIN (1u << 20)

struct cachestat_range {
	uint64_t off, len;
};
struct cachestat {
	uint64_t cache, dirty, writeback, evicted, recently_evicted;
};

/* One that has just been made is in memory already, and need not come from the disk again. */
static bool is_cached(int fd)
{
	struct cachestat_range range = { 0, BEGIN };
	struct cachestat found = { 0 };
	return syscall(SYS_CACHESTAT, fd, &range, &found, 0) < 0 || found.cache > 0;
}

bool overlay_erofs_direct(int tar_fd)
{
	struct statx st;
	return sys_statx(tar_fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) == 0 &&
	       (st.stx_mask & STATX_DIOALIGN) && st.stx_dio_offset_align &&
	       st.stx_dio_offset_align <= BLOCK && st.stx_dio_mem_align <= BLOCK &&
	       !is_cached(tar_fd);
}
