/* When a container is started again, as a table. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"
#include "engine/restart_policy.h"

static const struct {
	struct restart_case c;
	bool after_end, at_system_start;
} table[] = {
	{ { RESTART_NO, 0, 0, 0, false }, false, false },
	{ { RESTART_NO, 0, 0, 1, false }, false, false },
	{ { RESTART_ALWAYS, 0, 0, 0, false }, true, true },
	{ { RESTART_ALWAYS, 0, 1000, 137, false }, true, true },
	/* always means always: after a stop by hand from the next system start on. */
	{ { RESTART_ALWAYS, 0, 0, 0, true }, false, true },
	{ { RESTART_UNLESS_STOPPED, 0, 0, 0, false }, true, true },
	{ { RESTART_UNLESS_STOPPED, 0, 5, 255, false }, true, true },
	{ { RESTART_UNLESS_STOPPED, 0, 0, 143, true }, false, false },
	{ { RESTART_ON_FAILURE, 0, 0, 0, false }, false, false },
	{ { RESTART_ON_FAILURE, 0, 0, 1, false }, true, true },
	{ { RESTART_ON_FAILURE, 0, 100000, 1, false }, true, true },
	{ { RESTART_ON_FAILURE, 3, 2, 1, false }, true, true },
	{ { RESTART_ON_FAILURE, 3, 3, 1, false }, false, false },
	{ { RESTART_ON_FAILURE, 3, 0, 0, false }, false, false },
	{ { RESTART_ON_FAILURE, 3, 0, 143, true }, false, true },
	{ { RESTART_ON_FAILURE, 0, 0, 255, false }, true, true }, /* the machine went down */
};

static void test_decisions(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (restart_after_end(&table[i].c) != table[i].after_end)
			fail_msg("row %zu: after an end", i);
		if (restart_at_system_start(&table[i].c) != table[i].at_system_start)
			fail_msg("row %zu: at system start", i);
	}
}

static void test_backoff(void **state)
{
	static const int64_t waits[] = { 100,  200,   400,   800,   1600,  3200,
					 6400, 12800, 25600, 51200, 60000, 60000 };
	int64_t backoff = 0;
	for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
		backoff = restart_backoff(backoff, i % 2 ? 9999 : 0);
		assert_int_equal(backoff, waits[i]);
	}
	assert_int_equal(restart_backoff(backoff, 10000), 100);
}

static void test_signals(void **state)
{
	assert_true(restart_is_ending_signal(SIGKILL, SIGTERM));
	assert_true(restart_is_ending_signal(SIGTERM, SIGUSR1));
	assert_true(restart_is_ending_signal(SIGUSR1, SIGUSR1));
	assert_false(restart_is_ending_signal(SIGHUP, SIGTERM));
	assert_false(restart_is_ending_signal(SIGUSR1, SIGTERM));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_signals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
