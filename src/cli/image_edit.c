/* `masu tag` and `masu rmi`. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/images.h"
#include "engine/images.h"
#include "image/image.h"
#include "state/record.h"
#include "state/trash.h"
#include "storage/config.h"

static int run_tag(struct cli_context *context, void *data, int argc, char **argv,
		   struct masu_error *err)
{
	_cleanup_close_ int root_fd = -1;
	struct image_reference target;
	struct image image;
	int r = state_open_root(context->root, &root_fd, err);
	if (r == 0)
		r = image_tag(root_fd, argv[0], argv[1], err);
	if (r == 0 && image_find(root_fd, context->arena, argv[1], &image, NULL) == 0 &&
	    image_reference_parse(context->arena, argv[1], &target, NULL) == 0)
		image_event(context->runroot, "tag", &image,
			    image_reference_familiar_full(context->arena, &target));
	return r;
}

const struct cli_command tag_command = {
	.name = "tag",
	.synopsis = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
	.summary = "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
	CLI_MORE(run_tag),
	.min_args = 2,
	.max_args = 2,
};

struct rmi_options {
	bool force;
};

static const struct cli_option rmi_options[] = {
	CLI_OPT(struct rmi_options, force, "force", 'f', CLI_BOOL, NULL,
		"Force removal of the image"),
};

static void print_event(void *data, const struct engine_images_event *event)
{
	const struct cli_context *context = data;
	if (event->image)
		image_event(context->runroot, event->untagged ? "untag" : "delete", event->image,
			    NULL);
	printf("%s: %s\n", event->untagged ? "Untagged" : "Deleted", event->name);
}

static int run_rmi(struct cli_context *context, void *data, int argc, char **argv,
		   struct masu_error *err)
{
	struct rmi_options *o = data;
	_cleanup_close_ int root_fd = -1;
	int status = 0;
	struct storage_config storage;
	int r = state_open_root(context->root, &root_fd, err);
	if (r == 0)
		r = storage_config_read(root_fd, &storage, err);
	if (r < 0)
		return r;
	for (int i = 0; i < argc; i++) {
		struct masu_error why = { 0 };
		r = engine_image_remove(root_fd, storage.driver, argv[i],
					o->force ? ENGINE_IMAGE_FORCE : 0, print_event, context,
					&why);
		/* docker: -f on what is not there is not worth an error */
		if (r == 0 || (r == -ENOENT && o->force))
			continue;
		fprintf(stderr, "masu: %s\n", why.message);
		status = 1;
	}
	fflush(stdout);
	/* The bytes go after the answer. */
	trash_empty(root_fd, 0);
	return status;
}

#define RMI_COMMAND(command_name)                                                                  \
	{                                                                                          \
		.name = command_name, .aliases = "remove",                                         \
		.synopsis = "[OPTIONS] IMAGE [IMAGE...]", .summary = "Remove one or more images",  \
		.options = rmi_options, .option_count = ARRAY_SIZE(rmi_options),                   \
		.options_size = sizeof(struct rmi_options), CLI_MORE(run_rmi), .min_args = 1,      \
		.max_args = -1,                                                                    \
	}

const struct cli_command rmi_command = RMI_COMMAND("rmi");
const struct cli_command image_rm_command = RMI_COMMAND("rm");
