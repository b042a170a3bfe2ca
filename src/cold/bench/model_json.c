/* The model as results.json; docs/bench.md documents it. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/bench/model.h"
#include "json/json.h"
#include "sys/fs.h"

static const char *const better_names[] = { "higher", "lower", "plain" };

static void put_number(struct json_writer *w, double value)
{
	char text[40];
	if (!isfinite(value)) {
		json_put_null(w);
		return;
	}
	int n = snprintf(text, sizeof(text), "%.9g", value);
	json_put_raw(w, text, (size_t)n);
}

static void field_number(struct json_writer *w, const char *key, double value)
{
	json_key(w, key);
	put_number(w, value);
}

/* What a reader of the file would otherwise compute again. It is not read back. */
static void write_judgement(const struct model *model, const struct model_row *row, int column,
			    struct json_writer *w)
{
	static const char *const verdicts[] = { "none", "same", "faster", "slower" };
	struct stats_ratio ratio = { 0 };
	enum model_verdict verdict = model_judge(model, row, column, &ratio);
	if (ratio.ratio > 0) {
		field_number(w, "speed", ratio.ratio);
		json_key(w, "interval");
		json_begin_array(w);
		put_number(w, ratio.low);
		put_number(w, ratio.high);
		json_end_array(w);
	}
	json_field_string(w, "verdict", verdicts[verdict]);
}

static void write_cell(const struct model *model, const struct model_row *row, int column,
		       struct json_writer *w)
{
	const struct model_cell *cell = &row->cells[column];
	json_begin_object(w);
	json_field_string(w, "column", model->columns[column].name);
	if (cell->why)
		json_field_string(w, "why", cell->why);
	if (cell->count) {
		field_number(w, "median", stats_median(cell->values, cell->count));
		json_key(w, "values");
		json_begin_array(w);
		for (size_t i = 0; i < cell->count; i++)
			put_number(w, cell->values[i]);
		json_end_array(w);
		json_key(w, "outliers");
		json_begin_array(w);
		for (size_t i = 0; i < cell->count; i++)
			if (stats_is_outlier(cell->values, cell->count, cell->values[i]))
				json_put_u64(w, i);
		json_end_array(w);
		field_number(w, "stalled", cell->stalled);
		write_judgement(model, row, column, w);
	}
	json_end_object(w);
}

static void write_row(const struct model *model, const struct model_row *row, struct json_writer *w)
{
	int baseline = model_baseline(model, row);
	json_begin_object(w);
	json_field_string(w, "workload", row->workload);
	json_field_string(w, "metric", row->metric);
	json_field_string(w, "title", row->title);
	json_field_string(w, "unit", row->unit);
	json_field_string(w, "group", row->group);
	json_field_string(w, "better", better_names[row->better]);
	if (baseline >= 0)
		json_field_string(w, "baseline", model->columns[baseline].name);
	field_number(w, "noise", model_noise(model, row));
	json_key(w, "cells");
	json_begin_array(w);
	for (size_t i = 0; i < model->column_count; i++)
		if (row->cells[i].count || row->cells[i].why)
			write_cell(model, row, (int)i, w);
	json_end_array(w);
	json_end_object(w);
}

static bool is_used(const struct model *model, size_t column)
{
	for (size_t i = 0; i < model->row_count; i++)
		if (model->rows[i].cells[column].count || model->rows[i].cells[column].why)
			return true;
	return false;
}

static void write_columns(const struct model *model, struct json_writer *w)
{
	json_key(w, "columns");
	json_begin_array(w);
	for (size_t i = 0; i < model->column_count; i++) {
		const struct model_column *column = &model->columns[i];
		if (!is_used(model, i))
			continue;
		json_begin_object(w);
		json_field_string(w, "name", column->name);
		json_field_string(w, "title", column->title);
		json_field_string(w, "how", column->how);
		json_field_bool(w, "emulated", column->emulated);
		json_end_object(w);
	}
	json_end_array(w);
}

int model_write(const struct model *model, struct buf *ret)
{
	struct json_writer w;
	json_writer_init(&w, ret, true);
	json_begin_object(&w);
	json_field_string(&w, "schema", MODEL_SCHEMA);
	json_field_string(&w, "masu", MASU_VERSION);
	json_field_string(&w, "profile", model->profile);
	json_field_string(&w, "started", model->started);
	field_number(&w, "seconds", model->seconds);
	json_field_bool(&w, "interrupted", model->interrupted);
	field_number(&w, "harness", model->harness);
	json_key(&w, "machine");
	json_begin_object(&w);
	for (size_t i = 0; i < model->fact_count; i++)
		json_field_string(&w, model->facts[i].key, model->facts[i].value);
	json_end_object(&w);
	json_key(&w, "notes");
	json_begin_array(&w);
	for (size_t i = 0; i < model->note_count; i++)
		json_put_string(&w, model->notes[i]);
	json_end_array(&w);
	write_columns(model, &w);
	json_key(&w, "rows");
	json_begin_array(&w);
	for (size_t i = 0; i < model->row_count; i++)
		write_row(model, &model->rows[i], &w);
	json_end_array(&w);
	json_end_object(&w);
	return buf_error(ret);
}

/* ---- reading ---- */

static const char *string_of(const struct json *object, const char *key, const char *otherwise)
{
	const char *text;
	return json_string(json_get(object, key), &text) ? text : otherwise;
}

static bool number_of(const struct json *value, double *ret)
{
	if (!value || value->type != JSON_NUMBER)
		return false;
	*ret = strtod(value->text, NULL);
	return isfinite(*ret);
}

static int read_cell(struct model *model, struct model_row *row, const struct json *from)
{
	const char *name = string_of(from, "column", "");
	int column = model_column_index(model, name);
	if (column < 0)
		return -EINVAL;
	struct model_cell *cell = &row->cells[column];
	cell->count = 0;
	cell->why = string_of(from, "why", NULL);
	number_of(json_get(from, "stalled"), &cell->stalled);
	json_foreach (value, json_get(from, "values")) {
		/* Ratios of them are taken, so each is more than nothing. */
		if (cell->count == STATS_MAX_VALUES ||
		    !number_of(value, &cell->values[cell->count]) || cell->values[cell->count] <= 0)
			return -EINVAL;
		cell->count++;
	}
	return 0;
}

static int read_row(struct model *model, const struct json *from)
{
	if (model->row_count == MODEL_MAX_ROWS)
		return -E2BIG;
	struct model_row *row = &model->rows[model->row_count];
	*row = (struct model_row) {
		.workload = string_of(from, "workload", NULL),
		.metric = string_of(from, "metric", NULL),
		.title = string_of(from, "title", ""),
		.unit = string_of(from, "unit", ""),
		.group = string_of(from, "group", ""),
		.cells = arena_array(model->arena, struct model_cell, model->column_count + 1),
	};
	const char *better = string_of(from, "better", "");
	size_t way = 0;
	while (way < ARRAY_SIZE(better_names) && !streq(better, better_names[way]))
		way++;
	if (!row->workload || !row->metric || way == ARRAY_SIZE(better_names))
		return -EINVAL;
	row->better = (enum model_better)way;
	row->name = arena_printf(model->arena, "%s.%s", row->workload, row->metric);
	if (!row->name || !row->cells)
		return -ENOMEM;
	json_foreach (cell, json_get(from, "cells")) {
		int r = read_cell(model, row, cell);
		if (r < 0)
			return r;
	}
	model->row_count++;
	return 0;
}

static int read_columns(struct model *model, const struct json *columns)
{
	json_foreach (from, columns) {
		if (model->column_count == MODEL_MAX_COLUMNS)
			return -E2BIG;
		struct model_column *column = &model->columns[model->column_count];
		*column = (struct model_column) { .name = string_of(from, "name", NULL),
						  .title = string_of(from, "title", ""),
						  .how = string_of(from, "how", "") };
		json_bool(json_get(from, "emulated"), &column->emulated);
		if (!column->name)
			return -EINVAL;
		model->column_count++;
	}
	return 0;
}

static int read_machine(struct model *model, const struct json *root)
{
	int r = 0;
	json_foreach (fact, json_get(root, "machine")) {
		const char *text;
		if (r == 0 && json_string(fact, &text))
			r = model_add_fact(model, fact->key, text);
	}
	json_foreach (note, json_get(root, "notes")) {
		const char *text;
		if (r == 0 && json_string(note, &text))
			r = model_add_note(model, text);
	}
	return r;
}

int model_parse(struct model *ret, struct arena *arena, const char *name, const char *text,
		size_t len, struct masu_error *err)
{
	const struct json *root;
	int r = json_parse(arena, text, len, &root, err);
	if (r < 0)
		return error_wrap(err, "%s", name);
	if (!streq(string_of(root, "schema", ""), MODEL_SCHEMA))
		return error_set(err, -EINVAL, "%s: not a result of masu bench (schema %s)", name,
				 MODEL_SCHEMA);
	*ret = (struct model) { .arena = arena,
				.profile = string_of(root, "profile", "?"),
				.started = string_of(root, "started", "?") };
	number_of(json_get(root, "seconds"), &ret->seconds);
	number_of(json_get(root, "harness"), &ret->harness);
	json_bool(json_get(root, "interrupted"), &ret->interrupted);
	r = read_columns(ret, json_get(root, "columns"));
	if (r == 0)
		r = read_machine(ret, root);
	json_foreach (row, json_get(root, "rows")) {
		if (r == 0)
			r = read_row(ret, row);
	}
	if (r < 0)
		return error_errno(err, r, "%s: row %zu", name, ret->row_count + 1);
	return 0;
}

int model_read(struct model *ret, struct arena *arena, const char *path, struct masu_error *err)
{
	char *text;
	size_t len;
	int r = fs_read_arena(AT_FDCWD, path, MODEL_MAX_BYTES, arena, &text, &len);
	if (r < 0)
		return error_errno(err, r, "%s", path);
	return model_parse(ret, arena, path, text, len, err);
}
