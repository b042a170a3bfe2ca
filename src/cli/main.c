/*
 * Where the program starts: global flags, then the command table. Started under the name "masu-oci"
 * it is an OCI runtime and the global flags are runc's.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/str.h"
#include "base/trace.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/sealed.h"

static const char *program_name(const char *argv0)
{
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL;
	return slash ? slash + 1 : argv0 ? argv0 : "masu";
}

static const char *from_environment(const char *name, const char *otherwise)
{
	const char *value = getenv(name);
	return value && *value ? value : otherwise;
}

/*
 * Takes the global flags off the front of argv; returns how many words they were, or -1 after
 * having reported what is wrong.
 */
static int parse_globals(struct cli_context *context, int argc, char **argv)
{
	struct global_options options = { .root = context->root,
					  .runroot = context->runroot,
					  .storage_driver = context->storage_driver };
	struct masu_error err = { 0 };
	char **positional;
	int count;
	bool help;
	if (cli_parse(context->arena, &global_command, "masu", argc, argv, &options, &count,
		      &positional, &help, &err) < 0 ||
	    cli_pass_storage_options(&options, &err) < 0) {
		fprintf(stderr, "masu: %s\n", err.message);
		return -1;
	}
	context->root = options.root;
	context->runroot = options.runroot;
	context->storage_driver = options.storage_driver;
	context->debug = options.debug;
	context->trace_timing = options.trace_timing;
	if (help)
		return 0;
	if (options.version) {
		printf("masu version %s\n", MASU_VERSION);
		exit(EXIT_SUCCESS);
	}
	return argc - count;
}

int main(int argc, char **argv)
{
	struct arena arena;
	/* Inherited as ignored (env --ignore-signal), children would vanish before they are waited
	 * for. */
	signal(SIGCHLD, SIG_DFL);
	arena_init(&arena, 0);
	struct cli_context context = {
		.arena = &arena,
		.root = from_environment("MASU_ROOT", "/var/lib/masu"),
		.runroot = from_environment("MASU_RUNROOT", "/run/masu"),
		.storage_driver = from_environment("MASU_STORAGE_DRIVER", NULL),
		.program = program_name(argc > 0 ? argv[0] : NULL),
		.argv = argv,
	};
	context.self_path = sealed_self_path(&arena);
	if (streq(context.program, "masu-oci"))
		return cli_dispatch(&context, &oci_command, argc - 1, argv + 1);
	int skip = parse_globals(&context, argc - 1, argv + 1);
	if (skip < 0)
		return 125;
	if (context.debug)
		log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT, STDERR_FILENO);
	if (context.trace_timing && trace_start() < 0)
		log_warn("--trace-timing: no memory for the trace");
	int status = cli_dispatch(&context, &root_command, argc - 1 - skip, argv + 1 + skip);
	if (context.trace_timing)
		trace_print();
	return status;
}
