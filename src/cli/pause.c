/* `masu pause`, `unpause` and `rename`. */
#include <errno.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/session.h"

static int pause_one(struct engine *engine, struct arena *arena, const char *id, void *opaque,
		     struct masu_error *err)
{
	return engine_pause(engine, id, err);
}

static int pause_run(struct cli_context *context, void *options, int argc, char **argv,
		     struct masu_error *err)
{
	return session_each(context, argc, argv, true, pause_one, NULL, err);
}

static int unpause_one(struct engine *engine, struct arena *arena, const char *id, void *opaque,
		       struct masu_error *err)
{
	return engine_unpause(engine, id, err);
}

static int unpause_run(struct cli_context *context, void *options, int argc, char **argv,
		       struct masu_error *err)
{
	return session_each(context, argc, argv, true, unpause_one, NULL, err);
}

static int rename_run(struct cli_context *context, void *options, int argc, char **argv,
		      struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	char id[65];
	if (!argv[0][0] || !argv[1][0])
		return error_set(err, -EINVAL, "Neither old nor new names may be empty");
	int r = session_resolve(context, argv[0], &engine, id, err);
	return r < 0 ? r : engine_rename(&engine, id, argv[1], err);
}

const struct cli_command pause_command = {
	.name = "pause",
	.synopsis = "CONTAINER [CONTAINER...]",
	.summary = "Pause all processes within one or more containers",
	.run = pause_run,
	.min_args = 1,
	.max_args = -1,
};

const struct cli_command unpause_command = {
	.name = "unpause",
	.synopsis = "CONTAINER [CONTAINER...]",
	.summary = "Unpause all processes within one or more containers",
	.run = unpause_run,
	.min_args = 1,
	.max_args = -1,
};

const struct cli_command rename_command = {
	.name = "rename",
	.synopsis = "CONTAINER NEW_NAME",
	.summary = "Rename a container",
	.run = rename_run,
	.min_args = 2,
	.max_args = 2,
};
