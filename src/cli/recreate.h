/* The command line that makes a container again. */
#pragma once

#include "base/buf.h"
#include "engine/engine.h"

/*
 * Appends the `masu run …` line, quoted for sh, that makes a container like this one: from what its
 * record says now, so also after update and rename. What the image brings is left to it, as long as
 * the name still leads to the same image; an anonymous volume becomes a new one.
 */
int recreate_line(struct engine *engine, struct arena *arena, const struct container *container,
		  struct buf *out, struct masu_error *err);
