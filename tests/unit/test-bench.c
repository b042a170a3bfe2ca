/* The statistics of `masu bench` against known distributions and numpy, and what is made of them.
 */
#include <math.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/bench/configuration.h"
#include "cold/bench/place_internal.h"
#include "cold/bench/show.h"
#include "cold/bench/spawn.h"
#include "cold/bench/stats.h"
#include "cold/bench/workload.h"

static const double a[] = { 10.2, 9.8, 10.0, 10.4, 9.9, 10.1, 10.3, 12.5 };
static const double b[] = { 9.1, 9.3, 9.0, 9.2, 9.4, 8.9, 9.15, 9.25 };

/* numpy.quantile(a, p) */
static void test_quantiles(void **state)
{
	static const double expected[][2] = { { 0, 9.8 },    { .025, 9.8175 }, { .25, 9.975 },
					      { .5, 10.15 }, { .9, 11.03 },    { 1, 12.5 } };
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_true(fabs(stats_quantile(a, 8, expected[i][0]) - expected[i][1]) < 1e-9);
	assert_true(stats_median(a, 1) == 10.2);
	assert_true(stats_is_outlier(a, 8, 12.5));
	assert_false(stats_is_outlier(a, 8, 10.4));
	assert_false(stats_is_outlier(a, 3, 12.5)); /* of three nothing can be said */
}

/* R: pnorm(-sqrt(n/(n-1)) * qt(.975, n-1)) */
static void test_tails(void **state)
{
	static const struct {
		size_t count;
		double tail;
	} expected[] = { { 5, 0.000954083 },
			 { 6, 0.002431818 },
			 { 8, 0.005737595 },
			 { 12, 0.010756471 },
			 { 30, 0.018753884 } };
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_true(fabs(stats_tail(expected[i].count) - expected[i].tail) < 1e-6);
	assert_true(stats_tail(64) > stats_tail(31) && stats_tail(64) < 0.025);
}

/*
 * numpy, 400,000 draws: r = median(a[rng.integers(0,8,(n,8))],1) / median(b[…],1);
 * quantile(r, [t, 1-t]) with t = 0.0057376 gives 1.06989247, 1.24456522.
 */
static void test_interval(void **state)
{
	struct stats_ratio ratio = stats_ratio(a, 8, b, 8, 1);
	assert_true(fabs(ratio.ratio - 1.10626703) < 1e-8);
	assert_true(fabs(ratio.low - 1.06989) < 0.006);
	assert_true(fabs(ratio.high - 1.24457) < 0.02);
	assert_true(stats_differs(&ratio));
	struct stats_ratio again = stats_ratio(a, 8, b, 8, 1);
	assert_true(ratio.low == again.low && ratio.high == again.high);
	ratio = stats_ratio(a, 3, b, 8, 1);
	assert_true(ratio.low == 0 && isinf(ratio.high));
	assert_false(stats_differs(&ratio));
	assert_true(isnan(stats_ratio(a, 0, b, 8, 1).ratio));
}

static double uniform(uint64_t *state)
{
	return ((double)(stats_random(state) >> 11) + 0.5) / 9007199254740992.0;
}

/* Box and Muller */
static double normal(uint64_t *state)
{
	double u = uniform(state);
	return sqrt(-2 * log(u)) * cos(2 * M_PI * uniform(state));
}

static double skewed(uint64_t *state)
{
	return exp(0.1 * normal(state));
}

static double even(uint64_t *state)
{
	return 1 + 0.01 * normal(state);
}

/* In how many of @times experiments with @count samples a side a difference is found. */
static unsigned found(double (*draw)(uint64_t *), double factor, size_t count, unsigned times)
{
	uint64_t state = 42;
	unsigned n = 0;
	for (unsigned i = 0; i < times; i++) {
		double left[STATS_MAX_VALUES], right[STATS_MAX_VALUES];
		for (size_t k = 0; k < count; k++) {
			left[k] = draw(&state) * factor;
			right[k] = draw(&state);
		}
		struct stats_ratio ratio = stats_ratio(left, count, right, count, i);
		n += stats_differs(&ratio);
	}
	return n;
}

/* Of two samples of the same thing at most one in twenty may seem different; 6 % leaves room for
 * what 500 experiments themselves vary by. */
static void test_null_change_is_not_found(void **state)
{
	assert_true(found(even, 1, 6, 500) <= 30);
	assert_true(found(even, 1, 12, 500) <= 30);
	assert_true(found(skewed, 1, 8, 500) <= 30);
}

/* Five percent, where a sample varies by one: always; where it varies by ten, not. */
static void test_change_is_found(void **state)
{
	assert_true(found(even, 1.05, 6, 200) >= 190);
	assert_true(found(even, 0.95, 8, 200) >= 198);
	assert_true(found(skewed, 1.05, 6, 200) <= 60);
}

static void test_shuffle(void **state)
{
	uint64_t random = 7;
	unsigned first[4] = { 0 };
	size_t order[4];
	for (unsigned i = 0; i < 4000; i++) {
		stats_shuffle(&random, order, 4);
		first[order[0]]++;
		assert_int_equal(order[0] + order[1] + order[2] + order[3], 6);
	}
	/* 1000 each, five standard deviations of sqrt(4000 * 1/4 * 3/4) */
	for (size_t i = 0; i < 4; i++)
		assert_true(first[i] > 863 && first[i] < 1137);
}

/* ---- models ---- */

static struct arena arena;
static struct model *model;

static void fill(struct model_cell *cell, double value)
{
	for (cell->count = 0; cell->count < 8; cell->count++)
		cell->values[cell->count] = value * (1 + 0.001 * (double)(cell->count % 3));
}

static int setup(void **state)
{
	arena_init(&arena, 0);
	model = arena_new(&arena, struct model);
	*model = (struct model) { .arena = &arena, .profile = "quick", .started = "now" };
	static const char *const names[] = { "native", "native-again", "container", "nat", "vm" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		model->columns[model->column_count++] =
			(struct model_column) { .name = names[i], .title = "", .how = "" };
	model->columns[4].emulated = true;
	static const struct model_row rows[] = {
		{ "redis.get50", "redis", "get50", "GET", "k/s", "network", MODEL_HIGHER },
		{ "redis.p99", "redis", "p99", "99 %", "µs", "network", MODEL_LOWER },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct model_row *row = &model->rows[model->row_count++];
		*row = rows[i];
		row->cells = arena_array(&arena, struct model_cell, MODEL_MAX_COLUMNS);
		bool up = row->better == MODEL_HIGHER;
		fill(&row->cells[0], 100);
		fill(&row->cells[1], 100.5);
		fill(&row->cells[2], up ? 99.8 : 100.2);
		fill(&row->cells[3], up ? 80 : 125);
		fill(&row->cells[4], 10);
	}
	model->rows[0].cells[2].why = NULL;
	model_add_fact(model, "cpu", "a \"fine\" one");
	model_add_note(model, "scaled");
	return 0;
}

static int teardown(void **state)
{
	arena_free(&arena);
	return 0;
}

static void test_judgement(void **state)
{
	struct stats_ratio ratio;
	for (size_t i = 0; i < model->row_count; i++) {
		const struct model_row *row = &model->rows[i];
		assert_int_equal(model_baseline(model, row), 0);
		/* Its interval leaves 1 out, but native differs from itself by more. */
		assert_int_equal(model_judge(model, row, 2, &ratio), MODEL_SAME);
		assert_int_equal(model_judge(model, row, 3, &ratio), MODEL_SLOWER);
		assert_true(fabs(ratio.ratio - 0.8) < 0.01);
		/* Software emulation is shown and never judged. */
		assert_int_equal(model_judge(model, row, 4, &ratio), MODEL_EMPTY);
		assert_true(ratio.ratio > 0);
	}
}

static void test_round_trip(void **state)
{
	struct buf first, second;
	struct masu_error err = { 0 };
	struct model *again = arena_new(&arena, struct model);
	buf_init(&first, 0);
	buf_init(&second, 0);
	model->rows[0].cells[4].count = 0;
	model->rows[0].cells[4].why = "no KVM";
	assert_int_equal(model_write(model, &first), 0);
	assert_int_equal(model_parse(again, &arena, "x", first.data, first.len, &err), 0);
	assert_string_equal(again->rows[0].cells[4].why, "no KVM");
	assert_int_equal(model_write(again, &second), 0);
	assert_string_equal(first.data, second.data);
	buf_free(&first);
	buf_free(&second);
}

static void test_foreign_documents(void **state)
{
	static const char *const bad[] = {
		"[]",
		"{}",
		"{\"schema\":\"masu-bench/2\"}",
		"{\"schema\":\"masu-bench/1\",\"columns\":[{}]}",
		"{\"schema\":\"masu-bench/1\",\"rows\":[{\"workload\":\"w\"}]}",
		"{\"schema\":\"masu-bench/"
		"1\",\"columns\":[{\"name\":\"n\"}],\"rows\":[{\"workload\":"
		"\"w\",\"metric\":\"m\",\"better\":\"lower\",\"cells\":[{\"column\":\"x\"}]}]}",
		"{\"schema\":\"masu-bench/"
		"1\",\"columns\":[{\"name\":\"n\"}],\"rows\":[{\"workload\":"
		"\"w\",\"metric\":\"m\",\"better\":\"lower\",\"cells\":[{\"column\":\"n\","
		"\"values\":"
		"[-1]}]}]}",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct masu_error err = { 0 };
		struct model *read = arena_new(&arena, struct model);
		if (model_parse(read, &arena, "x", bad[i], strlen(bad[i]), &err) >= 0)
			fail_msg("accepted: %s", bad[i]);
		assert_true(error_is_set(&err));
	}
}

static int holds(const char *text, const struct model *before)
{
	struct condition condition;
	struct masu_error err = { 0 };
	int r = condition_parse(&condition, &arena, text, &err);
	return r < 0 ? r : condition_holds(&condition, model, before, &err);
}

static void test_conditions(void **state)
{
	assert_int_equal(holds("redis.nat<0.9", NULL), 1);
	assert_int_equal(holds("redis.nat<0.7", NULL), 0);
	assert_int_equal(holds("redis.p99.nat<0.9", NULL), 1);
	assert_int_equal(holds("redis.nat>0.7", NULL), 1);
	/* Within the noise: not a difference, whatever the figure. */
	assert_int_equal(holds("redis.container<1.5", NULL), 0);
	assert_int_equal(holds("redis.vm<0.9", NULL), -ENOENT);
	assert_int_equal(holds("redis.none<0.9", NULL), -ENOENT);
	static const char *const bad[] = {
		"", "redis", "redis<1", "redis.nat<", "redis.nat<x", "redis.nat=1", "redis.nat<0.9 "
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(holds(bad[i], NULL), -EINVAL);
	/* By what it was before: the same, so nothing. */
	assert_int_equal(holds("redis.nat<0.9", model), 0);
}

static void test_openmetrics(void **state)
{
	struct buf text;
	buf_init(&text, 0);
	assert_int_equal(show_openmetrics(model, &text), 0);
	assert_non_null(strstr(text.data, "# TYPE masu_bench_speed gauge\n"));
	assert_non_null(strstr(text.data, "masu_bench_samples{workload=\"redis\",metric=\"get50\","
					  "column=\"nat\",unit=\"k/s\"} 8\n"));
	assert_true(str_ends_with(text.data, "\n# EOF\n"));
	buf_free(&text);
}

/* ---- what a run is made of ---- */

static void test_columns(void **state)
{
	struct configurations all;
	struct masu_error err = { 0 };
	static const unsigned short ports[] = { 80, 0 };
	configurations_init(&all);
	size_t count = all.count;
	assert_int_equal(
		configurations_add(&all, &arena, "half=%publish,mode=direct --cpus 0.5", &err), 0);
	struct words words = { .count = 0 };
	configuration_arguments(&all.rows[count], &arena, ports, "vol", &words);
	static const char *const expected[] = { "-p",	  "80:80,mode=direct",
						"-p",	  "80:80/udp,mode=direct",
						"--cpus", "0.5" };
	assert_int_equal(words.count, ARRAY_SIZE(expected));
	for (size_t i = 0; i < words.count; i++)
		assert_string_equal(words.list[i], expected[i]);
	static const char *const bad[] = { "half=x", "native=x", "x", "=x", "a b=x" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(configurations_add(&all, &arena, bad[i], &err), -EINVAL);
}

static void test_figures(void **state)
{
	double value;
	assert_true(figure_find("a 1\nab 2.5\n", "ab", &value) && value == 2.5);
	assert_false(figure_find("xab 2.5\n", "ab", &value));
	assert_false(figure_find("ab\n", "ab", &value));
	assert_true(figure_after("{ \"rate\": 12.5 }", "\"rate\"", &value) && value == 12.5);
	assert_true(figure_after("99.000000%=130;", "99.000000%", &value) && value == 130);
	assert_false(figure_after("rate: fast", "rate", &value));
	assert_false(figure_after("", "rate", &value));
}

/* Names are what --fail-if and SELECT go by: one each, and metrics that fit. */
static void test_workloads(void **state)
{
	for (size_t i = 0; i < workload_count(); i++) {
		const struct workload *workload = workload_at(i);
		assert_true(workload->metric_count > 0 &&
			    workload->metric_count <= WORKLOAD_METRICS_MAX);
		assert_false(workload->metrics[0].full);
		assert_true(name_valid(workload->name));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(workload->name, workload_at(k)->name);
		if (workload->programs)
			assert_non_null(workload->packages);
	}
	assert_null(workload_at(workload_count()));
}

/* ---- programs ---- */

static void assert_said(const char *printed, const char *expected)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, 1024);
	buf_puts(&text, printed);
	assert_string_equal(place_said(&text), expected);
}

static void test_what_a_program_said(void **state)
{
	assert_said("", "it said nothing");
	assert_said("masu: one line\n", "one line");
	/* A banner is no reason. */
	assert_said("sysbench 1.0.20\n\nFATAL: unable to connect\nFATAL: more\n",
		    "FATAL: unable to connect");
	assert_said("starting\nready\n  \n", "ready");
}

/* A grandchild in a session of its own, as a container's first process is, ends with it. */
static void test_stop_ends_all(void **state)
{
	static const char *const argv[] = { "sh", "-c",
					    "setsid sleep 300 & echo $!; wait; :", NULL };
	_cleanup_close_ int printed = memfd_create("log", MFD_CLOEXEC);
	_cleanup_buf_ struct buf text;
	struct spawn spawn = { .argv = argv, .netns = -1, .cpu = SPAWN_NOT_PINNED, .log = printed };
	struct masu_error err = { 0 };
	pid_t pid;
	buf_init(&text, 1024);
	assert_int_equal(spawn_start(&spawn, &pid, &err), 0);
	for (int i = 0; i < 1000 && !text.len; i++) {
		usleep(10000);
		assert_int_equal(spawn_read(printed, &text), 0);
	}
	pid_t grandchild = (pid_t)strtol(buf_str(&text), NULL, 10);
	assert_true(grandchild > 1);
	assert_int_equal(kill(grandchild, 0), 0);
	spawn_stop(pid);
	/* Its new parent may not have waited for it yet: as a zombie it is gone, too. */
	char path[64], line[256] = "";
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)grandchild);
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	if (file && fgets(line, sizeof(line), file))
		assert_non_null(strstr(line, ") Z "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_tails),
		cmocka_unit_test(test_interval),
		cmocka_unit_test(test_null_change_is_not_found),
		cmocka_unit_test(test_change_is_found),
		cmocka_unit_test(test_shuffle),
		cmocka_unit_test_setup_teardown(test_judgement, setup, teardown),
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_documents, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conditions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_openmetrics, setup, teardown),
		cmocka_unit_test_setup_teardown(test_columns, setup, teardown),
		cmocka_unit_test(test_figures),
		cmocka_unit_test(test_workloads),
		cmocka_unit_test(test_what_a_program_said),
		cmocka_unit_test(test_stop_ends_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
