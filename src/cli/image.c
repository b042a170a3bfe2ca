/* The group `masu image`, and the verbs that libexec/masu/masu-image runs. */
#include <stddef.h>

#include "cli/image_options.h"
#include "cli/images.h"
#include "cli/system.h"

const struct cli_command commit_command = { COMMIT_COMMAND, .cold_program = "masu-image" };
const struct cli_command import_command = { IMPORT_COMMAND, .cold_program = "masu-image" };
const struct cli_command load_command = { LOAD_COMMAND, .cold_program = "masu-image" };
const struct cli_command login_command = { LOGIN_COMMAND, .cold_program = "masu-image" };
const struct cli_command logout_command = { LOGOUT_COMMAND, .cold_program = "masu-image" };
const struct cli_command pull_command = { PULL_COMMAND, .cold_program = "masu-image" };
const struct cli_command push_command = { PUSH_COMMAND, .cold_program = "masu-image" };
const struct cli_command save_command = { SAVE_COMMAND, .cold_program = "masu-image" };
const struct cli_command search_command = { SEARCH_COMMAND, .cold_program = "masu-image" };

/* clang-format off */
static const struct cli_command *const verbs[] = {
	&image_key_pair_command,
	&history_command,
	&import_command,
	&image_inspect_command,
	&load_command,
	&image_ls_command,
	&image_prune_command,
	&pull_command,
	&push_command,
	&image_rm_command,
	&save_command,
	&image_sign_command,
	&tag_command,
	&image_verify_command,
	NULL,
};
/* clang-format on */

const struct cli_command image_command = {
	.name = "image",
	.synopsis = "COMMAND",
	.summary = "Manage images",
	.subcommands = verbs,
};
