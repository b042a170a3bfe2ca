#include "cli/manifest_options.h"

#define PLATFORM_OPTION(field, name, help)                                                         \
	CLI_OPT(struct manifest_options, field, name, 0, CLI_STRING, "string", help)

#define INSECURE_OPTION                                                                            \
	CLI_OPT(struct manifest_options, insecure, "insecure", 0, CLI_BOOL, NULL,                  \
		"Allow communication with an insecure registry")

const struct cli_option manifest_add_options[MANIFEST_ADD_COUNT] = {
	PLATFORM_OPTION(architecture, "arch", "Set architecture"),
	PLATFORM_OPTION(os, "os", "Set operating system"),
	CLI_OPT(struct manifest_options, os_features, "os-features", 0, CLI_LIST, "list",
		"Set operating system feature"),
	PLATFORM_OPTION(os_version, "os-version", "Set operating system version"),
	PLATFORM_OPTION(variant, "variant", "Set architecture variant"),
	INSECURE_OPTION,
};

const struct cli_option manifest_create_options[MANIFEST_CREATE_COUNT] = {
	CLI_OPT(struct manifest_options, amend, "amend", 'a', CLI_BOOL, NULL,
		"Amend an existing manifest list"),
	INSECURE_OPTION,
};

const struct cli_option manifest_inspect_options[MANIFEST_INSPECT_COUNT] = {
	INSECURE_OPTION,
	CLI_OPT(struct manifest_options, verbose, "verbose", 'v', CLI_BOOL, NULL,
		"Output additional info including layers and platform"),
};

const struct cli_option manifest_push_options[MANIFEST_PUSH_COUNT] = {
	INSECURE_OPTION,
	CLI_OPT(struct manifest_options, purge, "purge", 'p', CLI_BOOL, NULL,
		"Remove the local manifest list after push"),
};

const struct cli_option image_sign_options[SIGN_COUNT] = {
	CLI_OPT(struct sign_options, key, "key", 0, CLI_STRING, "file",
		"Private key: PEM, or as cosign keeps it"),
	CLI_OPT(struct sign_options, passphrase_file, "passphrase-file", 0, CLI_STRING, "file",
		"File whose first line is the key's passphrase (default: $COSIGN_PASSWORD)"),
};

const struct cli_option image_verify_options[VERIFY_COUNT] = {
	CLI_OPT(struct sign_options, key, "key", 0, CLI_STRING, "file", "Public key: PEM"),
	CLI_OPT(struct sign_options, signed_as, "signed-as", 0, CLI_STRING, "name",
		"Name that was signed, of an image that is a copy"),
};

const struct cli_option image_key_pair_options[KEY_PAIR_COUNT] = {
	CLI_OPT(struct sign_options, prefix, "output-key-prefix", 0, CLI_STRING, "string",
		"Names of the files: PREFIX.key and PREFIX.pub (default \"cosign\")"),
	CLI_OPT(struct sign_options, passphrase_file, "passphrase-file", 0, CLI_STRING, "file",
		"File whose first line becomes the key's passphrase (default: $COSIGN_PASSWORD)"),
};
