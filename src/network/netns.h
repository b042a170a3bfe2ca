/* Sockets in another network namespace. Private to src/network. */
#pragma once

/*
 * A netlink socket of @protocol that acts in the namespace, although the caller stays in its own: a
 * socket belongs to the namespace it was made in, so the caller visits it for one system call (the
 * programs of masu have one thread). fd or -errno.
 */
int netns_netlink(int netns_fd, int protocol);

/* Moves this thread into another namespace: the way back, for netns_leave(), or -errno. */
int netns_enter(int netns_fd);
/* Back, and closes @own_fd. */
int netns_leave(int own_fd);
