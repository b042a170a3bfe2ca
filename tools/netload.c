/*
 * A server and a client that time what a network path costs: tools/bench-net puts both ends in
 * place.
 *
 * Usage: netload serve PORT             echo on TCP and UDP at PORT, a sink on TCP at PORT + 1
 *        netload time [-n ROUNDS] FILE  FILE: a case a line, "name<TAB>address<TAB>port[<TAB>redis
 *                                       port]"; the first is what ratios refer to
 *
 * Each round takes all cases, in shuffled order. Latencies are medians over all that was timed, so
 * a busy machine widens them little. Connections are closed with RST: TIME_WAIT would fill the
 * table of the client's ports and make later connects dearer. Both ends want to be on one CPU
 * (taskset): across CPUs the wake-up of a sleeping CPU hides what is measured.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CASES    16
#define TRANSACTIONS 400 /* a round */
#define CONNECTS     100
#define BULK_BYTES   (32u << 20)
#define BLOCK	     (64u << 10)

enum { TCP_RR, UDP_RR, CONNECT, BULK, REDIS, TESTS };
static const struct {
	const char *title;
	size_t samples; /* a round */
} tests[TESTS] = { { "TCP RR us", TRANSACTIONS },
		   { "UDP RR us", TRANSACTIONS },
		   { "connect us", CONNECTS },
		   { "bulk MB/s", 1 },
		   { "redis GET us", TRANSACTIONS } };

struct series {
	double *values;
	size_t count;
};
struct bench_case {
	char name[64], address[64];
	int port, redis_port;
	struct series series[TESTS];
};

static char block[BLOCK];

static void die(const char *what)
{
	fprintf(stderr, "netload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* ---- server ---- */

static int open_server(int type, int port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_port = htons((uint16_t)port) };
	const int on = 1;
	int fd = socket(AF_INET, type, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		die("bind");
	if (type == SOCK_STREAM && listen(fd, 128) < 0)
		die("listen");
	return fd;
}

static void add(int epoll_fd, int fd, uint32_t role)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)role << 32 | fd };
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll");
}

enum { LISTEN_ECHO, LISTEN_SINK, DATAGRAMS, ECHO_STREAM, SINK_STREAM };

static void serve_event(int epoll_fd, uint32_t role, int fd)
{
	const int on = 1;
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	ssize_t n;
	switch (role) {
	case LISTEN_ECHO:
	case LISTEN_SINK: {
		int accepted = accept(fd, NULL, NULL);
		if (accepted < 0)
			return;
		setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		add(epoll_fd, accepted, role == LISTEN_ECHO ? ECHO_STREAM : SINK_STREAM);
		return;
	}
	case DATAGRAMS:
		n = recvfrom(fd, block, sizeof(block), MSG_DONTWAIT, (struct sockaddr *)&peer,
			     &len);
		if (n >= 0)
			(void)sendto(fd, block, (size_t)n, 0, (struct sockaddr *)&peer, len);
		return;
	default:
		n = recv(fd, block, sizeof(block), 0);
		if (n <= 0) {
			close(fd);
			return;
		}
		/* The last block of a bulk transfer ends in 1 and is answered. */
		if (role == ECHO_STREAM)
			(void)send(fd, block, (size_t)n, MSG_NOSIGNAL);
		else if (block[n - 1] == 1)
			(void)send(fd, block, 1, MSG_NOSIGNAL);
	}
}

static void __attribute__((noreturn)) serve(int port)
{
	int epoll_fd = epoll_create1(0);
	add(epoll_fd, open_server(SOCK_STREAM, port), LISTEN_ECHO);
	add(epoll_fd, open_server(SOCK_STREAM, port + 1), LISTEN_SINK);
	add(epoll_fd, open_server(SOCK_DGRAM, port), DATAGRAMS);
	for (;;) {
		struct epoll_event event;
		if (epoll_wait(epoll_fd, &event, 1, -1) == 1)
			serve_event(epoll_fd, (uint32_t)(event.data.u64 >> 32),
				    (int)(uint32_t)event.data.u64);
	}
}

/* ---- client ---- */

static int dial(const struct bench_case *c, int type, int port)
{
	const struct timeval limit = { .tv_sec = 2 };
	const int on = 1;
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, type, 0);
	inet_pton(AF_INET, c->address, &address.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die(c->name);
	return fd;
}

static void reset(int fd)
{
	const struct linger linger = { .l_onoff = 1 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static void note(struct series *series, double value)
{
	series->values[series->count++] = value;
}

static void time_rr(struct bench_case *c, int test)
{
	static const char get[] = "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n";
	int port = test == REDIS ? c->redis_port : c->port;
	size_t len = test == REDIS ? sizeof(get) - 1 : 1;
	const char *request = test == REDIS ? get : "x";
	int fd = dial(c, test == UDP_RR ? SOCK_DGRAM : SOCK_STREAM, port);
	for (size_t i = 0; i < TRANSACTIONS + 20; i++) {
		double start = now_us();
		if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len ||
		    recv(fd, block, sizeof(block), 0) <= 0) {
			if (test != UDP_RR)
				die(c->name);
			break; /* a way that UDP does not take: nothing is printed */
		}
		if (i >= 20)
			note(&c->series[test], now_us() - start);
	}
	reset(fd);
}

static void time_connect(struct bench_case *c)
{
	for (size_t i = 0; i < CONNECTS; i++) {
		double start = now_us();
		int fd = dial(c, SOCK_STREAM, c->port);
		/* One byte there and back: a proxy accepts before it has connected. */
		if (send(fd, "x", 1, MSG_NOSIGNAL) != 1 || recv(fd, block, 1, 0) != 1)
			die(c->name);
		note(&c->series[CONNECT], now_us() - start);
		reset(fd);
	}
}

static void time_bulk(struct bench_case *c)
{
	int fd = dial(c, SOCK_STREAM, c->port + 1);
	double start = now_us();
	for (size_t left = BULK_BYTES; left;) {
		memset(block, 0, sizeof(block));
		block[sizeof(block) - 1] = left == sizeof(block);
		for (size_t at = 0; at < sizeof(block);) {
			ssize_t n = send(fd, block + at, sizeof(block) - at, MSG_NOSIGNAL);
			if (n <= 0)
				die(c->name);
			at += (size_t)n;
		}
		left -= sizeof(block);
	}
	if (recv(fd, block, 1, 0) != 1)
		die(c->name);
	note(&c->series[BULK], BULK_BYTES / (now_us() - start));
	reset(fd);
}

static size_t read_cases(const char *path, struct bench_case *cases, size_t rounds)
{
	char line[256];
	size_t count = 0;
	FILE *file = fopen(path, "r");
	if (!file)
		die(path);
	while (count < MAX_CASES && fgets(line, sizeof(line), file)) {
		struct bench_case *c = &cases[count];
		if (sscanf(line, "%63[^\t]\t%63[^\t]\t%d\t%d", c->name, c->address, &c->port,
			   &c->redis_port) < 3)
			continue;
		for (int t = 0; t < TESTS; t++) {
			size_t room = rounds * tests[t].samples;
			c->series[t].values = calloc(room, sizeof(double));
			if (!c->series[t].values)
				die("memory");
		}
		count++;
	}
	fclose(file);
	return count;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(struct series *series)
{
	if (!series->count)
		return 0;
	qsort(series->values, series->count, sizeof(double), compare);
	return series->values[series->count / 2];
}

static void print_table(struct bench_case *cases, size_t count)
{
	double first[TESTS];
	printf("%-30s", "");
	for (int t = 0; t < TESTS; t++)
		printf("%18s", tests[t].title);
	printf("\n");
	for (size_t i = 0; i < count; i++) {
		printf("%-30s", cases[i].name);
		for (int t = 0; t < TESTS; t++) {
			double value = median(&cases[i].series[t]);
			if (i == 0)
				first[t] = value;
			if (value > 0 && first[t] > 0)
				printf("%11.2f %5.2fx", value, value / first[t]);
			else
				printf("%18s", "-");
		}
		printf("\n");
	}
}

static int time_cases(size_t rounds, const char *path)
{
	static struct bench_case cases[MAX_CASES];
	size_t order[MAX_CASES], count = read_cases(path, cases, rounds);
	srand((unsigned)getpid());
	for (size_t i = 0; i < count; i++)
		order[i] = i;
	for (size_t round = 0; round < rounds; round++) {
		for (size_t i = count; i > 1; i--) {
			size_t k = (size_t)rand() % i, moved = order[i - 1];
			order[i - 1] = order[k];
			order[k] = moved;
		}
		for (size_t i = 0; i < count; i++) {
			struct bench_case *c = &cases[order[i]];
			time_rr(c, TCP_RR);
			time_rr(c, UDP_RR);
			time_connect(c);
			time_bulk(c);
			if (c->redis_port)
				time_rr(c, REDIS);
		}
	}
	print_table(cases, count);
	return 0;
}

int main(int argc, char **argv)
{
	size_t rounds = 30;
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve(atoi(argv[2]));
	if (argc == 5 && strcmp(argv[1], "time") == 0 && strcmp(argv[2], "-n") == 0) {
		rounds = (size_t)atoi(argv[3]);
		return time_cases(rounds, argv[4]);
	}
	if (argc == 3 && strcmp(argv[1], "time") == 0)
		return time_cases(rounds, argv[2]);
	fprintf(stderr, "usage: netload serve PORT | netload time [-n ROUNDS] FILE\n");
	return 2;
}
