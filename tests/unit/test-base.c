#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/cpulist.h"
#include "base/error.h"
#include "base/human.h"
#include "base/id.h"
#include "base/sha256.h"
#include "base/str.h"

static void test_numbers_are_strict(void **state)
{
	uint64_t u;
	int64_t i;
	uint32_t w;
	assert_int_equal(str_to_u64("18446744073709551615", &u), 0);
	assert_true(u == UINT64_MAX);
	assert_int_equal(str_to_u64("18446744073709551616", &u), -ERANGE);
	static const char *const junk[] = { "", " 1", "1 ", "+1", "-1", "0x1", "1a", "１" };
	for (size_t k = 0; k < ARRAY_SIZE(junk); k++)
		assert_int_equal(str_to_u64(junk[k], &u), -EINVAL);
	assert_int_equal(str_to_u32("4294967296", &w), -ERANGE);
	assert_int_equal(str_to_i64("-9223372036854775808", &i), 0);
	assert_true(i == INT64_MIN);
	assert_int_equal(str_to_i64("9223372036854775808", &i), -ERANGE);
	assert_int_equal(str_to_mode("0o1777", &w), 0);
	assert_int_equal(w, 01777);
	assert_int_equal(str_to_mode("8", &w), -EINVAL);
}

static void test_sizes_for_people(void **state)
{
	char text[HUMAN_MAX];
	assert_string_equal(human_binary(0, text), "0B");
	assert_string_equal(human_binary(1023, text), "1023B");
	assert_string_equal(human_binary(1024, text), "1KiB");
	assert_string_equal(human_binary(2080768, text), "1.984MiB");
	assert_string_equal(human_binary(UINT64_MAX, text), "16EiB");
	assert_string_equal(human_size(1980000, text), "1.98MB");
	assert_string_equal(human_size(999, text), "999B");
}

static void test_cpu_lists(void **state)
{
	assert_int_equal(cpulist_within("0", "0-1"), 1);
	assert_int_equal(cpulist_within("0-3,7", "0-7"), 1);
	assert_int_equal(cpulist_within("0,2", "0-1"), 0);
	assert_int_equal(cpulist_within("8191", "0-8191"), 1);
	static const char *const junk[] = { "",	  "x",	"1-",	"-1",	  "1,",	    "1,,2", "3-2",
					    "0 ", "+1", "8192", "100000", "0-8192", "1-2-3" };
	for (size_t i = 0; i < ARRAY_SIZE(junk); i++)
		assert_int_equal(cpulist_within(junk[i], "0-7"), -EINVAL);
}

static void test_sizes_are_dockers(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t bytes;
	} cases[] = {
		{ "1024", 0, 1024 },	     { "512m", 0, 512u << 20 }, { "1.5g", 0, 3u << 29 },
		{ "2KB", 0, 2048 },	     { "1GiB", 0, 1u << 30 },	{ "7b", 0, 7 },
		{ "", -EINVAL, 0 },	     { "-1", -EINVAL, 0 },	{ "1x", -EINVAL, 0 },
		{ "99999999p", -ERANGE, 0 }, { "1.", -EINVAL, 0 },	{ "m", -EINVAL, 0 },
	};
	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		uint64_t bytes = 0;
		assert_int_equal(str_to_bytes(cases[k].text, &bytes), cases[k].result);
		assert_true(bytes == cases[k].bytes);
	}
}

static void test_names(void **state)
{
	assert_true(name_valid("a1_.-"));
	assert_false(name_valid("a"));
	assert_false(name_valid(""));
	assert_false(name_valid("_a"));
	assert_false(name_valid("../../x"));
	assert_false(name_valid("a/b"));
}

static void test_arena_is_bounded(void **state)
{
	_cleanup_arena_ struct arena arena;
	arena_init(&arena, 1000);
	assert_non_null(arena_alloc(&arena, 900));
	assert_null(arena_alloc(&arena, 200));
	assert_non_null(arena_alloc(&arena, 80));
	assert_null(arena_calloc(&arena, SIZE_MAX, 2));
}

static void test_buf_errors_stick(void **state)
{
	_cleanup_buf_ struct buf buf;
	buf_init(&buf, 8);
	assert_int_equal(buf_puts(&buf, "12345"), 0);
	assert_int_equal(buf_puts(&buf, "67890"), -E2BIG);
	assert_int_equal(buf_putc(&buf, 'x'), -E2BIG);
	assert_string_equal(buf_str(&buf), "12345");
	buf_reset(&buf);
	assert_int_equal(buf_printf(&buf, "%d", 12345678), 0);
	assert_string_equal(buf_str(&buf), "12345678");
}

static void test_errors_wrap_upward(void **state)
{
	struct masu_error err = { 0 };
	assert_int_equal(error_errno(&err, -ENOENT, "open %s", "x"), -ENOENT);
	assert_int_equal(error_wrap(&err, "container %s", "c"), -ENOENT);
	assert_string_equal(err.message, "container c: open x: No such file or directory");
	error_exit_status(&err, 127);
	assert_int_equal(err.exit_status, 127);
}

static void test_errors_are_printable(void **state)
{
	struct masu_error err = { 0 };
	error_set(&err, -EINVAL, "id \"%s\"", "a\n\033[2Jb\177");
	assert_string_equal(err.message, "id \"a??[2Jb?\"");
	error_set(&err, -EINVAL, "no %s\nsee x", "a\nb\t");
	assert_string_equal(err.message, "no a\nb?\nsee x");
	error_set(&err, -EINVAL, "x");
	error_wrap(&err, "%s", "é\r");
	assert_string_equal(err.message, "é?: x");
	/* C1, written right to left, no UTF-8, cut off. */
	error_set(&err, -EINVAL, "%s",
		  "a\xc2\x9b"
		  "31m\xe2\x80\xae"
		  "b\x9b"
		  "2J€\xe2\x82");
	assert_string_equal(err.message, "a??31m???b?2J€??");
}

static void test_ids(void **state)
{
	char id[ID_LENGTH + 1], name[64];
	assert_int_equal(id_random(id), 0);
	assert_true(id_prefix_valid(id));
	assert_false(id_prefix_valid(""));
	assert_false(id_prefix_valid("xyz"));
	assert_int_equal(id_random_name(name, 0), 0);
	assert_true(name_valid(name));
	assert_int_equal(id_random_name(name, 3), 0);
	assert_true(name_valid(name));
}

/* FIPS 180-4 examples, and a length at which the padding needs a block of its own. */
static void test_sha256(void **state)
{
	char hex[SHA256_HEX + 1];
	sha256_hex("", 0, hex);
	assert_string_equal(hex,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_hex("abc", 3, hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	static const char long_text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	sha256_hex(long_text, sizeof(long_text) - 1, hex);
	assert_string_equal(hex,
			    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	struct sha256 s;
	uint8_t digest[SHA256_SIZE];
	sha256_init(&s);
	for (unsigned i = 0; i < 1000000 / 50; i++)
		sha256_update(&s, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 50);
	sha256_final(&s, digest);
	sha256_to_hex(digest, hex);
	assert_string_equal(hex,
			    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes_for_people),
		cmocka_unit_test(test_cpu_lists),
		cmocka_unit_test(test_numbers_are_strict),
		cmocka_unit_test(test_sizes_are_dockers),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_arena_is_bounded),
		cmocka_unit_test(test_buf_errors_stick),
		cmocka_unit_test(test_errors_wrap_upward),
		cmocka_unit_test(test_errors_are_printable),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_sha256),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
