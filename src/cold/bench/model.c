/* Looking things up in a model, and judging them. */
#include "cold/bench/model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

int model_column_index(const struct model *model, const char *name)
{
	for (size_t i = 0; i < model->column_count; i++)
		if (streq(model->columns[i].name, name))
			return (int)i;
	return -1;
}

struct model_row *model_row_find(struct model *model, const char *workload, const char *metric)
{
	for (size_t i = 0; i < model->row_count; i++) {
		struct model_row *row = &model->rows[i];
		if (streq(row->workload, workload) && (!metric || streq(row->metric, metric)))
			return row;
	}
	return NULL;
}

/* Grown one by one; there are few. */
#define GROW(model, field, count_field, value)                                                     \
	({                                                                                         \
		__typeof__((model)->field) _grown =                                                \
			arena_calloc((model)->arena, (model)->count_field + 1, sizeof(*_grown));   \
		if (_grown) {                                                                      \
			if ((model)->count_field)                                                  \
				memcpy(_grown, (model)->field,                                     \
				       (model)->count_field * sizeof(*_grown));                    \
			_grown[(model)->count_field++] = (value);                                  \
			(model)->field = _grown;                                                   \
		}                                                                                  \
		_grown ? 0 : -ENOMEM;                                                              \
	})

int model_add_fact(struct model *model, const char *key, const char *value)
{
	struct model_fact fact = { .key = arena_strdup(model->arena, key),
				   .value = arena_strdup(model->arena, value) };
	if (!fact.key || !fact.value)
		return -ENOMEM;
	return GROW(model, facts, fact_count, fact);
}

int model_add_note(struct model *model, const char *note)
{
	const char *copy = arena_strdup(model->arena, note);
	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < model->note_count; i++)
		if (streq(model->notes[i], note))
			return 0;
	return GROW(model, notes, note_count, copy);
}

int model_baseline(const struct model *model, const struct model_row *row)
{
	int native = model_column_index(model, MODEL_NATIVE);
	if (native >= 0 && row->cells[native].count)
		return native;
	for (size_t i = 0; i < model->column_count; i++)
		if (row->cells[i].count && !model->columns[i].emulated)
			return (int)i;
	return -1;
}

/* FNV-1a: a seed that is the same for the same row, so that a report is the same twice. */
static uint64_t seed_of(const char *row, const char *column)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	for (const char *p = row; *p; p++)
		hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	for (const char *p = column; *p; p++)
		hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	return hash;
}

static struct stats_ratio speed(const struct model *model, const struct model_row *row, int column,
				int baseline)
{
	uint64_t seed = seed_of(row->name, model->columns[column].name);
	const struct model_cell *mine = &row->cells[column], *theirs = &row->cells[baseline];
	if (row->better == MODEL_LOWER)
		return stats_ratio(theirs->values, theirs->count, mine->values, mine->count, seed);
	return stats_ratio(mine->values, mine->count, theirs->values, theirs->count, seed);
}

double model_noise(const struct model *model, const struct model_row *row)
{
	int native = model_column_index(model, MODEL_NATIVE);
	int again = model_column_index(model, MODEL_AGAIN);
	if (native < 0 || again < 0 || !row->cells[native].count || !row->cells[again].count)
		return 0;
	return fabs(speed(model, row, again, native).ratio - 1);
}

enum model_verdict model_judge_against(const struct model *model, const struct model_row *row,
				       int column, int baseline, struct stats_ratio *ret)
{
	if (baseline < 0 || !row->cells[column].count || !row->cells[baseline].count)
		return MODEL_EMPTY;
	struct stats_ratio ratio = speed(model, row, column, baseline);
	*ret = ratio;
	if (row->better == MODEL_PLAIN || model->columns[column].emulated || ratio.low <= 0)
		return MODEL_EMPTY;
	if (!stats_differs(&ratio) || fabs(ratio.ratio - 1) <= model_noise(model, row))
		return MODEL_SAME;
	return ratio.ratio > 1 ? MODEL_FASTER : MODEL_SLOWER;
}

enum model_verdict model_judge(const struct model *model, const struct model_row *row, int column,
			       struct stats_ratio *ret)
{
	return model_judge_against(model, row, column, model_baseline(model, row), ret);
}

const char *model_value_text(double value, const char *unit, char ret[MODEL_TEXT_MAX])
{
	double size = fabs(value);
	int digits = size >= 100 || size == 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
	if (size > 0 && size < 0.1)
		snprintf(ret, MODEL_TEXT_MAX, "%.3g %s", value, unit);
	else
		snprintf(ret, MODEL_TEXT_MAX, "%.*f %s", digits, value, unit);
	return ret;
}
