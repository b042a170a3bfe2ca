#include "cli/format.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/table.h"
#include "cli/template.h"

#define MAX_COLUMNS 32

static int no_memory(struct masu_error *err)
{
	return error_set(err, -ENOMEM, "out of memory");
}

/* The headings as an object, over which the template gives the table's first line. */
static const struct json *headings_object(struct arena *arena,
					  const struct format_heading *headings)
{
	struct json *object = arena_new(arena, struct json);
	const struct json **tail = object ? &object->child : NULL;
	for (; object && headings->key; headings++) {
		struct json *member = arena_new(arena, struct json);
		if (!member)
			return NULL;
		*member = (struct json) { .type = JSON_STRING,
					  .key = headings->key,
					  .text = headings->heading,
					  .text_len = (uint32_t)strlen(headings->heading) };
		*tail = member;
		tail = &member->next;
		object->count++;
	}
	if (object)
		object->type = JSON_OBJECT;
	return object;
}

/* Renders one row and cuts it at its tabs. */
static int render_cells(struct arena *arena, const char *template, const struct json *row,
			const char *cells[MAX_COLUMNS + 1], struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, 0);
	int r = template_render(arena, template, row, &text, err);
	char *copy = r == 0 ? arena_strdup(arena, buf_str(&text)) : NULL;
	if (!copy)
		return r < 0 ? r : no_memory(err);
	size_t count = 0;
	while (copy && count < MAX_COLUMNS) {
		cells[count++] = copy;
		copy = strchr(copy, '\t');
		if (copy)
			*copy++ = '\0';
	}
	cells[count] = NULL;
	return 0;
}

static int print_table(struct arena *arena, const char *template,
		       const struct format_heading *headings, const struct json *const *rows,
		       size_t count, struct masu_error *err)
{
	const char *cells[MAX_COLUMNS + 1] = { 0 };
	const struct json *heading = headings_object(arena, headings);
	if (!heading)
		return no_memory(err);
	int r = render_cells(arena, template, heading, cells, err);
	if (r < 0)
		return r;
	_cleanup_table_ struct table *table = table_new(cells);
	for (size_t i = 0; i < count && table; i++) {
		memset(cells, 0, sizeof(cells));
		r = render_cells(arena, template, rows[i], cells, err);
		if (r < 0)
			return r;
		if (table_row(table, cells) < 0)
			return no_memory(err);
	}
	if (!table)
		return no_memory(err);
	table_print(table, stdout, 0);
	return 0;
}

int format_object(struct arena *arena, const char *format, const struct json *object,
		  struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, 0);
	int r = template_render(arena, streq(format, "json") ? "{{json .}}" : format, object, &text,
				err);
	if (r == 0)
		printf("%s\n", buf_str(&text));
	return r;
}

int format_rows(struct arena *arena, const char *format, const char *default_template,
		const struct format_heading *headings, const struct json *const *rows, size_t count,
		struct masu_error *err)
{
	const char *table = format ? str_after(format, "table") : "";
	if (table && (!*table || *table == ' ')) {
		table += strspn(table, " ");
		if (!*table)
			table = default_template;
		/* What a shell leaves of "\t" in single quotes. */
		char *unescaped = arena_strdup(arena, table);
		for (char *p = unescaped; p && (p = strstr(p, "\\t"));) {
			*p = '\t';
			memmove(p + 1, p + 2, strlen(p + 2) + 1);
		}
		return unescaped ? print_table(arena, unescaped, headings, rows, count, err)
				 : no_memory(err);
	}
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++)
		r = format_object(arena, format, rows[i], err);
	return r;
}
