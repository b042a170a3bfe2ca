/* Starting: forks the monitor and waits for its word. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/trace.h"
#include "engine/attach.h"
#include "engine/events.h"
#include "engine/lifecycle.h"
#include "engine/monitor.h"
#include "engine/network.h"
#include "engine/start.h"
#include "state/record.h"

#define START_TRIES 5

static unsigned attach_streams(const struct engine_attach *attach)
{
	return (attach->stdin_ ? CTL_STREAM_STDIN : 0) | (attach->stdout_ ? CTL_STREAM_STDOUT : 0) |
	       (attach->stderr_ ? CTL_STREAM_STDERR : 0);
}

static int make_pair(int type, int *ret_ours, int *ret_theirs, struct masu_error *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
		return error_errno(err, -errno, "cannot make a socket pair");
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
	return 0;
}

/* The monitor's first word. Its death without one is a failure of the engine's. */
static int await_started(int control_fd, int *ret_stream, struct masu_error *err)
{
	struct ctl_message message;
	_cleanup_close_ int stream = -1;
	int r = ctl_receive(control_fd, &message, &stream);
	if (r == 0 && message.type == CTL_STARTED) {
		if (ret_stream)
			*ret_stream = take_fd(&stream);
		return 0;
	}
	if (r == 0 && message.type == CTL_ERROR) {
		error_set(err, message.value < 0 ? message.value : -EIO, "%s", message.text);
		return error_exit_status(err, message.value2);
	}
	if (r == 0 && message.type == CTL_EXIT)
		return error_set(err, -ECHILD, "the container's monitor ended");
	if (r == -EPIPE)
		error_set(err, r, "the container's monitor died while it started the container");
	else
		error_errno(err, r < 0 ? r : -EPROTO, "the container's monitor");
	return engine_failure(err, err ? err->code : r);
}

/* What the monitor needs in a while, made while it does other things. */
static void hand_over_network(int control_fd)
{
	const struct ctl_message message = { .type = CTL_NETWORK };
	_cleanup_close_ int network = -1;
	/* Where it cannot be made, the monitor is told so and finds out why itself. */
	engine_network_make(&network);
	/* It waits for this word: where it cannot be said, the end of the stream says as much. */
	if (ctl_send(control_fd, &message, network) < 0 && ctl_send(control_fd, &message, -1) < 0)
		shutdown(control_fd, SHUT_WR);
	trace_mark("network namespace");
}

int supervise_fork(struct engine *engine, struct arena *arena, const struct container *container,
		   int lock_fd, const struct engine_attach *attach, struct supervision *ret,
		   struct masu_error *err)
{
	_cleanup_close_ int control = -1, stream = -1, lock = lock_fd;
	struct monitor_start start = {
		.network_follows = engine_network_is_own(&container->config),
		.lock_fd = lock_fd,
		.control_fd = -1,
		.stream_fd = -1,
	};
	int r = make_pair(SOCK_SEQPACKET, &control, &start.control_fd, err);
	if (r == 0 && attach && attach_streams(attach)) {
		event_container(engine, container, "attach", NULL, 0);
		start.streams = attach_streams(attach);
		start.rows = attach->rows;
		start.columns = attach->columns;
		r = make_pair(SOCK_STREAM, &stream, &start.stream_fd, err);
	}
	if (r < 0) {
		cleanup_close(&start.control_fd);
		return engine_failure(err, r);
	}
	trace_mark("before fork");
	pid_t pid = fork();
	if (pid == 0 && exec_driver(container->config.runtime) &&
	    !engine_network_accelerates(&container->config))
		monitor_main(engine, arena, container, &start);
	if (pid == 0)
		monitor_elsewhere(engine, container, &start);
	r = pid < 0 ? -errno : 0;
	cleanup_close(&start.control_fd);
	cleanup_close(&start.stream_fd);
	cleanup_close(&lock);
	if (r < 0)
		return engine_failure(err, error_errno(err, r, "cannot fork the monitor"));
	trace_mark("forked");
	if (start.network_follows)
		hand_over_network(control);
	*ret = (struct supervision) { .control_fd = take_fd(&control),
				      .stream_fd = take_fd(&stream) };
	return 0;
}

int supervise_await(struct supervision *supervision, struct engine_attach *attach,
		    struct masu_error *err)
{
	_cleanup_close_ int control = take_fd(&supervision->control_fd);
	_cleanup_close_ int stream = take_fd(&supervision->stream_fd);
	int r = await_started(control, NULL, err);
	trace_mark("started");
	if (r == 0 && attach) {
		attach->control_fd = take_fd(&control);
		attach->stream_fd = take_fd(&stream);
	}
	return r;
}

static int supervise_start(struct engine *engine, struct arena *arena,
			   const struct container *container, int lock_fd,
			   struct engine_attach *attach, struct masu_error *err)
{
	struct supervision supervision;
	int r = supervise_fork(engine, arena, container, lock_fd, attach, &supervision, err);
	return r < 0 ? r : supervise_await(&supervision, attach, err);
}

/* Parked, or between an end and the next start: its monitor waits for the word. */
static bool is_waiting(const struct container *container)
{
	return container->monitor_pid && (container->status == CONTAINER_CREATED ||
					  container->status == CONTAINER_RESTARTING);
}

/* docker tells of the attachment before the start. false: it does not wait for one. */
static bool tell_attach(struct engine *engine, const char *id)
{
	_cleanup_arena_ struct arena arena;
	struct container container;
	arena_init(&arena, 0);
	if (store_load(engine, &arena, id, &container, NULL) < 0)
		return false;
	bool waiting = is_waiting(&container);
	if (waiting)
		event_container(engine, &container, "attach", NULL, 0);
	container_close(&container);
	return waiting;
}

int engine_start_parked(struct engine *engine, const char *id, struct engine_attach *attach,
			struct masu_error *err)
{
	struct ctl_message message = { .type = CTL_START };
	struct masu_error why = { 0 };
	_cleanup_close_ int control = -1;
	_cleanup_close_ int stream = -1;
	/* Its monitor knows best: nothing needs to be read to ask it. */
	if (monitor_connect_id(engine, id, &control) < 0)
		return 1;
	if (attach) {
		if (!tell_attach(engine, id))
			return 1;
		message.flags = attach_streams(attach);
		message.value = attach->rows;
		message.value2 = attach->columns;
	}
	if (ctl_send(control, &message, -1) < 0)
		return 1;
	int r = await_started(control, &stream, &why);
	trace_mark("started");
	/* It did not wait, or went away before it read the request. */
	if (r == -EALREADY || r == -EPIPE || r == -ECHILD)
		return 1;
	if (r < 0 && err)
		*err = why;
	if (r == 0 && attach) {
		attach->control_fd = take_fd(&control);
		attach->stream_fd = take_fd(&stream);
	}
	return engine_failure(err, r);
}

void supervise_park(struct engine *engine, struct arena *arena, const struct container *container,
		    int lock_fd)
{
	const struct monitor_start start = {
		.parked = true, .lock_fd = lock_fd, .control_fd = -1, .stream_fd = -1
	};
	if (!park_worthwhile(engine, &container->config))
		return;
	pid_t pid = fork();
	if (pid == 0)
		monitor_main(engine, arena, container, &start);
	trace_mark("parked");
}

int container_load_locked(struct engine *engine, struct arena *arena, const char *id,
			  struct container *ret, int *ret_lock, struct masu_error *err)
{
	struct container container;
	int r = engine_load(engine, arena, id, &container, err);
	if (r < 0)
		return r;
	_cleanup_close_ int lock = record_lock(container.dir_fd, RECORD_LOCK_EXCLUSIVE, err);
	container_close(&container);
	if (lock == -ENOENT)
		return error_set(err, lock, "No such container: %s", id);
	if (lock < 0)
		return lock;
	r = store_load(engine, arena, id, ret, err);
	if (r == 0)
		*ret_lock = take_fd(&lock);
	return r;
}

/* By one message where its monitor waits (no lock is needed), else with a monitor of its own. 1: it
 * was found waiting only once it was locked, so it is to be asked after all. */
static int start_either_way(struct engine *engine, struct arena *arena, const char *id,
			    struct engine_attach *attach, bool *ret_running, struct masu_error *err)
{
	struct container container;
	_cleanup_close_ int lock = -1;
	int r = engine_start_parked(engine, id, attach, err);
	if (r <= 0)
		return r;
	r = container_load_locked(engine, arena, id, &container, &lock, err);
	if (r < 0)
		return r;
	bool waiting = is_waiting(&container);
	r = lifecycle_check(&container, VERB_START, err);
	*ret_running = r == 1;
	if (r == 0 && !waiting)
		r = supervise_start(engine, arena, &container, take_fd(&lock), attach, err);
	container_close(&container);
	return r < 0 ? r : waiting;
}

int engine_start(struct engine *engine, struct arena *arena, const char *id,
		 struct engine_attach *attach, struct masu_error *err)
{
	bool running = false;
	int r = 1;
	if (attach)
		attach->control_fd = attach->stream_fd = -1;
	for (int tries = 0; r == 1 && tries < START_TRIES; tries++)
		r = start_either_way(engine, arena, id, attach, &running, err);
	if (r == 1)
		r = error_set(err, -EAGAIN, "container %.12s: its monitor does not answer", id);
	if (r == 0 && running && attach)
		r = engine_attach(engine, id, attach, err);
	return engine_failure(err, r);
}
