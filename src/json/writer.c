/* The writer: tracks commas and nesting, so that callers only name keys and values in order. */
#include "json/json.h"

#include <string.h>

#include "base/str.h"

void json_writer_init(struct json_writer *w, struct buf *out, bool indent)
{
	*w = (struct json_writer) { .out = out, .indent = indent, .indent_width = 2 };
}

static void newline(struct json_writer *w)
{
	if (!w->indent)
		return;
	buf_putc(w->out, '\n');
	for (unsigned i = 0; i < w->depth * w->indent_width; i++)
		buf_putc(w->out, ' ');
}

/* What stands before a key or an element: the comma, and its own line when indenting. */
static void separate(struct json_writer *w)
{
	if (w->after_key) {
		w->after_key = false;
		return;
	}
	if (w->need_comma)
		buf_putc(w->out, ',');
	if (w->depth > 0)
		newline(w);
}

static void begin(struct json_writer *w, char open)
{
	separate(w);
	buf_putc(w->out, open);
	w->depth++;
	w->need_comma = false;
}

static void end(struct json_writer *w, char close)
{
	w->depth--;
	if (w->need_comma)
		newline(w);
	buf_putc(w->out, close);
	w->need_comma = true;
	if (w->depth == 0 && w->indent)
		buf_putc(w->out, '\n');
}

void json_begin_object(struct json_writer *w)
{
	begin(w, '{');
}

void json_end_object(struct json_writer *w)
{
	end(w, '}');
}

void json_begin_array(struct json_writer *w)
{
	begin(w, '[');
}

void json_end_array(struct json_writer *w)
{
	end(w, ']');
}

static void put_escape(struct buf *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *found = c ? strchr(from, c) : NULL;
	if (found) {
		char pair[2] = { '\\', to[found - from] };
		buf_append(out, pair, 2);
		return;
	}
	char unicode[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
	buf_append(out, unicode, 6);
}

static void put_quoted(struct buf *out, const char *value, size_t len)
{
	const unsigned char *s = (const unsigned char *)value;
	size_t at = 0, run = 0;
	buf_putc(out, '"');
	while (at < len) {
		if (s[at] >= 0x20 && s[at] < 0x80 && s[at] != '"' && s[at] != '\\') {
			at++;
			continue;
		}
		size_t length = s[at] >= 0x80 ? str_utf8_length(value + at, len - at) : 0;
		if (length) {
			at += length;
			continue;
		}
		buf_append(out, value + run, at - run);
		if (s[at] >= 0x80)
			buf_append(out, "\xef\xbf\xbd", 3);
		else
			put_escape(out, s[at]);
		run = ++at;
	}
	buf_append(out, value + run, at - run);
	buf_putc(out, '"');
}

void json_key(struct json_writer *w, const char *key)
{
	separate(w);
	put_quoted(w->out, key, strlen(key));
	buf_append(w->out, ": ", w->indent ? 2 : 1);
	w->after_key = true;
	w->need_comma = true;
}

void json_put_string_len(struct json_writer *w, const char *value, size_t len)
{
	separate(w);
	put_quoted(w->out, value, len);
	w->need_comma = true;
}

void json_put_raw(struct json_writer *w, const char *text, size_t len)
{
	separate(w);
	buf_append(w->out, text, len);
	w->need_comma = true;
}

void json_put_string(struct json_writer *w, const char *value)
{
	if (value)
		json_put_string_len(w, value, strlen(value));
	else
		json_put_null(w);
}

void json_put_bool(struct json_writer *w, bool value)
{
	json_put_raw(w, value ? "true" : "false", value ? 4 : 5);
}

void json_put_u64(struct json_writer *w, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);
	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	json_put_raw(w, digits + at, sizeof(digits) - at);
}

void json_put_i64(struct json_writer *w, int64_t value)
{
	char digits[21];
	size_t at = sizeof(digits);
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	do
		digits[--at] = (char)('0' + rest % 10);
	while (rest /= 10);
	if (value < 0)
		digits[--at] = '-';
	json_put_raw(w, digits + at, sizeof(digits) - at);
}

void json_put_null(struct json_writer *w)
{
	json_put_raw(w, "null", 4);
}

/* Recursion is bounded: a parsed value is at most JSON_MAX_DEPTH deep. */
void json_put_value(struct json_writer *w, const struct json *value)
{
	switch (value ? value->type : JSON_NULL) {
	case JSON_NULL:
		json_put_null(w);
		break;
	case JSON_FALSE:
	case JSON_TRUE:
		json_put_bool(w, value->type == JSON_TRUE);
		break;
	case JSON_NUMBER:
		json_put_raw(w, value->text, value->text_len);
		break;
	case JSON_STRING:
		json_put_string_len(w, value->text, value->text_len);
		break;
	case JSON_ARRAY:
		json_begin_array(w);
		json_foreach (item, value)
			json_put_value(w, item);
		json_end_array(w);
		break;
	case JSON_OBJECT:
		json_begin_object(w);
		json_foreach (item, value) {
			json_key(w, item->key);
			json_put_value(w, item);
		}
		json_end_object(w);
		break;
	}
}

void json_field_string(struct json_writer *w, const char *key, const char *value)
{
	json_key(w, key);
	json_put_string(w, value);
}

void json_field_bool(struct json_writer *w, const char *key, bool value)
{
	json_key(w, key);
	json_put_bool(w, value);
}

void json_field_i64(struct json_writer *w, const char *key, int64_t value)
{
	json_key(w, key);
	json_put_i64(w, value);
}

void json_field_u64(struct json_writer *w, const char *key, uint64_t value)
{
	json_key(w, key);
	json_put_u64(w, value);
}
