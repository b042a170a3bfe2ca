/* Which open files a container's process has: 0, 1, 2, the preserved ones, nothing else. */
#pragma once

#include <stddef.h>

#include "base/error.h"

/*
 * Puts @extra[0..count-1] at 3, 4 … (with a NULL @extra they are there already and must be open),
 * and marks everything above close-on-exec. The fds that @keep points to are needed until execve:
 * they are moved above the preserved range, and *keep[i] says where they are then. -1 is skipped.
 */
int fds_arrange(const int *extra, int count, int *const keep[], size_t keep_count,
		struct masu_error *err);
