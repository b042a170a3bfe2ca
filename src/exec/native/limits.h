/*
 * Properties of a process that its parent sets by pid, with the host's privileges: resource limits,
 * OOM score, I/O priority, CPU scheduling. Done just before the process is let go, so that a low
 * limit does not hinder what masu itself still does in it.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "oci/runtime_spec.h"

int limits_apply(pid_t pid, const struct oci_process *process, struct masu_error *err);

/* Child: sched_setaffinity(2) on itself. @list: "0-3,7". */
int limits_set_affinity(const char *list, const char *member, struct masu_error *err);

/* Parses "0-3,7" into a bit per number, at most @bits. -EINVAL or -ERANGE. */
int limits_parse_list(const char *list, unsigned long *mask, size_t bits);
