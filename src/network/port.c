#include "network/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"

static const char *const protocol_names[] = {
	[NETWORK_TCP] = "tcp",
	[NETWORK_UDP] = "udp",
	[NETWORK_SCTP] = "sctp",
};

const char *port_protocol_name(enum network_protocol protocol)
{
	return protocol_names[protocol];
}

int port_protocol_parse(const char *name, enum network_protocol *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocol_names); i++) {
		if (streq(name, protocol_names[i])) {
			*ret = (enum network_protocol)i;
			return 0;
		}
	}
	return -EINVAL;
}

static const char *host_text(const struct network_port *port, char *dst, size_t size)
{
	if (!port->host_ip_set)
		return "0.0.0.0";
	return inet_ntop(port->host_family, &port->host_ip, dst, (socklen_t)size);
}

int port_conflict(const struct network_port *port, struct masu_error *err)
{
	char text[INET6_ADDRSTRLEN];
	const char *host = host_text(port, text, sizeof(text));
	bool v6 = port->host_ip_set && port->host_family == AF_INET6;
	return error_set(err, -EADDRINUSE, "Bind for %s%s%s:%u failed: port is already allocated",
			 v6 ? "[" : "", host, v6 ? "]" : "", port->host_port);
}

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t len;
};

static struct address port_address(const struct network_port *port, int family)
{
	struct address address = { 0 };
	if (family == AF_INET) {
		address.v4.sin_family = AF_INET;
		address.v4.sin_port = htons(port->host_port);
		if (port->host_ip_set)
			address.v4.sin_addr = port->host_ip.v4;
		address.len = sizeof(address.v4);
	} else {
		address.v6.sin6_family = AF_INET6;
		address.v6.sin6_port = htons(port->host_port);
		if (port->host_ip_set)
			address.v6.sin6_addr = port->host_ip.v6;
		address.len = sizeof(address.v6);
	}
	return address;
}

static int bind_port(const struct network_port *port, int family, uint16_t *ret_port)
{
	static const struct {
		int type, protocol;
	} sockets[] = {
		[NETWORK_TCP] = { SOCK_STREAM, IPPROTO_TCP },
		[NETWORK_UDP] = { SOCK_DGRAM, IPPROTO_UDP },
		[NETWORK_SCTP] = { SOCK_STREAM, IPPROTO_SCTP },
	};
	_cleanup_close_ int fd = socket(family, sockets[port->protocol].type | SOCK_CLOEXEC,
					sockets[port->protocol].protocol);
	if (fd < 0)
		return -errno;
	static const int on = 1;
	if (family == AF_INET6 && port->host_ip_set &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	struct address address = port_address(port, family);
	if (bind(fd, &address.any, address.len) < 0) {
		/* Connections of an earlier server that have not timed out yet do not count. */
		if (errno != EADDRINUSE || port->protocol != NETWORK_TCP ||
		    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		    bind(fd, &address.any, address.len) < 0)
			return -errno;
	}
	if (port->host_port == 0) {
		if (getsockname(fd, &address.any, &address.len) < 0)
			return -errno;
		*ret_port = ntohs(family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
	}
	return take_fd(&fd);
}

/* No errno: the port cannot be held, and need not be. */
#define NOT_HELD (-4096)

static int hold_one(struct network_port *port, struct masu_error *err)
{
	/* Without an address one IPv6 socket holds the port of both families. */
	int family = port->host_ip_set ? port->host_family : AF_INET6;
	uint16_t chosen = port->host_port;
	int fd = bind_port(port, family, &chosen);
	if (fd == -EAFNOSUPPORT && !port->host_ip_set)
		fd = bind_port(port, AF_INET, &chosen);
	/* A host without SCTP sockets still translates SCTP, if the number is given. */
	if (fd == -EPROTONOSUPPORT && port->protocol == NETWORK_SCTP && port->host_port)
		return NOT_HELD;
	if (fd == -EADDRINUSE)
		return port_conflict(port, err);
	if (fd < 0) {
		char text[INET6_ADDRSTRLEN];
		return error_errno(err, fd, "cannot publish %s:%u/%s",
				   host_text(port, text, sizeof(text)), port->host_port,
				   protocol_names[port->protocol]);
	}
	port->host_port = chosen;
	return fd;
}

static void allow_files(size_t count)
{
	struct rlimit limit;
	if (count < 512 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/*
 * What this process holds. Not in the arena of the connection: the monitor gives that back while
 * the container runs.
 */
struct hold {
	struct hold *next;
	char id[ID_LENGTH + 1];
	size_t count;
	int fds[];
};

static struct hold *holds;

static void hold_free(struct hold *hold)
{
	for (size_t i = 0; i < hold->count; i++)
		cleanup_close(&hold->fds[i]);
	free(hold);
}

int port_hold(const char *id, struct network_port *ports, size_t count, struct masu_error *err)
{
	if (count == 0)
		return 0;
	struct hold *hold = calloc(1, sizeof(*hold) + count * sizeof(hold->fds[0]));
	if (!hold)
		return error_errno(err, -ENOMEM, "published ports");
	(void)str_format(hold->id, sizeof(hold->id), "%s", id);
	allow_files(count);
	for (size_t i = 0; i < count; i++) {
		int fd = hold_one(&ports[i], err);
		if (fd < 0 && fd != NOT_HELD) {
			hold_free(hold);
			return fd;
		}
		hold->fds[hold->count++] = fd;
	}
	hold->next = holds;
	holds = hold;
	return 0;
}

static struct hold *hold_of(const char *id)
{
	struct hold *hold = holds;
	while (hold && !streq(hold->id, id))
		hold = hold->next;
	return hold;
}

int port_hold_again(const char *id, struct network_port *ports, size_t count, const int *kept,
		    struct masu_error *err)
{
	struct hold *old = hold_of(id);
	struct hold *hold = calloc(1, sizeof(*hold) + (count + 1) * sizeof(hold->fds[0]));
	if (!hold)
		return error_errno(err, -ENOMEM, "published ports");
	(void)str_format(hold->id, sizeof(hold->id), "%s", id);
	allow_files(count);
	for (; hold->count < count; hold->count++) {
		size_t i = hold->count;
		int fd = kept[i] < 0 ? hold_one(&ports[i], err) : NOT_HELD;
		if (fd < 0 && fd != NOT_HELD) {
			hold_free(hold);
			return fd;
		}
		hold->fds[i] = fd;
	}
	for (size_t i = 0; i < count; i++)
		if (old && kept[i] >= 0 && (size_t)kept[i] < old->count)
			hold->fds[i] = take_fd(&old->fds[kept[i]]);
	port_release(id);
	hold->next = holds;
	holds = hold;
	return 0;
}

int port_held(const char *id, size_t index)
{
	const struct hold *hold = hold_of(id);
	return hold && index < hold->count && hold->fds[index] >= 0 ? hold->fds[index] : -ENOENT;
}

void port_release(const char *id)
{
	for (struct hold **at = &holds; *at;) {
		struct hold *hold = *at;
		if (streq(hold->id, id)) {
			*at = hold->next;
			hold_free(hold);
		} else {
			at = &hold->next;
		}
	}
}

void port_put_line(struct buf *out, const struct network_port *port)
{
	char text[INET6_ADDRSTRLEN] = "*";
	if (port->host_ip_set)
		inet_ntop(port->host_family, &port->host_ip, text, sizeof(text));
	buf_printf(out, "%s %s %u %u", protocol_names[port->protocol], text, port->host_port,
		   port->container_port);
	if (port->bpf)
		buf_puts(out, " bpf");
	if (port->direct)
		buf_printf(out, " direct%u", port->direct);
	buf_putc(out, '\n');
}

int port_parse_line(const char *line, struct network_port *ret)
{
	char protocol[8], host[INET6_ADDRSTRLEN];
	unsigned host_port, container_port;
	struct network_port port = { 0 };
	int end = 0, more = 0;
	if (sscanf(line, "%7s %45s %5u %5u%n", protocol, host, &host_port, &container_port, &end) !=
	    4)
		return -EINVAL;
	const char *rest = str_after(line + end, " bpf");
	port.bpf = rest != NULL;
	if (!rest)
		rest = line + end;
	if ((*rest && (sscanf(rest, " direct%1u%n", &port.direct, &more) != 1 || rest[more] ||
		       port.direct > (NETWORK_DIRECT_V4 | NETWORK_DIRECT_V6))) ||
	    host_port == 0 || host_port > UINT16_MAX || container_port == 0 ||
	    container_port > UINT16_MAX || port_protocol_parse(protocol, &port.protocol) < 0)
		return -EINVAL;
	port.host_port = (uint16_t)host_port;
	port.container_port = (uint16_t)container_port;
	port.host_ip_set = !streq(host, "*");
	if (port.host_ip_set) {
		port.host_family = strchr(host, ':') ? AF_INET6 : AF_INET;
		if (inet_pton(port.host_family, host, &port.host_ip) != 1)
			return -EINVAL;
	}
	*ret = port;
	return 0;
}
