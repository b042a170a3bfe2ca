/*
 * What the user sees on stdout of a pull or push: docker's lines, one a change of state, where it
 * is no terminal; a line an item with a bar, drawn in place, where it is one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/image.h"

struct progress_line {
	const char *name; /* twelve characters of it are shown */
	const char *text; /* what is being done with it */
	bool moving;	  /* with a bar; not worth a line of its own */
	uint64_t bytes, size;
};

struct progress {
	size_t count; /* at most IMAGE_MAX_LAYERS */
	void (*line)(const void *opaque, size_t i, struct progress_line *ret);
	const void *opaque;
	bool quiet;
	/* Own. */
	bool terminal, drawn;
	int64_t last_ms;
	const char *shown[IMAGE_MAX_LAYERS]; /* the text that is on the screen */
};

void progress_begin(struct progress *progress);
/* The state of item @i has changed, or more of it has come. */
void progress_change(struct progress *progress, size_t i);
void progress_end(struct progress *progress);
