/* The groups and verbs of libexec/masu/masu-image that the hot program knows by name only. */
#include "cli/commands.h"
#include "cli/images.h"
#include "cli/manifest_options.h"

#define COLD .cold_program = "masu-image", .cold_grouped = true

#ifdef MASU_HOT
const struct cli_command manifest_command = { MANIFEST_COMMAND, .cold_program = "masu-image" };
const struct cli_command image_sign_command = { IMAGE_SIGN_COMMAND, COLD };
const struct cli_command image_verify_command = { IMAGE_VERIFY_COMMAND, COLD };
const struct cli_command image_key_pair_command = { IMAGE_KEY_PAIR_COMMAND, COLD };
#else
static const struct cli_command add = { MANIFEST_ADD_COMMAND, COLD };
static const struct cli_command annotate = { MANIFEST_ANNOTATE_COMMAND, COLD };
static const struct cli_command create = { MANIFEST_CREATE_COMMAND, COLD };
static const struct cli_command exists = { MANIFEST_EXISTS_COMMAND, COLD };
static const struct cli_command inspect = { MANIFEST_INSPECT_COMMAND, COLD };
static const struct cli_command push = { MANIFEST_PUSH_COMMAND, COLD };
static const struct cli_command rm = { MANIFEST_RM_COMMAND, COLD };
static const struct cli_command *const verbs[] = { &add,     &annotate, &create, &exists,
						   &inspect, &push,	&rm,	 NULL };
const struct cli_command manifest_command = { MANIFEST_COMMAND, .subcommands = verbs };

const struct cli_command image_sign_command = { IMAGE_SIGN_COMMAND, COLD, IMAGE_SIGN_OPTIONS };
const struct cli_command image_verify_command = { IMAGE_VERIFY_COMMAND, COLD,
						  IMAGE_VERIFY_OPTIONS };
const struct cli_command image_key_pair_command = { IMAGE_KEY_PAIR_COMMAND, COLD,
						    IMAGE_KEY_PAIR_OPTIONS };
#endif
