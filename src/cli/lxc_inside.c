/* `masu __lxc-inside`: what liblxc's programs run in a container (exec/lxc/inside.c). Not for
 * people, and nothing of the engine's is there. */
#include "cli/commands.h"
#include "exec/lxc/inside.h"

static int inside_run(struct cli_context *context, void *options, int argc, char **argv,
		      struct masu_error *err)
{
	return lxc_inside(argv[0], err);
}

const struct cli_command lxc_inside_command = {
	.name = LXC_INSIDE_VERB,
	.synopsis = "NUMBER",
	.summary = "Become a process of a container that liblxc has made",
	CLI_MORE(inside_run),
	.min_args = 1,
	.max_args = 1,
	.raw_arguments = true,
	.hidden = true,
};
