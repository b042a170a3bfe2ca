/* Programs that a driver has do its work: run to their end, or kept beside the container. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

struct program {
	const char *const *argv; /* argv[0] is looked up in $PATH where it has no slash */
	int stdio[3];		 /* -1: /dev/null */
	const char *root;	 /* where it finds @rootfs_fd attached (root.h); NULL: nowhere */
	int rootfs_fd;
	/* In its process, with @root attached, before execve; may be NULL. */
	int (*prepare)(void *opaque, struct masu_error *err);
	void *opaque;
	int keep[2]; /* descriptors that it inherits; 0: none */
};

/* Starts it: returns once execve(2) succeeded, *ret_pid is the caller's to wait for. */
int program_start(const struct program *program, pid_t *ret_pid, struct masu_error *err);

/* Runs it and waits; the exit status (128 and the signal), or -errno where it could not be run. */
int program_run(const struct program *program, struct masu_error *err);

/*
 * While one is held, orphans of the programs that this process runs become its own children: so the
 * container's first process, which a runtime leaves behind, is waited for by who asked for it.
 */
int program_adopt(bool on, struct masu_error *err);

/*
 * Opens the driver's directory of a container, making it where it is missing: "<state_dir>/@name",
 * with its path in @arena. The descriptor is the caller's.
 */
int driver_directory(const char *state_dir, const char *name, struct arena *arena,
		     const char **ret_path, struct masu_error *err);

/* The pid that a program has written to @name below @dir_fd, and a pidfd of it. */
int program_read_pid(int dir_fd, const char *name, pid_t *ret_pid, int *ret_pidfd,
		     struct masu_error *err);
