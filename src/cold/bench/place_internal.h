/* Shared by the files of place. */
#pragma once

#include "cold/bench/place.h"
#include "cold/bench/spawn.h"

/* An error where the status is not 0: @what and the first line of what it said. */
int place_check(struct place *place, const struct spawn_result *result, const char *what,
		struct masu_error *err);
