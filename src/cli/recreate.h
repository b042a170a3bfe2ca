/* The command line that makes a container again. */
#pragma once

#include "base/buf.h"
#include "engine/engine.h"

/* An option of `masu run`; a flag has no value. */
struct recreate_option {
	const char *flag, *value;
};

struct recreate {
	struct recreate_option *options;
	size_t option_count;
	const char *image;
	const char *const *command; /* NULL-terminated */
};

/*
 * What `masu run` has to be told to make a container like this one: from what its record says now,
 * so also after update and rename. What the image brings is left to it, as long as the name still
 * leads to the same image; an anonymous volume becomes a new one. Lives in the arena, as long as
 * the container does.
 */
int recreate_options(struct engine *engine, struct arena *arena, const struct container *container,
		     struct recreate *ret, struct masu_error *err);

/* Appends the same as one line, quoted for sh. */
int recreate_line(struct engine *engine, struct arena *arena, const struct container *container,
		  struct buf *out, struct masu_error *err);
