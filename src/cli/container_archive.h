/* `masu container export --with-volumes` and `container import`, which libexec/masu/masu-image runs
 * (cold/image/container_*.c). */
#pragma once

#include "cli/command.h"

struct container_export_options {
	const char *output;
	bool with_volumes;
};

struct container_import_options {
	const char *name;
	bool trust;
};

#define CONTAINER_EXPORT_COUNT 2
#define CONTAINER_IMPORT_COUNT 2
extern const struct cli_option container_export_options[CONTAINER_EXPORT_COUNT];
extern const struct cli_option container_import_options[CONTAINER_IMPORT_COUNT];

#define CONTAINER_EXPORT_COMMAND                                                                   \
	.name = "export", .synopsis = "[OPTIONS] CONTAINER",                                       \
	.summary = "Export a container's filesystem as a tar archive", .min_args = 1,              \
	.max_args = 1
#define CONTAINER_EXPORT_OPTIONS                                                                   \
	.options = container_export_options, .option_count = CONTAINER_EXPORT_COUNT,               \
	.options_size = sizeof(struct container_export_options)

#define CONTAINER_IMPORT_COMMAND                                                                   \
	.name = "import", .synopsis = "[OPTIONS] [FILE|-]",                                        \
	.summary = "Make a container again that `export --with-volumes` wrote", .max_args = 1
#define CONTAINER_IMPORT_OPTIONS                                                                   \
	.options = container_import_options, .option_count = CONTAINER_IMPORT_COUNT,               \
	.options_size = sizeof(struct container_import_options)

/* In the group's table. */
extern const struct cli_command container_import_command;
