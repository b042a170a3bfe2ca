/* What the parts of creating a container share: built by the parent, used by the child. */
#pragma once

#include "base/arena.h"
#include "exec/exec.h"
#include "exec/native/namespaces.h"
#include "exec/native/process.h"
#include "exec/native/rootfs.h"

struct create_plan {
	const struct exec_request *request;
	struct arena arena;
	struct rootfs *rootfs;
	struct seccomp_filter *seccomp;
	struct namespaces ns;
	struct oci_process no_process; /* stands in where the spec has none */
	struct process_plan process;
	int proc_fd;	   /* the host's procfs */
	int parent_sync;   /* the parent's end */
	int child_sync;	   /* the child's end */
	int pid_sync;	   /* the intermediate's: the real child's messages must not come before */
	int console_fd;	   /* connection to the console socket, or -1 */
	bool wait_mapped;  /* the child waits for SYNC_MAPPED before it does anything */
	bool wait_mounted; /* the child waits for SYNC_GO with its mounts made */
	bool net_sysctls;  /* the parent writes them, while the child makes its mounts */
	uint64_t clone_flags;
	int cgroup_fd;
};

/* The child's life until execve. @intermediate: it is the extra process of a user namespace. */
void __attribute__((noreturn)) create_child(struct create_plan *plan, bool intermediate);

/* clone3() with the plan's flags; shared by the parent and the intermediate process. */
pid_t create_clone(const struct create_plan *plan, uint64_t extra_flags, int *ret_pidfd);

int native_create(const struct exec_request *request, struct exec_container *ret,
		  struct masu_error *err);
int native_detach(struct exec_container *container, struct masu_error *err);
int native_start(const struct exec_request *request, struct exec_container *container,
		 struct masu_error *err);
int native_exec(const struct exec_process_request *request, struct exec_container *ret,
		struct masu_error *err);
