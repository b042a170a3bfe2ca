/* The environment of a container's process. */
#pragma once

#include "base/error.h"
#include "oci/runtime_spec.h"

/*
 * process.env, plus HOME where it is not set (from /etc/passwd in the caller's root, else "/"), and
 * LISTEN_FDS and LISTEN_PID where fds of systemd's protocol are handed on. *ret lives as long as
 * the process.
 */
int environment_build(const struct oci_process *process, int listen_fds, char ***ret,
		      struct masu_error *err);
