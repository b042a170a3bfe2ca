/*
 * The columns: ways to run the same program. One row of a table each, and a row is little more than
 * arguments of `masu run`, so that what is measured is what is shipped. What this machine or this
 * masu cannot do stays in the table, and its cells say why they are empty.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"

enum maker { MAKER_NATIVE, MAKER_MASU, MAKER_PODMAN, MAKER_DOCKER, MAKER_LXC, MAKER_NSPAWN };

/* What a workload strains, and so which columns tell something about it. */
enum {
	AXIS_CPU = 1 << 0,
	AXIS_KERNEL = 1 << 1,
	AXIS_NETWORK = 1 << 2,
	AXIS_STORAGE = 1 << 3,
	AXIS_START = 1 << 4,
	AXIS_ALL = (1 << 5) - 1,
};

struct configuration {
	const char *name, *title;
	enum maker maker;
	unsigned axes;
	/*
	 * Words for `run`. "%publish" with or without ",mode=…" becomes -p options for the ports
	 * that the workload serves; "%volume" becomes a volume at /data.
	 */
	const char *arguments;
	bool quick;	     /* also part of --quick */
	bool machine;	     /* a virtual machine */
	bool relay;	     /* a process of the harness passes the ports on */
	bool both;	     /* for workloads with all of its axes, not any */
	const char *storage; /* storage driver, in a root of its own; NULL: what masu chooses */
	const char *before;  /* what masu is told once before the first run; NULL: nothing */
};

#define CONFIGURATION_MAX 48

/* The table, and after it what --column NAME=ARGUMENTS added. */
struct configurations {
	struct configuration rows[CONFIGURATION_MAX];
	size_t count;
};
void configurations_init(struct configurations *all);
/* --column. -EINVAL with a message for what is no name or is there already. */
int configurations_add(struct configurations *all, struct arena *arena, const char *text,
		       struct masu_error *err);

/* Words of a command line. Sticky: a word too many makes it invalid, see words_end(). */
#define WORDS_MAX 128
struct words {
	const char *list[WORDS_MAX + 1];
	size_t count;
	bool overflow;
};
void words_add(struct words *words, const char *word);
/* Split at blanks; '' is an empty word. */
void words_split(struct words *words, struct arena *arena, const char *text);

/* Adds the configuration's arguments for a program that serves @ports (0-terminated, may be NULL).
 */
void configuration_arguments(const struct configuration *configuration, struct arena *arena,
			     const unsigned short *ports, const char *volume, struct words *ret);
