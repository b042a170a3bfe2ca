/* `masu volume push` and `pull`, which libexec/masu/masu-image runs (cold/image/volume_*.c). */
#pragma once

#include "cli/command.h"

struct volume_push_options {
	bool pause, quiet;
};

struct volume_pull_options {
	bool quiet;
	struct cli_list opt;
};

#define VOLUME_PUSH_COUNT 2
#define VOLUME_PULL_COUNT 2
extern const struct cli_option volume_push_options[VOLUME_PUSH_COUNT];
extern const struct cli_option volume_pull_options[VOLUME_PULL_COUNT];
void volume_push_defaults(void *options);

#define VOLUME_PUSH_COMMAND                                                                        \
	.name = "push", .synopsis = "[OPTIONS] VOLUME[@NAME] REPOSITORY[:TAG]",                    \
	.summary = "Upload a volume's files, or a snapshot's, to a registry", .min_args = 2,       \
	.max_args = 2
#define VOLUME_PUSH_OPTIONS                                                                        \
	.options = volume_push_options, .option_count = VOLUME_PUSH_COUNT,                         \
	.options_size = sizeof(struct volume_push_options), .defaults = volume_push_defaults

#define VOLUME_PULL_COMMAND                                                                        \
	.name = "pull", .synopsis = "[OPTIONS] REPOSITORY[:TAG|@DIGEST] [VOLUME]",                 \
	.summary = "Make a volume of what a registry has", .min_args = 1, .max_args = 2
#define VOLUME_PULL_OPTIONS                                                                        \
	.options = volume_pull_options, .option_count = VOLUME_PULL_COUNT,                         \
	.options_size = sizeof(struct volume_pull_options)

/* In the group's table. */
extern const struct cli_command volume_push_command, volume_pull_command;
