/* Credential helpers: docker-credential-NAME (docker's credential-helpers protocol). */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

/*
 * Runs docker-credential-@name @verb ("get", "store", "erase") with @input on its stdin; its
 * output, at most 1 MiB, goes to @out. -ENOENT: it is not installed. -EIO with what it says where
 * it fails.
 */
int helper_run(const char *name, const char *verb, const char *input, struct buf *out,
	       struct masu_error *err);
