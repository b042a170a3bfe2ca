/* Signals: kill and stop. They go through a pidfd that was checked against the recorded start time,
 * so they never reach another process that got the pid. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "engine/lifecycle.h"
#include "engine/validate.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

#define STOP_TIMEOUT_DEFAULT 10

/* Opens the init of a container that @verb is allowed for. 1: there is nothing to do. */
static int open_process(struct engine *engine, struct arena *arena, const char *id,
			enum lifecycle_verb verb, struct container *ret, int *ret_pidfd,
			struct masu_error *err)
{
	struct container container;
	int r = engine_load(engine, arena, id, &container, err);
	if (r < 0)
		return r;
	r = lifecycle_check(&container, verb, err);
	if (r == 0) {
		*ret_pidfd = proc_open(container.pid, container.pid_start_time);
		if (*ret_pidfd < 0 && *ret_pidfd != -ESRCH)
			r = error_errno(err, *ret_pidfd, "container %s: process %d", container.name,
					container.pid);
		/* It ended after it was looked at. */
		else if (*ret_pidfd < 0)
			r = verb == VERB_STOP || verb == VERB_REMOVE_FORCE
				    ? 1
				    : error_set(err, -ESRCH, "container %s is not running",
						container.name);
	}
	container_close(&container);
	*ret = container;
	return r;
}

/* The event comes first, so that it is before that of the end. */
static int signal_told(struct engine *engine, const struct container *container, int pidfd, int sig)
{
	event_container_number(engine, container, "kill", "signal", sig);
	return sys_pidfd_send_signal(pidfd, sig);
}

static int send_signal(struct engine *engine, const struct container *container, int pidfd, int sig,
		       struct masu_error *err)
{
	int r = signal_told(engine, container, pidfd, sig);
	if (r == -ESRCH)
		return error_set(err, r, "container %s is not running", container->name);
	return r < 0 ? error_errno(err, r, "container %s: signal %d", container->name, sig) : 0;
}

int engine_kill(struct engine *engine, const char *id, int sig, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_close_ int pidfd = -1;
	struct container container;
	arena_init(&arena, 0);
	int r = open_process(engine, &arena, id, VERB_KILL, &container, &pidfd, err);
	if (r == 0)
		r = send_signal(engine, &container, pidfd, sig, err);
	if (r < 0)
		return error_wrap(err, "cannot kill container %.12s", id);
	/* As docker: who is told that it was killed finds it ended. */
	return sig == SIGKILL ? container_await_end(engine, id, err) : 0;
}

/* True where the process ended within @seconds; -1 waits without end. */
static bool ends_within(int pidfd, int seconds)
{
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	struct timespec deadline, now, left;
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += seconds;
	for (;;) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		left.tv_sec = deadline.tv_sec - now.tv_sec;
		left.tv_nsec = deadline.tv_nsec - now.tv_nsec;
		if (left.tv_nsec < 0) {
			left.tv_sec--;
			left.tv_nsec += 1000000000;
		}
		if (left.tv_sec < 0)
			left = (struct timespec) { 0 };
		int r = ppoll(&poll_fd, 1, seconds < 0 ? NULL : &left, NULL);
		if (r >= 0)
			return r > 0;
		if (errno != EINTR)
			return false;
	}
}

int engine_stop(struct engine *engine, const char *id, int timeout, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_close_ int pidfd = -1;
	struct container container;
	int sig = SIGTERM;
	arena_init(&arena, 0);
	int r = open_process(engine, &arena, id, VERB_STOP, &container, &pidfd, err);
	if (r < 0)
		return r;
	if (r == 1)
		return container_await_end(engine, id, err);
	if (container.config.stop_signal)
		signal_parse(container.config.stop_signal, &sig, NULL);
	if (timeout < 0)
		timeout = container.config.stop_timeout >= 0 ? container.config.stop_timeout
							     : STOP_TIMEOUT_DEFAULT;
	r = signal_told(engine, &container, pidfd, sig);
	if (r == 0 && !ends_within(pidfd, timeout))
		r = signal_told(engine, &container, pidfd, SIGKILL);
	if (r < 0 && r != -ESRCH)
		return error_errno(err, r, "cannot stop container %s", container.name);
	r = container_await_end(engine, id, err);
	if (r == 0)
		event_container(engine, &container, "stop", NULL, 0);
	return r;
}

int container_force_end(struct engine *engine, const char *id, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_close_ int pidfd = -1;
	struct container container;
	arena_init(&arena, 0);
	int r = open_process(engine, &arena, id, VERB_REMOVE_FORCE, &container, &pidfd, err);
	if (r == 0) {
		r = signal_told(engine, &container, pidfd, SIGKILL);
		if (r < 0 && r != -ESRCH)
			return error_errno(err, r, "cannot kill container %s", container.name);
	}
	return r < 0 ? r : container_await_end(engine, id, err);
}
