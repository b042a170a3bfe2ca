/* Taking the samples: columns in random order round after round, within the time there is. */
#pragma once

#include "cold/bench/configuration.h"
#include "cold/bench/model.h"
#include "cold/bench/workload.h"

struct runner {
	struct arena *arena;
	struct place *place;
	struct settings settings;
	struct configurations configurations;
	bool quiet; /* no progress */
	struct model *model;
	/* chosen by SELECT; NULL: what the profile has */
	char *const *select;
	/* the rest is the runner's own */
	const char *unavailable[CONFIGURATION_MAX];
	bool chosen[CONFIGURATION_MAX];
	bool checked[CONFIGURATION_MAX];
	uint64_t random;
	double began, ends;
	size_t workloads, workloads_done;
	const char **lacks; /* one a workload */
	bool running;
};

/* -EINVAL with a message for a word of SELECT that names nothing. */
int runner_check_select(const struct runner *runner, struct masu_error *err);
/* Puts what the chosen workloads need into the root; those that lack something get a reason. */
int runner_prepare(struct runner *runner, struct masu_error *err);
/* Fills the model. A cell that fails says so and the others go on; 0 also where interrupted. */
int runner_run(struct runner *runner, struct masu_error *err);
/* Prints what would be measured and how long it takes, about. */
void runner_show_plan(struct runner *runner);
/* The line of apt for what the chosen workloads need and is not installed; "" where nothing is. */
const char *runner_missing_packages(struct runner *runner);
