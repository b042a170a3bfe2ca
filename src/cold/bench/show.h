/* A model for people and for machines. Each writes to a stream or a buffer; nothing is measured. */
#pragma once

#include <stdio.h>

#include "cold/bench/model.h"

/* table.c: one table a group, then what a reader must know. */
void show_table(const struct model *model, FILE *out);

/* compare.c: every figure that both have, the second by the first. */
void show_comparison(const struct model *before, const struct model *after, FILE *out);
/* The cell of @after that is @column of @row in @before, or NULL. */
const struct model_row *comparison_row(const struct model *after, const struct model_row *row);
enum model_verdict comparison_judge(const struct model *before, const struct model *after,
				    const struct model_row *row, int column,
				    struct stats_ratio *ret);

/* openmetrics.c: the OpenMetrics text format, version 1.0. */
int show_openmetrics(const struct model *model, struct buf *ret);

/* condition.c: "redis.nat<0.9", "redis.get50.nat<0.9": of a column's speed by the baseline's. With
 * @before, of its speed by what it was there. */
struct condition {
	const char *text, *workload, *metric, *column;
	char relation; /* '<' or '>' */
	double limit;
};
int condition_parse(struct condition *ret, struct arena *arena, const char *text,
		    struct masu_error *err);
/* 1: it holds, and the difference is one; 0: not; -ENOENT with a message: no such figure. */
int condition_holds(const struct condition *condition, const struct model *model,
		    const struct model *before, struct masu_error *err);
