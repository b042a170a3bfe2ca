/* Inspecting things of any type, for `masu inspect` and the groups' own `inspect`. */
#pragma once

#include "cli/command.h"
#include "engine/engine.h"
#include "json/json.h"

struct inspect_request {
	const char *type; /* "container", "image", "network", "volume"; NULL: the first that fits */
	const char *format; /* NULL: an indented array */
	bool size;	    /* of containers, their files' too */
	bool io;	    /* of containers, what was copied up for them */
};

/*
 * Prints what is found, as one array or one line each; reports what is not, after it. The exit
 * status: 1 where something was not found.
 */
int inspect_objects(struct cli_context *context, const struct inspect_request *request, int argc,
		    char **argv, struct masu_error *err);

/* Docker's document of an image (image_inspect.c). -ENOENT: there is none. */
int image_inspect_write(struct engine *engine, struct arena *arena, const char *name,
			struct json_writer *w, struct masu_error *err);

/* Which of its image's files a container has a copy of, as an object (diff.c). */
int copyups_write(struct engine *engine, struct arena *arena, const char *id, struct json_writer *w,
		  struct masu_error *err);
