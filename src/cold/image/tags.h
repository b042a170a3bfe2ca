/* The tags of a repository (distribution spec, "Listing Tags"). */
#pragma once

#include "base/buf.h"
#include "cold/registry/remote.h"

/*
 * All tags of the repository, page after page, in the registry's order; NULL-terminated, in the
 * arena. At most IMAGE_MAX_TAGS. -EBADMSG for what is no such list, -ELOOP for one without an end.
 */
int remote_tags(struct remote *remote, const char ***ret, size_t *ret_count,
		struct masu_error *err);

/* The sandboxed half, for tests: one valid tag a line. */
struct tags_page {
	const char *text;
	size_t len;
};
int tags_describe(void *page, struct buf *out, struct masu_error *err);
