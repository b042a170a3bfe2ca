/* linux.sysctl: only values that belong to a namespace of the container's own. */
#pragma once

#include "base/error.h"
#include "exec/native/namespaces.h"
#include "oci/runtime_spec.h"

/* Parent: refuses what is not namespaced, or whose namespace is the host's. */
int sysctl_check(const struct oci_spec *spec, const struct namespaces *ns, struct masu_error *err);

/*
 * Child, in its namespaces, @proc_fd a verified procfs: writes them, but those of the network where
 * @net_done.
 */
int sysctl_apply(const struct oci_spec *spec, int proc_fd, bool net_done, struct masu_error *err);

/* Parent: writes those of the network namespace @netns_fd, which it visits for that. */
int sysctl_apply_net(const struct oci_spec *spec, int proc_fd, int netns_fd,
		     struct masu_error *err);
