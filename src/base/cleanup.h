/*
 * Scope-bound release: `_cleanup_close_ int fd = -1;` closes on every way out of the block,
 * take_fd()/take_ptr() hand the thing over to somebody else.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* unused: a variable that only holds something until the end of the scope is in use; clang
 * disagrees. */
#define _cleanup_(f) __attribute__((cleanup(f), unused))

/* Closes *fd if it is open, keeps errno, leaves -1 behind. */
static inline void cleanup_close(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
		*fd = -1;
	}
}

static inline void cleanup_free(void *p)
{
	int saved = errno;
	free(*(void **)p);
	errno = saved;
}

static inline void cleanup_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static inline void cleanup_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define _cleanup_close_	   _cleanup_(cleanup_close)
#define _cleanup_free_	   _cleanup_(cleanup_free)
#define _cleanup_closedir_ _cleanup_(cleanup_closedir)
#define _cleanup_fclose_   _cleanup_(cleanup_fclose)

/* Hands an fd over: returns its value and leaves -1, so that the cleanup does nothing. */
static inline int take_fd(int *fd)
{
	int value = *fd;
	*fd = -1;
	return value;
}

/* Hands a pointer over: yields its value and leaves NULL. */
#define take_ptr(p)                                                                                \
	({                                                                                         \
		__typeof__(p) _v = p;                                                              \
		p = NULL;                                                                          \
		_v;                                                                                \
	})
