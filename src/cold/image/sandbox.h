/*
 * The boxes in which masu-image handles what others made. Both are one-way: no new privileges, no
 * way to get a file or process that was not handed in, and death with the parent. A system call
 * outside the list kills the process; the parent says so.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/*
 * For a process that only turns bytes into other bytes: no files, no identity (uid 65534), no
 * capabilities; read, write, memory and exit. @fds (at most 8) stay open under their numbers,
 * everything else is closed.
 */
int sandbox_decoder(const int *fds, size_t count, struct masu_error *err);

/*
 * As sandbox_decoder(), for a process that besides writes to the files in @fds wherever it wants
 * and reads them so.
 */
int sandbox_indexer(const int *fds, size_t count, struct masu_error *err);

/*
 * For a process that talks to a registry: the network, memory, and threads; of files only those
 * that resolving names and checking certificates need to read (/etc, libraries), none to write; no
 * identity, no capabilities.
 */
int sandbox_fetcher(const int *fds, size_t count, struct masu_error *err);

/*
 * For a process that makes files below the directory @root: that directory becomes its root
 * (chroot(2)), Landlock allows changes below it only, and the capabilities that remain are CHOWN,
 * FOWNER, FSETID, DAC_OVERRIDE, MKNOD and SETFCAP.
 */
int sandbox_writer(int root, const int *fds, size_t count, struct masu_error *err);
