#include "engine/restart_policy.h"

#include <signal.h>

#include "base/str.h"

static bool retries_left(const struct restart_case *c)
{
	return c->maximum <= 0 || c->count < c->maximum;
}

bool restart_after_end(const struct restart_case *end)
{
	if (end->stopped)
		return false;
	switch (end->policy) {
	case RESTART_NO:
		return false;
	case RESTART_ALWAYS:
	case RESTART_UNLESS_STOPPED:
		return true;
	case RESTART_ON_FAILURE:
		return end->exit_code != 0 && retries_left(end);
	}
	return false;
}

bool restart_at_system_start(const struct restart_case *last)
{
	switch (last->policy) {
	case RESTART_NO:
		return false;
	case RESTART_ALWAYS:
		return true;
	case RESTART_UNLESS_STOPPED:
		return !last->stopped;
	case RESTART_ON_FAILURE:
		return last->exit_code != 0 && retries_left(last);
	}
	return false;
}

bool restart_is_possible(const struct container_config *config)
{
	return config->restart != RESTART_NO ||
	       (config->health_on_failure && streq(config->health_on_failure, "restart"));
}

int64_t restart_backoff(int64_t previous_ms, int64_t ran_ms)
{
	if (previous_ms <= 0 || ran_ms >= RESTART_STABLE_MS)
		return RESTART_BACKOFF_FIRST_MS;
	int64_t next = previous_ms * 2;
	return next < RESTART_BACKOFF_MAX_MS ? next : RESTART_BACKOFF_MAX_MS;
}

bool restart_is_ending_signal(int sig, int stop_signal)
{
	return sig == SIGKILL || sig == SIGTERM || sig == SIGINT || sig == SIGQUIT ||
	       sig == stop_signal;
}
