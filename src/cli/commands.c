/* The list of verbs. A new verb is a file with its table entry, an extern in commands.h and a line
 * here. */
#include "cli/commands.h"
#include "cli/images.h"

static const struct cli_option global_options[] = {
	CLI_OPT(struct global_options, root, "root", 0, CLI_STRING, "dir",
		"Where images, containers and volumes are kept (MASU_ROOT)"),
	CLI_OPT(struct global_options, runroot, "runroot", 0, CLI_STRING, "dir",
		"Where live state is kept (MASU_RUNROOT)"),
	CLI_OPT(struct global_options, storage_driver, "storage-driver", 0, CLI_STRING, "string",
		"How --root keeps layers and containers (MASU_STORAGE_DRIVER)"),
	CLI_OPT(struct global_options, storage_opts, "storage-opt", 0, CLI_LIST, "list",
		"Options of that storage driver, when --root gets it"),
	CLI_OPT(struct global_options, debug, "debug", 'D', CLI_BOOL, NULL, "Log what is done"),
	CLI_OPT(struct global_options, trace_timing, "trace-timing", 0, CLI_BOOL, NULL,
		"Print how long each phase took"),
	CLI_OPT(struct global_options, version, "version", 'v', CLI_BOOL, NULL,
		"Print version information and quit"),
};

const struct cli_command global_command = {
	.name = "masu",
	.synopsis = "[OPTIONS] COMMAND",
	.summary = "A container engine that measures what containers cost",
	.options = global_options,
	.option_count = sizeof(global_options) / sizeof(global_options[0]),
	.options_size = sizeof(struct global_options),
	.stop_at_positional = true,
	.max_args = -1,
};

/* One a line, sorted, so that branches merge. */
/* clang-format off */
static const struct cli_command *const verbs[] = {
	&attach_command,
	&bench_command,
	&collect_command,
	&commit_command,
	&complete_command,
	&completion_command,
	&container_command,
	&cp_command,
	&create_command,
	&diff_command,
	&events_command,
	&exec_command,
	&export_command,
	&generate_command,
	&history_command,
	&image_command,
	&images_command,
	&import_command,
	&info_command,
	&inspect_command,
	&kill_command,
	&load_command,
	&login_command,
	&logout_command,
	&logs_command,
#ifndef MASU_HOT
	&lxc_inside_command,
#endif
	&manifest_command,
	&monitor_command,
	&network_command,
	&oci_command,
	&pause_command,
	&port_command,
	&ps_command,
	&rename_command,
	&pull_command,
	&push_command,
	&restart_command,
	&rm_command,
	&rmi_command,
	&run_command,
	&save_command,
	&search_command,
	&start_command,
	&stats_command,
	&stop_command,
	&storage_command,
	&system_command,
	&tag_command,
	&top_command,
	&unpause_command,
	&update_command,
	&version_command,
	&volume_command,
	&wait_command,
	NULL,
};
/* clang-format on */

const struct cli_command root_command = {
	.name = "masu",
	.synopsis = "[OPTIONS] COMMAND",
	.summary = "A container engine that measures what containers cost",
	.options = global_options,
	.option_count = sizeof(global_options) / sizeof(global_options[0]),
	.subcommands = verbs,
};
