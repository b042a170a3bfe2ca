/* The callers' side of the control socket. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/attach.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "engine/lifecycle.h"
#include "engine/protocol.h"

int monitor_connect(const struct container *container, int *ret_fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (container->run_fd < 0)
		return -ENOENT;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/ctl.sock",
		 container->run_fd);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

int monitor_connect_id(struct engine *engine, const char *id, int *ret_fd)
{
	char path[CONTAINER_PATH_MAX];
	_cleanup_close_ int run =
		openat(engine->run_fd, store_path(id, path), O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct container container = { .run_fd = run };
	return run < 0 ? -errno : monitor_connect(&container, ret_fd);
}

/* One message that is answered with CTL_OK. The monitor answers at once; one that is stopped by
 * somebody must not hold up its callers. */
static int tell(const struct container *container, enum ctl_type type, unsigned flags, int fd)
{
	const struct timeval patience = { .tv_sec = 10 };
	struct ctl_message message = { .type = type, .flags = flags };
	_cleanup_close_ int control = -1;
	int r = container->monitor_pid ? monitor_connect(container, &control) : -ENOENT;
	if (r < 0)
		return r;
	setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	r = ctl_send(control, &message, fd);
	if (r == 0)
		r = ctl_receive(control, &message, NULL);
	return r < 0 ? r : message.type == CTL_OK ? 0 : -EPROTO;
}

int monitor_reload(const struct container *container)
{
	int r = tell(container, CTL_RELOAD, 0, -1);
	return r == -EPIPE || r == -ENOENT || r == -ECONNREFUSED ? 0 : r;
}

int monitor_trap(const struct container *container, int listener_fd)
{
	return tell(container, CTL_TRAP, 0, listener_fd);
}

int monitor_publish(const struct container *container, struct masu_error *err)
{
	struct ctl_message message = { .type = CTL_PUBLISH };
	const struct timeval patience = { .tv_sec = 10 };
	_cleanup_close_ int control = -1;
	int r = container->monitor_pid ? monitor_connect(container, &control) : -ENOENT;
	if (r == 0) {
		setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		r = ctl_send(control, &message, -1);
	}
	if (r == 0)
		r = ctl_receive(control, &message, NULL);
	if (r < 0)
		return error_errno(err, r, "the container's monitor does not answer");
	if (message.type == CTL_ERROR)
		return error_set(err, message.value < 0 ? message.value : -EPROTO, "%s",
				 message.text);
	return message.type == CTL_OK ? 0 : error_set(err, -EPROTO, "unexpected answer");
}

int monitor_announce_stop(struct container *container, unsigned flags)
{
	int r = tell(container, CTL_STOPPING, flags, -1);
	if (r < 0 && !(flags & CTL_STOP_SYSTEM)) {
		container->manually_stopped = true;
		store_write_state(container, true, NULL);
	}
	return r;
}

static int request_stream(int control, const struct engine_attach *attach, int *ret_stream,
			  struct masu_error *err)
{
	struct ctl_message message = { .type = CTL_ATTACH };
	message.flags = (attach->stdin_ ? CTL_STREAM_STDIN : 0) |
			(attach->stdout_ ? CTL_STREAM_STDOUT : 0) |
			(attach->stderr_ ? CTL_STREAM_STDERR : 0);
	_cleanup_close_ int stream = -1;
	int r = ctl_send(control, &message, -1);
	if (r == 0)
		r = ctl_receive(control, &message, &stream);
	if (r < 0)
		return error_errno(err, r, "the container's monitor");
	if (message.type == CTL_ERROR)
		return error_set(err, message.value, "%s", message.text);
	if (message.type != CTL_ATTACHED || stream < 0)
		return error_set(err, -EPROTO,
				 "the container's monitor does not answer as it "
				 "should");
	*ret_stream = take_fd(&stream);
	return 0;
}

int engine_attach(struct engine *engine, const char *id, struct engine_attach *attach,
		  struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_close_ int control = -1;
	struct container container;
	arena_init(&arena, 0);
	attach->control_fd = attach->stream_fd = -1;
	int r = engine_load(engine, &arena, id, &container, err);
	if (r < 0)
		return r;
	r = lifecycle_check(&container, VERB_ATTACH, err);
	if (r == 0) {
		r = monitor_connect(&container, &control);
		if (r < 0)
			error_errno(err, r, "container %.12s: its monitor cannot be reached", id);
	}
	container_close(&container);
	if (r == 0)
		r = request_stream(control, attach, &attach->stream_fd, err);
	if (r == 0) {
		event_container(engine, &container, "attach", NULL, 0);
		attach->control_fd = take_fd(&control);
		if (attach->rows && attach->columns)
			engine_attach_resize(attach->control_fd, attach->rows, attach->columns);
	}
	return r;
}

int engine_attach_wait(int control_fd, int *ret_status, struct masu_error *err)
{
	struct ctl_message message;
	for (;;) {
		int r = ctl_receive(control_fd, &message, NULL);
		if (r < 0)
			return error_set(err, r,
					 "the container's monitor is gone; the exit status "
					 "is not known");
		if (message.type == CTL_EXIT) {
			*ret_status = message.value;
			return 0;
		}
	}
}

int engine_attach_resize(int control_fd, unsigned short rows, unsigned short columns)
{
	const struct ctl_message message = { .type = CTL_RESIZE, .value = rows, .value2 = columns };
	return ctl_send(control_fd, &message, -1);
}

void engine_attach_close(struct engine_attach *attach)
{
	cleanup_close(&attach->stream_fd);
	cleanup_close(&attach->control_fd);
}
