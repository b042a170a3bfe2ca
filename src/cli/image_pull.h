/* The image of `run` and `create`, where it has to come from a registry first. */
#pragma once

#include "cli/container_options.h"

/* "missing" (NULL), "always" or "never". -EINVAL with docker's words for anything else. */
int image_pull_policy_check(const char *policy, struct masu_error *err);

/*
 * Runs masu-image's pull in a process of its own, which prints what goes wrong. 0; positive: the
 * exit status to end with, everything is said; negative: it could not be started.
 */
int image_pull(struct cli_context *context, const struct container_options *options,
	       const char *image, struct masu_error *err);

/*
 * After a creation failed with @failure: pulls the image where that was what was missing and the
 * policy allows it. 0: create again; else what to return.
 */
int image_pull_missing(struct cli_context *context, const struct engine *engine,
		       const struct container_options *options, const char *image, int failure,
		       struct masu_error *err);
