/*
 * Health checks: what their results come to, and the two files that tell it to everybody.
 *   health.json      {"Status", "FailingStreak", "StartedAt"}: small, `ps` reads it; of the run
 * that began at StartedAt, so that the next run is "starting" without any writing health-log.json
 * the last results as inspect shows them They are in the run directory, written by the checks of a
 * running container (monitor_health.c); when it has ended they are kept in the container's own.
 */
#pragma once

#include "engine/engine.h"

#define HEALTH_LOG_MAX	  5
#define HEALTH_OUTPUT_MAX 4096

enum health_status { HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };

struct health_result {
	const char *start, *end; /* RFC 3339 */
	int exit_code;		 /* -1: it did not come to one */
	const char *output;
	size_t output_len;
};

struct health {
	enum health_status status;
	int streak; /* failures in a row */
	struct health_result log[HEALTH_LOG_MAX];
	size_t count;
};

/* A health check with Docker's defaults put in; times in milliseconds. */
struct health_plan {
	int64_t interval, timeout, start_period, start_interval;
	int retries;
};

/* Whether the container has a check that is to be run. */
bool health_is_checked(const struct container_config *config);
struct health_plan health_plan_of(const struct container_config *config);
/* -EINVAL for what docker refuses, and for actions on failure without a check. */
int health_validate(const struct container_config *config, struct masu_error *err);
/* The command to run in the container, in the arena. */
char **health_command(struct arena *arena, const struct container_config *config);

const char *health_status_name(enum health_status status);
/* Adds a result of a run that began @since_start ms before the check did. */
void health_add(struct health *health, const struct health_plan *plan, int64_t since_start,
		const struct health_result *result);
/* How long to wait before the next check. */
int64_t health_wait(const struct health_plan *plan, enum health_status status, int64_t since_start);

/*
 * Sets container->health, which is NULL unless it runs with a check; @prefix of its files' names
 * below @run_dir as in store.c. Without a monitor nobody checks: that is unhealthy, as with docker.
 */
int health_read_status(int run_dir, const char *prefix, struct arena *arena,
		       struct container *container, struct masu_error *err);
/* The whole, from @dir: of the run that began at @started (NULL: whichever). -ENOENT: no check was
 * made yet; *ret is that of a start then. */
int health_read(int dir, struct arena *arena, const char *started, struct health *ret,
		struct masu_error *err);
int health_write(int dir, const char *started, const struct health *health, struct masu_error *err);
/* Docker's State.Health as a member of an open object; nothing where there is no check. */
int health_inspect(struct json_writer *w, struct arena *arena, const struct container *container,
		   struct masu_error *err);

/* Go's time.Duration.String(), in which docker tells of a timeout. */
#define HEALTH_DURATION_MAX 32
const char *health_duration(int64_t ms, char ret[HEALTH_DURATION_MAX]);
