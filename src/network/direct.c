#include "network/direct.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "network/direct_address.h"
#include "network/direct_guard.h"
#include "network/direct_twin.h"
#include "network/port.h"
#include "sys/fs.h"
#include "sys/socket_calls.h"
#include "sys/syscalls.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* Linux 6.9 */
#endif

struct direct_port {
	struct network_port port;
	size_t index;  /* in the endpoint */
	size_t other;  /* of two halves (direct_are_halves()) the second; else the same */
	int inside_fd; /* holds the host's port at the gateway's address as well; -1: does not */
};

struct direct {
	char id[ID_LENGTH + 1];
	struct guard guard;
	char interface[IFNAMSIZ]; /* the host's end */
	struct in_addr ipv4;
	struct in6_addr ipv6;
	size_t count;
	struct direct_port ports[GUARD_PORTS_MAX];
};

static uint64_t netns_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);
	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0 ? 0 : cookie;
}

/* What the kernel and this program think a notification is. */
static bool notifications_fit(void)
{
	struct seccomp_notif_sizes sizes;
	return syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == 0 &&
	       sizes.seccomp_notif <= sizeof(struct seccomp_notif) &&
	       sizes.seccomp_notif_resp <= sizeof(struct seccomp_notif_resp);
}

static void forget_ports(struct direct *direct)
{
	for (size_t i = 0; i < direct->count; i++)
		cleanup_close(&direct->ports[i].inside_fd);
	direct->count = 0;
}

/* Where the port is the second of two halves, which are one to a server. */
static bool join_half(struct direct *direct, const struct network_port *port, size_t index)
{
	for (size_t i = 0; i < direct->count; i++) {
		struct direct_port *first = &direct->ports[i];
		if (first->other != first->index || !direct_are_halves(&first->port, port))
			continue;
		first->other = index;
		first->port.host_ip_set = false;
		first->port.direct |= port->direct;
		return true;
	}
	return false;
}

/* Where bind(2) is not trapped a datagram server cannot be substituted. */
static void choose_ports(struct direct *direct, const struct network_endpoint *endpoint)
{
	forget_ports(direct);
	for (size_t i = 0; i < endpoint->port_count && direct->count < GUARD_PORTS_MAX; i++) {
		const struct network_port *port = &endpoint->ports[i];
		if (!network_may_be_direct(port->mode) ||
		    direct_refusal(endpoint->ports, endpoint->port_count, i) ||
		    (!direct->guard.udp && port->protocol == NETWORK_UDP) ||
		    join_half(direct, port, i))
			continue;
		direct->ports[direct->count++] = (struct direct_port) {
			.port = *port, .index = i, .other = i, .inside_fd = -1
		};
	}
}

int direct_open(const struct direct_request *request, struct direct **ret)
{
	const struct network_endpoint *endpoint = request->endpoint;
	_cleanup_close_ int probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t host = probe < 0 ? 0 : netns_of(probe);
	if (!host || !notifications_fit())
		return -EOPNOTSUPP;
	struct direct *direct = calloc(1, sizeof(*direct));
	if (!direct)
		return -ENOMEM;
	direct->guard = (struct guard) {
		.cgroup_fd = fcntl(request->cgroup_fd, F_DUPFD_CLOEXEC, 3),
		.host_netns = host,
		.addresses = { .gateway4 = endpoint->gateway4,
			       .own4 = endpoint->ipv4,
			       .has_ipv6 = endpoint->has_ipv6,
			       .gateway6 = endpoint->gateway6,
			       .own6 = endpoint->ipv6 },
		.udp = direct_wanted(endpoint->ports, endpoint->port_count, NETWORK_UDP),
		.peers_fd = -1,
	};
	str_format(direct->interface, sizeof(direct->interface), "%s", endpoint->host_interface);
	direct->ipv4 = endpoint->ipv4;
	direct->ipv6 = endpoint->ipv6;
	int r = direct->guard.cgroup_fd < 0
			? -errno
			: str_format(direct->id, sizeof(direct->id), "%s", request->container_id);
	choose_ports(direct, endpoint);
	if (r < 0) {
		direct_close(direct);
		return r;
	}
	*ret = direct;
	return 0;
}

void direct_close(struct direct *direct)
{
	if (!direct)
		return;
	forget_ports(direct);
	guard_close(&direct->guard);
	cleanup_close(&direct->guard.cgroup_fd);
	free(direct);
}

/* ---- which server of which port ---- */

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t address_size(const union address *address)
{
	return address->any.sa_family == AF_INET ? sizeof(address->v4) : sizeof(address->v6);
}

/* The families in which the translation would have led to the server: bound to every address, or
 * to the container's own. */
static unsigned families_served(const struct direct *direct, int fd, const union address *bound)
{
	const struct in6_addr *address = &bound->v6.sin6_addr;
	if (bound->any.sa_family == AF_INET) {
		uint32_t own = bound->v4.sin_addr.s_addr;
		return own == htonl(INADDR_ANY) || own == direct->ipv4.s_addr ? NETWORK_DIRECT_V4
									      : 0;
	}
	if (bound->any.sa_family != AF_INET6)
		return 0;
	if (IN6_IS_ADDR_UNSPECIFIED(address))
		return NETWORK_DIRECT_V6 |
		       (twin_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) ? 0 : NETWORK_DIRECT_V4);
	if (IN6_IS_ADDR_V4MAPPED(address)) {
		uint32_t own = address->s6_addr32[3];
		return own == htonl(INADDR_ANY) || own == direct->ipv4.s_addr ? NETWORK_DIRECT_V4
									      : 0;
	}
	return IN6_ARE_ADDR_EQUAL(address, &direct->ipv6) ? NETWORK_DIRECT_V6 : 0;
}

/* What the host's socket is bound to. */
static void host_address(const struct network_port *port, const union address *bound,
			 unsigned families, union address *ret)
{
	*ret = (union address) { .any.sa_family = bound->any.sa_family };
	if (ret->any.sa_family == AF_INET) {
		ret->v4.sin_port = htons(port->host_port);
		if (port->host_ip_set)
			ret->v4.sin_addr = port->host_ip.v4;
		return;
	}
	ret->v6.sin6_port = htons(port->host_port);
	if (port->host_ip_set && port->host_family == AF_INET6)
		ret->v6.sin6_addr = port->host_ip.v6;
	if (families != NETWORK_DIRECT_V4)
		return;
	/* An IPv6 socket that serves IPv4 only: ::ffff:a.b.c.d. */
	ret->v6.sin6_addr.s6_addr32[2] = htonl(0xffff);
	if (port->host_ip_set)
		ret->v6.sin6_addr.s6_addr32[3] = port->host_ip.v4.s_addr;
}

/* Of two IPv6 datagram sockets on a port, of which one shares it, the other one gets what comes:
 * the one that holds the port. */
static bool is_outdone(const struct network_port *port, int fd, const union address *bound)
{
	return port->protocol == NETWORK_UDP && bound->any.sa_family == AF_INET6 &&
	       twin_option(fd, SOL_SOCKET, SO_REUSEPORT, 0);
}

static struct direct_port *port_served(struct direct *direct, int fd, const union address *bound,
				       unsigned *ret_families)
{
	bool udp = twin_option(fd, SOL_SOCKET, SO_PROTOCOL, -1) == IPPROTO_UDP;
	/* sin_port and sin6_port are in the same place. */
	uint16_t number = ntohs(bound->v4.sin_port);
	unsigned families = families_served(direct, fd, bound);
	for (size_t i = 0; families && number && i < direct->count; i++) {
		const struct network_port *port = &direct->ports[i].port;
		if (port->container_port != number ||
		    port->protocol != (udp ? NETWORK_UDP : NETWORK_TCP) ||
		    is_outdone(port, fd, bound))
			continue;
		if (port->host_ip_set)
			families &= port->host_family == AF_INET ? NETWORK_DIRECT_V4
								 : NETWORK_DIRECT_V6;
		*ret_families = families;
		return families ? &direct->ports[i] : NULL;
	}
	return NULL;
}

/* ---- taking it ---- */

struct call {
	int listener_fd;
	uint64_t id;
	pid_t tid;
	int pidfd;
	int fd;	    /* of the process */
	bool binds; /* bind(2), else listen(2) */
	int backlog;
	uintptr_t address; /* in the process */
	size_t address_size;
	int original; /* the same file here */
};

static int respond(const struct call *call, int error, uint32_t flags)
{
	struct seccomp_notif_resp response = { .id = call->id, .error = error, .flags = flags };
	return ioctl(call->listener_fd, SECCOMP_IOCTL_NOTIF_SEND, &response) < 0 ? -errno : 0;
}

/* The gateway's port too: what is led from there to the loopback's is nobody else's. */
static int hold_inside(const struct direct *direct, const struct network_port *port)
{
	const struct sockaddr_in at = { .sin_family = AF_INET,
					.sin_port = htons(port->host_port),
					.sin_addr = direct->guard.addresses.gateway4 };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || !at.sin_addr.s_addr || bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
		return -EADDRNOTAVAIL;
	return take_fd(&fd);
}

/* Servers of 127.0.0.1 of the host are reached from inside as well, where that can be. */
static void lead_inside(struct direct *direct)
{
	uint16_t ports[GUARD_PORTS_MAX];
	size_t count = 0;
	for (size_t i = 0; i < direct->count; i++) {
		struct direct_port *at = &direct->ports[i];
		const struct network_port *port = &at->port;
		if (at->inside_fd < 0 && port->direct && port->protocol == NETWORK_TCP &&
		    port->host_ip_set && port->host_family == AF_INET &&
		    port->host_ip.v4.s_addr == htonl(INADDR_LOOPBACK))
			at->inside_fd = hold_inside(direct, port);
		if (at->inside_fd >= 0)
			ports[count++] = port->host_port;
	}
	if (count && address_lead_inside(direct->interface, direct->guard.addresses.gateway4, ports,
					 count) < 0)
		for (size_t i = 0; i < direct->count; i++)
			cleanup_close(&direct->ports[i].inside_fd);
}

/* A loopback address of the host is none that a container gets to. */
static bool is_loopback(const struct network_port *port)
{
	return port_is_loopback6(port) ||
	       (port->host_family == AF_INET && ntohl(port->host_ip.v4.s_addr) >> 24 == 127);
}

/* The guard must know a port as taken only when it is. What is bound to one address of the host is
 * reached there, or at the gateway's where it is led from that. */
static void list_ports(const struct direct *direct, struct guard_port ret[GUARD_PORTS_MAX])
{
	for (size_t i = 0; i < direct->count; i++) {
		const struct network_port *port = &direct->ports[i].port;
		bool at_gateway = !port_is_at_one(port) || direct->ports[i].inside_fd >= 0;
		ret[i] = (struct guard_port) {
			.protocol = port->protocol == NETWORK_UDP ? IPPROTO_UDP : IPPROTO_TCP,
			.container_port = port->container_port,
			.host_port = port->host_port,
			.taken = at_gateway || !is_loopback(port) ? port->direct : 0,
			.address = at_gateway ? NULL : port->host_ip.v6.s6_addr32,
		};
	}
}

static int guard_update(struct direct *direct)
{
	struct guard_port ports[GUARD_PORTS_MAX];
	list_ports(direct, ports);
	return guard_attach(&direct->guard, ports, direct->count);
}

int direct_moved(struct direct *direct, const struct network_endpoint *endpoint)
{
	struct guard_port ports[GUARD_PORTS_MAX];
	if (!direct)
		return 0;
	if (endpoint)
		choose_ports(direct, endpoint);
	else
		forget_ports(direct);
	lead_inside(direct);
	list_ports(direct, ports);
	int r = guard_renew(&direct->guard, ports, direct->count);
	/* No socket is handed out that the guard does not know the port of. */
	if (r < 0)
		forget_ports(direct);
	return r;
}

/* The sockets that hold the port let another one of this container in beside them, or not. */
static int open_door(const struct direct *direct, const struct direct_port *port, int open)
{
	int r = twin_reuse(port_held(direct->id, port->index), open);
	return r < 0 ? r : twin_reuse(port_held(direct->id, port->other), open);
}

/* Beside the socket that holds the port, which lets nobody else in before or after. The twin keeps
 * the option: what is left of its connections must not keep the container from starting again. */
static int bind_and_listen(const struct direct *direct, const struct direct_port *port, int twin,
			   const union address *address, int backlog)
{
	int r = open_door(direct, port, 1);
	if (r == 0)
		r = twin_reuse(twin, 1);
	if (r == 0 && port->port.protocol == NETWORK_TCP)
		r = twin_accept_foreign(twin, address->any.sa_family);
	if (r == 0 && bind(twin, &address->any, address_size(address)) < 0)
		r = -errno;
	if (r == 0 && port->port.protocol == NETWORK_TCP && listen(twin, backlog) < 0)
		r = -errno;
	(void)open_door(direct, port, 0);
	return r;
}

/* Whether the process's descriptor is closed on exec. */
static uint32_t descriptor_flags(const struct call *call)
{
	char path[64], text[512];
	unsigned flags = 0;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", call->tid, call->fd);
	int len = fs_read_small(AT_FDCWD, path, text, sizeof(text));
	const char *line = len < 0 ? NULL : strstr(text, "flags:");
	return line && sscanf(line, "flags: %o", &flags) == 1 ? flags & O_CLOEXEC : 0;
}

static int inject(const struct call *call, int twin)
{
	struct twin_watches watches;
	struct seccomp_notif_addfd add = {
		.id = call->id,
		.flags = SECCOMP_ADDFD_FLAG_SETFD,
		.srcfd = (uint32_t)twin,
		.newfd = (uint32_t)call->fd,
		.newfd_flags = descriptor_flags(call),
	};
	twin_note_watches(call->tid, call->fd, &watches);
	if (ioctl(call->listener_fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0)
		return -errno;
	if (watches.count)
		twin_restore_watches(&watches, call->pidfd, call->fd, twin);
	return 0;
}

/* Of two halves each is told of its own family. */
static int tell(const struct direct_port *port, unsigned families,
		int (*taken)(void *, size_t, unsigned), void *opaque)
{
	if (port->other == port->index)
		return taken(opaque, port->index, families);
	unsigned own = port->port.host_family == AF_INET ? NETWORK_DIRECT_V4 : NETWORK_DIRECT_V6;
	int r = families & own ? taken(opaque, port->index, own) : 0;
	return r == 0 && families & ~own ? taken(opaque, port->other, families & ~own) : r;
}

/* true: the server listens on the host, or has been told why it cannot. */
static bool substitute(struct direct *direct, const struct call *call, const union address *bound,
		       int (*taken)(void *, size_t, unsigned), void *opaque)
{
	union address address;
	unsigned families = 0;
	struct direct_port *port = port_served(direct, call->original, bound, &families);
	if (!port)
		return false;
	unsigned before = port->port.direct;
	_cleanup_close_ int twin = twin_make(call->original, direct->guard.cgroup_fd);
	int r = twin < 0 ? twin : 0;
	if (r == 0 && !direct->guard.attached && (r = guard_update(direct)) < 0)
		(void)taken(opaque, port->index, 0);
	host_address(&port->port, bound, families, &address);
	if (r == 0 && families == NETWORK_DIRECT_V6)
		r = twin_leave_ipv4(twin);
	if (r == 0)
		r = bind_and_listen(direct, port, twin, &address, call->backlog);
	if (r == -EADDRINUSE && before & families) {
		/* The container's earlier server, which it could not have bound beside either. */
		respond(call, r, 0);
		return true;
	}
	port->port.direct |= families;
	if (r == 0 && port->port.direct != before)
		lead_inside(direct);
	if (r == 0 && port->port.direct != before)
		r = guard_update(direct);
	if (r == 0 && port->port.direct != before)
		r = tell(port, families, taken, opaque);
	if (r == 0)
		r = inject(call, twin);
	if (r == 0) {
		respond(call, 0, 0);
		return true;
	}
	port->port.direct = before;
	log_debug("port %u stays translated: %s", port->port.container_port, strerror(-r));
	return false;
}

/* ---- calls ---- */

/*
 * listen() on the very file, from here: what the process has under that number by now does not
 * matter. A Unix socket remembers who listens (SO_PEERCRED), so that call goes on in the process.
 */
static void listen_here(const struct direct *direct, const struct call *call)
{
	int domain = twin_option(call->original, SOL_SOCKET, SO_DOMAIN, -1);
	if (domain != AF_INET && domain != AF_INET6) {
		respond(call, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
		return;
	}
	/* A listener of the host may get another backlog; what was accepted and then disconnected
	 * would listen on a port that the kernel chooses. */
	if (netns_of(call->original) == direct->guard.host_netns &&
	    !twin_option(call->original, SOL_SOCKET, SO_ACCEPTCONN, 0) &&
	    !fault_without("direct-listen")) {
		respond(call, -EACCES, 0);
		return;
	}
	respond(call, listen(call->original, call->backlog) < 0 ? -errno : 0, 0);
}

/* What a server's socket is, or is about to be, bound to; false: it is none that can be
 * substituted. */
static bool read_server(const struct direct *direct, const struct call *call, union address *ret)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info), bound_size = sizeof(*ret);
	int fd = call->original, protocol = twin_option(fd, SOL_SOCKET, SO_PROTOCOL, -1);
	int domain = twin_option(fd, SOL_SOCKET, SO_DOMAIN, -1);
	*ret = (union address) { 0 };
	if ((domain != AF_INET && domain != AF_INET6) || netns_of(fd) == direct->guard.host_netns ||
	    getsockname(fd, &ret->any, &bound_size) < 0)
		return false;
	if (!call->binds)
		return protocol == IPPROTO_TCP &&
		       getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
		       info.tcpi_state == TCP_CLOSE;
	if (protocol != IPPROTO_UDP || ret->v4.sin_port)
		return false;
	/* A copy, and this copy is what is acted on. */
	*ret = (union address) { 0 };
	const struct iovec to = { ret, sizeof(*ret) };
	const struct iovec from = { (void *)call->address, call->address_size < sizeof(*ret)
								   ? call->address_size
								   : sizeof(*ret) };
	return process_vm_readv(call->tid, &to, 1, &from, 1, 0) == (ssize_t)from.iov_len &&
	       ret->any.sa_family == domain && from.iov_len >= address_size(ret);
}

/* The arguments of socketcall(2) are in memory. */
static int read_arguments(const struct seccomp_notif *notification, uint32_t word, uint64_t ret[3])
{
	uint64_t raw[3];
	const struct iovec to = { raw, 3 * word };
	const struct iovec from = { (void *)(uintptr_t)notification->data.args[1], 3 * word };
	ssize_t got = process_vm_readv((pid_t)notification->pid, &to, 1, &from, 1, 0);
	/* listen() has two, which may be the last in their page. */
	if (got < (ssize_t)(2 * word))
		return -EFAULT;
	for (size_t i = 0; i < 3; i++)
		ret[i] = (ssize_t)((i + 1) * word) > got ? 0
			 : word == 4			 ? ((uint32_t *)raw)[i]
							 : raw[i];
	return 0;
}

static int read_call(const struct seccomp_notif *notification, struct call *call)
{
	const struct seccomp_data *data = &notification->data;
	uint64_t arguments[3] = { data->args[0], data->args[1], data->args[2] };
	uint32_t number = (uint32_t)data->nr;
	int r = 0;
	for (size_t i = 0; i < ARRAY_SIZE(socket_calls) && r == 0; i++) {
		const struct socket_calls *calls = &socket_calls[i];
		if (data->arch != calls->arch)
			continue;
		call->binds |= number == calls->bind;
		if (calls->socketcall && number == calls->socketcall) {
			call->binds = (uint32_t)data->args[0] == SOCKETCALL_BIND;
			r = read_arguments(notification, calls->word, arguments);
		}
	}
	call->fd = (int)arguments[0];
	call->backlog = (int)arguments[1];
	call->address = (uintptr_t)arguments[1];
	call->address_size = (uint32_t)arguments[2];
	return r;
}

/* Before Linux 6.9 only a process's first thread can be opened; another one's call goes on as it
 * is. */
static int open_thread(pid_t tid)
{
	int fd = sys_pidfd_open(tid, PIDFD_THREAD);
	return fd == -EINVAL ? sys_pidfd_open(tid, 0) : fd;
}

int direct_answer(struct direct *direct, int listener_fd, int (*taken)(void *, size_t, unsigned),
		  void *opaque)
{
	struct seccomp_notif notification = { 0 };
	if (ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_RECV, &notification) < 0)
		return errno == ENOENT || errno == EINTR ? 0 : -errno;
	struct call call = { .listener_fd = listener_fd,
			     .id = notification.id,
			     .tid = (pid_t)notification.pid };
	if (!direct)
		return respond(&call, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE) == -EBADF ? -EBADF : 0;
	int r = read_call(&notification, &call);
	_cleanup_close_ int pidfd = open_thread(call.tid);
	_cleanup_close_ int original = r < 0	   ? r
				       : pidfd < 0 ? pidfd
						   : sys_pidfd_getfd(pidfd, call.fd);
	/* The id is good as long as the call waits, and so does the pid. */
	if (ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &call.id) < 0)
		return 0;
	call.pidfd = pidfd;
	call.original = original;
	union address bound;
	if (original >= 0 && read_server(direct, &call, &bound) &&
	    substitute(direct, &call, &bound, taken, opaque))
		return 0;
	if (original >= 0 && !call.binds)
		listen_here(direct, &call);
	else
		respond(&call, original == -EBADF ? original : 0,
			original == -EBADF ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE);
	return 0;
}
