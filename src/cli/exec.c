/* `masu exec`. */
#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/str.h"
#include "base/trace.h"
#include "cli/commands.h"
#include "cli/parse.h"
#include "cli/relay.h"
#include "cli/session.h"

struct exec_options {
	bool detach, interactive, tty, privileged;
	const char *detach_keys, *user, *workdir;
	struct cli_list env, env_file;
};

static const struct cli_option exec_options[] = {
	CLI_OPT(struct exec_options, detach, "detach", 'd', CLI_BOOL, NULL,
		"Detached mode: run command in the background"),
	CLI_OPT(struct exec_options, detach_keys, "detach-keys", 0, CLI_STRING, "string",
		"Override the key sequence for detaching a container"),
	CLI_OPT(struct exec_options, env, "env", 'e', CLI_LIST, "list",
		"Set environment variables"),
	CLI_OPT(struct exec_options, env_file, "env-file", 0, CLI_LIST, "list",
		"Read in a file of environment variables"),
	CLI_OPT(struct exec_options, interactive, "interactive", 'i', CLI_BOOL, NULL,
		"Keep STDIN open even if not attached"),
	CLI_OPT(struct exec_options, privileged, "privileged", 0, CLI_BOOL, NULL,
		"Give extended privileges to the command"),
	CLI_OPT(struct exec_options, tty, "tty", 't', CLI_BOOL, NULL, "Allocate a pseudo-TTY"),
	CLI_OPT(struct exec_options, user, "user", 'u', CLI_STRING, "string",
		"Username or UID (format: \"<name|uid>[:<group|gid>]\")"),
	CLI_OPT(struct exec_options, workdir, "workdir", 'w', CLI_STRING, "string",
		"Working directory inside the container"),
};

static void resize(void *opaque, unsigned short rows, unsigned short columns)
{
	const struct winsize size = { .ws_row = rows, .ws_col = columns };
	ioctl(*(int *)opaque, TIOCSWINSZ, &size);
}

static int relay_process(struct engine *engine, struct arena *arena,
			 const struct exec_options *options, struct engine_exec *process,
			 struct detach_keys *keys, struct masu_error *err)
{
	int status = 0;
	unsigned short rows, columns;
	bool console = process->console_fd >= 0;
	struct relay relay = {
		.tty = options->tty,
		.stdin_ = options->interactive,
		.in = console ? process->console_fd : process->stdin_fd,
		.out = { console ? process->console_fd : process->stdout_fd,
			 console ? -1 : process->stderr_fd },
		.end = process->pidfd,
		.end_drains = true,
		.keys = options->tty ? keys : NULL,
		.resize = resize,
		.opaque = &process->console_fd,
	};
	if (console && terminal_size(&rows, &columns))
		resize(&process->console_fd, rows, columns);
	int r = relay_run(&relay, arena, err);
	if (r == RELAY_DETACHED) {
		fprintf(stderr, "read escape sequence\n");
		engine_exec_leave(engine, process);
		return 1;
	}
	if (r == RELAY_ENDED)
		r = engine_exec_status(process, &status, err);
	if (r == 0)
		engine_exec_ended(engine, process, status);
	return r < 0 ? r : status;
}

static int exec_run(struct cli_context *context, void *pointer, int argc, char **argv,
		    struct masu_error *err)
{
	const struct exec_options *options = pointer;
	const char *keys_text = options->detach_keys ? options->detach_keys : DETACH_KEYS_DEFAULT;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct engine_exec process;
	struct detach_keys keys;
	char id[65];
	struct exec_config config = { .args = argv + 1,
				      .user = options->user,
				      .working_dir = options->workdir,
				      .tty = options->tty,
				      .open_stdin = options->interactive,
				      .detach = options->detach,
				      .privileged = options->privileged };
	int r = parse_environment(context->arena, &options->env_file, &options->env, &config.env,
				  err);
	if (r == 0)
		r = detach_keys_parse(keys_text, &keys, err);
	if (r < 0)
		return error_exit_status(err, 125);
	if (options->tty && options->interactive && !options->detach && !isatty(STDIN_FILENO))
		return error_set(err, -ENOTTY, "the input device is not a TTY");
	r = session_resolve(context, argv[0], &engine, id, err);
	if (r == 0 && options->detach)
		r = engine_exec_behind(&engine, context->arena, id, &config, err);
	else if (r == 0)
		r = engine_exec(&engine, context->arena, id, &config, &process, err);
	trace_mark("exec started");
	if (CLI_IS_HOT && r == ENGINE_ELSEWHERE)
		return cli_exec_more(context, err);
	if (r < 0 || options->detach)
		return r;
	return relay_process(&engine, context->arena, options, &process, &keys, err);
}

const struct cli_command exec_command = {
	.name = "exec",
	.synopsis = "[OPTIONS] CONTAINER COMMAND [ARG...]",
	.summary = "Execute a command in a running container",
	.options = exec_options,
	.option_count = ARRAY_SIZE(exec_options),
	.options_size = sizeof(struct exec_options),
	.run = exec_run,
	.min_args = 2,
	.max_args = -1,
	.stop_at_positional = true,
	.enters_container = true,
};
