/* The verbs of masu-probe. Each takes its own arguments (argv[0] is the verb) and returns the
 * program's exit status; figures are printed as "NAME VALUE" lines. */
#pragma once

#include <stdint.h>
#include <time.h>

static inline double probe_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A number of the command line; the program ends with a message where it is none. */
double probe_number(const char *text);

void probe_print(const char *name, double value);
/* Prints "probe: WHAT: strerror" and returns 1. */
int probe_failed(const char *what);

int probe_spin(int argc, char **argv); /* compute.c */
int probe_stream(int argc, char **argv);
int probe_gups(int argc, char **argv);
int probe_linpack(int argc, char **argv);
int probe_syscall(int argc, char **argv); /* kernel.c */
int probe_memory(int argc, char **argv);
int probe_machine(int argc, char **argv);
int probe_meminfo(int argc, char **argv);
int probe_files(int argc, char **argv); /* files.c */
int probe_fill(int argc, char **argv);
int probe_serve(int argc, char **argv); /* exchange.c */
int probe_ask(int argc, char **argv);
int probe_relay(int argc, char **argv); /* relay.c */
