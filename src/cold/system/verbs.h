/* The verbs of masu-system and masu-check. */
#pragma once

#include "cli/system_options.h"

extern const struct cli_command root_command;	       /* of the program: tables.c, check.c */
extern const struct cli_command events_command;	       /* events.c */
extern const struct cli_command info_command;	       /* info.c */
extern const struct cli_command storage_bench_command; /* storage_bench.c */
extern const struct cli_command storage_info_command;  /* storage.c */
extern const struct cli_command storage_ls_command;
extern const struct cli_command storage_migrate_command;
extern const struct cli_command storage_prune_command;
extern const struct cli_command system_df_command;	 /* df.c */
extern const struct cli_command container_prune_command; /* prune.c */
extern const struct cli_command image_prune_command;
extern const struct cli_command network_prune_command;
extern const struct cli_command system_prune_command;
extern const struct cli_command volume_prune_command;
