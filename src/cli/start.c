/* `masu start`. */
#include <errno.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/sealed.h"
#include "cli/session.h"

struct start_options {
	bool attach, interactive;
	const char *detach_keys;
};

static const struct cli_option start_options[] = {
	CLI_OPT(struct start_options, attach, "attach", 'a', CLI_BOOL, NULL,
		"Attach STDOUT/STDERR and forward signals"),
	CLI_OPT(struct start_options, detach_keys, "detach-keys", 0, CLI_STRING, "string",
		"Override the key sequence for detaching a container"),
	CLI_OPT(struct start_options, interactive, "interactive", 'i', CLI_BOOL, NULL,
		"Attach container's STDIN"),
};

static int start_one(struct engine *engine, struct arena *arena, const char *id, void *opaque,
		     struct masu_error *err)
{
	return engine_start(engine, arena, id, NULL, err);
}

static int start_attached(struct cli_context *context, const struct start_options *options,
			  const char *name, struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct container container;
	int r = session_container(context, name, &engine, &container, err);
	if (r < 0)
		return r;
	const struct container_config *config = &container.config;
	const struct attach_options how = { .tty = config->tty,
					    .stdin_ = options->interactive && config->open_stdin,
					    .proxy = options->attach && !config->tty,
					    .detach_keys = options->detach_keys };
	struct engine_attach attach = { .stdin_ = how.stdin_,
					.stdout_ = true,
					.stderr_ = true,
					.stream_fd = -1,
					.control_fd = -1 };
	struct detach_keys keys;
	bool detached = false;
	int status = 0;
	r = attach_prepare(&how, &keys, &attach, err);
	if (r == 0)
		r = engine_start(&engine, context->arena, container.id, &attach, err);
	if (r == 0)
		r = attach_relay(&engine, context->arena, container.id, &how, &keys, &attach,
				 &detached, &status, err);
	return r < 0 ? r : status;
}

/* 1: it takes more than a message, so this program must be sealed first. */
static int start_parked(struct cli_context *context, const char *name, struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	char id[65];
	int r = session_open(context, &engine, err);
	if (r == 0 && engine_resolve(&engine, name, id, NULL) < 0)
		return 1;
	if (r == 0)
		r = engine_start_parked(&engine, id, NULL, err);
	if (r == 0)
		puts(name);
	return r < 0 ? error_exit_status(err, 1) : r;
}

static int start_run(struct cli_context *context, void *pointer, int argc, char **argv,
		     struct masu_error *err)
{
	const struct start_options *options = pointer;
	if (argc == 1 && !options->attach && !options->interactive) {
		int parked = start_parked(context, argv[0], err);
		if (parked <= 0)
			return parked;
	}
	/* From here on this program's copies enter containers. */
	int sealed = sealed_ensure(context->self_path, context->argv, err);
	if (sealed < 0)
		return sealed;
	if (!options->attach && !options->interactive)
		return session_each(context, argc, argv, true, start_one, NULL, err);
	if (argc > 1)
		return error_set(err, -EINVAL,
				 "you cannot start and attach multiple containers at once");
	int r = start_attached(context, options, argv[0], err);
	/* Docker's `start` does not tell why by its status, as `run` does. */
	return r < 0 ? error_exit_status(err, 1) : r;
}

const struct cli_command start_command = {
	.name = "start",
	.synopsis = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Start one or more stopped containers",
	.options = start_options,
	.option_count = ARRAY_SIZE(start_options),
	.options_size = sizeof(struct start_options),
	.run = start_run,
	.min_args = 1,
	.max_args = -1,
};
