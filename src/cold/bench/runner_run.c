/* The rounds. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/str.h"
#include "cold/bench/environment.h"
#include "cold/bench/progress.h"
#include "cold/bench/runner_internal.h"
#include "cold/bench/spawn.h"

/* A round that has begun may go on for so many seconds after the time is over. */
#define OVERTIME 10

#define FAILURES_MAX 2

/* One workload while it runs: its rows in the model, and its columns. */
struct course {
	const struct workload *workload;
	struct model_row *rows[WORKLOAD_METRICS_MAX]; /* NULL: this metric is not wanted */
	size_t columns[CONFIGURATION_MAX];
	unsigned failures[CONFIGURATION_MAX]; /* one after the other */
	const char *last[CONFIGURATION_MAX];  /* failure, or NULL */
	size_t column_count;
	double stalled[CONFIGURATION_MAX], took[CONFIGURATION_MAX];
	double emulated; /* seconds spent in columns that are not judged */
};

static bool wants_metric(const struct runner *runner, const struct metric *metric)
{
	return (runner->settings.full || !metric->full) &&
	       (runner->settings.paper || !metric->paper);
}

static int add_rows(struct runner *runner, struct course *course, struct masu_error *err)
{
	struct model *model = runner->model;
	for (size_t i = 0; i < course->workload->metric_count; i++) {
		const struct metric *metric = &course->workload->metrics[i];
		if (!wants_metric(runner, metric))
			continue;
		if (model->row_count == MODEL_MAX_ROWS)
			return error_set(err, -E2BIG, "too many rows");
		struct model_row *row = &model->rows[model->row_count];
		*row = (struct model_row) {
			.name = arena_printf(runner->arena, "%s.%s", course->workload->name,
					     metric->name),
			.workload = course->workload->name,
			.metric = metric->name,
			.title = metric->title,
			.unit = metric->unit,
			.group = course->workload->group,
			.better = metric->better,
			.cells = arena_array(runner->arena, struct model_cell, MODEL_MAX_COLUMNS),
		};
		if (!row->name || !row->cells)
			return error_set(err, -ENOMEM, "out of memory");
		course->rows[i] = row;
		model->row_count++;
	}
	return 0;
}

static void empty_cell(struct course *course, size_t column, const char *why)
{
	for (size_t i = 0; i < course->workload->metric_count; i++)
		if (course->rows[i])
			course->rows[i]->cells[column].why = why;
}

/* Which columns it has; those that cannot be had get their reason. */
static void choose_columns(struct runner *runner, struct course *course, const char *lacks)
{
	for (size_t i = 0; i < runner->configurations.count && !spawn_interrupted; i++) {
		if (!runner_takes(runner, course->workload, i))
			continue;
		const char *why = lacks ? lacks : runner_column_lacks(runner, i);
		if (why)
			empty_cell(course, i, why);
		else if (!spawn_interrupted)
			course->columns[course->column_count++] = i;
	}
}

static void keep(struct course *course, size_t column, const double *values)
{
	for (size_t i = 0; i < course->workload->metric_count; i++) {
		struct model_row *row = course->rows[i];
		/* Ratios are taken: a figure that is not more than nothing is none. */
		if (!row || !isfinite(values[i]) || values[i] <= 0)
			continue;
		struct model_cell *cell = &row->cells[column];
		if (cell->count < STATS_MAX_VALUES)
			cell->values[cell->count++] = values[i];
	}
}

static void one_sample(struct runner *runner, struct course *course, size_t at, unsigned round)
{
	double values[WORKLOAD_METRICS_MAX];
	size_t column = course->columns[at];
	struct masu_error failure = { 0 };
	struct sample sample = { .place = runner->place,
				 .settings = &runner->settings,
				 .configuration = &runner->configurations.rows[column],
				 .workload = course->workload,
				 .round = round,
				 .values = values };
	for (size_t i = 0; i < WORKLOAD_METRICS_MAX; i++)
		values[i] = NAN;
	/* What the column before has written must not be written during this one. */
	if (course->workload->axes & AXIS_STORAGE)
		sync();
	double stalled = environment_stalled(), began = spawn_now();
	int r = course->workload->once(&sample, &failure);
	if (spawn_interrupted)
		return;
	if (r < 0) {
		/* Once may be an accident; what took too long does so again. */
		course->failures[at] += r == -ETIMEDOUT ? FAILURES_MAX : 1;
		course->last[at] = arena_strdup(runner->arena, failure.message[0] ? failure.message
										  : strerror(-r));
		if (course->failures[at] >= FAILURES_MAX)
			empty_cell(course, column, course->last[at]);
		return;
	}
	course->failures[at] = 0;
	if (round == 0) /* warm-up */
		return;
	course->stalled[at] += environment_stalled() - stalled;
	course->took[at] += (spawn_now() - began) * 1e6;
	keep(course, column, values);
}

/* What one workload gets of the time, and how it uses that. */
struct share {
	double seconds; /* of the time that is left, by what the others still need */
	double began;
	unsigned rounds; /* that are wanted */
};

static struct share take_share(const struct runner *runner, size_t at)
{
	double now = spawn_now();
	return (struct share) { .seconds = (runner->ends - now) * runner_part_of_time(runner, at),
				.began = now,
				.rounds = runner->settings.rounds };
}

/* Loads of a given time are run for a part of it in the warm-up, and after it for as long as lets
 * all rounds fit; where even short ones do not, there are fewer of them. */
#define WARM_UP_PART  0.25
#define SHORTEST_PART 0.1

static double at_least(double seconds)
{
	return seconds < SHORTEST_LOAD ? SHORTEST_LOAD : seconds;
}

static void plan_rounds(struct runner *runner, double seconds, double warm_up, struct share *share)
{
	const struct settings *settings = &runner->settings;
	double fit = share->seconds / (warm_up > 0 ? warm_up : 1e-3);
	double part = WARM_UP_PART * fit / settings->least;
	part = part > 1 ? 1 : part < SHORTEST_PART ? SHORTEST_PART : part;
	runner->settings.seconds = at_least(seconds * part);
	/* A round is taken to grow with its loads: it grows less. */
	fit *= WARM_UP_PART / part;
	if (fit < share->rounds)
		share->rounds = fit < settings->least ? settings->least : (unsigned)fit;
}

/* Everybody gets what an interval takes; more only within the share. */
static bool is_over(struct runner *runner, const struct course *course, const struct share *share,
		    unsigned round)
{
	double now = spawn_now();
	if (now > runner->ends && round > 0) {
		model_add_note(runner->model,
			       arena_printf(runner->arena,
					    "The time was over before %s had all its rounds.",
					    course->workload->name));
		return true;
	}
	return round > STATS_MIN_VALUES && now - share->began > 1.5 * share->seconds;
}

/* Columns that are software are not judged: they are shown what they do, and do not take the time
 * of those that are. A boot has no use for a warm-up. */
#define EMULATED_PART	 0.1
#define EMULATED_SAMPLES 3

static bool skips(const struct runner *runner, const struct course *course, size_t at,
		  const struct share *share, unsigned round)
{
	if (!runner->model->columns[course->columns[at]].emulated)
		return false;
	if (round <= 1)
		return round == 0;
	return round > EMULATED_SAMPLES ||
	       course->emulated * round / (round - 1) > EMULATED_PART * share->seconds;
}

static void run_round(struct runner *runner, struct course *course, const struct share *share,
		      unsigned round)
{
	size_t order[CONFIGURATION_MAX];
	stats_shuffle(&runner->random, order, course->column_count);
	for (size_t i = 0; i < course->column_count && !spawn_interrupted; i++) {
		size_t at = order[i];
		if (course->failures[at] >= FAILURES_MAX ||
		    skips(runner, course, at, share, round) ||
		    spawn_now() > runner->ends + OVERTIME)
			continue;
		progress_show(runner, course->workload->name,
			      runner->configurations.rows[course->columns[at]].name,
			      round * (unsigned)course->column_count + (unsigned)i,
			      (share->rounds + 1) * (unsigned)course->column_count);
		double began = spawn_now();
		one_sample(runner, course, at, round);
		if (runner->model->columns[course->columns[at]].emulated)
			course->emulated += spawn_now() - began;
	}
}

static void run_rounds(struct runner *runner, struct course *course, size_t at)
{
	double seconds = runner->settings.seconds;
	struct share share = take_share(runner, at);
	runner->settings.seconds = at_least(seconds * WARM_UP_PART);
	for (unsigned round = 0; round <= share.rounds && !spawn_interrupted; round++) {
		if (is_over(runner, course, &share, round))
			break;
		run_round(runner, course, &share, round);
		if (round == 0)
			plan_rounds(runner, seconds, spawn_now() - share.began, &share);
	}
	runner->settings.seconds = seconds;
}

static void note_stalls(struct course *course)
{
	for (size_t at = 0; at < course->column_count; at++)
		for (size_t i = 0; i < course->workload->metric_count; i++)
			if (course->rows[i] && course->took[at] > 0)
				course->rows[i]->cells[course->columns[at]].stalled =
					course->stalled[at] / course->took[at];
}

/* A cell without a sample says why, whatever it was. */
static void note_empty(struct runner *runner, struct course *course)
{
	const char *why = spawn_interrupted	       ? "interrupted before it had a sample"
			  : spawn_now() > runner->ends ? "the time was over before it had a sample"
						       : "it gave no such figure";
	for (size_t at = 0; at < course->column_count; at++)
		for (size_t i = 0; i < course->workload->metric_count; i++) {
			if (!course->rows[i])
				continue;
			struct model_cell *cell = &course->rows[i]->cells[course->columns[at]];
			if (!cell->count && !cell->why)
				cell->why = course->last[at] ?: why;
		}
}

static int run_workload(struct runner *runner, size_t at, struct masu_error *err)
{
	const struct workload *workload = workload_at(at);
	struct course *course = arena_new(runner->arena, struct course);
	if (!course)
		return error_set(err, -ENOMEM, "out of memory");
	course->workload = workload;
	int r = add_rows(runner, course, err);
	if (r < 0)
		return r;
	choose_columns(runner, course, runner->lacks[at]);
	run_rounds(runner, course, at);
	note_stalls(course);
	note_empty(runner, course);
	runner->workloads_done++;
	return 0;
}

/* Whether this machine's figures are worth reading: the same program against itself. */
static int check_noise(struct runner *runner)
{
	double values[2][STATS_MAX_VALUES], all[STATS_MAX_VALUES];
	size_t count = 0, rounds = 8;
	struct masu_error failure = { 0 };
	const struct configuration *native = &runner->configurations.rows[0];
	const char *argv[] = { "masu-probe", "spin", "15", NULL };
	struct place_run run = { native, argv, NULL, NULL, PLACE_SERVER_CPU, 60 };
	progress_show(runner, "looking how quiet the machine is", "", 0, 0);
	for (size_t i = 0; i <= rounds * 2 && !spawn_interrupted; i++) {
		double value;
		if (place_run(runner->place, &run, NULL, &failure) < 0 ||
		    !figure_find(buf_str(&runner->place->out), "mops", &value))
			return 0; /* each cell will say why */
		if (i == 0)
			continue;
		values[i % 2][(i - 1) / 2] = value;
		all[count++] = value;
	}
	if (count < rounds * 2)
		return 0;
	struct stats_ratio ratio = stats_ratio(values[0], rounds, values[1], rounds, 1);
	double spread = (stats_quantile(all, count, 0.75) - stats_quantile(all, count, 0.25)) /
			stats_median(all, count);
	char text[256];
	snprintf(text, sizeof(text),
		 "native against native %.3f (%.3f to %.3f), quartiles %.1f %% apart", ratio.ratio,
		 ratio.low, ratio.high, spread * 100);
	int r = model_add_fact(runner->model, "noise", text);
	if (r == 0 && (stats_differs(&ratio) || spread > 0.02))
		r = model_add_note(
			runner->model,
			arena_printf(
				runner->arena,
				"This machine is too noisy for small differences: the same program "
				"twice, %s.",
				text));
	return r;
}

int runner_run(struct runner *runner, struct masu_error *err)
{
	struct model *model = runner->model;
	double began = spawn_now();
	int r = check_noise(runner);
	runner->running = true;
	for (size_t i = 0; r == 0 && i < workload_count() && !spawn_interrupted; i++)
		if (runner_wants(runner, workload_at(i)))
			r = run_workload(runner, i, err);
	progress_end(runner);
	struct rusage own;
	getrusage(RUSAGE_SELF, &own);
	model->seconds = spawn_now() - runner->began;
	model->harness = ((double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) +
			  (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec) / 1e6) /
			 (spawn_now() - began + 1e-9);
	model->interrupted = spawn_interrupted != 0;
	return r;
}
