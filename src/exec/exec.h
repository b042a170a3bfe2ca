/*
 * Exec drivers: what turns a bundle into processes. `native` does it in this program; `oci` drives
 * another OCI runtime; `lxc` and `vm` come later. The engine and `masu oci` call only this table.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"
#include "cgroup/cgroup.h"
#include "oci/runtime_spec.h"

/* What a driver needs to make a container; everything borrowed for the call. */
struct exec_request {
	const char *id;
	const char *bundle; /* absolute path of the bundle directory (hooks, state) */
	int bundle_fd;
	const struct oci_spec *spec;
	/*
	 * The root: a detached mount (open_tree/fsmount fd) that the driver attaches and owns the
	 * use of, or -1: spec->root_path is bound.
	 */
	int rootfs_fd;
	struct cgroup *cgroup; /* made by the caller; NULL: stay in the caller's group */
	int network_ns_fd;     /* a prepared network namespace to join, or -1: as the spec says */
	/* Standard streams of the container's process; -1: inherit. Ignored with a terminal. */
	int stdio[3];
	const char *console_socket; /* OCI: unix socket that gets the pty master; NULL: returned in
				       console_fd */
	int preserve_fds;	    /* fds 3..3+n-1 stay open in the container */
	const int *extra_fds; /* or, for the engine: these become 3, 4 … (NULL: use the caller's) */
	const char
		*log_json; /* NULL or the --log file's fd path, for drivers that exec a runtime */
	bool no_pivot;
	bool no_new_keyring;
	bool keep_terminal_signals; /* the caller's controlling terminal signals reach it (oci run)
				     */
	/* Called in the caller's process when the pid exists and its namespaces do, before the root
	 * is entered: the place for networks and for createRuntime-time work. Runs while the child
	 * prepares its mounts. May be NULL. A failure aborts the creation. */
	int (*on_namespaces)(void *opaque, pid_t pid, struct masu_error *err);
	void *opaque;
};

/* A created (not yet started) or running init process. */
struct exec_container {
	pid_t pid;
	int pidfd;
	uint64_t start_time; /* field 22 of /proc/pid/stat: tells a reused pid */
	int gate_fd; /* write end that lets the process exec; -1 after start or where a fifo does it
		      */
	int console_fd;	       /* pty master, or -1 */
	int seccomp_notify_fd; /* for a caller that is itself the listener, or -1 */
};

struct exec_process_request {
	pid_t init_pid;
	int init_pidfd;		     /* of the container's init */
	const struct oci_spec *spec; /* the container's own spec: namespaces, seccomp, … */
	const struct oci_process *process;
	struct cgroup *cgroup;
	int stdio[3];
	const char *console_socket;
	int preserve_fds;
	const char *subcgroup; /* `exec --cgroup`; NULL: the container's own */
	bool ignore_paused;
};

struct exec_ops {
	const char *name;
	/*
	 * Makes namespaces, root, limits and the process, which stops just before execve. Returns
	 * after the child has reported ready (or its error). createRuntime/createContainer/prestart
	 * hooks have run. On failure nothing is left but what the caller made.
	 */
	int (*create)(const struct exec_request *request, struct exec_container *ret,
		      struct masu_error *err);
	/*
	 * Lets a created process exec; returns once execve succeeded, or its error with exit_status
	 * 126/127. startContainer hooks run in the container before, poststart hooks after.
	 */
	int (*start)(const struct exec_request *request, struct exec_container *container,
		     struct masu_error *err);
	/* Starts one more process in a running container; returns after its execve. */
	int (*exec)(const struct exec_process_request *request, struct exec_container *ret,
		    struct masu_error *err);
};

/* The driver of that name (exact match), or NULL. */
const struct exec_ops *exec_driver(const char *name);
/* NULL-terminated list of the names there are. */
const char *const *exec_driver_names(void);

/* Runs all hooks of a kind with the state document on stdin; hooks.c. Used for poststop by the
 * callers. */
int exec_run_hooks(const struct oci_hooks *hooks, const char *state_json, int timeout_default,
		   struct masu_error *err);
