/*
 * Between the caller's standard streams and a process in a container: output (framed or raw), input
 * with detach keys, the terminal's size, forwarded signals. One poll loop, no thread; a container
 * that does not read its input holds up nothing else.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "cli/terminal.h"

struct relay {
	bool tty;	 /* the process has a terminal: raw mode and sizes */
	bool stdin_;	 /* the caller's stdin is relayed */
	bool proxy;	 /* signals are forwarded */
	bool framed;	 /* out[0] carries Docker's 8-byte frames */
	int in;		 /* where input goes; -1: nowhere. A socket is shut down, else closed */
	int out[2];	 /* where output comes from; -1: none */
	int end;	 /* readable when the process has ended (pidfd, control socket) */
	bool end_drains; /* after the end only what is there already is read (exec) */
	struct detach_keys *keys; /* NULL: none */
	void (*resize)(void *opaque, unsigned short rows, unsigned short columns);
	void (*signal)(void *opaque, int sig);
	void *opaque;
};

enum relay_result { RELAY_ENDED, RELAY_DETACHED };

/* Blocks the signals that relay_run() forwards; called before the process is there to get them. */
void relay_block_signals(const struct relay *relay);

/* Runs until the process and its output have ended, or the caller detached: an enum, or -errno. */
int relay_run(struct relay *relay, struct arena *arena, struct masu_error *err);

/* Writes all of it, also to a descriptor that somebody made non-blocking. 0 or -errno. */
int relay_write(int fd, const void *data, size_t len);
