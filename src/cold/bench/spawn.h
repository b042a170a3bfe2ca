/* Running programs and timing them, with nothing of the harness on the CPU meanwhile. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

#define SPAWN_NOT_PINNED (-1)

struct spawn {
	const char *const *argv; /* searched in PATH, inside @root where there is one */
	const char *root;	 /* chroot(2) to it before; NULL: not */
	int netns;		 /* network namespace, or -1 */
	int cpu;		 /* the one it may use, or SPAWN_NOT_PINNED */
	double limit;		 /* seconds; killed after them */
	bool quiet;		 /* what it prints is not wanted */
	int log;		 /* of spawn_start(): file for what it prints; 0: nowhere */
};

struct spawn_result {
	int status;  /* exit status, 128 + signal, as a shell has it */
	double wall; /* seconds from execve(2) to the end */
	double cpu;  /* CPU seconds of it and of children that it has waited for */
};

/* Set by SIGINT, SIGTERM and SIGHUP; whatever runs is killed then. */
extern volatile sig_atomic_t spawn_interrupted;
void spawn_catch_signals(void);

/* Called once a second while something runs. */
extern void (*spawn_tick)(void);

/*
 * Runs a program to its end. What it prints goes to @out and @errors (files in memory, read at the
 * end, so that no pipe fills up and none is kept open by what it leaves behind). -EINTR:
 * interrupted; -ETIMEDOUT; another errno where it could not be started. A status that is not 0 is
 * no error.
 */
int spawn_run(const struct spawn *spawn, struct buf *out, struct buf *errors,
	      struct spawn_result *ret, struct masu_error *err);

/* Starts a program in the background; it dies with this one. */
int spawn_start(const struct spawn *spawn, pid_t *ret, struct masu_error *err);
/* Kills what spawn_start() started, with its children and theirs, whatever groups and sessions they
 * have made for themselves, and waits until they are gone. */
void spawn_stop(pid_t pid);

/* All that was printed into such a file, up to 8 MiB. */
int spawn_read(int fd, struct buf *ret);

/* The path of a program in PATH into @ret, or -ENOENT. */
int spawn_find(const char *program, char *ret, size_t size);

/* Seconds of CLOCK_MONOTONIC. */
double spawn_now(void);
