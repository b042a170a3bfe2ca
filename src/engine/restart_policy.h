/*
 * What --restart asks for, decided from plain values: moby's rules (daemon/internal/restartmanager
 * and the restore at daemon start), so that a policy means here what it means there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"

#define RESTART_BACKOFF_FIRST_MS 100
#define RESTART_BACKOFF_MAX_MS	 60000
#define RESTART_STABLE_MS	 10000 /* who ran so long starts with the first backoff again */

/* An end of a container, and what came before. */
struct restart_case {
	enum restart_policy policy;
	int maximum; /* of on-failure; 0: no bound */
	int count;   /* restarts since the last start by hand */
	int exit_code;
	bool stopped; /* somebody ended it: stop, kill, rm */
};

/* Whether the container is started again after this end. */
bool restart_after_end(const struct restart_case *end);
/*
 * Whether `system start` starts a container that does not run. A stop by hand counts for
 * unless-stopped alone: always means always, and on-failure looks at the exit status.
 */
bool restart_at_system_start(const struct restart_case *last);
/* Whether its monitor may start it again on its own: by policy, or because it is unhealthy. */
bool restart_is_possible(const struct container_config *config);
/* How long to wait before the next start; @previous_ms 0: there was none. */
int64_t restart_backoff(int64_t previous_ms, int64_t ran_ms);

/* A signal that is sent to end a container rather than to tell it something, so that no policy
 * applies to the end that follows. @stop_signal: the container's own. */
bool restart_is_ending_signal(int sig, int stop_signal);
