/*
 * The trash, <root>/trash: removing a tree of files is one rename(2) on the critical path; the
 * files are deleted behind.
 */
#pragma once

#include <stddef.h>

/*
 * Moves @name in @dirfd to <root>/trash under a name that begins with @trash_name. -ENOENT where
 * there is nothing to move.
 */
int trash_move(int root_fd, int dirfd, const char *name, const char *trash_name);

/*
 * Deletes what is in <root>/trash, at most @max_entries files and directories (0: all). Returns at
 * once where another process is at it. Meant for after the reply: by the monitor when a container
 * is gone, by image commands at their end, by `masu rm` with a bound.
 */
int trash_empty(int root_fd, size_t max_entries);

/* What is deleted behind with the trash, and is not in it: @fn is called by every trash_empty()
 * of this process from now on, at its end. */
void trash_also(void (*fn)(int root_fd));
