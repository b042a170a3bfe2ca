/*
 * libexec/masu/masu-image: everything that adds to the image store. Started by `masu` with the verb
 * as argv[0] and the roots in MASU_ROOT and MASU_RUNROOT.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/trace.h"
#include "cold/image/stages.h"
#include "cold/image/verbs.h"
#include "image/image.h"
#include "state/record.h"
#include "storage/storage.h"

int open_root(const struct cli_context *context, int *ret_fd, struct masu_error *err)
{
	return state_open_root(context->root, ret_fd, err);
}

void tell_image(const struct cli_context *context, int root_fd, const char *action, const char *id,
		const char *reference)
{
	struct image image;
	struct image_reference parsed;
	const char *name = NULL;
	if (reference && image_reference_parse(context->arena, reference, &parsed, NULL) == 0)
		name = image_reference_familiar_full(context->arena, &parsed);
	if (image_find(root_fd, context->arena, id, &image, NULL) == 0)
		image_event(context->runroot, action, &image, name);
}

int parse_target(struct arena *arena, const char *text, const char *verb, const char **ret,
		 struct masu_error *err)
{
	struct image_reference reference;
	int r = image_reference_parse(arena, text, &reference, err);
	if (r == 0 && reference.digest)
		return error_set(err, -EINVAL, "cannot %s digest reference", verb);
	if (r == 0)
		*ret = image_reference_full(arena, &reference);
	return r < 0 || *ret ? r : error_set(err, -ENOMEM, "out of memory");
}

/* clang-format off */
static const struct cli_command *const verbs[] = {
	&commit_command,
	&container_archive_command,
	&image_command,
	&import_command,
	&load_command,
	&login_command,
	&logout_command,
	&manifest_command,
	&pull_command,
	&push_command,
	&save_command,
	&search_command,
	&volume_registry_command,
	NULL,
};
/* clang-format on */

static const struct cli_command root_command = {
	.name = "masu",
	.synopsis = "[OPTIONS] COMMAND",
	.summary = "Image commands",
	.subcommands = verbs,
};

static const char *from_environment(const char *name, const char *otherwise)
{
	const char *value = getenv(name);
	return value && *value ? value : otherwise;
}

int main(int argc, char **argv)
{
	struct arena arena;
	arena_init(&arena, 256u << 20);
	struct cli_context context = {
		.arena = &arena,
		.root = from_environment("MASU_ROOT", "/var/lib/masu"),
		.runroot = from_environment("MASU_RUNROOT", "/run/masu"),
		.storage_driver = from_environment("MASU_STORAGE_DRIVER", NULL),
		.program = "masu",
		.self_path = "",
		.argv = argv,
	};
	if (*from_environment("MASU_TRACE_TIMING", "") && trace_start() == 0)
		trace_process("master");
	int status = cli_dispatch(&context, &root_command, argc, argv);
	if (trace_enabled) {
		trace_print();
		stages_print();
	}
	return status;
}
