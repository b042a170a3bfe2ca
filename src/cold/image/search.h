/* The sandboxed half of `masu search`, for tests. */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

struct search_answer {
	const char *text;
	size_t len;
};

/*
 * One line a result: stars, official, automated, name, description, with tabs between them.
 * -EOPNOTSUPP: it is no answer to a search.
 */
int search_describe(void *answer, struct buf *out, struct masu_error *err);
