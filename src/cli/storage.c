/* `masu storage`: how the root keeps layers and containers; run by libexec/masu/masu-system. */
#include "cli/commands.h"
#include "cli/system_options.h"

#define COLD .cold_program = "masu-system", .cold_grouped = true

static const struct cli_command bench = { STORAGE_BENCH_COMMAND, COLD };
static const struct cli_command info = { STORAGE_INFO_COMMAND, COLD };
static const struct cli_command ls = { STORAGE_LS_COMMAND, COLD };
static const struct cli_command migrate = { STORAGE_MIGRATE_COMMAND, COLD };
static const struct cli_command prune = { STORAGE_PRUNE_COMMAND, COLD };

static const struct cli_command *const storage_verbs[] = {
	&bench, &info, &ls, &migrate, &prune, NULL,
};

const struct cli_command storage_command = {
	.name = "storage",
	.synopsis = "COMMAND",
	.summary = "Manage how layers and containers are kept",
	.subcommands = storage_verbs,
};
