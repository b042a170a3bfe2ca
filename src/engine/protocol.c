#include "engine/protocol.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define HEADER_SIZE offsetof(struct ctl_message, text)

union fd_control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

int ctl_send(int socket, const struct ctl_message *message, int fd)
{
	size_t text = message->type == CTL_ERROR ? strnlen(message->text, CTL_TEXT_MAX - 1) + 1 : 0;
	struct iovec iov = { .iov_base = (void *)message, .iov_len = HEADER_SIZE + text };
	union fd_control control = { 0 };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (fd >= 0) {
		header.msg_control = &control;
		header.msg_controllen = sizeof(control);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	ssize_t sent;
	do
		sent = sendmsg(socket, &header, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : -errno;
	return 0;
}

/* The descriptor that came with a message, or -1. More than one is more than there is room for, so
 * the kernel has dropped the others. */
static int received_fd(struct msghdr *header)
{
	int fd = -1;
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(header);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
	    cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

int ctl_receive(int socket, struct ctl_message *ret, int *ret_fd)
{
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
	union fd_control control;
	struct msghdr header = { .msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control) };
	bool reset = false, again;
	ssize_t got;
	/* A peer that left with something unread is told of first, once, and before its last words.
	 */
	do {
		got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
		again = got < 0 && (errno == EINTR || (errno == ECONNRESET && !reset));
		reset |= got < 0 && errno == ECONNRESET;
	} while (again);
	if (got < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	_cleanup_close_ int fd = received_fd(&header);
	if (got == 0)
		return -EPIPE;
	if ((size_t)got < HEADER_SIZE || (header.msg_flags & MSG_TRUNC))
		return -EBADMSG;
	if ((size_t)got == HEADER_SIZE)
		ret->text[0] = '\0';
	ret->text[(size_t)got - HEADER_SIZE < CTL_TEXT_MAX ? (size_t)got - HEADER_SIZE
							   : CTL_TEXT_MAX - 1] = '\0';
	if (ret_fd)
		*ret_fd = take_fd(&fd);
	return 0;
}

void ctl_send_error(int socket, const struct masu_error *err)
{
	struct ctl_message message = { .type = CTL_ERROR,
				       .value = err->code,
				       .value2 = err->exit_status ? err->exit_status : 125 };
	str_format(message.text, sizeof(message.text), "%s", err->message);
	if (socket >= 0)
		ctl_send(socket, &message, -1);
}
