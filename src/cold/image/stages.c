#include "cold/image/stages.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/str.h"

static struct {
	const char *kind;
	struct timeval user, system;
	long peak_kib;
} stages[8];

static void add(const char *kind, const struct rusage *usage)
{
	size_t at = 0;
	while (at < ARRAY_SIZE(stages) - 1 && stages[at].kind && !streq(stages[at].kind, kind))
		at++;
	stages[at].kind = kind;
	timeradd(&stages[at].user, &usage->ru_utime, &stages[at].user);
	timeradd(&stages[at].system, &usage->ru_stime, &stages[at].system);
	if (usage->ru_maxrss > stages[at].peak_kib)
		stages[at].peak_kib = usage->ru_maxrss;
}

pid_t stages_wait(pid_t pid, const char *kind, int *ret_status)
{
	struct rusage usage;
	pid_t r;
	do
		r = wait4(pid, ret_status, 0, &usage);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	add(kind, &usage);
	return r;
}

static double milliseconds(const struct timeval *t)
{
	return (double)t->tv_sec * 1000 + (double)t->tv_usec / 1000;
}

void stages_print(void)
{
	struct rusage own;
	if (getrusage(RUSAGE_SELF, &own) == 0)
		add("master", &own);
	fprintf(stderr, "%10s %10s %10s  %s\n", "user ms", "system ms", "peak KiB", "process");
	for (size_t i = 0; i < ARRAY_SIZE(stages) && stages[i].kind; i++)
		fprintf(stderr, "%10.1f %10.1f %10ld  %s\n", milliseconds(&stages[i].user),
			milliseconds(&stages[i].system), stages[i].peak_kib, stages[i].kind);
}
