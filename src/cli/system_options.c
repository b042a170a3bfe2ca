#include "cli/system_options.h"

const struct cli_option events_option_table[EVENTS_OPTION_COUNT] = {
	CLI_OPT(struct events_options, filter, "filter", 'f', CLI_LIST, "filter",
		"Filter output based on conditions provided"),
	CLI_OPT(struct events_options, format, "format", 0, CLI_STRING, "string",
		"Format output: json, or a Go template"),
	CLI_OPT(struct events_options, since, "since", 0, CLI_STRING, "string",
		"Show all events created since timestamp"),
	CLI_OPT(struct events_options, until, "until", 0, CLI_STRING, "string",
		"Stream events until this timestamp"),
};

const struct cli_option info_option_table[INFO_OPTION_COUNT] = {
	CLI_OPT(struct info_options, format, "format", 'f', CLI_STRING, "string",
		"Format output using a custom template: json, or a Go template"),
};

const struct cli_option check_option_table[CHECK_OPTION_COUNT] = {
	CLI_OPT(struct check_options, repair, "repair", 0, CLI_BOOL, NULL,
		"Mend what can be mended without losing anything"),
};

const struct cli_option df_option_table[DF_OPTION_COUNT] = {
	CLI_OPT(struct df_options, format, "format", 0, CLI_STRING, "string",
		"Format output: table, table TEMPLATE, json, or a Go template"),
	CLI_OPT(struct df_options, verbose, "verbose", 'v', CLI_BOOL, NULL,
		"Show detailed information on space usage"),
};

#define OPT_FORCE                                                                                  \
	CLI_OPT(struct prune_options, force, "force", 'f', CLI_BOOL, NULL,                         \
		"Do not prompt for confirmation")
#define OPT_FILTER(text)                                                                           \
	CLI_OPT(struct prune_options, filter, "filter", 0, CLI_LIST, "filter",                     \
		"Provide filter values (e.g. \"" text "\")")
#define OPT_ALL(text) CLI_OPT(struct prune_options, all, "all", 'a', CLI_BOOL, NULL, text)

const struct cli_option container_prune_option_table[CONTAINER_PRUNE_OPTION_COUNT] = {
	OPT_FILTER("until=24h"),
	OPT_FORCE,
};

const struct cli_option image_prune_option_table[IMAGE_PRUNE_OPTION_COUNT] = {
	OPT_ALL("Remove all unused images, not just dangling ones"),
	OPT_FILTER("until=24h"),
	OPT_FORCE,
};

const struct cli_option network_prune_option_table[NETWORK_PRUNE_OPTION_COUNT] = {
	OPT_FILTER("until=24h"),
	OPT_FORCE,
};

const struct cli_option volume_prune_option_table[VOLUME_PRUNE_OPTION_COUNT] = {
	OPT_ALL("Remove all unused volumes, not just anonymous ones"),
	OPT_FILTER("label=keep"),
	OPT_FORCE,
};

const struct cli_option system_prune_option_table[SYSTEM_PRUNE_OPTION_COUNT] = {
	OPT_ALL("Remove all unused images, not just dangling ones"),
	OPT_FILTER("until=24h"),
	OPT_FORCE,
	CLI_OPT(struct prune_options, volumes, "volumes", 0, CLI_BOOL, NULL,
		"Prune anonymous volumes"),
};

const struct cli_option storage_format_option_table[STORAGE_FORMAT_OPTION_COUNT] = {
	CLI_OPT(struct storage_options, format, "format", 'f', CLI_STRING, "string",
		"Format output: table, table TEMPLATE, json, or a Go template"),
};

const struct cli_option storage_migrate_option_table[STORAGE_MIGRATE_OPTION_COUNT] = {
	CLI_OPT(struct storage_options, quiet, "quiet", 'q', CLI_BOOL, NULL,
		"Do not tell what is being moved"),
	CLI_OPT(struct storage_options, storage_opts, "storage-opt", 0, CLI_LIST, "list",
		"Options of the new storage driver"),
};

const struct cli_option storage_bench_option_table[STORAGE_BENCH_OPTION_COUNT] = {
	CLI_OPT(struct storage_bench_options, format, "format", 'f', CLI_STRING, "string",
		"Format output: table, table TEMPLATE, json, or a Go template"),
	CLI_OPT(struct storage_bench_options, roots, "roots", 0, CLI_INT, "int",
		"How many container roots are made and removed (default 200)"),
	CLI_OPT(struct storage_bench_options, size, "size", 0, CLI_BYTES, "bytes",
		"Of the file that is written and read (default 256m)"),
};
