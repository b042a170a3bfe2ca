/*
 * Parked containers: `create` leaves behind a monitor that has made everything up to the process
 * that waits before its execve, so that `start` is one message. Parked, a container is what it was:
 * created. Its network is connected at the start, so that it holds no address and no port; its
 * monitor goes away after a while, when it is removed, or when too many are parked, and then the
 * start makes everything itself.
 */
#include <errno.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/events.h"
#include "engine/monitor.h"
#include "engine/network.h"
#include "state/record.h"

#define PARK_TIMEOUT_MS (10 * 60 * 1000)
#define PARKED_MAX	64 /* running ones count as well: a directory's links are cheap to ask for */
#define EVENTS_MAX	16

bool park_worthwhile(struct engine *engine, const struct container_config *config)
{
	struct stat st;
	/* What is bound or joined must be what is there at the start. */
	if (config->privileged || config->proc_limits || config->device_count || config->runtime ||
	    engine_network_accelerates(config) || mode_container(config->network, NULL) ||
	    mode_container(config->pid_mode, NULL) || mode_container(config->ipc_mode, NULL))
		return false;
	for (size_t i = 0; i < config->mount_count; i++)
		if (config->mounts[i].kind == MOUNT_BIND || config->mounts[i].subpath ||
		    config->mounts[i].volume_option_count)
			return false;
	return fstatat(engine->run_fd, "containers", &st, 0) == 0 && st.st_nlink < PARKED_MAX + 2;
}

bool park(struct monitor *m)
{
	struct epoll_event events[EVENTS_MAX];
	/* Not only closed: the waiting process has inherited it. */
	if (flock(m->lock_fd, LOCK_UN) < 0)
		return false;
	cleanup_close(&m->lock_fd);
	while (!m->over && m->launch->parked) {
		int count = epoll_wait(m->epoll_fd, events, EVENTS_MAX, PARK_TIMEOUT_MS);
		if (count == 0 || (count < 0 && errno != EINTR)) {
			/* Until it is taken down, a start waits; who holds the lock, removes it. */
			m->lock_fd = record_try_lock(m->container.dir_fd, RECORD_LOCK_EXCLUSIVE);
			return false;
		}
		for (int i = 0; i < count && m->launch->parked; i++)
			monitor_dispatch(m, &events[i]);
	}
	return !m->launch->parked;
}

/* *ret_undone: nothing is left of what was prepared. */
static int start(struct monitor *m, const struct ctl_message *request, int *ret_stream,
		 bool *ret_undone, struct masu_error *err)
{
	int pair[2] = { -1, -1 };
	/* Whoever removes the container holds its lock. */
	_cleanup_close_ int lock = record_try_lock(m->container.dir_fd, RECORD_LOCK_EXCLUSIVE);
	if (lock == -EWOULDBLOCK || lock == -ENOENT)
		return error_set(err, lock, "container %s is being removed", m->container.name);
	if (lock < 0)
		return error_errno(err, lock, "container %s: cannot take the lock",
				   m->container.name);
	if (request->flags && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_errno(err, -errno, "cannot make a stream");
	_cleanup_close_ int mine = pair[0];
	_cleanup_close_ int theirs = pair[1];
	int r = launch_start(m->launch, (unsigned short)request->value,
			     (unsigned short)request->value2, err);
	*ret_undone = r < 0;
	if (r < 0)
		return r;
	r = io_start(&m->io);
	if (r == 0 && mine >= 0 && (r = io_client_add(&m->io, mine, request->flags, true)) == 0)
		take_fd(&mine);
	if (r < 0) {
		launch_undo(m->launch);
		*ret_undone = true;
		return error_errno(err, r, "cannot watch the container's output");
	}
	*ret_stream = take_fd(&theirs);
	return 0;
}

void park_start(struct monitor *m, int client_fd, const struct ctl_message *request)
{
	struct masu_error err = { 0 };
	bool undone = false;
	_cleanup_close_ int stream = -1;
	if (m->launch->gone) /* it is told so by the end */
		return;
	if (!m->launch->parked) {
		error_set(&err, -EALREADY, "container %.12s runs already", m->container.id);
		ctl_send_error(client_fd, &err);
		return;
	}
	if (start(m, request, &stream, &undone, &err) < 0) {
		/* Unless the program itself is at fault, the start goes the long way: the waiting
		 * process may have died of something that only a new one can tell. */
		if (undone && !m->launch->unclean && err.exit_status != 126 &&
		    err.exit_status != 127) {
			store_remove_run(m->engine, m->container.id);
			_exit(EXIT_FAILURE);
		}
		if (undone)
			monitor_failed(m, &err);
		ctl_send_error(client_fd, &err);
		if (undone)
			_exit(EXIT_FAILURE);
		return; /* as parked as before */
	}
	monitor_report_start(m, client_fd, stream);
}
