/* `masu cp` and `masu export`. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/human.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/container_archive.h"
#include "cli/output_file.h"
#include "cli/session.h"
#include "engine/copy.h"

struct cp_options {
	bool archive, follow_link, quiet;
};

static const struct cli_option cp_options[] = {
	CLI_OPT(struct cp_options, archive, "archive", 'a', CLI_BOOL, NULL,
		"Archive mode (copy all uid/gid information)"),
	CLI_OPT(struct cp_options, follow_link, "follow-link", 'L', CLI_BOOL, NULL,
		"Always follow symbol link in SRC_PATH"),
	CLI_OPT(struct cp_options, quiet, "quiet", 'q', CLI_BOOL, NULL,
		"Suppress the report of what was copied"),
};

/*
 * "CONTAINER:PATH" or a path of this machine, which is what begins with "/" or "." also where it
 * has a colon. *ret_container is NULL for the latter.
 */
static int split(struct arena *arena, const char *text, const char **ret_container,
		 const char **ret_path, struct masu_error *err)
{
	const char *colon = strchr(text, ':');
	*ret_container = NULL;
	*ret_path = text;
	if (*text == '/' || *text == '.' || !colon || colon == text)
		return 0;
	*ret_container = arena_strndup(arena, text, (size_t)(colon - text));
	*ret_path = colon + 1;
	return *ret_container ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int check(const char *source, const char *destination, const char *from, const char *to,
		 struct masu_error *err)
{
	if (!*source)
		return error_set(err, -EINVAL, "source can not be empty");
	if (!*destination)
		return error_set(err, -EINVAL, "destination can not be empty");
	if (from && to)
		return error_set(err, -EINVAL, "copying between containers is not supported");
	if (!from && !to)
		return error_set(err, -EINVAL, "must specify at least one container source");
	if (from && streq(destination, "-") && isatty(STDOUT_FILENO))
		return error_set(err, -EINVAL,
				 "refusing to write a tar archive to a terminal; redirect the "
				 "output");
	return 0;
}

static int cp_run(struct cli_context *context, void *pointer, int argc, char **argv,
		  struct masu_error *err)
{
	const struct cp_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct engine_copy_request request = { .keep_owner = options->archive,
					       .follow_link = options->follow_link };
	const char *from, *to;
	char id[65], size[HUMAN_MAX];
	uint64_t bytes = 0;
	int r = split(context->arena, argv[0], &from, &request.source, err);
	if (r == 0)
		r = split(context->arena, argv[1], &to, &request.destination, err);
	if (r == 0)
		r = check(request.source, request.destination, from, to, err);
	if (r == 0)
		r = session_resolve(context, from ? from : to, &engine, id, err);
	if (r < 0)
		return r;
	request.id = id;
	request.container = from ? from : to;
	request.from_container = from != NULL;
	request.stream_fd = from ? STDOUT_FILENO : STDIN_FILENO;
	r = engine_copy(&engine, context->arena, &request, &bytes, err);
	bool streamed = streq(from ? request.destination : request.source, "-");
	if (r == 0 && !options->quiet && !streamed) {
		fprintf(stderr, "Successfully copied %s to %s\n", human_size(bytes, size), argv[1]);
	}
	return r;
}

const struct cli_command cp_command = {
	.name = "cp",
	.synopsis = "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|- | SRC_PATH|- CONTAINER:DEST_PATH",
	.summary = "Copy files/folders between a container and the local filesystem",
	.options = cp_options,
	.option_count = ARRAY_SIZE(cp_options),
	.options_size = sizeof(struct cp_options),
	CLI_MORE(cp_run),
	.min_args = 2,
	.max_args = 2,
};

/* ---- export ---- */

struct exported {
	struct engine engine;
	struct arena *arena;
	char id[65];
};

static int export_to(void *data, int fd, struct masu_error *err)
{
	struct exported *exported = data;
	return engine_export(&exported->engine, exported->arena, exported->id, fd, err);
}

static int export_all(struct cli_context *context, const struct container_export_options *options,
		      char *name, struct masu_error *err)
{
	char *argv[8] = { (char *)"container", (char *)"export", (char *)"--with-volumes" };
	int argc = 3;
	if (options->output) {
		argv[argc++] = (char *)"--output";
		argv[argc++] = (char *)options->output;
	}
	argv[argc++] = (char *)"--";
	argv[argc++] = name;
	return cli_exec_cold(context, "masu-image", argc, argv, err);
}

static int export_run(struct cli_context *context, void *pointer, int argc, char **argv,
		      struct masu_error *err)
{
	const struct container_export_options *options = pointer;
	struct exported exported = { .engine = ENGINE_CLOSED, .arena = context->arena };
	if (options->with_volumes)
		return export_all(context, options, argv[0], err);
	int r = session_resolve(context, argv[0], &exported.engine, exported.id, err);
	if (r == 0)
		r = output_write(context->arena, options->output, export_to, &exported, err);
	engine_close(&exported.engine);
	return r;
}

#ifdef MASU_HOT
const struct cli_command export_command = { CONTAINER_EXPORT_COMMAND, CLI_MORE(export_run) };
#else
const struct cli_command export_command = { CONTAINER_EXPORT_COMMAND, CONTAINER_EXPORT_OPTIONS,
					    CLI_MORE(export_run) };
#endif
