/* Verbs that libexec/masu/masu-system runs, for the command tables of other groups. */
#pragma once

#include "cli/command.h"

extern const struct cli_command container_prune_command;
extern const struct cli_command image_prune_command;
extern const struct cli_command volume_prune_command;
