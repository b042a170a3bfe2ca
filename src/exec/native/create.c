/* The parent's side of making a container. */
#include "exec/native/create.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/trace.h"
#include "cgroup/cgroup.h"
#include "exec/native/console.h"
#include "exec/native/limits.h"
#include "exec/native/listener.h"
#include "exec/native/net_devices.h"
#include "exec/native/reap.h"
#include "exec/native/sync.h"
#include "exec/native/sysctl.h"
#include "exec/native/unsupported.h"
#include "exec/native/userns.h"
#include "sys/fs.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

static void plan_release(struct create_plan *plan)
{
	if (plan->rootfs)
		rootfs_close(plan->rootfs);
	namespaces_close(&plan->ns);
	cleanup_close(&plan->proc_fd);
	cleanup_close(&plan->parent_sync);
	cleanup_close(&plan->child_sync);
	cleanup_close(&plan->console_fd);
	arena_free(&plan->arena);
}

static int plan_process(struct create_plan *plan, struct masu_error *err)
{
	const struct exec_request *request = plan->request;
	const struct oci_spec *spec = request->spec;
	plan->no_process = (struct oci_process) { .cwd = "/" };
	struct process_plan *process = &plan->process;
	*process = (struct process_plan) {
		.process = spec->process.present ? &spec->process : &plan->no_process,
		.seccomp = plan->seccomp,
		.traps = request->traps,
		.spec = spec,
		.id = request->id,
		.bundle = request->bundle,
		.user_ns = plan->ns.user,
		.first = true,
		.new_keyring = !request->no_new_keyring,
		.proc_fd = plan->proc_fd,
		.stdio = { request->stdio[0], request->stdio[1], request->stdio[2] },
		.preserve_fds = request->preserve_fds,
		.listen_fds = request->listen_fds,
		.extra_fds = request->extra_fds,
	};
	return process_check(process, err);
}

static bool waits_mounted(const struct exec_request *request)
{
	const struct oci_hooks *hooks = request->spec->hooks;
	return hooks[OCI_HOOK_PRESTART].count || hooks[OCI_HOOK_CREATE_RUNTIME].count ||
	       (((request->on_namespaces && request->sysctl_last) ||
		 request->spec->net_device_count) &&
		request->spec->sysctl_count);
}

/* Their lookup takes long where many network namespaces come and go: the names of all share a hash
 * chain of the host's procfs. */
static bool sets_net_sysctls(const struct create_plan *plan)
{
	const struct exec_request *request = plan->request;
	return request->spec->sysctl_count && request->network_ns_fd >= 0 && !plan->ns.user &&
	       !plan->wait_mounted;
}

static int plan_make(struct create_plan *plan, struct masu_error *err)
{
	const struct exec_request *request = plan->request;
	const struct oci_spec *spec = request->spec;
	int r = unsupported_check(spec, err);
	if (r == 0)
		r = namespaces_open(spec, request->network_ns_fd, &plan->ns, err);
	if (r == 0)
		r = userns_check(spec, err);
	if (r == 0)
		r = sysctl_check(spec, &plan->ns, err);
	if (r < 0)
		return r;
	plan->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (plan->proc_fd < 0 || !fs_is_type(plan->proc_fd, PROC_SUPER_MAGIC))
		return error_set(err, -ENOENT, "/proc is not a procfs");
	if (spec->seccomp.present)
		r = seccomp_prepare(&plan->arena, &spec->seccomp, &plan->seccomp, err);
	if (r == 0 && plan->seccomp && seccomp_has_listener(plan->seccomp))
		r = listener_check(&spec->seccomp, err);
	if (r == 0)
		r = plan_process(plan, err);
	if (r == 0 && plan->process.process->terminal && request->console_socket)
		r = console_connect(request->console_socket, &plan->console_fd, err);
	if (r == 0)
		r = rootfs_prepare(&plan->arena, request, &plan->rootfs, err);
	int pair[2];
	if (r == 0 && (r = sync_pair(pair)) < 0)
		error_errno(err, r, "cannot create a socket pair");
	if (r < 0)
		return r;
	plan->parent_sync = pair[0];
	plan->child_sync = pair[1];
	plan->wait_mapped =
		plan->ns.new_user || (request->cgroup && cgroup_awaits_attach(request->cgroup));
	plan->wait_mounted = waits_mounted(request);
	plan->net_sysctls = sets_net_sysctls(plan);
	plan->cgroup_fd = request->cgroup ? cgroup_clone_fd(request->cgroup) : -1;
	plan->clone_flags = plan->ns.clone_flags;
	return 0;
}

pid_t create_clone(const struct create_plan *plan, uint64_t extra_flags, int *ret_pidfd)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = plan->clone_flags | extra_flags,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = extra_flags & CLONE_PARENT ? 0 : SIGCHLD,
	};
	if (ret_pidfd)
		args.flags |= CLONE_PIDFD;
	if (plan->cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)plan->cgroup_fd;
	}
	pid_t pid = sys_clone3(&args);
	if (pid > 0 && ret_pidfd)
		*ret_pidfd = pidfd;
	return pid;
}

/* The process that only exists to enter a user namespace: its child is ours (CLONE_PARENT). */
static int spawn_through_intermediate(struct create_plan *plan, struct exec_container *container,
				      struct masu_error *err)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	struct sync_message message = { .passed_fd = -1 };
	int pair[2];
	int r = sync_pair(pair);
	if (r < 0)
		return error_errno(err, r, "cannot make a socket pair");
	_cleanup_close_ int mine = pair[0];
	plan->pid_sync = pair[1];
	pid_t helper = sys_clone3(&args);
	if (helper == 0) {
		cleanup_close(&mine);
		create_child(plan, true);
	}
	cleanup_close(&plan->pid_sync);
	cleanup_close(&plan->child_sync);
	if (helper < 0)
		return error_errno(err, helper, "cannot create a process");
	r = sync_receive(mine, &message, err);
	reap_pid(helper);
	/* It has said why, or nobody can. */
	if (r == -EPIPE && (r = sync_receive(plan->parent_sync, &message, err)) == -EPIPE)
		return error_set(err, r, "the process that enters the user namespace died");
	if (r < 0)
		return r;
	_cleanup_close_ int pidfd = message.passed_fd;
	if (message.kind != SYNC_PID || pidfd < 0)
		return error_set(err, -EPROTO, "no process came out of the user namespace");
	container->pidfd = take_fd(&pidfd);
	r = proc_of_pidfd(container->pidfd, &container->pid);
	return r < 0 ? error_errno(err, r, "the container's process") : 0;
}

static int spawn(struct create_plan *plan, struct exec_container *container, struct masu_error *err)
{
	int own_pid_ns = -1;
	int r = 0;
	if (plan->ns.fds[OCI_NS_PID] >= 0)
		r = namespaces_enter_pid(plan->ns.fds[OCI_NS_PID], &own_pid_ns, err);
	if (r < 0)
		return r;
	if (plan->ns.intermediate) {
		r = spawn_through_intermediate(plan, container, err);
	} else {
		container->pid = create_clone(plan, 0, &container->pidfd);
		if (container->pid == 0)
			create_child(plan, false);
		if (container->pid < 0)
			r = error_errno(err, container->pid,
					"cannot create the container's process");
		cleanup_close(&plan->child_sync);
	}
	namespaces_leave_pid(&own_pid_ns);
	return r;
}

static int run_runtime_hooks(const struct create_plan *plan, pid_t pid, struct masu_error *err)
{
	const struct exec_request *request = plan->request;
	const struct oci_spec *spec = request->spec;
	static const enum oci_hook_kind kinds[] = { OCI_HOOK_PRESTART, OCI_HOOK_CREATE_RUNTIME };
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (spec->hooks[kinds[i]].count == 0)
			continue;
		_cleanup_buf_ struct buf state;
		buf_init(&state, 0);
		/* The deprecated prestart hooks have always been told "created" (runc, crun). */
		int r = exec_state_json(&state, spec, request->id, request->bundle,
					kinds[i] == OCI_HOOK_PRESTART ? "created" : "creating",
					pid);
		if (r == 0)
			r = exec_run_hooks(&spec->hooks[kinds[i]], kinds[i], buf_str(&state), 0,
					   err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int write_time_offsets(const struct create_plan *plan, pid_t pid, struct masu_error *err)
{
	char path[64], text[160];
	int r = namespaces_time_offsets(plan->request->spec, text, sizeof(text));
	str_format(path, sizeof(path), "/proc/%d/timens_offsets", (int)pid);
	if (r == 0)
		r = fs_write_at(AT_FDCWD, path, text);
	return r < 0 ? error_errno(err, r, "linux.timeOffsets") : 0;
}

/* One message of the child; *ret_kind tells what it was. */
static int serve_child(struct create_plan *plan, struct exec_container *container,
		       enum sync_kind *ret_kind, struct masu_error *err)
{
	struct sync_message message;
	int r = sync_receive(plan->parent_sync, &message, err);
	if (r == -EPIPE)
		return error_set(err, r, "the container's process died while it was set up%s",
				 plan->request->spec->resources.memory.limit.set
					 ? " (is the memory limit too low?)"
					 : "");
	if (r < 0)
		return r;
	*ret_kind = message.kind;
	switch (message.kind) {
	case SYNC_TIME:
		r = write_time_offsets(plan, container->pid, err);
		if (r == 0)
			r = sync_send(plan->parent_sync, SYNC_TIME, 0, -1);
		break;
	case SYNC_MOUNTED:
		r = run_runtime_hooks(plan, container->pid, err);
		if (r == 0)
			r = sync_send(plan->parent_sync, SYNC_GO, 0, -1);
		break;
	case SYNC_CONSOLE:
		r = console_hand_over(plan->console_fd, &message.passed_fd, &container->console_fd,
				      err);
		break;
	case SYNC_TRAP:
		container->trap_fd = take_fd(&message.passed_fd);
		break;
	case SYNC_JOINED:
	case SYNC_READY:
		break;
	default:
		r = error_set(err, -EPROTO, "unexpected message %d from the container's process",
			      (int)message.kind);
	}
	cleanup_close(&message.passed_fd);
	return r;
}

static int serve_until(struct create_plan *plan, struct exec_container *container,
		       enum sync_kind last, struct masu_error *err)
{
	enum sync_kind kind = 0;
	int r = 0;
	while (r == 0 && kind != last)
		r = serve_child(plan, container, &kind, err);
	return r;
}

/*
 * Tells the process in advance that it may execve. Not where it takes other messages before, nor
 * where something is still to be set from outside once it is ready.
 */
static int let_go_early(struct create_plan *plan, struct exec_container *container)
{
	const struct oci_process *process = plan->process.process;
	if (!plan->request->start_at_once || plan->wait_mounted || plan->ns.new_time_offsets ||
	    plan->ns.user || limits_any(process))
		return 0;
	int r = proc_start_time(container->pid, &container->start_time);
	if (r == 0)
		r = sync_send(plan->parent_sync, SYNC_START, 0, -1);
	container->let_go = r == 0;
	/* A process that failed says why when it is listened to. */
	return 0;
}

/* The process is gone: what it said before explains that better than that it is. */
static int last_words(struct create_plan *plan, struct exec_container *container, int r,
		      struct masu_error *err)
{
	struct masu_error why = { 0 };
	int said = serve_until(plan, container, SYNC_READY, &why);
	if (said >= 0 || said == -EPIPE)
		return r;
	if (err)
		*err = why;
	return said;
}

/* Everything between clone3 and the process waiting to be started. */
static int accompany(struct create_plan *plan, struct exec_container *container,
		     struct masu_error *err)
{
	const struct exec_request *request = plan->request;
	int r = 0;
	if (plan->ns.new_user)
		r = userns_write_maps(container->pid, &request->spec->id_map, err);
	if (r == 0 && request->cgroup)
		r = cgroup_attach(request->cgroup, container->pid, err);
	if (r == 0 && plan->wait_mapped)
		r = sync_send(plan->parent_sync, SYNC_MAPPED, 0, -1);
	/* Until it has joined, /proc/PID/ns shows the host's namespaces. */
	bool touches = request->on_namespaces || request->spec->net_device_count;
	if (r == 0 && plan->ns.joins && touches)
		r = serve_until(plan, container, SYNC_JOINED, err);
	if (r == 0)
		r = net_devices_move(request->spec, container->pid, err);
	if (r == 0 && request->on_namespaces)
		r = request->on_namespaces(request->opaque, container->pid, err);
	if (r == -ESRCH)
		r = last_words(plan, container, r, err);
	trace_mark("namespaces made");
	if (r == 0 && plan->net_sysctls)
		r = sysctl_apply_net(request->spec, plan->proc_fd, request->network_ns_fd, err);
	if (r == 0)
		r = let_go_early(plan, container);
	if (r == 0)
		r = serve_until(plan, container, SYNC_READY, err);
	trace_mark("child ready");
	if (r < 0 || container->let_go)
		return r;
	if (r == 0)
		r = limits_apply(container->pid, plan->process.process, plan->ns.user, err);
	if (r == 0 && (r = proc_start_time(container->pid, &container->start_time)) < 0)
		error_errno(err, r, "the container's process is gone");
	return r;
}

int native_create(const struct exec_request *request, struct exec_container *ret,
		  struct masu_error *err)
{
	_cleanup_(plan_release)
	struct create_plan plan = {
		.request = request,
		.proc_fd = -1,
		.parent_sync = -1,
		.child_sync = -1,
		.pid_sync = -1,
		.console_fd = -1,
	};
	struct exec_container container = EXEC_CONTAINER_NONE;
	memset(plan.ns.fds, 0xff, sizeof(plan.ns.fds)); /* -1: none is open */
	arena_init(&plan.arena, 0);
	int r = plan_make(&plan, err);
	trace_mark("prepared");
	/* From here on no process of the container may look into this one or its children. */
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = error_errno(err, -errno, "PR_SET_DUMPABLE");
	if (r == 0)
		r = spawn(&plan, &container, err);
	if (r == 0)
		r = accompany(&plan, &container, err);
	if (r < 0) {
		reap_failed(&container);
		return r;
	}
	container.gate_fd = take_fd(&plan.parent_sync);
	*ret = container;
	return 0;
}
