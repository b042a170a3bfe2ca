/* `masu container`: docker's other way to say the container verbs. */
#include "cli/commands.h"
#include "cli/container_archive.h"
#include "cli/images.h"
#include "cli/system.h"

/* The group's own verbs differ from the top level's only where docker's do: ls and inspect. */
/* clang-format off */
static const struct cli_command *const container_verbs[] = {
	&attach_command,
	&commit_command,
	&cp_command,
	&create_command,
	&diff_command,
	&exec_command,
	&export_command,
	&container_import_command,
	&container_inspect_command,
	&kill_command,
	&logs_command,
	&container_ls_command,
	&pause_command,
	&port_command,
	&container_prune_command,
	&rename_command,
	&restart_command,
	&rm_command,
	&run_command,
	&start_command,
	&stats_command,
	&stop_command,
	&top_command,
	&unpause_command,
	&update_command,
	&wait_command,
	NULL,
};
/* clang-format on */

const struct cli_command container_command = {
	.name = "container",
	.synopsis = "COMMAND",
	.summary = "Manage containers",
	.subcommands = container_verbs,
};
