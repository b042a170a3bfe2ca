/*
 * The seccomp agent (config-linux.md, Seccomp, "The Container Process State"): who answers the
 * system calls that a filter notifies about.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "oci/runtime_spec.h"

struct listener_context {
	const struct oci_spec *spec; /* listenerPath, listenerMetadata, annotations */
	const char *id, *bundle, *status;
	pid_t pid;	/* of the process that is filtered */
	pid_t init_pid; /* of the container */
};

/* Parent, before anything is made: a filter that notifies about what masu itself needs after
 * loading it would hang; it is refused by name. */
int listener_check(const struct oci_seccomp *seccomp, struct masu_error *err);

/* Sends the notify fd with the container process state to seccomp.listenerPath. */
int listener_send(const struct listener_context *context, int notify_fd, struct masu_error *err);

/* start.c: says SYNC_START and waits until the process has exec'd (or failed). *trap_fd is set
 * where the process hands that over. */
int start_process(int gate_fd, bool let_go, const struct listener_context *listener, int *trap_fd,
		  struct masu_error *err);
