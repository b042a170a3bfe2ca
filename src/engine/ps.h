/*
 * ps(1) for a container's processes: the options that are understood, and columns as procps prints
 * them. Nothing is executed, in the container or outside.
 */
#pragma once

#include <time.h>

#include "base/arena.h"
#include "base/error.h"
#include "sys/process.h"

#define PS_COLUMNS_MAX 64

/* What is the same for all processes of one listing. */
struct ps_machine {
	time_t now;
	time_t boot;		    /* when it was booted */
	double uptime;		    /* seconds */
	uint64_t hertz;		    /* clock ticks a second */
	uint64_t memory;	    /* KiB in all */
	const char *passwd, *group; /* the machine's /etc/passwd and /etc/group */
};

int ps_machine_read(struct arena *arena, struct ps_machine *ret, struct masu_error *err);

struct ps_column;
/* The column that -o calls @name, or NULL. */
const struct ps_column *ps_column_find(const char *name, size_t len);
const char *ps_column_title(const struct ps_column *column);
/* The process's cell, printable; NULL when memory is gone. */
const char *ps_column_text(const struct ps_column *column, struct arena *arena,
			   const struct ps_machine *machine, const struct process_info *process);

struct ps_layout {
	const struct ps_column *columns[PS_COLUMNS_MAX];
	size_t count;
};

/*
 * The layout that ps's arguments ask for; each of @argv may hold several words. None: "-ef".
 * Understood are -e -A -a -f -F -w and their BSD counterparts a x u w, "-o LIST", "o LIST" and
 * "--format LIST"; the rest is refused by name.
 */
int ps_layout_parse(struct arena *arena, char *const *argv, struct ps_layout *ret,
		    struct masu_error *err);
