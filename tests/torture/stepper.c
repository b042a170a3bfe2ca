/*
 * Stops a whole process tree at its N-th state-changing system call.
 *
 * A seccomp filter in the command returns SECCOMP_RET_TRACE for every call that changes something
 * that outlives the process (files, mounts, namespaces, processes, sockets, cgroups); one counter
 * is kept over all tasks of the tree, whatever namespace they are in. (strace's injection counts
 * for each task and hits one task: not usable here.) Works on static programs: nothing is
 * preloaded.
 *
 * Usage: stepper count      COMMAND...   prints the number of such calls on fd 3 (or stderr)
 *        stepper kill N     COMMAND...   SIGKILL to every task before the N-th call is made
 *        stepper error N E  COMMAND...   the N-th call fails with errno E (a number) and is not
 *                            made
 * Options before the verb: -t S  give up after S seconds (default 60): SIGKILL to all, status 124
 *                          -c C  count only calls of programs whose name begins with C
 *                          -v    say on fd 2 which process's call it was, by its number
 * It ends when the whole tree has ended, so COMMAND must not leave anything running. The status is
 * the command's own; 137 when it was killed here; 99 when N was never reached.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static const int traced_calls[] = {
	SYS_write,     SYS_pwrite64,   SYS_writev,    SYS_sendmsg,
	SYS_sendto,    SYS_openat,     SYS_open,      SYS_openat2,
	SYS_creat,     SYS_mkdir,      SYS_mkdirat,   SYS_mknod,
	SYS_mknodat,   SYS_rename,     SYS_renameat,  SYS_renameat2,
	SYS_link,      SYS_linkat,     SYS_symlink,   SYS_symlinkat,
	SYS_unlink,    SYS_unlinkat,   SYS_rmdir,     SYS_chmod,
	SYS_fchmod,    SYS_fchmodat,   SYS_fchmodat2, SYS_chown,
	SYS_fchown,    SYS_lchown,     SYS_fchownat,  SYS_setxattr,
	SYS_fsetxattr, SYS_lsetxattr,  SYS_truncate,  SYS_ftruncate,
	SYS_fsync,     SYS_fdatasync,  SYS_syncfs,    SYS_mount,
	SYS_umount2,   SYS_pivot_root, SYS_fsopen,    SYS_fsconfig,
	SYS_fsmount,   SYS_move_mount, SYS_open_tree, SYS_mount_setattr,
	SYS_clone,     SYS_clone3,     SYS_fork,      SYS_vfork,
	SYS_unshare,   SYS_setns,      SYS_execve,    SYS_execveat,
	SYS_bind,      SYS_listen,     SYS_kill,      SYS_pidfd_send_signal,
	SYS_bpf,       SYS_flock,      SYS_utimensat, SYS_copy_file_range,
	SYS_sendfile,  SYS_seccomp,    SYS_prctl,     SYS_setsid,
};
#define TRACED (sizeof(traced_calls) / sizeof(traced_calls[0]))

#define MAX_TASKS 4096

enum action { ACTION_COUNT, ACTION_KILL, ACTION_ERROR };

static struct {
	enum action action;
	unsigned long at;
	int error;
	unsigned seconds;
	bool verbose;
	const char *program; /* NULL: any */
} options = { .seconds = 60 };

static pid_t tasks[MAX_TASKS];
static size_t task_count;
static unsigned long calls;
static bool fired;

static void add_task(pid_t pid)
{
	for (size_t i = 0; i < task_count; i++)
		if (tasks[i] == pid)
			return;
	if (task_count < MAX_TASKS)
		tasks[task_count++] = pid;
}

static void remove_task(pid_t pid)
{
	for (size_t i = 0; i < task_count; i++)
		if (tasks[i] == pid) {
			tasks[i] = tasks[--task_count];
			return;
		}
}

static void kill_all(void)
{
	for (size_t i = 0; i < task_count; i++)
		kill(tasks[i], SIGKILL);
}

/* Load the number, compare with each, trace on a match, allow otherwise. */
static int install_filter(void)
{
	struct sock_filter code[TRACED + 6];
	size_t n = 0;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < TRACED; i++)
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							 (unsigned)traced_calls[i],
							 (unsigned char)(TRACED - i), 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	struct sock_fprog program = { .len = (unsigned short)n, .filter = code };
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static void run_command(char **argv)
{
	raise(SIGSTOP); /* until the parent has seized us */
	if (install_filter() < 0) {
		perror("stepper: seccomp");
		_exit(98);
	}
	execvp(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

/* Says which call it is; for most of them the second argument is a path. */
static void describe(pid_t pid, const struct user_regs_struct *regs)
{
	char path[64] = "";
	struct iovec here = { path, sizeof(path) - 1 }, there = { (void *)regs->rsi, here.iov_len };
	if (process_vm_readv(pid, &here, 1, &there, 1, 0) < 0)
		path[0] = '\0';
	fprintf(stderr, "stepper: call %lld (%#llx, %#llx \"%s\", %#llx) of process %d\n",
		(long long)regs->orig_rax, regs->rdi, regs->rsi, path, regs->rdx, (int)pid);
}

static bool is_counted(pid_t pid)
{
	char path[64], name[32] = "";
	if (!options.program)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	bool read = fgets(name, sizeof(name), file);
	fclose(file);
	return read && strncmp(name, options.program, strlen(options.program)) == 0;
}

/* A stop before a traced call: count it, and act when it is the one. */
static void on_call(pid_t pid)
{
	if (!is_counted(pid))
		return;
	calls++;
	if (options.action == ACTION_COUNT || calls != options.at)
		return;
	fired = true;
	struct user_regs_struct regs;
	if (ptrace(PTRACE_GETREGS, pid, 0, &regs) < 0)
		return;
	if (options.verbose)
		describe(pid, &regs);
	if (options.action == ACTION_KILL) {
		kill_all();
		return;
	}
	/* -1 as the number: the call is skipped and rax is what the program sees. */
	regs.orig_rax = (unsigned long long)-1;
	regs.rax = (unsigned long long)(long long)-options.error;
	ptrace(PTRACE_SETREGS, pid, 0, &regs);
}

/* Handles one stop; returns the signal to deliver on resuming. */
static int on_stop(pid_t pid, int status)
{
	int event = status >> 16, sig = WSTOPSIG(status);
	if (event == PTRACE_EVENT_SECCOMP) {
		on_call(pid);
		return 0;
	}
	if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK ||
	    event == PTRACE_EVENT_CLONE) {
		unsigned long child = 0;
		ptrace(PTRACE_GETEVENTMSG, pid, 0, &child);
		add_task((pid_t)child);
		if (fired && options.action == ACTION_KILL)
			kill_all();
		return 0;
	}
	if (event != 0)
		return 0;
	return sig;
}

static void resume(pid_t pid, int status, int sig)
{
	bool group_stop = status >> 16 == PTRACE_EVENT_STOP && sig == 0 &&
			  (WSTOPSIG(status) == SIGSTOP || WSTOPSIG(status) == SIGTSTP ||
			   WSTOPSIG(status) == SIGTTIN || WSTOPSIG(status) == SIGTTOU);
	ptrace(group_stop ? PTRACE_LISTEN : PTRACE_CONT, pid, 0, (long)sig);
}

static volatile sig_atomic_t timed_out;

static void on_alarm(int sig)
{
	(void)sig;
	timed_out = 1;
	kill_all();
}

static int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int trace(pid_t first)
{
	int main_status = -1;
	while (task_count > 0) {
		int status;
		pid_t pid = waitpid(-1, &status, __WALL);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			break;
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			remove_task(pid);
			if (pid == first)
				main_status = exit_status(status);
			continue;
		}
		add_task(pid);
		resume(pid, status, on_stop(pid, status));
	}
	return main_status;
}

static int usage(void)
{
	fprintf(stderr, "usage: stepper [-t seconds] [-c name] [-v] count|kill N|error N ERRNO "
			"COMMAND...\n");
	return 2;
}

static int parse(int argc, char **argv)
{
	int option;
	while ((option = getopt(argc, argv, "+t:c:v")) != -1) {
		if (option == 't')
			options.seconds = (unsigned)strtoul(optarg, NULL, 10);
		else if (option == 'c')
			options.program = optarg;
		else if (option == 'v')
			options.verbose = true;
		else
			return -1;
	}
	int at = optind;
	if (at < argc && strcmp(argv[at], "count") == 0)
		return at + 1;
	if (at + 1 < argc && strcmp(argv[at], "kill") == 0) {
		options.action = ACTION_KILL;
		options.at = strtoul(argv[at + 1], NULL, 10);
		return at + 2;
	}
	if (at + 2 < argc && strcmp(argv[at], "error") == 0) {
		options.action = ACTION_ERROR;
		options.at = strtoul(argv[at + 1], NULL, 10);
		options.error = (int)strtol(argv[at + 2], NULL, 10);
		return at + 3;
	}
	return -1;
}

int main(int argc, char **argv)
{
	int at = parse(argc, argv);
	if (at < 0 || at >= argc)
		return usage();
	pid_t first = fork();
	if (first < 0)
		return 98;
	if (first == 0)
		run_command(argv + at);
	int status;
	waitpid(first, &status, WUNTRACED);
	long flags = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
		     PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
	if (ptrace(PTRACE_SEIZE, first, 0, flags) < 0) {
		perror("stepper: ptrace");
		kill(first, SIGKILL);
		return 98;
	}
	add_task(first);
	struct sigaction alarm_action = { .sa_handler = on_alarm };
	sigaction(SIGALRM, &alarm_action, NULL);
	alarm(options.seconds);
	kill(first, SIGCONT);
	int result = trace(first);
	if (options.action == ACTION_COUNT && dprintf(3, "%lu\n", calls) < 0)
		fprintf(stderr, "%lu\n", calls);
	if (timed_out)
		return 124;
	if (options.action != ACTION_COUNT && !fired)
		return 99;
	return result < 0 ? 98 : result;
}
