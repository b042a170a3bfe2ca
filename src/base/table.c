#include "base/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of docker's text/tabwriter. */
#define PADDING	  3
#define MIN_WIDTH 10

struct table {
	size_t columns;
	size_t rows; /* the heading is row 0 */
	size_t capacity;
	char **cells;
};

static int table_append(struct table *table, const char *const *cells)
{
	if (table->rows == table->capacity) {
		size_t capacity = table->capacity ? table->capacity * 2 : 16;
		char **grown =
			reallocarray(table->cells, capacity * table->columns, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		table->cells = grown;
		table->capacity = capacity;
	}
	char **row = table->cells + table->rows * table->columns;
	for (size_t i = 0; i < table->columns; i++) {
		row[i] = strdup(cells[i] ? cells[i] : "");
		if (!row[i]) {
			while (i-- > 0)
				free(row[i]);
			return -ENOMEM;
		}
	}
	table->rows++;
	return 0;
}

struct table *table_new(const char *const *headings)
{
	struct table *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	while (headings[table->columns])
		table->columns++;
	if (table_append(table, headings) < 0) {
		table_free(table);
		return NULL;
	}
	return table;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->rows * table->columns; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}

int table_row(struct table *table, const char *const *cells)
{
	return table_append(table, cells);
}

/* Display width: UTF-8 continuation bytes take no column. */
static size_t cell_width(const char *s)
{
	size_t width = 0;
	for (; *s; s++)
		width += ((unsigned char)*s & 0xc0) != 0x80;
	return width;
}

/* The widest cell of each column from row @first on; NULL when memory is gone. */
static size_t *column_widths(const struct table *table, size_t first)
{
	size_t *widths = calloc(table->columns + 1, sizeof(*widths));
	for (size_t row = first; widths && row < table->rows; row++)
		for (size_t column = 0; column < table->columns; column++) {
			size_t width = cell_width(table->cells[row * table->columns + column]);
			if (width > widths[column])
				widths[column] = width;
		}
	return widths;
}

void table_print(const struct table *table, FILE *out, int no_heading)
{
	size_t first = no_heading ? 1 : 0;
	size_t *widths = column_widths(table, first);
	for (size_t row = first; row < table->rows; row++) {
		for (size_t column = 0; column < table->columns; column++) {
			const char *cell = table->cells[row * table->columns + column];
			fputs(cell, out);
			if (column + 1 == table->columns)
				break;
			size_t used = cell_width(cell), width = widths ? widths[column] : used;
			width = width + PADDING < MIN_WIDTH ? MIN_WIDTH : width + PADDING;
			for (; used < width; used++)
				fputc(' ', out);
		}
		fputc('\n', out);
	}
	free(widths);
}
