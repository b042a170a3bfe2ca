/* The container's stdio: from its pipes or terminal to the log and to attached clients
 * (monitor_clients.c), and from one client's input to its stdin. */
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

void io_hold(struct monitor_io *io, unsigned why, bool on)
{
	io->held = on ? io->held | why : io->held & ~why;
	outputs_update(io);
}

void io_input_ended(struct monitor_io *io)
{
	if (!io->stdin_once)
		return;
	if (io->pending_len)
		io->stdin_eof = true;
	else
		close_stdin(io);
}

/* ---- the container's output ---- */

static void stall_timer(struct monitor_io *io, bool on)
{
	const struct itimerspec time = { .it_value.tv_sec = on ? LOG_STALL_MS / 1000 : 0 };
	if (io->stall_fd <= 0 && on) {
		io->stall_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (io->stall_fd >= 0)
			watch(io->epoll_fd, io->stall_fd, SOURCE_IO, IO_LOG_STALL, EPOLLIN);
	}
	if (io->stall_fd > 0)
		timerfd_settime(io->stall_fd, 0, &time, NULL);
}

/* The log is behind. As with any slow reader of a pipe, what the container writes stays in the pipe
 * for now. */
static void wait_for_log(struct monitor_io *io)
{
	int fd = log_writer_wait_fd(&io->log);
	if (!io->watching_log && watch(io->epoll_fd, fd, SOURCE_IO, IO_LOG_ROOM, EPOLLIN) == 0)
		io->watching_log = true;
	stall_timer(io, true);
	io_hold(io, HOLD_LOG, true);
}

void io_ready(struct monitor_io *io, unsigned index)
{
	uint64_t count;
	if (index == IO_PATIENCE) {
		io_patience_over(io);
		return;
	}
	if (index == IO_LOG_ROOM)
		log_writer_ready(&io->log);
	else if (read(io->stall_fd, &count, sizeof(count)) == sizeof(count) &&
		 (io->held & HOLD_LOG))
		log_writer_stalled(&io->log);
	if (io->held & HOLD_LOG) {
		stall_timer(io, false);
		io_hold(io, HOLD_LOG, false);
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
		io_distribute(io, index, data, (size_t)got);
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
	io_clients_update(io);
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
	io_client_update(io, index);
	io_input_ended(io);
}

void io_client_ready(struct monitor_io *io, unsigned index, uint32_t events)
{
	struct io_client *client = &io->clients[index];
	if (!client->used)
		return;
	if ((events & EPOLLIN) && io_wants_input(io, client))
		client_input(io, index);
	else if (events & (EPOLLHUP | EPOLLERR))
		io_client_close(io, index);
	if (client->used && (events & EPOLLOUT) && client->backlog_len)
		io_client_flush(io, index);
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
	if (io->watching_log)
		watch(io->epoll_fd, log_writer_wait_fd(&io->log), SOURCE_IO, IO_LOG_ROOM, 0);
	io->watching_log = false;
	stall_timer(io, false);
	io_forgive(io);
	io->held = 0;
	cleanup_close(&io->stdin_fd);
	for (unsigned i = 0; i < io->client_room; i++)
		if (io->clients[i].used && io->clients[i].backlog_len == 0)
			io_client_close(io, i);
}

bool io_trim(struct monitor_io *io)
{
	struct io_client *unused = io->clients + io->client_room;
	if (io->pending_len == 0)
		trim_range(io->pending, sizeof(io->pending));
	trim_range(unused, (IO_CLIENTS_MAX - io->client_room) * sizeof(*unused));
	return log_writer_rest(&io->log);
}
