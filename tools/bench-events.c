/* Of tools/bench-events: WRITERS processes append EVENTS events each, as containers are told of, to
 * the log in DIR. Prints the microseconds of one event: the median of BATCHES in the median writer.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "state/event_log.h"

#define WRITERS_MAX 64
#define BATCHES	    100

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return (left > right) - (left < right);
}

static double write_events(int dir_fd, int events)
{
	const struct oci_pair attributes[] = {
		{ "com.example.service", "frontend" },
		{ "com.example.version", "1.2.3" },
		{ "image", "busybox:local" },
		{ "name", "determined_hopper" },
		{ "exitCode", "0" },
	};
	const struct event event = {
		.type = "container",
		.action = "die",
		.id = "36ca68b1e9a2e3d6ad1a1b4a4a7ee9cd4e3b6f2a3a7c2a2c1be4d3f0ab9d1c1e",
		.attributes = attributes,
		.attribute_count = 5,
	};
	double costs[BATCHES];
	for (int batch = 0; batch < BATCHES; batch++) {
		double start = now();
		for (int i = 0; i < events / BATCHES; i++)
			if (event_log_append(dir_fd, &event, 1) < 0)
				exit(1);
		costs[batch] = (now() - start) / (events / BATCHES);
	}
	qsort(costs, BATCHES, sizeof(*costs), compare);
	return costs[BATCHES / 2];
}

int main(int argc, char **argv)
{
	int writers = argc == 4 ? atoi(argv[2]) : 0, events = argc == 4 ? atoi(argv[3]) : 0;
	int dir_fd = argc == 4 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	double *costs = mmap(NULL, WRITERS_MAX * sizeof(*costs), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (dir_fd < 0 || writers < 1 || writers > WRITERS_MAX || events < BATCHES ||
	    costs == MAP_FAILED) {
		fprintf(stderr, "usage: bench-events DIR WRITERS EVENTS\n");
		return 2;
	}
	for (int i = 0; i < writers; i++)
		if (fork() == 0) {
			costs[i] = write_events(dir_fd, events);
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	qsort(costs, (size_t)writers, sizeof(*costs), compare);
	printf("%.2f\n", costs[writers / 2]);
	return 0;
}
