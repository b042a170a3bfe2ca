#include "cli/image_pull.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "image/image.h"

#define PULL_FAILED 125

int image_pull_policy_check(const char *policy, struct masu_error *err)
{
	if (!policy || streq(policy, "always") || streq(policy, "missing") ||
	    streq(policy, "never"))
		return 0;
	return error_set(err, -EINVAL,
			 "invalid pull option: '%.100s': must be one of \"always\", \"missing\" or "
			 "\"never\"",
			 policy);
}

/* What the pull says goes to stderr: stdout is the container's. */
static void exec_pull(struct cli_context *context, const struct container_options *options,
		      const char *image)
{
	struct masu_error err = { 0 };
	const char *argv[6] = { "pull" };
	int argc = 1;
	if (options->quiet)
		argv[argc++] = "--quiet";
	if (options->platform && *options->platform) {
		argv[argc++] = "--platform";
		argv[argc++] = options->platform;
	}
	argv[argc++] = image;
	dup2(STDERR_FILENO, STDOUT_FILENO);
	cli_exec_cold(context, "masu-image", argc, (char **)argv, &err);
	fprintf(stderr, "masu: %s\n", err.message);
	_exit(PULL_FAILED);
}

int image_pull(struct cli_context *context, const struct container_options *options,
	       const char *image, struct masu_error *err)
{
	int status;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		exec_pull(context, options, image);
	if (pid < 0)
		return error_errno(err, -errno, "fork");
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_errno(err, -errno, "waiting for the pull");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : PULL_FAILED;
}

int image_pull_missing(struct cli_context *context, const struct engine *engine,
		       const struct container_options *options, const char *image, int failure,
		       struct masu_error *err)
{
	struct image found;
	struct image_reference reference;
	const char *shown = NULL;
	if (failure != -ENOENT || (options->pull && streq(options->pull, "never")) ||
	    image_find(engine->root_fd, context->arena, image, &found, NULL) != -ENOENT)
		return failure;
	if (image_reference_parse(context->arena, image, &reference, NULL) == 0)
		shown = image_reference_familiar_full(context->arena, &reference);
	if (!shown)
		return failure;
	error_clear(err);
	if (!options->quiet)
		fprintf(stderr, "Unable to find image '%s' locally\n", shown);
	return image_pull(context, options, image, err);
}
