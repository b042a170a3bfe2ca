/* Unix sockets by path, without the 108-byte limit, and fds over them. All return 0 or -errno. */
#pragma once

#include <stddef.h>

/*
 * Connects to / binds and listens at @path, taken relative to @dirfd (AT_FDCWD: as open(2) does).
 * Paths that do not fit sun_path go through /proc/self/fd. @type: SOCK_STREAM or SOCK_SEQPACKET;
 * SOCK_CLOEXEC is implied. The bound socket's file mode is 0600.
 */
int unix_connect(int dirfd, const char *path, int type, int *ret_fd);
int unix_listen(int dirfd, const char *path, int type, int *ret_fd);

/* Sends @len bytes of @data in one message with @fd attached. */
int unix_send_fd(int socket_fd, const void *data, size_t len, int fd);
/* Receives one message and the fd attached to it; what the message says is dropped. -ENODATA: none
 * was attached. */
int unix_receive_fd(int socket_fd, int *ret_fd);
