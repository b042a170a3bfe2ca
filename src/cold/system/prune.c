/* `masu system prune`, and `prune` of containers, images, networks and volumes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/human.h"
#include "base/str.h"
#include "cli/session.h"
#include "cold/system/prune.h"
#include "cold/system/verbs.h"
#include "engine/events.h"
#include "engine/images.h"
#include "state/trash.h"

/* Docker's question; what is no "y" is a no, the end of the input too. */
static bool confirmed(void)
{
	char answer[8];
	printf("Are you sure you want to continue? [y/N] ");
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y') &&
	       (answer[1] == '\n' || !answer[1]);
}

static void print_total(uint64_t bytes)
{
	char text[HUMAN_MAX];
	printf("Total reclaimed space: %s\n", human_size_long(bytes, text));
}

/* Prunes what @kinds names, and tells what it came to. */
static int prune(struct cli_context *context, const struct prune_options *options, unsigned kinds,
		 struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct prune_run run = { .engine = &engine,
				 .arena = context->arena,
				 .all_images = options->all,
				 .all_volumes = options->all && kinds == PRUNE_VOLUMES };
	int r = prune_filters_parse(context->arena, &options->filter, kinds, &run, err);
	if (r == 0)
		r = session_open(context, &engine, err);
	if (r == 0 && (kinds & PRUNE_CONTAINERS))
		r = prune_containers(&run, err);
	if (r == 0 && (kinds & PRUNE_VOLUMES))
		r = prune_volumes(&run, err);
	if (r == 0 && (kinds & PRUNE_NETWORKS))
		r = prune_networks(&run, err);
	if (r == 0 && (kinds & PRUNE_IMAGES))
		r = prune_images(&run, err);
	if (r < 0)
		return r;
	if (kinds != PRUNE_NETWORKS)
		print_total(run.reclaimed);
	/* The bytes go after the answer. */
	fflush(stdout);
	engine_images_collect_orphans(engine.root_fd, engine.storage_driver);
	trash_empty(engine.root_fd, 0);
	return 0;
}

/* As above where @force or the user says so. */
static int ask_and_prune(struct cli_context *context, const struct prune_options *options,
			 unsigned kinds, const char *warning, struct masu_error *err)
{
	struct prune_run unused = { 0 };
	int r = prune_filters_parse(context->arena, &options->filter, kinds, &unused, err);
	if (r < 0)
		return r;
	if (!options->force) {
		printf("WARNING! This will remove %s.\n", warning);
		if (!confirmed()) {
			if (kinds != PRUNE_NETWORKS)
				print_total(0);
			return 0;
		}
	}
	return prune(context, options, kinds, err);
}

static int container_run(struct cli_context *context, void *pointer, int argc, char **argv,
			 struct masu_error *err)
{
	return ask_and_prune(context, pointer, PRUNE_CONTAINERS, "all stopped containers", err);
}

const struct cli_command container_prune_command = { CONTAINER_PRUNE_COMMAND,
						     .run = container_run };

static int image_run(struct cli_context *context, void *pointer, int argc, char **argv,
		     struct masu_error *err)
{
	const struct prune_options *options = pointer;
	return ask_and_prune(context, options, PRUNE_IMAGES,
			     options->all ? "all images without at least one container associated "
					    "to them"
					  : "all dangling images",
			     err);
}

const struct cli_command image_prune_command = { IMAGE_PRUNE_COMMAND, .run = image_run };

static int network_run(struct cli_context *context, void *pointer, int argc, char **argv,
		       struct masu_error *err)
{
	return ask_and_prune(context, pointer, PRUNE_NETWORKS,
			     "all custom networks not used by at least one container", err);
}

const struct cli_command network_prune_command = { NETWORK_PRUNE_COMMAND, .run = network_run };

static int volume_run(struct cli_context *context, void *pointer, int argc, char **argv,
		      struct masu_error *err)
{
	const struct prune_options *options = pointer;
	return ask_and_prune(context, options, PRUNE_VOLUMES,
			     options->all ? "all local volumes not used by at least one container"
					  : "anonymous local volumes not used by at least one "
					    "container",
			     err);
}

const struct cli_command volume_prune_command = { VOLUME_PRUNE_COMMAND, .run = volume_run };

static void warn_of_all(const struct prune_options *options)
{
	printf("WARNING! This will remove:\n  - all stopped containers\n");
	if (options->volumes)
		printf("  - all anonymous volumes not used by at least one container\n");
	printf("  - all networks not used by at least one container\n");
	printf("  - all %s\n\n", options->all ? "images without at least one container associated "
						"to them"
					      : "dangling images");
	if (options->filter.count)
		printf("  Items to be pruned will be filtered with:\n");
	for (size_t i = 0; i < options->filter.count; i++)
		printf("  - %s\n", options->filter.items[i]);
	if (options->filter.count)
		putchar('\n');
}

static int system_run(struct cli_context *context, void *pointer, int argc, char **argv,
		      struct masu_error *err)
{
	const struct prune_options *options = pointer;
	unsigned kinds = PRUNE_CONTAINERS | PRUNE_IMAGES | PRUNE_NETWORKS |
			 (options->volumes ? PRUNE_VOLUMES : 0);
	struct prune_run unused = { 0 };
	for (size_t i = 0; i < options->filter.count; i++)
		if (options->volumes && str_after(options->filter.items[i], "until="))
			return error_set(
				err, -EINVAL,
				"The \"until\" filter is not supported with \"--volumes\"");
	int r = prune_filters_parse(context->arena, &options->filter, kinds, &unused, err);
	if (r < 0)
		return r;
	if (!options->force) {
		warn_of_all(options);
		if (!confirmed())
			return 0;
	}
	return prune(context, options, kinds, err);
}

const struct cli_command system_prune_command = { SYSTEM_PRUNE_COMMAND, .run = system_run };
