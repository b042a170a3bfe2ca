#include "engine/trim.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_TRIM (96u << 10) /* what making a container may have used below this frame */

extern const char __ehdr_start[] __attribute__((weak, visibility("hidden")));
extern const char etext[] __attribute__((weak));

/* The program's own pages are the file's: dropping them costs a fault each when used again. */
static void drop_text(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = (uintptr_t)__ehdr_start & ~(page - 1);
	uintptr_t to = (uintptr_t)etext & ~(page - 1);
	if (__ehdr_start && etext && from < to)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

/* Below the caller's frame lies only what calls that have returned left behind. */
static void __attribute__((noinline)) drop_dead_stack(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(page - 1);
	/* One page stays, for the red zone and the calls from here. */
	madvise((void *)(here - page - STACK_TRIM), STACK_TRIM, MADV_DONTNEED);
}

void monitor_trim(struct arena *arena)
{
	arena_free(arena);
	drop_dead_stack();
	drop_text();
}
