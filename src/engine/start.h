#pragma once

#include "engine/engine.h"

/* A monitor that was forked and has not told yet how the start went. */
struct supervision {
	int control_fd, stream_fd;
};

/* Forks the monitor of a container that does not run. @lock_fd: the container's lock, taken over.
 */
int supervise_fork(struct engine *engine, struct arena *arena, const struct container *container,
		   int lock_fd, const struct engine_attach *attach, struct supervision *ret,
		   struct masu_error *err);
/* Waits until it runs; hands the streams over to @attach (may be NULL), or closes them. */
int supervise_await(struct supervision *supervision, struct engine_attach *attach,
		    struct masu_error *err);

/*
 * The other end of that where the container's exec driver is in masu-more only: this process is the
 * fork, and @words, an id and numbers, are what it was told. Returns only where it fails; the
 * starter has been told why.
 */
#define SUPERVISE_VERB	"__monitor"
#define SUPERVISE_WORDS 8
int supervise_become(struct engine *engine, struct arena *arena, char *const *words,
		     struct masu_error *err);

/* Forks a monitor that prepares the container just created and waits for its start; where that is
 * not worthwhile or not possible, nothing happens. @lock_fd stays the caller's too. */
void supervise_park(struct engine *engine, struct arena *arena, const struct container *container,
		    int lock_fd);
