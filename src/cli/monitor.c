/* `masu __monitor`: what the fork of a starter becomes that does not have the container's exec
 * driver (engine/elsewhere.c). Not for people. */
#include "cli/commands.h"
#include "cli/session.h"
#include "engine/start.h"

static int monitor_run(struct cli_context *context, void *options, int argc, char **argv,
		       struct masu_error *err)
{
	static struct engine engine = ENGINE_CLOSED;
	int r = session_open(context, &engine, err);
	return r < 0 ? r : supervise_become(&engine, context->arena, argv, err);
}

const struct cli_command monitor_command = {
	.name = SUPERVISE_VERB,
	.synopsis = "ID NUMBER...",
	.summary = "Watch over a container that another exec driver makes",
	CLI_MORE(monitor_run),
	.min_args = SUPERVISE_WORDS,
	.max_args = SUPERVISE_WORDS,
	.raw_arguments = true,
	.hidden = true,
};
