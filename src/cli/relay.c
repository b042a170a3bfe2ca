#include "cli/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/protocol.h"

#define CHUNK 32768

/* Cuts Docker's stream into frames, wherever reads end. */
struct demux {
	unsigned char header[STREAM_HEADER_SIZE];
	size_t header_used;
	uint32_t left; /* bytes of the frame still to come */
	int fd;	       /* where they go */
};

struct state {
	struct relay *relay;
	struct demux demux;
	int signals;
	bool in_open, stdin_open, ended;
	unsigned char *buffer;	/* what was read */
	unsigned char *pending; /* input that the container has not taken yet */
	size_t pending_at, pending_len;
	struct masu_error *err;
};

enum { WATCH_STDIN, WATCH_IN, WATCH_OUT, WATCH_OUT2, WATCH_SIGNAL, WATCH_END, WATCH_COUNT };

/* Everything but what is about this program itself or can only be caught by accident. */
static void forwarded_signals(const struct relay *relay, sigset_t *set)
{
	static const int kept[] = { SIGKILL, SIGSTOP, SIGCHLD, SIGPIPE, SIGURG, SIGSEGV, SIGBUS,
				    SIGFPE,  SIGILL,  SIGTRAP, SIGABRT, SIGSYS, SIGPROF };
	sigemptyset(set);
	if (relay->proxy) {
		for (int sig = 1; sig < 32; sig++)
			sigaddset(set, sig);
		for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
			sigdelset(set, kept[i]);
		/* The window's size is told as such, and only a terminal has one. */
		sigdelset(set, SIGWINCH);
	}
	if (relay->tty)
		sigaddset(set, SIGWINCH);
}

void relay_block_signals(const struct relay *relay)
{
	sigset_t set;
	forwarded_signals(relay, &set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

int relay_write(int fd, const void *from, size_t len)
{
	const unsigned char *data = from;
	while (len > 0) {
		ssize_t written = write(fd, data, len);
		if (written < 0 && errno == EAGAIN) {
			struct pollfd ready = { .fd = fd, .events = POLLOUT };
			poll(&ready, 1, -1);
			continue;
		}
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		data += written;
		len -= (size_t)written;
	}
	return 0;
}

static int demux_write(struct demux *d, const unsigned char *data, size_t len)
{
	while (len > 0) {
		if (d->left == 0) {
			size_t want = STREAM_HEADER_SIZE - d->header_used;
			size_t take = len < want ? len : want;
			memcpy(d->header + d->header_used, data, take);
			d->header_used += take;
			data += take;
			len -= take;
			if (d->header_used < STREAM_HEADER_SIZE)
				return 0;
			d->header_used = 0;
			d->fd = d->header[0] == 2 ? STDERR_FILENO : STDOUT_FILENO;
			d->left = (uint32_t)d->header[4] << 24 | (uint32_t)d->header[5] << 16 |
				  (uint32_t)d->header[6] << 8 | d->header[7];
			continue;
		}
		size_t take = len < d->left ? len : d->left;
		int r = relay_write(d->fd, data, take);
		if (r < 0)
			return r;
		d->left -= (uint32_t)take;
		data += take;
		len -= take;
	}
	return 0;
}

/* One read from the container: 1 data, 0 end of output, -EAGAIN nothing now, or another error. */
static int pump_out(struct state *s, size_t which)
{
	struct relay *relay = s->relay;
	ssize_t got = read(relay->out[which], s->buffer, CHUNK);
	if (got < 0 && errno == EINTR)
		return 1;
	if (got < 0 && (errno == EAGAIN || errno == EIO || errno == ECONNRESET))
		/* EIO: the last process on the other side of a terminal is gone. */
		return errno == EAGAIN ? -EAGAIN : 0;
	if (got < 0)
		return -errno;
	if (got == 0)
		return 0;
	int r = relay->framed ? demux_write(&s->demux, s->buffer, (size_t)got)
			      : relay_write(which ? STDERR_FILENO : STDOUT_FILENO, s->buffer,
					    (size_t)got);
	return r < 0 ? r : 1;
}

static void close_in(struct state *s)
{
	if (!s->in_open)
		return;
	s->in_open = false;
	/* A terminal has no end of file to pass on. */
	if (!s->relay->tty && shutdown(s->relay->in, SHUT_WR) < 0 && errno == ENOTSOCK) {
		close(s->relay->in);
		s->relay->in = -1;
	}
}

static void flush_in(struct state *s)
{
	while (s->pending_len > 0) {
		ssize_t written = write(s->relay->in, s->pending + s->pending_at, s->pending_len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0 && errno == EAGAIN)
			return;
		if (written < 0) {
			/* Nobody reads any more; the rest of our stdin is of no interest then. */
			s->pending_len = 0;
			s->stdin_open = false;
			close_in(s);
			return;
		}
		s->pending_at += (size_t)written;
		s->pending_len -= (size_t)written;
	}
	if (!s->stdin_open)
		close_in(s);
}

/* True when the detach keys were typed. */
static bool pump_in(struct state *s)
{
	ssize_t got = read(STDIN_FILENO, s->buffer, CHUNK);
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	bool detach = false;
	s->pending_at = 0;
	if (got <= 0)
		s->stdin_open = false;
	else if (s->relay->keys)
		detach = detach_keys_filter(s->relay->keys, s->buffer, (size_t)got, s->pending,
					    &s->pending_len);
	else
		memcpy(s->pending, s->buffer, s->pending_len = (size_t)got);
	flush_in(s);
	return detach;
}

static void pump_signals(struct state *s)
{
	struct signalfd_siginfo info;
	while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
		unsigned short rows, columns;
		if (info.ssi_signo == SIGWINCH && s->relay->tty) {
			if (s->relay->resize && terminal_size(&rows, &columns))
				s->relay->resize(s->relay->opaque, rows, columns);
		} else if (s->relay->signal) {
			s->relay->signal(s->relay->opaque, (int)info.ssi_signo);
		}
	}
}

static void prepare_poll(const struct state *s, struct pollfd fds[WATCH_COUNT])
{
	const struct relay *relay = s->relay;
	bool read_stdin = s->stdin_open && s->in_open && s->pending_len == 0;
	fds[WATCH_STDIN] = (struct pollfd) { read_stdin ? STDIN_FILENO : -1, POLLIN, 0 };
	fds[WATCH_IN] =
		(struct pollfd) { s->pending_len && s->in_open ? relay->in : -1, POLLOUT, 0 };
	fds[WATCH_OUT] = (struct pollfd) { relay->out[0], POLLIN, 0 };
	fds[WATCH_OUT2] = (struct pollfd) { relay->out[1], POLLIN, 0 };
	fds[WATCH_SIGNAL] = (struct pollfd) { s->signals, POLLIN, 0 };
	fds[WATCH_END] = (struct pollfd) { s->ended ? -1 : relay->end, POLLIN, 0 };
}

/* After the end of an exec'd process: what it wrote is read, what its children still hold is not.
 */
static int drain(struct state *s)
{
	for (size_t i = 0; i < 2; i++) {
		int fd = s->relay->out[i], r = 1;
		if (fd < 0)
			continue;
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		while (r > 0)
			r = pump_out(s, i);
		if (r < 0 && r != -EAGAIN)
			return r;
		s->relay->out[i] = -1;
	}
	return 0;
}

/* One round. 1: go on, 0: over, 2: detached. */
static int turn(struct state *s)
{
	struct relay *relay = s->relay;
	struct pollfd fds[WATCH_COUNT];
	prepare_poll(s, fds);
	if (poll(fds, WATCH_COUNT, -1) < 0)
		return errno == EINTR ? 1 : -errno;
	if (fds[WATCH_SIGNAL].revents)
		pump_signals(s);
	for (size_t i = 0; i < 2; i++) {
		if (!fds[WATCH_OUT + i].revents)
			continue;
		int r = pump_out(s, i);
		if (r < 0 && r != -EAGAIN)
			return r;
		if (r == 0)
			relay->out[i] = -1;
	}
	if (fds[WATCH_IN].revents)
		flush_in(s);
	if (fds[WATCH_STDIN].revents && pump_in(s))
		return 2;
	if (fds[WATCH_END].revents) {
		s->ended = true;
		int r = relay->end_drains ? drain(s) : 0;
		if (r < 0)
			return r;
	}
	return s->ended && relay->out[0] < 0 && relay->out[1] < 0 ? 0 : 1;
}

static int loop(struct state *s)
{
	int r = 1;
	while (r == 1)
		r = turn(s);
	if (r < 0)
		return error_errno(s->err, r, "cannot relay the container's streams");
	return r == 2 ? RELAY_DETACHED : RELAY_ENDED;
}

int relay_run(struct relay *relay, struct arena *arena, struct masu_error *err)
{
	sigset_t set;
	forwarded_signals(relay, &set);
	relay_block_signals(relay);
	signal(SIGPIPE, SIG_IGN);
	_cleanup_close_ int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return error_errno(err, -errno, "cannot receive signals");
	struct state state = { .relay = relay, .signals = signals, .err = err };
	state.buffer = arena_alloc(arena, CHUNK);
	state.pending = arena_alloc(arena, CHUNK + DETACH_KEYS_MAX);
	if (!state.buffer || !state.pending)
		return error_set(err, -ENOMEM, "out of memory");
	state.in_open = relay->in >= 0;
	state.stdin_open = relay->stdin_;
	if (state.in_open)
		fcntl(relay->in, F_SETFL, fcntl(relay->in, F_GETFL) | O_NONBLOCK);
	/* Where nothing is to be sent the process reads end of file at once. */
	if (state.in_open && !state.stdin_open)
		close_in(&state);
	if (relay->tty && relay->stdin_)
		terminal_make_raw();
	int r = loop(&state);
	terminal_restore();
	return r;
}
