/* What is asked elsewhere: the host's servers, whichever they are at that moment, from the host's
 * namespace (so 127.0.0.53 is as good as any); those of --dns from the container's own. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "network/dns_internal.h"
#include "network/netns.h"
#include "sys/fs.h"

#define PATIENCE_MS  2000 /* with each server */
#define TICK_MS	     250
#define RESOLV_BYTES 4096

/* The @wanted-th "nameserver" line of the host's resolv.conf. */
static int host_server(unsigned wanted, struct dns_server *ret)
{
	char text[RESOLV_BYTES];
	unsigned seen = 0;
	if (fs_read_small(AT_FDCWD, "/etc/resolv.conf", text, sizeof(text)) < 0)
		return -ENOENT;
	char *save = NULL;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char word[INET6_ADDRSTRLEN + 1 + IFNAMSIZ];
		const char *rest = str_after(line, "nameserver");
		if (!rest || (*rest != ' ' && *rest != '\t'))
			continue;
		rest += strspn(rest, " \t");
		if (str_format(word, sizeof(word), "%.*s", (int)strcspn(rest, " \t"), rest) < 0 ||
		    dns_server_parse(word, ret) < 0)
			continue;
		if (seen++ == wanted)
			return 0;
	}
	return -ENOENT;
}

static int make_socket(const struct dns_server *server, int type)
{
	_cleanup_close_ int fd =
		socket(server->address.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || (connect(fd, (const struct sockaddr *)&server->address, server->len) < 0 &&
		       errno != EINPROGRESS))
		return -errno;
	return take_fd(&fd);
}

int dns_server_socket(struct dns *dns, unsigned attempt, int type)
{
	struct dns_server server;
	if (!dns->own_servers) {
		int r = attempt < DNS_SERVERS_MAX ? host_server(attempt, &server) : -ENOENT;
		return r < 0 ? r : make_socket(&server, type);
	}
	if (attempt >= dns->own_servers)
		return -ENOENT;
	int own = netns_enter(dns->netns_fd);
	if (own < 0)
		return own;
	int fd = make_socket(&dns->servers[attempt], type);
	if (netns_leave(own) < 0) {
		cleanup_close(&fd);
		return -EIO;
	}
	return fd;
}

static void reply(struct dns *dns, const struct sockaddr_in *client, const void *bytes, size_t len)
{
	sendto(dns->udp_fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL,
	       (const struct sockaddr *)client, sizeof(*client));
}

static void reply_code(struct dns *dns, const struct sockaddr_in *client, const uint8_t *query,
		       const struct dns_question *question, unsigned code, bool truncated)
{
	struct dns_answer answer;
	dns_answer_begin(&answer, query, question, code);
	if (truncated)
		dns_answer_truncate(&answer);
	reply(dns, client, answer.bytes, answer.len);
}

static void flight_end(struct dns *dns, struct dns_flight *flight)
{
	cleanup_close(&flight->fd);
	flight->used = false;
	dns->flights_used--;
}

/* Asks the next server that can be asked; without one the client is told so. */
static void ask(struct dns *dns, struct dns_flight *flight)
{
	unsigned index = (unsigned)(flight - dns->flights);
	for (; flight->attempt < DNS_SERVERS_MAX; flight->attempt++) {
		cleanup_close(&flight->fd);
		flight->fd = dns_server_socket(dns, flight->attempt, SOCK_DGRAM);
		if (flight->fd < 0 ||
		    getrandom(&flight->id, sizeof(flight->id), 0) != sizeof(flight->id))
			continue;
		flight->query[0] = (uint8_t)(flight->id >> 8);
		flight->query[1] = (uint8_t)flight->id;
		if (send(flight->fd, flight->query, flight->len, MSG_NOSIGNAL) < 0 ||
		    dns_watch(dns, flight->fd, DNS_FLIGHT, index, EPOLLIN) < 0)
			continue;
		flight->deadline = dns_now_ms() + PATIENCE_MS;
		dns_arm(dns, TICK_MS);
		return;
	}
	const struct dns_question question = { .id = flight->client_id, .end = flight->end };
	reply_code(dns, &flight->client, flight->query, &question, DNS_FAILURE, false);
	flight_end(dns, flight);
}

void dns_forward(struct dns *dns, const struct sockaddr_in *client, const uint8_t *query,
		 size_t len, const struct dns_question *question)
{
	unsigned index = 0;
	if (!dns->forward) {
		reply_code(dns, client, query, question, DNS_FAILURE, false);
		return;
	}
	while (index < DNS_FLIGHTS && dns->flights[index].used)
		index++;
	/* Too many at once: who asks again is served. */
	if (index == DNS_FLIGHTS)
		return;
	struct dns_flight *flight = &dns->flights[index];
	*flight = (struct dns_flight) { .used = true,
					.fd = -1,
					.client = *client,
					.client_id = question->id,
					.end = question->end,
					.len = len };
	memcpy(flight->query, query, len);
	dns->flights_used++;
	ask(dns, flight);
}

void dns_flight_ready(struct dns *dns, unsigned index)
{
	uint8_t bytes[DNS_REPLY_MAX];
	struct dns_flight *flight = &dns->flights[index];
	if (!flight->used)
		return;
	ssize_t got = recv(flight->fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0) { /* nobody listens there */
		flight->attempt++;
		ask(dns, flight);
		return;
	}
	bool whole = (size_t)got <= sizeof(bytes);
	if (!dns_is_reply(bytes, whole ? (size_t)got : sizeof(bytes), flight->query, flight->end,
			  flight->id))
		return; /* somebody else's; ours may still come */
	if (whole) {
		bytes[0] = (uint8_t)(flight->client_id >> 8);
		bytes[1] = (uint8_t)flight->client_id;
		reply(dns, &flight->client, bytes, (size_t)got);
	} else {
		const struct dns_question question = { .id = flight->client_id,
						       .end = flight->end };
		reply_code(dns, &flight->client, flight->query, &question, DNS_OK, true);
	}
	flight_end(dns, flight);
}

void dns_flights_expire(struct dns *dns, uint64_t now)
{
	for (unsigned i = 0; dns->flights_used && i < DNS_FLIGHTS; i++) {
		struct dns_flight *flight = &dns->flights[i];
		if (!flight->used || now < flight->deadline)
			continue;
		flight->attempt++;
		ask(dns, flight);
	}
	if (dns->flights_used)
		dns_arm(dns, TICK_MS);
}
