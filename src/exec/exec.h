/*
 * Exec drivers: what turns a bundle into processes. `native` does it in this program; the others
 * have programs of their own do it, and are in masu-more only (drivers.c): "oci:PROGRAM" another
 * OCI runtime, "lxc" liblxc's programs, "vm" a virtual machine. The engine and `masu oci` call only
 * this table.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "cgroup/cgroup.h"
#include "oci/runtime_spec.h"

/* listen(2); bind(2). Also of the machine's 32-bit interface. */
#define EXEC_TRAP_LISTEN 1u
#define EXEC_TRAP_BIND	 2u

/* What a driver needs to make a container; everything borrowed for the call. */
struct exec_request {
	const char *driver; /* as exec_driver() was asked for it: "oci:crun"; NULL: native */
	const char *id;
	/* For drivers but native: a directory, by absolute path, that is there while the container
	 * lives and is removed after it with all that is in it. */
	const char *state_dir;
	const char *bundle; /* absolute path of the bundle directory (hooks, state) */
	int bundle_fd;
	const struct oci_spec *spec;
	/*
	 * The root: a detached mount (open_tree/fsmount fd) that the driver attaches, or -1:
	 * spec->root_path is bound. Stays the caller's.
	 */
	int rootfs_fd;
	struct cgroup *cgroup; /* made by the caller; NULL: stay in the caller's group */
	int network_ns_fd;     /* a prepared network namespace to join, or -1: as the spec says */
	/* Standard streams of the container's process; -1: inherit. Ignored with a terminal. */
	int stdio[3];
	/* OCI: unix socket that gets the pty master; NULL: it is returned in console_fd. */
	const char *console_socket;
	int preserve_fds;     /* fds 3..3+n-1 stay open in the container */
	const int *extra_fds; /* for the engine: these @preserve_fds fds become 3, 4 … */
	int listen_fds;	      /* how many of them systemd's LISTEN_FDS announces */
	bool no_pivot;
	bool no_new_keyring;
	/* /proc/self/mountinfo is to list the mounts in the specification's order (config.md,
	 * Mounts); costs a little, because less is made while the child starts. */
	bool mounts_in_order;
	/*
	 * Unix socket, bound and listening, through which a process that did not create the
	 * container starts it (`masu oci create`); -1: the creator starts it by gate_fd.
	 */
	int gate_listen_fd;
	/*
	 * Called in the caller's process when the pid exists and its namespaces do, before the root
	 * is entered: the place for networks. Runs while the child prepares its mounts. May be
	 * NULL. A failure aborts the creation. With @sysctl_last the sysctls are applied after it,
	 * because they name interfaces that it makes.
	 */
	bool sysctl_last;
	/*
	 * start() follows at once: the process is told so as soon as @on_namespaces has returned,
	 * and then does not wait for its creator to learn that it is ready.
	 */
	bool start_at_once;
	/*
	 * The seccomp filter is known to allow what waiting for start() takes (receive, close,
	 * capset, prctl, execve, and a message on failure), so it is loaded before.
	 */
	bool waits_filtered;
	/* System calls of the container's processes that the caller answers: EXEC_TRAP_*. They need
	 * a seccomp section in the spec. The listener is in exec_container.trap_fd after start().
	 */
	unsigned traps;
	int (*on_namespaces)(void *opaque, pid_t pid, struct masu_error *err);
	void *opaque;
};

/* A created (not yet started) or running process. Closed with exec_container_close(). */
struct exec_container {
	pid_t pid;
	int pidfd;
	uint64_t start_time; /* field 22 of /proc/pid/stat: tells a reused pid */
	int gate_fd;	/* socket to the waiting process; -1 after start. While it waits and has not
			   been detached, closing it (also by dying) ends the process. */
	int console_fd; /* pty master, or -1 */
	int trap_fd;	/* seccomp listener for what was to be trapped, or -1 */
	bool let_go;	/* it was told to start already */
};

#define EXEC_CONTAINER_NONE                                                                        \
	(struct exec_container)                                                                    \
	{                                                                                          \
		.pidfd = -1, .gate_fd = -1, .console_fd = -1, .trap_fd = -1                        \
	}

/* Closes what is open in @container; the process itself is left alone. */
void exec_container_close(struct exec_container *container);
#define _cleanup_exec_container_ __attribute__((cleanup(exec_container_close)))

struct exec_process_request {
	const char *driver, *state_dir; /* as in struct exec_request */
	pid_t init_pid;
	int init_pidfd; /* of the container's init */
	const char *id;
	const char *bundle;
	const struct oci_spec *spec; /* the container's own spec: namespaces, seccomp, … */
	const struct oci_process *process;
	struct cgroup *cgroup; /* the group to join (exec --cgroup: the sub-group); NULL: none */
	int stdio[3];
	const char *console_socket;
	int preserve_fds;
	const int *extra_fds;
	int listen_fds;
	unsigned traps; /* as in struct exec_request */
};

struct exec_ops {
	const char *name; /* the kind: what is before a colon in a driver's name */
	/*
	 * Makes namespaces, root, limits and the process, which stops just before execve. Returns
	 * after the child has reported ready (or its error). prestart, createRuntime and
	 * createContainer hooks have run. On failure nothing is left but what the caller made.
	 */
	int (*create)(const struct exec_request *request, struct exec_container *ret,
		      struct masu_error *err);
	/*
	 * Cuts a created process loose from its creator: from now on it waits at gate_listen_fd
	 * only, and outlives the caller. To be called once the container is on record.
	 */
	int (*detach)(struct exec_container *container, struct masu_error *err);
	/*
	 * Lets a created process exec; returns once execve succeeded, or its error with exit_status
	 * 126/127. startContainer hooks run in the container before, poststart hooks after. Only
	 * id, bundle and spec of @request are used. With a failed hook the process is killed.
	 */
	int (*start)(const struct exec_request *request, struct exec_container *container,
		     struct masu_error *err);
	/* Starts one more process in a running container; returns after its execve. */
	int (*exec)(const struct exec_process_request *request, struct exec_container *ret,
		    struct masu_error *err);
	/*
	 * The container has ended, or was not made: takes down what create() has left outside of
	 * its processes. May be called in another process than create() was, and more than once.
	 * NULL: there is nothing.
	 */
	void (*forget)(const char *driver, const char *id, const char *state_dir);
	/*
	 * The exit status of the container's first process, which has ended and is not the caller's
	 * child; by who created it. NULL: it always is one.
	 */
	int (*ended)(const char *state_dir);
	/*
	 * Whether the container, which has ended, had a process ended for want of memory where its
	 * control group does not see it. NULL: it sees all.
	 */
	bool (*out_of_memory)(const char *state_dir);
};

/* The driver of that name, or NULL: there is none, or not in this program (drivers.c). NULL is
 * native's name, too. */
const struct exec_ops *exec_driver(const char *name);
/* NULL-terminated list of the kinds there are. */
const char *const *exec_driver_names(void);
/* "KVM" or "software emulation": what a virtual machine would run by now. Not in the hot program.
 */
const char *exec_vm_acceleration(const char *runroot);
/* Whether the driver itself holds the container to its memory limit, so that its group has none:
 * a virtual machine is as big as it is, and what runs it needs some more. */
bool exec_driver_bounds_memory(const char *name);
/*
 * Whether there is a driver of that name, in this program or in masu-more, and for "oci:PROGRAM"
 * the program, by path or in $PATH: 0, or -EINVAL.
 */
int exec_driver_check(const char *name, struct masu_error *err);

/*
 * Runs all hooks of one kind, in order, with @state_json on stdin (config.md, POSIX-platform
 * Hooks); their output is kept for the error message. Stops at the first that
 * fails, but for poststop, where failures are warnings. A hook without
 * a timeout of its own gets @timeout_default seconds, 0: no limit.
 */
int exec_run_hooks(const struct oci_hooks *hooks, enum oci_hook_kind kind, const char *state_json,
		   int timeout_default, struct masu_error *err);

/*
 * The state document (runtime.md, State) that hooks and the seccomp agent get. @status: "creating",
 * "created", "running" or "stopped"; @pid 0: left out. 0 or -ENOMEM.
 */
int exec_state_json(struct buf *out, const struct oci_spec *spec, const char *id,
		    const char *bundle, const char *status, pid_t pid);
