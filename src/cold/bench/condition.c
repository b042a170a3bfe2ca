#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cold/bench/show.h"

int condition_parse(struct condition *ret, struct arena *arena, const char *text,
		    struct masu_error *err)
{
	*ret = (struct condition) { .text = text };
	size_t at = strcspn(text, "<>");
	char *name = arena_strndup(arena, text, at), *end;
	ret->relation = text[at];
	const char *number = text[at] ? text + at + 1 : text + at;
	ret->limit = strtod(number, &end);
	char *column = name ? strrchr(name, '.') : NULL;
	if (!text[at] || end == number || *end || !column || !(ret->limit > 0))
		return error_set(err, -EINVAL,
				 "--fail-if %s: want WORKLOAD[.METRIC].COLUMN<NUMBER, as in "
				 "'redis.nat<0.9'",
				 text);
	*column++ = '\0';
	char *metric = strchr(name, '.');
	if (metric)
		*metric++ = '\0';
	ret->workload = name;
	ret->metric = metric;
	ret->column = column;
	return 0;
}

int condition_holds(const struct condition *condition, const struct model *model,
		    const struct model *before, struct masu_error *err)
{
	/* The figures are looked up where the comparison starts from. */
	struct model *where = (struct model *)(before ? before : model);
	struct model_row *row = model_row_find(where, condition->workload, condition->metric);
	int column = model_column_index(where, condition->column);
	if (!row || column < 0)
		return error_set(err, -ENOENT, "--fail-if %s: there is no such %s", condition->text,
				 row ? "column" : "figure");
	struct stats_ratio ratio = { 0 };
	enum model_verdict verdict = before ? comparison_judge(before, model, row, column, &ratio)
					    : model_judge(model, row, column, &ratio);
	if (verdict == MODEL_EMPTY)
		return error_set(err, -ENOENT, "--fail-if %s: it cannot be told: %s",
				 condition->text,
				 row->cells[column].why	    ? row->cells[column].why
				 : row->cells[column].count ? "too few samples, or emulated"
							    : "no figures");
	if (verdict == MODEL_SAME)
		return 0;
	return condition->relation == '<' ? ratio.ratio < condition->limit
					  : ratio.ratio > condition->limit;
}
