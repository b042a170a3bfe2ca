/* Making a forked monitor as small as the work it still has. */
#pragma once

#include "base/arena.h"

/*
 * Frees @arena (which stays usable, empty) and tells the kernel that the pages of the program, its
 * heap and its dead stack are not needed: what the loop uses comes back by page faults.
 */
void monitor_trim(struct arena *arena);
