/* The hidden verb of masu-more that is run in a container by lxc-start and lxc-attach. */
#pragma once

#include "base/error.h"

#define LXC_INSIDE_VERB "__lxc-inside"

/* Becomes the process that @door tells of (an open socket's number); returns only on failure. */
int lxc_inside(const char *door, struct masu_error *err);
