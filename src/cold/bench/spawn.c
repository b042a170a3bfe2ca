#include "cold/bench/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

#define MAX_OUTPUT (8u << 20)

volatile sig_atomic_t spawn_interrupted;
void (*spawn_tick)(void);

static void on_signal(int signal)
{
	spawn_interrupted = 1;
}

void spawn_catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

double spawn_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int spawn_find(const char *program, char *ret, size_t size)
{
	const char *path = getenv("PATH");
	if (strchr(program, '/'))
		return access(program, X_OK) == 0 ? str_format(ret, size, "%s", program) : -ENOENT;
	/* What administrators run is not in everybody's PATH. */
	_cleanup_free_ char *copy = NULL;
	if (asprintf(&copy, "%s:/usr/local/sbin:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin") <
	    0)
		return -ENOMEM;
	char *rest = copy, *dir;
	while ((dir = strsep(&rest, ":")))
		if (*dir && str_format(ret, size, "%s/%s", dir, program) == 0 &&
		    access(ret, X_OK) == 0)
			return 0;
	return -ENOENT;
}

/* In the child, up to execve. @started is shared with the parent. */
static void __attribute__((noreturn))
become(const struct spawn *spawn, const char *program, int out, int errors, double *started)
{
	sigset_t none;
	cpu_set_t cpus;
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, STDIN_FILENO);
	dup2(out >= 0 ? out : null, STDOUT_FILENO);
	dup2(errors >= 0 ? errors : null, STDERR_FILENO);
	if (spawn->netns >= 0 && setns(spawn->netns, CLONE_NEWNET) < 0)
		_exit(126);
	if (spawn->root && (chroot(spawn->root) < 0 || chdir("/") < 0))
		_exit(126);
	CPU_ZERO(&cpus);
	if (spawn->cpu >= 0) {
		CPU_SET((size_t)spawn->cpu, &cpus);
		if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0)
			_exit(126);
	}
	if (spawn->root)
		setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	*started = spawn_now();
	if (spawn->root)
		execvp(spawn->argv[0], (char *const *)spawn->argv);
	else
		execv(program, (char *const *)spawn->argv);
	_exit(127);
}

static int output_file(bool quiet, int *ret)
{
	*ret = quiet ? -1 : memfd_create("output", MFD_CLOEXEC);
	return quiet || *ret >= 0 ? 0 : -errno;
}

int spawn_read(int fd, struct buf *ret)
{
	buf_reset(ret);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	if (size <= 0)
		return 0;
	size_t len = (size_t)size > MAX_OUTPUT ? MAX_OUTPUT : (size_t)size;
	int r = buf_reserve(ret, len + 1);
	ssize_t n = r < 0 ? 0 : pread(fd, ret->data, len, 0);
	if (n > 0) {
		ret->len = (size_t)n;
		ret->data[n] = '\0';
	}
	return r;
}

/* Until the process ends; 0, -ETIMEDOUT or -EINTR. */
static int wait_for(int pidfd, double end)
{
	for (;;) {
		struct pollfd fd = { .fd = pidfd, .events = POLLIN };
		if (spawn_interrupted)
			return -EINTR;
		if (spawn_now() >= end)
			return -ETIMEDOUT;
		if (poll(&fd, 1, 1000) > 0)
			return 0;
		if (spawn_tick)
			spawn_tick();
	}
}

static double seconds(const struct timeval *time)
{
	return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static int finish(pid_t pid, int r, const volatile double *started, struct spawn_result *ret)
{
	struct rusage usage;
	int status;
	double end = spawn_now();
	if (r < 0)
		kill(-pid, SIGKILL);
	while (wait4(pid, &status, 0, &usage) < 0)
		if (errno != EINTR)
			return -errno;
	*ret = (struct spawn_result) {
		.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
		.wall = end - *started,
		.cpu = seconds(&usage.ru_utime) + seconds(&usage.ru_stime),
	};
	return r;
}

int spawn_run(const struct spawn *spawn, struct buf *out, struct buf *errors,
	      struct spawn_result *ret, struct masu_error *err)
{
	char program[PATH_MAX] = "";
	_cleanup_close_ int out_fd = -1, error_fd = -1;
	double *started = mmap(NULL, sizeof(*started), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (started == MAP_FAILED)
		return error_errno(err, -errno, "memory for %s", spawn->argv[0]);
	int r = spawn->root ? 0 : spawn_find(spawn->argv[0], program, sizeof(program));
	if (r == 0)
		r = output_file(spawn->quiet, &out_fd);
	if (r == 0)
		r = output_file(false, &error_fd);
	*started = spawn_now();
	pid_t pid = r < 0 ? -1 : fork();
	if (pid == 0)
		become(spawn, program, out_fd, error_fd, started);
	if (r == 0 && pid < 0)
		r = -errno;
	if (r == 0) {
		setpgid(pid, pid);
		_cleanup_close_ int pidfd = sys_pidfd_open(pid, 0);
		r = finish(pid, wait_for(pidfd, spawn_now() + spawn->limit), started, ret);
	}
	munmap(started, sizeof(*started));
	if (r == 0)
		r = spawn_read(out_fd, out);
	if (r == 0)
		r = spawn_read(error_fd, errors);
	if (r == -ETIMEDOUT)
		return error_set(err, r, "%s: took more than %.0f s", spawn->argv[0], spawn->limit);
	return r < 0 ? error_errno(err, r, "%s", spawn->argv[0]) : 0;
}

int spawn_start(const struct spawn *spawn, pid_t *ret, struct masu_error *err)
{
	char program[PATH_MAX] = "";
	double started;
	int r = spawn->root ? 0 : spawn_find(spawn->argv[0], program, sizeof(program));
	pid_t parent = getpid(), pid = r < 0 ? -1 : fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(126);
		int log = spawn->log > 0 ? spawn->log : -1;
		become(spawn, program, log, log, &started);
	}
	if (pid < 0)
		return error_errno(err, r < 0 ? r : -errno, "%s", spawn->argv[0]);
	setpgid(pid, pid);
	*ret = pid;
	return 0;
}

/* ---- a process and all that came of it ---- */

#define TREE_MAX 256
#define END_MS	 10000

struct tree {
	pid_t pids[TREE_MAX];
	int pidfds[TREE_MAX];
	size_t count;
};

static bool is_in(const struct tree *tree, pid_t pid)
{
	for (size_t i = 0; i < tree->count; i++)
		if (tree->pids[i] == pid)
			return true;
	return false;
}

/* By pidfd, so that nobody else who gets the number meanwhile is meant. */
static bool add_process(struct tree *tree, pid_t pid)
{
	int fd = tree->count == TREE_MAX ? -1 : sys_pidfd_open(pid, 0);
	if (fd < 0)
		return false;
	tree->pids[tree->count] = pid;
	tree->pidfds[tree->count++] = fd;
	return true;
}

/* Those whose parent is in the tree, again until there are none: a child may have a lower number.
 */
static void add_children(struct tree *tree)
{
	for (bool more = true; more;) {
		_cleanup_closedir_ DIR *proc = opendir("/proc");
		struct dirent *entry;
		more = false;
		while (proc && (entry = readdir(proc))) {
			struct proc_stat stat;
			pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
			if (pid > 0 && !is_in(tree, pid) && proc_read_stat(pid, &stat) == 0 &&
			    is_in(tree, stat.parent))
				more |= add_process(tree, pid);
		}
	}
}

void spawn_stop(pid_t pid)
{
	struct tree tree = { .count = 0 };
	if (pid <= 0)
		return;
	/* Stopped, the first makes no more children while they are counted. */
	kill(pid, SIGSTOP);
	if (add_process(&tree, pid))
		add_children(&tree);
	kill(-pid, SIGKILL);
	for (size_t i = 0; i < tree.count; i++)
		sys_pidfd_send_signal(tree.pidfds[i], SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	for (size_t i = 0; i < tree.count; i++) {
		struct pollfd fd = { .fd = tree.pidfds[i], .events = POLLIN };
		poll(&fd, 1, END_MS);
		close(tree.pidfds[i]);
	}
}
