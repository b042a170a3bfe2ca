/*
 * Compiles an OCI `linux.seccomp` section to a classic BPF program (seccomp(2)).
 *
 * Per architecture the system call numbers are cut into ranges of equal decision, and the ranges
 * become the leaves of a search tree that costs least on average. At load time the kernel runs the
 * program once for each system call number to learn which are always allowed, so the mean path
 * decides how long seccomp(2) takes (docs/seccomp.md has the measurement). libseccomp provides the
 * names and numbers only, and is the oracle of the tests.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"

struct seccomp_program {
	struct sock_filter *insns; /* in the arena */
	size_t count;
	bool notify; /* some rule has SCMP_ACT_NOTIFY */
};

struct seccomp_machine {
	/*
	 * This kernel has no x32 system calls: all of them come to ENOSYS anyway, so where the
	 * default action is an errno their numbers need no tree of their own.
	 */
	bool no_x32;
};

/*
 * @text is the section's JSON. -EINVAL with the member named for what the specification forbids or
 * what is unknown; -E2BIG where the program would not fit the kernel's 4096 instructions. System
 * call names that are unknown, or that an architecture does not have, are skipped, as runc and crun
 * do.
 */
int seccomp_compile(struct arena *arena, const struct seccomp_machine *machine, const char *text,
		    size_t len, struct seccomp_program *ret, struct masu_error *err);
