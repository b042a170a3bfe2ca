/*
 * From "in its namespaces and its root" to execve: what process.* of the spec asks for. Shared by
 * the container's first process and by exec.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"
#include "exec/exec.h"
#include "exec/native/seccomp.h"
#include "oci/runtime_spec.h"

struct process_plan {
	const struct oci_process *process;
	struct oci_capabilities capabilities; /* clamped to what can be granted */
	const struct seccomp_filter *seccomp; /* NULL: none */
	unsigned traps;			      /* EXEC_TRAP_*, in a filter of their own */
	const struct oci_spec *spec;	      /* personality, memory policy, startContainer hooks */
	const char *id, *bundle;
	bool user_ns;
	bool first;	  /* the container's first process: hooks, a missing cwd is made */
	bool new_keyring; /* join the session keyring of the container */
	int proc_fd;	  /* a verified procfs of the host, for LSM attributes */
	int stdio[3];
	int preserve_fds, listen_fds;
	const int *extra_fds;
	/* Between prepare and execute: */
	bool filtered; /* the filter is loaded already */
	uint64_t full_caps;
	char **env;
	char path[PATH_MAX];
};

/* Parent: refuses what cannot be done (LSM absent, filter that would deadlock), clamps the
 * capabilities. @plan's process, seccomp, spec and user_ns are set. */
int process_check(struct process_plan *plan, struct masu_error *err);

/* Child, with all privileges: standard streams, from @slave where it is a terminal (else -1). */
int process_streams(struct process_plan *plan, int slave, struct masu_error *err);

/*
 * Child: limits on itself, identity, working directory, fds, the program's path. @keep: fds that
 * the caller still needs; they are moved out of the way of the preserved ones (-1: none).
 */
int process_prepare(struct process_plan *plan, int *const keep[], size_t keep_count,
		    struct masu_error *err);

/* Child: seccomp and the last capabilities, where process_execute() is not to do it. */
int process_filter(struct process_plan *plan, int sync_fd, struct masu_error *err);

/* Child: seccomp, last capabilities, startContainer hooks, execve. Returns only on failure. The
 * seccomp listener goes over @sync_fd. */
int process_execute(struct process_plan *plan, int sync_fd, struct masu_error *err);
