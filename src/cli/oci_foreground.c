/* Staying with a process in the foreground: signals, terminal, exit status. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/oci.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

struct foreground {
	pid_t pid;
	int pidfd, console_fd, signal_fd;
	bool raw;
	struct termios saved;
	bool input_open;
	bool ended;
	int status;
};

static void handled_signals(sigset_t *set)
{
	sigfillset(set);
	/* Faults of masu itself stay deadly, and it can be stopped like any program. */
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE,  SIGILL,  SIGABRT,
				   SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU, SIGTSTP };
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		sigdelset(set, own[i]);
}

void oci_foreground_prepare(bool subreaper)
{
	sigset_t set;
	handled_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (subreaper)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

static void copy_size(const struct foreground *foreground)
{
	struct winsize size;
	if (foreground->console_fd >= 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
		(void)ioctl(foreground->console_fd, TIOCSWINSZ, &size);
}

static void make_raw(struct foreground *foreground)
{
	if (foreground->console_fd < 0 || tcgetattr(STDIN_FILENO, &foreground->saved) < 0)
		return;
	struct termios raw = foreground->saved;
	cfmakeraw(&raw);
	foreground->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
	copy_size(foreground);
}

static void foreground_end(struct foreground *foreground)
{
	if (foreground->raw)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &foreground->saved);
	cleanup_close(&foreground->signal_fd);
}

static void reap(struct foreground *foreground)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0)
		if (pid == foreground->pid) {
			foreground->ended = true;
			foreground->status =
				WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		}
}

static void take_signal(struct foreground *foreground)
{
	struct signalfd_siginfo info;
	if (read(foreground->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD)
		reap(foreground);
	else if (info.ssi_signo == SIGWINCH)
		copy_size(foreground);
	else if (info.ssi_signo != SIGPIPE)
		(void)sys_pidfd_send_signal(foreground->pidfd, (int)info.ssi_signo);
}

/* 0: end of input. */
static ssize_t copy_bytes(int from, int to)
{
	char buffer[8192];
	ssize_t got;
	do
		got = read(from, buffer, sizeof(buffer));
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return 0;
	return fs_write_all(to, buffer, (size_t)got) < 0 ? 0 : got;
}

static void relay(struct foreground *foreground, const struct pollfd *fds)
{
	const short readable = POLLIN | POLLHUP | POLLERR;
	if ((fds[1].revents & readable) && copy_bytes(foreground->console_fd, STDOUT_FILENO) == 0)
		foreground->console_fd = -1;
	if ((fds[2].revents & readable) && copy_bytes(STDIN_FILENO, foreground->console_fd) == 0)
		foreground->input_open = false;
}

/* What the process wrote last is still in the pty when it has ended. */
static void drain(const struct foreground *foreground)
{
	if (foreground->console_fd < 0)
		return;
	struct pollfd fd = { .fd = foreground->console_fd, .events = POLLIN };
	while (poll(&fd, 1, 0) > 0 && (fd.revents & POLLIN))
		if (copy_bytes(foreground->console_fd, STDOUT_FILENO) == 0)
			return;
}

int oci_foreground(pid_t pid, int pidfd, int console_fd, struct masu_error *err)
{
	sigset_t set;
	_cleanup_(foreground_end)
	struct foreground foreground = {
		.pid = pid,
		.pidfd = pidfd,
		.console_fd = console_fd,
		.signal_fd = -1,
		.input_open = console_fd >= 0,
	};
	handled_signals(&set);
	foreground.signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (foreground.signal_fd < 0)
		return error_errno(err, -errno, "signalfd");
	make_raw(&foreground);
	/* It may have ended before anything was waited for. */
	reap(&foreground);
	while (!foreground.ended) {
		bool input = foreground.input_open && foreground.console_fd >= 0;
		struct pollfd fds[] = {
			{ .fd = foreground.signal_fd, .events = POLLIN },
			{ .fd = foreground.console_fd, .events = POLLIN },
			{ .fd = input ? STDIN_FILENO : -1, .events = POLLIN },
		};
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0) {
			if (errno == EINTR)
				continue;
			return error_errno(err, -errno, "poll");
		}
		if (fds[0].revents)
			take_signal(&foreground);
		relay(&foreground, fds);
	}
	drain(&foreground);
	return foreground.status;
}
