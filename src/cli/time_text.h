/* Points in time as docker's users write them. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

/* Go's durations: "300ms", "1h30m", "1.5h". 0 or -EINVAL. */
int time_parse_duration(const char *text, int64_t *ret_ns);

/*
 * --since and --until: RFC 3339 (with or without time and zone), seconds since 1970 with an
 * optional fraction, or a duration before now. *ret_ns: nanoseconds since 1970.
 */
int time_parse_ns(const char *text, int64_t *ret_ns, struct masu_error *err);
/* The same as RFC 3339 in UTC with nanoseconds, in the arena. */
int time_parse_point(struct arena *arena, const char *text, const char **ret,
		     struct masu_error *err);
