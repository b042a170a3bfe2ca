/*
 * Where bytes come from: a stream that is looked at and consumed, so that nothing is copied on the
 * way from the decompressor's buffer to the consumer.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct source {
	/*
	 * At least one byte at *ret, valid until the next peek, also after it was consumed;
	 * *ret_len 0 at the end. 0 or -errno with a message.
	 */
	int (*peek)(struct source *s, const uint8_t **ret, size_t *ret_len, struct masu_error *err);
	/* Takes @len bytes, at most as many as peek showed. */
	void (*consume)(struct source *s, size_t len);
};

/* Reads exactly @len bytes into @dst; *ret_got says how many there were before the end. */
int source_read(struct source *s, void *dst, size_t len, size_t *ret_got, struct masu_error *err);

/* Consumes @len bytes; -EBADMSG where the stream ends before. */
int source_skip(struct source *s, uint64_t len, struct masu_error *err);

/* Consumes everything up to the end. */
int source_drain(struct source *s, struct masu_error *err);
