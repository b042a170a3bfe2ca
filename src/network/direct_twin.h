/*
 * The socket that takes the place of a container's in the host's network namespace. Private to
 * src/network.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * A socket like @original, in the caller's network namespace and in the control group of
 * @cgroup_fd, with the options and flags of @original. The fd or -errno.
 */
int twin_make(int original, int cgroup_fd);

/* An integer option, or @otherwise. */
int twin_option(int fd, int level, int name, int otherwise);

/*
 * What a process had asked epoll instances to tell about descriptor @fd (epoll(7)): noted before
 * its file is replaced, and asked again, with the file of @twin, after.
 */
struct twin_watches {
	struct {
		int epoll_fd; /* in that process */
		unsigned events;
		unsigned long long data;
	} list[8];
	size_t count;
};
void twin_note_watches(pid_t tid, int fd, struct twin_watches *ret);
void twin_restore_watches(const struct twin_watches *watches, int pidfd, int fd, int twin);

/* SO_REUSEADDR. */
int twin_reuse(int fd, int on);
/* A server of both families whose port is published by IPv6 alone. */
int twin_leave_ipv4(int fd);
/* Connections to the container's address, which is none of the host's, come to it too
 * (direct_address.h). */
int twin_accept_foreign(int fd, int family);
