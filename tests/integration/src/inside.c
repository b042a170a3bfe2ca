/*
 * What a hostile program in a container tries. Each attack ends with 0 and a line "breached ..."
 * where it got what it must not get, and with 1 and "held" where it did not.
 *
 *	inside exe		loops over the others' /proc/PID/exe and writes to what is not a
 *				program of the container's; ends when /stop appears
 *	inside trace		loops over new processes and stops those that are not yet what they
 *				were asked to run; ends when /stop appears
 *	inside fds		lists open descriptors but the standard streams
 *	inside key NAME		looks for a key in the session keyring
 *	inside tty		asks whether it can reach a controlling terminal
 *	inside cgroup		mounts a cgroup hierarchy and looks for a release_agent
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEPT 256

static int result(bool breached, const char *what)
{
	printf("%s %s\n", breached ? "breached" : "held", what);
	fflush(stdout);
	return !breached;
}

static bool stopped(void)
{
	return access("/stop", F_OK) == 0;
}

static bool is_own_program(const struct stat *st)
{
	static struct stat own[2];
	if (!own[0].st_ino) {
		stat("/bin/busybox", &own[0]);
		stat("/bin/inside", &own[1]);
	}
	for (int i = 0; i < 2; i++)
		if (own[i].st_ino == st->st_ino && own[i].st_dev == st->st_dev)
			return true;
	return false;
}

/* A running program cannot be opened for writing: the fd is kept until it has ended. */
static bool write_through(int fd)
{
	static const char marker[] = "overwritten";
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int out = open(path, O_WRONLY | O_CLOEXEC);
	if (out < 0)
		return false;
	bool written = pwrite(out, marker, sizeof(marker) - 1, 0) > 0;
	close(out);
	return written;
}

static int attack_exe(void)
{
	static int kept[KEPT];
	unsigned next = 0, seen = 0;
	memset(kept, -1, sizeof(kept));
	while (!stopped()) {
		DIR *proc = opendir("/proc");
		for (struct dirent *entry; proc && (entry = readdir(proc));) {
			char path[300];
			struct stat st;
			if (!isdigit((unsigned char)entry->d_name[0]) ||
			    atoi(entry->d_name) == getpid())
				continue;
			snprintf(path, sizeof(path), "/proc/%s/exe", entry->d_name);
			int fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			if (fstat(fd, &st) < 0 || is_own_program(&st)) {
				close(fd);
				continue;
			}
			seen++;
			if (kept[next % KEPT] >= 0)
				close(kept[next % KEPT]);
			kept[next++ % KEPT] = fd;
		}
		if (proc)
			closedir(proc);
		for (unsigned i = 0; i < KEPT; i++)
			if (kept[i] >= 0 && write_through(kept[i]))
				return result(true, "the runtime's program was overwritten");
	}
	/* Also says how often the program was seen at all: never would show nothing. */
	char text[64];
	snprintf(text, sizeof(text), "seen %u times", seen);
	return result(false, text);
}

enum catch { MISSED, TOO_LATE, EARLY };

/* Stops the process; EARLY where it is not yet the program that the container asked for. */
static enum catch try_to_catch(pid_t pid)
{
	char path[64], exe[256];
	int status;
	if (ptrace(PTRACE_ATTACH, pid, 0, 0) < 0)
		return MISSED;
	waitpid(pid, &status, __WALL);
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	ssize_t n = readlink(path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	bool early = n > 0 && strncmp(exe, "/bin/", 5) != 0;
	ptrace(PTRACE_DETACH, pid, 0, 0);
	kill(pid, SIGCONT); /* where it stopped for execve first, a stop is still to come */
	return early ? EARLY : TOO_LATE;
}

static int attack_trace(void)
{
	pid_t last = getpid();
	unsigned late = 0;
	while (!stopped())
		for (pid_t pid = last + 1; pid < last + 64; pid++) {
			enum catch caught = try_to_catch(pid);
			if (caught == EARLY)
				return result(true, "a joining process was traced");
			if (caught == TOO_LATE) {
				late++;
				last = pid;
			}
		}
	char text[64];
	snprintf(text, sizeof(text), "too late %u times", late);
	return result(false, text);
}

static int attack_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	char list[1024] = "";
	bool any = false;
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		int fd = atoi(entry->d_name);
		if (!isdigit((unsigned char)entry->d_name[0]) || fd <= 2 || fd == dirfd(dir))
			continue;
		any = true;
		if (strlen(list) < sizeof(list) - 16)
			sprintf(list + strlen(list), "%d ", fd);
	}
	return result(any || !dir, list);
}

static int attack_key(const char *name)
{
	long key = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", name, 0);
	return result(key >= 0, "a key of the host's session");
}

static int attack_tty(void)
{
	pid_t group;
	bool reached = ioctl(STDIN_FILENO, TIOCGPGRP, &group) == 0;
	return result(reached, "the caller's terminal controls this process");
}

static int attack_cgroup(void)
{
	if (unshare(CLONE_NEWUSER) == 0)
		return result(true, "a user namespace of its own");
	mkdir("/tmp", 0755);
	if (mount("none", "/tmp", "cgroup", 0, "none,name=masu-hostile") == 0)
		return result(true, "a cgroup hierarchy of its own");
	return result(false, "");
}

int main(int argc, char **argv)
{
	const char *attack = argc > 1 ? argv[1] : "";
	if (!strcmp(attack, "exe"))
		return attack_exe();
	if (!strcmp(attack, "trace"))
		return attack_trace();
	if (!strcmp(attack, "fds"))
		return attack_fds();
	if (!strcmp(attack, "key") && argc > 2)
		return attack_key(argv[2]);
	if (!strcmp(attack, "tty"))
		return attack_tty();
	if (!strcmp(attack, "cgroup"))
		return attack_cgroup();
	return 2;
}
