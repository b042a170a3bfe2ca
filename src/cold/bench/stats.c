#include "cold/bench/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double sorted_quantile(const double *sorted, size_t count, double p)
{
	double at = p * (double)(count - 1);
	size_t below = (size_t)at;
	if (below + 1 >= count)
		return sorted[count - 1];
	return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

static size_t sort_into(const double *values, size_t count, double ret[STATS_MAX_VALUES])
{
	if (count > STATS_MAX_VALUES)
		count = STATS_MAX_VALUES;
	memcpy(ret, values, count * sizeof(*values));
	qsort(ret, count, sizeof(*ret), by_value);
	return count;
}

double stats_quantile(const double *values, size_t count, double p)
{
	double sorted[STATS_MAX_VALUES];
	count = sort_into(values, count, sorted);
	return sorted_quantile(sorted, count, p);
}

double stats_median(const double *values, size_t count)
{
	return stats_quantile(values, count, 0.5);
}

bool stats_is_outlier(const double *values, size_t count, double value)
{
	if (count < STATS_MIN_VALUES)
		return false;
	double low = stats_quantile(values, count, 0.25);
	double high = stats_quantile(values, count, 0.75);
	double reach = 1.5 * (high - low);
	return value < low - reach || value > high + reach;
}

/* Student's t for 97.5 %, by degrees of freedom: R, qt(.975, 1:30). */
static double student(size_t freedom)
{
	static const double t[] = {
		12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.30600,
		2.26216, 2.22814, 2.20099, 2.17881, 2.16037, 2.14479, 2.13145, 2.11991,
		2.10982, 2.10092, 2.09302, 2.08596, 2.07961, 2.07387, 2.06866, 2.06390,
		2.05954, 2.05553, 2.05183, 2.04841, 2.04523, 2.04227,
	};
	if (freedom == 0)
		return t[0];
	/* Beyond the table the first term of Fisher's expansion is right to three digits. */
	return freedom <= ARRAY_SIZE(t) ? t[freedom - 1] : 1.95996 + 2.37 / (double)freedom;
}

double stats_tail(size_t count)
{
	if (count < 2)
		return 0;
	double widen = sqrt((double)count / (double)(count - 1));
	return 0.5 * erfc(widen * student(count - 1) / M_SQRT2);
}

uint64_t stats_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

size_t stats_below(uint64_t *state, size_t limit)
{
	/* Of 2^32 equally likely values; for limits this small the bias is below 1e-7. */
	return (size_t)(((stats_random(state) >> 32) * (uint64_t)limit) >> 32);
}

void stats_shuffle(uint64_t *state, size_t *order, size_t count)
{
	for (size_t i = 0; i < count; i++)
		order[i] = i;
	for (size_t i = count; i > 1; i--) {
		size_t k = stats_below(state, i), swap = order[i - 1];
		order[i - 1] = order[k];
		order[k] = swap;
	}
}

static double draw_median(uint64_t *state, const double *values, size_t count)
{
	double drawn[STATS_MAX_VALUES];
	for (size_t i = 0; i < count; i++)
		drawn[i] = values[stats_below(state, count)];
	qsort(drawn, count, sizeof(*drawn), by_value);
	return sorted_quantile(drawn, count, 0.5);
}

struct stats_ratio stats_ratio(const double *a, size_t a_count, const double *b, size_t b_count,
			       uint64_t seed)
{
	struct stats_ratio result = { .ratio = NAN, .low = 0, .high = INFINITY };
	a_count = a_count > STATS_MAX_VALUES ? STATS_MAX_VALUES : a_count;
	b_count = b_count > STATS_MAX_VALUES ? STATS_MAX_VALUES : b_count;
	if (a_count == 0 || b_count == 0)
		return result;
	result.ratio = stats_median(a, a_count) / stats_median(b, b_count);
	size_t fewer = a_count < b_count ? a_count : b_count;
	if (fewer < STATS_MIN_VALUES)
		return result;
	double draws[STATS_DRAWS];
	for (size_t i = 0; i < STATS_DRAWS; i++) {
		double top = draw_median(&seed, a, a_count);
		draws[i] = top / draw_median(&seed, b, b_count);
	}
	qsort(draws, STATS_DRAWS, sizeof(*draws), by_value);
	double tail = stats_tail(fewer);
	result.low = sorted_quantile(draws, STATS_DRAWS, tail);
	result.high = sorted_quantile(draws, STATS_DRAWS, 1 - tail);
	return result;
}
