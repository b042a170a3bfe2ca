#include "sys/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#ifndef PIDFD_GET_MNT_NAMESPACE /* linux/pidfd.h, newer than Debian 12's */
#define PIDFD_GET_MNT_NAMESPACE _IO(0xff, 3)
#endif

int proc_read_stat(pid_t pid, struct proc_stat *ret)
{
	char path[32], text[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	int r = fs_read_small(AT_FDCWD, path, text, sizeof(text));
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	/* The program's name may contain anything, also ')': fields count from the last one. */
	const char *at = strrchr(text, ')');
	if (!at || at[1] != ' ')
		return -EIO;
	at += 2;
	struct proc_stat stat = { .state = *at };
	for (int field = 3; field < 22; field++) {
		at = strchr(at, ' ');
		if (!at)
			return -EIO;
		at++;
		if (field + 1 == 4)
			stat.parent = (pid_t)strtol(at, NULL, 10);
		else if (field + 1 == 9)
			stat.flags = strtoull(at, NULL, 10);
	}
	stat.start_time = strtoull(at, NULL, 10);
	*ret = stat;
	return 0;
}

int proc_start_time(pid_t pid, uint64_t *ret)
{
	struct proc_stat stat;
	int r = proc_read_stat(pid, &stat);
	if (r < 0)
		return r;
	if (proc_has_ended(&stat))
		return -ESRCH;
	*ret = stat.start_time;
	return 0;
}

int proc_is_alive(pid_t pid, uint64_t start_time)
{
	uint64_t now;
	int r = proc_start_time(pid, &now);
	return r < 0 ? (r == -ESRCH ? 0 : r) : now == start_time;
}

int proc_child_start_time(pid_t pid, uint64_t *ret)
{
	struct proc_stat stat;
	int r = proc_read_stat(pid, &stat);
	if (r == 0)
		*ret = stat.start_time;
	return r;
}

int proc_open(pid_t pid, uint64_t start_time)
{
	uint64_t now;
	_cleanup_close_ int pidfd = sys_pidfd_open(pid, 0);
	if (pidfd < 0)
		return pidfd == -EINVAL ? -ESRCH : pidfd;
	int r = proc_start_time(pid, &now);
	if (r < 0)
		return r;
	return now == start_time ? take_fd(&pidfd) : -ESRCH;
}

int proc_mount_namespace(int pidfd, pid_t pid)
{
	char path[32];
	int fd = ioctl(pidfd, PIDFD_GET_MNT_NAMESPACE, 0);
	if (fd >= 0)
		return fd;
	/* Before Linux 6.11. */
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void proc_close_all_but(int *fds, size_t count)
{
	unsigned from = 3;
	if (fault_without("close-fds"))
		return;
	qsort(fds, count, sizeof(*fds), compare_ints);
	for (size_t i = 0; i < count; i++) {
		if (fds[i] < (int)from)
			continue;
		if ((unsigned)fds[i] > from)
			sys_close_range(from, (unsigned)fds[i] - 1, 0);
		from = (unsigned)fds[i] + 1;
	}
	sys_close_range(from, ~0u, 0);
}

void proc_go_behind(int *fds, size_t count)
{
	setsid();
	proc_close_all_but(fds, count);
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			close(fd);
}

int proc_of_pidfd(int pidfd, pid_t *ret)
{
	char path[48], text[1024];
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	int r = fs_read_small(AT_FDCWD, path, text, sizeof(text));
	if (r < 0)
		return r;
	const char *at = strstr(text, "\nPid:");
	long pid = at ? strtol(at + strlen("\nPid:"), NULL, 10) : 0;
	if (pid <= 0) /* 0: in no namespace that is seen from here; -1: it has ended */
		return -ESRCH;
	*ret = (pid_t)pid;
	return 0;
}

int proc_boot_id(char ret[BOOT_ID_SIZE])
{
	char text[BOOT_ID_SIZE + 8]; /* with the newline and room to see that nothing follows */
	int r = fs_read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", text, sizeof(text));
	if (r < 0)
		return r;
	return str_format(ret, BOOT_ID_SIZE, "%s", text) < 0 ? -EIO : 0;
}
