/* How long a run takes, before it: what each workload gets of the time, and
 * `bench plan`. */
#include <math.h>
#include <stdio.h>

#include "base/str.h"
#include "cold/bench/runner_internal.h"

/* A sample in a virtual machine that is software: it boots, and what it does takes ten times as
 * long and more. */
#define EMULATED_SECONDS 15.0

/* Seconds that an engine takes to make and remove a container, about, on two CPUs. */
static double engine_seconds(const struct configuration *configuration)
{
	switch (configuration->maker) {
	case MAKER_NATIVE:
		return 0;
	case MAKER_MASU:
		return 0.1;
	case MAKER_PODMAN:
		return 0.5;
	case MAKER_DOCKER:
		return 0.6;
	default:
		return 0.3;
	}
}

static double sample_seconds(const struct workload *workload,
			     const struct configuration *configuration, bool full, double seconds)
{
	/* --quick has smaller ones, and fewer. */
	double fixed = full ? workload->fixed : workload->fixed / 4;
	double loads = full ? workload->loads : workload->loads / 2;
	return fixed + loads * seconds + workload->whole_loads * ceil(seconds) +
	       engine_seconds(configuration);
}

static double round_seconds(const struct runner *runner, const struct workload *workload,
			    double seconds, double *ret_emulated)
{
	double sum = 0;
	*ret_emulated = 0;
	for (size_t i = 0; i < runner->configurations.count; i++) {
		const struct configuration *configuration = &runner->configurations.rows[i];
		if (!runner_takes(runner, workload, i) || runner->unavailable[i])
			continue;
		if (configuration->machine)
			*ret_emulated += EMULATED_SECONDS;
		else
			sum += sample_seconds(workload, configuration, runner->settings.full,
					      seconds);
	}
	return sum;
}

double runner_least_seconds(const struct runner *runner, const struct workload *workload)
{
	double emulated;
	double round = round_seconds(runner, workload, SHORTEST_LOAD, &emulated);
	return round * (runner->settings.least + 1) + emulated;
}

double runner_part_of_time(const struct runner *runner, size_t at)
{
	double own = 0, all = 0;
	for (size_t i = at; i < workload_count(); i++) {
		const struct workload *workload = workload_at(i);
		if (!runner_wants(runner, workload) || (runner->lacks && runner->lacks[i]))
			continue;
		double least = runner_least_seconds(runner, workload);
		all += least;
		if (i == at)
			own = least;
	}
	return all > 0 ? own / all : 1;
}

static size_t show_columns(struct runner *runner, const struct workload *workload)
{
	size_t count = 0;
	for (size_t i = 0; i < runner->configurations.count; i++) {
		if (!runner_takes(runner, workload, i))
			continue;
		bool lacks = runner_peer_lacks(runner, &runner->configurations.rows[i]) != NULL;
		printf(" %s%s", runner->configurations.rows[i].name,
		       lacks ? " (not installed)" : "");
		count += !lacks;
	}
	printf("\n");
	return count;
}

void runner_show_plan(struct runner *runner)
{
	double least = 0;
	size_t cells = 0;
	for (size_t i = 0; i < workload_count(); i++) {
		const struct workload *workload = workload_at(i);
		if (!runner_wants(runner, workload))
			continue;
		double needs = runner_least_seconds(runner, workload);
		least += needs;
		printf("%-9s %4.0f s:", workload->name, needs);
		cells += show_columns(runner, workload);
		const char *why = runner_workload_lacks(runner, workload);
		if (why)
			printf("          cannot run: %s\n", why);
	}
	printf("%zu cells: about %.0f s for %u rounds of the shortest loads, of %.0f s; what is "
	       "left "
	       "makes loads longer and rounds up to %u\n",
	       cells, least, runner->settings.least, runner->settings.budget,
	       runner->settings.rounds);
}
