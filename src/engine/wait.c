#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/attach.h"
#include "engine/internal.h"
#include "engine/protocol.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

/* Waits for a process that has no monitor. */
static int wait_process(const struct container *container, struct masu_error *err)
{
	_cleanup_close_ int pidfd = proc_open(container->pid, container->pid_start_time);
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	if (pidfd < 0 && pidfd != -ESRCH)
		return error_errno(err, pidfd, "process %d", container->pid);
	while (pidfd >= 0 && poll(&poll_fd, 1, -1) < 0 && errno == EINTR)
		;
	return 0;
}

static int wait_monitor(const struct container *container, bool end_only, int *ret_status)
{
	_cleanup_close_ int control = -1;
	const struct ctl_message message = { .type = CTL_WAIT,
					     .flags = end_only ? CTL_END_ONLY : 0 };
	int r = monitor_connect(container, &control);
	if (r == 0)
		r = ctl_send(control, &message, -1);
	if (r == 0)
		r = engine_attach_wait(control, ret_status, NULL);
	return r;
}

/* 1: its end was seen, but what it was is to be read from the record. */
static int wait_once(const struct container *container, bool end_only, int *ret_status,
		     struct masu_error *err)
{
	int r = 0;
	*ret_status = container->exit_code;
	/* As with docker, one that was never started is not waited for; it may be parked. */
	if ((!container->pid && !container->monitor_pid) ||
	    container->status == CONTAINER_CREATED) {
		if (!end_only)
			store_sync_state(container);
		return 0;
	}
	if (container->monitor_pid && wait_monitor(container, end_only, ret_status) == 0)
		return 0;
	/* No monitor to ask. One that is just going has removed its live files before. */
	if (container->pid)
		r = wait_process(container, err);
	return r < 0 ? r : 1;
}

int container_unpark(const struct container *container, struct masu_error *err)
{
	_cleanup_close_ int control = -1;
	const struct ctl_message message = { .type = CTL_WAIT, .flags = CTL_END_ONLY };
	int status;
	if (container->status != CONTAINER_CREATED || !container->pid)
		return 0;
	_cleanup_close_ int pidfd = proc_open(container->pid, container->pid_start_time);
	if (pidfd < 0 && pidfd != -ESRCH)
		return error_errno(err, pidfd, "process %d", container->pid);
	int r = monitor_connect(container, &control);
	if (r == 0)
		r = ctl_send(control, &message, -1);
	if (pidfd >= 0)
		sys_pidfd_send_signal(pidfd, SIGKILL);
	/* Its monitor takes down what it had prepared; without one recovery does. */
	if (r == 0)
		engine_attach_wait(control, &status, NULL);
	return 0;
}

static int wait_end(struct engine *engine, const char *id, bool end_only, int *ret_status,
		    struct masu_error *err)
{
	int r = 1;
	while (r == 1) {
		_cleanup_arena_ struct arena arena;
		struct container container;
		arena_init(&arena, 0);
		r = engine_load(engine, &arena, id, &container, err);
		if (r < 0)
			return r;
		r = wait_once(&container, end_only, ret_status, err);
		container_close(&container);
	}
	return r;
}

int engine_wait(struct engine *engine, const char *id, int *ret_status, struct masu_error *err)
{
	return wait_end(engine, id, false, ret_status, err);
}

int container_await_end(struct engine *engine, const char *id, struct masu_error *err)
{
	struct masu_error ignored = { 0 };
	int status;
	int r = wait_end(engine, id, true, &status, err ? err : &ignored);
	return r == -ENOENT ? 0 : r;
}
