/* "What matters on this machine": sentences out of figures, each with its confidence. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cold/bench/report_internal.h"
#include "cold/bench/svg.h"

#define EFFECTS_MAX 512
#define SHOWN_MAX   8

struct effect {
	const struct model_row *row;
	int column;
	struct stats_ratio ratio;
	enum model_verdict verdict;
};

static size_t effects_of(const struct model *model, struct effect *ret)
{
	size_t count = 0;
	for (size_t i = 0; i < model->row_count; i++) {
		const struct model_row *row = &model->rows[i];
		int baseline = model_baseline(model, row);
		for (size_t c = 0; c < model->column_count && count < EFFECTS_MAX; c++) {
			struct effect effect = { .row = row, .column = (int)c };
			if ((int)c == baseline || streq(model->columns[c].name, MODEL_AGAIN))
				continue;
			effect.verdict = model_judge(model, row, (int)c, &effect.ratio);
			if (effect.verdict != MODEL_EMPTY)
				ret[count++] = effect;
		}
	}
	return count;
}

static void put_interval(struct buf *out, const struct stats_ratio *ratio)
{
	buf_printf(out, " (speed %.3f, 95 %% interval %.3f – %.3f)", ratio->ratio, ratio->low,
		   ratio->high);
}

/* One sentence for one kind of work in one column. */
static void about_group(const struct model *model, const char *group, const char *name,
			const char *subject, const struct effect *effects, size_t count,
			struct buf *out)
{
	size_t judged = 0, different = 0;
	double largest = 0, noise = 0;
	for (size_t i = 0; i < count; i++) {
		const struct effect *effect = &effects[i];
		if (!streq(effect->row->group, group) ||
		    !streq(model->columns[effect->column].name, name))
			continue;
		judged++;
		different += effect->verdict != MODEL_SAME;
		largest = fmax(largest, fabs(effect->ratio.ratio - 1));
		noise = fmax(noise, model_noise(model, effect->row));
	}
	if (!judged)
		return;
	buf_puts(out, "<li>");
	html_text(out, group);
	buf_puts(out, ": ");
	html_text(out, subject);
	if (different)
		buf_printf(out, " differs from none in %zu of %zu figures, by up to %.0f %%",
			   different, judged, largest * 100);
	else
		buf_printf(out,
			   " costs nothing that could be found in %zu figure%s; the medians are at "
			   "most "
			   "%.1f %% apart",
			   judged, judged == 1 ? "" : "s", largest * 100);
	buf_printf(out, " (native against itself: up to %.1f %%).</li>\n", noise * 100);
}

static int by_size(const void *a, const void *b)
{
	double x = fabs(log(((const struct effect *)a)->ratio.ratio));
	double y = fabs(log(((const struct effect *)b)->ratio.ratio));
	return (x < y) - (x > y);
}

static void about_effect(const struct model *model, const struct effect *effect, struct buf *out)
{
	char speed[MODEL_TEXT_MAX];
	buf_puts(out, "<li>");
	html_text(out, effect->row->title);
	buf_puts(out, ", ");
	html_text(out, model->columns[effect->column].title);
	buf_puts(out, ": ");
	html_text(out, report_speed_text(effect->ratio.ratio, speed));
	put_interval(out, &effect->ratio);
	buf_puts(out, ".</li>\n");
}

/* Starting takes its time in milliseconds, not in percent of starting nothing. */
static void about_start(const struct model *model, struct buf *out)
{
	for (size_t i = 0; i < model->row_count; i++) {
		const struct model_row *row = &model->rows[i];
		bool first = true;
		if (!streq(row->group, "life cycle") || row->better == MODEL_PLAIN)
			continue;
		for (size_t c = 0; c < model->column_count; c++) {
			char value[MODEL_TEXT_MAX];
			const struct model_cell *cell = &row->cells[c];
			if (!cell->count || streq(model->columns[c].name, MODEL_AGAIN))
				continue;
			if (first) {
				buf_puts(out, "<li>");
				html_text(out, row->title);
			}
			buf_puts(out, first ? ": " : ", ");
			html_text(out, model->columns[c].name);
			buf_putc(out, ' ');
			html_text(out, model_value_text(stats_median(cell->values, cell->count),
							row->unit, value));
			first = false;
		}
		if (!first)
			buf_puts(out, ".</li>\n");
	}
}

void report_sentences(const struct model *model, struct buf *out)
{
	static struct effect effects[EFFECTS_MAX];
	static const char *const groups[] = { "CPU", "memory", "kernel" };
	size_t count = effects_of(model, effects), shown = 0;
	if (!count)
		buf_puts(out, "<li>Nothing can be judged: only one column has figures, or all have "
			      "too few samples.</li>\n");
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		about_group(model, groups[i], "container", "a container", effects, count, out);
	about_group(model, "network", "container", "a container on the host's network", effects,
		    count, out);
	about_group(model, "network", "direct", "a direct port", effects, count, out);
	about_group(model, "network", "nat", "a translated port", effects, count, out);
	about_group(model, "storage", "container", "data in the container's layer", effects, count,
		    out);
	about_group(model, "storage", "volume", "data in a volume", effects, count, out);
	qsort(effects, count, sizeof(*effects), by_size);
	for (size_t i = 0; i < count && shown < SHOWN_MAX; i++) {
		if (effects[i].verdict == MODEL_SAME || streq(effects[i].row->group, "life cycle"))
			continue;
		if (!shown++)
			buf_puts(out, "<li>The largest differences, each larger than what native "
				      "differs from itself by:<ul>\n");
		about_effect(model, &effects[i], out);
	}
	if (shown)
		buf_puts(out, "</ul></li>\n");
	about_start(model, out);
}
