/*
 * What the parent and a process that is being made tell each other, over one SOCK_SEQPACKET pair
 * (or, for a container started later, the accepted connection of its gate socket). One message a
 * packet; an error travels as a whole struct masu_error. execve closes the child's end, so the end
 * of the stream after SYNC_START means success.
 */
#pragma once

#include "base/error.h"

enum sync_kind {
	SYNC_ERROR = 1, /* child: failed; carries the error */
	SYNC_PID,	/* intermediate: carries the pidfd of the real child */
	SYNC_JOINED,	/* child: all namespaces that it joins by path are entered */
	SYNC_TIME,	/* child: write my time offsets; parent: done */
	SYNC_MAPPED,	/* parent: id maps are written, the group is entered */
	SYNC_MOUNTED,	/* child: the root is assembled, not yet entered */
	SYNC_GO,	/* parent: go on */
	SYNC_CONSOLE,	/* child: carries the pty master */
	SYNC_READY,	/* child: everything before execve is done */
	SYNC_DETACH,	/* parent: wait at the gate socket from now on */
	SYNC_START,	/* parent: execve */
	SYNC_LISTENER,	/* child: carries the seccomp notify fd */
	SYNC_TRAP,	/* child: carries that of the engine's own filter */
};

/* Both ends CLOEXEC. 0 or -errno. */
int sync_pair(int ret_fds[2]);

/* Sends one message, with @passed_fd attached unless it is -1. 0 or -errno; never SIGPIPE. */
int sync_send(int fd, enum sync_kind kind, int value, int passed_fd);

/* Sends what the child failed with; a message that cannot be sent is dropped. */
void sync_send_error(int fd, const struct masu_error *err);

struct sync_message {
	enum sync_kind kind;
	int value;
	int passed_fd; /* -1: none; the receiver's */
};

/*
 * Receives one message. A SYNC_ERROR is not returned as a message: it is copied into @err, whose
 * code is returned. The end of the stream is -EPIPE without a message in @err.
 */
int sync_receive(int fd, struct sync_message *ret, struct masu_error *err);

/* As above, and the message must be of @kind and carry no fd. @ret_value may be NULL. */
int sync_expect(int fd, enum sync_kind kind, int *ret_value, struct masu_error *err);
