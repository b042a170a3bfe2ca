#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/vm/vm.h"
#include "sys/fs.h"

#define STATUS_LOST 255

int session_send(int fd, enum vm_frame_type type, const void *data, size_t len)
{
	char frame[sizeof(struct vm_frame) + VM_FRAME_MAX];
	const struct vm_frame header = { .len = (uint32_t)len, .type = (uint8_t)type };
	if (len > VM_FRAME_MAX)
		return -E2BIG;
	memcpy(frame, &header, sizeof(header));
	if (len)
		memcpy(frame + sizeof(header), data, len);
	return fs_write_all(fd, frame, sizeof(header) + len);
}

int session_record(int fd, enum vm_record letter, const char *text)
{
	char record[VM_FRAME_MAX];
	int len = snprintf(record, sizeof(record), "%c%s", (char)letter, text);
	if (len < 0 || (size_t)len >= sizeof(record))
		return -E2BIG;
	return session_send(fd, VM_RECORD, record, (size_t)len);
}

static int send_number(int fd, enum vm_record letter, uint64_t number)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, number);
	return session_record(fd, letter, text);
}

static int send_all(int fd, enum vm_record letter, char *const *texts)
{
	int r = 0;
	for (; texts && *texts && r == 0; texts++)
		r = session_record(fd, letter, *texts);
	return r;
}

static int send_rights(int fd, const struct oci_process *process)
{
	char text[128];
	const struct oci_capabilities *caps = &process->capabilities;
	int r = 0;
	snprintf(text, sizeof(text), "%" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64,
		 caps->bounding, process->uid ? caps->ambient : caps->effective,
		 process->uid ? caps->ambient : caps->permitted, caps->inheritable, caps->ambient);
	if (process->has_capabilities)
		r = session_record(fd, VM_CAPS, text);
	for (size_t i = 0; i < process->rlimit_count && r == 0; i++) {
		const struct oci_rlimit *limit = &process->rlimits[i];
		snprintf(text, sizeof(text), "%d %" PRIu64 " %" PRIu64, limit->resource,
			 limit->soft, limit->hard);
		r = session_record(fd, VM_RLIMIT, text);
	}
	if (r == 0 && process->no_new_privileges)
		r = session_record(fd, VM_NO_NEW_PRIVILEGES, "");
	return r;
}

int session_process(int fd, const struct oci_process *process)
{
	char mask[16];
	int r = session_send(fd, VM_BEGIN, NULL, 0);
	if (r == 0)
		r = send_all(fd, VM_ARG, process->args);
	if (r == 0)
		r = send_all(fd, VM_ENV, process->env);
	if (r == 0)
		r = session_record(fd, VM_CWD, process->cwd ? process->cwd : "/");
	if (r == 0)
		r = send_number(fd, VM_UID, process->uid);
	if (r == 0)
		r = send_number(fd, VM_GID, process->gid);
	for (size_t i = 0; i < process->additional_gid_count && r == 0; i++)
		r = send_number(fd, VM_GROUP, process->additional_gids[i]);
	if (r == 0)
		r = send_rights(fd, process);
	if (r == 0 && process->terminal)
		r = session_record(fd, VM_TTY, "");
	snprintf(mask, sizeof(mask), "%o", process->has_umask ? process->umask : 022);
	return r < 0 ? r : session_record(fd, VM_UMASK, mask);
}

static int read_exactly(int fd, int timeout_ms, char *data, size_t len)
{
	while (len > 0) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		int ready = poll(&wait, 1, timeout_ms);
		if (ready == 0)
			return -ETIMEDOUT;
		ssize_t got = ready < 0 ? -1 : read(fd, data, len);
		if (got < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (got == 0)
			return -EPIPE;
		if (got > 0) {
			data += got;
			len -= (size_t)got;
		}
	}
	return 0;
}

int session_receive(int fd, int timeout_ms, struct vm_frame *ret, char data[VM_FRAME_MAX + 1])
{
	int r = read_exactly(fd, timeout_ms, (char *)ret, sizeof(*ret));
	if (r == 0 && ret->len > VM_FRAME_MAX)
		return -EPROTO;
	if (r == 0)
		r = read_exactly(fd, timeout_ms, data, ret->len);
	if (r == 0)
		data[ret->len] = '\0';
	return r;
}

/* What the guest says goes to people: no control characters. */
static int failed(const struct vm_frame *frame, char *data, struct masu_error *err)
{
	if (frame->len < 1)
		return error_set(err, -EPROTO, "vm: the guest failed");
	int status = (unsigned char)data[0];
	if (status == VM_STATUS_BUSY)
		return -EBUSY;
	for (char *p = data + 1; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	error_set(err, -EIO, "vm: %.500s", data + 1);
	if (status == 126 || status == 127)
		error_exit_status(err, status);
	return -EIO;
}

int session_await(int fd, struct masu_error *err)
{
	static char data[VM_FRAME_MAX + 1];
	struct vm_frame frame;
	int r;
	while ((r = session_receive(fd, -1, &frame, data)) == 0) {
		if (frame.type == VM_STARTED)
			return 0;
		if (frame.type == VM_FAILED)
			return failed(&frame, data, err);
	}
	return error_errno(err, r, "vm: the machine ended while the process was started");
}

int session_terminal(int *ret_master, int *ret_slave, struct masu_error *err)
{
	struct termios raw;
	char path[32];
	int unlock = 0, number;
	_cleanup_close_ int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
	    ioctl(master, TIOCGPTN, &number) < 0)
		return error_errno(err, -errno, "cannot make a terminal");
	snprintf(path, sizeof(path), "/dev/pts/%d", number);
	_cleanup_close_ int slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || tcgetattr(slave, &raw) < 0)
		return error_errno(err, -errno, "cannot open the terminal");
	/* The guest's own is the one that has rules. */
	cfmakeraw(&raw);
	if (tcsetattr(slave, TCSANOW, &raw) < 0)
		return error_errno(err, -errno, "cannot set the terminal");
	*ret_master = take_fd(&master);
	*ret_slave = take_fd(&slave);
	return 0;
}

/* ---- relaying ---- */

struct relay {
	int fd, in, out[2], tty, signal_fd;
	int status; /* -1: it runs */
};

static void send_size(struct relay *relay)
{
	struct winsize size;
	char data[4];
	if (relay->tty < 0 || ioctl(relay->tty, TIOCGWINSZ, &size) < 0 || !size.ws_row)
		return;
	memcpy(data, &size.ws_row, 2);
	memcpy(data + 2, &size.ws_col, 2);
	session_send(relay->fd, VM_SIZE, data, sizeof(data));
}

static void take_signals(struct relay *relay)
{
	struct signalfd_siginfo info;
	while (read(relay->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		const char number = (char)info.ssi_signo;
		if (info.ssi_signo == SIGWINCH && relay->tty >= 0)
			send_size(relay);
		else if (info.ssi_signo != SIGCHLD && info.ssi_signo != SIGPIPE)
			session_send(relay->fd, VM_SIGNAL, &number, 1);
	}
}

static void take_input(struct relay *relay)
{
	char data[VM_FRAME_MAX];
	ssize_t got = read(relay->in, data, sizeof(data));
	if (got > 0) {
		session_send(relay->fd, VM_INPUT, data, (size_t)got);
	} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		session_send(relay->fd, VM_INPUT_END, NULL, 0);
		relay->in = -1;
	}
}

/* Who does not read any more has the rest dropped. */
static void put_out(int *fd, const char *data, size_t len)
{
	while (*fd >= 0 && len > 0) {
		struct pollfd wait = { .fd = *fd, .events = POLLOUT };
		ssize_t put = write(*fd, data, len);
		if (put < 0 && errno == EAGAIN)
			poll(&wait, 1, -1);
		else if (put < 0 && errno != EINTR)
			*fd = -1;
		if (put > 0) {
			data += put;
			len -= (size_t)put;
		}
	}
}

static void take_frame(struct relay *relay)
{
	static char data[VM_FRAME_MAX + 1];
	struct vm_frame frame;
	if (session_receive(relay->fd, -1, &frame, data) < 0) {
		relay->status = STATUS_LOST;
		return;
	}
	if (frame.type == VM_OUTPUT)
		put_out(&relay->out[0], data, frame.len);
	else if (frame.type == VM_ERRORS)
		put_out(&relay->out[1], data, frame.len);
	else if (frame.type == VM_EXIT && frame.len == 1)
		relay->status = (unsigned char)data[0];
	else if (frame.type == VM_EXIT && frame.len == 2)
		relay->status = (unsigned char)data[0] | (data[1] ? SESSION_NO_MEMORY : 0);
}

int session_relay(int fd, const int stdio[3], int tty)
{
	struct relay relay = { .fd = fd,
			       .in = tty >= 0 ? tty : stdio[0],
			       .out = { tty >= 0 ? tty : stdio[1], tty >= 0 ? tty : stdio[2] },
			       .tty = tty,
			       .status = -1 };
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	relay.signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	send_size(&relay);
	while (relay.status < 0) {
		struct pollfd fds[] = { { .fd = fd, .events = POLLIN },
					{ .fd = relay.signal_fd, .events = POLLIN },
					{ .fd = relay.in, .events = POLLIN } };
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[1].revents)
			take_signals(&relay);
		if (fds[2].revents)
			take_input(&relay);
		if (fds[0].revents)
			take_frame(&relay);
	}
	cleanup_close(&relay.signal_fd);
	return relay.status;
}
