/*
 * The restart policy in the monitor: after an end it takes down what the container had, waits with
 * a timer in its loop, and makes everything anew from the container's files, as the first start
 * did. While it waits, the container is "restarting": without processes, cgroup or address.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/events.h"
#include "engine/monitor.h"
#include "engine/restart_policy.h"

void restart_reset(struct monitor *m)
{
	m->restart.backoff = 0;
	m->restart.count = 0;
	m->restart.stopped = m->restart.by_hand = m->restart.keep = false;
	m->container.restart_count = 0;
	m->container.manually_stopped = false;
}

void restart_note_start(struct monitor *m)
{
	m->restart.waiting = m->restart.stopped = m->restart.by_hand = false;
	m->restart.started = clock_ms();
}

int64_t restart_since_start(const struct monitor *m)
{
	return clock_ms() - m->restart.started;
}

static bool wanted(const struct monitor *m, int status)
{
	const struct restart_case end = {
		.policy = m->container.config.restart,
		.maximum = m->container.config.restart_max,
		.count = m->restart.count,
		.exit_code = status,
		.stopped = m->restart.stopped,
	};
	/* What --health-on-failure=restart has ended is started again by any policy. */
	return restart_after_end(&end) || (m->health.restart && !m->restart.stopped);
}

/* @ms 0: not at all. */
static int arm(struct monitor *m, int64_t ms)
{
	const struct itimerspec when = { .it_value = { .tv_sec = ms / 1000,
						       .tv_nsec = ms % 1000 * 1000000 } };
	if (m->restart.timer_fd < 0) {
		_cleanup_close_ int fd =
			timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		int r = fd < 0 ? -errno : watch(m->epoll_fd, fd, SOURCE_RESTART, 0, EPOLLIN);
		if (r < 0)
			return r;
		m->restart.timer_fd = take_fd(&fd);
	}
	return timerfd_settime(m->restart.timer_fd, 0, &when, NULL) < 0 ? -errno : 0;
}

/*
 * In this order: how it ended is on record before the group and the address are given back, and
 * live.json, which names those, says only then that they are gone. Killed in between, the monitor
 * leaves what recovery knows how to finish.
 */
static int record_waiting(struct monitor *m, int status, struct masu_error *err)
{
	struct masu_error why = { 0 };
	monitor_note_end(m, CONTAINER_RESTARTING, status);
	m->container.restart_count = ++m->restart.count;
	/* Nothing depends on the record, and where something cannot be taken down, the next start
	 * says what. */
	if (store_write_state(&m->container, false, &why) < 0)
		log_debug("%s", why.message);
	event_died(m->engine, &m->container, status);
	if (container_cleanup(m->engine, m->arena, &m->container, m->cgroup, &why) < 0)
		log_debug("%s", why.message);
	event_released(m->engine, &m->container);
	cgroup_close(m->cgroup);
	m->cgroup = NULL;
	m->container.pid_start_time = 0;
	return store_write_live(&m->container, m->start_time, NULL, err);
}

static int launch_again(struct monitor *m, const struct monitor_start *start,
			struct masu_error *err)
{
	int r = monitor_remember(m);
	if (r < 0)
		return error_errno(err, r, "its record cannot be read");
	m->container.restart_count = m->restart.count;
	return monitor_launch(m, start, err);
}

/* Over, although the policy wanted it to go on. */
static void give_up(struct monitor *m, int status)
{
	m->restart.waiting = false;
	io_finish(&m->io);
	if (monitor_remember(m) < 0)
		return;
	m->container.status = CONTAINER_EXITED;
	m->container.pid = 0;
	m->container.exit_code = status;
	m->container.finished = m->finished;
	m->container.restart_count = m->restart.count;
	m->container.error = m->restart.failure.message;
}

bool restart_in_place(struct monitor *m, int status, bool *ret_recorded)
{
	const struct monitor_start start = { .lock_fd = -1, .control_fd = -1, .stream_fd = -1 };
	struct monitor_restart *restart = &m->restart;
	if (!wanted(m, status))
		return false;
	restart->failure = (struct masu_error) { 0 };
	restart->backoff = restart_backoff(restart->backoff, restart_since_start(m));
	int r = arm(m, restart->backoff);
	if (r < 0)
		error_errno(&restart->failure, r, "cannot wait for the next start");
	else
		r = record_waiting(m, status, &restart->failure);
	if (r == 0) {
		restart->waiting = true;
		ctl_tell_end(m, status, m->container.oom_killed);
		launch_unmount(m);
		io_next_run(&m->io);
		monitor_forget(m);
		monitor_supervise(m);
		arm(m, 0);
		if (!restart->waiting)
			return true;
		if (!restart->stopped && !error_is_set(&restart->failure) &&
		    launch_again(m, &start, &restart->failure) == 0) {
			monitor_report_start(m, -1, -1);
			return true;
		}
	}
	give_up(m, status);
	*ret_recorded = true;
	return false;
}

void restart_stopping(struct monitor *m, unsigned flags)
{
	m->restart.stopped = true;
	m->restart.by_hand |= !(flags & CTL_STOP_SYSTEM);
	m->restart.keep |= (flags & CTL_STOP_KEEP) != 0;
	if (m->restart.waiting)
		m->over = true;
}

void restart_now(struct monitor *m, int client_fd, const struct ctl_message *request)
{
	int pair[2] = { -1, -1 };
	struct masu_error *err = &m->restart.failure;
	/* It has just been stopped, or could not be started: its end will say so. */
	if (m->restart.stopped || error_is_set(err))
		return;
	if (request->flags && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		error_errno(err, -errno, "cannot make a stream");
		ctl_send_error(client_fd, err);
		*err = (struct masu_error) { 0 };
		return;
	}
	_cleanup_close_ int theirs = pair[1];
	const struct monitor_start start = { .lock_fd = -1,
					     .control_fd = -1,
					     .stream_fd = pair[0],
					     .streams = request->flags,
					     .rows = (unsigned short)request->value,
					     .columns = (unsigned short)request->value2 };
	m->over = true;
	m->restart.count = 0;
	m->restart.backoff = 0;
	if (launch_again(m, &start, err) < 0)
		ctl_send_error(client_fd, err);
	else
		monitor_report_start(m, client_fd, theirs);
}
