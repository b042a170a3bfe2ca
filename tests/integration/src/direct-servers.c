/*
 * Servers that use their listening socket in ways that must survive its replacement. Each answers a
 * connection with "ok", or with what is wrong.
 * Usage: direct-servers WAY PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int port;

static int bound(int family)
{
	const int on = 1;
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int fd = socket(family, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	return bind(fd, family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
		    family == AF_INET ? sizeof(v4) : sizeof(v6)) < 0
		       ? -1
		       : fd;
}

static void __attribute__((noreturn)) answer(int fd, const char *text)
{
	for (;;) {
		int accepted = accept(fd, NULL, NULL);
		if (accepted < 0 && errno == EAGAIN) {
			usleep(1000);
			continue;
		}
		if (accepted < 0)
			exit(1);
		dprintf(accepted, "%s\n", text);
		shutdown(accepted, SHUT_WR);
		close(accepted);
	}
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);
	getsockopt(fd, level, name, &value, &size);
	return value;
}

static void set(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof(value));
}

static void options(void)
{
	int fd = bound(AF_INET);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, SOL_SOCKET, SO_RCVBUF, 40000);
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 77);
	set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0);
	set(fd, IPPROTO_IP, IP_TTL, 44);
	struct linger linger = { 1, 3 };
	socklen_t size = sizeof(linger);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	listen(fd, 5);
	memset(&linger, 0, sizeof(linger));
	getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size);
	struct sockaddr_in own;
	size = sizeof(own);
	getsockname(fd, (struct sockaddr *)&own, &size);
	const char *wrong = !option(fd, SOL_SOCKET, SO_KEEPALIVE)	  ? "SO_KEEPALIVE"
			    : option(fd, SOL_SOCKET, SO_RCVBUF) != 80000  ? "SO_RCVBUF"
			    : !option(fd, IPPROTO_TCP, TCP_NODELAY)	  ? "TCP_NODELAY"
			    : option(fd, IPPROTO_TCP, TCP_KEEPIDLE) != 77 ? "TCP_KEEPIDLE"
			    : option(fd, IPPROTO_IP, IP_TTL) != 44	  ? "IP_TTL"
			    : linger.l_linger != 3			  ? "SO_LINGER"
			    : option(fd, SOL_SOCKET, SO_REUSEADDR) != 1	  ? "SO_REUSEADDR"
			    : ntohs(own.sin_port) != port		  ? "getsockname"
									  : "ok";
	answer(fd, wrong);
}

static void flags(int cloexec)
{
	int fd = bound(AF_INET);
	fcntl(fd, F_SETFD, cloexec ? FD_CLOEXEC : 0);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | (cloexec ? 0 : O_NONBLOCK));
	listen(fd, 5);
	int kept = !!(fcntl(fd, F_GETFD) & FD_CLOEXEC),
	    nonblock = !!(fcntl(fd, F_GETFL) & O_NONBLOCK);
	answer(fd, kept == cloexec && nonblock == !cloexec ? "ok" : "flags were lost");
}

/* What was asked of epoll before listen(2), and changed after. */
static void epoll_before(void)
{
	int fd = bound(AF_INET), epoll = epoll_create1(0);
	struct epoll_event event = { .events = 0, .data.u64 = 0x123456789abcdefULL };
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	listen(fd, 5);
	event.events = EPOLLIN;
	if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) < 0)
		answer(fd, "the epoll instance has forgotten it");
	event.data.u64 = 0;
	epoll_wait(epoll, &event, 1, -1);
	answer(fd, event.data.u64 == 0x123456789abcdefULL ? "ok" : "epoll told of something else");
}

static void dup_after(void)
{
	int fd = bound(AF_INET);
	listen(fd, 5);
	int copy = dup(fd);
	close(fd);
	listen(copy, 10); /* again, with another backlog */
	answer(copy, "ok");
}

static void forked(void)
{
	int fd = bound(AF_INET);
	listen(fd, 5);
	for (int i = 0; i < 3; i++)
		if (fork() == 0)
			answer(fd, "ok");
	close(fd);
	while (wait(NULL) > 0)
		;
}

/* Two sockets of one port, as with nginx's "reuseport": which one answers is the kernel's choice.
 */
static void reuseport(void)
{
	const char *text = "ok";
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in v4 = { .sin_family = AF_INET,
					  .sin_port = htons((uint16_t)port) };
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
		if (bind(fd, (struct sockaddr *)&v4, sizeof(v4)) < 0 || listen(fd, 5) < 0)
			text = "the second socket was refused";
		else if (fork() == 0)
			answer(fd, text);
	}
	pause();
}

/* Says who connected, and its own port. */
static void peer(void)
{
	int fd = bound(AF_INET);
	listen(fd, 5);
	for (;;) {
		struct sockaddr_in from, own;
		socklen_t size = sizeof(from);
		int accepted = accept(fd, (struct sockaddr *)&from, &size);
		size = sizeof(own);
		getsockname(accepted, (struct sockaddr *)&own, &size);
		dprintf(accepted, "%s %d\n", inet_ntoa(from.sin_addr), ntohs(own.sin_port));
		shutdown(accepted, SHUT_WR);
		close(accepted);
	}
}

/* Datagrams go back to where they came from, with the server's own port before. */
static void echo_datagrams(int family)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int fd = socket(family, SOCK_DGRAM, 0);
	if (bind(fd, family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
		 family == AF_INET ? sizeof(v4) : sizeof(v6)) < 0)
		perror("bind");
	for (;;) {
		char text[64], answer[128];
		struct sockaddr_storage from;
		socklen_t size = sizeof(from), own_size = sizeof(v6);
		ssize_t len =
			recvfrom(fd, text, sizeof(text) - 1, 0, (struct sockaddr *)&from, &size);
		if (len < 0)
			continue;
		text[len] = '\0';
		getsockname(fd, (struct sockaddr *)&v6, &own_size); /* the ports are in one place */
		len = snprintf(answer, sizeof(answer), "%d %s", ntohs(v6.sin6_port), text);
		if (sendto(fd, answer, (size_t)len, 0, (struct sockaddr *)&from, size) < 0)
			perror("sendto");
	}
}

static void unix_peer(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/tmp/socket" };
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 5) < 0 ||
	    connect(client, (struct sockaddr *)&address, sizeof(address)) < 0)
		perror("unix");
	getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	printf("uid %u %s\n", peer.uid, peer.pid == getpid() ? "own pid" : "another pid");
	fflush(stdout);
	pause();
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	const char *way = argv[1];
	port = atoi(argv[2]);
	if (strcmp(way, "options") == 0)
		options();
	else if (strcmp(way, "cloexec") == 0 || strcmp(way, "nonblock") == 0)
		flags(strcmp(way, "cloexec") == 0);
	else if (strcmp(way, "epoll-before") == 0)
		epoll_before();
	else if (strcmp(way, "dup-after") == 0)
		dup_after();
	else if (strcmp(way, "fork") == 0)
		forked();
	else if (strcmp(way, "reuseport") == 0)
		reuseport();
	else if (strcmp(way, "ipv6only") == 0) {
		int fd = bound(AF_INET6);
		listen(fd, 5);
		answer(fd, "ok");
	} else if (strcmp(way, "peer") == 0)
		peer();
	else if (strcmp(way, "udp4") == 0 || strcmp(way, "udp6") == 0)
		echo_datagrams(strcmp(way, "udp4") == 0 ? AF_INET : AF_INET6);
	else if (strcmp(way, "unix-peer") == 0)
		unix_peer();
	return 2;
}
