/* How much is measured: the profiles. */
#pragma once

#include "cli/bench_options.h"
#include "cold/bench/model.h"
#include "cold/bench/workload.h"

/* -EINVAL with a message for options that contradict each other or mean nothing. */
int settings_choose(struct settings *ret, const struct bench_options *options,
		    struct masu_error *err);
/* Says in the model what was scaled down and what to think of it. */
void settings_note(const struct settings *settings, struct model *model);
