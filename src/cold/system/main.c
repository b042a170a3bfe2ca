/*
 * libexec/masu/masu-system and masu-check: verbs about everything at once (root_command is in
 * tables.c and check.c). Started by `masu` with the verb, or its group and the verb, as argv and
 * the roots in MASU_ROOT and MASU_RUNROOT. They call the engine as `masu` does, but start nothing.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cold/system/verbs.h"

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
		.storage_driver = from_environment("MASU_STORAGE_DRIVER", NULL),
		.program = "masu",
		.self_path = "",
		.argv = argv,
	};
	if (find_libexec() < 0)
		return 125;
	return cli_dispatch(&context, &root_command, argc, argv);
}
