/*
 * Attached clients and what they have not taken yet. The one the container was started with is
 * waited for, as a pipe would be. Any other may be BEHIND_MAX bytes behind; then the container
 * waits for it too, but not for long: a client that uses up its patience is cut off, so that one
 * that stopped reading costs a second, and one that only lost its processor for a moment costs
 * nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "engine/monitor.h"

/* More than pipes and log hold when the container ends, which nobody is to miss. */
#define BACKLOG_MAX (8u << 20)
/* All that clients have not taken, together: who would go beyond it is cut off. */
#define BACKLOGS_MAX (32u << 20)
#define BACKLOG_MIN  16384
#define BEHIND_MAX   STREAM_BACKLOG_MAX
#define PATIENCE_MS  1000

bool io_wants_input(const struct monitor_io *io, const struct io_client *client)
{
	return (client->streams & CTL_STREAM_STDIN) && io->pending_len == 0;
}

/* Asks for the events that matter to a client now; a hang-up is always reported. */
void io_client_update(struct monitor_io *io, unsigned index)
{
	struct io_client *client = &io->clients[index];
	uint32_t events = 0;
	if (!client->used)
		return;
	if (client->backlog_len)
		events |= EPOLLOUT;
	if (io_wants_input(io, client))
		events |= EPOLLIN;
	struct epoll_event event = { .events = events,
				     .data.u64 = (uint64_t)SOURCE_STREAM << 32 | index };
	epoll_ctl(io->epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
}

void io_clients_update(struct monitor_io *io)
{
	for (unsigned i = 0; i < io->client_room; i++)
		io_client_update(io, i);
}

/* ---- patience ---- */

/* The container waits while anybody is behind, and the timer goes off for the first of them. */
static void update_behind(struct monitor_io *io)
{
	uint64_t now = (uint64_t)clock_ms(), first = UINT64_MAX;
	for (unsigned i = 0; i < io->client_room; i++) {
		const struct io_client *client = &io->clients[i];
		if (client->behind && client->give_up_at < first)
			first = client->give_up_at;
	}
	uint64_t left = first > now ? first - now : 1;
	struct itimerspec time = { 0 };
	if (first != UINT64_MAX) {
		time.it_value.tv_sec = (time_t)(left / 1000);
		time.it_value.tv_nsec = (long)(left % 1000) * 1000000;
	}
	if (io->patience_fd <= 0 && first != UINT64_MAX) {
		io->patience_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (io->patience_fd >= 0)
			watch(io->epoll_fd, io->patience_fd, SOURCE_IO, IO_PATIENCE, EPOLLIN);
	}
	if (io->patience_fd > 0)
		timerfd_settime(io->patience_fd, 0, &time, NULL);
	io_hold(io, HOLD_CLIENT, first != UINT64_MAX);
}

static void falls_behind(struct monitor_io *io, struct io_client *client)
{
	if (client->behind)
		return;
	client->behind = true;
	client->give_up_at = (uint64_t)clock_ms() + client->patience_ms;
	update_behind(io);
}

/* What it took to wait for it is used up, until it has caught up altogether. */
static void catches_up(struct monitor_io *io, struct io_client *client)
{
	if (client->behind) {
		uint64_t now = (uint64_t)clock_ms();
		client->patience_ms =
			client->give_up_at > now ? (unsigned)(client->give_up_at - now) : 0;
		client->behind = false;
		update_behind(io);
	}
	if (client->backlog_len == 0)
		client->patience_ms = PATIENCE_MS;
}

void io_patience_over(struct monitor_io *io)
{
	uint64_t now = (uint64_t)clock_ms();
	for (unsigned i = 0; i < io->client_room; i++) {
		if (!io->clients[i].behind || io->clients[i].give_up_at > now)
			continue;
		io->cut_off++;
		io_client_close(io, i);
	}
	update_behind(io);
}

void io_forgive(struct monitor_io *io)
{
	for (unsigned i = 0; i < io->client_room; i++)
		io->clients[i].behind = false;
	update_behind(io);
}

/* ---- clients ---- */

void io_client_close(struct monitor_io *io, unsigned index)
{
	struct io_client *client = &io->clients[index];
	bool had_stdin = client->streams & CTL_STREAM_STDIN, primary = client->primary;
	bool behind = client->behind;
	close(client->fd);
	free(client->backlog);
	io->backlogs -= client->backlog_size;
	*client = (struct io_client) { 0 };
	while (io->client_room && !io->clients[io->client_room - 1].used)
		io->client_room--;
	if (had_stdin)
		io_input_ended(io);
	if (primary)
		io_hold(io, HOLD_PRIMARY, false);
	if (behind)
		update_behind(io);
}

int io_client_add(struct monitor_io *io, int fd, unsigned streams, bool primary)
{
	unsigned index = 0;
	while (index < IO_CLIENTS_MAX && io->clients[index].used)
		index++;
	if (index == IO_CLIENTS_MAX)
		return -EAGAIN;
	if (io->stdin_fd < 0)
		streams &= ~CTL_STREAM_STDIN;
	const struct io_client client = { .used = true,
					  .fd = fd,
					  .streams = streams,
					  .primary = primary,
					  .patience_ms = PATIENCE_MS };
	int r = watch(io->epoll_fd, fd, SOURCE_STREAM, index,
		      io_wants_input(io, &client) ? EPOLLIN : EPOLLERR);
	if (r < 0)
		return r;
	io->clients[index] = client;
	if (index >= io->client_room)
		io->client_room = index + 1;
	return 0;
}

/* Makes room for @len more bytes behind what is kept; as far as the limits allow. */
static int backlog_grow(struct monitor_io *io, struct io_client *client, size_t len)
{
	size_t size = client->backlog_size ? client->backlog_size : BACKLOG_MIN;
	if (client->backlog_len + len > BACKLOG_MAX)
		return -ENOBUFS;
	memmove(client->backlog, client->backlog + client->backlog_at, client->backlog_len);
	client->backlog_at = 0;
	while (size < client->backlog_len + len)
		size *= 2;
	if (size == client->backlog_size)
		return 0;
	if (!client->primary && io->backlogs - client->backlog_size + size > BACKLOGS_MAX)
		return -ENOBUFS;
	char *grown = realloc(client->backlog, size);
	if (!grown)
		return -ENOMEM;
	io->backlogs += size - client->backlog_size;
	client->backlog = grown;
	client->backlog_size = size;
	return 0;
}

/* Keeps what the client's socket did not take. */
static int backlog_add(struct monitor_io *io, struct io_client *client, const char *data,
		       size_t len)
{
	int r = 0;
	if (client->backlog_at + client->backlog_len + len > client->backlog_size)
		r = backlog_grow(io, client, len);
	if (r < 0)
		return r;
	memcpy(client->backlog + client->backlog_at + client->backlog_len, data, len);
	client->backlog_len += len;
	return 0;
}

static ssize_t send_some(int fd, const char *data, size_t len)
{
	ssize_t sent;
	do
		sent = send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno == EAGAIN)
		return 0;
	return sent;
}

/* A piece of output with its header, which a terminal's has not. */
struct piece {
	unsigned char header[STREAM_HEADER_SIZE];
	size_t header_len;
	const char *data;
	size_t len;
};

/* What is left of a piece after its first @sent bytes goes to the backlog. */
static int keep_rest(struct monitor_io *io, struct io_client *client, const struct piece *piece,
		     size_t sent)
{
	size_t head = sent < piece->header_len ? sent : piece->header_len, body = sent - head;
	int r = backlog_add(io, client, (const char *)piece->header + head,
			    piece->header_len - head);
	return r < 0 ? r : backlog_add(io, client, piece->data + body, piece->len - body);
}

static ssize_t send_piece(const struct io_client *client, const struct piece *piece)
{
	struct iovec parts[] = { { (void *)piece->header, piece->header_len },
				 { (void *)piece->data, piece->len } };
	const struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	ssize_t sent;
	if (client->backlog_len)
		return 0;
	do
		sent = sendmsg(client->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 && errno == EAGAIN ? 0 : sent;
}

static void client_put(struct monitor_io *io, unsigned index, const struct piece *piece)
{
	struct io_client *client = &io->clients[index];
	ssize_t sent = send_piece(client, piece);
	if (sent < 0) {
		io_client_close(io, index);
		return;
	}
	if ((size_t)sent == piece->header_len + piece->len)
		return;
	if (keep_rest(io, client, piece, (size_t)sent) < 0) {
		io->cut_off++;
		io_client_close(io, index);
		return;
	}
	io_client_update(io, index);
	if (client->primary)
		io_hold(io, HOLD_PRIMARY, true);
	else if (client->backlog_len > BEHIND_MAX)
		falls_behind(io, client);
}

/* To everybody attached. */
void io_distribute(struct monitor_io *io, unsigned output, const char *data, size_t len)
{
	unsigned stream = output == 0 ? CTL_STREAM_STDOUT : CTL_STREAM_STDERR;
	const struct piece piece = { .header = { (unsigned char)(output + 1), 0, 0, 0,
						 (unsigned char)(len >> 24),
						 (unsigned char)(len >> 16),
						 (unsigned char)(len >> 8), (unsigned char)len },
				     .header_len = io->tty ? 0 : STREAM_HEADER_SIZE,
				     .data = data,
				     .len = len };
	for (unsigned i = 0; i < io->client_room; i++)
		if (io->clients[i].used && (io->clients[i].streams & stream))
			client_put(io, i, &piece);
}

void io_client_flush(struct monitor_io *io, unsigned index)
{
	struct io_client *client = &io->clients[index];
	ssize_t sent =
		send_some(client->fd, client->backlog + client->backlog_at, client->backlog_len);
	if (sent < 0) {
		io_client_close(io, index);
		return;
	}
	client->backlog_at += (size_t)sent;
	client->backlog_len -= (size_t)sent;
	if (client->backlog_len <= BEHIND_MAX / 2)
		catches_up(io, client);
	if (client->backlog_len)
		return;
	free(take_ptr(client->backlog));
	io->backlogs -= client->backlog_size;
	client->backlog_at = client->backlog_size = 0;
	io_client_update(io, index);
	if (client->leaving)
		io_client_close(io, index);
	else if (client->primary)
		io_hold(io, HOLD_PRIMARY, false);
}

void io_next_run(struct monitor_io *io)
{
	for (unsigned i = 0; i < io->client_room; i++) {
		struct io_client *client = &io->clients[i];
		if (!client->used)
			continue;
		client->streams = 0;
		client->primary = false;
		client->leaving = true;
		io_client_update(io, i);
	}
	io->pending_len = io->pending_at = 0;
	io->stdin_eof = io->watching_stdin = false;
}

bool io_has_backlog(const struct monitor_io *io)
{
	for (unsigned i = 0; i < io->client_room; i++)
		if (io->clients[i].used && io->clients[i].backlog_len)
			return true;
	return false;
}
