#include "exec/native/sync.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

struct packet_head {
	int kind, value;
};

struct packet {
	struct packet_head head;
	struct masu_error error; /* only on the wire with SYNC_ERROR */
};

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int sync_pair(int ret_fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0 ? -errno : 0;
}

static int send_packet(int fd, const void *data, size_t len, int passed_fd)
{
	struct iovec iov = { (void *)data, len };
	union control control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (passed_fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &passed_fd, sizeof(int));
	}
	ssize_t sent;
	do
		sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

int sync_send(int fd, enum sync_kind kind, int value, int passed_fd)
{
	struct packet_head head = { (int)kind, value };
	return send_packet(fd, &head, sizeof(head), passed_fd);
}

void sync_send_error(int fd, const struct masu_error *err)
{
	struct packet packet = { .head = { SYNC_ERROR, 0 }, .error = *err };
	(void)send_packet(fd, &packet, sizeof(packet), -1);
}

static int take_passed_fd(struct msghdr *msg)
{
	int fd = -1;
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg))
		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
		    cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(&fd, CMSG_DATA(cmsg), sizeof(int));
	return fd;
}

int sync_receive(int fd, struct sync_message *ret, struct masu_error *err)
{
	struct packet packet;
	union control control;
	struct iovec iov = { &packet, sizeof(packet) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t got;
	bool reset = false, again;
	/* That the peer left something unread is told once, before what it had sent itself. */
	do {
		got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
		again = got < 0 && (errno == EINTR || (errno == ECONNRESET && !reset));
		reset |= got < 0 && errno == ECONNRESET;
	} while (again);
	if (got == 0 || (got < 0 && errno == ECONNRESET))
		return -EPIPE;
	if (got < 0)
		return error_errno(err, -errno, "cannot read from the container's process");
	_cleanup_close_ int passed = take_passed_fd(&msg);
	if ((size_t)got < sizeof(packet.head))
		return error_set(err, -EPROTO, "short message from the container's process");
	if (packet.head.kind == SYNC_ERROR) {
		if ((size_t)got != sizeof(packet) || packet.error.code >= 0)
			return error_set(err, -EPROTO, "bad error from the container's process");
		packet.error.message[sizeof(packet.error.message) - 1] = '\0';
		if (err)
			*err = packet.error;
		return packet.error.code;
	}
	ret->kind = (enum sync_kind)packet.head.kind;
	ret->value = packet.head.value;
	ret->passed_fd = take_fd(&passed);
	return 0;
}

int sync_expect(int fd, enum sync_kind kind, int *ret_value, struct masu_error *err)
{
	struct sync_message message;
	int r = sync_receive(fd, &message, err);
	if (r < 0)
		return r;
	_cleanup_close_ int passed = message.passed_fd;
	if (message.kind != kind)
		return error_set(err, -EPROTO, "unexpected message %d from the container's process",
				 (int)message.kind);
	if (ret_value)
		*ret_value = message.value;
	return 0;
}
