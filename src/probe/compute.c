/* What the paper calls CPU and memory: integer work, STREAM, RandomAccess and an LU factorisation.
 */
#include "probe/probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Memory as the kernel gives it, touched before anything is timed. */
static void *touched(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		probe_failed("mmap");
		exit(1);
	}
	memset(memory, 1, size);
	return memory;
}

/* spin MILLIONS: dependent integer operations, millions of them a second. Nothing but the CPU. */
int probe_spin(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	uint64_t count = (uint64_t)(probe_number(argv[1]) * 1e6), x = count | 1;
	double start = probe_now();
	for (uint64_t i = 0; i < count; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	double took = probe_now() - start;
	probe_print("mops", (double)count / 1e6 / took);
	return x == 0; /* never: keeps the loop */
}

enum { COPY, SCALE, ADD, TRIAD, KERNELS };

static void stream_kernel(int kernel, double *restrict a, double *restrict b, double *restrict c,
			  size_t n)
{
	const double scalar = 3.0;
	if (kernel == COPY)
		for (size_t i = 0; i < n; i++)
			c[i] = a[i];
	else if (kernel == SCALE)
		for (size_t i = 0; i < n; i++)
			b[i] = scalar * c[i];
	else if (kernel == ADD)
		for (size_t i = 0; i < n; i++)
			c[i] = a[i] + b[i];
	else
		for (size_t i = 0; i < n; i++)
			a[i] = b[i] + scalar * c[i];
}

/* stream MEBIBYTES PASSES: McCalpin's four kernels over three arrays of that size in sum; the best
 * pass of each counts, as in his program, in GB/s. */
int probe_stream(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	static const char *const names[KERNELS] = { "copy", "scale", "add", "triad" };
	static const double bytes[KERNELS] = { 16, 16, 24, 24 };
	size_t n = (size_t)(probe_number(argv[1]) * 1048576 / 3 / sizeof(double));
	int passes = (int)probe_number(argv[2]);
	double *a = touched(n * sizeof(double)), *b = touched(n * sizeof(double));
	double *c = touched(n * sizeof(double)), best[KERNELS] = { 0 };
	for (int pass = 0; pass < passes; pass++) {
		for (int kernel = 0; kernel < KERNELS; kernel++) {
			double start = probe_now();
			stream_kernel(kernel, a, b, c, n);
			double rate = bytes[kernel] * (double)n / 1e9 / (probe_now() - start);
			if (rate > best[kernel])
				best[kernel] = rate;
		}
	}
	for (int kernel = 0; kernel < KERNELS; kernel++)
		probe_print(names[kernel], best[kernel]);
	return 0;
}

/* gups MEBIBYTES MILLIONS: HPC Challenge's RandomAccess: updates at random places of a table, 10^9
 * a second. The table's size is rounded down to a power of two. */
int probe_gups(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	size_t words = 1024;
	while (words * 2 * sizeof(uint64_t) <= (size_t)(probe_number(argv[1]) * 1048576))
		words *= 2;
	uint64_t updates = (uint64_t)(probe_number(argv[2]) * 1e6), random = 1;
	uint64_t *table = touched(words * sizeof(*table));
	double start = probe_now();
	for (uint64_t i = 0; i < updates; i++) {
		random = (random << 1) ^ ((int64_t)random < 0 ? 7 : 0);
		table[random & (words - 1)] ^= random;
	}
	probe_print("gups", (double)updates / 1e9 / (probe_now() - start));
	return 0;
}

/* A += B * C for the part of the matrix that a block of columns leaves to be done. */
static void trailing_update(double *matrix, size_t n, size_t first, size_t last)
{
	for (size_t i = last; i < n; i++) {
		for (size_t k = first; k < last; k++) {
			double factor = matrix[i * n + k];
			const double *restrict from = matrix + k * n;
			double *restrict to = matrix + i * n;
			for (size_t j = last; j < n; j++)
				to[j] -= factor * from[j];
		}
	}
}

/* Gaussian elimination with partial pivoting in columns first..last-1; the rows' part right of them
 * follows for the block's own rows only. */
static void factor_block(double *matrix, size_t n, size_t first, size_t last)
{
	for (size_t k = first; k < last; k++) {
		size_t pivot = k;
		for (size_t i = k + 1; i < n; i++)
			if (fabs(matrix[i * n + k]) > fabs(matrix[pivot * n + k]))
				pivot = i;
		for (size_t j = 0; pivot != k && j < n; j++) {
			double swap = matrix[k * n + j];
			matrix[k * n + j] = matrix[pivot * n + j];
			matrix[pivot * n + j] = swap;
		}
		for (size_t i = k + 1; i < n; i++) {
			double factor = matrix[i * n + k] /= matrix[k * n + k];
			size_t end = i < last ? n : last;
			for (size_t j = k + 1; j < end; j++)
				matrix[i * n + j] -= factor * matrix[k * n + j];
		}
	}
}

/* linpack N: GFLOPS of an LU factorisation, blocked, of our own: a figure to compare columns by,
 * not machines. */
int probe_linpack(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	size_t n = (size_t)probe_number(argv[1]), block = 32;
	uint64_t random = 88172645463325252u;
	double *matrix = touched(n * n * sizeof(double));
	for (size_t i = 0; i < n * n; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		matrix[i] = (double)(random >> 11) / 9007199254740992.0 - 0.5;
	}
	double start = probe_now();
	for (size_t first = 0; first < n; first += block) {
		size_t last = first + block < n ? first + block : n;
		factor_block(matrix, n, first, last);
		trailing_update(matrix, n, first, last);
	}
	double took = probe_now() - start, size = (double)n;
	probe_print("gflops", 2.0 / 3.0 * size * size * size / 1e9 / took);
	return isnan(matrix[n * n - 1]);
}
