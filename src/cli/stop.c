/* Verbs that end containers: `masu stop`, `kill`, `rm`, `wait`. */
#include <errno.h>
#include <stdio.h>

#include "base/signal_name.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/session.h"

/* ---- stop ---- */

struct stop_options {
	int64_t timeout;
};

static const struct cli_option stop_options[] = {
	{ .name = "time",
	  .kind = CLI_INT,
	  .offset = offsetof(struct stop_options, timeout),
	  .hidden = true },
	CLI_OPT(struct stop_options, timeout, "timeout", 't', CLI_INT, "int",
		"Seconds to wait before killing the container"),
};

static void stop_defaults(void *pointer)
{
	((struct stop_options *)pointer)->timeout = -1;
}

static int stop_one(struct engine *engine, struct arena *arena, const char *id, void *opaque,
		    struct masu_error *err)
{
	const struct stop_options *options = opaque;
	int64_t timeout = options->timeout;
	return engine_stop(engine, id, timeout > INT32_MAX ? INT32_MAX : (int)timeout, err);
}

static int stop_run(struct cli_context *context, void *options, int argc, char **argv,
		    struct masu_error *err)
{
	return session_each(context, argc, argv, true, stop_one, options, err);
}

const struct cli_command stop_command = {
	.name = "stop",
	.synopsis = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Stop one or more running containers",
	.options = stop_options,
	.option_count = ARRAY_SIZE(stop_options),
	.options_size = sizeof(struct stop_options),
	.defaults = stop_defaults,
	.run = stop_run,
	.min_args = 1,
	.max_args = -1,
};

/* ---- kill ---- */

struct kill_options {
	const char *signal;
};

static const struct cli_option kill_options[] = {
	CLI_OPT(struct kill_options, signal, "signal", 's', CLI_STRING, "string",
		"Signal to send to the container"),
};

static int kill_one(struct engine *engine, struct arena *arena, const char *id, void *opaque,
		    struct masu_error *err)
{
	return engine_kill(engine, id, *(int *)opaque, err);
}

static int kill_run(struct cli_context *context, void *pointer, int argc, char **argv,
		    struct masu_error *err)
{
	const struct kill_options *options = pointer;
	int sig = signal_number(options->signal ? options->signal : "KILL");
	if (sig < 0)
		return error_set(err, -EINVAL, "invalid signal: %.100s", options->signal);
	return session_each(context, argc, argv, true, kill_one, &sig, err);
}

const struct cli_command kill_command = {
	.name = "kill",
	.synopsis = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Kill one or more running containers",
	.options = kill_options,
	.option_count = ARRAY_SIZE(kill_options),
	.options_size = sizeof(struct kill_options),
	.run = kill_run,
	.min_args = 1,
	.max_args = -1,
};

/* ---- rm ---- */

struct rm_options {
	bool force, volumes;
};

static const struct cli_option rm_options[] = {
	CLI_OPT(struct rm_options, force, "force", 'f', CLI_BOOL, NULL,
		"Force the removal of a running container (uses SIGKILL)"),
	CLI_OPT(struct rm_options, volumes, "volumes", 'v', CLI_BOOL, NULL,
		"Remove anonymous volumes associated with the container"),
};

static int rm_run(struct cli_context *context, void *pointer, int argc, char **argv,
		  struct masu_error *err)
{
	const struct rm_options *options = pointer;
	unsigned flags = (options->force ? ENGINE_REMOVE_FORCE : 0) |
			 (options->volumes ? ENGINE_REMOVE_VOLUMES : 0);
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
			r = engine_remove(&engine, id, flags, &why);
		if (r == 0) {
			puts(argv[i]);
			continue;
		}
		session_report(&why);
		/* What is not there need not be removed by force; docker says so and is content. */
		if (r != -ENOENT || !options->force)
			status = 1;
	}
	return status;
}

const struct cli_command rm_command = {
	.name = "rm",
	.synopsis = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Remove one or more containers",
	.options = rm_options,
	.option_count = ARRAY_SIZE(rm_options),
	.options_size = sizeof(struct rm_options),
	.run = rm_run,
	.min_args = 1,
	.max_args = -1,
};

/* ---- wait ---- */

static int wait_one(struct engine *engine, struct arena *arena, const char *id, void *opaque,
		    struct masu_error *err)
{
	int status;
	int r = engine_wait(engine, id, &status, err);
	if (r == 0) {
		printf("%d\n", status);
		fflush(stdout);
	}
	return r;
}

static int wait_run(struct cli_context *context, void *options, int argc, char **argv,
		    struct masu_error *err)
{
	return session_each(context, argc, argv, false, wait_one, NULL, err);
}

const struct cli_command wait_command = {
	.name = "wait",
	.synopsis = "CONTAINER [CONTAINER...]",
	.summary = "Block until one or more containers stop, then print their exit codes",
	.run = wait_run,
	.min_args = 1,
	.max_args = -1,
};
