#include <math.h>
#include <string.h>

#include "base/str.h"
#include "cold/bench/show.h"

#define CELL  15
#define TITLE 34

/* Letters, for columns with µ and the like in them. */
static int width(const char *text)
{
	int count = 0;
	for (; *text; text++)
		count += ((unsigned char)*text & 0xc0) != 0x80;
	return count;
}

static void put(FILE *out, const char *text, int room, bool left)
{
	int pad = room - width(text);
	if (left)
		fprintf(out, "%s%*s", text, pad > 0 ? pad : 0, "");
	else
		fprintf(out, "%*s%s", pad > 0 ? pad : 0, "", text);
}

static bool has_cell(const struct model *model, const char *group, int column)
{
	for (size_t i = 0; i < model->row_count; i++)
		if (streq(model->rows[i].group, group) && model->rows[i].cells[column].count)
			return true;
	return false;
}

static const char *cell_text(const struct model *model, const struct model_row *row, int column,
			     char ret[MODEL_TEXT_MAX])
{
	static const char marks[] = { ' ', ' ', '+', '-' };
	const struct model_cell *cell = &row->cells[column];
	struct stats_ratio ratio;
	if (!cell->count)
		return cell->why ? "·" : "";
	if (column == model_baseline(model, row) || row->better == MODEL_PLAIN)
		return model_value_text(stats_median(cell->values, cell->count), row->unit, ret);
	enum model_verdict verdict = model_judge(model, row, column, &ratio);
	char mark = model->columns[column].emulated ? '~' : marks[verdict];
	if (ratio.ratio < 0.0995 || !isfinite(ratio.high))
		snprintf(ret, MODEL_TEXT_MAX, "%.3g%c", ratio.ratio, mark);
	else
		snprintf(ret, MODEL_TEXT_MAX, "%.2f ±%.2f%c", ratio.ratio,
			 (ratio.high - ratio.low) / 2, mark);
	return ret;
}

static void group_table(const struct model *model, const char *group, FILE *out)
{
	char text[MODEL_TEXT_MAX];
	put(out, group, TITLE, true);
	for (size_t c = 0; c < model->column_count; c++)
		if (has_cell(model, group, (int)c))
			put(out, model->columns[c].name, CELL, false);
	fputc('\n', out);
	for (size_t i = 0; i < model->row_count; i++) {
		const struct model_row *row = &model->rows[i];
		if (!streq(row->group, group) || model_baseline(model, row) < 0)
			continue;
		snprintf(text, sizeof(text), "  %.*s", TITLE - 4, row->title);
		put(out, text, TITLE, true);
		for (size_t c = 0; c < model->column_count; c++)
			if (has_cell(model, group, (int)c))
				put(out, cell_text(model, row, (int)c, text), CELL, false);
		fputc('\n', out);
	}
	fputc('\n', out);
}

/* Each reason once, with the cells that it emptied. */
static void show_empty(const struct model *model, FILE *out)
{
	const char *said[MODEL_MAX_ROWS];
	size_t count = 0;
	for (size_t i = 0; i < model->row_count; i++) {
		for (size_t c = 0; c < model->column_count; c++) {
			const char *why = model->rows[i].cells[c].why;
			if (!why || count == MODEL_MAX_ROWS)
				continue;
			size_t k = 0;
			while (k < count && !streq(said[k], why))
				k++;
			if (k < count)
				continue;
			bool whole_row = true;
			for (size_t other = 0; other < model->column_count; other++)
				whole_row &= !model->rows[i].cells[other].count;
			fprintf(out, "empty: %s: %s\n",
				whole_row ? model->rows[i].workload : model->columns[c].name, why);
			said[count++] = why;
		}
	}
}

static size_t count_outliers(const struct model *model)
{
	size_t count = 0;
	for (size_t i = 0; i < model->row_count; i++)
		for (size_t c = 0; c < model->column_count; c++) {
			const struct model_cell *cell = &model->rows[i].cells[c];
			for (size_t k = 0; k < cell->count; k++)
				count += stats_is_outlier(cell->values, cell->count,
							  cell->values[k]);
		}
	return count;
}

void show_table(const struct model *model, FILE *out)
{
	for (size_t i = 0; i < model->row_count; i++) {
		bool first = true;
		for (size_t k = 0; k < i && first; k++)
			first = !streq(model->rows[k].group, model->rows[i].group);
		bool any = false;
		for (size_t c = 0; c < model->column_count; c++)
			any |= has_cell(model, model->rows[i].group, (int)c);
		if (first && any)
			group_table(model, model->rows[i].group, out);
	}
	fprintf(out,
		"Speed by the first column's, median and half of its 95 %% interval; less than 1 "
		"is "
		"slower.\n-, +: a difference; nothing: none was found; ~: software emulation, not "
		"judged; ·: empty.\n");
	size_t outliers = count_outliers(model);
	if (outliers)
		fprintf(out, "%zu outliers (beyond 1.5 quartile distances) are in the figures.\n",
			outliers);
	show_empty(model, out);
	for (size_t i = 0; i < model->note_count; i++)
		fprintf(out, "note: %s\n", model->notes[i]);
	fprintf(out, "%.0f s, %s profile, the harness itself used %.2f %% of a CPU%s\n",
		model->seconds, model->profile, model->harness * 100,
		model->interrupted ? "; interrupted, the table has what was done" : "");
}
