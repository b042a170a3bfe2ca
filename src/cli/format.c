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

/* Docker says it in other words for lists than for `inspect`. */
struct words {
	const char *parse, *run;
	int parse_status; /* exit status; 0: the verb's */
};
static const struct words list_words = { "failed to parse template", "failed to execute template",
					 0 };
static const struct words inspect_words = { "template parsing error", "template parsing error",
					    64 };

static int parse(struct arena *arena, const char *text, const struct words *words,
		 struct template **ret, struct masu_error *err)
{
	int r = template_parse(arena, text, ret, err);
	if (r < 0 && words->parse_status)
		error_exit_status(err, words->parse_status);
	return r < 0 ? error_wrap(err, "%s", words->parse) : 0;
}

static int render(struct arena *arena, const struct template *template, const struct words *words,
		  const struct json *row, unsigned flags, struct buf *out, struct masu_error *err)
{
	int r = template_run(template, arena, row, flags, out, err);
	return r < 0 ? error_wrap(err, "%s", words->run) : 0;
}

/* Renders one row and cuts it at its tabs. */
static int render_cells(struct arena *arena, const struct template *template,
			const struct json *row, unsigned flags, struct buf *text,
			const char *cells[MAX_COLUMNS + 1], struct masu_error *err)
{
	buf_reset(text);
	int r = render(arena, template, &list_words, row, flags, text, err);
	char *copy = r == 0 ? arena_strdup(arena, buf_str(text)) : NULL;
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

static int print_table(struct arena *arena, const struct template *template,
		       const struct format_heading *headings, const struct json *const *rows,
		       size_t count, struct masu_error *err)
{
	_cleanup_arena_ struct arena scratch = { 0 };
	_cleanup_buf_ struct buf
		text; /* one for all: memory that goes and comes is unmapped each time */
	const char *cells[MAX_COLUMNS + 1] = { 0 };
	const struct json *heading = headings_object(arena, headings);
	buf_init(&text, 0);
	if (!heading)
		return no_memory(err);
	int r = render_cells(arena, template, heading, TEMPLATE_HEADINGS, &text, cells, err);
	if (r < 0)
		return r;
	_cleanup_table_ struct table *table = table_new(cells);
	for (size_t i = 0; i < count && table; i++) {
		memset(cells, 0, sizeof(cells));
		r = render_cells(&scratch, template, rows[i], 0, &text, cells, err);
		if (r < 0)
			return r;
		if (table_row(table, cells) < 0)
			return no_memory(err);
		arena_reset(&scratch);
	}
	if (!table)
		return no_memory(err);
	table_print(table, stdout, 0);
	return 0;
}

static int print_lines(const struct template *template, const struct words *words,
		       const struct json *const *rows, size_t count, struct masu_error *err)
{
	_cleanup_arena_ struct arena scratch = { 0 };
	_cleanup_buf_ struct buf text;
	buf_init(&text, 0);
	for (size_t i = 0; i < count; i++) {
		int r = render(&scratch, template, words, rows[i], 0, &text, err);
		if (r < 0)
			return r;
		buf_putc(&text, '\n');
		fwrite(buf_str(&text), 1, text.len, stdout);
		buf_reset(&text);
		arena_reset(&scratch);
	}
	return 0;
}

/* What a shell leaves of "\t" and "\n" in single quotes. */
static char *unescape(struct arena *arena, const char *format)
{
	char *copy = arena_strdup(arena, format), *out = copy;
	for (const char *p = copy; p && *p; p++) {
		bool escape = p[0] == '\\' && (p[1] == 't' || p[1] == 'n');
		*out++ = !escape ? *p : p[1] == 't' ? '\t' : '\n';
		p += escape;
	}
	if (copy)
		*out = '\0';
	return copy;
}

int format_objects(struct arena *arena, const char *format, const struct json *const *objects,
		   size_t count, struct masu_error *err)
{
	struct template *template;
	int r = parse(arena, streq(format, "json") ? "{{json .}}" : format, &inspect_words,
		      &template, err);
	return r < 0 ? r : print_lines(template, &inspect_words, objects, count, err);
}

int format_object(struct arena *arena, const char *format, const struct json *object,
		  struct masu_error *err)
{
	return format_objects(arena, format, &object, 1, err);
}

int format_rows(struct arena *arena, const char *format, const char *default_template,
		const struct format_heading *headings, const struct json *const *rows, size_t count,
		struct masu_error *err)
{
	const char *table = format ? str_after(format, "table") : "";
	struct template *template;
	if (format && streq(format, "json"))
		format = "{{json .}}";
	const char *text = table ? table + strspn(table, " ") : format;
	text = unescape(arena, table && !*text ? default_template : text);
	if (!text)
		return no_memory(err);
	int r = parse(arena, text, &list_words, &template, err);
	if (r < 0)
		return r;
	return table ? print_table(arena, template, headings, rows, count, err)
		     : print_lines(template, &list_words, rows, count, err);
}
