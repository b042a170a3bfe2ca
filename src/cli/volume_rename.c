/* `masu volume rename`, also called mv: to another name, or to another root. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/session.h"
#include "cli/volume.h"
#include "engine/events.h"
#include "state/record.h"
#include "volume/volume.h"

struct rename_options {
	const char *to_root;
};

static const struct cli_option rename_options[] = {
	CLI_OPT(struct rename_options, to_root, "to-root", 0, CLI_STRING, "directory",
		"Move it there: the --root that it is found with from then on"),
};

static bool is_same(int a, int b)
{
	struct stat one, other;
	return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
	       one.st_ino == other.st_ino;
}

/* -EBUSY where a container, running or not, names the volume. */
static int check_unused(struct engine *engine, struct arena *arena, const char *name,
			struct masu_error *err)
{
	struct container *list = NULL;
	size_t count = 0;
	int r = engine_list(engine, arena, true, &list, &count, err);
	const struct container *user = r < 0 ? NULL : volume_user(list, count, name);
	if (user)
		r = error_set(err, -EBUSY,
			      "rename %.200s: volume is in use - [%s]; a container's record names "
			      "its volumes: remove the container first",
			      name, user->id);
	return r;
}

/* Under the lock on all volumes: nobody begins to use it meanwhile. */
static int rename_locked(struct engine *engine, struct arena *arena, const char *name,
			 const char *to_root, const char *to_name, struct masu_error *err)
{
	_cleanup_close_ int other = -1;
	int r = check_unused(engine, arena, name, err);
	if (r == 0 && to_root)
		r = state_open_root(to_root, &other, err);
	if (r < 0)
		return r;
	bool elsewhere = other >= 0 && !is_same(other, engine->root_fd);
	if (!elsewhere && streq(name, to_name))
		return error_set(err, -EEXIST, "volume %.200s: that is where it is", name);
	const struct volume_place from = { engine->root_fd, engine->root, name };
	const struct volume_place to = { elsewhere ? other : engine->root_fd,
					 elsewhere ? to_root : engine->root, to_name };
	r = volume_move(&from, &to, arena, err);
	if (r == 0)
		event_volume(engine, elsewhere ? name : to_name, elsewhere ? "move" : "rename");
	return r;
}

static int rename_run(struct cli_context *context, void *pointer, int argc, char **argv,
		      struct masu_error *err)
{
	const struct rename_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	if (argc < 2 && !options->to_root)
		return error_set(err, -EINVAL, "volume rename: the new name is missing");
	int r = session_open(context, &engine, err);
	if (r == 0)
		r = engine_volumes_lock(&engine, true, err);
	if (r == 0)
		r = rename_locked(&engine, context->arena, argv[0], options->to_root,
				  argv[argc - 1], err);
	engine_volumes_unlock(&engine);
	if (options->to_root)
		engine_tidy_behind(&engine);
	return r;
}

const struct cli_command volume_rename_command = {
	.name = "rename",
	.aliases = "mv",
	.synopsis = "[OPTIONS] VOLUME [NEW_NAME]",
	.summary = "Give a volume that no container uses another name, or another root",
	.options = rename_options,
	.option_count = ARRAY_SIZE(rename_options),
	.options_size = sizeof(struct rename_options),
	CLI_MORE(rename_run),
	.min_args = 1,
	.max_args = 2,
};
