/*
 * Options of the verbs that libexec/masu/masu-image runs. They are here, because `masu` shows them
 * (help, completion, man pages) and masu-image parses them.
 */
#pragma once

#include "cli/command.h"

struct commit_options {
	struct cli_list change;
	const char *author, *message;
	bool include_volumes, pause, quiet;
};
#define COMMIT_OPTION_COUNT 6
extern const struct cli_option commit_option_table[COMMIT_OPTION_COUNT];
void commit_option_defaults(void *options);

struct import_options {
	struct cli_list change;
	const char *layer_format, *message, *platform;
};
#define IMPORT_OPTION_COUNT 4
extern const struct cli_option import_option_table[IMPORT_OPTION_COUNT];

struct load_options {
	const char *input, *layer_format, *platform;
	bool quiet;
};
#define LOAD_OPTION_COUNT 4
extern const struct cli_option load_option_table[LOAD_OPTION_COUNT];

struct login_options {
	const char *username, *password;
	bool password_stdin;
};
#define LOGIN_OPTION_COUNT 3
extern const struct cli_option login_option_table[LOGIN_OPTION_COUNT];

struct pull_options {
	bool all_tags, artifacts, quiet, disable_content_trust;
	const char *layer_format, *platform;
};
#define PULL_OPTION_COUNT 6
extern const struct cli_option pull_option_table[PULL_OPTION_COUNT];

struct push_options {
	bool all_tags, artifacts, quiet, disable_content_trust;
	const char *platform;
};
#define PUSH_OPTION_COUNT 5
extern const struct cli_option push_option_table[PUSH_OPTION_COUNT];

struct save_options {
	const char *output;
	bool artifacts;
};
#define SAVE_OPTION_COUNT 2
extern const struct cli_option save_option_table[SAVE_OPTION_COUNT];

struct search_options {
	struct cli_list filter;
	const char *format;
	int64_t limit; /* 0: docker's default, 25 */
	bool no_trunc;
};
#define SEARCH_OPTION_COUNT 4
extern const struct cli_option search_option_table[SEARCH_OPTION_COUNT];

/* Name, synopsis, summary and options of a verb, for both tables. */
#define COMMIT_COMMAND                                                                             \
	.name = "commit", .synopsis = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",                    \
	.summary = "Create a new image from a container's changes",                                \
	.options = commit_option_table, .option_count = COMMIT_OPTION_COUNT,                       \
	.options_size = sizeof(struct commit_options), .defaults = commit_option_defaults,         \
	.min_args = 1, .max_args = 2

#define IMPORT_COMMAND                                                                             \
	.name = "import", .synopsis = "[OPTIONS] file|- [REPOSITORY[:TAG]]",                       \
	.summary = "Import the contents from a tarball to create a filesystem image",              \
	.options = import_option_table, .option_count = IMPORT_OPTION_COUNT,                       \
	.options_size = sizeof(struct import_options), .min_args = 1, .max_args = 2

#define LOAD_COMMAND                                                                               \
	.name = "load", .synopsis = "[OPTIONS]",                                                   \
	.summary = "Load images from a docker or OCI archive or directory",                        \
	.options = load_option_table, .option_count = LOAD_OPTION_COUNT,                           \
	.options_size = sizeof(struct load_options)

#define LOGIN_COMMAND                                                                              \
	.name = "login", .synopsis = "[OPTIONS] [SERVER]",                                         \
	.summary = "Authenticate to a registry", .options = login_option_table,                    \
	.option_count = LOGIN_OPTION_COUNT, .options_size = sizeof(struct login_options),          \
	.max_args = 1

#define LOGOUT_COMMAND                                                                             \
	.name = "logout", .synopsis = "[SERVER]", .summary = "Log out from a registry",            \
	.max_args = 1

#define PULL_COMMAND                                                                               \
	.name = "pull", .synopsis = "[OPTIONS] NAME[:TAG|@DIGEST]",                                \
	.summary = "Download an image from a registry", .options = pull_option_table,              \
	.option_count = PULL_OPTION_COUNT, .options_size = sizeof(struct pull_options),            \
	.min_args = 1, .max_args = 1

#define PUSH_COMMAND                                                                               \
	.name = "push", .synopsis = "[OPTIONS] NAME[:TAG]",                                        \
	.summary = "Upload an image to a registry", .options = push_option_table,                  \
	.option_count = PUSH_OPTION_COUNT, .options_size = sizeof(struct push_options),            \
	.min_args = 1, .max_args = 1

#define SAVE_COMMAND                                                                               \
	.name = "save", .synopsis = "[OPTIONS] IMAGE [IMAGE...]",                                  \
	.summary = "Save one or more images to a tar archive (streamed to STDOUT by default)",     \
	.options = save_option_table, .option_count = SAVE_OPTION_COUNT,                           \
	.options_size = sizeof(struct save_options), .min_args = 1, .max_args = -1

#define SEARCH_COMMAND                                                                             \
	.name = "search", .synopsis = "[OPTIONS] TERM", .summary = "Search Docker Hub for images", \
	.options = search_option_table, .option_count = SEARCH_OPTION_COUNT,                       \
	.options_size = sizeof(struct search_options), .min_args = 1, .max_args = 1
