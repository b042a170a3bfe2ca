/*
 * The monitor's side of a log. Output is read straight into a ring (log_writer_reserve() and
 * log_writer_commit()); a thread takes it from there, cuts it into lines and has the driver write
 * them. So a disk that stalls holds up that thread and neither the container nor who is attached:
 *   mode=blocking      where the ring is full, the monitor reads no further output, as long as the
 *                      log gets on; one that does not for LOG_STALL_MS loses what comes meanwhile
 *   mode=non-blocking  what does not fit into the ring is lost at once
 * What is lost is counted in lines, told of in the log itself, where it is missing, and kept in
 * `log-dropped` for inspect.
 *
 * The thread is there while there is output: it is started soon after the first and ends when the
 * monitor gives its memory back. It allocates nothing, so that the monitor may fork at any time.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "engine/log_driver.h"

#define LOG_CHUNK    65536 /* of output at most at once: as much as a pipe has by default */
#define LOG_STALL_MS 1000
/* A container that prints a little and ends needs no thread. */
#define LOG_PUT_OFF_MS 1

/* The unfinished line of a stream. */
struct log_stream {
	char *line; /* LOG_LINE_MAX bytes */
	size_t len;
	uint64_t time; /* when it began */
	bool skip;     /* its beginning is lost, so is the rest of it */
};

/* Output that was lost since the last that was not. */
struct log_gap {
	uint64_t lines, bytes;
	bool touched[2], open[2]; /* streams it concerns, and those it ends inside a line of */
};

struct log_writer {
	struct log log;
	int run_fd;   /* where log-dropped is kept while it lives; -1: nowhere */
	bool enabled; /* it keeps anything */
	bool running; /* there is a thread */
	bool put_off; /* there is output, but no thread yet: log_writer_go() */
	bool stalled; /* mode=blocking: it is not waited for */
	char *ring;   /* NULL: not needed yet */
	size_t size;  /* of the ring, a power of two */
	char *room;   /* what was reserved last */
	struct log_gap gap;
	uint64_t before; /* lines dropped by those that wrote this log before */
	uint64_t told;	 /* of those dropped since, how many log-dropped tells of */
	uint64_t gone;	 /* lines that found no room */
	pthread_t thread;
	int ready_fd; /* eventfd: there is room again; -1: nobody ever waited */
	/* Shared: bytes ever put in and taken out, and who sleeps. */
	_Atomic size_t head, tail;
	_Atomic uint32_t asleep;
	atomic_bool stop, waiting;
	_Atomic uint64_t failed; /* lines that could not be written */
	/* The thread's, or the monitor's while there is none. */
	struct log_stream lines[2];
};

/* Opens the log of a container by its configuration. */
int log_writer_open(struct log_writer *writer, const struct container *container,
		    struct masu_error *err);
/*
 * Where up to LOG_CHUNK bytes of output can be put, never less than a page. NULL: the log is behind
 * and is to be waited for (log_writer_wait_fd()).
 */
char *log_writer_reserve(struct log_writer *writer, size_t *ret_room);
/* @len bytes of output of @stream (1, 2) are there. They stay readable until the next reserve. */
void log_writer_commit(struct log_writer *writer, int stream, size_t len);
/* Has what is there written: to be called LOG_PUT_OFF_MS after `put_off` was set, if it still is.
 */
void log_writer_go(struct log_writer *writer);
/* A descriptor that is readable once there is room again, after log_writer_reserve() said that
 * there was none. -errno: there is none. */
int log_writer_wait_fd(struct log_writer *writer);
/* It was readable. */
void log_writer_ready(struct log_writer *writer);
/* It was not for too long: from now on what does not fit is lost, until the log gets on again. */
void log_writer_stalled(struct log_writer *writer);
/* Waits until everything is written, unfinished lines too: at the end of a container. More may
 * follow. */
void log_writer_finish(struct log_writer *writer);
/* Ends the thread and gives memory back until there is output again. false: it is at work. */
bool log_writer_rest(struct log_writer *writer);
/* After log_writer_finish(). */
void log_writer_close(struct log_writer *writer);

/* Cuts output into records, without a ring or a thread: what the thread does. */
void log_lines_put(struct log *log, struct log_stream *stream, int number, uint64_t time,
		   const char *data, size_t len);
void log_lines_end(struct log *log, struct log_stream *stream, int number);

/* Lines of output of a container that its log lacks. */
uint64_t log_dropped_read(const struct container *container);
