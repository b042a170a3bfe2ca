/* `masu system`: what is about everything at once; run by libexec/masu/masu-system. */
#include "cli/system.h"

#include "cli/commands.h"
#include "cli/network.h"
#include "cli/system_options.h"

#define COLD .cold_program = "masu-system"

const struct cli_command events_command = { EVENTS_COMMAND, COLD };
const struct cli_command info_command = { INFO_COMMAND, COLD };
const struct cli_command container_prune_command = { CONTAINER_PRUNE_COMMAND, COLD,
						     .cold_grouped = true };
const struct cli_command image_prune_command = { IMAGE_PRUNE_COMMAND, COLD, .cold_grouped = true };
const struct cli_command network_prune_command = { NETWORK_PRUNE_COMMAND, COLD,
						   .cold_grouped = true };
const struct cli_command volume_prune_command = { VOLUME_PRUNE_COMMAND, COLD,
						  .cold_grouped = true };

static const struct cli_command check = { SYSTEM_CHECK_COMMAND, .cold_program = "masu-check",
					  .cold_grouped = true };
static const struct cli_command df = { SYSTEM_DF_COMMAND, COLD, .cold_grouped = true };
static const struct cli_command prune = { SYSTEM_PRUNE_COMMAND, COLD, .cold_grouped = true };

/* clang-format off */
static const struct cli_command *const system_verbs[] = {
	&check,
	&df,
	&events_command,
	&info_command,
	&prune,
	&system_start_command,
	&system_stop_command,
	NULL,
};
/* clang-format on */

const struct cli_command system_command = {
	.name = "system",
	.synopsis = "COMMAND",
	.summary = "Manage masu as a whole",
	.subcommands = system_verbs,
};
