/* Shared by the files of place. */
#pragma once

#include "cold/bench/place.h"
#include "cold/bench/spawn.h"

/* Of what a program printed, the line that says what went wrong: the first that names a failure,
 * else the last. Changes the text. */
const char *place_said(struct buf *text);
/* An error where the status is not 0: @what and place_said() of what it printed. */
int place_check(struct place *place, const struct spawn_result *result, const char *what,
		struct masu_error *err);
/* The command line of a run in its column; @name: detached, under that name. */
int place_prepare(struct place *place, const struct place_run *run, const char *name,
		  struct words *words, struct spawn *ret, struct masu_error *err);
