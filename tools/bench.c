/*
 * Times commands in turn, so that all see the same machine: round after round, in shuffled order.
 *
 * Usage: bench [-n ROUNDS] [-w WARMUPS] [-s MS] [-j WORKERS] FILE
 * FILE has one case a line, tab separated:  name  timed command  [setup command  [teardown
 * command]] Words are split at blanks; there is no shell. "%N" in a word becomes a number unique to
 * the run. The first case is what the ratios refer to. With -s, MS milliseconds pass between a
 * set-up and its timed command. With -j, WORKERS processes run each case's command ROUNDS times, in
 * slices in turn with the other cases, and the rate is printed instead.
 *
 * Prints wall (median, p99), CPU of the command and its waited-for children (median), peak RSS, and
 * the ratio of the medians. /proc/pressure/cpu is shown before and after: a loaded machine makes
 * absolute figures meaningless, ratios less so.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_CASES   64
#define MAX_WORDS   256
#define RATE_SLICES 5

extern char **environ;

struct sample {
	double wall_us, cpu_us;
	long rss_kib;
};

struct bench_case {
	char *name, *timed, *setup, *teardown;
	struct sample *samples;
	size_t count;
	int failed;
};

static unsigned serial;
static unsigned settle_ms;

static double now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* Splits @text into words and replaces %N; all memory is one malloc that words[0] points into. */
static char *split(const char *text, char **words)
{
	size_t size = strlen(text) * 8 + 64, used = 0;
	char *storage = malloc(size);
	size_t count = 0;
	if (!storage)
		exit(1);
	for (const char *p = text; *p;) {
		while (*p == ' ')
			p++;
		if (!*p || count == MAX_WORDS - 1)
			break;
		words[count++] = storage + used;
		while (*p && *p != ' ') {
			if (p[0] == '%' && p[1] == 'N') {
				used += (size_t)snprintf(storage + used, size - used, "%d-%u",
							 (int)getpid(), serial);
				p += 2;
			} else {
				storage[used++] = *p++;
			}
		}
		storage[used++] = '\0';
	}
	words[count] = NULL;
	return storage;
}

static int run(const char *command, struct sample *ret)
{
	char *words[MAX_WORDS];
	char *storage = split(command, words);
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	pid_t pid;
	int status = 0;
	struct rusage usage;
	double start = now_us();
	/* posix_spawn uses vfork: the cost of starting does not depend on this program's size. */
	int r = posix_spawnp(&pid, words[0], &actions, NULL, words, environ);
	if (r == 0)
		wait4(pid, &status, 0, &usage);
	double end = now_us();
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0) {
		fprintf(stderr, "bench: %s: %s\n", words[0], strerror(r));
		free(storage);
		return -r;
	}
	free(storage);
	if (ret)
		*ret = (struct sample) {
			.wall_us = end - start,
			.cpu_us = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
				  (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec),
			.rss_kib = usage.ru_maxrss,
		};
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int once(struct bench_case *c, struct sample *ret)
{
	serial++;
	if (c->setup && *c->setup && run(c->setup, NULL) != 0)
		return -1;
	if (settle_ms)
		usleep(settle_ms * 1000);
	int status = run(c->timed, ret);
	if (c->teardown && *c->teardown)
		run(c->teardown, NULL);
	return status;
}

static int by_wall(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	return (x->wall_us > y->wall_us) - (x->wall_us < y->wall_us);
}

static int by_cpu(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	return (x->cpu_us > y->cpu_us) - (x->cpu_us < y->cpu_us);
}

static void print_pressure(const char *when)
{
	char line[256] = "";
	FILE *file = fopen("/proc/pressure/cpu", "re");
	if (file) {
		if (fgets(line, sizeof(line), file))
			printf("pressure %s: %s", when, line);
		fclose(file);
	}
}

static void report(struct bench_case *cases, size_t count)
{
	double base_wall = 0, base_cpu = 0;
	printf("%-28s %5s %10s %10s %10s %9s %8s %8s\n", "case", "n", "wall p50", "wall p99",
	       "cpu p50", "rss KiB", "x wall", "x cpu");
	for (size_t i = 0; i < count; i++) {
		struct bench_case *c = &cases[i];
		if (c->count == 0) {
			printf("%-28s failed: %s\n", c->name, c->timed);
			continue;
		}
		qsort(c->samples, c->count, sizeof(*c->samples), by_cpu);
		double cpu = c->samples[c->count / 2].cpu_us;
		qsort(c->samples, c->count, sizeof(*c->samples), by_wall);
		double wall = c->samples[c->count / 2].wall_us;
		double p99 = c->samples[(c->count * 99) / 100].wall_us;
		long rss = 0;
		for (size_t k = 0; k < c->count; k++)
			if (c->samples[k].rss_kib > rss)
				rss = c->samples[k].rss_kib;
		if (base_wall == 0) {
			base_wall = wall;
			base_cpu = cpu > 0 ? cpu : 1;
		}
		printf("%-28s %5zu %7.2f ms %7.2f ms %7.2f ms %9ld %8.2f %8.2f%s\n", c->name,
		       c->count, wall / 1e3, p99 / 1e3, cpu / 1e3, rss, wall / base_wall,
		       cpu / base_cpu, c->failed ? "  (some runs failed)" : "");
	}
}

static void interleaved(struct bench_case *cases, size_t count, size_t rounds, size_t warmups)
{
	size_t order[MAX_CASES];
	for (size_t i = 0; i < count; i++)
		order[i] = i;
	for (size_t round = 0; round < rounds + warmups; round++) {
		for (size_t i = count; i > 1; i--) {
			size_t k = (size_t)random() % i, swap = order[i - 1];
			order[i - 1] = order[k];
			order[k] = swap;
		}
		for (size_t i = 0; i < count; i++) {
			struct bench_case *c = &cases[order[i]];
			struct sample sample;
			if (c->failed > 2)
				continue;
			if (once(c, &sample) != 0)
				c->failed++;
			else if (round >= warmups)
				c->samples[c->count++] = sample;
		}
	}
}

/* @workers processes, each running the case @rounds times: the seconds it took, -1 where one
 * failed. */
static double slice(struct bench_case *c, size_t rounds, size_t workers)
{
	double start = now_us();
	for (size_t w = 0; w < workers; w++) {
		pid_t pid = fork();
		if (pid < 0)
			exit(1);
		if (pid == 0) {
			int bad = 0;
			for (size_t i = 0; i < rounds; i++)
				bad |= once(c, NULL) != 0;
			_exit(bad);
		}
	}
	int failed = 0, status;
	while (wait(&status) > 0)
		failed |= status;
	return failed ? -1 : (now_us() - start) / 1e6;
}

static void rates(struct bench_case *cases, size_t count, size_t rounds, size_t workers)
{
	double seconds[MAX_CASES] = { 0 }, base = 0;
	size_t per_slice = (rounds + RATE_SLICES - 1) / RATE_SLICES, done = 0;
	for (; done < rounds; done += per_slice) {
		for (size_t i = 0; i < count; i++) {
			double took = cases[i].failed ? -1 : slice(&cases[i], per_slice, workers);
			cases[i].failed |= took < 0;
			seconds[i] += took;
		}
	}
	printf("%-28s %7s %12s %8s\n", "case", "workers", "per second", "ratio");
	for (size_t i = 0; i < count; i++) {
		double r = (double)(done * workers) / seconds[i];
		if (cases[i].failed) {
			printf("%-28s failed: %s\n", cases[i].name, cases[i].timed);
			continue;
		}
		if (base == 0)
			base = r;
		printf("%-28s %7zu %12.1f %8.2f\n", cases[i].name, workers, r, base / r);
	}
}

static size_t load(const char *path, struct bench_case *cases, size_t rounds)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0, count = 0;
	ssize_t len;
	if (!file) {
		perror(path);
		exit(1);
	}
	while ((len = getline(&line, &size, file)) > 0 && count < MAX_CASES) {
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (!*line || *line == '#')
			continue;
		char *rest = strdup(line);
		struct bench_case *c = &cases[count];
		c->name = strsep(&rest, "\t");
		c->timed = strsep(&rest, "\t");
		c->setup = strsep(&rest, "\t");
		c->teardown = strsep(&rest, "\t");
		c->samples = calloc(rounds, sizeof(*c->samples));
		if (!c->timed || !c->samples) {
			fprintf(stderr, "bench: bad case: %s\n", line);
			exit(1);
		}
		count++;
	}
	free(line);
	fclose(file);
	return count;
}

int main(int argc, char **argv)
{
	static struct bench_case cases[MAX_CASES];
	size_t rounds = 50, warmups = 3, workers = 0;
	int option;
	while ((option = getopt(argc, argv, "n:w:s:j:")) != -1) {
		if (option == 'n')
			rounds = strtoul(optarg, NULL, 10);
		else if (option == 'w')
			warmups = strtoul(optarg, NULL, 10);
		else if (option == 's')
			settle_ms = (unsigned)strtoul(optarg, NULL, 10);
		else if (option == 'j')
			workers = strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (optind + 1 != argc) {
		fprintf(stderr,
			"usage: bench [-n rounds] [-w warmups] [-s ms] [-j workers] FILE\n");
		return 2;
	}
	size_t count = load(argv[optind], cases, rounds);
	print_pressure("before");
	if (workers) {
		rates(cases, count, rounds, workers);
	} else {
		interleaved(cases, count, rounds, warmups);
		report(cases, count);
	}
	print_pressure("after");
	return 0;
}
