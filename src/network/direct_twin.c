#include "network/direct_twin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

int twin_option(int fd, int level, int name, int otherwise)
{
	int value = 0;
	socklen_t size = sizeof(value);
	return getsockopt(fd, level, name, &value, &size) < 0 ? otherwise : value;
}

/* Waits for what was cloned without a signal to its parent. */
static int reap(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* A socket belongs to the group of the process that makes it, for good: a short-lived one, born
 * there, makes it in this process's table of files. */
static int socket_in_group(int domain, int type, int protocol, int cgroup_fd)
{
	struct clone_args args = {
		.flags = CLONE_FILES | CLONE_VFORK | CLONE_INTO_CGROUP,
		.cgroup = (uint64_t)cgroup_fd,
	};
	_cleanup_close_ int slot = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (slot < 0)
		return -errno;
	pid_t pid = sys_clone3(&args);
	if (pid == 0) {
		int fd = socket(domain, type | SOCK_CLOEXEC, protocol);
		if (fd < 0 || dup3(fd, slot, O_CLOEXEC) < 0)
			_exit(EXIT_FAILURE);
		close(fd);
		_exit(EXIT_SUCCESS);
	}
	int r = pid < 0 ? pid : reap(pid);
	return r < 0 ? r : take_fd(&slot);
}

/* All that is one number and may be set on a socket that is not bound. SO_REUSEADDR is whoever
 * binds it. */
static const struct {
	int level, name;
} copied[] = {
	{ SOL_SOCKET, SO_REUSEPORT },
	{ SOL_SOCKET, SO_KEEPALIVE },
	{ SOL_SOCKET, SO_DONTROUTE },
	{ SOL_SOCKET, SO_OOBINLINE },
	{ SOL_SOCKET, SO_RCVLOWAT },
	{ SOL_SOCKET, SO_PRIORITY },
	{ SOL_SOCKET, SO_BUSY_POLL },
	{ SOL_SOCKET, SO_TIMESTAMP },
	{ SOL_SOCKET, SO_TIMESTAMPNS },
	{ SOL_SOCKET, SO_ZEROCOPY },
	{ SOL_SOCKET, SO_INCOMING_CPU },
	{ SOL_SOCKET, SO_BROADCAST },
	{ SOL_SOCKET, SO_RXQ_OVFL },
	{ IPPROTO_IP, IP_RECVERR },
	{ IPPROTO_IPV6, IPV6_RECVERR },
	{ IPPROTO_UDP, 103 /* UDP_SEGMENT */ },
	{ IPPROTO_UDP, 104 /* UDP_GRO */ },
	{ IPPROTO_TCP, TCP_NODELAY },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT },
	{ IPPROTO_TCP, TCP_KEEPIDLE },
	{ IPPROTO_TCP, TCP_KEEPINTVL },
	{ IPPROTO_TCP, TCP_KEEPCNT },
	{ IPPROTO_TCP, TCP_SYNCNT },
	{ IPPROTO_TCP, TCP_LINGER2 },
	{ IPPROTO_TCP, TCP_WINDOW_CLAMP },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT },
	{ IPPROTO_TCP, TCP_FASTOPEN },
	{ IPPROTO_TCP, TCP_SAVE_SYN },
	{ IPPROTO_TCP, TCP_CORK },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT },
	{ IPPROTO_TCP, TCP_MAXSEG },
	{ IPPROTO_IP, IP_TOS },
	{ IPPROTO_IP, IP_TTL },
	{ IPPROTO_IP, IP_MTU_DISCOVER },
	{ IPPROTO_IP, IP_PKTINFO },
	{ IPPROTO_IP, IP_RECVTOS },
	{ IPPROTO_IP, IP_RECVTTL },
	{ IPPROTO_IP, IP_FREEBIND },
	{ IPPROTO_IPV6, IPV6_V6ONLY },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS },
	{ IPPROTO_IPV6, IPV6_TCLASS },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO },
	{ IPPROTO_IPV6, IPV6_RECVTCLASS },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER },
};

/* getsockopt() tells twice what setsockopt() was given (socket(7)). */
static void copy_buffer(int from, int to, int name)
{
	int size = twin_option(from, SOL_SOCKET, name, 0) / 2;
	if (size != twin_option(to, SOL_SOCKET, name, 0) / 2)
		setsockopt(to, SOL_SOCKET, name, &size, sizeof(size));
}

/* Options longer than a number: timeouts, linger, the name of a congestion control. */
static void copy_bytes(int from, int to, int level, int name)
{
	char theirs[32], ours[32];
	socklen_t their_size = sizeof(theirs), our_size = sizeof(ours);
	if (getsockopt(from, level, name, theirs, &their_size) < 0 ||
	    getsockopt(to, level, name, ours, &our_size) < 0)
		return;
	if (their_size != our_size || memcmp(theirs, ours, our_size) != 0)
		setsockopt(to, level, name, theirs, their_size);
}

/* What this kernel does not let be set stays as it is: no server depends on it to answer. */
static void copy_options(int from, int to)
{
	for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
		int value = twin_option(from, copied[i].level, copied[i].name, -1);
		if (value != -1 && value != twin_option(to, copied[i].level, copied[i].name, -1))
			setsockopt(to, copied[i].level, copied[i].name, &value, sizeof(value));
	}
	copy_buffer(from, to, SO_RCVBUF);
	copy_buffer(from, to, SO_SNDBUF);
	copy_bytes(from, to, SOL_SOCKET, SO_LINGER);
	copy_bytes(from, to, SOL_SOCKET, SO_RCVTIMEO);
	copy_bytes(from, to, SOL_SOCKET, SO_SNDTIMEO);
	copy_bytes(from, to, IPPROTO_TCP, TCP_CONGESTION);
}

int twin_make(int original, int cgroup_fd)
{
	_cleanup_close_ int fd =
		socket_in_group(twin_option(original, SOL_SOCKET, SO_DOMAIN, -1),
				twin_option(original, SOL_SOCKET, SO_TYPE, -1),
				twin_option(original, SOL_SOCKET, SO_PROTOCOL, -1), cgroup_fd);
	if (fd < 0)
		return fd;
	int flags = fcntl(original, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags) < 0)
		return -errno;
	copy_options(original, fd);
	return take_fd(&fd);
}

/* ---- epoll ---- */

static void note_epoll(const char *text, int epoll_fd, int fd, struct twin_watches *watches)
{
	for (const char *line = text; (line = strstr(line, "tfd:")); line++) {
		int watched;
		unsigned events;
		unsigned long long data;
		if (sscanf(line, "tfd: %d events: %x data: %llx", &watched, &events, &data) == 3 &&
		    watched == fd && watches->count < ARRAY_SIZE(watches->list)) {
			watches->list[watches->count].epoll_fd = epoll_fd;
			watches->list[watches->count].events = events;
			watches->list[watches->count++].data = data;
		}
	}
}

void twin_note_watches(pid_t tid, int fd, struct twin_watches *ret)
{
	char path[48], text[4096];
	struct dirent *entry;
	ret->count = 0;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo", tid);
	_cleanup_closedir_ DIR *dir = fs_opendir_at(AT_FDCWD, path);
	while (dir && (entry = readdir(dir))) {
		uint32_t number;
		if (str_to_u32(entry->d_name, &number) < 0)
			continue;
		_cleanup_close_ int info = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
		ssize_t len = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
		if (len <= 0)
			continue;
		text[len] = '\0';
		note_epoll(text, (int)number, fd, ret);
	}
}

/* An instance finds a file by its number in the table of who adds it: so in a table of its own,
 * where the number is free. */
static void __attribute__((noreturn))
add_watch(const struct twin_watches *watches, size_t at, int epoll_fd, int fd, int twin)
{
	int epoll = epoll_fd == fd ? dup(epoll_fd) : epoll_fd;
	struct epoll_event event = { .events = watches->list[at].events,
				     .data.u64 = watches->list[at].data };
	if (epoll < 0 || (twin != fd && dup2(twin, fd) < 0) ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		_exit(EXIT_FAILURE);
	_exit(EXIT_SUCCESS);
}

void twin_restore_watches(const struct twin_watches *watches, int pidfd, int fd, int twin)
{
	for (size_t i = 0; i < watches->count; i++) {
		struct clone_args args = { .flags = CLONE_VFORK };
		_cleanup_close_ int epoll_fd = sys_pidfd_getfd(pidfd, watches->list[i].epoll_fd);
		if (epoll_fd < 0)
			continue;
		pid_t pid = sys_clone3(&args);
		if (pid == 0)
			add_watch(watches, i, epoll_fd, fd, twin);
		if (pid > 0)
			reap(pid);
	}
}

/* ---- what its use asks for ---- */

int twin_reuse(int fd, int on)
{
	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ? -errno : 0;
}

int twin_leave_ipv4(int fd)
{
	static const int on = 1;
	return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0 ? -errno : 0;
}

int twin_accept_foreign(int fd, int family)
{
	static const int on = 1;
	int r = family == AF_INET ? setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on))
				  : setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on));
	return r < 0 ? -errno : 0;
}
