/* `masu system start` and `system stop`: what a machine does when it has come up and before it goes
 * down. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/session.h"

/* ---- start ---- */

static void tell(void *opaque, const char *name, enum system_outcome outcome,
		 const struct masu_error *err)
{
	int *status = opaque;
	struct masu_error why = { 0 };
	switch (outcome) {
	case SYSTEM_STARTED:
		printf("%s: started\n", name);
		break;
	case SYSTEM_RUNS:
		printf("%s: running\n", name);
		break;
	case SYSTEM_UNSUPERVISED:
		printf("%s: running, but its monitor was killed: restart it to have it "
		       "supervised\n",
		       name);
		break;
	case SYSTEM_FAILED:
		why = *err;
		error_wrap(&why, "%s", name);
		session_report(&why);
		*status = 1;
	}
	fflush(stdout);
}

static int system_start_run(struct cli_context *context, void *options, int argc, char **argv,
			    struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	int status = 0;
	int r = session_open(context, &engine, err);
	if (r == 0)
		r = engine_system_start(&engine, tell, &status, err);
	return r < 0 ? r : status;
}

const struct cli_command system_start_command = {
	.name = "start",
	.synopsis = "",
	.summary = "Start the containers that restart policies promise, after a boot",
	CLI_MORE(system_start_run),
	.enters_container = true,
};

/* ---- stop ---- */

struct system_stop_options {
	int64_t timeout;
};

static const struct cli_option system_stop_options[] = {
	CLI_OPT(struct system_stop_options, timeout, "timeout", 't', CLI_INT, "int",
		"Seconds to wait before killing the containers"),
};

static void system_stop_defaults(void *pointer)
{
	((struct system_stop_options *)pointer)->timeout = STOP_TIMEOUT_OWN;
}

struct stopping {
	const struct container *list;
	struct engine_target *targets;
	int status;
};

static void tell_stopped(void *opaque, size_t index)
{
	struct stopping *s = opaque;
	s->status |= session_result(&s->targets[index], s->list[index].name, false);
	fflush(stdout);
}

static int system_stop_run(struct cli_context *context, void *pointer, int argc, char **argv,
			   struct masu_error *err)
{
	const struct system_stop_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct stopping s = { 0 };
	struct container *list;
	size_t count;
	if (options->timeout < INT32_MIN || options->timeout > INT32_MAX)
		return error_set(err, -ERANGE, "--timeout: out of range");
	const struct stop_options how = { .timeout = (int)options->timeout, .system = true };
	int r = session_open(context, &engine, err);
	if (r == 0)
		r = engine_list(&engine, context->arena, false, &list, &count, err);
	if (r < 0)
		return r;
	s.list = list;
	s.targets = arena_array(context->arena, struct engine_target, count + 1);
	if (!s.targets)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++)
		memcpy(s.targets[i].id, list[i].id, sizeof(list[i].id));
	engine_stop_all(&engine, &how, s.targets, count, tell_stopped, &s);
	return s.status;
}

const struct cli_command system_stop_command = {
	.name = "stop",
	.synopsis = "[OPTIONS]",
	.summary = "Stop all containers, before a shutdown; `system start` brings back what "
		   "policies say",
	.options = system_stop_options,
	.option_count = ARRAY_SIZE(system_stop_options),
	.options_size = sizeof(struct system_stop_options),
	.defaults = system_stop_defaults,
	CLI_MORE(system_stop_run),
};
