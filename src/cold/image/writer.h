/*
 * The writer: makes the files of a layer below one directory from the decoder's frames. Runs in its
 * own process after sandbox_writer(): that directory is its root, and all it may do there.
 *
 * Every path is opened fd-relative without following a symlink in any component. A name that comes
 * again replaces what was there (a directory again keeps its content). Owners, modes with setuid
 * bits, times with nanoseconds, extended attributes, devices and hard links are as in the archive.
 */
#pragma once

#include "cold/image/decoder.h"

/*
 * Reads frames from @in until FRAME_DONE. The overlay marks that take CAP_SYS_ADMIN, which a writer
 * does not have, are left to the parent: paths of opaque directories go to @opaque_fd, each with a
 * NUL.
 */
int write_layer(int in, int root, int opaque_fd, struct worker_report *report,
		struct masu_error *err);
