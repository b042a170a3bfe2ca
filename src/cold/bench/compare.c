#include <math.h>
#include <string.h>

#include "base/str.h"
#include "cold/bench/show.h"

const struct model_row *comparison_row(const struct model *after, const struct model_row *row)
{
	for (size_t i = 0; i < after->row_count; i++)
		if (streq(after->rows[i].name, row->name) && streq(after->rows[i].unit, row->unit))
			return &after->rows[i];
	return NULL;
}

static double larger(double a, double b)
{
	return a > b ? a : b;
}

enum model_verdict comparison_judge(const struct model *before, const struct model *after,
				    const struct model_row *row, int column,
				    struct stats_ratio *ret)
{
	const struct model_row *other = comparison_row(after, row);
	int there = model_column_index(after, before->columns[column].name);
	if (!other || there < 0 || !row->cells[column].count || !other->cells[there].count)
		return MODEL_EMPTY;
	const struct model_cell *old = &row->cells[column], *new = &other->cells[there];
	*ret = row->better == MODEL_LOWER
		       ? stats_ratio(old->values, old->count, new->values, new->count, 1)
		       : stats_ratio(new->values, new->count, old->values, old->count, 1);
	double noise = larger(model_noise(before, row), model_noise(after, other));
	if (row->better == MODEL_PLAIN || before->columns[column].emulated || ret->low <= 0)
		return MODEL_EMPTY;
	if (!stats_differs(ret) || fabs(ret->ratio - 1) <= noise)
		return MODEL_SAME;
	return ret->ratio > 1 ? MODEL_FASTER : MODEL_SLOWER;
}

/* Figures of two machines are not the same thing's. */
static void show_machines(const struct model *before, const struct model *after, FILE *out)
{
	static const char *const keys[] = { "cpu",	  "cpus",
					    "kernel",	  "virtualisation",
					    "governor",	  "file system of the data",
					    "mitigations" };
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *old = "?", *new = "?";
		for (size_t k = 0; k < before->fact_count; k++)
			if (streq(before->facts[k].key, keys[i]))
				old = before->facts[k].value;
		for (size_t k = 0; k < after->fact_count; k++)
			if (streq(after->facts[k].key, keys[i]))
				new = after->facts[k].value;
		if (!streq(old, new))
			fprintf(out, "not the same %s: %s, then %s\n", keys[i], old, new);
	}
}

void show_comparison(const struct model *before, const struct model *after, FILE *out)
{
	static const char *const verdicts[] = { "", "no difference", "faster", "slower" };
	char old[MODEL_TEXT_MAX], new[MODEL_TEXT_MAX];
	size_t found = 0, counts[4] = { 0 };
	show_machines(before, after, out);
	for (size_t i = 0; i < before->row_count; i++) {
		const struct model_row *row = &before->rows[i];
		for (size_t c = 0; c < before->column_count; c++) {
			struct stats_ratio ratio = { 0 };
			enum model_verdict verdict =
				comparison_judge(before, after, row, (int)c, &ratio);
			if (!(ratio.ratio > 0))
				continue;
			const struct model_row *other = comparison_row(after, row);
			const struct model_cell *cell =
				&other->cells[model_column_index(after, before->columns[c].name)];
			fprintf(out, "%-18s %-14s %12s %12s   %.3f (%.3f to %.3f) %s\n", row->name,
				before->columns[c].name,
				model_value_text(
					stats_median(row->cells[c].values, row->cells[c].count),
					row->unit, old),
				model_value_text(stats_median(cell->values, cell->count), row->unit,
						 new),
				ratio.ratio, ratio.low, ratio.high, verdicts[verdict]);
			counts[verdict]++;
			found++;
		}
	}
	fprintf(out, "%zu figures in both: %zu slower, %zu faster, %zu without a difference\n",
		found, counts[MODEL_SLOWER], counts[MODEL_FASTER], counts[MODEL_SAME]);
}
