/*
 * The event log: <runroot>/events.log, one JSON document a line in the format of Docker's event
 * messages. Every process that does something appends to it by itself; readers watch the file.
 *
 * An event is one write(2) to a file opened with O_APPEND, so concurrent ones do not mix. When the
 * file has EVENT_LOG_SIZE bytes, the next writer renames it to events.log.1, which replaces the one
 * before: at most twice that size is kept. A writer that opened the file before it was renamed
 * still appends to it, so who follows reads both. docs/events.md says more.
 */
#pragma once

#include <stddef.h>

#include "oci/runtime_spec.h"

#define EVENT_LOG_NAME	   "events.log"
#define EVENT_LOG_OLD_NAME "events.log.1"
#define EVENT_LOG_SIZE	   (2u << 20)
#define EVENT_LOG_HARD_MAX (2 * EVENT_LOG_SIZE) /* while nobody can rotate, events are dropped */
#define EVENT_LINE_MAX	   (256u << 10)

struct event {
	const char *type, *action; /* "container", "start" */
	const char *id;		   /* of what it happened to */
	/* In any order; of one key the last one counts. */
	const struct oci_pair *attributes;
	size_t attribute_count;
};

/*
 * Appends @events, in order and together, with the time that it is now. Nobody waits for it and it
 * is not synced: events last as long as the boot. 0 or -errno, -E2BIG for an event of more than
 * EVENT_LINE_MAX bytes (then none is written), -EFBIG where the log is full and cannot be rotated;
 * for callers other than tests a failure is nothing to act on.
 */
int event_log_append(int run_fd, const struct event *events, size_t count);
