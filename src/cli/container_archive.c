#include "cli/container_archive.h"

#ifdef MASU_HOT
const struct cli_command container_import_command = { CONTAINER_IMPORT_COMMAND,
						      .cold_program = "masu-image",
						      .cold_grouped = true };
#else
const struct cli_option container_export_options[CONTAINER_EXPORT_COUNT] = {
	CLI_OPT(struct container_export_options, output, "output", 'o', CLI_STRING, "string",
		"Write to a file, instead of STDOUT"),
	CLI_OPT(struct container_export_options, with_volumes, "with-volumes", 0, CLI_BOOL, NULL,
		"Everything the stopped container is: its image, what it changed, its volumes and "
		"configuration, for `container import`"),
};

const struct cli_option container_import_options[CONTAINER_IMPORT_COUNT] = {
	CLI_OPT(struct container_import_options, name, "name", 0, CLI_STRING, "string",
		"Give the container another name"),
	CLI_OPT(struct container_import_options, trust, "trust", 0, CLI_BOOL, NULL,
		"Take over what gives the container this machine: --privileged, --cap-add and the "
		"like"),
};

const struct cli_command container_import_command = { CONTAINER_IMPORT_COMMAND,
						      CONTAINER_IMPORT_OPTIONS,
						      .cold_program = "masu-image",
						      .cold_grouped = true };
#endif
