/* Health checks: what results come to, waits, files, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/health.h"
#include "sys/fs.h"

/* One run: exit codes as digits, and the status and streak after each. */
static const struct {
	int retries;
	int64_t start_period;
	int64_t step; /* ms between checks */
	const char *codes;
	const char *statuses; /* s, h, u */
	const char *streaks;
} runs[] = {
	{ 3, 0, 10, "0", "h", "0" },
	{ 3, 0, 10, "1111", "ssuu", "1234" },
	{ 3, 0, 10, "110111", "sshhhu", "120123" },
	{ 1, 0, 10, "10", "uh", "10" },
	/* Failures in the start period do not count, until the first success. */
	{ 2, 35, 10, "11111", "ssssu", "00012" },
	{ 2, 35, 10, "10111", "shhuu", "00123" },
};

static void test_results(void **state)
{
	static const char letters[] = "shu";
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		struct health health = { .status = HEALTH_STARTING };
		const struct health_plan plan = { .retries = runs[i].retries,
						  .start_period = runs[i].start_period };
		for (size_t k = 0; runs[i].codes[k]; k++) {
			const struct health_result result = { .exit_code = runs[i].codes[k] - '0' };
			health_add(&health, &plan, (int64_t)(k + 1) * runs[i].step, &result);
			if (letters[health.status] != runs[i].statuses[k] ||
			    health.streak != runs[i].streaks[k] - '0')
				fail_msg("run %zu, check %zu: %c %d", i, k, letters[health.status],
					 health.streak);
		}
	}
}

static void test_five_results_are_kept(void **state)
{
	struct health health = { .status = HEALTH_STARTING };
	const struct health_plan plan = { .retries = 100 };
	for (int i = 1; i <= 8; i++)
		health_add(&health, &plan, 0, &(struct health_result) { .exit_code = i });
	assert_int_equal(health.count, 5);
	assert_int_equal(health.log[0].exit_code, 4);
	assert_int_equal(health.log[4].exit_code, 8);
}

static void test_waits(void **state)
{
	const struct health_plan plan = { .interval = 30,
					  .start_interval = 5,
					  .start_period = 100 };
	assert_int_equal(health_wait(&plan, HEALTH_STARTING, 0), 5);
	assert_int_equal(health_wait(&plan, HEALTH_HEALTHY, 0), 30);
	assert_int_equal(health_wait(&plan, HEALTH_STARTING, 100), 30);
}

static void test_plan_and_command(void **state)
{
	_cleanup_arena_ struct arena arena;
	char *shell[] = { (char *)"/bin/bash", (char *)"-e", NULL };
	char *words[] = { (char *)"CMD", (char *)"a", (char *)"b", NULL };
	char *line[] = { (char *)"CMD-SHELL", (char *)"a b", NULL };
	char *none[] = { (char *)"NONE", NULL };
	struct container_config config = { .healthcheck = { .present = true, .test = words } };
	arena_init(&arena, 0);
	assert_true(health_is_checked(&config));
	struct health_plan plan = health_plan_of(&config);
	assert_int_equal(plan.interval, 30000);
	assert_int_equal(plan.timeout, 30000);
	assert_int_equal(plan.start_period, 0);
	assert_int_equal(plan.start_interval, 5000);
	assert_int_equal(plan.retries, 3);
	assert_string_equal(health_command(&arena, &config)[1], "b");
	config.healthcheck.test = line;
	assert_string_equal(health_command(&arena, &config)[0], "/bin/sh");
	assert_string_equal(health_command(&arena, &config)[2], "a b");
	config.shell = shell;
	assert_string_equal(health_command(&arena, &config)[1], "-e");
	config.healthcheck.test = none;
	assert_false(health_is_checked(&config));
}

static void test_refused(void **state)
{
	struct masu_error err = { 0 };
	char *words[] = { (char *)"CMD", (char *)"a", NULL };
	struct container_config config = { .healthcheck = { .present = true, .test = words } };
	assert_int_equal(health_validate(&config, &err), 0);
	config.healthcheck.timeout_ns = 999999;
	assert_int_equal(health_validate(&config, &err), -EINVAL);
	assert_string_equal(err.message, "Timeout in Healthcheck cannot be less than 1ms");
	config.healthcheck = (struct image_healthcheck) { 0 };
	config.health_on_failure = "kill";
	assert_int_equal(health_validate(&config, &err), -EINVAL);
	assert_non_null(strstr(err.message, "without a health check"));
}

static void test_files(void **state)
{
	_cleanup_arena_ struct arena arena;
	char path[] = "/tmp/masu-health-XXXXXX";
	struct health health = { .status = HEALTH_HEALTHY, .count = 1 }, back;
	arena_init(&arena, 0);
	assert_non_null(mkdtemp(path));
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(health_read(dir, &arena, NULL, &back, NULL), -ENOENT);
	health.log[0] = (struct health_result) { "a", "b", 7, "x\n\"y\xff", 5 };
	assert_int_equal(health_write(dir, "then", &health, NULL), 0);
	assert_int_equal(health_read(dir, &arena, "then", &back, NULL), 0);
	assert_int_equal(back.status, HEALTH_HEALTHY);
	assert_int_equal(back.log[0].exit_code, 7);
	/* Of another run only the log counts. */
	assert_int_equal(health_read(dir, &arena, "now", &back, NULL), -ENOENT);
	assert_int_equal(back.status, HEALTH_STARTING);
	assert_int_equal(back.count, 1);
	assert_int_equal(fs_remove_tree(AT_FDCWD, path), 0);
}

static void test_durations(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} table[] = { { 0, "0s" },	     { 1, "1ms" },	    { 999, "999ms" },
		      { 1000, "1s" },	     { 1500, "1.5s" },	    { 30000, "30s" },
		      { 60000, "1m0s" },     { 90050, "1m30.05s" }, { 3600000, "1h0m0s" },
		      { 5400000, "1h30m0s" } };
	char text[HEALTH_DURATION_MAX];
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		assert_string_equal(health_duration(table[i].ms, text), table[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_results),	  cmocka_unit_test(test_five_results_are_kept),
		cmocka_unit_test(test_waits),	  cmocka_unit_test(test_plan_and_command),
		cmocka_unit_test(test_refused),	  cmocka_unit_test(test_files),
		cmocka_unit_test(test_durations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
