/*
 * Phase timing for --trace-timing: trace_mark("mounts") records the time since the previous mark
 * under that name. Off, a mark is one predictable branch. The marks of the processes that make one
 * container (CLI, monitor, container init) share one page, so that they come out as one table.
 */
#pragma once

#include <stdbool.h>

extern bool trace_enabled;

/* Allocates the shared page and takes the origin of time. 0 or -errno. */
int trace_start(void);
void trace_record(const char *phase);
/* Prints "<µs since start> <µs of the phase> <process> <phase>" lines to stderr. */
void trace_print(void);
/* Names the process for the marks that follow ("cli", "monitor", "init"). Static string. */
void trace_process(const char *name);

static inline void trace_mark(const char *phase)
{
	if (__builtin_expect(trace_enabled, false))
		trace_record(phase);
}
