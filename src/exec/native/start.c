/* Letting a created process go, and what happens around it. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/trace.h"
#include "exec/exec.h"
#include "exec/native/create.h"
#include "exec/native/listener.h"
#include "exec/native/reap.h"
#include "exec/native/sync.h"
#include "sys/syscalls.h"

void exec_container_close(struct exec_container *container)
{
	cleanup_close(&container->pidfd);
	cleanup_close(&container->gate_fd);
	cleanup_close(&container->console_fd);
	cleanup_close(&container->trap_fd);
}

void reap_pid(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void reap_failed(struct exec_container *container)
{
	if (container->pidfd >= 0)
		(void)sys_pidfd_send_signal(container->pidfd, SIGKILL);
	if (container->pid > 0)
		while (waitpid(container->pid, NULL, __WALL) < 0 && errno == EINTR)
			;
	exec_container_close(container);
}

int native_detach(struct exec_container *container, struct masu_error *err)
{
	int r = sync_send(container->gate_fd, SYNC_DETACH, 0, -1);
	cleanup_close(&container->gate_fd);
	return r < 0 ? error_errno(err, r, "the container's process is gone") : 0;
}

int start_process(int gate_fd, bool let_go, const struct listener_context *listener, int *trap_fd,
		  struct masu_error *err)
{
	int r = let_go ? 0 : sync_send(gate_fd, SYNC_START, 0, -1);
	if (r < 0)
		return error_errno(err, r, "the container's process is gone");
	for (;;) {
		struct sync_message message;
		r = sync_receive(gate_fd, &message, err);
		if (r == -EPIPE)
			return 0; /* closed by execve */
		if (r < 0)
			return r;
		if (message.kind == SYNC_TRAP)
			*trap_fd = take_fd(&message.passed_fd);
		else if (message.kind == SYNC_LISTENER)
			r = listener_send(listener, message.passed_fd, err);
		else
			r = error_set(err, -EPROTO, "unexpected message at the start");
		cleanup_close(&message.passed_fd);
		if (r < 0)
			return r;
	}
}

static int run_poststart(const struct exec_request *request, pid_t pid, struct masu_error *err)
{
	const struct oci_hooks *hooks = &request->spec->hooks[OCI_HOOK_POSTSTART];
	if (hooks->count == 0)
		return 0;
	_cleanup_buf_ struct buf state;
	buf_init(&state, 0);
	int r = exec_state_json(&state, request->spec, request->id, request->bundle, "running",
				pid);
	return r < 0 ? error_errno(err, r, "hooks.poststart")
		     : exec_run_hooks(hooks, OCI_HOOK_POSTSTART, buf_str(&state), 0, err);
}

int native_start(const struct exec_request *request, struct exec_container *container,
		 struct masu_error *err)
{
	struct listener_context listener = {
		.spec = request->spec,
		.id = request->id,
		.bundle = request->bundle,
		.status = "created",
		.pid = container->pid,
		.init_pid = container->pid,
	};
	int r = start_process(container->gate_fd, container->let_go, &listener, &container->trap_fd,
			      err);
	cleanup_close(&container->gate_fd);
	trace_mark("started");
	if (r == 0)
		r = run_poststart(request, container->pid, err);
	/* runtime.md, steps 7 and 9: with a failed hook the container is stopped. */
	if (r < 0 && container->pidfd >= 0)
		(void)sys_pidfd_send_signal(container->pidfd, SIGKILL);
	return r;
}
