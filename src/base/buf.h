/*
 * A growing byte buffer with a maximum that is fixed at creation. Errors are sticky: after the
 * first failure every further append is a no-op, so a writer checks once at the end (buf_error()).
 * The content is always followed by a NUL that is not counted.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data;
	size_t len;
	size_t cap;
	size_t limit;
	int error; /* 0, -ENOMEM or -E2BIG */
};

#define BUF_DEFAULT_LIMIT (64u << 20)

/* An empty buffer of at most @limit bytes (0: BUF_DEFAULT_LIMIT); no memory is taken yet. */
void buf_init(struct buf *buf, size_t limit);
void buf_free(struct buf *buf);
/* Empties the buffer, keeps its memory, forgets a sticky error. */
void buf_reset(struct buf *buf);

/* Each returns 0 or the sticky error. */
int buf_append(struct buf *buf, const void *data, size_t len);
int buf_puts(struct buf *buf, const char *s);
int buf_putc(struct buf *buf, char c);
int buf_printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *buf, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Room for @len more bytes at data + len; the caller adds to len what it used. */
int buf_reserve(struct buf *buf, size_t len);

static inline int buf_error(const struct buf *buf)
{
	return buf->error;
}

/* The content as a C string, "" when empty. Owned by the buffer. */
static inline const char *buf_str(const struct buf *buf)
{
	return buf->data ? buf->data : "";
}

/* Hands the content over to the caller, who frees it; NULL on a sticky error. */
char *buf_steal(struct buf *buf);

#define _cleanup_buf_ __attribute__((cleanup(buf_free)))
