/* The group `masu image`, and the verbs that libexec/masu/masu-image runs. */
#include <stddef.h>

#include "cli/images.h"

const struct cli_command import_command = {
	.name = "import",
	.synopsis = "[OPTIONS] file|- [REPOSITORY[:TAG]]",
	.summary = "Import the contents from a tarball to create a filesystem image",
	.cold_program = "masu-image",
};

const struct cli_command load_command = {
	.name = "load",
	.synopsis = "[OPTIONS]",
	.summary = "Load images from a docker or OCI archive or directory",
	.cold_program = "masu-image",
};

const struct cli_command save_command = {
	.name = "save",
	.synopsis = "[OPTIONS] IMAGE [IMAGE...]",
	.summary = "Save one or more images to a tar archive (streamed to STDOUT by default)",
	.cold_program = "masu-image",
};

/* clang-format off */
static const struct cli_command *const verbs[] = {
	&history_command,
	&import_command,
	&image_inspect_command,
	&load_command,
	&image_ls_command,
	&image_rm_command,
	&save_command,
	&tag_command,
	NULL,
};
/* clang-format on */

const struct cli_command image_command = {
	.name = "image",
	.synopsis = "COMMAND",
	.summary = "Manage images",
	.subcommands = verbs,
};
