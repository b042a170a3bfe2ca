/* What `-o FILE` of verbs that write an archive means, in one place. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

typedef int (*output_writer)(void *data, int fd, struct masu_error *err);

/*
 * Has @write write to the file @path, which appears when it is complete, or with NULL to stdout: a
 * terminal is refused with docker's words.
 */
int output_write(struct arena *arena, const char *path, output_writer write, void *data,
		 struct masu_error *err);
