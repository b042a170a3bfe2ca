/* The page: style, machine, every figure. Its parts are in paper.c and sentences.c. */
#include "cold/bench/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cold/bench/report_internal.h"
#include "cold/bench/svg.h"

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<title>masu bench</title>\n<style>\n"
	":root{color-scheme:light dark;--page:#fbfaf7;--ink:#1d1d1b;--soft:#66645e;--line:#dcd9d0;"
	"--same:#4a6a8a;--different:#b3401e;--paper:#8a7a2f;--card:#fff}\n"
	"@media(prefers-color-scheme:dark){:root{--page:#161614;--ink:#ecebe6;--soft:#a09d94;"
	"--line:#3a3934;--same:#8fb3d6;--different:#f08a60;--paper:#d8c665;--card:#1f1f1c}}\n"
	"body{margin:0 auto;padding:1rem;max-width:46rem;background:var(--page);color:var(--ink);"
	"font:16px/1.5 system-ui,sans-serif}\n"
	"h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.2rem;margin:2rem 0 .5rem}"
	"h3{font-size:1rem;margin:1.2rem 0 .2rem}p{margin:.4rem 0}.soft,small{color:var(--soft)}\n"
	"section{overflow-wrap:anywhere}svg{display:block;width:100%;max-width:36rem;height:auto}"
	"svg text{font-size:12px;fill:var(--ink)}svg .name{text-anchor:end}"
	"svg .tick{text-anchor:middle;fill:var(--soft);font-size:10px}\n"
	".grid{stroke:var(--line)}.one{stroke:var(--soft);stroke-dasharray:3 3}"
	".sample{fill:var(--soft);opacity:.45}.paper{fill:var(--paper)}\n"
	".whisker{stroke-width:2.5}.whisker.same{stroke:var(--same)}.whisker.different{stroke:"
	"var(--different)}.whisker.emulated{stroke:var(--soft);stroke-dasharray:2 3}\n"
	".point.same{fill:var(--same)}.point.different{fill:var(--different)}"
	".point.emulated{fill:none;stroke:var(--soft);stroke-width:2;stroke-dasharray:2 2}\n"
	".wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem}"
	"td,th{padding:.2rem .6rem .2rem 0;text-align:left;vertical-align:top;"
	"border-bottom:1px solid var(--line)}td.n{text-align:right;white-space:nowrap}\n"
	"details{margin:.3rem 0}summary{cursor:pointer;color:var(--soft);font-size:.85rem}\n"
	"li{margin:.3rem 0}.key{display:inline-block;width:.7em;height:.7em;border-radius:50%}"
	"\n</style>\n</head>\n<body>\n";

const char *report_speed_text(double speed, char ret[MODEL_TEXT_MAX])
{
	double percent = fabs(speed - 1) * 100;
	if (speed >= 2)
		snprintf(ret, MODEL_TEXT_MAX, "%.1f times as fast", speed);
	else if (speed < 0.5)
		snprintf(ret, MODEL_TEXT_MAX, "%.1f times as slow", 1 / speed);
	else
		snprintf(ret, MODEL_TEXT_MAX, percent < 1 ? "%.1f %% %s" : "%.0f %% %s", percent,
			 speed > 1 ? "faster" : "slower");
	return ret;
}

static void put_machine(const struct model *model, struct buf *out)
{
	buf_puts(out, "<section><h2>The machine</h2>\n<div class=\"wide\"><table>\n");
	for (size_t i = 0; i < model->fact_count; i++) {
		buf_puts(out, "<tr><th>");
		html_text(out, model->facts[i].key);
		buf_puts(out, "</th><td>");
		html_text(out, model->facts[i].value);
		buf_puts(out, "</td></tr>\n");
	}
	buf_printf(out,
		   "<tr><th>the harness itself</th><td>%.2f %% of a CPU, in between</td></tr>\n"
		   "</table></div>\n",
		   model->harness * 100);
	if (model->note_count) {
		buf_puts(out, "<ul>\n");
		for (size_t i = 0; i < model->note_count; i++) {
			buf_puts(out, "<li>");
			html_text(out, model->notes[i]);
			buf_puts(out, "</li>\n");
		}
		buf_puts(out, "</ul>\n");
	}
	buf_puts(out, "</section>\n");
}

/* Each sample as a speed by the baseline's median. */
static size_t sample_speeds(const struct model_row *row, int column, int baseline,
			    double ret[STATS_MAX_VALUES])
{
	const struct model_cell *cell = &row->cells[column], *base = &row->cells[baseline];
	double reference = stats_median(base->values, base->count);
	for (size_t i = 0; i < cell->count; i++)
		ret[i] = row->better == MODEL_LOWER ? reference / cell->values[i]
						    : cell->values[i] / reference;
	return cell->count;
}

static void put_cell_row(const struct model *model, const struct model_row *row, int column,
			 struct buf *out)
{
	const struct model_cell *cell = &row->cells[column];
	char text[MODEL_TEXT_MAX];
	struct stats_ratio ratio = { 0 };
	size_t outliers = 0;
	model_judge(model, row, column, &ratio);
	for (size_t i = 0; i < cell->count; i++)
		outliers += stats_is_outlier(cell->values, cell->count, cell->values[i]);
	buf_puts(out, "<tr><td>");
	html_text(out, model->columns[column].title);
	if (!cell->count) {
		buf_puts(out, "</td><td colspan=\"4\">empty: ");
		html_text(out, cell->why ? cell->why : "not measured");
		buf_puts(out, "</td></tr>\n");
		return;
	}
	buf_puts(out, "</td><td class=\"n\">");
	html_text(out, model_value_text(stats_median(cell->values, cell->count), row->unit, text));
	buf_printf(out, "</td><td class=\"n\">%.3f</td><td class=\"n\">", ratio.ratio);
	if (isfinite(ratio.high) && ratio.low > 0)
		buf_printf(out, "%.3f – %.3f", ratio.low, ratio.high);
	buf_printf(out, "</td><td class=\"n\">%zu</td><td class=\"n\">%zu</td></tr>\n", cell->count,
		   outliers);
}

static void put_details(const struct model *model, const struct model_row *row, struct buf *out)
{
	buf_puts(out, "<details><summary>figures</summary><div class=\"wide\"><table>\n"
		      "<tr><th>column</th><th>median</th><th>speed</th><th>95 % interval</th>"
		      "<th>samples</th><th>outliers</th></tr>\n");
	for (size_t c = 0; c < model->column_count; c++)
		if (row->cells[c].count || row->cells[c].why)
			put_cell_row(model, row, (int)c, out);
	buf_puts(out, "</table></div></details>\n");
}

static void put_row(const struct model *model, const struct model_row *row, struct buf *out)
{
	static double speeds[MODEL_MAX_COLUMNS][STATS_MAX_VALUES];
	char values[MODEL_MAX_COLUMNS][MODEL_TEXT_MAX];
	struct svg_point points[MODEL_MAX_COLUMNS];
	size_t count = 0;
	int baseline = model_baseline(model, row);
	buf_puts(out, "<h3>");
	html_text(out, row->title);
	buf_puts(out, row->better == MODEL_LOWER ? " <small>(less is better)</small></h3>\n"
						 : "</h3>\n");
	for (size_t c = 0; baseline >= 0 && c < model->column_count; c++) {
		struct stats_ratio ratio = { 0 };
		if (!row->cells[c].count)
			continue;
		enum model_verdict verdict = model_judge(model, row, (int)c, &ratio);
		struct svg_point *point = &points[count];
		model_value_text(stats_median(row->cells[c].values, row->cells[c].count), row->unit,
				 values[count]);
		*point = (struct svg_point) {
			.label = model->columns[c].name,
			.value = values[count],
			.at = ratio.ratio,
			.low = ratio.low,
			.high = ratio.high,
			.samples = speeds[count],
			.sample_count = sample_speeds(row, (int)c, baseline, speeds[count]),
			.different = verdict == MODEL_FASTER || verdict == MODEL_SLOWER,
			.emulated = model->columns[c].emulated,
		};
		count++;
	}
	if (count && row->better != MODEL_PLAIN)
		svg_plot(out, row->title, points, count);
	put_details(model, row, out);
}

static void put_groups(const struct model *model, struct buf *out)
{
	buf_puts(out,
		 "<section><h2>Every figure</h2>\n<p class=\"soft\">Speed by the first column's: "
		 "right "
		 "is faster. The line is the 95 % interval, small dots are single samples. "
		 "<span class=\"key\" style=\"background:var(--different)\">&nbsp;</span> a "
		 "difference, "
		 "<span class=\"key\" style=\"background:var(--same)\">&nbsp;</span> none was "
		 "found; "
		 "dashed: "
		 "software emulation, not judged.</p>\n");
	for (size_t i = 0; i < model->row_count; i++) {
		const char *group = model->rows[i].group;
		if (i == 0 || !streq(group, model->rows[i - 1].group)) {
			buf_puts(out, "</section><section><h2>");
			html_text(out, group);
			buf_puts(out, "</h2>\n");
		}
		put_row(model, &model->rows[i], out);
	}
	buf_puts(out, "</section>\n");
}

int report_write(const struct model *model, struct buf *ret)
{
	buf_puts(ret, head);
	buf_puts(ret, "<h1>Is it fast here?</h1>\n<p class=\"soft\">masu bench, ");
	html_text(ret, model->started);
	buf_printf(ret, ", %s profile, %.0f minutes%s</p>\n", model->profile, model->seconds / 60,
		   model->interrupted ? ", interrupted: what was done until then" : "");
	buf_puts(ret, "<section><h2>What matters on this machine</h2>\n<ul>\n");
	report_sentences(model, ret);
	buf_puts(ret, "</ul></section>\n");
	report_paper(model, ret);
	put_groups(model, ret);
	put_machine(model, ret);
	buf_puts(ret, "</body>\n</html>\n");
	return buf_error(ret);
}
