/* Sizes and times as docker shows them to people. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HUMAN_MAX 32

/* "1.98MB": three significant digits, powers of 1000. */
const char *human_size(uint64_t bytes, char ret[HUMAN_MAX]);

/* The same with four significant digits, as docker shows sums. */
const char *human_size_long(uint64_t bytes, char ret[HUMAN_MAX]);

/* "1.984MiB": four significant digits, powers of 1024. */
const char *human_binary(uint64_t bytes, char ret[HUMAN_MAX]);

/* "About an hour", "3 weeks". */
const char *human_duration(int64_t seconds, char ret[HUMAN_MAX]);

/* Seconds since 1970 of an RFC 3339 time ("2024-01-31T12:00:00.5Z"). -EINVAL. */
int time_parse_rfc3339(const char *text, int64_t *ret_seconds);
