/*
 * The container's first process, from clone3 to execve. Single-threaded, in its new namespaces; it
 * reports every failure through the sync socket and ends. When its creator vanishes before it was
 * detached, the socket's end tells it to end too.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "base/trace.h"
#include "cgroup/cgroup.h"
#include "exec/native/console.h"
#include "exec/native/create.h"
#include "exec/native/signals.h"
#include "exec/native/sync.h"
#include "exec/native/sysctl.h"
#include "exec/native/userns.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

static const struct oci_spec *spec_of(const struct create_plan *plan)
{
	return plan->request->spec;
}

/* The end of the stream means that the creator is gone: nobody is left to report to. */
static int wait_for(const struct create_plan *plan, enum sync_kind kind, struct masu_error *err)
{
	int r = sync_expect(plan->child_sync, kind, NULL, err);
	if (r == -EPIPE)
		_exit(EXIT_FAILURE);
	return r;
}

static int set_names(const struct oci_spec *spec, struct masu_error *err)
{
	if (spec->hostname && sethostname(spec->hostname, strlen(spec->hostname)) < 0)
		return error_errno(err, -errno, "hostname: \"%s\"", spec->hostname);
	if (spec->domainname && setdomainname(spec->domainname, strlen(spec->domainname)) < 0)
		return error_errno(err, -errno, "domainname: \"%s\"", spec->domainname);
	return 0;
}

/* A time namespace's offsets can be written only while nobody is inside. */
static int make_time_namespace(const struct create_plan *plan, struct masu_error *err)
{
	if (unshare(CLONE_NEWTIME) < 0)
		return error_errno(err, -errno, "cannot create a time namespace");
	int r = sync_send(plan->child_sync, SYNC_TIME, 0, -1);
	if (r == 0)
		r = wait_for(plan, SYNC_TIME, err);
	if (r < 0)
		return r;
	_cleanup_close_ int fd =
		openat(plan->proc_fd, "self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWTIME) < 0)
		return error_errno(err, -errno, "cannot enter the new time namespace");
	return 0;
}

static int enter_namespaces(const struct create_plan *plan, struct masu_error *err)
{
	const struct namespaces *ns = &plan->ns;
	int r = 0;
	if (plan->wait_mapped)
		r = wait_for(plan, SYNC_MAPPED, err);
	if (r == 0 && ns->user)
		r = userns_become_root(err);
	if (r == 0 && plan->request->cgroup)
		r = cgroup_join_self(plan->request->cgroup, err);
	if (r == 0 && ns->joins && !ns->intermediate)
		r = namespaces_join(ns, err);
	if (r == 0 && ns->new_cgroup && unshare(CLONE_NEWCGROUP) < 0)
		r = error_errno(err, -errno, "cannot create a cgroup namespace");
	if (r == 0 && ns->new_time_offsets)
		r = make_time_namespace(plan, err);
	if (r == 0 && ns->joins)
		r = sync_send(plan->child_sync, SYNC_JOINED, 0, -1);
	if (r == 0 && ns->new_network && ns->fds[OCI_NS_NETWORK] < 0)
		r = namespaces_loopback_up(err);
	return r;
}

static int make_console(const struct create_plan *plan, int *ret_slave, struct masu_error *err)
{
	_cleanup_close_ int master = -1, slave = -1;
	int r = console_open(rootfs_fd(plan->rootfs), plan->process.process, &master, &slave, err);
	if (r == 0)
		r = rootfs_bind_console(plan->rootfs, slave, err);
	if (r == 0)
		r = sync_send(plan->child_sync, SYNC_CONSOLE, 0, master);
	if (r == 0)
		*ret_slave = take_fd(&slave);
	return r;
}

static int run_container_hooks(const struct create_plan *plan, struct masu_error *err)
{
	const struct exec_request *request = plan->request;
	const struct oci_hooks *hooks = &request->spec->hooks[OCI_HOOK_CREATE_CONTAINER];
	if (hooks->count == 0)
		return 0;
	_cleanup_buf_ struct buf state;
	buf_init(&state, 0);
	int r = exec_state_json(&state, request->spec, request->id, request->bundle, "creating",
				getpid());
	if (r < 0)
		return error_errno(err, r, "hooks.createContainer");
	return exec_run_hooks(hooks, OCI_HOOK_CREATE_CONTAINER, buf_str(&state), 0, err);
}

/* Through the host's procfs: the container's may have anything mounted in it (CVE-2025-52881). */
static int set_sysctls(const struct create_plan *plan, struct masu_error *err)
{
	_cleanup_close_ int inside = -1;
	if (fault_without("host-proc"))
		inside = fs_open_in(rootfs_fd(plan->rootfs), "proc", O_PATH | O_DIRECTORY, 0);
	return sysctl_apply(spec_of(plan), inside >= 0 ? inside : plan->proc_fd, plan->net_sysctls,
			    err);
}

static int build_root(struct create_plan *plan, int *ret_slave, struct masu_error *err)
{
	const struct oci_spec *spec = spec_of(plan);
	struct rootfs_context context = {
		.user_ns = plan->ns.user,
		.cgroup_ns = spec->namespaces[OCI_NS_CGROUP].present,
		.own_network_ns = plan->ns.own[OCI_NS_NETWORK],
		.mount_ns = spec->namespaces[OCI_NS_MOUNT].present &&
			    !spec->namespaces[OCI_NS_MOUNT].path,
	};
	int r = rootfs_mount(plan->rootfs, &context, err);
	trace_mark("mounts");
	if (r == 0 && plan->process.process->terminal)
		r = make_console(plan, ret_slave, err);
	if (r == 0 && plan->wait_mounted) {
		r = sync_send(plan->child_sync, SYNC_MOUNTED, 0, -1);
		if (r == 0)
			r = wait_for(plan, SYNC_GO, err);
	}
	if (r == 0)
		r = run_container_hooks(plan, err);
	if (r == 0)
		r = set_sysctls(plan, err);
	if (r == 0) {
		/* A missing working directory is made, as runc does; what cannot be made is
		 * reported when it is entered. */
		_cleanup_close_ int cwd =
			fs_mkdirs_in(rootfs_fd(plan->rootfs), plan->process.process->cwd, 0755);
		r = rootfs_enter(plan->rootfs, err);
	}
	if (r == 0)
		r = rootfs_finish(plan->rootfs, err);
	trace_mark("root entered");
	return r;
}

/*
 * A created container may wait for long: it must not hold on to what its creator had open, such as
 * the lock of its own record. Errors of close_range(2) leave nothing worse than that.
 */
static void close_all_but(int gate, int preserved)
{
	unsigned first = 3 + (unsigned)preserved, kept = (unsigned)gate;
	if (fault_without("close-fds"))
		return;
	if (kept > first)
		(void)sys_close_range(first, kept - 1, 0);
	(void)sys_close_range(kept + 1, ~0u, 0);
}

/*
 * Waits to be started. Until SYNC_DETACH by the creator, whose death ends the process; then by
 * whoever connects to the gate socket and sends SYNC_START. Returns with the starter's connection
 * in plan->child_sync.
 */
static int wait_for_start(struct create_plan *plan, int *gate, struct masu_error *err)
{
	struct sync_message message;
	int r = sync_receive(plan->child_sync, &message, err);
	if (r == -EPIPE)
		_exit(EXIT_FAILURE);
	if (r < 0 || message.kind == SYNC_START)
		return r;
	if (message.kind != SYNC_DETACH || *gate < 0)
		return error_set(err, -EPROTO, "unexpected message while waiting for the start");
	close_all_but(*gate, plan->request->preserve_fds);
	plan->child_sync = -1;
	for (;;) {
		int fd = accept4(*gate, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return error_errno(err, -errno, "cannot accept at the gate socket");
		plan->child_sync = fd;
		r = sync_receive(fd, &message, err);
		if (r == 0 && message.kind == SYNC_START) {
			cleanup_close(gate);
			return 0;
		}
		/* Somebody who looked in, or died before he could say it. */
		cleanup_close(&plan->child_sync);
	}
}

static int child_run(struct create_plan *plan, struct masu_error *err)
{
	const struct oci_spec *spec = spec_of(plan);
	_cleanup_close_ int slave = -1;
	int gate = plan->request->gate_listen_fd;
	int r = enter_namespaces(plan, err);
	trace_mark("namespaces");
	if (r == 0 && !fault_without("new-session") && setsid() < 0)
		r = error_errno(err, -errno, "cannot create a session");
	if (r == 0)
		r = set_names(spec, err);
	if (r == 0)
		r = build_root(plan, &slave, err);
	if (r == 0)
		r = process_streams(&plan->process, slave, err);
	cleanup_close(&slave);
	int *const keep[] = { &plan->child_sync, &gate };
	if (r == 0 && spec->process.present)
		r = process_prepare(&plan->process, keep, ARRAY_SIZE(keep), err);
	if (r == 0 && plan->request->waits_filtered)
		r = process_filter(&plan->process, plan->child_sync, err);
	if (r == 0)
		r = sync_send(plan->child_sync, SYNC_READY, 0, -1);
	trace_mark("ready");
	if (r == 0)
		r = wait_for_start(plan, &gate, err);
	if (r < 0)
		return r;
	if (!spec->process.present)
		return error_set(err, -EINVAL, "config.json has no process: nothing to start");
	return process_execute(&plan->process, plan->child_sync, err);
}

/*
 * Joins what is joined by path with the host's privileges, then the user namespace, and makes the
 * real child there, as a child of this process's parent.
 */
static int intermediate_run(struct create_plan *plan, struct masu_error *err)
{
	const struct namespaces *ns = &plan->ns;
	int r = namespaces_join(ns, err);
	if (r == 0 && ns->fds[OCI_NS_USER] >= 0 && setns(ns->fds[OCI_NS_USER], CLONE_NEWUSER) < 0)
		r = error_errno(err, -errno, "cannot join the user namespace");
	if (r < 0)
		return r;
	_cleanup_close_ int pidfd = -1;
	pid_t pid = create_clone(plan, CLONE_PARENT, &pidfd);
	if (pid < 0)
		return error_errno(err, pid, "cannot create the container's process");
	if (pid == 0) {
		cleanup_close(&plan->pid_sync);
		create_child(plan, false);
	}
	/* By a number it could not be told: this process may be in another pid namespace. */
	r = sync_send(plan->pid_sync, SYNC_PID, 0, pidfd);
	if (r == 0)
		return 0;
	sys_pidfd_send_signal(pidfd, SIGKILL);
	return error_errno(err, r, "cannot hand over the container's process");
}

void create_child(struct create_plan *plan, bool intermediate)
{
	struct masu_error err = { 0 };
	trace_process("init");
	cleanup_close(&plan->parent_sync);
	cleanup_close(&plan->console_fd);
	if (!intermediate)
		signals_reset();
	int r = intermediate ? intermediate_run(plan, &err) : child_run(plan, &err);
	if (r == 0)
		_exit(EXIT_SUCCESS);
	if (!error_is_set(&err))
		error_errno(&err, r, "the container's process failed");
	sync_send_error(plan->child_sync, &err);
	_exit(EXIT_FAILURE);
}
