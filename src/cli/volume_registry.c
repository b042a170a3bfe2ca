#include "cli/volume_registry.h"

#define COLD .cold_program = "masu-image", .cold_grouped = true

#ifdef MASU_HOT
const struct cli_command volume_push_command = { VOLUME_PUSH_COMMAND, COLD };
const struct cli_command volume_pull_command = { VOLUME_PULL_COMMAND, COLD };
#else
const struct cli_option volume_push_options[VOLUME_PUSH_COUNT] = {
	CLI_OPT(struct volume_push_options, pause, "pause", 'p', CLI_BOOL, NULL,
		"Pause the containers that write to it while it is read"),
	CLI_OPT(struct volume_push_options, quiet, "quiet", 'q', CLI_BOOL, NULL,
		"Print the digest only"),
};

const struct cli_option volume_pull_options[VOLUME_PULL_COUNT] = {
	CLI_OPT(struct volume_pull_options, opt, "opt", 'o', CLI_LIST, "map",
		"Set size=, in the place of what the volume had"),
	CLI_OPT(struct volume_pull_options, quiet, "quiet", 'q', CLI_BOOL, NULL,
		"Print the volume's name only"),
};

void volume_push_defaults(void *options)
{
	((struct volume_push_options *)options)->pause = true;
}

const struct cli_command volume_push_command = { VOLUME_PUSH_COMMAND, COLD, VOLUME_PUSH_OPTIONS };
const struct cli_command volume_pull_command = { VOLUME_PULL_COMMAND, COLD, VOLUME_PULL_OPTIONS };
#endif
