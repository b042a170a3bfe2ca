/*
 * Inside a container whose port 80 is direct: tries to get from the socket that listens on the
 * host, or from a connection it accepted, into the host's network. Says "held" or "breached", with
 * what happened. Usage: direct-escape WAY PORT    PORT: of a server on the host's loopback, which
 * nobody published direct-escape listen      only listens, and accepts for ever
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_in to(const char *ip, int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	inet_pton(AF_INET, ip, &address.sin_addr);
	return address;
}

/* And waits, so that the container can be looked at. */
static int verdict(int breached, const char *what)
{
	printf("%s: %s (%s)\n", breached ? "breached" : "held", what, strerror(errno));
	fflush(stdout);
	pause();
	return 0;
}

static int datagrams(void)
{
	const struct sockaddr_in any = to("0.0.0.0", 80);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0) {
		perror("bind");
		exit(1);
	}
	return fd;
}

static int sends(int fd, const char *ip, int port)
{
	const struct sockaddr_in target = to(ip, port);
	return sendto(fd, "x", 1, 0, (const struct sockaddr *)&target, sizeof(target)) == 1;
}

static int server(void)
{
	const struct sockaddr_in any = to("0.0.0.0", 80);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, 5) < 0) {
		perror("listen");
		exit(1);
	}
	return fd;
}

static void disconnect(int fd)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	if (connect(fd, &nobody, sizeof(nobody)) < 0)
		perror("connect(AF_UNSPEC)");
}

static int reaches(int fd, int port)
{
	const struct sockaddr_in target = to("127.0.0.1", port);
	return connect(fd, (const struct sockaddr *)&target, sizeof(target)) == 0;
}

static int reaches_by_fastopen(int fd, int port)
{
	const struct sockaddr_in target = to("127.0.0.1", port);
	return sendto(fd, "x", 1, MSG_FASTOPEN, (const struct sockaddr *)&target, sizeof(target)) ==
	       1;
}

/* An accepted connection does not hold its port, so that it could be bound to any other. */
static int binds(int fd)
{
	const struct sockaddr_in target = to("0.0.0.0", 2222);
	return bind(fd, (const struct sockaddr *)&target, sizeof(target)) == 0;
}

static int changes_interface(int fd)
{
	struct ifreq request = { .ifr_name = "lo" };
	/* SIOCGSKNS: the socket's namespace, to enter. */
	return ioctl(fd, 0x894C) >= 0 ||
	       (ioctl(fd, SIOCGIFFLAGS, &request) == 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0);
}

static int takes(int fd, int level, int name, const void *value, socklen_t size)
{
	if (setsockopt(fd, level, name, value, size) < 0)
		return 0;
	printf("took option %d of level %d\n", name, level);
	return 1;
}

/* Options that choose what of the host a socket uses. */
static int takes_options(int fd)
{
	const struct ip_mreqn group = { .imr_multiaddr.s_addr = htonl(0xe00000fbu),
					.imr_address.s_addr = htonl(INADDR_LOOPBACK) };
	const int one = 1;
	int count = takes(fd, SOL_SOCKET, SO_MARK, &one, sizeof(one));
	count += takes(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
	count += takes(fd, SOL_SOCKET, 62, &one, sizeof(one));
	count += takes(fd, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof(group));
	return count + takes(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group));
}

/* A spoofed source: with it, IP_PKTINFO may name any. */
static int takes_transparent(int fd)
{
	const int one = 1;
	return takes(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof(one));
}

static struct sockaddr_un door(void)
{
	return (struct sockaddr_un) { .sun_family = AF_UNIX, .sun_path = "/shared/door" };
}

/* Hands a descriptor to whoever comes to the door. */
static void pass(int fd)
{
	const struct sockaddr_un address = door();
	char room[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = room,
				  .msg_controllen = sizeof(room) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int at = socket(AF_UNIX, SOCK_STREAM, 0);
	*header = (struct cmsghdr) { .cmsg_len = CMSG_LEN(sizeof(int)),
				     .cmsg_level = SOL_SOCKET,
				     .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (bind(at, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(at, 1) < 0 ||
	    sendmsg(accept(at, NULL, NULL), &message, 0) < 0) {
		perror("pass");
		exit(1);
	}
	pause();
}

static int receive(void)
{
	const struct sockaddr_un address = door();
	char room[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = room,
				  .msg_controllen = sizeof(room) };
	int fd, at = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(at, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    recvmsg(at, &message, 0) < 0 || !CMSG_FIRSTHDR(&message)) {
		perror("receive");
		exit(1);
	}
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

int main(int argc, char **argv)
{
	const char *way = argc > 1 ? argv[1] : "listen";
	int port = argc > 2 ? atoi(argv[2]) : 0, udp = strncmp(way, "udp-", 4) == 0;
	if (strcmp(way, "received-connect") == 0) {
		int received = receive();
		disconnect(received);
		return verdict(reaches(received, port), way);
	}
	int fd = udp ? datagrams() : server();
	if (strcmp(way, "udp-send") == 0)
		return verdict(sends(fd, "127.0.0.1", port) || sends(fd, "10.9.0.2", port), way);
	if (strcmp(way, "udp-connect") == 0)
		return verdict(reaches(fd, port), way);
	if (strcmp(way, "udp-options") == 0 || strcmp(way, "options") == 0)
		return verdict(takes_options(fd) > 0, way);
	if (strcmp(way, "udp-transparent") == 0)
		return verdict(takes_transparent(fd), way);
	if (strcmp(way, "listen") == 0)
		for (;;)
			close(accept(fd, NULL, NULL));
	if (strcmp(way, "ioctl") == 0)
		return verdict(changes_interface(fd), way);
	if (strncmp(way, "accepted-", 9) == 0) {
		puts("waiting");
		fflush(stdout);
		int accepted = accept(fd, NULL, NULL);
		if (accepted < 0)
			return 1;
		fd = accepted;
		way += 9;
	}
	if (strcmp(way, "pass") == 0)
		pass(fd);
	if (strcmp(way, "options") == 0)
		return verdict(takes_options(fd) > 0, way);
	disconnect(fd);
	errno = 0;
	if (strcmp(way, "connect") == 0)
		return verdict(reaches(fd, port), way);
	if (strcmp(way, "fastopen") == 0)
		return verdict(reaches_by_fastopen(fd, port), way);
	if (strcmp(way, "bind") == 0)
		return verdict(binds(fd), way);
	if (strcmp(way, "autobind") == 0)
		return verdict(listen(fd, 5) == 0, way);
	fprintf(stderr, "no such way: %s\n", way);
	return 2;
}
