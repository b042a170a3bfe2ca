/* Telling processes apart: a pid may be reused, a pid with its start time may not (proc(5)). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What /proc/<pid>/stat says. */
struct proc_stat {
	char state;	/* 'R', 'S', 'Z' … */
	pid_t parent;	/* 0: none in this pid namespace */
	uint64_t flags; /* field 9: PF_* of the kernel */
	uint64_t start_time;
};
int proc_read_stat(pid_t pid, struct proc_stat *ret);

/* A zombie has ended, it only was not waited for. */
static inline bool proc_has_ended(const struct proc_stat *stat)
{
	return stat->state == 'Z' || stat->state == 'X';
}

/* PF_FORKNOEXEC: forked, but has not called execve(2) yet (include/linux/sched.h). */
static inline bool proc_has_not_execed(const struct proc_stat *stat)
{
	return stat->flags & 0x40;
}

/* Field 22 of /proc/<pid>/stat in clock ticks since boot. -ESRCH where there is no such process; a
 * zombie, which has ended but was not waited for, counts as none. */
int proc_start_time(pid_t pid, uint64_t *ret);
/* The same of a child that nobody has waited for, so that it is there even if it has ended. */
int proc_child_start_time(pid_t pid, uint64_t *ret);

/*
 * Whether the process @pid that started at @start_time is there: 1 or 0. A negative errno says that
 * it could not be found out (no descriptor, no memory), which is not "no".
 */
int proc_is_alive(pid_t pid, uint64_t start_time);

/*
 * A pidfd of process @pid that started at @start_time: -ESRCH where it has ended or the pid belongs
 * to another one by now. What is sent through it cannot reach a wrong process.
 */
int proc_open(pid_t pid, uint64_t start_time);

/* An fd of the mount namespace of the process behind @pidfd, whose pid is @pid; -errno. */
int proc_mount_namespace(int pidfd, pid_t pid);

/* Closes every file above 2 but @fds, which get sorted; a -1 among them is none. */
void proc_close_all_but(int *fds, size_t count);

/*
 * For a process that was forked to go on behind a reply: a session of its own and, but for @fds, no
 * file of whoever waits for the end of its parent's output.
 */
void proc_go_behind(int *fds, size_t count);

/* The pid, in the pid namespace of /proc, of the process that @pidfd refers to. -ESRCH: it is gone.
 */
int proc_of_pidfd(int pidfd, pid_t *ret);

#define BOOT_ID_SIZE 37
/* /proc/sys/kernel/random/boot_id: differs after every boot. 0 or -errno. */
int proc_boot_id(char ret[BOOT_ID_SIZE]);
