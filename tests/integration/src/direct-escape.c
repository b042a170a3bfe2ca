/*
 * Inside a container whose port 80 is direct: tries to get from the socket that listens on the
 * host, or from a connection it accepted, into the host's network. Says "held" or "breached", with
 * what happened.
 *	direct-escape WAY PORT [FAMILY]	PORT: of a server on the host's loopback, which nobody
 *published; FAMILY: 4, 6, or "mapped": IPv4 by a socket of IPv6 direct-escape listen
 *only listens, and accepts for ever
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

enum { V4, V6, MAPPED } family = V4;

struct target {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address;
	socklen_t size;
};

/* An address of either family, as sockets of this one have it. */
static struct target to(const char *ip4, const char *ip6, int port)
{
	char mapped[64];
	struct target target = { .size = sizeof(target.address.v6) };
	if (family == V4) {
		target.address.v4 = (struct sockaddr_in) { .sin_family = AF_INET,
							   .sin_port = htons((uint16_t)port) };
		inet_pton(AF_INET, ip4, &target.address.v4.sin_addr);
		target.size = sizeof(target.address.v4);
		return target;
	}
	snprintf(mapped, sizeof(mapped), "::ffff:%s", ip4);
	target.address.v6 = (struct sockaddr_in6) { .sin6_family = AF_INET6,
						    .sin6_port = htons((uint16_t)port) };
	inet_pton(AF_INET6, family == MAPPED ? mapped : ip6, &target.address.v6.sin6_addr);
	return target;
}

/* A socket bound to every address of both families, or of IPv4 alone. */
static int bound(int type)
{
	struct target any = { .address.v6.sin6_family = AF_INET6,
			      .address.v6.sin6_port = htons(80),
			      .size = sizeof(any.address.v6) };
	int fd = socket(family == V4 ? AF_INET : AF_INET6, type, 0);
	if (family == V4)
		any = to("0.0.0.0", NULL, 80);
	if (bind(fd, &any.address.any, any.size) < 0) {
		perror("bind");
		exit(1);
	}
	return fd;
}

/* And waits, so that the container can be looked at. */
static int verdict(int breached, const char *what)
{
	printf("%s: %s (%s)\n", breached ? "breached" : "held", what, strerror(errno));
	fflush(stdout);
	pause();
	return 0;
}

static int sends(int fd, const char *ip4, const char *ip6, int port, int flags)
{
	const struct target target = to(ip4, ip6, port);
	return sendto(fd, "x", 1, flags, &target.address.any, target.size) == 1;
}

static int server(void)
{
	int fd = bound(SOCK_STREAM);
	if (listen(fd, 5) < 0) {
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
	const struct target target = to("127.0.0.1", "::1", port);
	return connect(fd, &target.address.any, target.size) == 0;
}

/* An accepted connection does not hold its port, so that it could be bound to any other. */
static int binds(int fd)
{
	const struct target target = to("0.0.0.0", "::", 2222);
	return bind(fd, &target.address.any, target.size) == 0;
}

/* A connection by IPv4 of an IPv6 socket becomes one of an IPv4 socket (ipv6(7), IPV6_ADDRFORM). */
static void become_ipv4(int fd)
{
	const int four = AF_INET;
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_ADDRFORM, &four, sizeof(four)) < 0)
		perror("IPV6_ADDRFORM");
	family = V4;
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
	if (argc > 3)
		family = strcmp(argv[3], "6") == 0 ? V6 : strcmp(argv[3], "4") == 0 ? V4 : MAPPED;
	if (strcmp(way, "received-connect") == 0) {
		int received = receive();
		disconnect(received);
		return verdict(reaches(received, port), way);
	}
	int fd = udp ? bound(SOCK_DGRAM) : server();
	if (strcmp(way, "udp-send") == 0)
		return verdict(sends(fd, "127.0.0.1", "::1", port, 0) ||
				       sends(fd, "10.9.0.2", "fd09::2", port, 0),
			       way);
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
	if (strcmp(way, "addrform") == 0)
		become_ipv4(fd);
	disconnect(fd);
	errno = 0;
	if (strcmp(way, "connect") == 0 || strcmp(way, "addrform") == 0)
		return verdict(reaches(fd, port), way);
	if (strcmp(way, "fastopen") == 0)
		return verdict(sends(fd, "127.0.0.1", "::1", port, MSG_FASTOPEN), way);
	if (strcmp(way, "bind") == 0)
		return verdict(binds(fd), way);
	if (strcmp(way, "autobind") == 0)
		return verdict(listen(fd, 5) == 0, way);
	fprintf(stderr, "no such way: %s\n", way);
	return 2;
}
