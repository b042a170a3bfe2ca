/*
 * What the monitor of a container and its callers say to each other.
 *
 * Control: an AF_UNIX SOCK_SEQPACKET connection, one struct ctl_message a packet, optionally with a
 * file descriptor (SCM_RIGHTS). `masu run` and `start` get theirs from the monitor they forked
 * (socketpair); everybody else connects to <runroot>/containers/<id>/ctl.sock (a path socket, 0600
 * in a 0700 directory, peers other than the monitor's own user are hung up on).
 *
 *   caller                              monitor
 *   CTL_ATTACH  flags = streams   ->    CTL_ATTACHED + stream fd, or CTL_ERROR
 *   CTL_RESIZE  value x value2    ->    (nothing)
 *   CTL_WAIT    flags             ->    CTL_EXIT when the container has ended; its status is on
 *                                       disk by then, unless CTL_END_ONLY says that it is of no
 *                                       interest
 *   CTL_START   flags = streams,  ->    CTL_STARTED + stream fd where streams were asked for, or
 *               rows x columns          CTL_ERROR: of a parked container (park.c), or of one that
 *                                       waits for its next start
 *   CTL_STOPPING                  ->    CTL_OK: whoever asked is about to end the container, so no
 *               flags = CTL_STOP_*      restart policy applies to this end. Its pid is final then;
 *                                       where it waits for its next start, it has ended with this
 *   CTL_RELOAD                    ->    CTL_OK: the container's record or its cgroups have changed;
 *                                       what the monitor keeps of them is read again when needed
 *   CTL_HOLD                      ->    CTL_OK: the caller pauses the container itself; when it
 *                                       hangs up, the monitor lets it go
 *
 *   CTL_PUBLISH                   ->    CTL_OK or CTL_ERROR: the published ports of the container's
 *                                       record have changed, and do so in the network now
 *   CTL_TRAP    + seccomp listener ->  CTL_OK: of a process that was started in the container; the
 *                                       monitor answers its trapped calls, too
 *
 * A caller that forked the monitor, or asked for CTL_START or CTL_WAIT, gets CTL_EXIT once, last.
 *
 * Stream: an AF_UNIX SOCK_STREAM connection. With a tty both directions are the terminal's bytes.
 * Without, the caller writes stdin as it is (shutdown(SHUT_WR) is end of file) and reads Docker's
 * raw stream: frames of an 8-byte header {1 stdout | 2 stderr, 0, 0, 0, length big endian} and that
 * many bytes. End of file comes after the last byte of output. The caller the container was started
 * with is waited for when it reads slowly, as a pipe would be; one that attached later,
 * too, once it is STREAM_BACKLOG_MAX bytes behind, but for a second at most, and is cut off then.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

enum ctl_type {
	CTL_ATTACH = 1,
	CTL_RESIZE,
	CTL_WAIT,
	CTL_START,
	CTL_STOPPING,
	CTL_NETWORK, /* only from who forked the monitor: a network namespace, or none */
	CTL_RELOAD,
	CTL_TRAP,
	CTL_PUBLISH,
	CTL_HOLD,
	CTL_OK = 64,
	CTL_ATTACHED,
	CTL_STARTED,
	CTL_ERROR,
	CTL_EXIT
};

#define CTL_STREAM_STDIN  1u
#define CTL_STREAM_STDOUT 2u
#define CTL_STREAM_STDERR 4u
#define CTL_END_ONLY	  8u

/* The whole system stops: not a stop by hand, so that `system start` starts it again. */
#define CTL_STOP_SYSTEM 1u
/* It is to be started again, so it stays although it was made with --rm. */
#define CTL_STOP_KEEP 2u

#define CTL_TEXT_MAX	   MASU_ERROR_MAX
#define STREAM_HEADER_SIZE 8
#define STREAM_BACKLOG_MAX (1u << 20)

struct ctl_message {
	uint32_t type;	/* enum ctl_type */
	uint32_t flags; /* CTL_STREAM_*, CTL_END_ONLY, CTL_STOP_* */
	/* CTL_RESIZE, CTL_START: rows, columns. CTL_STARTED: the container's pid. CTL_EXIT: exit
	 * status, 1 where the OOM killer was at work. CTL_ERROR: errno (negative), exit status or
	 * 0. */
	int32_t value, value2;
	char text[CTL_TEXT_MAX]; /* CTL_ERROR: the message; only the used part is sent */
};

/* Sends one message, with @fd unless it is -1. 0 or -errno; a closed peer is -EPIPE, no signal. */
int ctl_send(int socket, const struct ctl_message *message, int fd);
/* Sends an error as CTL_ERROR, exit status 125 where it has none. */
void ctl_send_error(int socket, const struct masu_error *err);
/*
 * Receives one message; *ret_fd (may be NULL: a passed fd is refused and closed) is -1 where none
 * came. -EPIPE at end of file, -EBADMSG for what is no message, -EAGAIN on an empty non-blocking
 * socket.
 */
int ctl_receive(int socket, struct ctl_message *ret, int *ret_fd);
