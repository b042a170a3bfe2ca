/*
 * Properties of a process that its parent sets by pid, with the host's privileges: OOM score, I/O
 * priority, CPU scheduling, and (with a user namespace, where the process itself may not) resource
 * limits. Done just before the process is let go.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/runtime_spec.h"

int limits_apply(pid_t pid, const struct oci_process *process, bool user_ns,
		 struct masu_error *err);

/* Whether limits_apply() has anything to do, but for a user namespace's resource limits. */
bool limits_any(const struct oci_process *process);

/*
 * Resource limits of @pid, 0: the caller. Without CAP_SYS_RESOURCE only a process of the caller's
 * own ids can be limited, so without a user namespace the child does it before it changes them.
 */
int limits_set_resources(pid_t pid, const struct oci_process *process, struct masu_error *err);

/* Child: sched_setaffinity(2) on itself. @list: "0-3,7". */
int limits_set_affinity(const char *list, const char *member, struct masu_error *err);

/* Parses "0-3,7" into a bit per number, at most @bits. -EINVAL or -ERANGE. */
int limits_parse_list(const char *list, unsigned long *mask, size_t bits);
