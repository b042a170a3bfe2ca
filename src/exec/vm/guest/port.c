#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exec/vm/guest/guest.h"

#define APPEAR_STEP_US 2000
#define APPEAR_STEPS   5000
#define DEVICES_MAX    16

/* Its name has the number of its device among all that are virtio, which nobody promises. */
static int try_open(unsigned number)
{
	char path[32];
	int fd = -1;
	for (unsigned device = 0; device < DEVICES_MAX && fd < 0; device++) {
		snprintf(path, sizeof(path), "/dev/vport%up%u", device, number);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 && errno != ENOENT)
			break;
	}
	return fd;
}

int port_open(struct port *port, unsigned number)
{
	port->len = 0;
	for (int i = 0; i < APPEAR_STEPS; i++) {
		port->fd = try_open(number);
		if (port->fd >= 0 || errno != ENOENT)
			break;
		usleep(APPEAR_STEP_US);
	}
	/* SIGIO tells when somebody comes to the other end. */
	if (port->fd >= 0 && (fcntl(port->fd, F_SETOWN, getpid()) < 0 ||
			      fcntl(port->fd, F_SETFL, O_RDWR | O_NONBLOCK | O_ASYNC) < 0))
		return -1;
	return port->fd < 0 ? -1 : 0;
}

/* false: nobody is there. */
static bool send_all(struct port *port, const char *data, size_t len)
{
	while (len > 0) {
		struct pollfd wait = { .fd = port->fd, .events = POLLOUT };
		if (poll(&wait, 1, -1) < 0 && errno != EINTR)
			return false;
		if (wait.revents & POLLHUP)
			return false;
		ssize_t sent = write(port->fd, data, len);
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (sent > 0) {
			data += sent;
			len -= (size_t)sent;
		}
	}
	return true;
}

void port_send(struct port *port, enum vm_frame_type type, const void *data, size_t len)
{
	char frame[sizeof(struct vm_frame) + VM_FRAME_MAX];
	const struct vm_frame header = { .len = (uint32_t)len, .type = (uint8_t)type };
	memcpy(frame, &header, sizeof(header));
	if (len)
		memcpy(frame + sizeof(header), data, len);
	send_all(port, frame, sizeof(header) + len);
}

void port_failed(struct port *port, int status, const char *what, int error)
{
	char text[256];
	int len = snprintf(text, sizeof(text), "%c%s: %s", (char)status, what, strerror(error));
	port_send(port, VM_FAILED, text, len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

int port_next(struct port *port, struct vm_frame *ret, char **ret_data)
{
	static char data[VM_FRAME_MAX + 1];
	size_t want = sizeof(*ret);
	for (;;) {
		if (port->len >= sizeof(*ret)) {
			memcpy(ret, port->in, sizeof(*ret));
			if (ret->len > VM_FRAME_MAX)
				return -1;
			want = sizeof(*ret) + ret->len;
		}
		if (port->len >= want && port->len >= sizeof(*ret)) {
			memcpy(data, port->in + sizeof(*ret), ret->len);
			data[ret->len] = '\0';
			*ret_data = data;
			port->len = 0;
			return 1;
		}
		ssize_t got = read(port->fd, port->in + port->len, want - port->len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == EAGAIN ? 0 : -1;
		if (got == 0)
			return -1;
		port->len += (size_t)got;
	}
}
