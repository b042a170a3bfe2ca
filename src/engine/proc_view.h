/*
 * --proc=limits: /proc/meminfo, cpuinfo, stat and the like show what the container may use instead
 * of what the machine has. The files are those of lxcfs (lxcfs(1), a FUSE file system that answers
 * each reader by its cgroup), bound over the container's; what a program learns from its CPU
 * affinity instead (nproc, Go) is a cpuset of as many CPUs as the limit comes to.
 */
#pragma once

#include "engine/internal.h"

#define PROC_VIEW_MOUNTS_MAX 8

/* Refuses --proc=limits where lxcfs does not run. */
int proc_view_check(const struct container_config *config, struct masu_error *err);
/* Adds the mounts to @spec, which has room for PROC_VIEW_MOUNTS_MAX more. */
int proc_view_mounts(const struct spec_context *context, struct oci_spec *spec,
		     struct masu_error *err);
/*
 * The CPUs for a container with a CPU limit and no --cpuset-cpus, so many that the limit fits:
 * writes "N-M" in the arena to *cpus. They are next to each other, beginning at one that the
 * container's id decides, so that containers spread. Leaves *cpus alone where there is nothing to
 * choose.
 */
int proc_view_cpus(const struct spec_context *context, const char **cpus, struct masu_error *err);
