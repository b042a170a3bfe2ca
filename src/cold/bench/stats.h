/*
 * Statistics of few, repeated measurements: medians, and how sure a ratio of two is. Nothing here
 * knows what was measured. The arrays given are not changed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATS_MAX_VALUES 64 /* of one cell */

/* The quantile by linear interpolation (R's type 7, numpy's default). @count at least 1. */
double stats_quantile(const double *values, size_t count, double p);
double stats_median(const double *values, size_t count);

/* Tukey's fences: whether a value is further than 1.5 interquartile ranges outside the quartiles.
 * Such values are shown, and count like the others. */
bool stats_is_outlier(const double *values, size_t count, double value);

struct stats_ratio {
	double ratio, low, high; /* median(a) / median(b) and its 95 % interval */
};

/*
 * The ratio of two medians with a bootstrap interval (Efron): both samples are drawn again with
 * replacement STATS_DRAWS times, and the interval is cut out of the ratios that gives. A percentile
 * interval of few values is too narrow, so its ends are moved out as Hesterberg 2015 ("What
 * Teachers Should Know About the Bootstrap", 5.3) does, by Student's t. With fewer than
 * STATS_MIN_VALUES values on a side there is none: low is 0 and high infinite. @seed makes it
 * repeatable. All values must be positive.
 */
#define STATS_DRAWS	 2000
#define STATS_MIN_VALUES 4
struct stats_ratio stats_ratio(const double *a, size_t a_count, const double *b, size_t b_count,
			       uint64_t seed);

/* Whether the interval leaves 1 out. */
static inline bool stats_differs(const struct stats_ratio *ratio)
{
	return ratio->low > 1 || ratio->high < 1;
}

/* The tail of the bootstrap distribution to cut off at each end for 95 % with samples of @count. */
double stats_tail(size_t count);

/* A generator for shuffles and draws (splitmix64, Steele et al. 2014), and a number below @limit.
 */
uint64_t stats_random(uint64_t *state);
size_t stats_below(uint64_t *state, size_t limit);
/* A random order of 0…count-1 (Fisher and Yates). */
void stats_shuffle(uint64_t *state, size_t *order, size_t count);
