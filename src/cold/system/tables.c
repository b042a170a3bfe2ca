/* What masu-system can do: `masu events`, `info`, `system …` and the prunes. */
#include "cold/system/verbs.h"

/* clang-format off */
static const struct cli_command *const container_verbs[] = { &container_prune_command, NULL };
static const struct cli_command *const image_verbs[] = { &image_prune_command, NULL };
static const struct cli_command *const network_verbs[] = { &network_prune_command, NULL };
static const struct cli_command *const storage_verbs[] = {
	&storage_bench_command,
	&storage_info_command,
	&storage_ls_command,
	&storage_migrate_command,
	&storage_prune_command,
	NULL,
};
static const struct cli_command *const volume_verbs[] = { &volume_prune_command, NULL };
static const struct cli_command *const system_verbs[] = {
	&system_df_command,
	&system_prune_command,
	NULL,
};
/* clang-format on */

static const struct cli_command container_group = { .name = "container",
						    .synopsis = "COMMAND",
						    .subcommands = container_verbs };
static const struct cli_command image_group = { .name = "image",
						.synopsis = "COMMAND",
						.subcommands = image_verbs };
static const struct cli_command network_group = { .name = "network",
						  .synopsis = "COMMAND",
						  .subcommands = network_verbs };
static const struct cli_command storage_group = { .name = "storage",
						  .synopsis = "COMMAND",
						  .subcommands = storage_verbs };
static const struct cli_command volume_group = { .name = "volume",
						 .synopsis = "COMMAND",
						 .subcommands = volume_verbs };
static const struct cli_command system_group = { .name = "system",
						 .synopsis = "COMMAND",
						 .subcommands = system_verbs };

static const struct cli_command *const verbs[] = {
	&container_group, &events_command, &image_group,  &info_command, &network_group,
	&storage_group,	  &system_group,   &volume_group, NULL,
};

const struct cli_command root_command = {
	.name = "masu",
	.synopsis = "[OPTIONS] COMMAND",
	.summary = "What is about everything at once",
	.subcommands = verbs,
};
