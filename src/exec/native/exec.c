/*
 * One more process in a running container.
 *
 * The parent enters the container's pid namespace for its next child only, so there is no second
 * fork; the child joins everything else through the init's pidfd, which cannot point to a reused
 * pid. Namespaces that the container shares with the host are joined as well: that changes nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "base/trace.h"
#include "cgroup/cgroup.h"
#include "exec/native/console.h"
#include "exec/native/create.h"
#include "exec/native/limits.h"
#include "exec/native/listener.h"
#include "exec/native/reap.h"
#include "exec/native/signals.h"
#include "exec/native/sync.h"
#include "exec/native/userns.h"
#include "sys/fs.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

struct exec_plan {
	const struct exec_process_request *request;
	struct arena arena;
	struct seccomp_filter *seccomp;
	struct process_plan process;
	int proc_fd, parent_sync, child_sync, console_fd;
	int root_fd; /* the container's root where it has no mount namespace, else -1 */
	bool limits; /* the parent has limits to set: the child waits for it */
};

static void plan_release(struct exec_plan *plan)
{
	cleanup_close(&plan->proc_fd);
	cleanup_close(&plan->parent_sync);
	cleanup_close(&plan->child_sync);
	cleanup_close(&plan->console_fd);
	cleanup_close(&plan->root_fd);
	arena_free(&plan->arena);
}

/* ---- child ---- */

static int enter_container(const struct exec_plan *plan, struct masu_error *err)
{
	const struct exec_process_request *request = plan->request;
	const int shared = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET |
			   CLONE_NEWCGROUP | CLONE_NEWTIME;
	const char *initial = request->process->cpu_affinity_initial;
	const char *final = request->process->cpu_affinity_final;
	int r = 0;
	if (initial)
		r = limits_set_affinity(initial, "process.execCPUAffinity.initial", err);
	if (r == 0 && request->cgroup)
		r = cgroup_join_self(request->cgroup, err);
	if (r == 0 && final)
		r = limits_set_affinity(final, "process.execCPUAffinity.final", err);
	if (r < 0)
		return r;
	/* With the host's privileges first: some may belong to the host's user namespace. */
	if (setns(request->init_pidfd, shared) < 0)
		return error_errno(err, -errno, "cannot join the container's namespaces");
	if (plan->root_fd >= 0 && (fchdir(plan->root_fd) < 0 || chroot(".") < 0))
		return error_errno(err, -errno, "cannot enter the container's root");
	if (!plan->process.user_ns)
		return 0;
	if (setns(request->init_pidfd, CLONE_NEWUSER) < 0)
		return error_errno(err, -errno, "cannot join the container's user namespace");
	r = userns_become_root(err);
	if (fault_without("not-dumpable"))
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return r;
}

static int make_console(const struct exec_plan *plan, int *ret_slave, struct masu_error *err)
{
	_cleanup_close_ int master = -1, slave = -1;
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_errno(err, -errno, "cannot open the container's root");
	int r = console_open(root, plan->request->process, &master, &slave, err);
	if (r == 0)
		r = sync_send(plan->child_sync, SYNC_CONSOLE, 0, master);
	if (r == 0)
		*ret_slave = take_fd(&slave);
	return r;
}

static int child_run(struct exec_plan *plan, struct masu_error *err)
{
	_cleanup_close_ int slave = -1;
	int r = enter_container(plan, err);
	trace_mark("joined");
	if (r == 0 && !fault_without("new-session") && setsid() < 0)
		r = error_errno(err, -errno, "cannot create a session");
	if (r == 0 && plan->request->process->terminal)
		r = make_console(plan, &slave, err);
	if (r == 0)
		r = process_streams(&plan->process, slave, err);
	cleanup_close(&slave);
	int *const keep[] = { &plan->child_sync };
	if (r == 0)
		r = process_prepare(&plan->process, keep, ARRAY_SIZE(keep), err);
	if (r == 0 && plan->limits) {
		r = sync_send(plan->child_sync, SYNC_READY, 0, -1);
		if (r == 0)
			r = sync_expect(plan->child_sync, SYNC_START, NULL, err);
	}
	return r < 0 ? r : process_execute(&plan->process, plan->child_sync, err);
}

static void __attribute__((noreturn)) exec_child(struct exec_plan *plan)
{
	struct masu_error err = { 0 };
	trace_process("exec");
	signals_reset();
	cleanup_close(&plan->parent_sync);
	cleanup_close(&plan->console_fd);
	int r = child_run(plan, &err);
	if (!error_is_set(&err))
		error_errno(&err, r, "the process failed");
	sync_send_error(plan->child_sync, &err);
	_exit(EXIT_FAILURE);
}

/* ---- parent ---- */

static bool has_limits(const struct oci_process *process, bool user_ns)
{
	return (user_ns && process->rlimit_count) || process->has_oom_score_adj ||
	       process->has_io_priority || process->scheduler.present;
}

static int open_root(struct exec_plan *plan, struct masu_error *err)
{
	const struct exec_process_request *request = plan->request;
	char path[64];
	if (request->spec->namespaces[OCI_NS_MOUNT].present)
		return 0;
	str_format(path, sizeof(path), "/proc/%d/root", (int)request->init_pid);
	/* lint: ok, procfs */
	plan->root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return plan->root_fd < 0 ? error_errno(err, -errno, "cannot open the container's root") : 0;
}

static int plan_make(struct exec_plan *plan, struct masu_error *err)
{
	const struct exec_process_request *request = plan->request;
	const struct oci_spec *spec = request->spec;
	int r = 0;
	plan->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (plan->proc_fd < 0 || !fs_is_type(plan->proc_fd, PROC_SUPER_MAGIC))
		return error_set(err, -ENOENT, "/proc is not a procfs");
	if (spec->seccomp.present)
		r = seccomp_prepare(&plan->arena, &spec->seccomp, &plan->seccomp, err);
	if (r < 0)
		return r;
	plan->process = (struct process_plan) {
		.process = request->process,
		.seccomp = plan->seccomp,
		.traps = request->traps,
		.spec = spec,
		.id = request->id,
		.bundle = request->bundle,
		.user_ns = spec->namespaces[OCI_NS_USER].present,
		.new_keyring = true,
		.proc_fd = plan->proc_fd,
		.stdio = { request->stdio[0], request->stdio[1], request->stdio[2] },
		.preserve_fds = request->preserve_fds,
		.listen_fds = request->listen_fds,
		.extra_fds = request->extra_fds,
	};
	plan->limits = has_limits(request->process, plan->process.user_ns);
	r = process_check(&plan->process, err);
	if (r == 0)
		r = open_root(plan, err);
	if (r == 0 && request->process->terminal && request->console_socket)
		r = console_connect(request->console_socket, &plan->console_fd, err);
	int pair[2];
	if (r == 0 && (r = sync_pair(pair)) < 0)
		error_errno(err, r, "cannot create a socket pair");
	if (r < 0)
		return r;
	plan->parent_sync = pair[0];
	plan->child_sync = pair[1];
	return 0;
}

static int spawn(struct exec_plan *plan, struct exec_container *process, struct masu_error *err)
{
	const struct exec_process_request *request = plan->request;
	int own_pid_ns = -1, pidfd = -1;
	int cgroup_fd = request->cgroup ? cgroup_clone_fd(request->cgroup) : -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup_fd;
	}
	if (request->spec->namespaces[OCI_NS_PID].present) {
		int r = namespaces_enter_pid(request->init_pidfd, &own_pid_ns, err);
		if (r < 0)
			return r;
	}
	pid_t pid = sys_clone3(&args);
	if (pid == 0)
		exec_child(plan);
	namespaces_leave_pid(&own_pid_ns);
	cleanup_close(&plan->child_sync);
	if (pid < 0)
		return error_errno(err, pid, "cannot create a process in the container");
	process->pid = pid;
	process->pidfd = pidfd;
	return 0;
}

static int serve_child(const struct exec_plan *plan, struct sync_message *message,
		       struct exec_container *process, struct masu_error *err)
{
	const struct exec_process_request *request = plan->request;
	struct listener_context listener = {
		.spec = request->spec,
		.id = request->id,
		.bundle = request->bundle,
		.status = "running",
		.pid = process->pid,
		.init_pid = request->init_pid,
	};
	int r;
	switch (message->kind) {
	case SYNC_CONSOLE:
		return console_hand_over(plan->console_fd, &message->passed_fd,
					 &process->console_fd, err);
	case SYNC_READY:
		r = limits_apply(process->pid, request->process, plan->process.user_ns, err);
		return r < 0 ? r : sync_send(plan->parent_sync, SYNC_START, 0, -1);
	case SYNC_TRAP:
		process->trap_fd = take_fd(&message->passed_fd);
		return 0;
	case SYNC_LISTENER:
		return listener_send(&listener, message->passed_fd, err);
	default:
		return error_set(err, -EPROTO, "unexpected message %d from the process",
				 (int)message->kind);
	}
}

/* Serves the child until execve closed its end. */
static int accompany(const struct exec_plan *plan, struct exec_container *process,
		     struct masu_error *err)
{
	for (;;) {
		struct sync_message message;
		int r = sync_receive(plan->parent_sync, &message, err);
		if (r == -EPIPE)
			return 0;
		if (r < 0)
			return r;
		r = serve_child(plan, &message, process, err);
		cleanup_close(&message.passed_fd);
		if (r < 0)
			return r;
	}
}

int native_exec(const struct exec_process_request *request, struct exec_container *ret,
		struct masu_error *err)
{
	_cleanup_(plan_release)
	struct exec_plan plan = {
		.request = request,
		.proc_fd = -1,
		.parent_sync = -1,
		.child_sync = -1,
		.console_fd = -1,
		.root_fd = -1,
	};
	struct exec_container process = EXEC_CONTAINER_NONE;
	arena_init(&plan.arena, 0);
	int r = plan_make(&plan, err);
	/* Inside, the container's root could trace a dumpable joiner (CVE-2016-9962). */
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = error_errno(err, -errno, "PR_SET_DUMPABLE");
	if (r == 0)
		r = spawn(&plan, &process, err);
	if (r == 0)
		r = accompany(&plan, &process, err);
	trace_mark("executed");
	if (r < 0) {
		reap_failed(&process);
		return r;
	}
	*ret = process;
	return 0;
}
