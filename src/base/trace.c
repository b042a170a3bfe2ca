#include "base/trace.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#define TRACE_MARKS 250

bool trace_enabled;

struct trace_entry {
	uint64_t at_ns;
	const char *process; /* string constants: equal addresses in every fork of this program */
	const char *phase;
};

struct trace_page {
	atomic_uint used;
	uint64_t origin_ns;
	struct trace_entry entries[TRACE_MARKS];
};

static struct trace_page *page;
static const char *process_name = "cli";

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int trace_start(void)
{
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED) {
		page = NULL;
		return -errno;
	}
	page->origin_ns = now_ns();
	trace_enabled = true;
	return 0;
}

void trace_process(const char *name)
{
	process_name = name;
}

void trace_record(const char *phase)
{
	unsigned slot = atomic_fetch_add(&page->used, 1);
	if (slot >= TRACE_MARKS)
		return;
	page->entries[slot] =
		(struct trace_entry) { .at_ns = now_ns(), .process = process_name, .phase = phase };
}

void trace_print(void)
{
	if (!page)
		return;
	unsigned count = atomic_load(&page->used);
	if (count > TRACE_MARKS)
		count = TRACE_MARKS;
	fprintf(stderr, "%10s %10s  %-8s %s\n", "at us", "took us", "process", "phase");
	for (unsigned i = 0; i < count; i++) {
		const struct trace_entry *entry = &page->entries[i];
		uint64_t before = page->origin_ns;
		for (unsigned k = i; k-- > 0;)
			if (page->entries[k].process == entry->process) {
				before = page->entries[k].at_ns;
				break;
			}
		fprintf(stderr, "%10.1f %10.1f  %-8s %s\n",
			(double)(entry->at_ns - page->origin_ns) / 1000,
			(double)(entry->at_ns - before) / 1000, entry->process, entry->phase);
	}
}
