/* The monitor's side of the control socket (protocol.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "engine/monitor.h"
#include "engine/network.h"
#include "sys/fs.h"

#define BACKLOG 16

/* By way of /proc/self/fd, because a path of any length must fit into sockaddr_un. */
int ctl_listen(int run_fd, int *ret_fd, struct masu_error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/ctl.sock", run_fd);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(err, -errno, "cannot make the control socket");
	if (fault_without("path-socket"))
		address.sun_path[0] = '\0'; /* abstract: of the network namespace, for everybody */
	/* The mode counts from the bind on; the directory is 0700 besides. */
	mode_t mask = umask(0177);
	int r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	if (r == -EADDRINUSE) {
		unlinkat(run_fd, "ctl.sock", 0);
		r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	}
	umask(mask);
	if (r == 0 && listen(fd, BACKLOG) < 0)
		r = -errno;
	if (r < 0)
		return error_errno(err, r, "cannot bind the control socket");
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Where no descriptor is left for a connection, the socket would be ready over and over. */
static void listen_again(struct monitor *monitor, bool on)
{
	struct monitor_ctl *ctl = &monitor->ctl;
	if (ctl->listen_fd >= 0 && ctl->deaf == on)
		watch(monitor->epoll_fd, ctl->listen_fd, SOURCE_LISTENER, 0, on ? EPOLLIN : 0);
	ctl->deaf = !on;
}

static void client_close(struct monitor *monitor, unsigned index)
{
	struct monitor_ctl *ctl = &monitor->ctl;
	if (!ctl->clients[index].used)
		return;
	if (ctl->clients[index].holds)
		container_end_hold(monitor->engine, monitor->container.id);
	close(ctl->clients[index].fd);
	ctl->clients[index] = (struct ctl_client) { 0 };
	while (ctl->room && !ctl->clients[ctl->room - 1].used)
		ctl->room--;
	if (ctl->deaf)
		listen_again(monitor, true);
}

static int client_add(struct monitor *monitor, int fd, bool wants_exit)
{
	struct monitor_ctl *ctl = &monitor->ctl;
	unsigned index = 0;
	while (index < CTL_CLIENTS_MAX && ctl->clients[index].used)
		index++;
	if (index == CTL_CLIENTS_MAX)
		return -EAGAIN;
	int r = watch(monitor->epoll_fd, fd, SOURCE_CONTROL, index, EPOLLIN);
	if (r < 0)
		return r;
	ctl->clients[index] =
		(struct ctl_client) { .used = true, .fd = fd, .wants_exit = wants_exit };
	if (index >= ctl->room)
		ctl->room = index + 1;
	return 0;
}

int ctl_start(struct monitor *monitor)
{
	int r = watch(monitor->epoll_fd, monitor->ctl.listen_fd, SOURCE_LISTENER, 0, EPOLLIN);
	if (r == 0 && monitor->control_fd >= 0 &&
	    fcntl(monitor->control_fd, F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	if (r == 0 && monitor->control_fd >= 0)
		r = client_add(monitor, monitor->control_fd, true);
	return r;
}

bool ctl_accept(struct monitor *monitor)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	_cleanup_close_ int fd =
		accept4(monitor->ctl.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			listen_again(monitor, false);
		return false;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	    (peer.uid == 0 || peer.uid == geteuid() || fault_without("peer-check")) &&
	    client_add(monitor, fd, false) == 0)
		take_fd(&fd);
	return true;
}

void ctl_reply(int fd, const struct ctl_message *message, int passed_fd)
{
	if (ctl_send(fd, message, passed_fd) < 0)
		shutdown(fd, SHUT_RDWR);
}

static void reply_error(int fd, int code, const char *text)
{
	struct ctl_message message = { .type = CTL_ERROR, .value = code };
	snprintf(message.text, sizeof(message.text), "%s", text);
	ctl_reply(fd, &message, -1);
}

static void answer_attach(struct monitor *monitor, int fd, unsigned streams)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		reply_error(fd, -errno, "cannot make a stream");
		return;
	}
	_cleanup_close_ int mine = pair[0];
	_cleanup_close_ int theirs = pair[1];
	int r = io_client_add(&monitor->io, mine, streams, false);
	if (r < 0) {
		reply_error(fd, r, "too many clients are attached");
		return;
	}
	take_fd(&mine);
	struct ctl_message message = { .type = CTL_ATTACHED };
	ctl_reply(fd, &message, theirs);
}

static void resize(struct monitor *monitor, const struct ctl_message *message)
{
	struct winsize size = { .ws_row = (unsigned short)message->value,
				.ws_col = (unsigned short)message->value2 };
	if (monitor->io.tty && monitor->io.outputs[0] >= 0)
		ioctl(monitor->io.outputs[0], TIOCSWINSZ, &size);
}

static void answer_publish(struct monitor *m, int fd)
{
	const struct ctl_message ok = { .type = CTL_OK };
	struct masu_error err = { 0 };
	m->stale = true;
	int r = monitor_remember(m);
	if (r == 0 && !m->cgroup)
		r = container_cgroup_open(m->engine, m->arena, &m->container, &m->cgroup, &err);
	if (r == 0)
		r = engine_network_change(m->engine, m->arena, &m->container, &err);
	/* What it had is what the record says again. */
	m->stale = r < 0;
	if (r == 0)
		r = store_write_live(&m->container, m->start_time, m->cgroup, &err);
	if (r == 0) {
		direct_ports_changed(m);
		ctl_reply(fd, &ok, -1);
		engine_network_settle(m->engine, &m->container);
		return;
	}
	if (!error_is_set(&err))
		error_errno(&err, r, "its record cannot be read");
	ctl_send_error(fd, &err);
}

bool ctl_client_ready(struct monitor *monitor, unsigned index)
{
	struct ctl_client *client = &monitor->ctl.clients[index];
	struct ctl_message message;
	_cleanup_close_ int passed = -1;
	int r = !client->used ? -EAGAIN : ctl_receive(client->fd, &message, &passed);
	if (r == -EAGAIN)
		return false;
	if (r < 0) {
		client_close(monitor, index);
		return false;
	}
	const struct ctl_message ok = { .type = CTL_OK };
	switch (message.type) {
	case CTL_ATTACH:
		client->wants_exit = true;
		answer_attach(monitor, client->fd, message.flags);
		break;
	case CTL_RESIZE:
		resize(monitor, &message);
		break;
	case CTL_WAIT:
		client->wants_exit = true;
		client->end_only = message.flags & CTL_END_ONLY;
		break;
	case CTL_START:
		client->wants_exit = true;
		if (monitor->restart.waiting)
			restart_now(monitor, client->fd, &message);
		else
			park_start(monitor, client->fd, &message);
		break;
	case CTL_STOPPING:
		restart_stopping(monitor, message.flags);
		ctl_reply(client->fd, &ok, -1);
		break;
	case CTL_RELOAD:
		monitor->stale = true;
		resolver_reload(monitor);
		direct_ports_gone(monitor);
		/* A restart policy may be new: after a power cut it is to be known that it ran. */
		store_sync_state(&monitor->container);
		ctl_reply(client->fd, &ok, -1);
		break;
	case CTL_PUBLISH:
		answer_publish(monitor, client->fd);
		break;
	case CTL_TRAP:
		r = passed < 0 ? -EINVAL : direct_listen(monitor, passed);
		if (r == 0) {
			take_fd(&passed);
			ctl_reply(client->fd, &ok, -1);
			break;
		}
		reply_error(client->fd, r, "cannot answer for one more process");
		break;
	case CTL_HOLD:
		client->holds = true;
		ctl_reply(client->fd, &ok, -1);
		break;
	default:
		reply_error(client->fd, -EINVAL, "not understood by this monitor");
	}
	return true;
}

void ctl_tell_end(struct monitor *monitor, int status, bool oom_killed)
{
	const struct ctl_message message = { .type = CTL_EXIT,
					     .value = status,
					     .value2 = oom_killed };
	bool told = false;
	for (unsigned i = 0; i < monitor->ctl.room; i++) {
		const struct ctl_client *client = &monitor->ctl.clients[i];
		told |= client->used && client->wants_exit && !client->end_only;
	}
	if (told && !monitor->container.config.auto_remove)
		store_sync_state(&monitor->container);
	for (unsigned i = 0; i < monitor->ctl.room; i++) {
		if (!monitor->ctl.clients[i].used || !monitor->ctl.clients[i].wants_exit)
			continue;
		ctl_send(monitor->ctl.clients[i].fd, &message, -1);
		client_close(monitor, i);
	}
}

void ctl_finish(struct monitor *monitor, int status, bool oom_killed)
{
	/* What the loop has not seen yet. */
	while (ctl_accept(monitor))
		;
	for (unsigned i = 0; i < monitor->ctl.room; i++)
		while (ctl_client_ready(monitor, i))
			;
	ctl_tell_end(monitor, status, oom_killed);
	for (unsigned i = 0; i < monitor->ctl.room; i++)
		client_close(monitor, i);
	cleanup_close(&monitor->ctl.listen_fd);
}
