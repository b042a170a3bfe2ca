/* The tables: the program's commands and its global flags. One extern a verb, in the verb's file.
 */
#pragma once

#include "cli/command.h"

struct global_options {
	const char *root, *runroot, *storage_driver;
	struct cli_list storage_opts;
	bool debug, trace_timing, version;
};

/* --storage-opt goes to whoever sets the root up, by the environment (storage/config.h). */
int cli_pass_storage_options(const struct global_options *options, struct masu_error *err);

extern const struct cli_command root_command;	/* "masu" with all its verbs */
extern const struct cli_command global_command; /* only the flags before the verb */
extern const struct cli_command oci_command;	/* "masu oci": the OCI runtime CLI (oci.c) */

/* One a line, sorted; each is defined in the file of its verb. */
extern const struct cli_command attach_command;
extern const struct cli_command bench_command;
extern const struct cli_command collect_command;
extern const struct cli_command complete_command;
extern const struct cli_command completion_command;
extern const struct cli_command container_command;
extern const struct cli_command container_inspect_command;
extern const struct cli_command container_ls_command;
extern const struct cli_command cp_command;
extern const struct cli_command create_command;
extern const struct cli_command diff_command;
extern const struct cli_command events_command;
extern const struct cli_command exec_command;
extern const struct cli_command export_command;
extern const struct cli_command generate_command;
extern const struct cli_command info_command;
extern const struct cli_command inspect_command;
extern const struct cli_command kill_command;
extern const struct cli_command logs_command;
extern const struct cli_command manifest_command;
extern const struct cli_command lxc_inside_command; /* of masu-more only */
extern const struct cli_command monitor_command;
extern const struct cli_command network_command;
extern const struct cli_command pause_command;
extern const struct cli_command port_command;
extern const struct cli_command ps_command;
extern const struct cli_command rename_command;
extern const struct cli_command restart_command;
extern const struct cli_command rm_command;
extern const struct cli_command run_command;
extern const struct cli_command start_command;
extern const struct cli_command stats_command;
extern const struct cli_command stop_command;
extern const struct cli_command storage_command;
extern const struct cli_command system_command;
extern const struct cli_command system_start_command;
extern const struct cli_command system_stop_command;
extern const struct cli_command top_command;
extern const struct cli_command unpause_command;
extern const struct cli_command update_command;
extern const struct cli_command version_command;
extern const struct cli_command volume_command;
extern const struct cli_command wait_command;
