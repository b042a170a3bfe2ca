#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/attach.h"
#include "engine/health.h"
#include "engine/internal.h"
#include "engine/protocol.h"
#include "sys/fs.h"
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

/* ---- conditions ---- */

/* What a condition may become true with: a container's two directories, and the one in which its
 * live directory appears. Removal is a rename. */
#define WATCHED                                                                                    \
	(IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_MOVE_SELF | IN_DELETE_SELF |    \
	 IN_ONLYDIR)

static void watch_directory(int inotify, int root_fd, const char *path)
{
	char proc[FS_PROC_FD_MAX];
	_cleanup_close_ int dir = openat(root_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* One that is not there yet is seen to appear in the one above. */
	if (dir >= 0)
		inotify_add_watch(inotify, fs_proc_fd(dir, proc), WATCHED);
}

static void watch_container(int inotify, struct engine *engine, const char *id)
{
	char path[CONTAINER_PATH_MAX];
	store_path(id, path);
	watch_directory(inotify, engine->root_fd, path);
	watch_directory(inotify, engine->run_fd, "containers");
	watch_directory(inotify, engine->run_fd, path);
}

static int await_change(int inotify, struct masu_error *err)
{
	char events[4096];
	ssize_t got;
	do
		got = read(inotify, events, sizeof(events));
	while (got < 0 && errno == EINTR);
	return got < 0 ? error_errno(err, -errno, "cannot watch the container") : 0;
}

struct waiting {
	enum wait_condition condition;
	char started[TIME_TEXT_SIZE]; /* its last start when the wait began */
	bool ended;		      /* an end was seen since */
	int status;
};

static bool runs(const struct container *container)
{
	return container->status == CONTAINER_RUNNING || container->status == CONTAINER_PAUSED;
}

static bool is_met(struct waiting *w, const struct container *container)
{
	bool restarted = !streq(container->started, w->started);
	switch (w->condition) {
	case WAIT_NOT_RUNNING: /* engine_wait() */
		return !runs(container);
	case WAIT_NEXT_EXIT:
		return w->ended || (restarted && !runs(container));
	case WAIT_RUNNING:
		return runs(container);
	case WAIT_PAUSED:
		return container->status == CONTAINER_PAUSED;
	case WAIT_HEALTHY:
		return container->health && streq(container->health, "healthy");
	case WAIT_UNHEALTHY:
		return container->health && streq(container->health, "unhealthy");
	case WAIT_CREATED:
		return true;
	case WAIT_REMOVED:
		break;
	}
	return false;
}

static bool can_be_met(const struct waiting *w, const struct container *container,
		       struct masu_error *err)
{
	bool health = w->condition == WAIT_HEALTHY || w->condition == WAIT_UNHEALTHY;
	if (!health || health_is_checked(&container->config))
		return true;
	error_set(err, -EINVAL, "container %s has no health check", container->name);
	return false;
}

/* 1: look again. */
static int wait_step(struct engine *engine, const char *id, int inotify, struct waiting *w,
		     struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	struct container container;
	bool ends = w->condition == WAIT_NEXT_EXIT || w->condition == WAIT_REMOVED;
	arena_init(&arena, 0);
	watch_container(inotify, engine, id);
	int r = engine_load(engine, &arena, id, &container, err);
	if (r == -ENOENT && (w->condition == WAIT_REMOVED || w->ended))
		return 0;
	if (r < 0)
		return r;
	if (!w->started[0])
		snprintf(w->started, sizeof(w->started), "%s", container.started);
	if (!w->ended)
		w->status = container.exit_code;
	if (is_met(w, &container)) {
		r = 0;
	} else if (!can_be_met(w, &container, err)) {
		r = -EINVAL;
	} else if (ends && runs(&container)) {
		int status;
		r = wait_once(&container, false, &status, err);
		if (r == 0) {
			w->status = status;
			w->ended = true;
			r = 1;
		}
	} else {
		r = await_change(inotify, err);
		r = r < 0 ? r : 1;
	}
	container_close(&container);
	return r;
}

int engine_wait_for(struct engine *engine, const char *id, enum wait_condition condition,
		    int *ret_status, struct masu_error *err)
{
	struct waiting w = { .condition = condition };
	if (condition == WAIT_NOT_RUNNING)
		return engine_wait(engine, id, ret_status, err);
	_cleanup_close_ int inotify = inotify_init1(IN_CLOEXEC);
	if (inotify < 0)
		return error_errno(err, -errno, "cannot watch the container");
	int r = 1;
	while (r == 1)
		r = wait_step(engine, id, inotify, &w, err);
	if (r == 0)
		*ret_status = w.status;
	return r;
}
