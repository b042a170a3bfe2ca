/* `masu system check`: whether all that masu keeps is as it should be. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/session.h"
#include "cold/system/verbs.h"
#include "engine/check.h"

struct printer {
	bool repair;
	size_t count;
};

/* Where, what, and what becomes of it: one line. */
static void print_finding(void *opaque, const struct check_finding *finding)
{
	struct printer *printer = opaque;
	printer->count++;
	printf("%s: %s; ", finding->where, finding->what);
	if (!finding->mendable)
		printf("%s\n", finding->remedy);
	else if (!printer->repair)
		printf("with --repair %s\n", finding->remedy);
	else if (finding->result < 0)
		printf("not mended: %s\n", strerror(-finding->result));
	else
		printf("mended: %s\n", finding->remedy);
	fflush(stdout);
}

static int check_run(struct cli_context *context, void *pointer, int argc, char **argv,
		     struct masu_error *err)
{
	const struct check_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct printer printer = { .repair = options->repair };
	size_t left;
	int r = session_open(context, &engine, err);
	if (r == 0)
		r = engine_check(&engine, options->repair, print_finding, &printer, &left, err);
	if (r < 0)
		return r;
	return left ? 1 : 0;
}

const struct cli_command system_check_command = { SYSTEM_CHECK_COMMAND, .run = check_run };
