#include <math.h>

#include "cold/bench/show.h"

static void put_label(struct buf *out, const char *name, const char *value, char before)
{
	buf_printf(out, "%c%s=\"", before, name);
	for (; *value; value++) {
		if (*value == '\n')
			buf_puts(out, "\\n");
		else if (*value == '"' || *value == '\\')
			buf_printf(out, "\\%c", *value);
		else
			buf_putc(out, *value);
	}
	buf_putc(out, '"');
}

static void put_sample(struct buf *out, const char *name, const struct model *model,
		       const struct model_row *row, size_t column, double value)
{
	if (!isfinite(value))
		return;
	buf_puts(out, name);
	put_label(out, "workload", row->workload, '{');
	put_label(out, "metric", row->metric, ',');
	put_label(out, "column", model->columns[column].name, ',');
	put_label(out, "unit", row->unit, ',');
	buf_printf(out, "} %.9g\n", value);
}

enum family { MEDIAN, SPEED, SPEED_LOW, SPEED_HIGH, SAMPLES, FAMILIES };

static const struct {
	const char *name, *help;
} families[FAMILIES] = {
	{ "masu_bench_median", "Median of the samples, in the unit of the label." },
	{ "masu_bench_speed", "Speed by the baseline's; less than 1 is slower." },
	{ "masu_bench_speed_low", "Lower end of the 95 percent interval of the speed." },
	{ "masu_bench_speed_high", "Upper end of the 95 percent interval of the speed." },
	{ "masu_bench_samples", "Number of samples." },
};

static void put_family(struct buf *out, const struct model *model, enum family family)
{
	const char *name = families[family].name;
	buf_printf(out, "# TYPE %s gauge\n# HELP %s %s\n", name, name, families[family].help);
	for (size_t i = 0; i < model->row_count; i++) {
		const struct model_row *row = &model->rows[i];
		for (size_t c = 0; c < model->column_count; c++) {
			const struct model_cell *cell = &row->cells[c];
			struct stats_ratio ratio = { .ratio = NAN, .low = NAN, .high = NAN };
			if (!cell->count)
				continue;
			if (family != MEDIAN && family != SAMPLES)
				model_judge(model, row, (int)c, &ratio);
			put_sample(out, name, model, row, c,
				   family == MEDIAN	 ? stats_median(cell->values, cell->count)
				   : family == SAMPLES	 ? (double)cell->count
				   : family == SPEED	 ? ratio.ratio
				   : family == SPEED_LOW ? ratio.low
							 : ratio.high);
		}
	}
}

int show_openmetrics(const struct model *model, struct buf *ret)
{
	for (int family = 0; family < FAMILIES; family++)
		put_family(ret, model, (enum family)family);
	buf_puts(ret, "# EOF\n");
	return buf_error(ret);
}
