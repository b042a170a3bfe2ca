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
 * Reads frames from @in until FRAME_DONE. What takes more than a writer may do is left to the
 * parent, as marks in @marks_fd: a letter, a path and a NUL.
 */
#define MARK_OPAQUE   'o' /* the directory hides the layers below: trusted.* takes CAP_SYS_ADMIN */
#define MARK_IMPLIED  'i' /* made because something in it came; looks like the one below it */
#define MARK_EXPLICIT 'e' /* an entry of its own came after all */

/*
 * @onto: @root is a mounted root in which the layer is to happen, not a layer by itself: a whiteout
 * removes what has the name. Then there are no marks.
 */
int write_layer(int in, int root, int marks_fd, bool onto, struct worker_report *report,
		struct masu_error *err);
