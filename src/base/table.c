#include "base/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

void table_print(const struct table *table, FILE *out, int no_heading)
{
	size_t first = no_heading ? 1 : 0;
	for (size_t row = first; row < table->rows; row++) {
		for (size_t column = 0; column < table->columns; column++) {
			const char *cell = table->cells[row * table->columns + column];
			fputs(cell, out);
			if (column + 1 == table->columns)
				break;
			size_t width = 0;
			for (size_t k = first; k < table->rows; k++) {
				size_t w = cell_width(table->cells[k * table->columns + column]);
				if (w > width)
					width = w;
			}
			fprintf(out, "%*s", (int)(width - cell_width(cell) + 3), "");
		}
		fputc('\n', out);
	}
}
