/*
 * libexec/masu/masu-bench: `masu bench`. Started by `masu` with the verb as argv[0]; main() is
 * masu-system's.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/bench_options.h"
#include "cold/bench/bench.h"
#include "cold/bench/corpus.h"
#include "cold/bench/environment.h"
#include "cold/bench/report.h"
#include "cold/bench/runner.h"
#include "cold/bench/show.h"
#include "cold/bench/spawn.h"
#include "sys/fs.h"

#define OUTPUT_DEFAULT "masu-bench"
#define OUTPUT_MAX     (64u << 20)

/* ---- what is written ---- */

static int write_result(int dir, const char *name, const struct buf *text, struct masu_error *err)
{
	int r = buf_error(text);
	if (r == 0)
		r = fs_write_atomic(dir, name, text->data, text->len, 0644, false);
	return r < 0 ? error_errno(err, r, "%s", name) : 0;
}

static int write_results(const struct model *model, int dir, struct masu_error *err)
{
	_cleanup_buf_ struct buf json, html;
	buf_init(&json, OUTPUT_MAX);
	buf_init(&html, OUTPUT_MAX);
	model_write(model, &json);
	int r = write_result(dir, "results.json", &json, err);
	report_write(model, &html);
	return r < 0 ? r : write_result(dir, "report.html", &html, err);
}

static int write_openmetrics(const struct model *model, const char *path, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, OUTPUT_MAX);
	show_openmetrics(model, &text);
	int r = buf_error(&text);
	if (r == 0 && path)
		r = corpus_write_file(path, text.data, text.len);
	return r < 0 ? error_errno(err, r, "%s", path) : 0;
}

/* 0, or 1 where one holds or cannot be answered: whoever asks must not be told that all is well. */
static int check_conditions(struct arena *arena, const struct cli_list *list,
			    const struct model *model, const struct model *before)
{
	int status = 0;
	for (size_t i = 0; i < list->count; i++) {
		struct condition condition;
		struct masu_error failure = { 0 };
		int r = condition_parse(&condition, arena, list->items[i], &failure);
		if (r == 0)
			r = condition_holds(&condition, model, before, &failure);
		if (r > 0)
			fprintf(stderr, "masu: --fail-if %s: it is so\n", condition.text);
		else if (r < 0)
			fprintf(stderr, "masu: %s\n", failure.message);
		status |= r != 0;
	}
	return status;
}

/* ---- verbs that measure nothing ---- */

static int list_all(void)
{
	struct configurations all;
	configurations_init(&all);
	printf("workloads (* is part of --quick):\n");
	for (size_t i = 0; i < workload_count(); i++) {
		const struct workload *workload = workload_at(i);
		printf("  %c %-10s %-12s %s%s%s\n", workload->quick ? '*' : ' ', workload->name,
		       workload->group, workload->title, workload->packages ? "; needs " : "",
		       workload->packages ? workload->packages : "");
	}
	printf("columns (* is part of --quick), with their arguments of run:\n");
	for (size_t i = 0; i < all.count; i++)
		printf("  %c %-13s %-28s %s\n", all.rows[i].quick ? '*' : ' ', all.rows[i].name,
		       all.rows[i].title, all.rows[i].arguments);
	return 0;
}

static int compare(struct cli_context *context, const struct bench_options *options, int argc,
		   char **argv, struct masu_error *err)
{
	if (argc != 3)
		return error_set(err, -EINVAL, "bench compare: want two results.json");
	struct model *models = arena_array(context->arena, struct model, 2);
	if (!models)
		return error_set(err, -ENOMEM, "out of memory");
	for (int i = 0; i < 2; i++) {
		int r = model_read(&models[i], context->arena, argv[i + 1], err);
		if (r < 0)
			return r;
	}
	show_comparison(&models[0], &models[1], stdout);
	return check_conditions(context->arena, &options->fail_if, &models[1], &models[0]);
}

static int report_again(struct cli_context *context, const struct bench_options *options, int argc,
			char **argv, struct masu_error *err)
{
	if (argc != 2)
		return error_set(err, -EINVAL, "bench report: want one results.json");
	struct model *model = arena_new(context->arena, struct model);
	_cleanup_buf_ struct buf html;
	buf_init(&html, OUTPUT_MAX);
	if (!model)
		return error_set(err, -ENOMEM, "out of memory");
	int r = model_read(model, context->arena, argv[1], err);
	if (r < 0)
		return r;
	if (options->output) {
		_cleanup_close_ int dir = open(options->output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return error_errno(err, -errno, "%s", options->output);
		report_write(model, &html);
		r = write_result(dir, "report.html", &html, err);
		if (r < 0)
			return r;
	}
	show_table(model, stdout);
	r = write_openmetrics(model, options->openmetrics, err);
	return r < 0 ? r : check_conditions(context->arena, &options->fail_if, model, NULL);
}

/* ---- measuring ---- */

static int install(struct runner *runner, bool wanted, struct masu_error *err)
{
	const char *packages = runner_missing_packages(runner);
	struct words words = { .count = 0 };
	struct spawn_result result;
	_cleanup_buf_ struct buf out, errors;
	buf_init(&out, OUTPUT_MAX);
	buf_init(&errors, OUTPUT_MAX);
	if (!*packages)
		return 0;
	if (!wanted || geteuid() != 0) {
		fprintf(stderr,
			"bench: not all workloads are installed; those rows stay empty. To have "
			"them%s: "
			"sudo apt-get install --no-install-recommends%s\n",
			wanted ? " (not root: by hand)" : " (or with --install)", packages);
		return 0;
	}
	fprintf(stderr, "bench: installing%s\n", packages);
	words_split(
		&words, runner->arena,
		"env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends");
	words_split(&words, runner->arena, packages);
	struct spawn spawn = {
		.argv = words.list, .netns = -1, .cpu = SPAWN_NOT_PINNED, .limit = 900
	};
	int r = spawn_run(&spawn, &out, &errors, &result, err);
	if (r == 0 && result.status != 0)
		fprintf(stderr, "bench: apt-get failed (status %d); going on with what is there\n",
			result.status);
	return r;
}

static int add_columns(struct runner *runner, const struct bench_options *options,
		       struct masu_error *err)
{
	int r = 0;
	configurations_init(&runner->configurations);
	for (size_t i = 0; r == 0 && i < options->column.count; i++)
		r = configurations_add(&runner->configurations, runner->arena,
				       options->column.items[i], err);
	return r;
}

static void start_model(struct runner *runner)
{
	struct model *model = runner->model;
	char text[32];
	time_t now = time(NULL);
	struct tm parts;
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
	*model = (struct model) { .arena = runner->arena,
				  .profile = runner->settings.profile,
				  .started = arena_strdup(runner->arena, text) };
	for (size_t i = 0; i < runner->configurations.count; i++) {
		const struct configuration *from = &runner->configurations.rows[i];
		bool emulated = from->machine && access("/dev/kvm", R_OK | W_OK) < 0;
		model->columns[i] = (struct model_column) {
			.name = from->name,
			.title = emulated ? arena_printf(runner->arena, "%s (software emulation)",
							 from->title)
					  : from->title,
			.how = from->arguments,
			.emulated = emulated
		};
	}
	model->column_count = runner->configurations.count;
}

static int measure(struct runner *runner, const struct bench_options *options,
		   struct masu_error *err)
{
	start_model(runner);
	int r = place_open(runner->place, runner->arena, options->scratch, err);
	if (r < 0)
		return r;
	runner->began = spawn_now();
	runner->ends = runner->began + runner->settings.budget;
	r = environment_capture(runner->model, runner->place->scratch);
	if (r == 0)
		r = runner_prepare(runner, err);
	if (r == 0)
		r = runner_run(runner, err);
	if (runner->place->btrfs_file)
		model_add_note(runner->model,
			       "btrfs: a filesystem made for its column, in a file over a "
			       "loop device; the others are on the scratch directory's own.");
	place_close(runner->place);
	return r;
}

static int bench(struct runner *runner, const struct bench_options *options, struct masu_error *err)
{
	struct condition condition;
	const char *output = options->output ? options->output : OUTPUT_DEFAULT;
	int r = settings_choose(&runner->settings, options, err);
	if (r == 0)
		r = add_columns(runner, options, err);
	if (r == 0)
		r = runner_check_select(runner, err);
	for (size_t i = 0; r == 0 && i < options->fail_if.count; i++)
		r = condition_parse(&condition, runner->arena, options->fail_if.items[i], err);
	if (r == 0 && (r = fs_mkdirs(AT_FDCWD, output, 0755)) < 0)
		return error_errno(err, r, "%s", output);
	_cleanup_close_ int dir = r < 0 ? -1 : open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && dir < 0)
		return error_errno(err, -errno, "%s", output);
	spawn_catch_signals();
	if (r == 0)
		r = install(runner, options->install, err);
	if (r == 0)
		r = measure(runner, options, err);
	if (r < 0)
		return r;
	settings_note(&runner->settings, runner->model);
	show_table(runner->model, stdout);
	r = write_results(runner->model, dir, err);
	if (r == 0)
		r = write_openmetrics(runner->model, options->openmetrics, err);
	if (r < 0)
		return r;
	printf("%s/results.json and %s/report.html are written\n", output, output);
	int status = check_conditions(runner->arena, &options->fail_if, runner->model, NULL);
	return runner->model->interrupted ? 130 : status;
}

static int show_plan(struct runner *runner, const struct bench_options *options,
		     struct masu_error *err)
{
	int r = settings_choose(&runner->settings, options, err);
	if (r == 0)
		r = add_columns(runner, options, err);
	if (r == 0)
		r = runner_check_select(runner, err);
	if (r == 0)
		runner_show_plan(runner);
	return r;
}

static int bench_run(struct cli_context *context, void *pointer, int argc, char **argv,
		     struct masu_error *err)
{
	const struct bench_options *options = pointer;
	if (argc > 0 && streq(argv[0], "list"))
		return list_all();
	if (argc > 0 && streq(argv[0], "compare"))
		return compare(context, options, argc, argv, err);
	if (argc > 0 && streq(argv[0], "report"))
		return report_again(context, options, argc, argv, err);
	struct runner *runner = arena_new(context->arena, struct runner);
	if (!runner)
		return error_set(err, -ENOMEM, "out of memory");
	runner->arena = context->arena;
	runner->select = argv;
	runner->quiet = options->quiet;
	runner->random = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
	runner->place = arena_new(context->arena, struct place);
	runner->model = arena_new(context->arena, struct model);
	if (!runner->place || !runner->model)
		return error_set(err, -ENOMEM, "out of memory");
	if (argc > 0 && streq(argv[0], "plan")) {
		runner->select = argv + 1;
		return show_plan(runner, options, err);
	}
	return bench(runner, options, err);
}

static const struct cli_command bench_verb = { BENCH_COMMAND, .run = bench_run };
static const struct cli_command *const verbs[] = { &bench_verb, NULL };

extern const struct cli_command root_command;
const struct cli_command root_command = {
	.name = "masu",
	.synopsis = "[OPTIONS] COMMAND",
	.summary = "Measure what containers cost",
	.subcommands = verbs,
};
