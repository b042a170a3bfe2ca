/*
 * masu-init: process 1 of a container that was started with --init.
 *
 *	masu-init [--] COMMAND [ARG...]
 *
 * Starts the command in a process group of its own, in the foreground of the terminal if there is
 * one; hands every signal on to it; reaps whatever becomes its child; and ends with the command's
 * status, or 128 + the signal that ended it, or 126/127 where it could not be started. When
 * process 1 ends the kernel kills what is left.
 *
 * Uses no library but libc and allocates nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND	127

/* These tell of a fault in this process, not of a wish for the command. */
static const int own_signals[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS };

static void complain(const char *what, const char *why)
{
	struct iovec line[] = {
		{ (void *)"masu-init: ", 11 }, { (void *)what, strlen(what) },
		{ (void *)": ", 2 },	       { (void *)why, strlen(why) },
		{ (void *)"\n", 1 },
	};
	if (writev(STDERR_FILENO, line, sizeof(line) / sizeof(line[0])) < 0)
		return; /* nobody is left to be told */
}

static int exec_status(int error)
{
	return error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

/* Every signal but the own ones waits to be fetched; @ret_before is what the command shall have. */
static int block_signals(sigset_t *ret_set, sigset_t *ret_before)
{
	/* Not sigfillset(): musl keeps 32 to 34 to itself, which are SIGRTMIN and so to others. */
	memset(ret_set, 0xff, sizeof(*ret_set));
	for (size_t i = 0; i < sizeof(own_signals) / sizeof(own_signals[0]); i++)
		sigdelset(ret_set, own_signals[i]);
	return sigprocmask(SIG_SETMASK, ret_set, ret_before);
}

/* Takes the terminal for the calling process's group. It still blocks SIGTTOU, so may do that from
 * the background. */
static int take_terminal(void)
{
	if (tcsetpgrp(STDIN_FILENO, getpgrp()) == 0)
		return 0;
	/* No terminal, one of another session, or none of ours to take: not in the way. */
	return errno == ENOTTY || errno == ENXIO || errno == EBADF || errno == EPERM ? 0 : -1;
}

static int run_command(char **argv, const sigset_t *mask)
{
	if (setpgid(0, 0) < 0 || take_terminal() < 0 || sigprocmask(SIG_SETMASK, mask, NULL) < 0) {
		complain(argv[0], strerror(errno));
		return EXIT_CANNOT_RUN;
	}
	execvp(argv[0], argv);
	int error = errno;
	complain(argv[0], strerror(error));
	return exec_status(error);
}

static int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Reaps all that has ended. True where the command is among it, with its status. */
static bool reap(pid_t command, int *ret_status)
{
	bool ended = false;
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR)) {
		if (pid != command)
			continue;
		*ret_status = exit_status(status);
		ended = true;
	}
	return ended;
}

static int serve(pid_t command, const sigset_t *signals)
{
	int status = 0;
	for (;;) {
		siginfo_t info;
		int sig = sigwaitinfo(signals, &info);
		if (sig == SIGCHLD) {
			if (reap(command, &status))
				return status;
			continue;
		}
		/* A terminal that stops its background must not be passed on: the command has it.
		 */
		if (sig > 0 && sig != SIGTTIN && sig != SIGTTOU)
			kill(command, sig); /* gone already: SIGCHLD is on its way */
	}
}

int main(int argc, char **argv)
{
	sigset_t signals, before;
	argv++;
	if (argc > 1 && strcmp(argv[0], "--") == 0)
		argv++;
	if (argc < 2 || !*argv) {
		complain("no command", "usage: masu-init [--] COMMAND [ARG...]");
		return EXIT_CANNOT_RUN;
	}
	/* In somebody else's pid namespace the orphans would go past us. */
	if (getpid() != 1 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
		complain("cannot adopt orphans", strerror(errno));
		return EXIT_CANNOT_RUN;
	}
	if (block_signals(&signals, &before) < 0) {
		complain("signals", strerror(errno));
		return EXIT_CANNOT_RUN;
	}
	pid_t command = fork();
	if (command == 0)
		_exit(run_command(argv, &before));
	if (command < 0) {
		complain("cannot fork", strerror(errno));
		return EXIT_CANNOT_RUN;
	}
	return serve(command, &signals);
}
