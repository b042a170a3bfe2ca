/* The functions of text/template, and docker's. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/template_internal.h"

#define PAD_MAX 4096

static const struct json *failed(struct template_call *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static const struct json *failed(struct template_call *c, const char *fmt, ...)
{
	char what[MASU_ERROR_MAX / 4];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	template_run_error(c->run, c->source.at, c->source, "error calling %s: %s",
			   c->function->name, what);
	return NULL;
}

static const struct json *make_string(struct template_call *c, const char *text)
{
	return template_make(c->run->arena, JSON_STRING, text, c->run->err);
}

static const struct json *make_bool(bool value)
{
	return value ? &template_true : &template_false;
}

/* The text of a buffer as a value; the buffer is freed. */
static const struct json *finish(struct template_call *c, struct buf *text)
{
	const char *copy = buf_error(text) ? NULL : arena_strdup(c->run->arena, buf_str(text));
	buf_free(text);
	return make_string(c, copy);
}

/* An argument of a type that the function does not take. */
static void wrong_type(struct template_call *c, size_t at, const char *wanted)
{
	const struct operand *operand = c->operands[at];
	struct span source = operand ? operand->source : c->source;
	const char *position = operand ? operand->position : c->source.at;
	if (operand && operand->kind == OPERAND_VALUE)
		template_run_error(c->run, position, source, "expected %s; found %.*s", wanted,
				   (int)source.len, source.at);
	else
		template_run_error(c->run, position, source,
				   "wrong type for value; expected %s; got %s", wanted,
				   template_type_name(c->args[at]));
}

static bool want_string(struct template_call *c, size_t at)
{
	if (c->args[at]->type == JSON_STRING)
		return true;
	wrong_type(c, at, "string");
	return false;
}

static bool want_int(struct template_call *c, size_t at, int64_t *ret)
{
	if (json_i64(c->args[at], ret))
		return true;
	wrong_type(c, at, "int");
	return false;
}

static bool want_strings(struct template_call *c, size_t at)
{
	bool strings = c->args[at]->type == JSON_ARRAY || c->args[at]->type == JSON_NULL;
	json_foreach (item, c->args[at])
		strings = strings && item->type == JSON_STRING;
	if (!strings)
		wrong_type(c, at, "[]string");
	return strings;
}

/* ---- docker's ---- */

static const struct json *call_json(struct template_call *c)
{
	struct buf text;
	struct json_writer w;
	buf_init(&text, 0);
	json_writer_init(&w, &text, false);
	json_put_value(&w, c->args[0]);
	return finish(c, &text);
}

static const struct json *call_join(struct template_call *c)
{
	struct buf text;
	if (!want_strings(c, 0) || !want_string(c, 1))
		return NULL;
	buf_init(&text, 0);
	json_foreach (item, c->args[0]) {
		if (item != c->args[0]->child)
			buf_puts(&text, c->args[1]->text);
		template_print(c->run->arena, item, &text);
	}
	return finish(c, &text);
}

static size_t character_length(const char *text)
{
	size_t len = *text != '\0';
	while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
		len++;
	return len;
}

static const struct json *call_split(struct template_call *c)
{
	struct json_builder list;
	if (!want_string(c, 0) || !want_string(c, 1))
		return NULL;
	const char *text = c->args[0]->text, *separator = c->args[1]->text;
	json_builder_init(&list, c->run->arena, JSON_ARRAY);
	for (bool last = false; !last;) {
		/* Without a separator: the characters. */
		size_t first = *separator ? 0 : character_length(text);
		const char *next = *separator ? strstr(text, separator) : text + first;
		last = !next || (!*separator && !*next);
		size_t len = next ? (size_t)(next - text) : strlen(text);
		json_build_string(&list, NULL, arena_strndup(c->run->arena, text, len));
		text += len + strlen(separator);
	}
	if (!list.value)
		error_set(c->run->err, -ENOMEM, "out of memory");
	return list.value;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || (unsigned char)c >= 0x80;
}

/* ASCII letters; others stay. */
static const struct json *change_case(struct template_call *c, char first, char last, bool words)
{
	if (!want_string(c, 0))
		return NULL;
	char *copy = arena_strdup(c->run->arena, c->args[0]->text);
	for (char *p = copy; p && *p; p++)
		if (*p >= first && *p <= last && (!words || p == copy || !is_word(p[-1])))
			*p ^= 0x20;
	return make_string(c, copy);
}

static const struct json *call_lower(struct template_call *c)
{
	return change_case(c, 'A', 'Z', false);
}

static const struct json *call_upper(struct template_call *c)
{
	return change_case(c, 'a', 'z', false);
}

static const struct json *call_title(struct template_call *c)
{
	return change_case(c, 'a', 'z', true);
}

/* pad TEXT BEFORE AFTER: blanks around what is not empty. */
static const struct json *call_pad(struct template_call *c)
{
	int64_t before, after;
	if (!want_string(c, 0) || !want_int(c, 1, &before) || !want_int(c, 2, &after))
		return NULL;
	if (before < 0 || after < 0 || before > PAD_MAX || after > PAD_MAX)
		return failed(c, "between 0 and %d blanks can be added", PAD_MAX);
	if (!c->args[0]->text_len)
		return c->args[0];
	return make_string(c, arena_printf(c->run->arena, "%*s%s%*s", (int)before, "",
					   c->args[0]->text, (int)after, ""));
}

static const struct json *call_truncate(struct template_call *c)
{
	int64_t length;
	if (!want_string(c, 0) || !want_int(c, 1, &length))
		return NULL;
	if (length < 0)
		return failed(c, "runtime error: slice bounds out of range [:%lld]",
			      (long long)length);
	if (length >= c->args[0]->text_len)
		return c->args[0];
	return make_string(c, arena_strndup(c->run->arena, c->args[0]->text, (size_t)length));
}

/* ---- text/template's ---- */

static const struct json *call_len(struct template_call *c)
{
	const struct json *value = c->args[0];
	size_t len = value->count;
	if (value->type == JSON_STRING)
		len = value->text_len;
	else if (value->type == JSON_NULL && value->key)
		len = 0; /* a list without content */
	else if (value->type != JSON_ARRAY && value->type != JSON_OBJECT)
		return failed(c, "len of type %s", template_type_name(value));
	return template_make(c->run->arena, JSON_NUMBER, arena_printf(c->run->arena, "%zu", len),
			     c->run->err);
}

/* What Go's maps give for a key that is not there: the zero value of what they hold. */
static const struct json *zero_of(const struct json *map)
{
	static const struct json text = { .type = JSON_STRING, .text = "" };
	static const struct json nil = { .type = JSON_NULL };
	/* Ports: their key is a type of its own, for which docker looks at the raw document. */
	if (map->key && (streq(map->key, "Ports") || streq(map->key, "PortBindings") ||
			 streq(map->key, "ExposedPorts")))
		return &template_no_value;
	if (map->child)
		return map->child->type == JSON_STRING ? &text : &nil;
	return map->key && template_is_map(map) && !streq(map->key, "Networks") ? &text : &nil;
}

static const struct json *item_at(struct template_call *c, const struct json *value,
				  const struct json *key)
{
	int64_t number;
	if (value->type == JSON_OBJECT) {
		if (key->type != JSON_STRING)
			return failed(c, "value has type %s; should be string",
				      template_type_name(key));
		const struct json *member = json_get(value, key->text);
		return member ? member : zero_of(value);
	}
	if (value->type == JSON_NULL && !value->key)
		return failed(c, "index of untyped nil");
	if (value->type == JSON_STRING && json_i64(key, &number) && number >= 0 &&
	    number < value->text_len)
		return template_make(
			c->run->arena, JSON_NUMBER,
			arena_printf(c->run->arena, "%u", (unsigned char)value->text[number]),
			c->run->err);
	if (value->type != JSON_ARRAY && value->type != JSON_NULL && value->type != JSON_STRING)
		return failed(c, "can't index item of type %s", template_type_name(value));
	if (key->type == JSON_STRING && value->type == JSON_NULL)
		return zero_of(value);
	if (!json_i64(key, &number))
		return failed(c, "cannot index slice/array with type %s", template_type_name(key));
	int64_t at = number;
	json_foreach (item, value)
		if (at-- == 0)
			return item;
	return failed(c, "index out of range: %lld", (long long)number);
}

const struct json *template_index(struct template_call *c)
{
	const struct json *value = c->args[0];
	for (size_t i = 1; i < c->count && value; i++)
		value = item_at(c, value, c->args[i]);
	return value;
}

static const struct json *slice_list(struct template_call *c, int64_t from, int64_t to)
{
	struct json *list = json_new(c->run->arena, JSON_ARRAY);
	const struct json *first = c->args[0]->child;
	struct json_builder copy;
	json_builder_init(&copy, c->run->arena, JSON_ARRAY);
	for (int64_t i = 0; first && i < to; i++, first = first->next) {
		struct json *item = i < from ? NULL : json_build(&copy, NULL, first->type);
		if (!item)
			continue;
		const struct json *next = item->next;
		*item = *first;
		item->next = next;
	}
	if (!list || !copy.value)
		error_set(c->run->err, -ENOMEM, "out of memory");
	return copy.value;
}

/* slice VALUE [FROM [TO]] */
static const struct json *call_slice(struct template_call *c)
{
	const struct json *value = c->args[0];
	bool list = value->type == JSON_ARRAY;
	if (!list && value->type != JSON_STRING)
		return failed(c, "can't slice item of type %s", template_type_name(value));
	int64_t length = list ? value->count : value->text_len, bounds[2] = { 0, length };
	for (size_t i = 1; i < c->count; i++) {
		if (!json_i64(c->args[i], &bounds[i - 1]))
			return failed(c, "cannot index slice/array with type %s",
				      template_type_name(c->args[i]));
		if (bounds[i - 1] < 0 || bounds[i - 1] > length)
			return failed(c, "index out of range: %lld", (long long)bounds[i - 1]);
	}
	if (bounds[0] > bounds[1])
		return failed(c, "invalid slice index: %lld > %lld", (long long)bounds[0],
			      (long long)bounds[1]);
	if (list)
		return slice_list(c, bounds[0], bounds[1]);
	return make_string(c, arena_strndup(c->run->arena, value->text + bounds[0],
					    (size_t)(bounds[1] - bounds[0])));
}

/* fmt.Sprint: a blank between two operands of which none is a string. */
static const struct json *call_print(struct template_call *c)
{
	struct buf text;
	bool line = streq(c->function->name, "println");
	buf_init(&text, 0);
	for (size_t i = 0; i < c->count; i++) {
		bool strings = i && (c->args[i]->type == JSON_STRING ||
				     c->args[i - 1]->type == JSON_STRING);
		if (i && (line || !strings))
			buf_putc(&text, ' ');
		template_print(c->run->arena, c->args[i], &text);
	}
	if (line)
		buf_putc(&text, '\n');
	return finish(c, &text);
}

static const struct json *call_printf(struct template_call *c)
{
	struct buf text;
	if (!want_string(c, 0))
		return NULL;
	buf_init(&text, 0);
	template_format(c->run->arena, c->args[0]->text, c->args + 1, c->count - 1, &text);
	return finish(c, &text);
}

/* What the escaping functions work on: the arguments, printed one after the other. */
static void print_arguments(struct template_call *c, struct buf *ret)
{
	buf_init(ret, 0);
	for (size_t i = 0; i < c->count; i++)
		template_print(c->run->arena, c->args[i], ret);
}

static const struct json *call_html(struct template_call *c)
{
	static const char from[] = "\"'&<>";
	static const char *const to[] = { "&#34;", "&#39;", "&amp;", "&lt;", "&gt;" };
	struct buf plain, text;
	print_arguments(c, &plain);
	buf_init(&text, 0);
	for (const char *p = buf_str(&plain); *p; p++) {
		const char *special = strchr(from, *p);
		if (special)
			buf_puts(&text, to[special - from]);
		else
			buf_putc(&text, *p);
	}
	buf_free(&plain);
	return finish(c, &text);
}

static const struct json *call_js(struct template_call *c)
{
	struct buf plain, text;
	print_arguments(c, &plain);
	buf_init(&text, 0);
	for (const char *p = buf_str(&plain); *p; p++) {
		if (strchr("\\'\"", *p))
			buf_printf(&text, "\\%c", *p);
		else if (strchr("<>&=", *p) || (unsigned char)*p < 0x20)
			buf_printf(&text, "\\u%04X", (unsigned char)*p);
		else
			buf_putc(&text, *p);
	}
	buf_free(&plain);
	return finish(c, &text);
}

static const struct json *call_urlquery(struct template_call *c)
{
	struct buf plain, text;
	print_arguments(c, &plain);
	buf_init(&text, 0);
	for (const char *p = buf_str(&plain); *p; p++) {
		bool bare = (is_word(*p) && (unsigned char)*p < 0x80) || strchr("-.~", *p);
		if (*p == ' ')
			buf_putc(&text, '+');
		else
			buf_printf(&text, bare ? "%c" : "%%%02X", (unsigned char)*p);
	}
	buf_free(&plain);
	return finish(c, &text);
}

enum basic_kind { KIND_OTHER, KIND_BOOL, KIND_NUMBER, KIND_STRING, KIND_NIL };

static enum basic_kind basic_kind(const struct json *value)
{
	switch (value->type) {
	case JSON_TRUE:
	case JSON_FALSE:
		return KIND_BOOL;
	case JSON_NUMBER:
		return KIND_NUMBER;
	case JSON_STRING:
		return KIND_STRING;
	case JSON_NULL:
		return KIND_NIL;
	default:
		return KIND_OTHER;
	}
}

static int compare_numbers(const struct json *a, const struct json *b)
{
	int64_t x, y;
	if (json_i64(a, &x) && json_i64(b, &y))
		return (x > y) - (x < y);
	double p = strtod(a->text, NULL), q = strtod(b->text, NULL);
	return (p > q) - (p < q);
}

static int compare_basic(const struct json *a, const struct json *b)
{
	if (a->type == JSON_NUMBER)
		return compare_numbers(a, b);
	return a->type == JSON_STRING ? strcmp(a->text, b->text) : a->type != b->type;
}

/* 1: equal, 0: not, negative: cannot be compared, and *err says why. */
static int equal(struct template_call *c, const struct json *a, const struct json *b)
{
	enum basic_kind x = basic_kind(a), y = basic_kind(b);
	if (x == KIND_NIL || y == KIND_NIL)
		return x == y;
	if (x != y) {
		failed(c, "incompatible types for comparison");
		return -EINVAL;
	}
	if (x == KIND_OTHER) {
		failed(c, "non-comparable types %s, %s", template_type_name(a),
		       template_type_name(b));
		return -EINVAL;
	}
	return compare_basic(a, b) == 0;
}

static const struct json *call_equal(struct template_call *c)
{
	int found = 0;
	for (size_t i = 1; i < c->count && found == 0; i++)
		found = equal(c, c->args[0], c->args[i]);
	if (found < 0)
		return NULL;
	return make_bool(streq(c->function->name, "ne") ? !found : found);
}

static const struct json *call_order(struct template_call *c)
{
	enum basic_kind kind = basic_kind(c->args[0]);
	if (kind != basic_kind(c->args[1]))
		return failed(c, "incompatible types for comparison");
	if (kind != KIND_NUMBER && kind != KIND_STRING)
		return failed(c, "invalid type for comparison");
	int order = compare_basic(c->args[0], c->args[1]);
	bool less = c->function->name[0] == 'l', or_equal = c->function->name[1] == 'e';
	return make_bool((or_equal && order == 0) || (less ? order < 0 : order > 0));
}

static const struct json *call_not(struct template_call *c)
{
	return make_bool(!template_truth(c->args[0]));
}

/* There are no values that could be called. */
static const struct json *call_call(struct template_call *c)
{
	const struct operand *operand = c->operands[0];
	struct span source = operand ? operand->source : c->source;
	return failed(c, "non-function %.*s of type %s", (int)source.len, source.at,
		      template_type_name(c->args[0]));
}

/* "and" and "or" evaluate no more arguments than they need: template.c does them. */
static const struct template_function functions[] = {
	{ "and", NULL, 1, TEMPLATE_MAX_ARGS, false },
	{ "call", call_call, 1, TEMPLATE_MAX_ARGS, false },
	{ "eq", call_equal, 2, TEMPLATE_MAX_ARGS, false },
	{ "ge", call_order, 2, 2, false },
	{ "gt", call_order, 2, 2, false },
	{ "html", call_html, 0, TEMPLATE_MAX_ARGS, false },
	{ "index", template_index, 1, TEMPLATE_MAX_ARGS, false },
	{ "join", call_join, 2, 2, true },
	{ "js", call_js, 0, TEMPLATE_MAX_ARGS, false },
	{ "json", call_json, 1, 1, true },
	{ "le", call_order, 2, 2, false },
	{ "len", call_len, 1, 1, false },
	{ "lower", call_lower, 1, 1, true },
	{ "lt", call_order, 2, 2, false },
	{ "ne", call_equal, 2, 2, false },
	{ "not", call_not, 1, 1, false },
	{ "or", NULL, 1, TEMPLATE_MAX_ARGS, false },
	{ "pad", call_pad, 3, 3, true },
	{ "print", call_print, 0, TEMPLATE_MAX_ARGS, false },
	{ "printf", call_printf, 1, TEMPLATE_MAX_ARGS, false },
	{ "println", call_print, 0, TEMPLATE_MAX_ARGS, false },
	{ "slice", call_slice, 1, 3, false },
	{ "split", call_split, 2, 2, true },
	{ "title", call_title, 1, 1, true },
	{ "truncate", call_truncate, 2, 2, true },
	{ "upper", call_upper, 1, 1, true },
	{ "urlquery", call_urlquery, 0, TEMPLATE_MAX_ARGS, false },
};

const struct template_function *template_function_find(struct span name)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (span_is(name, functions[i].name))
			return &functions[i];
	return NULL;
}
