/* User namespaces: id maps (user_namespaces(7)) and becoming the container's root. */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "oci/runtime_spec.h"

/*
 * Parent: writes /proc/PID/uid_map and gid_map of a process in a new user namespace. The caller
 * needs CAP_SETUID and CAP_SETGID over the parent namespace: masu has no newuidmap path, an
 * unprivileged caller is refused by name. setgroups(2) stays allowed inside.
 */
int userns_write_maps(pid_t pid, const struct oci_id_map *map, struct masu_error *err);

/* Parent, before anything is made: the map covers uid 0 and gid 0 and the process's ids. */
int userns_check(const struct oci_spec *spec, struct masu_error *err);

/* Child: container ids 0:0 and no supplementary groups, with all capabilities kept. */
int userns_become_root(struct masu_error *err);
