/* The container's stdio: from its pipes or terminal to the log and to attached clients, and from
 * one client's input to its stdin. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/monitor.h"
#include "engine/trim.h"

/* The primary client is never more than what the pipes held behind when the container ends. */
#define PRIMARY_BACKLOG_MAX (8u << 20)

static void close_stdin(struct monitor_io *io)
{
	if (io->stdin_fd < 0 || io->tty)
		return;
	cleanup_close(&io->stdin_fd); /* leaves the epoll set with its last reference */
	io->watching_stdin = false;
	io->pending_len = io->pending_at = 0;
}

static bool wants_input(const struct monitor_io *io, const struct io_client *client)
{
	return (client->streams & CTL_STREAM_STDIN) && io->pending_len == 0;
}

/* Asks for the events that matter to a client now; a hang-up is always reported. */
static void client_update(struct monitor_io *io, unsigned index)
{
	struct io_client *client = &io->clients[index];
	uint32_t events = 0;
	if (client->fd < 0)
		return;
	if (client->backlog_len)
		events |= EPOLLOUT;
	if (wants_input(io, client))
		events |= EPOLLIN;
	struct epoll_event event = { .events = events,
				     .data.u64 = (uint64_t)SOURCE_STREAM << 32 | index };
	epoll_ctl(io->epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
}

static void update_all(struct monitor_io *io)
{
	for (unsigned i = 0; i < IO_CLIENTS_MAX; i++)
		client_update(io, i);
}

static void outputs_watch(struct monitor_io *io, bool on)
{
	for (unsigned i = 0; i < 2; i++)
		if (io->outputs[i] >= 0)
			watch(io->epoll_fd, io->outputs[i], SOURCE_OUTPUT, i, on ? EPOLLIN : 0);
	io->paused = !on;
}

static void input_ended(struct monitor_io *io)
{
	if (!io->stdin_once)
		return;
	if (io->pending_len)
		io->stdin_eof = true;
	else
		close_stdin(io);
}

static void client_close(struct monitor_io *io, unsigned index)
{
	struct io_client *client = &io->clients[index];
	bool had_stdin = client->streams & CTL_STREAM_STDIN, primary = client->primary;
	cleanup_close(&client->fd);
	free(client->backlog);
	*client = (struct io_client) { .fd = -1 };
	if (had_stdin)
		input_ended(io);
	if (primary && io->paused)
		outputs_watch(io, true);
}

int io_client_add(struct monitor_io *io, int fd, unsigned streams, bool primary)
{
	unsigned index = 0;
	while (index < IO_CLIENTS_MAX && io->clients[index].fd >= 0)
		index++;
	if (index == IO_CLIENTS_MAX)
		return -EAGAIN;
	if (io->stdin_fd < 0)
		streams &= ~CTL_STREAM_STDIN;
	io->clients[index] =
		(struct io_client) { .fd = fd, .streams = streams, .primary = primary };
	int r = watch(io->epoll_fd, fd, SOURCE_STREAM, index,
		      wants_input(io, &io->clients[index]) ? EPOLLIN : EPOLLERR);
	if (r < 0)
		io->clients[index].fd = -1;
	return r;
}

/* Keeps what the client's socket did not take. */
static int backlog_add(struct io_client *client, const char *data, size_t len)
{
	size_t limit = client->primary ? PRIMARY_BACKLOG_MAX : STREAM_BACKLOG_MAX;
	if (client->backlog_len + len > limit)
		return -ENOBUFS;
	if (client->backlog_len + len > client->backlog_size) {
		size_t size = (client->backlog_len + len) * 2;
		char *grown = realloc(client->backlog, size);
		if (!grown)
			return -ENOMEM;
		client->backlog = grown;
		client->backlog_size = size;
	}
	memcpy(client->backlog + client->backlog_len, data, len);
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

static void client_put(struct monitor_io *io, unsigned index, const char *data, size_t len)
{
	struct io_client *client = &io->clients[index];
	ssize_t sent = client->backlog_len ? 0 : send_some(client->fd, data, len);
	if (sent < 0) {
		client_close(io, index);
		return;
	}
	if ((size_t)sent == len)
		return;
	if (backlog_add(client, data + sent, len - (size_t)sent) < 0) {
		io->cut_off++;
		client_close(io, index);
		return;
	}
	client_update(io, index);
	if (client->primary && !io->paused)
		outputs_watch(io, false);
}

/* Gives one chunk that lies in io->frame to the log and to everybody attached. */
static void distribute(struct monitor_io *io, unsigned output, size_t len)
{
	unsigned stream = output == 0 ? CTL_STREAM_STDOUT : CTL_STREAM_STDERR;
	log_writer_put(&io->log, &io->lines[output], (int)output + 1, io->frame.data, len);
	const unsigned char header[STREAM_HEADER_SIZE] = { (unsigned char)(output + 1),
							   0,
							   0,
							   0,
							   (unsigned char)(len >> 24),
							   (unsigned char)(len >> 16),
							   (unsigned char)(len >> 8),
							   (unsigned char)len };
	memcpy(io->frame.header, header, sizeof(header));
	const char *data = io->tty ? io->frame.data : (const char *)io->frame.header;
	size_t size = io->tty ? len : len + STREAM_HEADER_SIZE;
	for (unsigned i = 0; i < IO_CLIENTS_MAX; i++)
		if (io->clients[i].fd >= 0 && (io->clients[i].streams & stream))
			client_put(io, i, data, size);
}

/* One chunk of output. false: nothing there now, or the end, after which the fd is closed. */
static bool read_output(struct monitor_io *io, unsigned index)
{
	ssize_t got;
	if (io->outputs[index] < 0)
		return false;
	do
		got = read(io->outputs[index], io->frame.data, IO_CHUNK);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		distribute(io, index, (size_t)got);
		return true;
	}
	if (got < 0 && errno == EAGAIN)
		return false;
	/* End of file, or EIO: nobody has the terminal open any more. */
	watch(io->epoll_fd, io->outputs[index], SOURCE_OUTPUT, index, 0);
	if (io->tty && io->stdin_fd == io->outputs[index])
		io->stdin_fd = -1;
	cleanup_close(&io->outputs[index]);
	return false;
}

void io_output_ready(struct monitor_io *io, unsigned index)
{
	if (!io->paused)
		read_output(io, index);
}

static void stdin_watch(struct monitor_io *io, bool on)
{
	/* The terminal is in the set already, as an output. */
	int fd = io->stdin_fd;
	if (io->watching_stdin == on || fd < 0)
		return;
	if (io->tty) {
		struct epoll_event event = { .events = on ? EPOLLIN | EPOLLOUT : EPOLLIN,
					     .data.u64 = (uint64_t)SOURCE_OUTPUT << 32 };
		epoll_ctl(io->epoll_fd, EPOLL_CTL_MOD, fd, &event);
	} else {
		watch(io->epoll_fd, fd, SOURCE_STDIN, 0, on ? EPOLLOUT : 0);
	}
	io->watching_stdin = on;
}

/* Writes pending input as far as the container takes it. */
static void write_pending(struct monitor_io *io)
{
	while (io->pending_len && io->stdin_fd >= 0) {
		ssize_t written =
			write(io->stdin_fd, io->pending + io->pending_at, io->pending_len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0 && errno == EAGAIN) {
			stdin_watch(io, true);
			return;
		}
		if (written < 0) { /* nobody reads any more */
			io->pending_len = 0;
			if (!io->tty)
				close_stdin(io);
			break;
		}
		io->pending_at += (size_t)written;
		io->pending_len -= (size_t)written;
	}
	io->pending_len = io->pending_at = 0;
	stdin_watch(io, false);
	if (io->stdin_eof)
		close_stdin(io);
	update_all(io);
}

void io_stdin_ready(struct monitor_io *io)
{
	write_pending(io);
}

static void client_input(struct monitor_io *io, unsigned index)
{
	struct io_client *client = &io->clients[index];
	ssize_t got;
	do
		got = recv(client->fd, io->pending, IO_CHUNK, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got > 0) {
		io->pending_at = 0;
		io->pending_len = io->stdin_fd >= 0 ? (size_t)got : 0;
		write_pending(io);
		return;
	}
	/* End of its input; its output goes on. */
	client->streams &= ~CTL_STREAM_STDIN;
	client_update(io, index);
	input_ended(io);
}

static void client_flush(struct monitor_io *io, unsigned index)
{
	struct io_client *client = &io->clients[index];
	ssize_t sent = send_some(client->fd, client->backlog, client->backlog_len);
	if (sent < 0) {
		client_close(io, index);
		return;
	}
	memmove(client->backlog, client->backlog + sent, client->backlog_len - (size_t)sent);
	client->backlog_len -= (size_t)sent;
	client_update(io, index);
	if (client->backlog_len == 0 && client->leaving)
		client_close(io, index);
	else if (client->backlog_len == 0 && client->primary && io->paused)
		outputs_watch(io, true);
}

void io_client_ready(struct monitor_io *io, unsigned index, uint32_t events)
{
	struct io_client *client = &io->clients[index];
	if (client->fd < 0)
		return;
	if ((events & EPOLLIN) && wants_input(io, client))
		client_input(io, index);
	else if (events & (EPOLLHUP | EPOLLERR))
		client_close(io, index);
	if (client->fd >= 0 && (events & EPOLLOUT) && client->backlog_len)
		client_flush(io, index);
}

int io_start(struct monitor_io *io)
{
	for (unsigned i = 0; i < 2; i++) {
		if (io->outputs[i] < 0)
			continue;
		int r = watch(io->epoll_fd, io->outputs[i], SOURCE_OUTPUT, i, EPOLLIN);
		if (r < 0)
			return r;
	}
	return 0;
}

void io_finish(struct monitor_io *io)
{
	for (unsigned i = 0; i < 2; i++) {
		while (read_output(io, i))
			;
		log_writer_finish(&io->log, &io->lines[i], (int)i + 1);
		if (io->outputs[i] >= 0) {
			if (io->stdin_fd == io->outputs[i])
				io->stdin_fd = -1;
			cleanup_close(&io->outputs[i]);
		}
	}
	io->paused = false;
	cleanup_close(&io->stdin_fd);
	for (unsigned i = 0; i < IO_CLIENTS_MAX; i++)
		if (io->clients[i].fd >= 0 && io->clients[i].backlog_len == 0)
			client_close(io, i);
}

void io_next_run(struct monitor_io *io)
{
	for (unsigned i = 0; i < IO_CLIENTS_MAX; i++) {
		struct io_client *client = &io->clients[i];
		if (client->fd < 0)
			continue;
		client->streams = 0;
		client->primary = false;
		client->leaving = true;
		client_update(io, i);
	}
	io->pending_len = io->pending_at = 0;
	io->stdin_eof = io->watching_stdin = false;
}

bool io_has_backlog(const struct monitor_io *io)
{
	for (unsigned i = 0; i < IO_CLIENTS_MAX; i++)
		if (io->clients[i].fd >= 0 && io->clients[i].backlog_len)
			return true;
	return false;
}

void io_trim(struct monitor_io *io)
{
	char *end = (char *)(&io->frame + 1);
	log_writer_trim();
	/* Nothing anywhere: then all that lies in a row is zeros, also where two buffers share a
	 * page. */
	if (io->pending_len == 0 && io->lines[0].len == 0 && io->lines[1].len == 0) {
		trim_range(io->pending, (size_t)(end - io->pending));
		return;
	}
	if (io->pending_len == 0)
		trim_range(io->pending, sizeof(io->pending));
	for (unsigned i = 0; i < 2; i++)
		if (io->lines[i].len == 0)
			trim_range(io->lines[i].line, sizeof(io->lines[i].line));
	trim_range(&io->frame, sizeof(io->frame));
}
