/* Which workloads and columns take part, and what they lack. */
#include "cold/bench/runner.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/str.h"
#include "cold/bench/progress.h"
#include "cold/bench/runner_internal.h"
#include "cold/bench/spawn.h"

static bool names_workload(const char *word, const struct workload *workload)
{
	return streq(word, workload->name) || streq(word, workload->group);
}

static bool names_column(const struct runner *runner, const char *word)
{
	for (size_t i = 0; i < runner->configurations.count; i++)
		if (streq(word, runner->configurations.rows[i].name))
			return true;
	return false;
}

static bool names_any_workload(const char *word)
{
	for (size_t i = 0; i < workload_count(); i++)
		if (names_workload(word, workload_at(i)))
			return true;
	return false;
}

int runner_check_select(const struct runner *runner, struct masu_error *err)
{
	for (char *const *word = runner->select; word && *word; word++)
		if (!names_any_workload(*word) && !names_column(runner, *word))
			return error_set(err, -EINVAL,
					 "bench: there is no workload, group or column \"%s\"; "
					 "'masu bench list' shows them",
					 *word);
	return 0;
}

bool runner_wants(const struct runner *runner, const struct workload *workload)
{
	bool any = false;
	for (char *const *word = runner->select; word && *word; word++) {
		any |= names_any_workload(*word);
		if (names_workload(*word, workload))
			return true;
	}
	return !any && (runner->settings.full || workload->quick);
}

static bool names_it(const struct runner *runner, const struct workload *workload)
{
	for (char *const *word = runner->select; word && *word; word++)
		if (streq(*word, workload->name))
			return true;
	return false;
}

/* Native columns are what the others are compared with; they always take part. */
bool runner_takes(const struct runner *runner, const struct workload *workload, size_t column)
{
	const struct configuration *configuration = &runner->configurations.rows[column];
	bool any = false, named = false;
	for (char *const *word = runner->select; word && *word; word++) {
		any |= names_column(runner, *word);
		named |= streq(*word, configuration->name);
	}
	unsigned common = workload->axes & configuration->axes;
	if (!common || (configuration->both && common != configuration->axes) ||
	    (workload->fits && !workload->fits(configuration)))
		return false;
	if (any)
		return named || configuration->maker == MAKER_NATIVE;
	return configuration->quick ||
	       (runner->settings.full && (!workload->again || names_it(runner, workload)));
}

/* A program of the host that one of these needs, as "PROGRAM is not installed: …"; NULL: none. */
static const char *missing_program(struct runner *runner, const char *programs,
				   const char *packages)
{
	struct words words = { .count = 0 };
	char path[PATH_MAX];
	words_split(&words, runner->arena, programs ? programs : "");
	for (size_t i = 0; i < words.count; i++)
		if (spawn_find(words.list[i], path, sizeof(path)) < 0)
			return arena_printf(runner->arena,
					    "%s is not installed: apt-get install %s",
					    words.list[i], packages);
	return NULL;
}

const char *runner_workload_lacks(struct runner *runner, const struct workload *workload)
{
	return missing_program(runner, workload->programs, workload->packages)
		       ?: missing_program(runner, workload->helper, workload->packages);
}

static const struct {
	enum maker maker;
	const char *program, *package;
} peers[] = {
	{ MAKER_PODMAN, "podman", "podman" },
	{ MAKER_DOCKER, "dockerd", "docker.io" },
	{ MAKER_LXC, "lxc-execute", "lxc" },
	{ MAKER_NSPAWN, "systemd-nspawn", "systemd-container" },
};

const char *runner_peer_lacks(struct runner *runner, const struct configuration *configuration)
{
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++)
		if (peers[i].maker == configuration->maker)
			return missing_program(runner, peers[i].program, peers[i].package);
	return NULL;
}

static void call_emulated(struct runner *runner, size_t column)
{
	struct model_column *shown = &runner->model->columns[column];
	if (shown->emulated)
		return;
	shown->emulated = true;
	shown->title = arena_printf(runner->arena, "%s (software emulation)", shown->title);
}

static int before(struct place *place, const struct configuration *configuration,
		  struct masu_error *err)
{
	struct words words = { .count = 0 };
	if (!configuration->before)
		return 0;
	int r = place_engine(place, configuration, &words);
	words_split(&words, place->arena, configuration->before);
	return r < 0 ? r : place_host(place, words.list, 60, NULL, err);
}

/* Tries the column with a program that does nothing: whoever says no also says why. */
const char *runner_column_lacks(struct runner *runner, size_t column)
{
	static const char *const argv[] = { "masu-probe", "machine", NULL };
	static const unsigned short ports[] = { 17099, 0 };
	double emulated;
	const struct configuration *configuration = &runner->configurations.rows[column];
	struct masu_error failure = { 0 };
	if (runner->checked[column])
		return runner->unavailable[column];
	runner->checked[column] = true;
	if (!runner->unavailable[column])
		runner->unavailable[column] = runner_peer_lacks(runner, configuration);
	if (runner->unavailable[column])
		return runner->unavailable[column];
	progress_show(runner, "trying", configuration->name, 0, 0);
	struct place_run run = { .configuration = configuration,
				 .argv = argv,
				 .ports = ports,
				 .cpu = PLACE_ANY_CPU,
				 .limit = 90 };
	int r = before(runner->place, configuration, &failure);
	if (r == 0)
		r = place_run(runner->place, &run, NULL, &failure);
	if (r < 0 && !spawn_interrupted)
		runner->unavailable[column] = arena_strdup(runner->arena, failure.message);
	/* A machine in software must never pass for one: it says so itself. */
	if (r == 0 && configuration->machine &&
	    figure_find(buf_str(&runner->place->out), "emulated", &emulated) && emulated > 0)
		call_emulated(runner, column);
	return runner->unavailable[column];
}

/* Copies what one workload needs. A lack is the workload's, not the run's. */
static const char *prepare_workload(struct runner *runner, const struct workload *workload)
{
	struct masu_error failure = { 0 };
	struct words words = { .count = 0 };
	const char *why = runner_workload_lacks(runner, workload);
	if (why)
		return why;
	words_split(&words, runner->arena, workload->programs ? workload->programs : "");
	for (size_t i = 0; i < words.count; i++)
		if (place_add_program(runner->place, words.list[i], &failure) < 0)
			return arena_strdup(runner->arena, failure.message);
	int r = workload->prepare ? workload->prepare(runner->place, &runner->settings, &failure)
				  : 0;
	if (r == -ENOENT && !error_is_set(&failure))
		return arena_printf(runner->arena, "it is not installed: apt-get install %s",
				    workload->packages);
	return r < 0 ? arena_strdup(runner->arena, failure.message) : NULL;
}

/* Without an image only what needs none runs. */
static void no_images(struct runner *runner, const char *why)
{
	const char *copy = arena_strdup(runner->arena, why);
	for (size_t i = 0; i < runner->configurations.count; i++) {
		enum maker maker = runner->configurations.rows[i].maker;
		if (maker == MAKER_MASU || maker == MAKER_PODMAN || maker == MAKER_DOCKER)
			runner->unavailable[i] = copy;
	}
}

int runner_prepare(struct runner *runner, struct masu_error *err)
{
	size_t count = workload_count();
	runner->lacks = arena_array(runner->arena, const char *, count + 1);
	if (!runner->lacks)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count && !spawn_interrupted; i++) {
		const struct workload *workload = workload_at(i);
		if (!runner_wants(runner, workload))
			continue;
		runner->workloads++;
		progress_show(runner, "preparing", workload->name, 0, 0);
		runner->lacks[i] = prepare_workload(runner, workload);
	}
	progress_show(runner, "making the image", "", 0, 0);
	struct masu_error failure = { 0 };
	if (place_seal_root(runner->place, &failure) < 0 && !spawn_interrupted)
		no_images(runner, failure.message);
	return 0;
}

const char *runner_missing_packages(struct runner *runner)
{
	const char *list = "";
	for (size_t i = 0; i < workload_count(); i++) {
		const struct workload *workload = workload_at(i);
		if (runner_wants(runner, workload) && workload->packages &&
		    runner_workload_lacks(runner, workload))
			list = arena_printf(runner->arena, "%s %s", list, workload->packages);
	}
	return list ? list : "";
}
