/*
 * The program that enters a container must not be overwritable from inside it through
 * /proc/PID/exe (CVE-2019-5736). Verbs with `enters_container` therefore run from a detached,
 * read-only clone of the program's own mount: a write through any magic link gets EROFS, and a
 * mount that is in no namespace cannot be remounted.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

/*
 * The absolute path of this program as installed, also after sealed_ensure() has re-executed it
 * (handed on in the environment variable _MASU_SELF, which is removed here). "" if unknown.
 */
const char *sealed_self_path(struct arena *arena);
/* Has the program that this one turns into take @self_path for its own. 0 or -ENOMEM. */
int sealed_hand_on(const char *self_path);

/*
 * Returns 0 when the running program already is on a read-only mount; else re-executes it from a
 * read-only clone and does not return. -errno with *err where neither works.
 */
int sealed_ensure(const char *self_path, char **argv, struct masu_error *err);
