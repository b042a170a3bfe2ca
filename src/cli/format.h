/* Lists as docker prints them: a table, a table of one's own columns, JSON lines, a template. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "json/json.h"

struct format_heading {
	const char *key;     /* "ID" in {{.ID}} */
	const char *heading; /* "CONTAINER ID" */
};

/*
 * Prints @rows (objects with the headings' keys) to stdout. @format NULL or "table":
 * @default_template (without the word "table"), e.g. "{{.ID}}\t{{.Image}}".
 */
int format_rows(struct arena *arena, const char *format, const char *default_template,
		const struct format_heading *headings, const struct json *const *rows, size_t count,
		struct masu_error *err);

/* Prints each object: as JSON where @format is "json", else by the template; with a newline. */
int format_objects(struct arena *arena, const char *format, const struct json *const *objects,
		   size_t count, struct masu_error *err);
int format_object(struct arena *arena, const char *format, const struct json *object,
		  struct masu_error *err);
