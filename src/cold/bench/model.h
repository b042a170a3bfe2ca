/*
 * What a run of `masu bench` found, whether it was just measured or read from a results.json: the
 * table, the report, the comparison, the metrics and the conditions all look at this. docs/bench.md
 * documents the file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "cold/bench/stats.h"

#define MODEL_SCHEMA	  "masu-bench/1"
#define MODEL_MAX_COLUMNS 48
#define MODEL_MAX_ROWS	  256
#define MODEL_MAX_BYTES	  (16u << 20)

/* Which way a figure is good. MODEL_PLAIN is shown and not judged (the memory a program sees). */
enum model_better { MODEL_HIGHER, MODEL_LOWER, MODEL_PLAIN };

struct model_column {
	const char *name;  /* "nat" */
	const char *title; /* "bridge, translated port" */
	const char *how;   /* arguments of the engine, for a person */
	bool emulated;	   /* a machine in software: shown, never judged */
};

struct model_cell {
	double values[STATS_MAX_VALUES];
	size_t count;
	const char *why; /* the cell is empty: why; NULL: it is not */
	double stalled;	 /* share of the time in which something waited for a CPU */
};

struct model_row {
	const char *name;     /* "redis.get50": workload, metric */
	const char *workload; /* "redis" */
	const char *metric;   /* "get50" */
	const char *title;    /* "GET, 50 clients" */
	const char *unit;
	const char *group; /* "network": what it asks the machine for */
	enum model_better better;
	struct model_cell *cells; /* one a column */
};

struct model_fact {
	const char *key, *value;
};

struct model {
	struct arena *arena;
	const char *profile; /* "quick", "full", "paper" */
	const char *started; /* RFC 3339 */
	double seconds;
	bool interrupted;
	double harness;		  /* CPU time of the harness itself by elapsed time */
	struct model_fact *facts; /* about the machine */
	size_t fact_count;
	const char **notes; /* what a reader must know: scaled down, emulated, cache sized */
	size_t note_count;
	struct model_column columns[MODEL_MAX_COLUMNS];
	size_t column_count;
	struct model_row rows[MODEL_MAX_ROWS];
	size_t row_count;
};

int model_write(const struct model *model, struct buf *ret);
/* -EINVAL with the place for what is no such document; @name for messages. */
int model_parse(struct model *ret, struct arena *arena, const char *name, const char *text,
		size_t len, struct masu_error *err);
int model_read(struct model *ret, struct arena *arena, const char *path, struct masu_error *err);

/* The index of the column of that name, or -1. */
int model_column_index(const struct model *model, const char *name);
struct model_row *model_row_find(struct model *model, const char *workload, const char *metric);

int model_add_fact(struct model *model, const char *key, const char *value);
int model_add_note(struct model *model, const char *note);

/* ---- judgement ---- */

#define MODEL_NATIVE "native"
#define MODEL_AGAIN  "native-again"

/* The column that ratios refer to: native, else the first with values; -1: no column has any. */
int model_baseline(const struct model *model, const struct model_row *row);

enum model_verdict {
	MODEL_EMPTY,  /* no values, no baseline, or nothing to judge */
	MODEL_SAME,   /* no difference was found */
	MODEL_FASTER, /* than the baseline */
	MODEL_SLOWER,
};

/*
 * @ret: speed by the baseline's speed, so that less than 1 is worse whatever the unit. A difference
 * is one if the 95 % interval leaves 1 out and it exceeds what two native columns differ by (the
 * noise floor of this row). Emulated columns and too few samples are never judged.
 */
enum model_verdict model_judge(const struct model *model, const struct model_row *row, int column,
			       struct stats_ratio *ret);
/* The same against any column. */
enum model_verdict model_judge_against(const struct model *model, const struct model_row *row,
				       int column, int baseline, struct stats_ratio *ret);

/* How far from 1 native was against itself, at the far end of the interval cut at the middle: the
 * distance of the ratio. 0 where there is no second native column. */
double model_noise(const struct model *model, const struct model_row *row);

/* "0.98 ±0.01" is for tables; this writes a value with three significant digits and its unit. */
#define MODEL_TEXT_MAX 48
const char *model_value_text(double value, const char *unit, char ret[MODEL_TEXT_MAX]);
