/* Options of `masu bench`, which libexec/masu/masu-bench runs: `masu` shows them, that parses them.
 */
#pragma once

#include "cli/command.h"

struct bench_options {
	bool quick, full, install, quiet;
	const char *profile, *output, *openmetrics, *scratch;
	int64_t time, rounds;
	struct cli_list column, fail_if;
};
#define BENCH_OPTION_COUNT 12
extern const struct cli_option bench_option_table[BENCH_OPTION_COUNT];

#define BENCH_COMMAND                                                                              \
	.name = "bench",                                                                           \
	.synopsis = "[OPTIONS] [SELECT...] | list | plan [SELECT...] | compare RESULTS RESULTS | " \
		    "report RESULTS",                                                              \
	.summary = "Measure what containers cost on this machine", .options = bench_option_table,  \
	.option_count = BENCH_OPTION_COUNT, .options_size = sizeof(struct bench_options),          \
	.max_args = -1
