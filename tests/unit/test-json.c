/* The JSON reader and writer: RFC 8259's corners, hostile input (HOSTILE cases 1-3, 5, 13), and
 * json-c as an oracle over a corpus. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* json-c's types get other names here, ours are the same words. */
#define json_type json_c_type
#define json_bool json_c_bool
#include <json-c/json.h>
#undef json_type
#undef json_bool

#include "base/arena.h"
#include "base/str.h"
#include "json/json.h"

/* A string literal with its length: NUL bytes count. */
#define TEXT(s) (s), sizeof(s) - 1

static int parse(struct arena *arena, const char *text, const struct json **ret,
		 struct masu_error *err)
{
	return json_parse(arena, text, strlen(text), ret, err);
}

static void test_values(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	const struct json *doc = NULL;
	struct masu_error err = { 0 };
	assert_int_equal(
		parse(&arena,
		      " { \"a\" : [1, -2.5e+3, true, false, null, \"x\\u00e9\\ud83d\\ude00\\n\"],"
		      "\"b\":{}, \"c\":[] , \"\":0}\r\n\t",
		      &doc, &err),
		0);
	assert_int_equal(doc->type, JSON_OBJECT);
	assert_int_equal(doc->count, 4);
	const struct json *a = json_get(doc, "a");
	assert_int_equal(a->count, 6);
	assert_string_equal(a->child->next->text, "-2.5e+3");
	const struct json *last = NULL;
	json_foreach (item, a)
		last = item;
	assert_string_equal(last->text, "x\xc3\xa9\xf0\x9f\x98\x80\n");
	assert_int_equal(last->text_len, strlen(last->text));
	assert_memory_equal(a->source, "[1, -2.5e+3", 11);
	assert_int_equal(a->source[a->source_len - 1], ']');
	assert_int_equal(json_get(doc, "b")->count, 0);
	assert_non_null(json_get(doc, ""));
	assert_null(json_get(doc, "d"));
	assert_null(json_get(a, "d"));
	assert_null(json_get(NULL, "d"));
}

static void test_typed_access(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	const struct json *doc;
	assert_int_equal(parse(&arena,
			       "{\"max\":18446744073709551615,\"over\":18446744073709551616,"
			       "\"min\":-9223372036854775808,\"under\":-9223372036854775809,"
			       "\"float\":1.0,\"exp\":1e3,\"text\":\"1\",\"yes\":true}",
			       &doc, NULL),
			 0);
	uint64_t u = 0;
	int64_t i = 0;
	bool b = false;
	const char *s;
	assert_true(json_u64(json_get(doc, "max"), &u) && u == UINT64_MAX);
	assert_false(json_i64(json_get(doc, "max"), &i));
	assert_false(json_u64(json_get(doc, "over"), &u));
	assert_true(json_i64(json_get(doc, "min"), &i) && i == INT64_MIN);
	assert_false(json_u64(json_get(doc, "min"), &u));
	assert_false(json_i64(json_get(doc, "under"), &i));
	assert_false(json_i64(json_get(doc, "float"), &i));
	assert_false(json_i64(json_get(doc, "exp"), &i));
	assert_false(json_i64(json_get(doc, "text"), &i));
	assert_true(json_string(json_get(doc, "text"), &s));
	assert_false(json_string(json_get(doc, "yes"), &s));
	assert_true(json_bool(json_get(doc, "yes"), &b) && b);
	assert_false(json_bool(json_get(doc, "absent"), &b));
}

struct refused {
	const char *text;
	size_t len;
	const char *message;
};

static void test_refused(void **state)
{
	static const struct refused cases[] = {
		{ TEXT(""), "line 1, column 1: unexpected end" },
		{ TEXT("  "), "unexpected end" },
		{ TEXT("{"), "unexpected end" },
		{ TEXT("{\"a\""), "unexpected end" },
		{ TEXT("{\"a\":"), "unexpected end" },
		{ TEXT("{\"a\":1"), "unexpected end" },
		{ TEXT("{\"a\":1,"), "unexpected end" },
		{ TEXT("[1,"), "unexpected end" },
		{ TEXT("\"abc"), "unexpected end" },
		{ TEXT("\"abc\\"), "unexpected end" },
		{ TEXT("\"\\u12"), "four hex" },
		{ TEXT("-"), "unexpected end" },
		{ TEXT("tru"), "expected a value" },
		{ TEXT("nul"), "expected a value" },
		{ TEXT("[1]]"), "unexpected text after" },
		{ TEXT("1 2"), "unexpected text after" },
		{ TEXT("[1,]"), "expected a value" },
		{ TEXT("[,1]"), "expected a value" },
		{ TEXT("[1 2]"), "expected ',' or ']'" },
		{ TEXT("{\"a\":1,}"), "expected a string as key" },
		{ TEXT("{a:1}"), "expected a string as key" },
		{ TEXT("{1:1}"), "expected a string as key" },
		{ TEXT("{\"a\" 1}"), "expected ':'" },
		{ TEXT("{\"a\":1]"), "expected ',' or '}'" },
		{ TEXT("'a'"), "expected a value" },
		{ TEXT("+1"), "expected a value" },
		{ TEXT("01"), "unexpected text after" },
		{ TEXT("1."), "unexpected end" },
		{ TEXT("1.e1"), "expected a digit" },
		{ TEXT(".5"), "expected a value" },
		{ TEXT("1e"), "unexpected end" },
		{ TEXT("1e+"), "unexpected end" },
		{ TEXT("NaN"), "expected a value" },
		{ TEXT("0x10"), "unexpected text after" },
		{ TEXT("// c\n1"), "expected a value" },
		{ TEXT("\xef\xbb\xbf{}"), "expected a value" },
		{ TEXT("\"a\nb\""), "control character" },
		{ TEXT("\"a\0b\""), "NUL in a string" },
		{ TEXT("\"a\\u0000b\""), "NUL in a string" },
		{ TEXT("{\"a\\u0000\":1}"), "NUL in a string" },
		{ TEXT("1\0"), "unexpected text after" },
		{ TEXT("\"\\x\""), "unknown escape" },
		{ TEXT("\"\\u12g4\""), "four hex" },
		{ TEXT("\"\\ud800\""), "lone surrogate" },
		{ TEXT("\"\\ud800\\u0041\""), "lone surrogate" },
		{ TEXT("\"\\udc00\""), "lone surrogate" },
		{ TEXT("\"\x80\""), "invalid UTF-8" },
		{ TEXT("\"\xc0\xaf\""), "invalid UTF-8" },
		{ TEXT("\"\xe0\x80\xaf\""), "invalid UTF-8" },
		{ TEXT("\"\xed\xa0\x80\""), "invalid UTF-8" },
		{ TEXT("\"\xf4\x90\x80\x80\""), "invalid UTF-8" },
		{ TEXT("\"\xf0\x9f\x98\""), "invalid UTF-8" },
		{ TEXT("\"\xff\""), "invalid UTF-8" },
		{ TEXT("{\"a\":1,\"a\":2}"), "column 12: duplicate key \"a\"" },
		{ TEXT("{\"a\":1,\"\\u0061\":2}"), "duplicate key \"a\"" },
		{ TEXT("[{\"a\":{\"b\":1,\"c\":1,\"b\":1}}]"), "duplicate key \"b\"" },
		{ TEXT("{\n \"\xc3\xa9\": x}"), "line 2, column 7: expected a value" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		const struct json *doc = NULL;
		struct masu_error err = { 0 };
		/* An exact heap copy, so that ASan sees a read past the end. */
		char *copy = malloc(cases[i].len ? cases[i].len : 1);
		memcpy(copy, cases[i].text, cases[i].len);
		int r = json_parse(&arena, copy, cases[i].len, &doc, &err);
		free(copy);
		if (r != -EINVAL || !strstr(err.message, cases[i].message))
			fail_msg("%s: %d \"%s\", expected \"%s\"", cases[i].text, r, err.message,
				 cases[i].message);
		assert_null(doc);
	}
}

static void test_nul_where_allowed(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	const struct json *doc;
	static const char escaped[] = "\"a\\u0000b\"", raw[] = "\"a\0b\"";
	assert_int_equal(json_parse_flags(&arena, TEXT(escaped), JSON_ALLOW_NUL, &doc, NULL), 0);
	assert_int_equal(doc->text_len, 3);
	assert_memory_equal(doc->text, "a\0b", 4);
	assert_int_equal(json_parse_flags(&arena, TEXT(raw), JSON_ALLOW_NUL, &doc, NULL), -EINVAL);
}

/* Case 1: every prefix of a document is refused. */
static void test_truncated(void **state)
{
	static const char text[] =
		"{\"a\":[1,2.5,-3e2,{\"b\":\"c\\u00e9\\n\xe2\x82\xac\"}],\"d\":true,\"e\":null}";
	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		_cleanup_arena_ struct arena arena = { 0 };
		const struct json *doc;
		char *copy = malloc(len ? len : 1);
		memcpy(copy, text, len);
		int r = json_parse(&arena, copy, len, &doc, NULL);
		free(copy);
		assert_int_equal(r, -EINVAL);
	}
}

static char *nested(size_t depth, char open, char close)
{
	char *text = malloc(2 * depth + 1);
	memset(text, open, depth);
	memset(text + depth, close, depth);
	text[2 * depth] = '\0';
	return text;
}

/* Case 2: depth. */
static void test_depth_is_bounded(void **state)
{
	static const struct {
		size_t depth;
		int result;
	} cases[] = { { JSON_MAX_DEPTH, 0 }, { JSON_MAX_DEPTH + 1, -E2BIG }, { 200000, -E2BIG } };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		const struct json *doc;
		char *text = nested(cases[i].depth, '[', ']');
		assert_int_equal(parse(&arena, text, &doc, NULL), cases[i].result);
		free(text);
	}
	/* 200,000 openings and nothing else, objects this time. */
	_cleanup_arena_ struct arena arena = { 0 };
	const struct json *doc;
	size_t len = 200000 * 5;
	char *text = malloc(len);
	for (size_t i = 0; i < len; i += 5)
		memcpy(text + i, "{\"a\":", 5);
	assert_int_equal(json_parse(&arena, text, len, &doc, NULL), -E2BIG);
	free(text);
}

static void test_sizes_are_bounded(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	const struct json *doc;
	size_t len = JSON_MAX_BYTES + 1;
	char *text = malloc(len);
	memset(text, ' ', len);
	text[0] = '1';
	assert_int_equal(json_parse(&arena, text, len, &doc, NULL), -E2BIG);
	assert_int_equal(json_parse(&arena, text, len - 1, &doc, NULL), 0);
	arena_free(&arena);
	/* More values than are allowed. */
	for (size_t i = 0; i + 1 < len; i += 2)
		memcpy(text + i, "0,", 2);
	text[0] = '[';
	text[1] = '0';
	text[2] = ',';
	struct masu_error err = { 0 };
	assert_int_equal(json_parse(&arena, text, len - 1, &doc, &err), -EINVAL);
	arena_free(&arena);
	memcpy(text, "[ 0,", 4);
	assert_int_equal(json_parse(&arena, text, len - 1, &doc, &err), -E2BIG);
	assert_non_null(strstr(err.message, "too many values"));
	arena_free(&arena);
	/* An arena at its limit is an error, not a crash. */
	arena_init(&arena, 4096);
	memset(text, ' ', 2048);
	text[0] = '[';
	for (size_t i = 1; i < 2047; i += 2)
		memcpy(text + i, "0,", 2);
	assert_int_equal(json_parse(&arena, text, 2047, &doc, &err), -ENOMEM);
	free(text);
}

/* Case 3, at a size where comparing all pairs would take minutes. */
static void test_many_keys(void **state)
{
	enum { KEYS = 200000 };
	struct buf text;
	buf_init(&text, 0);
	buf_putc(&text, '{');
	for (unsigned i = 0; i < KEYS; i++)
		buf_printf(&text, "\"key-%u\":%u,", i * 7919u, i);
	size_t without = text.len - 1;
	buf_puts(&text, "\"key-7919\":0}");
	_cleanup_arena_ struct arena arena = { 0 };
	const struct json *doc;
	struct masu_error err = { 0 };
	assert_int_equal(json_parse(&arena, text.data, text.len, &doc, &err), -EINVAL);
	assert_non_null(strstr(err.message, "duplicate key \"key-7919\""));
	arena_free(&arena);
	text.data[without] = '}';
	assert_int_equal(json_parse(&arena, text.data, without + 1, &doc, &err), 0);
	assert_int_equal(doc->count, KEYS);
	buf_free(&text);
}

static void test_writer(void **state)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 0);
	struct json_writer w;
	json_writer_init(&w, &out, false);
	json_begin_object(&w);
	json_field_string(&w, "s", "a\"b\\c\n\x01\x7f\xc3\xa9\xff/");
	json_field_string(&w, "n", NULL);
	json_field_i64(&w, "i", INT64_MIN);
	json_field_u64(&w, "u", UINT64_MAX);
	json_key(&w, "l");
	json_begin_array(&w);
	json_put_bool(&w, true);
	json_put_i64(&w, 0);
	json_begin_object(&w);
	json_end_object(&w);
	json_put_string_len(&w, "x\0y", 3);
	json_end_array(&w);
	json_field_bool(&w, "b", false);
	json_end_object(&w);
	assert_string_equal(buf_str(&out),
			    "{\"s\":\"a\\\"b\\\\c\\n\\u0001\x7f\xc3\xa9\xef\xbf\xbd/\",\"n\":null,"
			    "\"i\":-9223372036854775808,\"u\":18446744073709551615,"
			    "\"l\":[true,0,{},\"x\\u0000y\"],\"b\":false}");
}

static void test_writer_indents(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	_cleanup_buf_ struct buf out;
	buf_init(&out, 0);
	struct json_writer w;
	const struct json *doc;
	assert_int_equal(parse(&arena, "{\"a\":[1,{\"b\":[]}],\"c\":{}}", &doc, NULL), 0);
	json_writer_init(&w, &out, true);
	json_put_value(&w, doc);
	assert_string_equal(buf_str(&out), "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n"
					   "  ],\n  \"c\": {}\n}\n");
}

static const char *const corpus[] = {
	"null",
	"true",
	"[]",
	"{}",
	"0",
	"-0",
	"123456789012345678",
	"\"\"",
	"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u20ac\\ud834\\udd1e\"",
	"[[[[1],2],3],{\"a\":{\"b\":{\"c\":[null,false]}}}]",
	"{\"\":\"\",\" \":1,\"k\\u00e9y\":\"v\"}",
	"{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"sh\",\"-c\",\"echo \\\"hi\\\"\"]}}",
};

/* What we parse and write again means the same to json-c as the original. */
static void test_against_json_c(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(corpus); i++) {
		for (int indent = 0; indent < 2; indent++) {
			_cleanup_arena_ struct arena arena = { 0 };
			_cleanup_buf_ struct buf out;
			buf_init(&out, 0);
			const struct json *doc;
			assert_int_equal(parse(&arena, corpus[i], &doc, NULL), 0);
			struct json_writer w;
			json_writer_init(&w, &out, indent);
			json_put_value(&w, doc);
			struct json_object *theirs = json_tokener_parse(corpus[i]);
			struct json_object *ours = json_tokener_parse(buf_str(&out));
			if (!json_object_equal(theirs, ours))
				fail_msg("%s became %s", corpus[i], buf_str(&out));
			json_object_put(theirs);
			json_object_put(ours);
		}
	}
}

/* Every one-byte change of the corpus: what we accept json-c (strict) accepts with equal value. */
static void test_mutations_against_json_c(void **state)
{
	static const char bytes[] = "{}[]\",:\\/ub019-+.eEtfn \n";
	struct json_tokener *tokener = json_tokener_new_ex(JSON_MAX_DEPTH + 1);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	for (size_t i = 0; i < ARRAY_SIZE(corpus); i++) {
		size_t len = strlen(corpus[i]);
		char text[256];
		for (size_t at = 0; at < len; at++) {
			for (size_t b = 0; b < sizeof(bytes) - 1; b++) {
				_cleanup_arena_ struct arena arena = { 0 };
				const struct json *doc;
				memcpy(text, corpus[i], len + 1);
				text[at] = bytes[b];
				if (json_parse(&arena, text, len, &doc, NULL) < 0)
					continue;
				json_tokener_reset(tokener);
				struct json_object *theirs =
					json_tokener_parse_ex(tokener, text, (int)len + 1);
				if (json_tokener_get_error(tokener) != json_tokener_success)
					fail_msg("json-c refuses what we accept: %s", text);
				_cleanup_buf_ struct buf out;
				buf_init(&out, 0);
				struct json_writer w;
				json_writer_init(&w, &out, false);
				json_put_value(&w, doc);
				struct json_object *ours = json_tokener_parse(buf_str(&out));
				if (!json_object_equal(theirs, ours))
					fail_msg("%s became %s", text, buf_str(&out));
				json_object_put(theirs);
				json_object_put(ours);
			}
		}
	}
	json_tokener_free(tokener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_typed_access),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_nul_where_allowed),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_depth_is_bounded),
		cmocka_unit_test(test_sizes_are_bounded),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_writer),
		cmocka_unit_test(test_writer_indents),
		cmocka_unit_test(test_against_json_c),
		cmocka_unit_test(test_mutations_against_json_c),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
