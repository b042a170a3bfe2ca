/* One port: a process, its streams, and what the host says to it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec/vm/guest/guest.h"

#define PENDING_MAX (256 << 10)

static struct session {
	struct port port;
	struct wish wish;
	struct process process;
	bool first, begun, running, ended, input_ends;
	int signal_fd, status;
	char pending[PENDING_MAX]; /* input that the process has not taken */
	size_t pending_len;
	void (*on_started)(pid_t pid);
} the_session;

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void start(struct session *s)
{
	const char *what = "";
	int status = 0;
	if (!s->wish.arg_count) {
		errno = EINVAL;
		status = 125;
	}
	if (status == 0)
		status = process_start(&s->wish, s->first, &s->process, &what);
	if (status) {
		port_failed(&s->port, status, what, errno);
		close_fd(&s->process.in);
		return;
	}
	s->running = true;
	port_send(&s->port, VM_STARTED, NULL, 0);
	if (s->on_started)
		s->on_started(s->process.pid);
}

/* What the process takes now of its input. */
static void feed(struct session *s)
{
	while (s->pending_len && s->process.in >= 0) {
		ssize_t put = write(s->process.in, s->pending, s->pending_len);
		if (put < 0 && errno == EAGAIN)
			return;
		if (put < 0) {
			s->pending_len = 0;
			break;
		}
		s->pending_len -= (size_t)put;
		memmove(s->pending, s->pending + put, s->pending_len);
	}
	/* A terminal's end of input is a key, which the other side sends. */
	if (s->input_ends && !s->pending_len && !s->process.tty)
		close_fd(&s->process.in);
}

static void set_size(struct session *s, const char *data)
{
	struct winsize size;
	memcpy(&size.ws_row, data, 2);
	memcpy(&size.ws_col, data + 2, 2);
	size.ws_xpixel = size.ws_ypixel = 0;
	if (s->process.tty)
		ioctl(s->process.out, TIOCSWINSZ, &size);
}

static void take_record(struct session *s, char *data)
{
	if ((s->begun && wish_record(&s->wish, data[0], data + 1)) || !s->first)
		return;
	int r = setup_record(data[0], data + 1);
	if (r < 0)
		port_failed(&s->port, 125, data + 1, -r);
}

static void take_frame(struct session *s, const struct vm_frame *frame, char *data)
{
	switch (frame->type) {
	case VM_BEGIN:
		s->begun = !s->running;
		if (s->begun)
			memset(&s->wish, 0, sizeof(s->wish));
		break;
	case VM_RECORD:
		if (!s->running)
			take_record(s, data);
		break;
	case VM_RUN:
		/* What began while the last one ran has lost records, even if that has ended since.
		 */
		if (s->begun)
			start(s);
		else
			port_failed(&s->port, VM_STATUS_BUSY, "the port", EBUSY);
		s->begun = false;
		break;
	case VM_INPUT:
		if (s->pending_len + frame->len <= sizeof(s->pending)) {
			memcpy(s->pending + s->pending_len, data, frame->len);
			s->pending_len += frame->len;
		}
		feed(s);
		break;
	case VM_INPUT_END:
		s->input_ends = true;
		feed(s);
		break;
	case VM_SIGNAL:
		if (s->running && !s->ended)
			kill(s->process.pid, data[0]);
		break;
	case VM_SIZE:
		if (frame->len == 4)
			set_size(s, data);
		break;
	default:
		break;
	}
}

/* false: it has ended, or there is nothing now. */
static bool pass_on(struct session *s, int *fd, enum vm_frame_type type)
{
	char data[VM_FRAME_MAX];
	struct pollfd ready = { .fd = *fd, .events = POLLIN };
	if (*fd < 0 || poll(&ready, 1, 0) <= 0)
		return false;
	ssize_t got = read(*fd, data, sizeof(data));
	if (got > 0) {
		port_send(&s->port, type, data, (size_t)got);
		return true;
	}
	if (fd != &s->process.out || !s->process.tty)
		close_fd(fd);
	return false;
}

static void reap(struct session *s)
{
	int status;
	pid_t pid;
	struct signalfd_siginfo info;
	while (read(s->signal_fd, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (s->running && pid == s->process.pid) {
			s->ended = true;
			s->status =
				WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
}

/* Whether this kernel has ended a process because there was no memory for it. */
static bool ran_out_of_memory(void)
{
	char line[128];
	long count = 0;
	FILE *file = fopen("/proc/vmstat", "re");
	while (file && !count && fgets(line, sizeof(line), file))
		if (sscanf(line, "oom_kill %ld", &count) != 1)
			count = 0;
	if (file)
		fclose(file);
	return count > 0;
}

static void finish(struct session *s)
{
	while (pass_on(s, &s->process.out, VM_OUTPUT) || pass_on(s, &s->process.err, VM_ERRORS))
		;
	const char end[] = { (char)s->status, s->first && ran_out_of_memory() };
	if (s->first)
		sync();
	port_send(&s->port, VM_EXIT, end, s->first ? 2 : 1);
	if (s->process.in != s->process.out)
		close_fd(&s->process.in);
	close_fd(&s->process.out);
	close_fd(&s->process.err);
	s->process.in = -1;
	s->running = s->ended = s->input_ends = false;
	s->pending_len = 0;
	memset(&s->wish, 0, sizeof(s->wish));
}

static void step(struct session *s)
{
	struct vm_frame frame;
	char *data;
	int got = 0;
	/* Input waits in the port while the process takes none. */
	while (s->pending_len <= sizeof(s->pending) - VM_FRAME_MAX &&
	       (got = port_next(&s->port, &frame, &data)) > 0)
		take_frame(s, &frame, data);
	bool watch_input = s->running && s->pending_len && s->process.in >= 0;
	struct pollfd fds[] = {
		{ .fd = s->signal_fd, .events = POLLIN },
		/* Where nobody is, SIGIO tells of the next one. */
		{ .fd = got < 0 ? -1 : s->port.fd,
		  .events = s->pending_len <= sizeof(s->pending) - VM_FRAME_MAX ? POLLIN : 0 },
		{ .fd = s->running ? s->process.out : -1, .events = POLLIN },
		{ .fd = s->running ? s->process.err : -1, .events = POLLIN },
		{ .fd = watch_input ? s->process.in : -1, .events = POLLOUT },
	};
	if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0)
		return;
	if (fds[0].revents)
		reap(s);
	if (s->running && fds[2].revents && !pass_on(s, &s->process.out, VM_OUTPUT) && !s->ended &&
	    s->process.tty)
		usleep(1000); /* a terminal that nobody has open reads as an error */
	if (s->running && fds[3].revents)
		pass_on(s, &s->process.err, VM_ERRORS);
	if (fds[4].revents)
		feed(s);
	if (s->running && s->ended)
		finish(s);
}

void session_serve(unsigned number, bool first, void (*on_started)(pid_t pid))
{
	struct session *s = &the_session;
	const char *what;
	sigset_t signals;
	*s = (struct session) { .first = first,
				.on_started = on_started,
				.process = { .in = -1, .out = -1, .err = -1 } };
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGIO);
	sigprocmask(SIG_SETMASK, &signals, NULL);
	s->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	signal(SIGPIPE, SIG_IGN);
	if (port_open(&s->port, number) < 0 || s->signal_fd < 0) {
		perror("masu-vm-init: the port");
		return;
	}
	if (first) {
		port_send(&s->port, VM_HELLO, NULL, 0);
		int r = setup_root(&what);
		if (r < 0)
			port_failed(&s->port, 125, what, -r);
	}
	for (;;)
		step(s);
}
