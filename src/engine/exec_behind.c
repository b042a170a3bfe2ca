/*
 * A process in a container that nobody waits for. Its parent stays: only a parent is told how it
 * ended, which `masu events` tells on, and a terminal has to be read.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/internal.h"
#include "engine/trim.h"
#include "sys/fs.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

#define TRIM_AFTER_MS 200
#define REAP_MAX_MS   10000

enum { PROCESS_ENDED, TERMINAL_READY };

int engine_exec_status(const struct engine_exec *exec, int *ret, struct masu_error *err)
{
	siginfo_t info = { 0 };
	int r;
	do
		r = waitid((idtype_t)P_PIDFD, (id_t)exec->pidfd, &info, WEXITED);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return error_errno(err, -errno, "cannot wait for the process");
	*ret = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
	return 0;
}

/*
 * How a process ended that is another's child: the kernel tells who has its pidfd, once its parent
 * has taken note (Linux 6.15; POLLHUP says when, 6.9). The bound is for a parent that never does.
 */
static int status_of_stranger(const struct engine_exec *exec, int *ret)
{
	struct sys_pidfd_info info = { .mask = SYS_PIDFD_INFO_EXIT };
	struct pollfd reaped = { .fd = exec->pidfd };
	if (ioctl(exec->pidfd, SYS_PIDFD_GET_INFO, &info) < 0 && errno != ESRCH)
		return -errno;
	if (poll(&reaped, 1, REAP_MAX_MS) != 1)
		return -ETIMEDOUT;
	info.mask = SYS_PIDFD_INFO_EXIT;
	if (ioctl(exec->pidfd, SYS_PIDFD_GET_INFO, &info) < 0)
		return -errno;
	if (!(info.mask & SYS_PIDFD_INFO_EXIT))
		return -EOPNOTSUPP;
	*ret = WIFEXITED(info.exit_code) ? WEXITSTATUS(info.exit_code)
					 : 128 + WTERMSIG(info.exit_code);
	return 0;
}

static int watch(int epoll_fd, int fd, unsigned what)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = what };
	return fd < 0 ? 0 : epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* false: there is nobody at the other end any more. */
static bool discard(int console_fd)
{
	char output[4096];
	ssize_t got = read(console_fd, output, sizeof(output));
	return got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN));
}

static void wait_for_end(const struct engine_exec *exec)
{
	struct epoll_event event;
	_cleanup_close_ int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || watch(epoll_fd, exec->pidfd, PROCESS_ENDED) < 0 ||
	    watch(epoll_fd, exec->console_fd, TERMINAL_READY) < 0)
		return;
	for (;;) {
		int count = epoll_wait(epoll_fd, &event, 1, TRIM_AFTER_MS);
		if (count == 0)
			count = trim_wait(epoll_fd, &event, 1);
		if (count < 0 && errno != EINTR)
			return;
		if (count > 0 && event.data.u32 == PROCESS_ENDED)
			return;
		if (count > 0 && !discard(exec->console_fd))
			epoll_ctl(epoll_fd, EPOLL_CTL_DEL, exec->console_fd, NULL);
	}
}

/* What belongs to the caller's session is hung up on when he goes, which may be before it has left.
 */
static void block_signals(void)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
}

/* Nobody returns from here, so that the stack above can go. */
static void __attribute__((noreturn))
keep(const struct engine *engine, const struct engine_exec *exec)
{
	static struct engine kept_engine;
	static struct engine_exec kept;
	int status, files[] = { engine->root_fd, engine->run_fd, exec->pidfd, exec->console_fd };
	kept_engine = *engine;
	kept = *exec;
	proc_go_behind(files, ARRAY_SIZE(files));
	trim_stack(__builtin_frame_address(0));
	wait_for_end(&kept);
	/* Behind a terminal that was left it is another's child. */
	if (engine_exec_status(&kept, &status, NULL) == 0 ||
	    status_of_stranger(&kept, &status) == 0)
		engine_exec_ended(&kept_engine, &kept, status);
	_exit(EXIT_SUCCESS);
}

void engine_exec_leave(struct engine *engine, const struct engine_exec *exec)
{
	/* Its terminal would hang up otherwise. */
	block_signals();
	if (exec->console_fd >= 0 && fork() == 0)
		keep(engine, exec);
}

struct outcome {
	int result;
	struct masu_error err;
};

static void __attribute__((noreturn))
run_behind(struct engine *engine, struct arena *arena, const char *id,
	   const struct exec_config *config, int writer)
{
	struct engine_exec exec;
	struct outcome outcome = { 0 };
	outcome.result = engine_exec(engine, arena, id, config, &exec, &outcome.err);
	block_signals(); /* SIGPIPE, too */
	fs_write_all(writer, &outcome, sizeof(outcome));
	if (outcome.result < 0)
		_exit(EXIT_FAILURE);
	keep(engine, &exec);
}

int engine_exec_behind(struct engine *engine, struct arena *arena, const char *id,
		       const struct exec_config *config, struct masu_error *err)
{
	struct outcome outcome;
	int ends[2];
	ssize_t got;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, -errno, "cannot make a pipe");
	_cleanup_close_ int reader = ends[0];
	_cleanup_close_ int writer = ends[1];
	pid_t pid = fork();
	if (pid < 0)
		return error_errno(err, -errno, "cannot fork");
	if (pid == 0)
		run_behind(engine, arena, id, config, writer);
	cleanup_close(&writer);
	/* In one piece: it is shorter than PIPE_BUF. */
	do
		got = read(reader, &outcome, sizeof(outcome));
	while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(outcome))
		return error_set(err, -ECHILD, "the process that was to wait for it was killed");
	if (outcome.result < 0 && err)
		*err = outcome.err;
	return outcome.result;
}
