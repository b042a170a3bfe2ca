#include "cold/bench/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cold/bench/spawn.h"

#define BAR 24

/* How long at this pace, and never longer than the time that was given. */
static double remaining(const struct runner *runner, double done)
{
	double now = spawn_now(), left = runner->ends - now;
	if (done > 0.02 && (now - runner->began) * (1 - done) / done < left)
		left = (now - runner->began) * (1 - done) / done;
	return left > 0 ? left : 0;
}

static void redraw(const struct runner *runner, const char *what, const char *which, double done)
{
	char bar[BAR + 1];
	int filled = (int)(done * BAR), left = (int)remaining(runner, done);
	for (int i = 0; i < BAR; i++)
		bar[i] = i < filled ? '#' : '.';
	bar[BAR] = '\0';
	fprintf(stderr, "\r\033[K[%s] %3.0f %%  %d:%02d left  %s %s", bar, done * 100, left / 60,
		left % 60, what, which);
	fflush(stderr);
}

void progress_show(struct runner *runner, const char *what, const char *which, unsigned part,
		   unsigned parts)
{
	if (runner->quiet)
		return;
	double of_one = parts ? (double)part / parts : 0;
	double done =
		runner->workloads && runner->running
			? ((double)runner->workloads_done + of_one) / (double)runner->workloads
			: 0;
	if (isatty(STDERR_FILENO)) {
		redraw(runner, what, which, done > 1 ? 1 : done);
	} else if (parts && part == 0) {
		int left = (int)remaining(runner, done);
		fprintf(stderr, "bench: %3.0f %%, %d:%02d left: %s\n", done * 100, left / 60,
			left % 60, what);
	}
}

void progress_end(struct runner *runner)
{
	if (!runner->quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
}
