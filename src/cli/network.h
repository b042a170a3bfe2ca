/* The verbs of `masu network` that have files of their own. */
#pragma once

#include "cli/command.h"

extern const struct cli_command network_create_command; /* network_create.c */
extern const struct cli_command network_ls_command;	/* network_ls.c */
extern const struct cli_command network_prune_command;	/* masu-system */
