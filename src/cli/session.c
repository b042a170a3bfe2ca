#include "cli/session.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/parse.h"

/* Records name paths: they must mean the same from every working directory. */
static const char *absolute(struct arena *arena, const char *path)
{
	char cwd[PATH_MAX];
	if (*path == '/')
		return parse_clean_path(arena, path);
	if (!getcwd(cwd, sizeof(cwd)))
		return NULL;
	const char *joined = arena_printf(arena, "%s/%s", cwd, path);
	return joined ? parse_clean_path(arena, joined) : NULL;
}

/*
 * Other drivers than overlay are in the second program, which gets the whole command line; nothing
 * has been done yet.
 */
static int settle_storage(struct cli_context *context, struct engine *engine,
			  struct masu_error *err)
{
	const char *wanted = context->storage_driver;
	struct storage_config config;
	if (CLI_IS_HOT) {
		bool here = storage_driver(engine->storage_driver) && !engine->storage_leaving &&
			    (!wanted || streq(wanted, engine->storage_driver)) &&
			    !getenv(STORAGE_OPTIONS_VARIABLE);
		return here ? 0 : cli_exec_more(context, err);
	}
	int r = wanted ? storage_choose(engine->root_fd, wanted, &config, err) : 0;
	if (r == 0 && wanted)
		memcpy(engine->storage_driver, config.driver, sizeof(config.driver));
	return r;
}

int session_open(struct cli_context *context, struct engine *ret, struct masu_error *err)
{
	char libexec[PATH_MAX];
	const char *root = absolute(context->arena, context->root);
	const char *runroot = absolute(context->arena, context->runroot);
	int r = cli_libexec_dir(context, libexec, sizeof(libexec));
	const char *kept = r == 0 ? arena_strdup(context->arena, libexec) : "";
	if (!root || !runroot || !kept)
		return error_set(err, -ENOMEM, "cannot resolve --root and --runroot");
	r = engine_open(root, runroot, kept, context->self_path, ret, err);
	return r < 0 ? r : settle_storage(context, ret, err);
}

int session_resolve(struct cli_context *context, const char *name, struct engine *engine,
		    char ret_id[65], struct masu_error *err)
{
	int r = session_open(context, engine, err);
	return r < 0 ? r : engine_resolve(engine, name, ret_id, err);
}

int session_container(struct cli_context *context, const char *name, struct engine *engine,
		      struct container *ret, struct masu_error *err)
{
	char id[65];
	int r = session_resolve(context, name, engine, id, err);
	if (r == 0)
		r = engine_load(engine, context->arena, id, ret, err);
	if (r == 0)
		container_close(ret);
	return r;
}

void session_report(const struct masu_error *err)
{
	fflush(stdout);
	fprintf(stderr, "masu: %s\n", err->message[0] ? err->message : strerror(-err->code));
}

int session_each(struct cli_context *context, int argc, char **argv, bool print, session_fn fn,
		 void *opaque, struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	int status = 0;
	int r = session_open(context, &engine, err);
	if (r < 0)
		return r;
	for (int i = 0; i < argc; i++) {
		char id[65];
		struct masu_error why = { 0 };
		r = engine_resolve(&engine, argv[i], id, &why);
		if (r == 0)
			r = fn(&engine, context->arena, id, opaque, &why);
		if (r < 0) {
			session_report(&why);
			status = 1;
		} else if (print) {
			puts(argv[i]);
		}
	}
	return status;
}

int session_targets(struct cli_context *context, struct engine *engine, int argc, char **argv,
		    struct engine_target **ret, struct masu_error *err)
{
	int r = session_open(context, engine, err);
	if (r < 0)
		return r;
	struct engine_target *targets =
		arena_array(context->arena, struct engine_target, (size_t)argc);
	if (!targets)
		return error_set(err, -ENOMEM, "out of memory");
	for (int i = 0; i < argc; i++)
		targets[i].result = engine_resolve(engine, argv[i], targets[i].id, &targets[i].err);
	*ret = targets;
	return 0;
}

int session_result(const struct engine_target *target, const char *name, bool ignore_missing)
{
	if (ignore_missing && target->result == -ENOENT)
		return 0;
	if (target->result < 0) {
		session_report(&target->err);
		return 1;
	}
	puts(name);
	return 0;
}
