/*
 * Both ends of a log, for tools/bench-logs.
 *
 * Usage: spew bytes TOTAL LINE BLOCK FILE  writes TOTAL bytes of lines of LINE bytes to stdout,
 * BLOCK bytes a write(2), and the seconds it took to FILE spew ticks COUNT MS               writes
 * the time (monotonic, ns), COUNT times, MS apart spew tocks                        reads such
 * lines: how late they were; prints median, p99 and maximum in ms
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TICKS_MAX 100000

static long long now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int bytes(size_t total, size_t line, size_t block, const char *path)
{
	char *data = malloc(block), part[4096];
	for (size_t i = 0; i < block; i++)
		data[i] = (i + 1) % line ? (char)(' ' + i % 95) : '\n';
	for (size_t i = 0; i < block; i++) /* what JSON would have to escape is rare in most logs */
		if (strchr("\"\\<>&", data[i]))
			data[i] = '-';
	long long start = now_ns();
	for (size_t done = 0; done < total;) {
		ssize_t written = write(STDOUT_FILENO, data, block);
		if (written < 0)
			return 1;
		done += (size_t)written;
	}
	double seconds = (double)(now_ns() - start) / 1e9;
	snprintf(part, sizeof(part), "%s.part", path);
	FILE *file = fopen(part, "w");
	if (!file)
		return 1;
	fprintf(file, "%.6f\n", seconds);
	return fclose(file) || rename(part, path) ? 1 : 0;
}

static int ticks(int count, int ms)
{
	const struct timespec pause = { ms / 1000, ms % 1000 * 1000000L };
	for (int i = 0; i < count; i++) {
		char text[32];
		nanosleep(&pause, NULL);
		int len = snprintf(text, sizeof(text), "%lld\n", now_ns());
		if (write(STDOUT_FILENO, text, (size_t)len) != len)
			return 1;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	long long x = *(const long long *)a, y = *(const long long *)b;
	return (x > y) - (x < y);
}

static int tocks(void)
{
	static long long late[TICKS_MAX];
	size_t count = 0;
	char line[256];
	while (count < TICKS_MAX && fgets(line, sizeof(line), stdin))
		late[count++] = now_ns() - atoll(line);
	if (!count)
		return 1;
	qsort(late, count, sizeof(*late), compare);
	printf("%zu lines: median %.3f ms, p99 %.3f ms, maximum %.3f ms\n", count,
	       (double)late[count / 2] / 1e6, (double)late[count * 99 / 100] / 1e6,
	       (double)late[count - 1] / 1e6);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 6 && !strcmp(argv[1], "bytes"))
		return bytes(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10),
			     strtoull(argv[4], NULL, 10), argv[5]);
	if (argc == 4 && !strcmp(argv[1], "ticks"))
		return ticks(atoi(argv[2]), atoi(argv[3]));
	if (argc == 2 && !strcmp(argv[1], "tocks"))
		return tocks();
	fprintf(stderr, "usage: spew bytes TOTAL LINE BLOCK FILE | ticks COUNT MS | tocks\n");
	return 2;
}
