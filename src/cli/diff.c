/* `masu diff`. */
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "engine/copy.h"

/* Names are the container's: on a terminal they must not be able to do anything. */
static void print_path(const char *path, bool terminal)
{
	for (; *path; path++)
		putchar(terminal && ((unsigned char)*path < ' ' || *path == 127) ? '?' : *path);
	putchar('\n');
}

static int diff_run(struct cli_context *context, void *pointer, int argc, char **argv,
		    struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct storage_change *changes = NULL;
	size_t count = 0;
	char id[65];
	bool terminal = isatty(STDOUT_FILENO);
	int r = session_resolve(context, argv[0], &engine, id, err);
	if (r == 0)
		r = engine_diff(&engine, context->arena, id, &changes, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		printf("%c ", changes[i].kind);
		print_path(changes[i].path, terminal);
	}
	return r;
}

const struct cli_command diff_command = {
	.name = "diff",
	.synopsis = "CONTAINER",
	.summary = "Inspect changes to files or directories on a container's filesystem",
	CLI_MORE(diff_run),
	.min_args = 1,
	.max_args = 1,
};
