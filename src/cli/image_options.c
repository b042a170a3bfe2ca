#include "cli/image_options.h"

#define LAYER_FORMAT_HELP                                                                          \
	"How layers are kept: as their tar with an index (erofs, the default where the kernel "    \
	"mounts it) or as directories (dir)"

const struct cli_option commit_option_table[COMMIT_OPTION_COUNT] = {
	CLI_OPT(struct commit_options, author, "author", 'a', CLI_STRING, "string",
		"Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")"),
	CLI_OPT(struct commit_options, change, "change", 'c', CLI_LIST, "list",
		"Apply Dockerfile instruction to the created image"),
	CLI_OPT(struct commit_options, include_volumes, "include-volumes", 0, CLI_BOOL, NULL,
		"Put what is in the container's volumes into the image, a layer each"),
	CLI_OPT(struct commit_options, message, "message", 'm', CLI_STRING, "string",
		"Commit message"),
	CLI_OPT(struct commit_options, pause, "pause", 'p', CLI_BOOL, NULL,
		"Pause container during commit (default true)"),
	CLI_OPT(struct commit_options, quiet, "quiet", 'q', CLI_BOOL, NULL,
		"Do not tell which volumes were put into the image"),
};

void commit_option_defaults(void *options)
{
	((struct commit_options *)options)->pause = true;
}

const struct cli_option import_option_table[IMPORT_OPTION_COUNT] = {
	CLI_OPT(struct import_options, change, "change", 'c', CLI_LIST, "list",
		"Apply Dockerfile instruction to the created image"),
	CLI_OPT(struct import_options, layer_format, "layer-format", 0, CLI_STRING, "string",
		LAYER_FORMAT_HELP),
	CLI_OPT(struct import_options, message, "message", 'm', CLI_STRING, "string",
		"Set commit message for imported image"),
	CLI_OPT(struct import_options, platform, "platform", 0, CLI_STRING, "string",
		"Set platform of the image: os/architecture[/variant]"),
};

const struct cli_option load_option_table[LOAD_OPTION_COUNT] = {
	CLI_OPT(struct load_options, input, "input", 'i', CLI_STRING, "string",
		"Read from a tar archive file or a directory, instead of STDIN"),
	CLI_OPT(struct load_options, layer_format, "layer-format", 0, CLI_STRING, "string",
		LAYER_FORMAT_HELP),
	CLI_OPT(struct load_options, platform, "platform", 0, CLI_STRING, "string",
		"Load only the image for this platform"),
	CLI_OPT(struct load_options, quiet, "quiet", 'q', CLI_BOOL, NULL,
		"Suppress the load output"),
};

const struct cli_option login_option_table[LOGIN_OPTION_COUNT] = {
	CLI_OPT(struct login_options, password, "password", 'p', CLI_STRING, "string",
		"Password or Personal Access Token (PAT)"),
	CLI_OPT(struct login_options, password_stdin, "password-stdin", 0, CLI_BOOL, NULL,
		"Take the Password or Personal Access Token (PAT) from stdin"),
	CLI_OPT(struct login_options, username, "username", 'u', CLI_STRING, "string", "Username"),
};

const struct cli_option pull_option_table[PULL_OPTION_COUNT] = {
	CLI_OPT(struct pull_options, all_tags, "all-tags", 'a', CLI_BOOL, NULL,
		"Download all tagged images in the repository"),
	CLI_OPT(struct pull_options, artifacts, "artifacts", 0, CLI_BOOL, NULL,
		"Download what is attached to the image, too (referrers)"),
	CLI_OPT(struct pull_options, disable_content_trust, "disable-content-trust", 0, CLI_BOOL,
		NULL, "Skip image verification (default true)"),
	CLI_OPT(struct pull_options, layer_format, "layer-format", 0, CLI_STRING, "string",
		LAYER_FORMAT_HELP),
	CLI_OPT(struct pull_options, platform, "platform", 0, CLI_STRING, "string",
		"Set platform if server is multi-platform capable"),
	CLI_OPT(struct pull_options, quiet, "quiet", 'q', CLI_BOOL, NULL,
		"Suppress verbose output"),
};

const struct cli_option push_option_table[PUSH_OPTION_COUNT] = {
	CLI_OPT(struct push_options, all_tags, "all-tags", 'a', CLI_BOOL, NULL,
		"Push all tags of an image to the repository"),
	CLI_OPT(struct push_options, artifacts, "artifacts", 0, CLI_BOOL, NULL,
		"Push what was pulled with the image and is attached to it, too"),
	CLI_OPT(struct push_options, disable_content_trust, "disable-content-trust", 0, CLI_BOOL,
		NULL, "Skip image signing (default true)"),
	CLI_OPT(struct push_options, platform, "platform", 0, CLI_STRING, "string",
		"Push a platform-specific manifest as a single-platform image to the registry"),
	CLI_OPT(struct push_options, quiet, "quiet", 'q', CLI_BOOL, NULL,
		"Suppress verbose output"),
};

const struct cli_option save_option_table[SAVE_OPTION_COUNT] = {
	CLI_OPT(struct save_options, artifacts, "artifacts", 0, CLI_BOOL, NULL,
		"Also save what is attached to the images"),
	CLI_OPT(struct save_options, output, "output", 'o', CLI_STRING, "string",
		"Write to a file, instead of STDOUT"),
};

const struct cli_option search_option_table[SEARCH_OPTION_COUNT] = {
	CLI_OPT(struct search_options, filter, "filter", 'f', CLI_LIST, "filter",
		"Filter output based on conditions provided"),
	CLI_OPT(struct search_options, format, "format", 0, CLI_STRING, "string",
		"Pretty-print search using a Go template"),
	CLI_OPT(struct search_options, limit, "limit", 0, CLI_INT, "int",
		"Max number of search results"),
	CLI_OPT(struct search_options, no_trunc, "no-trunc", 0, CLI_BOOL, NULL,
		"Don't truncate output"),
};
