/*
 * libexec/masu/masu-system: what is about everything at once: `masu events`, `info`, `system …` and
 * the prunes. Started by `masu` with the verb, or its group and the verb, as argv and the roots in
 * MASU_ROOT and MASU_RUNROOT. It calls the engine as `masu` does, but starts nothing.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cold/system/verbs.h"

/* clang-format off */
static const struct cli_command *const container_verbs[] = { &container_prune_command, NULL };
static const struct cli_command *const image_verbs[] = { &image_prune_command, NULL };
static const struct cli_command *const volume_verbs[] = { &volume_prune_command, NULL };
static const struct cli_command *const system_verbs[] = {
	&system_check_command,
	&system_df_command,
	&system_prune_command,
	NULL,
};
/* clang-format on */

static const struct cli_command container_group = { .name = "container",
						    .synopsis = "COMMAND",
						    .subcommands = container_verbs };
static const struct cli_command image_group = { .name = "image",
						.synopsis = "COMMAND",
						.subcommands = image_verbs };
static const struct cli_command volume_group = { .name = "volume",
						 .synopsis = "COMMAND",
						 .subcommands = volume_verbs };
static const struct cli_command system_group = { .name = "system",
						 .synopsis = "COMMAND",
						 .subcommands = system_verbs };

static const struct cli_command *const verbs[] = {
	&container_group, &events_command, &image_group, &info_command,
	&system_group,	  &volume_group,   NULL,
};

static const struct cli_command root_command = {
	.name = "masu",
	.synopsis = "[OPTIONS] COMMAND",
	.summary = "What is about everything at once",
	.subcommands = verbs,
};

static const char *from_environment(const char *name, const char *otherwise)
{
	const char *value = getenv(name);
	return value && *value ? value : otherwise;
}

/* The cold programs are in this one's directory, unless MASU_LIBEXEC says otherwise. */
static int find_libexec(void)
{
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (len <= 0)
		return -1;
	path[len] = '\0';
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	return setenv("MASU_LIBEXEC", path, 0);
}

int main(int argc, char **argv)
{
	struct arena arena;
	arena_init(&arena, 1u << 30);
	struct cli_context context = {
		.arena = &arena,
		.root = from_environment("MASU_ROOT", "/var/lib/masu"),
		.runroot = from_environment("MASU_RUNROOT", "/run/masu"),
		.program = "masu",
		.self_path = "",
		.argv = argv,
	};
	if (find_libexec() < 0)
		return 125;
	return cli_dispatch(&context, &root_command, argc, argv);
}
