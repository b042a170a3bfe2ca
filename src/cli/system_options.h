/*
 * Options of the verbs that libexec/masu/masu-system runs. They are here, because `masu` shows them
 * (help, completion, man pages) and masu-system parses them.
 */
#pragma once

#include "cli/command.h"

struct events_options {
	const char *since, *until, *format;
	struct cli_list filter;
};
#define EVENTS_OPTION_COUNT 4
extern const struct cli_option events_option_table[EVENTS_OPTION_COUNT];

struct info_options {
	const char *format;
};
#define INFO_OPTION_COUNT 1
extern const struct cli_option info_option_table[INFO_OPTION_COUNT];

struct check_options {
	bool repair;
};
#define CHECK_OPTION_COUNT 1
extern const struct cli_option check_option_table[CHECK_OPTION_COUNT];

struct df_options {
	bool verbose;
	const char *format;
};
#define DF_OPTION_COUNT 2
extern const struct cli_option df_option_table[DF_OPTION_COUNT];

struct prune_options {
	bool all, force, volumes;
	struct cli_list filter;
};
#define CONTAINER_PRUNE_OPTION_COUNT 2
#define IMAGE_PRUNE_OPTION_COUNT     3
#define NETWORK_PRUNE_OPTION_COUNT   2
#define VOLUME_PRUNE_OPTION_COUNT    3
#define SYSTEM_PRUNE_OPTION_COUNT    4
extern const struct cli_option container_prune_option_table[CONTAINER_PRUNE_OPTION_COUNT];
extern const struct cli_option image_prune_option_table[IMAGE_PRUNE_OPTION_COUNT];
extern const struct cli_option network_prune_option_table[NETWORK_PRUNE_OPTION_COUNT];
extern const struct cli_option volume_prune_option_table[VOLUME_PRUNE_OPTION_COUNT];
extern const struct cli_option system_prune_option_table[SYSTEM_PRUNE_OPTION_COUNT];

struct storage_options {
	const char *format;
	bool quiet;
	struct cli_list storage_opts;
};
#define STORAGE_FORMAT_OPTION_COUNT  1
#define STORAGE_MIGRATE_OPTION_COUNT 2
extern const struct cli_option storage_format_option_table[STORAGE_FORMAT_OPTION_COUNT];
extern const struct cli_option storage_migrate_option_table[STORAGE_MIGRATE_OPTION_COUNT];

struct storage_bench_options {
	const char *format;
	int64_t size, roots;
};
#define STORAGE_BENCH_OPTION_COUNT 3
extern const struct cli_option storage_bench_option_table[STORAGE_BENCH_OPTION_COUNT];

/* Name, synopsis, summary and options of a verb, for both tables. */
#define SYSTEM_COMMAND(command_name, text, table, count, type)                                     \
	.name = (command_name), .synopsis = "[OPTIONS]", .summary = (text), .options = (table),    \
	.option_count = (count), .options_size = sizeof(struct type)

#define EVENTS_COMMAND                                                                             \
	SYSTEM_COMMAND("events", "Show what happens to containers, images, volumes and networks",  \
		       events_option_table, EVENTS_OPTION_COUNT, events_options)
#define INFO_COMMAND                                                                               \
	SYSTEM_COMMAND("info", "Display system-wide information", info_option_table,               \
		       INFO_OPTION_COUNT, info_options)
#define SYSTEM_CHECK_COMMAND                                                                       \
	SYSTEM_COMMAND("check",                                                                    \
		       "Verify images, containers, volumes and what the kernel has of them",       \
		       check_option_table, CHECK_OPTION_COUNT, check_options)
#define SYSTEM_DF_COMMAND                                                                          \
	SYSTEM_COMMAND("df", "Show disk usage", df_option_table, DF_OPTION_COUNT, df_options)
#define CONTAINER_PRUNE_COMMAND                                                                    \
	SYSTEM_COMMAND("prune", "Remove all stopped containers", container_prune_option_table,     \
		       CONTAINER_PRUNE_OPTION_COUNT, prune_options)
#define IMAGE_PRUNE_COMMAND                                                                        \
	SYSTEM_COMMAND("prune", "Remove unused images", image_prune_option_table,                  \
		       IMAGE_PRUNE_OPTION_COUNT, prune_options)
#define NETWORK_PRUNE_COMMAND                                                                      \
	SYSTEM_COMMAND("prune", "Remove all unused networks", network_prune_option_table,          \
		       NETWORK_PRUNE_OPTION_COUNT, prune_options)
#define VOLUME_PRUNE_COMMAND                                                                       \
	SYSTEM_COMMAND("prune", "Remove unused local volumes", volume_prune_option_table,          \
		       VOLUME_PRUNE_OPTION_COUNT, prune_options)
#define SYSTEM_PRUNE_COMMAND                                                                       \
	SYSTEM_COMMAND("prune", "Remove unused data", system_prune_option_table,                   \
		       SYSTEM_PRUNE_OPTION_COUNT, prune_options)
#define STORAGE_INFO_COMMAND                                                                       \
	SYSTEM_COMMAND("info", "Show the storage driver of this root, and why it is that one",     \
		       storage_format_option_table, STORAGE_FORMAT_OPTION_COUNT, storage_options)
#define STORAGE_LS_COMMAND                                                                         \
	SYSTEM_COMMAND("ls", "List the storage drivers, and which of them work here",              \
		       storage_format_option_table, STORAGE_FORMAT_OPTION_COUNT, storage_options), \
		.aliases = "list"
#define STORAGE_PRUNE_COMMAND                                                                      \
	.name = "prune", .synopsis = "", .max_args = 0,                                            \
	.summary = "Remove what killed commands left and finish deleting what was removed"
#define STORAGE_MIGRATE_COMMAND                                                                    \
	.name = "migrate", .synopsis = "[OPTIONS] DRIVER", .min_args = 1, .max_args = 1,           \
	.summary = "Give this root another storage driver, with its images and containers",        \
	.options = storage_migrate_option_table, .option_count = STORAGE_MIGRATE_OPTION_COUNT,     \
	.options_size = sizeof(struct storage_options)
#define STORAGE_BENCH_COMMAND                                                                      \
	.name = "bench", .synopsis = "[OPTIONS] IMAGE", .min_args = 1, .max_args = 1,              \
	.summary = "Measure a container's root of an image against the same files beside it",      \
	.options = storage_bench_option_table, .option_count = STORAGE_BENCH_OPTION_COUNT,         \
	.options_size = sizeof(struct storage_bench_options)
