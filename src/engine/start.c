/* Starting: forks the monitor and waits for its word. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/trace.h"
#include "engine/lifecycle.h"
#include "engine/monitor.h"
#include "engine/start.h"
#include "state/record.h"

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
static int await_started(int control_fd, struct masu_error *err)
{
	struct ctl_message message;
	int r = ctl_receive(control_fd, &message, NULL);
	if (r == 0 && message.type == CTL_STARTED)
		return 0;
	if (r == 0 && message.type == CTL_ERROR) {
		error_set(err, message.value < 0 ? message.value : -EIO, "%s", message.text);
		return error_exit_status(err, message.value2);
	}
	if (r == -EPIPE)
		error_set(err, r, "the container's monitor died while it started the container");
	else
		error_errno(err, r < 0 ? r : -EPROTO, "the container's monitor");
	return engine_failure(err, err ? err->code : r);
}

int supervise_start(struct engine *engine, struct arena *arena, const struct container *container,
		    int lock_fd, struct engine_attach *attach, struct masu_error *err)
{
	_cleanup_close_ int control = -1, stream = -1, lock = lock_fd;
	struct monitor_start start = { .lock_fd = lock_fd, .control_fd = -1, .stream_fd = -1 };
	int r = make_pair(SOCK_SEQPACKET, &control, &start.control_fd, err);
	if (r == 0 && attach && attach_streams(attach)) {
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
	if (pid == 0)
		monitor_main(engine, arena, container, &start);
	r = pid < 0 ? -errno : 0;
	cleanup_close(&start.control_fd);
	cleanup_close(&start.stream_fd);
	cleanup_close(&lock);
	if (r < 0)
		return engine_failure(err, error_errno(err, r, "cannot fork the monitor"));
	trace_mark("forked");
	r = await_started(control, err);
	trace_mark("started");
	if (r == 0 && attach) {
		attach->control_fd = take_fd(&control);
		attach->stream_fd = take_fd(&stream);
	}
	return r;
}

/* The lock first, the truth after it: another start may have been faster. */
static int load_locked(struct engine *engine, struct arena *arena, const char *id,
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

int engine_start(struct engine *engine, struct arena *arena, const char *id,
		 struct engine_attach *attach, struct masu_error *err)
{
	struct container container;
	int lock = -1;
	if (attach)
		attach->control_fd = attach->stream_fd = -1;
	int r = load_locked(engine, arena, id, &container, &lock, err);
	if (r < 0)
		return engine_failure(err, r);
	r = lifecycle_check(&container, VERB_START, err);
	if (r == 0)
		r = supervise_start(engine, arena, &container, lock, attach, err);
	else
		close(lock);
	container_close(&container);
	if (r == 1)
		return attach ? engine_attach(engine, id, attach, err) : 0;
	return engine_failure(err, r);
}
