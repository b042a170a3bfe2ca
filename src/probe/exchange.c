/*
 * Requests of 100 bytes and answers of 200, as the paper had netperf send them, over TCP and UDP.
 * MASU_PROBE_DELAY_US in the server's environment makes it answer that much later: a known
 * difference, by which a test shows that one would be found.
 */
#include "probe/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST	    100
#define ANSWER	    200
#define MAX_CLIENTS 64
#define MAX_SAMPLES 2000000
#define FEWEST	    10 /* that have a median */

/* By the clock rather than by a timer, which would add what waking up costs. */
static void delay(double microseconds)
{
	double end = probe_now() + microseconds / 1e6;
	while (microseconds > 0 && probe_now() < end)
		;
}

static int bound(int type, unsigned short port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 16) < 0)) {
		probe_failed("listening");
		exit(1);
	}
	return fd;
}

/* One request, whole, and its answer; false where the client is gone. */
static int answer(int fd, double late)
{
	char request[REQUEST], reply[ANSWER] = "";
	if (recv(fd, request, sizeof(request), MSG_WAITALL) != REQUEST)
		return 0;
	delay(late);
	return send(fd, reply, sizeof(reply), MSG_NOSIGNAL) == ANSWER;
}

static void answer_datagram(int fd, double late)
{
	char request[REQUEST], reply[ANSWER] = "";
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	if (recvfrom(fd, request, sizeof(request), 0, (struct sockaddr *)&from, &size) != REQUEST)
		return;
	delay(late);
	sendto(fd, reply, sizeof(reply), 0, (struct sockaddr *)&from, size);
}

/* serve PORT: answers over TCP and UDP until it is killed. */
int probe_serve(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	const char *late_text = getenv("MASU_PROBE_DELAY_US");
	double late = late_text ? probe_number(late_text) : 0;
	unsigned short port = (unsigned short)probe_number(argv[1]);
	int one = 1;
	nfds_t count = 2;
	struct pollfd fds[2 + MAX_CLIENTS] = { { .fd = bound(SOCK_STREAM, port), .events = POLLIN },
					       { .fd = bound(SOCK_DGRAM, port),
						 .events = POLLIN } };
	for (;;) {
		if (poll(fds, count, -1) < 0 && errno != EINTR)
			return probe_failed("poll");
		if (fds[1].revents)
			answer_datagram(fds[1].fd, late);
		for (nfds_t i = 2; i < count; i++) {
			if (!fds[i].revents || answer(fds[i].fd, late))
				continue;
			close(fds[i].fd);
			fds[i--] = fds[--count];
		}
		if (fds[0].revents && count < 2 + MAX_CLIENTS) {
			int fd = accept4(fds[0].fd, NULL, NULL, SOCK_CLOEXEC);
			if (fd < 0)
				continue;
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			fds[count++] = (struct pollfd) { .fd = fd, .events = POLLIN };
		}
	}
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

static int connected(int type, const char *host, unsigned short port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct timeval patience = { .tv_sec = 2 };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;
	if (fd < 0 || inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		probe_failed(host);
		exit(1);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* ask tcp|udp HOST PORT SECONDS: round trips one after the other; median and 99th percentile in
 * microseconds, and how many a second. The first tenth is warm-up. On a machine that is so busy
 * that there are hardly any it takes longer, ten times at most. */
int probe_ask(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	int stream = strcmp(argv[1], "tcp") == 0;
	int fd = connected(stream ? SOCK_STREAM : SOCK_DGRAM, argv[2],
			   (unsigned short)probe_number(argv[3]));
	double limit = probe_number(argv[4]), begin = probe_now(), last = begin, first = 0;
	char request[REQUEST] = "", reply[ANSWER];
	float *samples = malloc(MAX_SAMPLES * sizeof(*samples));
	size_t count = 0;
	if (!samples)
		return probe_failed("malloc");
	while (count < MAX_SAMPLES &&
	       (last - begin < limit || (count < FEWEST && last - begin < limit * 10))) {
		if (send(fd, request, REQUEST, 0) != REQUEST ||
		    recv(fd, reply, ANSWER, stream ? MSG_WAITALL : 0) != ANSWER)
			return probe_failed("no answer");
		double now = probe_now();
		if (now - begin >= limit / 10) {
			if (count == 0)
				first = last;
			samples[count++] = (float)((now - last) * 1e6);
		}
		last = now;
	}
	if (count < FEWEST) {
		fprintf(stderr, "probe: too few round trips in %g s\n", limit);
		return 1;
	}
	qsort(samples, count, sizeof(*samples), by_value);
	probe_print("p50", samples[count / 2]);
	probe_print("p99", samples[count * 99 / 100]);
	probe_print("rate", (double)count / (last - first));
	return 0;
}
