/*
 * Options of `masu manifest` and of `masu image sign`, `verify` and `generate-key-pair`, which
 * libexec/masu/masu-image runs. The hot program knows their names only and hands all of it over.
 */
#pragma once

#include "cli/command.h"

struct manifest_options {
	const char *architecture, *os, *os_version, *variant;
	struct cli_list os_features;
	bool amend, insecure, purge, verbose;
};

struct sign_options {
	const char *key, *passphrase_file, *prefix, *signed_as;
};

#define MANIFEST_PLATFORM_COUNT 5
#define MANIFEST_ADD_COUNT	6
#define MANIFEST_CREATE_COUNT	2
#define MANIFEST_INSPECT_COUNT	2
#define MANIFEST_PUSH_COUNT	2
#define SIGN_COUNT		2
#define VERIFY_COUNT		2
#define KEY_PAIR_COUNT		2
extern const struct cli_option manifest_add_options[MANIFEST_ADD_COUNT];
extern const struct cli_option manifest_create_options[MANIFEST_CREATE_COUNT];
extern const struct cli_option manifest_inspect_options[MANIFEST_INSPECT_COUNT];
extern const struct cli_option manifest_push_options[MANIFEST_PUSH_COUNT];
extern const struct cli_option image_sign_options[SIGN_COUNT];
extern const struct cli_option image_verify_options[VERIFY_COUNT];
extern const struct cli_option image_key_pair_options[KEY_PAIR_COUNT];

/* clang-format off */
#define MANIFEST_ADD_COMMAND                                                                       \
	.name = "add", .synopsis = "[OPTIONS] MANIFEST_LIST MANIFEST [MANIFEST...]",               \
	.summary = "Add images to a local manifest list",                                          \
	.options = manifest_add_options, .option_count = MANIFEST_ADD_COUNT,                       \
	.options_size = sizeof(struct manifest_options), .min_args = 2, .max_args = -1

/* Its options are the first of add's. */
#define MANIFEST_ANNOTATE_COMMAND                                                                  \
	.name = "annotate", .synopsis = "[OPTIONS] MANIFEST_LIST MANIFEST",                        \
	.summary = "Add additional information to a local image manifest",                         \
	.options = manifest_add_options, .option_count = MANIFEST_PLATFORM_COUNT,                  \
	.options_size = sizeof(struct manifest_options), .min_args = 2, .max_args = 2

#define MANIFEST_CREATE_COMMAND                                                                    \
	.name = "create", .synopsis = "[OPTIONS] MANIFEST_LIST [MANIFEST...]",                     \
	.summary = "Create a local manifest list for annotating and pushing to a registry",        \
	.options = manifest_create_options, .option_count = MANIFEST_CREATE_COUNT,                 \
	.options_size = sizeof(struct manifest_options), .min_args = 1, .max_args = -1

#define MANIFEST_EXISTS_COMMAND                                                                    \
	.name = "exists", .synopsis = "MANIFEST_LIST",                                             \
	.summary = "Check if a local manifest list exists", .min_args = 1, .max_args = 1

#define MANIFEST_INSPECT_COMMAND                                                                   \
	.name = "inspect", .synopsis = "[OPTIONS] [MANIFEST_LIST] MANIFEST",                       \
	.summary = "Display an image manifest, or manifest list",                                  \
	.options = manifest_inspect_options, .option_count = MANIFEST_INSPECT_COUNT,               \
	.options_size = sizeof(struct manifest_options), .min_args = 1, .max_args = 2

#define MANIFEST_PUSH_COMMAND                                                                      \
	.name = "push", .synopsis = "[OPTIONS] MANIFEST_LIST",                                     \
	.summary = "Push a manifest list to a repository", .options = manifest_push_options,       \
	.option_count = MANIFEST_PUSH_COUNT, .options_size = sizeof(struct manifest_options),      \
	.min_args = 1, .max_args = 1

#define MANIFEST_RM_COMMAND                                                                        \
	.name = "rm", .synopsis = "MANIFEST_LIST [MANIFEST_LIST...]",                              \
	.summary = "Delete one or more manifest lists from local storage", .min_args = 1,          \
	.max_args = -1

#define MANIFEST_COMMAND                                                                           \
	.name = "manifest", .synopsis = "COMMAND",                                                 \
	.summary = "Manage image manifests and manifest lists"

#define IMAGE_SIGN_COMMAND                                                                         \
	.name = "sign", .synopsis = "--key FILE [OPTIONS] NAME[:TAG|@DIGEST]",                     \
	.summary = "Sign an image in a registry", .min_args = 1, .max_args = 1
#define IMAGE_VERIFY_COMMAND                                                                       \
	.name = "verify", .synopsis = "--key FILE [OPTIONS] NAME[:TAG|@DIGEST]",                             \
	.summary = "Verify the signatures of an image in a registry", .min_args = 1, .max_args = 1
#define IMAGE_SIGN_OPTIONS                                                                         \
	.options = image_sign_options, .option_count = SIGN_COUNT,                                 \
	.options_size = sizeof(struct sign_options)
#define IMAGE_VERIFY_OPTIONS                                                                       \
	.options = image_verify_options, .option_count = VERIFY_COUNT,                             \
	.options_size = sizeof(struct sign_options)
#define IMAGE_KEY_PAIR_OPTIONS                                                                     \
	.options = image_key_pair_options, .option_count = KEY_PAIR_COUNT,                         \
	.options_size = sizeof(struct sign_options)
#define IMAGE_KEY_PAIR_COMMAND                                                                     \
	.name = "generate-key-pair", .synopsis = "[OPTIONS]",                                      \
	.summary = "Generate a key pair for signing images"
/* clang-format on */
