#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "cold/bench/bench.h"
#include "cold/bench/environment.h"

#define STREAM_MAX_MIB 768

static const struct settings profiles[] = {
	{ .profile = "quick",
	  .seconds = 0.2,
	  .rounds = 8,
	  .least = 6,
	  .budget = 70,
	  .stream_mib = 192,
	  .spin_millions = 40,
	  .linpack_size = 500,
	  .xz_mib = 4,
	  .files = 400,
	  .fio_mib = 64,
	  .rows = 2000 },
	{ .profile = "full",
	  .seconds = 1,
	  .rounds = 12,
	  .least = 6,
	  .budget = 2600,
	  .stream_mib = 384,
	  .spin_millions = 200,
	  .linpack_size = 1000,
	  .xz_mib = 12,
	  .files = 3000,
	  .fio_mib = 256,
	  .rows = 20000,
	  .full = true },
	/* The paper's minute a load becomes ten seconds, its 16 GB file 1 GB, its 2,000,000 rows
	 * 200,000: on a machine that is its user's for an evening. Ten runs each, as there. */
	{ .profile = "paper",
	  .seconds = 10,
	  .rounds = 10,
	  .least = 6,
	  .budget = 6 * 3600,
	  .stream_mib = 768,
	  .spin_millions = 800,
	  .linpack_size = 2000,
	  .xz_mib = 64,
	  .files = 10000,
	  .fio_mib = 1024,
	  .rows = 200000,
	  .full = true,
	  .paper = true },
};

int settings_choose(struct settings *ret, const struct bench_options *options,
		    struct masu_error *err)
{
	const char *name = options->profile ? options->profile : options->full ? "full" : "quick";
	size_t i = 0;
	if (options->quick + options->full + (options->profile != NULL) > 1)
		return error_set(err, -EINVAL, "bench: --quick, --full or --profile, not two");
	while (i < ARRAY_SIZE(profiles) && !streq(profiles[i].profile, name))
		i++;
	if (i == ARRAY_SIZE(profiles))
		return error_set(err, -EINVAL, "--profile %s: want quick, full or paper", name);
	*ret = profiles[i];
	if (options->rounds < 0 || options->rounds > STATS_MAX_VALUES)
		return error_set(err, -EINVAL, "--rounds %lld: want 1 to %d",
				 (long long)options->rounds, STATS_MAX_VALUES);
	if (options->time < 0 || options->time > 7 * 86400)
		return error_set(err, -EINVAL, "--time %lld: want seconds, at most a week",
				 (long long)options->time);
	if (options->rounds)
		ret->rounds = ret->least = (unsigned)options->rounds;
	if (options->time)
		ret->budget = (double)options->time;
	ret->cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	return 0;
}

void settings_note(const struct settings *settings, struct model *model)
{
	char text[400];
	double cache = (double)environment_last_cache() / 1048576;
	if (model_row_find(model, "stream", NULL) && settings->stream_mib / 3.0 < cache * 4) {
		snprintf(text, sizeof(text),
			 "STREAM's arrays of %u MiB are less than four times the last level cache "
			 "(%.0f MiB): part of what it shows is the cache.",
			 settings->stream_mib / 3, cache);
		model_add_note(model, text);
	}
	if (model_column_index(model, "docker") >= 0 ||
	    model_column_index(model, "docker-nat") >= 0)
		model_add_note(model,
			       "dockerd's firewall rules are in the path of every column, the "
			       "native ones too, as on any host that has a dockerd.");
	if (settings->paper)
		model_add_note(
			model,
			"The paper's parameters, scaled: loads of 10 s for 60 s, a file of 1 GiB "
			"for 16 GB, 200,000 rows for 2,000,000; Linpack is an LU factorisation of "
			"our own beside hpcc's.");
	if (settings->least < 6)
		model_add_note(model, "Fewer than six rounds: intervals are wide or missing.");
}
