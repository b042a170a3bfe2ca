/* AppArmor profiles and SELinux labels of a process. */
#pragma once

#include "base/error.h"
#include "oci/runtime_spec.h"

/* Parent: refuses a profile or label whose security module this kernel does not run. */
int lsm_check(const struct oci_process *process, struct masu_error *err);

/* Child: the profile or label takes effect at execve. @proc_fd: a verified procfs. */
int lsm_apply(const struct oci_process *process, int proc_fd, struct masu_error *err);
