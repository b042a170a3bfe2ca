/*
 * JSON (RFC 8259), bounded. The reader builds a tree in the caller's arena; documents are hostile:
 * depth, size and number of nodes have maxima, duplicate keys are refused, strings are validated
 * UTF-8 and may not contain NUL (\u0000 is refused), numbers keep their text.
 * The writer streams into a struct buf and tracks commas and nesting.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
};

#define JSON_MAX_DEPTH 128
#define JSON_MAX_BYTES (16u << 20)
#define JSON_MAX_NODES (1u << 19)

struct json {
	enum json_type type;
	uint32_t count;	  /* children of an array or object */
	const char *key;  /* as member of an object: NUL-terminated, else NULL */
	const char *text; /* string value or the number's digits, NUL-terminated */
	uint32_t text_len;
	const char
		*source; /* first byte of this value in the parsed text (valid while that lives) */
	uint32_t source_len;	  /* bytes of this value in the parsed text */
	const struct json *child; /* first child */
	const struct json *next;  /* next sibling */
};

/*
 * Parses exactly one value. @text need not be NUL-terminated. The error names line and column:
 * -EINVAL for what is not JSON as above, -E2BIG where a maximum is passed, -ENOMEM.
 */
int json_parse(struct arena *arena, const char *text, size_t len, const struct json **ret,
	       struct masu_error *err);

/*
 * The value that a writer has written to @text, which may go: the arena keeps what is needed of it.
 * Also -ENOMEM where the text did not fit its buffer.
 */
int json_parse_written(struct arena *arena, const struct buf *text, const struct json **ret,
		       struct masu_error *err);

/* With JSON_ALLOW_NUL strings may hold "\u0000", which text_len counts: what a container printed.
 */
#define JSON_ALLOW_NUL 1u
int json_parse_flags(struct arena *arena, const char *text, size_t len, unsigned flags,
		     const struct json **ret, struct masu_error *err);

#define json_foreach(item, parent)                                                                 \
	for (const struct json *item = (parent) ? (parent)->child : NULL; item; item = item->next)

/* Member @key of an object, or NULL (also where @object is NULL or no object). */
const struct json *json_get(const struct json *object, const char *key);

/*
 * Typed access; each returns false where @value is NULL or of another type or out of range.
 * Integers are decimal digits only: neither "1.0" nor "1e3" is one.
 */
bool json_string(const struct json *value, const char **ret);
/* The string that is member @key of @object; "" where there is none or it is something else. */
const char *json_text(const struct json *object, const char *key);
bool json_bool(const struct json *value, bool *ret);
bool json_i64(const struct json *value, int64_t *ret);
bool json_u64(const struct json *value, uint64_t *ret);

/* ---- trees that are made rather than parsed (no sources) ---- */

struct json *json_new(struct arena *arena, enum json_type type);

/* Appends children to one array or object. */
struct json_builder {
	struct arena *arena;
	struct json *value; /* NULL: memory was gone on the way, which is sticky */
	const struct json **tail;
};
void json_builder_init(struct json_builder *builder, struct arena *arena, enum json_type type);
/* One more child; @key (kept, NULL in an array) is not checked for being there already. */
struct json *json_build(struct json_builder *builder, const char *key, enum json_type type);
/* A string, or the digits of a number; @text is kept, not copied; NULL counts as memory gone. */
void json_build_text(struct json_builder *builder, const char *key, enum json_type type,
		     const char *text);
void json_build_string(struct json_builder *builder, const char *key, const char *text);

/* ---- writer ---- */

struct json_writer {
	struct buf *out;
	unsigned depth;
	bool indent;	       /* each member on its own line, newline at the end of the document */
	unsigned indent_width; /* blanks a level; two, unless changed after init */
	bool need_comma;
	bool after_key;
};

void json_writer_init(struct json_writer *w, struct buf *out, bool indent);
void json_begin_object(struct json_writer *w);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w);
void json_end_array(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);
/* NULL writes null. Invalid UTF-8 is replaced by U+FFFD. */
void json_put_string(struct json_writer *w, const char *value);
void json_put_string_len(struct json_writer *w, const char *value, size_t len);
void json_put_bool(struct json_writer *w, bool value);
void json_put_i64(struct json_writer *w, int64_t value);
void json_put_u64(struct json_writer *w, uint64_t value);
void json_put_null(struct json_writer *w);
/* Copies @len bytes that are one JSON value already. */
void json_put_raw(struct json_writer *w, const char *text, size_t len);
/* Writes a parsed value again, whole. */
void json_put_value(struct json_writer *w, const struct json *value);

/* key + value in one call */
void json_field_string(struct json_writer *w, const char *key, const char *value);
void json_field_bool(struct json_writer *w, const char *key, bool value);
void json_field_i64(struct json_writer *w, const char *key, int64_t value);
void json_field_u64(struct json_writer *w, const char *key, uint64_t value);
