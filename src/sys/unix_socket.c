#include "sys/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

/*
 * An address for @path that fits: the path itself, or /proc/self/fd/<its directory>/<name>. The
 * directory's fd is returned for the caller to keep open while the address is used.
 */
static int make_address(int dirfd, const char *path, struct sockaddr_un *ret, int *ret_dir)
{
	*ret = (struct sockaddr_un) { .sun_family = AF_UNIX };
	if ((dirfd == AT_FDCWD || path[0] == '/') && strlen(path) < sizeof(ret->sun_path)) {
		strncpy(ret->sun_path, path, sizeof(ret->sun_path) - 1);
		return 0;
	}
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	int r = str_format(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path + 1) : 1,
			   slash ? path : ".");
	if (r < 0)
		return r;
	_cleanup_close_ int dir = openat(dirfd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	r = str_format(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", dir, name);
	if (r < 0)
		return r;
	*ret_dir = take_fd(&dir);
	return 0;
}

int unix_connect(int dirfd, const char *path, int type, int *ret_fd)
{
	struct sockaddr_un address;
	_cleanup_close_ int dir = -1;
	int r = make_address(dirfd, path, &address, &dir);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

int unix_listen(int dirfd, const char *path, int type, int *ret_fd)
{
	struct sockaddr_un address;
	_cleanup_close_ int dir = -1;
	int r = make_address(dirfd, path, &address, &dir);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	/* The mode of the socket's inode decides the mode of the file that bind() makes. */
	if (fd < 0 || fchmod(fd, 0600) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

int unix_send_fd(int socket_fd, const void *data, size_t len, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	ssize_t sent;
	do
		sent = sendmsg(socket_fd, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return (size_t)sent == len ? 0 : -EMSGSIZE;
}

int unix_receive_fd(int socket_fd, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char data[256];
	struct iovec iov = { data, sizeof(data) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t got;
	do
		got = recvmsg(socket_fd, &msg, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	const struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
		return -ENODATA;
	memcpy(ret_fd, CMSG_DATA(cmsg), sizeof(int));
	return 0;
}
