/* Verbs that end containers: `masu stop`, `restart`, `kill`, `rm`. Several are ended at once. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/signal_name.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "engine/events.h"

static int parse_signal(const char *text, int *ret, struct masu_error *err)
{
	int sig = signal_number(text);
	if (sig < 0)
		return error_set(err, -EINVAL, "invalid signal: %.100s", text);
	*ret = sig;
	return 0;
}

/* ---- stop, restart ---- */

struct stop_verb {
	int64_t timeout;
	const char *signal;
	bool ignore; /* stop only */
};

static const struct cli_option stop_table[] = {
	CLI_OPT(struct stop_verb, signal, "signal", 's', CLI_STRING, "string",
		"Signal to send to the container"),
	{ .name = "time",
	  .kind = CLI_INT,
	  .offset = offsetof(struct stop_verb, timeout),
	  .hidden = true },
	CLI_OPT(struct stop_verb, timeout, "timeout", 't', CLI_INT, "int",
		"Seconds to wait before killing the container"),
	/* The last one: restart has all but it. */
	CLI_OPT(struct stop_verb, ignore, "ignore", 'i', CLI_BOOL, NULL,
		"Containers that do not exist are no error"),
};

static void stop_defaults(void *pointer)
{
	((struct stop_verb *)pointer)->timeout = STOP_TIMEOUT_OWN;
}

static int stop_options(const struct stop_verb *verb, struct stop_options *ret,
			struct masu_error *err)
{
	ret->timeout = verb->timeout > INT32_MAX ? INT32_MAX
		       : verb->timeout < 0 && verb->timeout != STOP_TIMEOUT_OWN
			       ? -1
			       : (int)verb->timeout;
	ret->sig = 0;
	return verb->signal ? parse_signal(verb->signal, &ret->sig, err) : 0;
}

/* Results are printed in the order of the arguments, each as soon as that is possible. */
struct stop_printer {
	const struct engine_target *targets;
	char **names;
	bool *done;
	size_t count, printed;
	bool ignore;
	int status;
};

static void print_results(struct stop_printer *p)
{
	for (; p->printed < p->count; p->printed++) {
		const struct engine_target *target = &p->targets[p->printed];
		if (!p->done[p->printed] && target->result == 0)
			return;
		p->status |= session_result(target, p->names[p->printed], p->ignore);
	}
}

static void stop_done(void *opaque, size_t index)
{
	struct stop_printer *p = opaque;
	p->done[index] = true;
	print_results(p);
	fflush(stdout);
}

static int stop_run(struct cli_context *context, void *pointer, int argc, char **argv,
		    struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct engine_target *targets = NULL;
	struct stop_options options = { 0 };
	struct stop_printer printer = { .names = argv,
					.count = (size_t)argc,
					.done = arena_array(context->arena, bool, (size_t)argc) };
	int r = stop_options(pointer, &options, err);
	if (r == 0 && !printer.done)
		r = error_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = session_targets(context, &engine, argc, argv, &targets, err);
	if (r < 0)
		return r;
	printer.targets = targets;
	printer.ignore = ((const struct stop_verb *)pointer)->ignore;
	engine_stop_all(&engine, &options, targets, (size_t)argc, stop_done, &printer);
	print_results(&printer);
	return printer.status;
}

const struct cli_command stop_command = {
	.name = "stop",
	.synopsis = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Stop one or more running containers",
	.options = stop_table,
	.option_count = ARRAY_SIZE(stop_table),
	.options_size = sizeof(struct stop_verb),
	.defaults = stop_defaults,
	.run = stop_run,
	.min_args = 1,
	.max_args = -1,
};

/* All are stopped before the first is started again. */
static int restart_run(struct cli_context *context, void *pointer, int argc, char **argv,
		       struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct engine_target *targets = NULL;
	struct stop_options options = { .keep = true };
	int status = 0;
	int r = stop_options(pointer, &options, err);
	if (r == 0)
		r = session_targets(context, &engine, argc, argv, &targets, err);
	if (r < 0)
		return r;
	engine_stop_all(&engine, &options, targets, (size_t)argc, NULL, NULL);
	for (int i = 0; i < argc; i++) {
		struct engine_target *target = &targets[i];
		if (target->result == 0)
			target->result = engine_start(&engine, context->arena, target->id, NULL,
						      &target->err);
		if (target->result == 0)
			event_container_id(&engine, target->id, "restart", NULL, 0);
		status |= session_result(target, argv[i], false);
	}
	return status;
}

const struct cli_command restart_command = {
	.name = "restart",
	.synopsis = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Restart one or more containers",
	.options = stop_table,
	.option_count = ARRAY_SIZE(stop_table) - 1,
	.options_size = sizeof(struct stop_verb),
	.defaults = stop_defaults,
	.run = restart_run,
	.min_args = 1,
	.max_args = -1,
	.enters_container = true,
};

/* ---- kill ---- */

struct kill_verb {
	const char *signal;
};

static const struct cli_option kill_options[] = {
	CLI_OPT(struct kill_verb, signal, "signal", 's', CLI_STRING, "string",
		"Signal to send to the container"),
};

static int print_all(const struct engine_target *targets, int argc, char **argv)
{
	int status = 0;
	for (int i = 0; i < argc; i++)
		status |= session_result(&targets[i], argv[i], false);
	return status;
}

static int kill_run(struct cli_context *context, void *pointer, int argc, char **argv,
		    struct masu_error *err)
{
	const struct kill_verb *verb = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct engine_target *targets = NULL;
	int sig = 0;
	int r = parse_signal(verb->signal ? verb->signal : "KILL", &sig, err);
	if (r == 0)
		r = session_targets(context, &engine, argc, argv, &targets, err);
	if (r < 0)
		return r;
	engine_kill_all(&engine, sig, targets, (size_t)argc);
	return print_all(targets, argc, argv);
}

const struct cli_command kill_command = {
	.name = "kill",
	.synopsis = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Kill one or more running containers",
	.options = kill_options,
	.option_count = ARRAY_SIZE(kill_options),
	.options_size = sizeof(struct kill_verb),
	.run = kill_run,
	.min_args = 1,
	.max_args = -1,
};

/* ---- rm ---- */

struct rm_options {
	bool force, ignore, volumes;
};

static const struct cli_option rm_options[] = {
	CLI_OPT(struct rm_options, force, "force", 'f', CLI_BOOL, NULL,
		"Force the removal of a running container (uses SIGKILL)"),
	CLI_OPT(struct rm_options, ignore, "ignore", 'i', CLI_BOOL, NULL,
		"Containers that do not exist are no error"),
	CLI_OPT(struct rm_options, volumes, "volumes", 'v', CLI_BOOL, NULL,
		"Remove anonymous volumes associated with the container"),
};

/* Containers whose records are damaged, by the second program: nobody waits for that. */
static int remove_damaged(struct cli_context *context, struct engine *engine,
			  struct engine_target *targets, const char **words, size_t count,
			  struct masu_error *err)
{
	if (count == 0)
		return 0;
	if (CLI_IS_HOT) {
		const char **argv = arena_array(context->arena, const char *, count + 8);
		const char *const head[] = { context->argv[0], "--root", context->root, "--runroot",
					     context->runroot, "rm",	 "-f" };
		if (!argv)
			return error_set(err, -ENOMEM, "out of memory");
		memcpy(argv, head, sizeof(head));
		memcpy(argv + ARRAY_SIZE(head), words, count * sizeof(*words));
		context->argv = (char **)argv;
		fflush(stdout);
		return cli_exec_more(context, err);
	}
	int status = 0;
	for (size_t i = 0; i < count; i++) {
		struct engine_target *target = &targets[i];
		target->err = (struct masu_error) { 0 };
		target->result =
			engine_remove_damaged(engine, context->arena, target->id, &target->err);
		status |= session_result(target, words[i], false);
	}
	return status;
}

static int rm_run(struct cli_context *context, void *pointer, int argc, char **argv,
		  struct masu_error *err)
{
	const struct rm_options *options = pointer;
	unsigned flags = (options->force ? ENGINE_REMOVE_FORCE : 0) |
			 (options->volumes ? ENGINE_REMOVE_VOLUMES : 0);
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct engine_target *targets = NULL;
	int status = 0;
	int r = session_targets(context, &engine, argc, argv, &targets, err);
	if (r < 0)
		return r;
	/* Those that are damaged move to the front. */
	const char **words = arena_array(context->arena, const char *, (size_t)argc + 1);
	size_t damaged = 0;
	if (!words)
		return error_set(err, -ENOMEM, "out of memory");
	engine_remove_all(&engine, flags, targets, (size_t)argc);
	for (int i = 0; i < argc; i++) {
		if (options->force && *targets[i].id && engine_is_damaged(targets[i].result)) {
			words[damaged] = argv[i];
			targets[damaged++] = targets[i];
			continue;
		}
		int failed = session_result(&targets[i], argv[i], options->ignore);
		/* What is not there need not be removed by force; docker says so and is content. */
		if (targets[i].result != -ENOENT || !options->force)
			status |= failed;
	}
	r = remove_damaged(context, &engine, targets, words, damaged, err);
	if (r < 0)
		return r;
	status |= r;
	fflush(stdout);
	engine_tidy_behind(&engine);
	return status;
}

const struct cli_command rm_command = {
	.name = "rm",
	.aliases = "remove",
	.synopsis = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Remove one or more containers",
	.options = rm_options,
	.option_count = ARRAY_SIZE(rm_options),
	.options_size = sizeof(struct rm_options),
	.run = rm_run,
	.min_args = 1,
	.max_args = -1,
};
