/* What /proc says of one process (proc(5)), read through one descriptor of its directory, so that
 * all of it is of the same process. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"

#define PROCESS_COMM_MAX 64 /* a kernel thread's may be longer than TASK_COMM_LEN */

struct process_info {
	pid_t pid, ppid, pgrp, session;
	char state; /* 'R', 'S', 'Z' … */
	uint64_t flags;
	unsigned tty;		/* device number, 0: none */
	pid_t tty_group;	/* foreground process group of its terminal */
	uint64_t utime, stime;	/* clock ticks */
	uint64_t children_time; /* of children that it has waited for, and theirs */
	uint64_t start_time;	/* clock ticks since boot */
	int64_t priority, nice; /* as the kernel has them */
	int64_t threads;
	uint64_t vsize; /* bytes */
	int processor, rt_priority, policy;
	uid_t uid, euid;
	gid_t gid, egid;
	uint64_t rss_kib, locked_kib;
	char comm[PROCESS_COMM_MAX];
	const char *args; /* the arguments, joined by blanks; "" where it has none */
};

/* -ESRCH where there is no such process, or no longer. What came from the process (comm, args) is
 * in the arena, cut at some length, and may hold any byte but NUL. */
int process_read(struct arena *arena, pid_t pid, struct process_info *ret);

/* Bytes it has of its own and its share of what it shares (smaps_rollup: Pss), swap left out. */
int process_pss(pid_t pid, uint64_t *ret);
