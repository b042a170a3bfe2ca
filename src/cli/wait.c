/* `masu wait`. */
#include <errno.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/session.h"

struct wait_options {
	const char *condition;
};

static const struct cli_option wait_options[] = {
	CLI_OPT(struct wait_options, condition, "condition", 0, CLI_STRING, "string",
		"What to wait for: not-running (the default), next-exit, removed, created, "
		"running, paused, healthy or unhealthy"),
};

/* The names of docker's API, and podman's for the same. */
static const struct {
	const char *name;
	enum wait_condition condition;
} conditions[] = {
	{ "not-running", WAIT_NOT_RUNNING }, { "next-exit", WAIT_NEXT_EXIT },
	{ "removed", WAIT_REMOVED },	     { "created", WAIT_CREATED },
	{ "running", WAIT_RUNNING },	     { "paused", WAIT_PAUSED },
	{ "stopped", WAIT_NOT_RUNNING },     { "exited", WAIT_NOT_RUNNING },
	{ "healthy", WAIT_HEALTHY },	     { "unhealthy", WAIT_UNHEALTHY },
	{ "configured", WAIT_CREATED },	     { "removing", WAIT_REMOVED },
};

static int parse_condition(const char *name, enum wait_condition *ret, struct masu_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(conditions); i++) {
		if (!streq(name, conditions[i].name))
			continue;
		*ret = conditions[i].condition;
		return 0;
	}
	return error_set(err, -EINVAL, "invalid condition: \"%.100s\"", name);
}

static int wait_one(struct engine *engine, struct arena *arena, const char *id, void *opaque,
		    struct masu_error *err)
{
	int status;
	int r = engine_wait_for(engine, id, *(enum wait_condition *)opaque, &status, err);
	if (r == 0) {
		printf("%d\n", status);
		fflush(stdout);
	}
	return r;
}

static int wait_run(struct cli_context *context, void *pointer, int argc, char **argv,
		    struct masu_error *err)
{
	const struct wait_options *options = pointer;
	enum wait_condition condition = WAIT_NOT_RUNNING;
	int r = options->condition ? parse_condition(options->condition, &condition, err) : 0;
	return r < 0 ? r : session_each(context, argc, argv, false, wait_one, &condition, err);
}

const struct cli_command wait_command = {
	.name = "wait",
	.synopsis = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Block until one or more containers stop, then print their exit codes",
	.options = wait_options,
	.option_count = ARRAY_SIZE(wait_options),
	.options_size = sizeof(struct wait_options),
	.run = wait_run,
	.min_args = 1,
	.max_args = -1,
};
