/* masu-probe: the small workloads of `masu bench`. See README.md. */
#include "probe/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

double probe_number(const char *text)
{
	char *end;
	double value = strtod(text, &end);
	if (end == text || *end || !(value >= 0) || value > 1e15) {
		fprintf(stderr, "probe: %s: not a number\n", text);
		exit(2);
	}
	return value;
}

void probe_print(const char *name, double value)
{
	printf("%s %.9g\n", name, value);
}

int probe_failed(const char *what)
{
	fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
	return 1;
}

static int probe_true(int argc, char **argv)
{
	return 0;
}

/* A container that does nothing, for what it takes to be there. */
static int probe_idle(int argc, char **argv)
{
	while (pause() < 0 && errno == EINTR)
		;
	return 0;
}

static double seconds(const struct timeval *time)
{
	return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

/* time COMMAND...: output goes nowhere; its wall and CPU time, measured where it runs, so that
 * making the place does not count. */
static int probe_time(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	struct rusage usage;
	int status;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	double start = probe_now();
	pid_t pid = vfork();
	if (null < 0 || pid < 0)
		return probe_failed("vfork");
	if (pid == 0) {
		dup2(null, STDOUT_FILENO);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	while (wait4(pid, &status, 0, &usage) < 0)
		if (errno != EINTR)
			return probe_failed("wait4");
	double wall = probe_now() - start;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "probe: %s failed with status %d\n", argv[1],
			WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
		return 1;
	}
	probe_print("wall", wall);
	probe_print("cpu", seconds(&usage.ru_utime) + seconds(&usage.ru_stime));
	return 0;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} verbs[] = {
	{ "true", probe_true },	      { "idle", probe_idle },	    { "time", probe_time },
	{ "spin", probe_spin },	      { "stream", probe_stream },   { "gups", probe_gups },
	{ "linpack", probe_linpack }, { "syscall", probe_syscall }, { "memory", probe_memory },
	{ "meminfo", probe_meminfo }, { "machine", probe_machine }, { "files", probe_files },
	{ "serve", probe_serve },     { "fill", probe_fill },	    { "ask", probe_ask },
	{ "relay", probe_relay },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	fprintf(stderr, "probe: no such verb; this program is run by masu bench\n");
	return 2;
}
