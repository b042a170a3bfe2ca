/* `masu bench`: run by libexec/masu/masu-bench. */
#include "cli/bench_options.h"
#include "cli/commands.h"

#define OPT(field, name, letter, kind, metavar, help)                                              \
	CLI_OPT(struct bench_options, field, name, letter, kind, metavar, help)

const struct cli_option bench_option_table[BENCH_OPTION_COUNT] = {
	OPT(column, "column", 0, CLI_LIST, "name=arguments", "Also measure with these run options"),
	OPT(fail_if, "fail-if", 0, CLI_LIST, "condition", "Exit with 1 if, as in 'redis.nat<0.9'"),
	OPT(full, "full", 0, CLI_BOOL, NULL, "Every workload, at most 45 minutes"),
	OPT(install, "install", 0, CLI_BOOL, NULL, "Install what workloads need"),
	OPT(openmetrics, "openmetrics", 0, CLI_STRING, "file", "Also write the figures there"),
	OPT(output, "output", 'o', CLI_STRING, "dir", "Of results.json and report.html"),
	OPT(profile, "profile", 0, CLI_STRING, "string", "quick, full or paper"),
	OPT(quick, "quick", 0, CLI_BOOL, NULL, "At most 90 seconds (the default)"),
	OPT(quiet, "quiet", 'q', CLI_BOOL, NULL, "No progress"),
	OPT(rounds, "rounds", 0, CLI_INT, "int", "Samples of each figure"),
	OPT(scratch, "scratch", 0, CLI_STRING, "dir", "Where data lies meanwhile"),
	OPT(time, "time", 0, CLI_INT, "seconds", "Time for all of it"),
};

const struct cli_command bench_command = { BENCH_COMMAND, .cold_program = "masu-bench" };
