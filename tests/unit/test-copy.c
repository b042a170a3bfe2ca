/* What `cp` makes of its two paths (engine/copy_rules.c), as docker's reference has it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "engine/copy.h"

static void test_paths(void **state)
{
	static const struct {
		const char *text, *base, *clean, *name;
		bool is_directory, contents;
	} rows[] = {
		{ "/a/b", "/x", "/a/b", "b", false, false },
		{ "/a/b/", "/x", "/a/b", "b", true, false },
		{ "/a/b/.", "/x", "/a/b", "b", true, true },
		{ "/a//./b//", "/x", "/a/b", "b", true, false },
		{ "a", "/x/y", "/x/y/a", "a", false, false },
		{ "a", "/", "/a", "a", false, false },
		{ ".", "/x/y", "/x/y", "y", true, true },
		{ "./", "/x/y", "/x/y", "y", true, false },
		{ "..", "/x/y", "/x", "x", false, false },
		{ "../../../..", "/x/y", "/", "", false, false },
		{ "/", "/x", "/", "", true, false },
		{ "/.", "/x", "/", "", true, true },
		{ "/../../etc", "/", "/etc", "etc", false, false },
		{ "/a/..b/c..", "/", "/a/..b/c..", "c..", false, false },
		{ "/a/.b", "/", "/a/.b", ".b", false, false },
	};
	struct arena arena;
	arena_init(&arena, 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct copy_path path;
		assert_int_equal(copy_path_parse(&arena, rows[i].text, rows[i].base, &path), 0);
		assert_string_equal(path.clean, rows[i].clean);
		assert_string_equal(path.name, rows[i].name);
		assert_int_equal(path.is_directory, rows[i].is_directory);
		assert_int_equal(path.contents, rows[i].contents);
	}
	char longest[8192];
	struct copy_path path;
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(copy_path_parse(&arena, longest, "/", &path), -ENAMETOOLONG);
	arena_free(&arena);
}

enum kind { NONE, FILE_, DIRECTORY };

static void test_decisions(void **state)
{
	static const struct {
		const char *source;
		enum kind source_kind;
		const char *destination;
		enum kind there;
		int result;
		bool into;
		const char *name;
	} rows[] = {
		/* a file */
		{ "/s", FILE_, "/d", NONE, 0, false, "d" },
		{ "/s", FILE_, "/d/", NONE, -ENOENT, false, NULL },
		{ "/s", FILE_, "/d/.", NONE, -ENOENT, false, NULL },
		{ "/s", FILE_, "/d", FILE_, 0, false, "d" },
		{ "/s", FILE_, "/d/", FILE_, -ENOTDIR, false, NULL },
		{ "/s", FILE_, "/d", DIRECTORY, 0, true, "s" },
		{ "/s", FILE_, "/d/", DIRECTORY, 0, true, "s" },
		{ "/s", FILE_, "/", DIRECTORY, 0, true, "s" },
		{ "/s/", FILE_, "/d", DIRECTORY, -ENOTDIR, false, NULL },
		{ "/s/.", FILE_, "/d", NONE, -ENOTDIR, false, NULL },
		/* a directory */
		{ "/s", DIRECTORY, "/d", NONE, 0, false, "d" },
		{ "/s/", DIRECTORY, "/d/", NONE, 0, false, "d" },
		{ "/s/.", DIRECTORY, "/d", NONE, 0, false, "d" },
		{ "/s", DIRECTORY, "/d", FILE_, -ENOTDIR, false, NULL },
		{ "/s/.", DIRECTORY, "/d", FILE_, -ENOTDIR, false, NULL },
		{ "/s", DIRECTORY, "/d", DIRECTORY, 0, true, "s" },
		{ "/s/", DIRECTORY, "/d", DIRECTORY, 0, true, "s" },
		{ "/s/.", DIRECTORY, "/d", DIRECTORY, 0, true, "" },
		{ "/", DIRECTORY, "/d", DIRECTORY, 0, true, "" },
	};
	struct arena arena;
	arena_init(&arena, 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct copy_path source, destination;
		struct copy_plan plan;
		struct masu_error err = { 0 };
		copy_path_parse(&arena, rows[i].source, "/", &source);
		copy_path_parse(&arena, rows[i].destination, "/", &destination);
		int r = copy_decide(&source, rows[i].source_kind == DIRECTORY, &destination,
				    rows[i].there != NONE, rows[i].there == DIRECTORY, &plan, &err);
		assert_int_equal(r, rows[i].result);
		assert_int_equal(error_is_set(&err), r < 0);
		if (r < 0)
			continue;
		assert_int_equal(plan.into, rows[i].into);
		assert_string_equal(plan.name, rows[i].name);
	}
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_decisions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
