/* `masu run`: where a reader starts. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/trace.h"
#include "cli/commands.h"
#include "cli/container_options.h"
#include "cli/image_pull.h"
#include "cli/session.h"

struct run {
	struct cli_context *context;
	const struct container_options *options;
	struct container_config config;
	struct engine engine;
	int cidfile;
};

/*
 * Creates and starts. The --cidfile holds the id as soon as there is a container, also where it
 * could not be started; without one it must not stay.
 */
static int start(struct run *run, struct engine_attach *attach, char ret_id[65],
		 struct masu_error *err)
{
	const char *path = run->options->cidfile;
	ret_id[0] = '\0';
	int r = engine_run(&run->engine, run->context->arena, &run->config, attach, ret_id, err);
	if (r < 0 && !ret_id[0]) {
		r = image_pull_missing(run->context, &run->engine, run->options, run->config.image,
				       r, err);
		if (r == 0)
			r = engine_run(&run->engine, run->context->arena, &run->config, attach,
				       ret_id, err);
	}
	if (run->cidfile < 0)
		return r;
	if (ret_id[0]) {
		int written =
			container_cidfile_write(run->cidfile, path, ret_id, r < 0 ? NULL : err);
		return r < 0 ? r : written;
	}
	unlink(path);
	return r;
}

static int run_detached(struct run *run, struct masu_error *err)
{
	struct container_config *config = &run->config;
	char id[65];
	config->attach_stdin = config->attach_stdout = config->attach_stderr = false;
	config->stdin_once = false;
	int r = start(run, NULL, id, err);
	if (r == 0)
		puts(id);
	return r;
}

static int run_attached(struct run *run, struct masu_error *err)
{
	const struct container_config *config = &run->config;
	const struct attach_options how = { .tty = config->tty,
					    .stdin_ = config->attach_stdin,
					    .proxy = run->options->sig_proxy,
					    .detach_keys = run->options->detach_keys };
	struct engine_attach attach = { .stdin_ = config->attach_stdin,
					.stdout_ = config->attach_stdout,
					.stderr_ = config->attach_stderr,
					.stream_fd = -1,
					.control_fd = -1 };
	struct detach_keys keys;
	bool detached = false;
	int status = 0;
	char id[65];
	int r = attach_prepare(&how, &keys, &attach, err);
	if (r == 0)
		r = start(run, &attach, id, err);
	if (r == 0)
		r = attach_relay(&run->engine, run->context->arena, id, &how, &keys, &attach,
				 &detached, &status, err);
	trace_mark("ended");
	return r ? r : status;
}

static int run_run(struct cli_context *context, void *pointer, int argc, char **argv,
		   struct masu_error *err)
{
	const struct container_options *options = pointer;
	struct run run = { .context = context, .options = options, .engine = ENGINE_CLOSED };
	_cleanup_close_ int cidfile = -1;
	int r = container_config_fill(context->arena, options, argc, argv, &run.config, err);
	if (r < 0)
		return r;
	if (options->detach && options->attach.count)
		return error_set(err, -EINVAL, "Conflicting options: -a and -d");
	r = session_open(context, &run.engine, err);
	if (r == 0)
		r = container_cidfile_open(options->cidfile, &cidfile, err);
	trace_mark("parsed");
	run.cidfile = cidfile;
	if (r == 0 && options->pull && streq(options->pull, "always"))
		r = image_pull(context, options, run.config.image, err);
	if (r == 0)
		r = options->detach ? run_detached(&run, err) : run_attached(&run, err);
	engine_close(&run.engine);
	return r;
}

const struct cli_command run_command = {
	.name = "run",
	.synopsis = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
	.summary = "Create and run a new container from an image",
	.options = container_option_table,
	.option_count = CONTAINER_RUN_OPTION_COUNT,
	.options_size = sizeof(struct container_options),
	.defaults = container_option_defaults,
	.run = run_run,
	.min_args = 1,
	.max_args = -1,
	.stop_at_positional = true,
	.enters_container = true,
	.failure_status = 125,
};
