/* Handing over to a cold program in libexec. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/sealed.h"
#include "storage/config.h"

int cli_libexec_dir(const struct cli_context *context, char *ret, size_t size)
{
	const char *forced = getenv("MASU_LIBEXEC");
	if (forced && *forced)
		return str_format(ret, size, "%s", forced);
	char dir[PATH_MAX];
	int r = str_format(dir, sizeof(dir), "%s", context->self_path);
	char *slash = strrchr(dir, '/');
	if (r < 0 || !slash)
		return -ENOENT;
	*slash = '\0';
	r = str_format(ret, size, "%s/libexec/masu", dir);
	if (r == 0 && access(ret, X_OK) == 0)
		return 0;
	return str_format(ret, size, "%s/../libexec/masu", dir);
}

static int exec_libexec(struct cli_context *context, const char *program, char *const *argv,
			struct masu_error *err)
{
	char dir[PATH_MAX], path[PATH_MAX];
	int r = cli_libexec_dir(context, dir, sizeof(dir));
	if (r == 0)
		r = str_format(path, sizeof(path), "%s/%s", dir, program);
	if (r < 0)
		return error_set(err, r, "%s: libexec directory not found; set MASU_LIBEXEC",
				 program);
	/* What it starts is beside it and not beside masu. */
	if (setenv("MASU_LIBEXEC", dir, 1) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	execv(path, argv);
	return error_errno(err, -errno, "%s: cannot start; is masu installed completely?", path);
}

int cli_pass_storage_options(const struct global_options *options, struct masu_error *err)
{
	char text[STORAGE_OPTIONS_MAX] = "";
	size_t len = 0;
	if (!options->storage_opts.count)
		return 0;
	if (!options->storage_driver)
		return error_set(err, -EINVAL, "--storage-opt needs --storage-driver");
	for (size_t i = 0; i < options->storage_opts.count; i++) {
		int r = str_format(text + len, sizeof(text) - len, "%s%s", len ? "\n" : "",
				   options->storage_opts.items[i]);
		if (r < 0)
			return error_set(err, r, "--storage-opt: too long");
		len = strlen(text);
	}
	return setenv(STORAGE_OPTIONS_VARIABLE, text, 1) < 0 ? -ENOMEM : 0;
}

int cli_exec_cold(struct cli_context *context, const char *program, int argc, char **argv,
		  struct masu_error *err)
{
	if (setenv("MASU_ROOT", context->root, 1) < 0 ||
	    setenv("MASU_RUNROOT", context->runroot, 1) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	if (context->storage_driver &&
	    setenv("MASU_STORAGE_DRIVER", context->storage_driver, 1) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	if (context->trace_timing && setenv("MASU_TRACE_TIMING", "1", 1) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	char **args = arena_array(context->arena, char *, (size_t)argc + 1);
	if (!args)
		return error_set(err, -ENOMEM, "out of memory");
	memcpy(args, argv, (size_t)argc * sizeof(*args));
	return exec_libexec(context, program, args, err);
}

int cli_exec_more(struct cli_context *context, struct masu_error *err)
{
	/* To whoever asks, it is masu. */
	if (sealed_hand_on(context->self_path) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	return exec_libexec(context, "masu-more", context->argv, err);
}
