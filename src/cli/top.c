/* `masu top`. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/session.h"

/* docker's: cells of at least 20 columns, three blanks between. */
#define CELL_WIDTH   20
#define CELL_PADDING 3

static size_t text_columns(const char *text)
{
	size_t columns = 0;
	for (; *text; text++)
		columns += ((unsigned char)*text & 0xc0) != 0x80;
	return columns;
}

static void print_row(const char *const *cells, const size_t *widths, size_t columns)
{
	for (size_t i = 0; i < columns; i++) {
		int padding = i + 1 < columns ? (int)(widths[i] - text_columns(cells[i])) : 0;
		printf("%s%*s", cells[i], padding, "");
	}
	putchar('\n');
}

static int print_table(struct arena *arena, const struct engine_table *table,
		       struct masu_error *err)
{
	size_t *widths = arena_array(arena, size_t, table->columns);
	if (!widths)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < table->columns; i++) {
		widths[i] = text_columns(table->titles[i]) + CELL_PADDING;
		if (widths[i] < CELL_WIDTH)
			widths[i] = CELL_WIDTH;
		for (size_t row = 0; row < table->count; row++) {
			size_t width = text_columns(table->rows[row][i]) + CELL_PADDING;
			if (width > widths[i])
				widths[i] = width;
		}
	}
	print_row(table->titles, widths, table->columns);
	for (size_t row = 0; row < table->count; row++)
		print_row(table->rows[row], widths, table->columns);
	return 0;
}

static int top_run(struct cli_context *context, void *options, int argc, char **argv,
		   struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct engine_table table;
	char id[65];
	int r = session_resolve(context, argv[0], &engine, id, err);
	if (r == 0)
		r = engine_top(&engine, context->arena, id, argv + 1, &table, err);
	return r < 0 ? r : print_table(context->arena, &table, err);
}

const struct cli_command top_command = {
	.name = "top",
	.synopsis = "CONTAINER [ps OPTIONS]",
	.summary = "Display the running processes of a container",
	CLI_MORE(top_run),
	.min_args = 1,
	.max_args = -1,
	.stop_at_positional = true,
};
