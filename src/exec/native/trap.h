/*
 * The engine's own filter beside the container's: system calls that whoever made the container
 * answers (seccomp_unotify(2)). All others pass it, and the kernel, which finds that out when it is
 * loaded, does not run it for them.
 */
#pragma once

#include "base/error.h"

/* Loads it, for EXEC_TRAP_* @traps; the listener. Needs no_new_privs or CAP_SYS_ADMIN. */
int trap_load(unsigned traps, int *ret_listener, struct masu_error *err);
