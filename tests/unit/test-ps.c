/* ps's options and columns, from plain values. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <cmocka.h>

#include "base/str.h"
#include "engine/ps.h"

static struct arena arena;

static int setup(void **state)
{
	arena_init(&arena, 0);
	return 0;
}

static int teardown(void **state)
{
	arena_free(&arena);
	return 0;
}

/* The headings of what @options (NULL-terminated) ask for, joined by blanks; NULL: refused. */
static const char *titles(struct masu_error *err, ...)
{
	char *argv[8];
	size_t count = 0;
	va_list ap;
	va_start(ap, err);
	while ((argv[count] = va_arg(ap, char *)))
		count++;
	va_end(ap);
	struct ps_layout layout;
	*err = (struct masu_error) { 0 };
	if (ps_layout_parse(&arena, argv, &layout, err) < 0)
		return NULL;
	const char *text = "";
	for (size_t i = 0; i < layout.count; i++)
		text = arena_printf(&arena, "%s%s%s", text, i ? " " : "",
				    ps_column_title(layout.columns[i]));
	return text;
}

static void test_layouts(void **state)
{
	struct masu_error err;
	const char *full = "UID PID PPID C STIME TTY TIME CMD";
	const char *user = "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND";
	assert_string_equal(titles(&err, NULL), full);
	assert_string_equal(titles(&err, "-ef", NULL), full);
	assert_string_equal(titles(&err, "-e", "-f", NULL), full);
	assert_string_equal(titles(&err, "-e -f", NULL), full);
	assert_string_equal(titles(&err, "aux", NULL), user);
	assert_string_equal(titles(&err, "-aux", NULL), user);
	assert_string_equal(titles(&err, "auxww", NULL), user);
	assert_string_equal(titles(&err, "-e", NULL), "PID TTY TIME CMD");
	assert_string_equal(titles(&err, "ax", NULL), "PID TTY STAT TIME COMMAND");
	assert_string_equal(titles(&err, "-o", "pid,comm", NULL), "PID COMMAND");
	assert_string_equal(titles(&err, "-eo", "pid,comm", NULL), "PID COMMAND");
	assert_string_equal(titles(&err, "-opid,comm", NULL), "PID COMMAND");
	assert_string_equal(titles(&err, "axo", "pid", "-o", "user:20", NULL), "PID USER");
	assert_string_equal(titles(&err, "--format=pid", NULL), "PID");
	assert_string_equal(titles(&err, "--format", "pid", NULL), "PID");
}

static void test_refusals(void **state)
{
	static const struct {
		const char *first, *second, *message;
	} cases[] = {
		{ "-L", NULL, "ps option \"-L\" is not supported" },
		{ "-eH", NULL, "ps option \"-eH\" is not supported" },
		{ "f", NULL, "ps option \"f\" is not supported" },
		{ "--sort=pid", NULL, "ps option \"--sort=pid\" is not supported" },
		{ "-", NULL, "ps option \"-\" is not supported" },
		{ "-o", NULL, "must follow" },
		{ "-o", "pid,nope", "specifier \"nope\"" },
		{ "-o", "UID", "specifier \"UID\"" },
		{ "-o", "pid=PID", "headings of one's own" },
		{ "-o", "pid:x", "bad width" },
		{ "-f", "-opid", "conflicting" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct masu_error err;
		assert_null(titles(&err, cases[i].first, cases[i].second, NULL));
		assert_non_null(strstr(err.message, cases[i].message));
	}
}

static void assert_cell(const char *column, const struct ps_machine *machine,
			const struct process_info *process, const char *expected)
{
	const struct ps_column *found = ps_column_find(column, strlen(column));
	assert_non_null(found);
	assert_string_equal(ps_column_text(found, &arena, machine, process), expected);
}

static void test_cells(void **state)
{
	const struct ps_machine machine = {
		.now = 1000000,
		.boot = 0,
		.uptime = 1000000 * 100,
		.hertz = 100,
		.memory = 1000,
		.passwd = "root:x:0:0::/:/bin/sh\nsystemd-network:x:998:998::/:\nx:x:12:\n",
		.group = "root:x:0:\n",
	};
	struct process_info p = { .pid = 7,
				  .session = 7,
				  .pgrp = 7,
				  .tty_group = 7,
				  .tty = (unsigned)makedev(136, 3),
				  .state = 'S',
				  .nice = 5,
				  .priority = 25,
				  .threads = 2,
				  .utime = 90061 * 100,
				  .start_time = 900000 * 100,
				  .euid = 998,
				  .rss_kib = 123,
				  .vsize = 4096,
				  .comm = "a)b\tc",
				  .args = "" };
	assert_cell("user", &machine, &p, "systemd+");
	assert_cell("group", &machine, &p, "root");
	assert_cell("tty", &machine, &p, "pts/3");
	assert_cell("stat", &machine, &p, "SNsl+");
	assert_cell("cputime", &machine, &p, "1-01:01:01");
	assert_cell("bsdtime", &machine, &p, "1501:01");
	assert_cell("etime", &machine, &p, "1-03:46:40");
	assert_cell("etimes", &machine, &p, "100000");
	assert_cell("pcpu", &machine, &p, "90.0");
	assert_cell("c", &machine, &p, "90");
	assert_cell("pmem", &machine, &p, "12.3");
	assert_cell("args", &machine, &p, "[a)b?c]");
	assert_cell("pri", &machine, &p, "14");
	p.euid = 4242;
	p.state = 'Z';
	p.tty = 0;
	p.utime = 0;
	p.args = "x\xc2\x9b\xffy\xc3\xa4";
	assert_cell("user", &machine, &p, "4242");
	assert_cell("args", &machine, &p, "[a)b?c] <defunct>");
	assert_cell("tty", &machine, &p, "?");
	assert_cell("cputime", &machine, &p, "00:00:00");
	p.state = 'R';
	assert_cell("args", &machine, &p, "x???y\xc3\xa4");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_layouts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cells, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
