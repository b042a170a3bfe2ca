/* Queries by TCP (RFC 1035, section 4.2.2; RFC 7766): one at a time on each connection. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "network/dns_internal.h"

#define PATIENCE_MS 10000 /* for each query, and for the next one */
#define TICK_MS	    1000

static void stream_end(struct dns *dns, struct dns_stream *stream)
{
	close(stream->fd);
	cleanup_close(&stream->server_fd);
	stream->used = false;
	dns->streams_used--;
}

/* What is waited for depends on the state alone. */
static int update(struct dns *dns, struct dns_stream *stream)
{
	unsigned index = (unsigned)(stream - dns->streams);
	bool sends = stream->state == STREAM_ANSWER ||
		     (stream->state == STREAM_RELAY && stream->out_len > stream->out_sent);
	int r = dns_watch(dns, stream->fd, DNS_STREAM, index,
			  sends				 ? EPOLLOUT
			  : stream->state == STREAM_READ ? EPOLLIN
							 : EPOLLRDHUP);
	if (r == 0 && stream->server_fd >= 0)
		r = dns_watch(dns, stream->server_fd, DNS_STREAM_SERVER, index,
			      stream->state == STREAM_ASK ? EPOLLOUT
			      : sends			  ? EPOLLRDHUP
							  : EPOLLIN);
	return r;
}

static void begin(struct dns_stream *stream)
{
	cleanup_close(&stream->server_fd);
	stream->state = STREAM_READ;
	stream->in_len = stream->in_sent = stream->out_len = stream->out_sent = 0;
	stream->sized = false;
	stream->deadline = dns_now_ms() + PATIENCE_MS;
}

static size_t prefix(const uint8_t *at)
{
	return (size_t)at[0] << 8 | at[1];
}

static int give_answer(struct dns_stream *stream, const struct dns_answer *answer)
{
	stream->out[0] = (uint8_t)(answer->len >> 8);
	stream->out[1] = (uint8_t)answer->len;
	memcpy(stream->out + 2, answer->bytes, answer->len);
	stream->out_len = answer->len + 2;
	stream->state = STREAM_ANSWER;
	return 0;
}

static int handle_query(struct dns *dns, struct dns_stream *stream)
{
	const uint8_t *query = stream->in + 2;
	struct dns_question question;
	struct dns_answer answer;
	if (!dns_may_answer(dns))
		return -EAGAIN;
	int code = dns_question_parse(query, stream->in_len - 2, &question);
	if (code < 0)
		return code;
	question.by_tcp = true;
	if (code == 0 && dns_names_answer(dns, query, &question, &answer))
		return give_answer(stream, &answer);
	for (unsigned i = 0; code == 0 && dns->forward && i < DNS_SERVERS_MAX; i++) {
		stream->server_fd = dns_server_socket(dns, i, SOCK_STREAM);
		if (stream->server_fd < 0)
			continue;
		stream->state = STREAM_ASK;
		return 0;
	}
	dns_answer_begin(&answer, query, &question, code ? (unsigned)code : DNS_FAILURE);
	return give_answer(stream, &answer);
}

static int read_query(struct dns *dns, struct dns_stream *stream)
{
	size_t wanted = stream->in_len < 2 ? 2 : 2 + prefix(stream->in);
	if (wanted > sizeof(stream->in))
		return -EMSGSIZE;
	ssize_t got = recv(stream->fd, stream->in + stream->in_len, wanted - stream->in_len,
			   MSG_DONTWAIT);
	if (got <= 0)
		return got == 0 ? -EPIPE : errno == EAGAIN ? 0 : -errno;
	stream->in_len += (size_t)got;
	if (stream->in_len < 2 || stream->in_len < 2 + prefix(stream->in))
		return 0;
	return handle_query(dns, stream);
}

/* 1 when all is sent. */
static int send_some(int fd, const uint8_t *bytes, size_t len, size_t *sent)
{
	ssize_t put = send(fd, bytes + *sent, len - *sent, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (put < 0)
		return errno == EAGAIN ? 0 : -errno;
	*sent += (size_t)put;
	return *sent == len;
}

static int relay(struct dns_stream *stream)
{
	if (stream->out_len > stream->out_sent) {
		int r = send_some(stream->fd, stream->out, stream->out_len, &stream->out_sent);
		if (r <= 0)
			return r;
		stream->out_len = stream->out_sent = 0;
		if (stream->sized && stream->left == 0)
			begin(stream);
		return 0;
	}
	size_t room = stream->sized ? stream->left : 2;
	room = room < sizeof(stream->out) ? room : sizeof(stream->out);
	ssize_t got = recv(stream->server_fd, stream->out, room, MSG_DONTWAIT);
	if (got <= 0)
		return got == 0 ? -EPIPE : errno == EAGAIN ? 0 : -errno;
	/* The length is sent in one piece by whoever is worth asking. */
	if (!stream->sized && got < 2)
		return -EPIPE;
	if (stream->sized)
		stream->left -= (size_t)got;
	else
		stream->left = prefix(stream->out);
	stream->sized = true;
	stream->out_len = (size_t)got;
	return 0;
}

static int step(struct dns *dns, struct dns_stream *stream)
{
	int r;
	switch (stream->state) {
	case STREAM_READ:
		return read_query(dns, stream);
	case STREAM_ANSWER:
		r = send_some(stream->fd, stream->out, stream->out_len, &stream->out_sent);
		if (r > 0)
			begin(stream);
		return r < 0 ? r : 0;
	case STREAM_ASK:
		r = send_some(stream->server_fd, stream->in, stream->in_len, &stream->in_sent);
		if (r > 0)
			stream->state = STREAM_RELAY;
		return r < 0 && r != -ENOTCONN ? r : 0;
	case STREAM_RELAY:
		return relay(stream);
	}
	return -EINVAL;
}

void dns_stream_ready(struct dns *dns, unsigned index)
{
	struct dns_stream *stream = &dns->streams[index];
	if (!stream->used)
		return;
	if (step(dns, stream) < 0 || update(dns, stream) < 0)
		stream_end(dns, stream);
}

void dns_stream_accept(struct dns *dns)
{
	int fd = accept4(dns->tcp_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	unsigned index = 0;
	if (fd < 0)
		return;
	while (index < DNS_STREAMS && dns->streams[index].used)
		index++;
	if (index == DNS_STREAMS || !dns_may_answer(dns)) {
		close(fd);
		return;
	}
	struct dns_stream *stream = &dns->streams[index];
	stream->used = true;
	stream->fd = fd;
	stream->server_fd = -1;
	dns->streams_used++;
	begin(stream);
	dns_arm(dns, TICK_MS);
	if (update(dns, stream) < 0)
		stream_end(dns, stream);
}

void dns_streams_expire(struct dns *dns, uint64_t now)
{
	for (unsigned i = 0; dns->streams_used && i < DNS_STREAMS; i++)
		if (dns->streams[i].used && now >= dns->streams[i].deadline)
			stream_end(dns, &dns->streams[i]);
	if (dns->streams_used)
		dns_arm(dns, TICK_MS);
}
