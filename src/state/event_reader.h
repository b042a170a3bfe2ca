/*
 * Reading the event log (event_log.h), from its oldest event on, and following it: inotify(7) tells
 * when there is more, and no event is missed when the log is rotated meanwhile, as long as the
 * reader is not two whole files behind.
 */
#pragma once

#include <stdbool.h>

#include "json/json.h"

struct event_reader;

/* @run_fd must stay open as long as the reader. With @follow changes are watched from now on. */
int event_reader_open(int run_fd, bool follow, struct event_reader **ret, struct masu_error *err);
void event_reader_close(struct event_reader *reader);
#define _cleanup_event_reader_ __attribute__((cleanup(event_reader_closep)))
static inline void event_reader_closep(struct event_reader **reader)
{
	event_reader_close(*reader);
}

/* Readable when there may be more to read; -1 without @follow. */
int event_reader_fd(const struct event_reader *reader);

/* One event: its document, which lives until the call returns, and the line it was. */
typedef int (*event_fn)(void *opaque, const struct json *event, const char *line, size_t len);

/*
 * Hands out what has been written since the last time, in order; @fn NULL skips it. A negative
 * return of @fn ends it. What is no event (a full disk may cut one off) is left out.
 */
int event_reader_drain(struct event_reader *reader, event_fn fn, void *opaque);
