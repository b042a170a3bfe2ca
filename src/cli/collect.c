/* `masu __collect`: what somebody who has removed a container leaves to another process
 * (engine/orphans.c). Not for people. */
#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "engine/images.h"
#include "state/trash.h"

static int collect_run(struct cli_context *context, void *options, int argc, char **argv,
		       struct masu_error *err)
{
	static struct engine engine = ENGINE_CLOSED;
	int r = session_open(context, &engine, err);
	if (r < 0)
		return r;
	engine_images_collect_orphans(engine.root_fd, engine.storage_driver);
	trash_empty(engine.root_fd, 0);
	return 0;
}

const struct cli_command collect_command = {
	.name = COLLECT_VERB,
	.summary = "Remove layers that were kept for containers",
	CLI_MORE(collect_run),
	.hidden = true,
};
