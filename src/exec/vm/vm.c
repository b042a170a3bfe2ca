/* The driver `vm`: the image's processes under a kernel of their own, in QEMU. */
#include "exec/vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/trace.h"
#include "exec/drivers.h"
#include "exec/native/reap.h"
#include "exec/native/signals.h"
#include "exec/vm/supervisor.h"
#include "sys/fs.h"
#include "sys/proc.h"
#include "sys/syscalls.h"
#include "sys/unix_socket.h"

#define CPUS_MAX 64

/* Beside masu-more, which is the program that this runs in. */
static int find_init(char *ret, size_t size)
{
	const char *dir = getenv("MASU_LIBEXEC");
	char self[PATH_MAX];
	if (dir && *dir)
		return str_format(ret, size, "%s/masu-vm-init", dir);
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len <= 0)
		return -ENOENT;
	self[len] = '\0';
	char *slash = strrchr(self, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return str_format(ret, size, "%s/masu-vm-init", self);
}

/* What a machine of its own cannot have, by the names of the options. */
static int check(const struct exec_request *request, struct masu_error *err)
{
	const struct oci_spec *spec = request->spec;
	static const struct {
		enum oci_namespace ns;
		const char *option;
	} own[] = { { OCI_NS_NETWORK, "--network" },
		    { OCI_NS_PID, "--pid" },
		    { OCI_NS_IPC, "--ipc" },
		    { OCI_NS_UTS, "--uts" } };
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		const struct oci_ns *ns = &spec->namespaces[own[i].ns];
		if (!ns->present || ns->path)
			return error_set(err, -ENOTSUP,
					 "the vm driver cannot share with the host or with another "
					 "container: %s",
					 own[i].option);
	}
	if (spec->device_count)
		return error_set(err, -ENOTSUP, "the vm driver cannot give devices: --device");
	if (request->traps)
		return error_set(err, -ENOTSUP, "the vm driver cannot serve direct ports");
	return 0;
}

static unsigned cpus_of(const struct oci_spec *spec)
{
	const struct oci_i64 *quota = &spec->resources.cpu.quota,
			     *period = &spec->resources.cpu.period;
	long all = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned count = all > 0 ? (unsigned)all : 1;
	/* The group holds it to its share; a processor that it can never have is not shown. */
	if (quota->set && quota->value > 0) {
		int64_t each = period->set && period->value > 0 ? period->value : 100000;
		int64_t wanted = (quota->value + each - 1) / each;
		if (wanted < count)
			count = (unsigned)wanted;
	}
	return count > CPUS_MAX ? CPUS_MAX : count;
}

static int take_reply(int gate, struct masu_error *err)
{
	struct supervisor_reply reply;
	ssize_t got;
	do
		got = read(gate, &reply, sizeof(reply));
	while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(reply))
		return error_set(err, -ECHILD, "vm: the machine's supervisor died");
	if (reply.result < 0 && err)
		*err = reply.err;
	return reply.result;
}

static int spawn(const struct supervisor_plan *plan, struct exec_container *ret, int ours,
		 struct masu_error *err)
{
	const struct exec_request *request = plan->request;
	int pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_PIDFD |
			 (request->network_ns_fd < 0 ? CLONE_NEWNET : 0),
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t pid = sys_clone3(&args);
	if (pid == 0) {
		close(ours);
		supervisor_main(plan);
	}
	if (pid < 0)
		return error_errno(err, pid, "cannot create the machine's supervisor");
	ret->pid = pid;
	ret->pidfd = pidfd;
	int r = proc_child_start_time(pid, &ret->start_time);
	return r < 0 ? error_errno(err, r, "the machine's supervisor is gone") : 0;
}

static int vm_create(const struct exec_request *request, struct exec_container *ret,
		     struct masu_error *err)
{
	struct exec_container container = EXEC_CONTAINER_NONE;
	char init[PATH_MAX];
	int pair[2];
	struct supervisor_plan plan = {
		.request = request,
		.init = init,
		.stdio = { request->stdio[0], request->stdio[1], request->stdio[2] },
		.tty = -1,
		.cpus = cpus_of(request->spec),
	};
	int r = check(request, err);
	if (r == 0 && find_init(init, sizeof(init)) < 0)
		r = error_set(err, -ENOENT,
			      "masu-vm-init not found; is masu installed completely?");
	if (r == 0 && request->spec->process.terminal)
		r = session_terminal(&container.console_fd, &plan.tty, err);
	if (r == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		r = error_errno(err, -errno, "cannot make a socket pair");
	if (r < 0) {
		exec_container_close(&container);
		cleanup_close(&plan.tty);
		return r;
	}
	plan.gate = pair[1];
	container.gate_fd = pair[0];
	r = spawn(&plan, &container, pair[0], err);
	cleanup_close(&plan.gate);
	cleanup_close(&plan.tty);
	if (r == 0)
		r = take_reply(container.gate_fd, err);
	trace_mark("machine prepared");
	if (r == 0 && request->on_namespaces)
		r = request->on_namespaces(request->opaque, container.pid, err);
	if (r < 0) {
		reap_failed(&container);
		return r;
	}
	*ret = container;
	return 0;
}

static int vm_start(const struct exec_request *request, struct exec_container *container,
		    struct masu_error *err)
{
	int r = write(container->gate_fd, "", 1) == 1
			? take_reply(container->gate_fd, err)
			: error_errno(err, -errno, "the machine's supervisor is gone");
	cleanup_close(&container->gate_fd);
	if (r < 0)
		sys_pidfd_send_signal(container->pidfd, SIGKILL);
	return r;
}

/* ---- exec ---- */

/* A port that nobody has: its lock is held as long as its socket is. */
static int take_port(int dir_fd, int skip, int *ret_port, int *ret_lock, int *ret_index,
		     struct masu_error *err)
{
	for (int i = skip; i < VM_EXEC_PORTS; i++) {
		char name[24];
		snprintf(name, sizeof(name), "exec.%d.lock", i);
		_cleanup_close_ int lock =
			openat(dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
			continue;
		snprintf(name, sizeof(name), "exec.%d", i);
		int r = unix_connect(dir_fd, name, SOCK_STREAM, ret_port);
		if (r < 0)
			return error_errno(err, r, "the machine cannot be reached");
		*ret_lock = take_fd(&lock);
		*ret_index = i;
		return 0;
	}
	return error_set(err, -EBUSY,
			 "the vm driver has %d processes at once for exec, and all run",
			 VM_EXEC_PORTS);
}

static int begin(int dir_fd, const struct oci_process *process, int *ret_port, int *ret_lock,
		 struct masu_error *err)
{
	int r = -EBUSY, index = -1;
	while (r == -EBUSY) {
		_cleanup_close_ int port = -1, lock = -1;
		r = take_port(dir_fd, index + 1, &port, &lock, &index, err);
		if (r < 0)
			return r;
		r = session_process(port, process);
		if (r == 0)
			r = session_send(port, VM_RUN, NULL, 0);
		r = r < 0 ? error_errno(err, r, "the machine cannot be reached")
			  : session_await(port, err);
		if (r == 0) {
			*ret_port = take_fd(&port);
			*ret_lock = take_fd(&lock);
		}
	}
	return r;
}

static int vm_exec(const struct exec_process_request *request, struct exec_container *ret,
		   struct masu_error *err)
{
	struct exec_container process = EXEC_CONTAINER_NONE;
	_cleanup_close_ int tty = -1, port = -1, lock = -1;
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s/vm", request->state_dir);
	_cleanup_close_ int dir_fd =
		r < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir_fd < 0)
		return error_errno(err, -errno, "%s", path);
	r = begin(dir_fd, request->process, &port, &lock, err);
	if (r == 0 && request->process->terminal)
		r = session_terminal(&process.console_fd, &tty, err);
	if (r < 0)
		return r;
	/* Its status is the guest's process's: whoever waits for it waits for that. */
	process.pid = fork();
	if (process.pid == 0) {
		setsid();
		if (tty >= 0)
			ioctl(tty, TIOCSCTTY, 0);
		cleanup_close(&process.console_fd);
		int stdio[3], keep[8] = {
			port, lock, tty, request->stdio[0], request->stdio[1], request->stdio[2]
		};
		memcpy(stdio, request->stdio, sizeof(stdio));
		proc_close_all_but(keep, 6);
		_exit(session_relay(port, stdio, tty));
	}
	process.pidfd = process.pid < 0 ? -1 : sys_pidfd_open(process.pid, 0);
	if (process.pidfd < 0 || proc_child_start_time(process.pid, &process.start_time) < 0) {
		exec_container_close(&process);
		return error_errno(err, -errno, "cannot fork");
	}
	*ret = process;
	return 0;
}

static bool vm_out_of_memory(const char *state_dir)
{
	char path[PATH_MAX];
	return str_format(path, sizeof(path), "%s/vm/" VM_OOM_FILE, state_dir) == 0 &&
	       access(path, F_OK) == 0;
}

const struct exec_ops vm_ops = {
	.name = "vm",
	.create = vm_create,
	.start = vm_start,
	.exec = vm_exec,
	.out_of_memory = vm_out_of_memory,
};
