/* Volumes as objects, for `masu volume` and `masu inspect`. */
#pragma once

#include "engine/engine.h"
#include "json/json.h"

/* Docker's document of a volume. -ENOENT: there is none. */
int volume_inspect_write(struct engine *engine, struct arena *arena, const char *name,
			 struct json_writer *w, struct masu_error *err);

/* Prints inspected objects: docker's indented array, or one line each by @format (inspect.c). */
int inspect_print(struct arena *arena, const char *format, const struct json *const *objects,
		  size_t count, struct masu_error *err);
