/* A relay in user space, as docker-proxy is: for each port a process that takes connections, for
 * each direction of one another, which moves what arrives by splice(2); datagrams are copied. */
#include "probe/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DATAGRAM_MAX 65536
#define CLIENTS_MAX  64
#define PIPE_SIZE    (1 << 16)

static int address_of(const char *host, unsigned short port, struct sockaddr_in *ret)
{
	*ret = (struct sockaddr_in) { .sin_family = AF_INET, .sin_port = htons(port) };
	return inet_pton(AF_INET, host, &ret->sin_addr) == 1;
}

static int open_socket(int type, const struct sockaddr_in *address, int listening)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	const struct sockaddr *plain = (const struct sockaddr *)address;
	if (listening ? bind(fd, plain, sizeof(*address)) < 0 ||
				(type == SOCK_STREAM && listen(fd, 512) < 0)
		      : connect(fd, plain, sizeof(*address)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* One direction, until its sender is through. */
static void move(int from, int to)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	for (;;) {
		ssize_t n = splice(from, NULL, ends[1], NULL, PIPE_SIZE, SPLICE_F_MOVE);
		if (n <= 0)
			break;
		while (n > 0) {
			ssize_t sent = splice(ends[0], NULL, to, NULL, (size_t)n, SPLICE_F_MOVE);
			if (sent <= 0)
				return;
			n -= sent;
		}
	}
	shutdown(to, SHUT_WR);
}

/* A process of ours dies with the one that started it. */
static int child(void)
{
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid == 0;
}

static void connection(int client, const struct sockaddr_in *target)
{
	int one = 1, server = open_socket(SOCK_STREAM, target, 0);
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (server < 0)
		return;
	if (child()) {
		move(server, client);
		_exit(0);
	}
	move(client, server);
	/* The other direction may go on for longer; ended children are not kept, so this fails
	 * then. */
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

static void relay_stream(const struct sockaddr_in *at, const struct sockaddr_in *target)
{
	int fd = open_socket(SOCK_STREAM, at, 1);
	while (fd >= 0) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (client < 0 && errno != EINTR && errno != ECONNABORTED)
			return;
		if (client >= 0 && child()) {
			close(fd);
			connection(client, target);
			_exit(0);
		}
		close(client);
	}
}

/* A client of datagrams has a socket of its own, by which its answers are known. */
static nfds_t client_of(const struct sockaddr_in *from, const struct sockaddr_in *target,
			struct sockaddr_in *clients, struct pollfd *fds, nfds_t *count)
{
	for (nfds_t i = 1; i < *count; i++)
		if (clients[i].sin_addr.s_addr == from->sin_addr.s_addr &&
		    clients[i].sin_port == from->sin_port)
			return i;
	int fd = *count > CLIENTS_MAX ? -1 : open_socket(SOCK_DGRAM, target, 0);
	if (fd < 0)
		return 0;
	clients[*count] = *from;
	fds[*count] = (struct pollfd) { .fd = fd, .events = POLLIN };
	return (*count)++;
}

static void relay_datagrams(const struct sockaddr_in *at, const struct sockaddr_in *target)
{
	static char data[DATAGRAM_MAX];
	struct sockaddr_in clients[CLIENTS_MAX + 1];
	struct pollfd fds[CLIENTS_MAX + 1] = { { .fd = open_socket(SOCK_DGRAM, at, 1),
						 .events = POLLIN } };
	nfds_t count = 1;
	while (fds[0].fd >= 0) {
		if (poll(fds, count, -1) < 0 && errno != EINTR)
			return;
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		if (fds[0].revents) {
			ssize_t n = recvfrom(fds[0].fd, data, sizeof(data), MSG_DONTWAIT,
					     (struct sockaddr *)&from, &size);
			nfds_t i = n < 0 ? 0 : client_of(&from, target, clients, fds, &count);
			if (i)
				send(fds[i].fd, data, (size_t)n, 0);
		}
		for (nfds_t i = 1; i < count; i++) {
			if (!fds[i].revents)
				continue;
			ssize_t n = recv(fds[i].fd, data, sizeof(data), MSG_DONTWAIT);
			if (n >= 0)
				sendto(fds[0].fd, data, (size_t)n, 0,
				       (struct sockaddr *)&clients[i], sizeof(clients[i]));
		}
	}
}

/* relay HOST TARGET PORT...: what comes to HOST at these ports, TCP and UDP, goes to TARGET. */
int probe_relay(int argc, char **argv)
{
	struct sockaddr_in at, target;
	if (argc < 4)
		return 2;
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	for (int i = 3; i < argc; i++) {
		unsigned short port = (unsigned short)probe_number(argv[i]);
		if (!address_of(argv[1], port, &at) || !address_of(argv[2], port, &target))
			return 2;
		if (child()) {
			relay_datagrams(&at, &target);
			_exit(probe_failed("relaying datagrams"));
		}
		if (child()) {
			relay_stream(&at, &target);
			_exit(probe_failed("relaying"));
		}
	}
	for (;;)
		pause();
}
