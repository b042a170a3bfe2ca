/* `masu create`. */
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/container_options.h"
#include "cli/image_pull.h"
#include "cli/session.h"

static int create_run(struct cli_context *context, void *pointer, int argc, char **argv,
		      struct masu_error *err)
{
	const struct container_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	_cleanup_close_ int cidfile = -1;
	struct container_config config;
	char id[65];
	int r = container_config_fill(context->arena, options, argc, argv, &config, err);
	if (r == 0)
		r = container_cidfile_open(options->cidfile, &cidfile, err);
	if (r < 0)
		return r;
	r = session_open(context, &engine, err);
	if (r == 0 && options->pull && streq(options->pull, "always"))
		r = image_pull(context, options, config.image, err);
	if (r == 0)
		r = engine_create(&engine, context->arena, &config, id, err);
	if (r < 0) {
		r = image_pull_missing(context, &engine, options, config.image, r, err);
		if (r == 0)
			r = engine_create(&engine, context->arena, &config, id, err);
	}
	if (r == 0)
		r = container_cidfile_write(cidfile, options->cidfile, id, err);
	else if (cidfile >= 0)
		unlink(options->cidfile);
	if (r == 0)
		puts(id);
	return r;
}

const struct cli_command create_command = {
	.name = "create",
	.synopsis = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
	.summary = "Create a new container",
	.options = container_option_table,
	.option_count = CONTAINER_OPTION_COUNT,
	.options_size = sizeof(struct container_options),
	.defaults = container_option_defaults,
	.run = create_run,
	.min_args = 1,
	.max_args = -1,
	.stop_at_positional = true,
	.enters_container = true, /* what it leaves parked becomes the container's process */
	.failure_status = 1,
};
