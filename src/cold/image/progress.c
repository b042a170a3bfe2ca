#include "cold/image/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/human.h"
#include "base/str.h"

#define BAR_WIDTH  50
#define REDRAW_MS  80
#define NAME_WIDTH 12

static struct progress_line line_of(const struct progress *p, size_t i)
{
	struct progress_line line = { 0 };
	p->line(p->opaque, i, &line);
	return line;
}

static void print_bar(const struct progress_line *line)
{
	char bar[BAR_WIDTH + 1], done[HUMAN_MAX], all[HUMAN_MAX];
	unsigned filled = line->size ? (unsigned)(line->bytes * (BAR_WIDTH - 1) / line->size) : 0;
	if (filled > BAR_WIDTH - 1)
		filled = BAR_WIDTH - 1;
	memset(bar, '=', filled);
	bar[filled] = '>';
	memset(bar + filled + 1, ' ', BAR_WIDTH - 1 - filled);
	bar[BAR_WIDTH] = '\0';
	human_size(line->bytes, done);
	human_size(line->size, all);
	printf("[%s] %s/%s", bar, done, all);
}

/* Over what was drawn before: up to the first line, each cleared to its end. */
static void redraw(struct progress *p)
{
	if (p->drawn)
		printf("\033[%zuA", p->count);
	for (size_t i = 0; i < p->count; i++) {
		const struct progress_line line = line_of(p, i);
		printf("%.*s: %s ", NAME_WIDTH, line.name, line.text);
		if (line.moving)
			print_bar(&line);
		printf("\033[K\n");
	}
	p->drawn = true;
	p->last_ms = clock_ms();
	fflush(stdout);
}

static void print_line(const struct progress_line *line)
{
	printf("%.*s: %s\n", NAME_WIDTH, line->name, line->text);
}

void progress_begin(struct progress *p)
{
	p->terminal = isatty(STDOUT_FILENO);
	p->drawn = false;
	if (p->quiet)
		return;
	for (size_t i = 0; i < p->count; i++) {
		const struct progress_line line = line_of(p, i);
		p->shown[i] = line.text;
		if (!p->terminal)
			print_line(&line);
	}
	fflush(stdout);
}

void progress_change(struct progress *p, size_t i)
{
	const struct progress_line line = line_of(p, i);
	bool changed = !streq_null(p->shown[i], line.text);
	if (p->quiet)
		return;
	p->shown[i] = line.text;
	if (p->terminal && (changed || clock_ms() - p->last_ms >= REDRAW_MS)) {
		redraw(p);
	} else if (!p->terminal && changed && !line.moving) {
		print_line(&line);
		fflush(stdout);
	}
}

void progress_end(struct progress *p)
{
	if (!p->quiet && p->terminal && p->count)
		redraw(p);
}
