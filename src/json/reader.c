/*
 * The reader: one pass over the text, by recursive descent that is bounded by JSON_MAX_DEPTH.
 * Decoded strings and the digits of numbers are never longer than their source, so all of them go,
 * at their own offset, into one block as long as the document: one allocation instead of one each.
 */
#include "json/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/words.h"

struct reader {
	struct arena *arena;
	const char *text, *end, *at;
	char *strings; /* decoded text, offset as in @text */
	unsigned depth, nodes, flags;
	struct masu_error *err;
};

static int fail(const struct reader *r, const char *where, int code, const char *what)
{
	unsigned line = 1, column = 1;
	for (const char *p = r->text; p < where; p++) {
		if (*p == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)*p & 0xc0) != 0x80) {
			column++;
		}
	}
	return error_set(r->err, code, "JSON line %u, column %u: %s", line, column, what);
}

static int fail_here(const struct reader *r, const char *expected)
{
	return fail(r, r->at, -EINVAL, r->at >= r->end ? "unexpected end" : expected);
}

static void skip_blanks(struct reader *r)
{
	while (r->at < r->end &&
	       (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r'))
		r->at++;
}

/* True, and one further, where the next byte is @c. */
static bool take(struct reader *r, char c)
{
	if (r->at >= r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

static char *put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		*out++ = (char)c;
	} else if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
		*out++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*out++ = (char)(0xe0 | c >> 12);
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
		*out++ = (char)(0x80 | (c & 0x3f));
	} else {
		*out++ = (char)(0xf0 | c >> 18);
		*out++ = (char)(0x80 | (c >> 12 & 0x3f));
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
		*out++ = (char)(0x80 | (c & 0x3f));
	}
	return out;
}

static int hex4(const struct reader *r, const char *p, uint32_t *ret)
{
	uint32_t value = 0;
	if (r->end - p < 4)
		return fail(r, p, -EINVAL, "\\u needs four hex digits");
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		uint32_t digit = c >= '0' && c <= '9'	? (uint32_t)(c - '0')
				 : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
				 : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
							: 16;
		if (digit == 16)
			return fail(r, p, -EINVAL, "\\u needs four hex digits");
		value = value << 4 | digit;
	}
	*ret = value;
	return 0;
}

/* r->at is behind "\u"; surrogate pairs become one character. */
static int unicode_escape(struct reader *r, char **out)
{
	uint32_t c, low;
	int e = hex4(r, r->at, &c);
	if (e < 0)
		return e;
	if (c == 0 && !(r->flags & JSON_ALLOW_NUL))
		return fail(r, r->at, -EINVAL, "NUL in a string");
	if (c >= 0xdc00 && c <= 0xdfff)
		return fail(r, r->at, -EINVAL, "lone surrogate");
	r->at += 4;
	if (c >= 0xd800 && c <= 0xdbff) {
		if (!take(r, '\\') || !take(r, 'u'))
			return fail(r, r->at, -EINVAL, "lone surrogate");
		e = hex4(r, r->at, &low);
		if (e < 0)
			return e;
		if (low < 0xdc00 || low > 0xdfff)
			return fail(r, r->at, -EINVAL, "lone surrogate");
		r->at += 4;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	*out = put_utf8(*out, c);
	return 0;
}

static int escape(struct reader *r, char **out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	if (r->at >= r->end)
		return fail_here(r, "");
	char c = *r->at++;
	if (c == 'u')
		return unicode_escape(r, out);
	const char *found = c ? strchr(from, c) : NULL;
	if (!found)
		return fail(r, r->at - 1, -EINVAL, "unknown escape");
	*(*out)++ = to[found - from];
	return 0;
}

/* r->at is behind the opening quote. */
static int parse_string(struct reader *r, const char **ret, uint32_t *ret_len)
{
	char *start = r->strings + (r->at - r->text), *out = start;
	for (;;) {
		const char *p = r->at;
		for (; r->end - p >= (ptrdiff_t)sizeof(uint64_t); p += sizeof(uint64_t)) {
			uint64_t word = load_word(p);
			if (bytes_equal(word, '"') | bytes_equal(word, '\\') |
			    bytes_below(word, 0x20) | (word & HIGH_BITS))
				break;
			memcpy(out, &word, sizeof(word));
			out += sizeof(word);
		}
		while (p < r->end && *p != '"' && *p != '\\' && (unsigned char)*p - 0x20u < 0x60u)
			*out++ = *p++;
		r->at = p;
		if (r->at >= r->end)
			return fail_here(r, "");
		unsigned char c = (unsigned char)*r->at;
		if (c == '"')
			break;
		if (c == '\\') {
			r->at++;
			int e = escape(r, &out);
			if (e < 0)
				return e;
			continue;
		}
		if (c < 0x20)
			return fail_here(r,
					 c ? "control character in a string" : "NUL in a string");
		size_t len = str_utf8_length(r->at, (size_t)(r->end - r->at));
		if (len == 0)
			return fail_here(r, "invalid UTF-8");
		memcpy(out, r->at, len);
		out += len;
		r->at += len;
	}
	r->at++;
	*out = '\0';
	*ret = start;
	if (ret_len)
		*ret_len = (uint32_t)(out - start);
	return 0;
}

static size_t skip_digits(struct reader *r)
{
	const char *start = r->at;
	while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
		r->at++;
	return (size_t)(r->at - start);
}

static int parse_number(struct reader *r, struct json *value)
{
	const char *start = r->at;
	take(r, '-');
	if (!take(r, '0') && skip_digits(r) == 0)
		return fail_here(r, "expected a digit");
	if (take(r, '.') && skip_digits(r) == 0)
		return fail_here(r, "expected a digit");
	if (take(r, 'e') || take(r, 'E')) {
		if (!take(r, '+'))
			take(r, '-');
		if (skip_digits(r) == 0)
			return fail_here(r, "expected a digit");
	}
	size_t len = (size_t)(r->at - start);
	char *text = r->strings + (start - r->text);
	memcpy(text, start, len);
	text[len] = '\0'; /* where the delimiter is in the source: no string begins there */
	value->type = JSON_NUMBER;
	value->text = text;
	value->text_len = (uint32_t)len;
	return 0;
}

static int parse_literal(struct reader *r, struct json *value)
{
	static const struct {
		const char *word;
		enum json_type type;
	} literals[] = { { "null", JSON_NULL }, { "true", JSON_TRUE }, { "false", JSON_FALSE } };
	for (size_t i = 0; i < ARRAY_SIZE(literals); i++) {
		size_t len = strlen(literals[i].word);
		if ((size_t)(r->end - r->at) >= len && memcmp(r->at, literals[i].word, len) == 0) {
			value->type = literals[i].type;
			r->at += len;
			return 0;
		}
	}
	return fail_here(r, "expected a value");
}

static int compare_keys(const void *a, const void *b)
{
	const struct json *const *x = a, *const *y = b;
	return strcmp((*x)->key, (*y)->key);
}

static int duplicate(const struct reader *r, const struct json *a, const struct json *b)
{
	const struct json *later = a->source > b->source ? a : b;
	char what[160];
	if (str_format(what, sizeof(what), "duplicate key \"%s\"", later->key) < 0)
		return fail(r, later->source, -EINVAL, "duplicate key");
	return fail(r, later->source, -EINVAL, what);
}

/* Few members are compared with each other, many are sorted: never quadratic in hostile input. */
static int refuse_duplicates(struct reader *r, const struct json *object)
{
	if (object->count <= 16) {
		json_foreach (a, object)
			for (const struct json *b = a->next; b; b = b->next)
				if (a->key[0] == b->key[0] && streq(a->key, b->key))
					return duplicate(r, a, b);
		return 0;
	}
	const struct json **sorted = arena_array(r->arena, const struct json *, object->count);
	if (!sorted)
		return error_set(r->err, -ENOMEM, "out of memory for a JSON document");
	size_t n = 0;
	json_foreach (member, object)
		sorted[n++] = member;
	qsort(sorted, n, sizeof(*sorted), compare_keys);
	for (size_t i = 1; i < n; i++)
		if (streq(sorted[i - 1]->key, sorted[i]->key))
			return duplicate(r, sorted[i - 1], sorted[i]);
	return 0;
}

static int parse_value(struct reader *r, struct json **ret);

static int parse_member(struct reader *r, struct json **ret)
{
	const char *key;
	if (!take(r, '"'))
		return fail_here(r, "expected a string as key");
	int e = parse_string(r, &key, NULL);
	if (e < 0)
		return e;
	skip_blanks(r);
	if (!take(r, ':'))
		return fail_here(r, "expected ':'");
	skip_blanks(r);
	e = parse_value(r, ret);
	if (e == 0)
		(*ret)->key = key;
	return e;
}

/* r->at is behind the opening bracket. */
static int parse_children(struct reader *r, struct json *parent, char close)
{
	const struct json **tail = &parent->child;
	skip_blanks(r);
	if (take(r, close))
		return 0;
	for (;;) {
		struct json *child;
		int e = close == '}' ? parse_member(r, &child) : parse_value(r, &child);
		if (e < 0)
			return e;
		*tail = child;
		tail = &child->next;
		parent->count++;
		skip_blanks(r);
		if (take(r, close))
			return close == '}' ? refuse_duplicates(r, parent) : 0;
		if (!take(r, ','))
			return fail_here(r, close == '}' ? "expected ',' or '}'"
							 : "expected ',' or ']'");
		skip_blanks(r);
	}
}

static int parse_container(struct reader *r, struct json *value, char close)
{
	if (r->depth == JSON_MAX_DEPTH)
		return fail(r, r->at, -E2BIG, "nested too deeply");
	value->type = close == '}' ? JSON_OBJECT : JSON_ARRAY;
	r->at++;
	r->depth++;
	int e = parse_children(r, value, close);
	r->depth--;
	return e;
}

static int parse_value(struct reader *r, struct json **ret)
{
	if (r->at >= r->end)
		return fail_here(r, "");
	if (r->nodes++ == JSON_MAX_NODES)
		return fail(r, r->at, -E2BIG, "too many values");
	struct json *value = arena_new(r->arena, struct json);
	if (!value)
		return error_set(r->err, -ENOMEM, "out of memory for a JSON document");
	value->source = r->at;
	int e;
	switch (*r->at) {
	case '{':
		e = parse_container(r, value, '}');
		break;
	case '[':
		e = parse_container(r, value, ']');
		break;
	case '"':
		r->at++;
		value->type = JSON_STRING;
		e = parse_string(r, &value->text, &value->text_len);
		break;
	case '-':
	case '0' ... '9':
		e = parse_number(r, value);
		break;
	default:
		e = parse_literal(r, value);
	}
	if (e < 0)
		return e;
	value->source_len = (uint32_t)(r->at - value->source);
	*ret = value;
	return 0;
}

int json_parse(struct arena *arena, const char *text, size_t len, const struct json **ret,
	       struct masu_error *err)
{
	return json_parse_flags(arena, text, len, 0, ret, err);
}

int json_parse_flags(struct arena *arena, const char *text, size_t len, unsigned flags,
		     const struct json **ret, struct masu_error *err)
{
	if (len > JSON_MAX_BYTES)
		return error_set(err, -E2BIG, "JSON document of %zu bytes: the maximum is %u", len,
				 JSON_MAX_BYTES);
	struct reader r = { .arena = arena,
			    .text = text,
			    .end = text + len,
			    .at = text,
			    .flags = flags,
			    .err = err };
	r.strings = arena_alloc(arena, len + 1);
	if (!r.strings)
		return error_set(err, -ENOMEM, "out of memory for a JSON document");
	struct json *value;
	skip_blanks(&r);
	int e = parse_value(&r, &value);
	if (e < 0)
		return e;
	skip_blanks(&r);
	if (r.at < r.end)
		return fail(&r, r.at, -EINVAL, "unexpected text after the value");
	*ret = value;
	return 0;
}

const struct json *json_get(const struct json *object, const char *key)
{
	if (!object || object->type != JSON_OBJECT)
		return NULL;
	json_foreach (member, object)
		if (member->key[0] == key[0] && streq(member->key, key))
			return member;
	return NULL;
}

bool json_string(const struct json *value, const char **ret)
{
	if (!value || value->type != JSON_STRING)
		return false;
	*ret = value->text;
	return true;
}

const char *json_text(const struct json *object, const char *key)
{
	const char *text = "";
	json_string(json_get(object, key), &text);
	return text;
}

bool json_bool(const struct json *value, bool *ret)
{
	if (!value || (value->type != JSON_TRUE && value->type != JSON_FALSE))
		return false;
	*ret = value->type == JSON_TRUE;
	return true;
}

bool json_i64(const struct json *value, int64_t *ret)
{
	return value && value->type == JSON_NUMBER && str_to_i64(value->text, ret) == 0;
}

bool json_u64(const struct json *value, uint64_t *ret)
{
	return value && value->type == JSON_NUMBER && str_to_u64(value->text, ret) == 0;
}

int json_parse_written(struct arena *arena, const struct buf *text, const struct json **ret,
		       struct masu_error *err)
{
	char *kept = buf_error(text) ? NULL : arena_strdup(arena, buf_str(text));
	return kept ? json_parse(arena, kept, text->len, ret, err)
		    : error_set(err, -ENOMEM, "out of memory");
}
