/* Column output as docker prints it: each column as wide as its widest cell and three blanks, at
 * least ten. */
#pragma once

#include <stddef.h>
#include <stdio.h>

struct table;

/* @headings: NULL-terminated. The table owns copies of all cells. NULL when memory is gone. */
struct table *table_new(const char *const *headings);
void table_free(struct table *table);
/* Adds one row of as many cells as there are headings. 0 or -ENOMEM. */
int table_row(struct table *table, const char *const *cells);
/* Prints the heading (unless @no_heading) and the rows; no trailing blanks but docker's padding. */
void table_print(const struct table *table, FILE *out, int no_heading);

static inline void table_freep(struct table **table)
{
	table_free(*table);
}
#define _cleanup_table_ __attribute__((cleanup(table_freep)))
