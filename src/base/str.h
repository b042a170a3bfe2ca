/* Strings and strict number parsing. Nothing here accepts trailing junk, signs or overflow. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* True where both are NULL or both are equal. */
static inline bool streq_null(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* Where @s starts with @prefix: the rest of @s, else NULL. */
static inline const char *str_after(const char *s, const char *prefix)
{
	size_t len = strlen(prefix);
	return strncmp(s, prefix, len) == 0 ? s + len : NULL;
}

bool str_ends_with(const char *s, const char *suffix);

/* Decimal digits only, the whole string, no sign. 0, -EINVAL or -ERANGE; *ret is set on success. */
int str_to_u64(const char *s, uint64_t *ret);
int str_to_u32(const char *s, uint32_t *ret);
/* As above with an optional leading '-'. */
int str_to_i64(const char *s, int64_t *ret);
/* Octal digits (a leading "0" or "0o" is allowed), at most 07777. */
int str_to_mode(const char *s, uint32_t *ret);

/*
 * Docker's memory sizes: a number (a fraction is allowed) and an optional unit b, k, m, g, t, p in
 * either case, optionally followed by "b" or "ib"; powers of 1024. *ret in bytes.
 */
int str_to_bytes(const char *s, uint64_t *ret);

/* snprintf that fails with -ENAMETOOLONG instead of truncating. */
int str_format(char *dst, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Bytes of the well-formed UTF-8 sequence of two or more at @s (RFC 3629), 0: there is none. */
size_t str_utf8_length(const char *s, size_t left);

/*
 * Makes text of unknown origin harmless for a terminal, in place: control characters (C0, DEL, C1),
 * what turns the direction of writing (UAX #9) and bytes that are no UTF-8 become '?'. @lines: line
 * breaks stay.
 */
void str_make_printable(char *s, bool lines);

/* A NULL-terminated array's length; NULL counts as empty. */
size_t strv_length(char *const *v);
/* Whether @s is one of them; NULL is an empty vector. */
bool strv_contains(const char *const *v, const char *s);

/* True if @c may stand in a container or volume name: [a-zA-Z0-9_.-]. */
bool name_char_valid(char c);

/* Docker's names: [a-zA-Z0-9][a-zA-Z0-9_.-]+, at most 255 bytes. */
bool name_valid(const char *name);

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
