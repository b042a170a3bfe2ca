/*
 * `system check`: everything that masu keeps, against what it says of itself and against the
 * kernel. Safe while containers run and others are made: what somebody is working on is locked, and
 * what is locked is none of the check's business.
 */
#pragma once

#include "base/sha256.h"
#include "engine/engine.h"

struct check_finding {
	const char *where;  /* a path, a cgroup, an image's name */
	const char *what;   /* is wrong with it */
	const char *remedy; /* what --repair does, or what the user can do */
	bool mendable;	    /* by --repair */
	int result;	    /* of the repair: 0 or -errno; without one 0 */
};
/* SHA-256 of what is left of the file; 0 or -errno. */
typedef int (*check_hash)(int fd, uint8_t ret[SHA256_SIZE]);
typedef void (*check_report)(void *opaque, const struct check_finding *finding);

/*
 * Reports each finding; with @repair after having mended it, where that is safe: nothing that a
 * container uses is taken away. *ret_left: findings that are still true afterwards. Reads every
 * blob of every image, so it takes as long as the disk does.
 */
int engine_check(struct engine *engine, bool repair, check_hash hash, check_report report,
		 void *opaque, size_t *ret_left, struct masu_error *err);
