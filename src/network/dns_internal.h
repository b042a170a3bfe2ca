/* What the resolver's files share: dns.c (sockets and the loop), dns_names.c (what is known here),
 * dns_forward.c (what is asked elsewhere), dns_tcp.c, dns_rules.c. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "network/dns.h"
#include "network/dns_message.h"

#define DNS_QUERY_MAX 512
#define DNS_REPLY_MAX 4096
#define DNS_FLIGHTS   32
#define DNS_STREAMS   8

/* What an event is about; the index is in the lower half. */
enum dns_source { DNS_UDP, DNS_LISTENER, DNS_TIMER, DNS_FLIGHT, DNS_STREAM, DNS_STREAM_SERVER };

struct dns_server {
	struct sockaddr_storage address;
	socklen_t len;
};

/* A query that a server has been asked. All zero: unused. */
struct dns_flight {
	bool used;
	int fd;
	unsigned attempt; /* which server, counted from the first */
	uint64_t deadline;
	struct sockaddr_in client;
	uint16_t client_id, id;
	size_t end, len;
	uint8_t query[DNS_QUERY_MAX];
};

enum dns_stream_state { STREAM_READ, STREAM_ANSWER, STREAM_ASK, STREAM_RELAY };

/* A client that came by TCP. */
struct dns_stream {
	bool used;
	int fd, server_fd; /* server_fd -1: none */
	enum dns_stream_state state;
	uint64_t deadline;
	size_t in_len, in_sent, out_len, out_sent;
	size_t left; /* of the server's answer */
	bool sized;  /* whether that is known */
	uint8_t in[2 + DNS_QUERY_MAX];
	uint8_t out[2 + DNS_REPLY_MAX];
};

struct dns {
	int root_fd, run_fd, netns_fd, epoll_fd, udp_fd, tcp_fd, timer_fd;
	bool forward, quiet; /* quiet: nothing is read until the timer says so */
	unsigned own_servers;
	struct dns_server servers[DNS_SERVERS_MAX];
	size_t network_count;
	char networks[DNS_NETWORKS_MAX][64];
	unsigned turn; /* of names with several addresses */
	uint64_t budget_at;
	unsigned budget; /* queries that may be answered now */
	unsigned flights_used, streams_used;
	/* Big and seldom touched. */
	struct dns_flight flights[DNS_FLIGHTS] __attribute__((aligned(4096)));
	struct dns_stream streams[DNS_STREAMS];
};

uint64_t dns_now_ms(void);
int dns_watch(struct dns *dns, int fd, enum dns_source source, unsigned index, uint32_t events);
/* The timer fires after at most @ms. */
void dns_arm(struct dns *dns, unsigned ms);
/* False where the container has asked too much for now. */
bool dns_may_answer(struct dns *dns);
/* The answer takes as much as @queries that are easy to answer. */
void dns_spend(struct dns *dns, unsigned queries);

/* Answers what is known here: true, with @answer. */
bool dns_names_answer(struct dns *dns, const uint8_t *query, const struct dns_question *question,
		      struct dns_answer *answer);

/* An address ("fe80::1%eth0" too), and port 53. -EINVAL. */
int dns_server_parse(const char *text, struct dns_server *ret);
/* A connected, non-blocking socket to the @attempt-th server; -ENOENT: there is none. */
int dns_server_socket(struct dns *dns, unsigned attempt, int type);
/* Hands a query on; what cannot be is dropped or answered with a failure. */
void dns_forward(struct dns *dns, const struct sockaddr_in *client, const uint8_t *query,
		 size_t len, const struct dns_question *question);
void dns_flight_ready(struct dns *dns, unsigned index);
void dns_flights_expire(struct dns *dns, uint64_t now);

void dns_stream_accept(struct dns *dns);
void dns_stream_ready(struct dns *dns, unsigned index);
void dns_streams_expire(struct dns *dns, uint64_t now);

/* Rules of the namespace that @nft_fd is of: port 53 of 127.0.0.11 leads to these ports, and what
 * they answer comes from 53. */
int dns_rules_add(int nft_fd, uint16_t udp_port, uint16_t tcp_port);
