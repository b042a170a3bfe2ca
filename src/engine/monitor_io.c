/* The container's stdio: from its pipes or terminal to the log and to attached clients, and from
 * one client's input to its stdin. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/monitor.h"
#include "engine/trim.h"

/* The primary client is never more than what the pipes held behind when the container ends. */
#define PRIMARY_BACKLOG_MAX (8u << 20)
/* All that clients have not taken, together: who would go beyond it is cut off. */
#define BACKLOGS_MAX (16u << 20)
#define BACKLOG_MIN  16384
/* A pipe that is found full again and again becomes as big as anybody's may be. */
#define FULL_READS 4
#define PIPE_SIZE  (1 << 20)

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
	if (!client->used)
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
	for (unsigned i = 0; i < io->client_room; i++)
		client_update(io, i);
}

/* Asks for the events of outputs that matter now. What is not read is not watched at all, since a
 * hang-up would be reported over and over. */
static void outputs_update(struct monitor_io *io)
{
	for (unsigned i = 0; i < 2; i++) {
		uint32_t events = io->held ? 0 : EPOLLIN;
		if (io->tty && io->watching_stdin)
			events |= EPOLLOUT;
		if (io->outputs[i] < 0 || events == io->watched[i])
			continue;
		struct epoll_event event = { .events = events,
					     .data.u64 = (uint64_t)SOURCE_OUTPUT << 32 | i };
		int how = !events ? EPOLL_CTL_DEL : !io->watched[i] ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
		if (epoll_ctl(io->epoll_fd, how, io->outputs[i], &event) == 0)
			io->watched[i] = events;
	}
}

static void hold(struct monitor_io *io, unsigned why, bool on)
{
	io->held = on ? io->held | why : io->held & ~why;
	outputs_update(io);
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
	close(client->fd);
	free(client->backlog);
	io->backlogs -= client->backlog_size;
	*client = (struct io_client) { 0 };
	while (io->client_room && !io->clients[io->client_room - 1].used)
		io->client_room--;
	if (had_stdin)
		input_ended(io);
	if (primary)
		hold(io, HOLD_PRIMARY, false);
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
	const struct io_client client = {
		.used = true, .fd = fd, .streams = streams, .primary = primary
	};
	int r = watch(io->epoll_fd, fd, SOURCE_STREAM, index,
		      wants_input(io, &client) ? EPOLLIN : EPOLLERR);
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
	size_t limit = client->primary ? PRIMARY_BACKLOG_MAX : STREAM_BACKLOG_MAX;
	size_t size = client->backlog_size ? client->backlog_size : BACKLOG_MIN;
	if (client->backlog_len + len > limit)
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
		client_close(io, index);
		return;
	}
	if ((size_t)sent == piece->header_len + piece->len)
		return;
	if (keep_rest(io, client, piece, (size_t)sent) < 0) {
		io->cut_off++;
		client_close(io, index);
		return;
	}
	client_update(io, index);
	if (client->primary)
		hold(io, HOLD_PRIMARY, true);
}

/* To everybody attached. */
static void distribute(struct monitor_io *io, unsigned output, const char *data, size_t len)
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

/* ---- the container's output ---- */

static void stall_timer(struct monitor_io *io, bool on)
{
	const struct itimerspec time = { .it_value.tv_sec = on ? LOG_STALL_MS / 1000 : 0 };
	if (io->stall_fd <= 0 && on) {
		io->stall_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (io->stall_fd >= 0)
			watch(io->epoll_fd, io->stall_fd, SOURCE_LOG, 1, EPOLLIN);
	}
	if (io->stall_fd > 0)
		timerfd_settime(io->stall_fd, 0, &time, NULL);
}

/* The log is behind. As with any slow reader of a pipe, what the container writes stays in the pipe
 * for now. */
static void wait_for_log(struct monitor_io *io)
{
	int fd = log_writer_wait_fd(&io->log);
	if (!io->watching_log && watch(io->epoll_fd, fd, SOURCE_LOG, 0, EPOLLIN) == 0)
		io->watching_log = true;
	stall_timer(io, true);
	hold(io, HOLD_LOG, true);
}

void io_log_ready(struct monitor_io *io, unsigned index)
{
	uint64_t count;
	if (index == 0)
		log_writer_ready(&io->log);
	else if (read(io->stall_fd, &count, sizeof(count)) == sizeof(count) &&
		 (io->held & HOLD_LOG))
		log_writer_stalled(&io->log);
	if (io->held & HOLD_LOG) {
		stall_timer(io, false);
		hold(io, HOLD_LOG, false);
	}
}

/* Fewer and larger reads, and a writer that waits less; it costs memory only while it is full. */
static void grow_pipe(struct monitor_io *io, unsigned index, bool full)
{
	io->full_reads = full ? io->full_reads + 1 : 0;
	if (io->full_reads == FULL_READS && !io->tty)
		fcntl(io->outputs[index], F_SETPIPE_SZ, PIPE_SIZE);
}

/* One chunk of output. false: nothing there now, or the log is behind (-EBUSY in *ret), or the end,
 * after which the fd is closed. */
static bool read_output(struct monitor_io *io, unsigned index, int *ret)
{
	ssize_t got;
	size_t room;
	*ret = 0;
	if (io->outputs[index] < 0)
		return false;
	char *data = log_writer_reserve(&io->log, &room);
	if (!data) {
		*ret = -EBUSY;
		return false;
	}
	do
		got = read(io->outputs[index], data, room);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		log_writer_commit(&io->log, (int)index + 1, (size_t)got);
		distribute(io, index, data, (size_t)got);
		grow_pipe(io, index, (size_t)got == room);
		return true;
	}
	if (got < 0 && errno == EAGAIN)
		return false;
	/* End of file, or EIO: nobody has the terminal open any more. */
	if (io->watched[index])
		watch(io->epoll_fd, io->outputs[index], SOURCE_OUTPUT, index, 0);
	io->watched[index] = 0;
	if (io->tty && io->stdin_fd == io->outputs[index])
		io->stdin_fd = -1;
	cleanup_close(&io->outputs[index]);
	return false;
}

void io_output_ready(struct monitor_io *io, unsigned index)
{
	int r;
	if (io->held)
		return;
	read_output(io, index, &r);
	if (r < 0)
		wait_for_log(io);
}

/* Everything that is there, as far as the log gets on. */
static void drain_output(struct monitor_io *io, unsigned index)
{
	int r = 0;
	while (read_output(io, index, &r) || r < 0) {
		struct pollfd ready = { .fd = log_writer_wait_fd(&io->log), .events = POLLIN };
		if (r == 0)
			continue;
		if (poll(&ready, 1, LOG_STALL_MS) == 0)
			log_writer_stalled(&io->log);
		else
			log_writer_ready(&io->log);
	}
}

/* ---- its input ---- */

static void stdin_watch(struct monitor_io *io, bool on)
{
	if (io->watching_stdin == on || io->stdin_fd < 0)
		return;
	io->watching_stdin = on;
	if (io->tty) /* the terminal is in the set already, as an output */
		outputs_update(io);
	else
		watch(io->epoll_fd, io->stdin_fd, SOURCE_STDIN, 0, on ? EPOLLOUT : 0);
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
		got = recv(client->fd, io->pending, IO_INPUT_MAX, MSG_DONTWAIT);
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
	ssize_t sent =
		send_some(client->fd, client->backlog + client->backlog_at, client->backlog_len);
	if (sent < 0) {
		client_close(io, index);
		return;
	}
	client->backlog_at += (size_t)sent;
	client->backlog_len -= (size_t)sent;
	if (client->backlog_len)
		return;
	free(take_ptr(client->backlog));
	io->backlogs -= client->backlog_size;
	client->backlog_at = client->backlog_size = 0;
	client_update(io, index);
	if (client->leaving)
		client_close(io, index);
	else if (client->primary)
		hold(io, HOLD_PRIMARY, false);
}

void io_client_ready(struct monitor_io *io, unsigned index, uint32_t events)
{
	struct io_client *client = &io->clients[index];
	if (!client->used)
		return;
	if ((events & EPOLLIN) && wants_input(io, client))
		client_input(io, index);
	else if (events & (EPOLLHUP | EPOLLERR))
		client_close(io, index);
	if (client->used && (events & EPOLLOUT) && client->backlog_len)
		client_flush(io, index);
}

int io_start(struct monitor_io *io)
{
	outputs_update(io);
	for (unsigned i = 0; i < 2; i++)
		if (io->outputs[i] >= 0 && !io->watched[i])
			return -EIO;
	return 0;
}

void io_finish(struct monitor_io *io)
{
	for (unsigned i = 0; i < 2; i++) {
		drain_output(io, i);
		if (io->outputs[i] >= 0) {
			if (io->stdin_fd == io->outputs[i])
				io->stdin_fd = -1;
			cleanup_close(&io->outputs[i]);
		}
		io->watched[i] = 0;
	}
	log_writer_finish(&io->log);
	io->held = 0;
	cleanup_close(&io->stdin_fd);
	for (unsigned i = 0; i < io->client_room; i++)
		if (io->clients[i].used && io->clients[i].backlog_len == 0)
			client_close(io, i);
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
		client_update(io, i);
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

bool io_trim(struct monitor_io *io)
{
	struct io_client *unused = io->clients + io->client_room;
	if (io->pending_len == 0)
		trim_range(io->pending, sizeof(io->pending));
	trim_range(unused, (IO_CLIENTS_MAX - io->client_room) * sizeof(*unused));
	return log_writer_rest(&io->log);
}
