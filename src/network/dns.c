#include "network/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "network/dns_internal.h"
#include "network/netns.h"
#include "sys/netlink.h"

#define ADDRESS	      0x7f00000bu /* 127.0.0.11 */
#define PORT	      53
#define BATCH	      32 /* queries that are read before anybody else gets his turn */
#define EVENTS_MAX    16
#define BACKLOG	      8
#define RECEIVE_BYTES 65536

/* A container that asks without end costs its monitor 5,000 answers a second, about a tenth of a
 * CPU, and nobody else anything. */
#define BUDGET	      1000
#define BUDGET_PER_MS 5
#define QUIET_MS      20

uint64_t dns_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int dns_watch(struct dns *dns, int fd, enum dns_source source, unsigned index, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = (uint64_t)source << 32 | index };
	if (epoll_ctl(dns->epoll_fd, events ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event) == 0)
		return 0;
	if (errno != EEXIST || epoll_ctl(dns->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0)
		return -errno;
	return 0;
}

void dns_arm(struct dns *dns, unsigned ms)
{
	struct itimerspec when;
	/* An earlier time stands. */
	if (timerfd_gettime(dns->timer_fd, &when) == 0 &&
	    (when.it_value.tv_sec || when.it_value.tv_nsec) &&
	    (uint64_t)when.it_value.tv_sec * 1000 + (uint64_t)when.it_value.tv_nsec / 1000000 <= ms)
		return;
	when = (struct itimerspec) { .it_value = { .tv_sec = ms / 1000,
						   .tv_nsec = (long)(ms % 1000) * 1000000 } };
	timerfd_settime(dns->timer_fd, 0, &when, NULL);
}

/* Reading the container's questions, or not. */
static void listen_up(struct dns *dns, bool on)
{
	dns->quiet = !on;
	dns_watch(dns, dns->udp_fd, DNS_UDP, 0, on ? EPOLLIN : 0);
	dns_watch(dns, dns->tcp_fd, DNS_LISTENER, 0, on ? EPOLLIN : 0);
	if (!on)
		dns_arm(dns, QUIET_MS);
}

bool dns_may_answer(struct dns *dns)
{
	uint64_t now = dns_now_ms(), more = (now - dns->budget_at) * BUDGET_PER_MS;
	if (more) {
		dns->budget = more > BUDGET - dns->budget ? BUDGET : dns->budget + (unsigned)more;
		dns->budget_at = now;
	}
	if (!dns->budget)
		return false;
	dns->budget--;
	return true;
}

void dns_spend(struct dns *dns, unsigned queries)
{
	dns->budget -= queries < dns->budget ? queries : dns->budget;
}

static void answer(struct dns *dns, const struct sockaddr_in *client, const uint8_t *query,
		   size_t len)
{
	struct dns_question question;
	struct dns_answer reply;
	int r = dns_question_parse(query, len, &question);
	if (r < 0)
		return;
	if (r == 0 && !dns_names_answer(dns, query, &question, &reply)) {
		dns_forward(dns, client, query, len, &question);
		return;
	}
	if (r > 0)
		dns_answer_begin(&reply, query, &question, (unsigned)r);
	sendto(dns->udp_fd, reply.bytes, reply.len, MSG_DONTWAIT | MSG_NOSIGNAL,
	       (const struct sockaddr *)client, sizeof(*client));
}

static void read_queries(struct dns *dns)
{
	uint8_t query[DNS_QUERY_MAX];
	for (unsigned i = 0; i < BATCH && !dns->quiet; i++) {
		struct sockaddr_in client;
		socklen_t size = sizeof(client);
		if (!dns_may_answer(dns)) {
			listen_up(dns, false);
			return;
		}
		ssize_t got = recvfrom(dns->udp_fd, query, sizeof(query), MSG_DONTWAIT | MSG_TRUNC,
				       (struct sockaddr *)&client, &size);
		if (got < 0)
			return;
		/* What is longer than any question is none of a resolver's. */
		if (size == sizeof(client) && (size_t)got <= sizeof(query))
			answer(dns, &client, query, (size_t)got);
	}
}

static void tick(struct dns *dns)
{
	uint64_t now = dns_now_ms(), expired;
	if (read(dns->timer_fd, &expired, sizeof(expired)) < 0)
		return;
	if (dns->quiet)
		listen_up(dns, true);
	dns_flights_expire(dns, now);
	dns_streams_expire(dns, now);
}

void dns_event(struct dns *dns)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(dns->epoll_fd, events, EVENTS_MAX, 0);
	for (int i = 0; i < count; i++) {
		unsigned index = (unsigned)events[i].data.u64;
		switch ((enum dns_source)(events[i].data.u64 >> 32)) {
		case DNS_UDP:
			read_queries(dns);
			break;
		case DNS_LISTENER:
			dns_stream_accept(dns);
			break;
		case DNS_TIMER:
			tick(dns);
			break;
		case DNS_FLIGHT:
			dns_flight_ready(dns, index);
			break;
		case DNS_STREAM:
		case DNS_STREAM_SERVER:
			dns_stream_ready(dns, index);
			break;
		}
	}
	/* Nothing is on its way: the memory goes back. */
	if (!dns->flights_used && !dns->streams_used)
		madvise(dns->flights, sizeof(*dns) - offsetof(struct dns, flights), MADV_DONTNEED);
}

static int bind_socket(int type, uint16_t port)
{
	static const int receive = RECEIVE_BYTES;
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(ADDRESS) };
	_cleanup_close_ int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, BACKLOG) < 0))
		return -errno;
	if (type == SOCK_DGRAM)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive));
	return take_fd(&fd);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in address = { 0 };
	socklen_t size = sizeof(address);
	return getsockname(fd, (struct sockaddr *)&address, &size) < 0 ? 0
								       : ntohs(address.sin_port);
}

static int bind_both(struct dns *dns, uint16_t port)
{
	cleanup_close(&dns->udp_fd);
	cleanup_close(&dns->tcp_fd);
	dns->udp_fd = bind_socket(SOCK_DGRAM, port);
	dns->tcp_fd = dns->udp_fd < 0 ? -1 : bind_socket(SOCK_STREAM, port);
	return dns->udp_fd < 0 ? dns->udp_fd : dns->tcp_fd < 0 ? dns->tcp_fd : 0;
}

/* In the container's namespace. Where the kernel cannot rewrite ports (CONFIG_NF_TABLES_NETDEV), it
 * is port 53 itself, which a server there then has to leave alone. */
static int make_sockets(struct dns *dns)
{
	int r = bind_both(dns, 0);
	if (r < 0)
		return r;
	_cleanup_close_ int nft = netlink_open(NETLINK_NETFILTER);
	r = nft < 0 ? nft : dns_rules_add(nft, port_of(dns->udp_fd), port_of(dns->tcp_fd));
	return r < 0 ? bind_both(dns, PORT) : 0;
}

static int enter_and_make(struct dns *dns)
{
	int own = netns_enter(dns->netns_fd);
	if (own < 0)
		return own;
	int r = make_sockets(dns), back = netns_leave(own);
	return r < 0 ? r : back;
}

int dns_server_parse(const char *text, struct dns_server *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&ret->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret->address;
	char address[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "%");
	*ret = (struct dns_server) { 0 };
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(PORT);
		ret->len = sizeof(*v4);
		return 0;
	}
	if (str_format(address, sizeof(address), "%.*s", (int)len, text) < 0 ||
	    inet_pton(AF_INET6, address, &v6->sin6_addr) != 1)
		return -EINVAL;
	/* A server that a router announced may be known on one link only. */
	if (text[len] == '%')
		v6->sin6_scope_id = if_nametoindex(text + len + 1);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(PORT);
	ret->len = sizeof(*v6);
	return 0;
}

int dns_open(const struct dns_start *start, struct dns **ret, struct masu_error *err)
{
	struct dns *dns = mmap(NULL, sizeof(*dns), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (dns == MAP_FAILED)
		return error_set(err, -ENOMEM, "out of memory");
	dns->root_fd = start->root_fd;
	dns->run_fd = start->run_fd;
	dns->epoll_fd = dns->udp_fd = dns->tcp_fd = dns->timer_fd = -1;
	dns->budget = BUDGET;
	dns->budget_at = dns_now_ms();
	dns->netns_fd = fcntl(start->netns_fd, F_DUPFD_CLOEXEC, 0);
	for (const char *const *server = start->servers;
	     server && *server && dns->own_servers < DNS_SERVERS_MAX; server++)
		dns->own_servers += dns_server_parse(*server, &dns->servers[dns->own_servers]) == 0;
	int r = dns->netns_fd < 0 ? -errno : enter_and_make(dns);
	if (r == 0) {
		dns->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		dns->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		r = dns->epoll_fd < 0 || dns->timer_fd < 0 ? -errno : 0;
	}
	if (r == 0)
		r = dns_watch(dns, dns->timer_fd, DNS_TIMER, 0, EPOLLIN);
	if (r < 0) {
		dns_close(dns);
		return error_errno(err, r, "cannot make the container's resolver at 127.0.0.11");
	}
	listen_up(dns, true);
	*ret = dns;
	return 0;
}

void dns_set_networks(struct dns *dns, const char *const *networks, size_t count, bool forward)
{
	dns->network_count = 0;
	dns->forward = forward;
	for (size_t i = 0; i < count && i < DNS_NETWORKS_MAX; i++)
		dns->network_count += str_format(dns->networks[dns->network_count],
						 sizeof(dns->networks[0]), "%s", networks[i]) == 0;
}

int dns_fd(const struct dns *dns)
{
	return dns->epoll_fd;
}

void dns_close(struct dns *dns)
{
	if (!dns)
		return;
	for (unsigned i = 0; dns->flights_used && i < DNS_FLIGHTS; i++)
		if (dns->flights[i].used)
			close(dns->flights[i].fd);
	for (unsigned i = 0; dns->streams_used && i < DNS_STREAMS; i++)
		if (dns->streams[i].used) {
			close(dns->streams[i].fd);
			cleanup_close(&dns->streams[i].server_fd);
		}
	cleanup_close(&dns->udp_fd);
	cleanup_close(&dns->tcp_fd);
	cleanup_close(&dns->timer_fd);
	cleanup_close(&dns->epoll_fd);
	cleanup_close(&dns->netns_fd);
	munmap(dns, sizeof(*dns));
}
