#include "engine/health.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "engine/internal.h"
#include "state/record.h"

#define MS		       1000000 /* nanoseconds */
#define DEFAULT_INTERVAL       30000
#define DEFAULT_TIMEOUT	       30000
#define DEFAULT_START_INTERVAL 5000
#define DEFAULT_RETRIES	       3

static const char *const status_names[] = { [HEALTH_STARTING] = "starting",
					    [HEALTH_HEALTHY] = "healthy",
					    [HEALTH_UNHEALTHY] = "unhealthy" };

const char *health_status_name(enum health_status status)
{
	return status_names[status];
}

/* ---- the check ---- */

bool health_is_checked(const struct container_config *config)
{
	char **test = config->healthcheck.test;
	return config->healthcheck.present && test && test[0] && test[1] &&
	       (streq(test[0], "CMD") || streq(test[0], "CMD-SHELL"));
}

static int64_t or_default(int64_t ns, int64_t ms)
{
	return ns > 0 ? (ns + MS - 1) / MS : ms;
}

struct health_plan health_plan_of(const struct container_config *config)
{
	const struct image_healthcheck *check = &config->healthcheck;
	return (struct health_plan) {
		.interval = or_default(check->interval_ns, DEFAULT_INTERVAL),
		.timeout = or_default(check->timeout_ns, DEFAULT_TIMEOUT),
		.start_period = or_default(check->start_period_ns, 0),
		.start_interval = or_default(check->start_interval_ns, DEFAULT_START_INTERVAL),
		.retries = check->retries > 0 ? check->retries : DEFAULT_RETRIES,
	};
}

int health_validate(const struct container_config *config, struct masu_error *err)
{
	const struct image_healthcheck *check = &config->healthcheck;
	const struct {
		const char *name;
		int64_t ns;
	} times[] = { { "Interval", check->interval_ns },
		      { "Timeout", check->timeout_ns },
		      { "StartPeriod", check->start_period_ns },
		      { "StartInterval", check->start_interval_ns } };
	for (size_t i = 0; check->present && i < ARRAY_SIZE(times); i++)
		if (times[i].ns && times[i].ns < MS)
			return error_set(err, -EINVAL, "%s in Healthcheck cannot be less than 1ms",
					 times[i].name);
	if (check->present && check->retries < 0)
		return error_set(err, -EINVAL, "Retries in Healthcheck cannot be negative");
	if (config->health_on_failure && !health_is_checked(config))
		return error_set(err, -EINVAL,
				 "cannot set on-failure action to %s without a health check",
				 config->health_on_failure);
	return 0;
}

char **health_command(struct arena *arena, const struct container_config *config)
{
	static char *const default_shell[] = { (char *)"/bin/sh", (char *)"-c", NULL };
	char **test = config->healthcheck.test;
	char *const *shell = config->shell && config->shell[0] ? config->shell : default_shell;
	size_t words = streq(test[0], "CMD") ? 0 : strv_length(shell), rest = strv_length(test + 1);
	char **args = arena_array(arena, char *, words + rest + 1);
	if (!args)
		return NULL;
	for (size_t i = 0; i < words; i++)
		args[i] = shell[i];
	for (size_t i = 0; i < rest; i++)
		args[words + i] = test[1 + i];
	return args;
}

/* ---- what results come to ---- */

void health_add(struct health *health, const struct health_plan *plan, int64_t since_start,
		const struct health_result *result)
{
	if (health->count == HEALTH_LOG_MAX)
		memmove(health->log, health->log + 1,
			(HEALTH_LOG_MAX - 1) * sizeof(health->log[0]));
	else
		health->count++;
	health->log[health->count - 1] = *result;
	if (result->exit_code == 0) {
		health->status = HEALTH_HEALTHY;
		health->streak = 0;
		return;
	}
	/* Who has never been healthy is given its time to start. */
	if (health->status == HEALTH_STARTING && since_start < plan->start_period)
		return;
	if (++health->streak >= plan->retries)
		health->status = HEALTH_UNHEALTHY;
}

int64_t health_wait(const struct health_plan *plan, enum health_status status, int64_t since_start)
{
	return since_start < plan->start_period && status == HEALTH_STARTING ? plan->start_interval
									     : plan->interval;
}

/* ---- files ---- */

static int status_from_json(const struct json *record, const char *started, struct health *ret)
{
	const char *status = "", *of = "";
	int64_t streak = 0;
	json_string(json_get(record, "StartedAt"), &of);
	if (started && !streq(of, started))
		return -ENOENT;
	json_string(json_get(record, "Status"), &status);
	json_i64(json_get(record, "FailingStreak"), &streak);
	for (int i = HEALTH_STARTING; i <= HEALTH_UNHEALTHY; i++)
		if (streq(status, status_names[i]))
			ret->status = (enum health_status)i;
	ret->streak = (int)streak;
	return 0;
}

int health_read_status(int run_dir, const char *prefix, struct arena *arena,
		       struct container *container, struct masu_error *err)
{
	struct health health = { .status = HEALTH_STARTING };
	const struct json *record;
	char path[CONTAINER_PATH_MAX];
	bool runs = container->status == CONTAINER_RUNNING || container->status == CONTAINER_PAUSED;
	if (!runs || !health_is_checked(&container->config))
		return 0;
	int r = str_format(path, sizeof(path), "%shealth.json", prefix);
	if (r == 0)
		r = record_read(run_dir, path, arena, &record, err);
	if (r == 0)
		status_from_json(record, container->started, &health);
	if (!container->monitor_pid)
		health.status = HEALTH_UNHEALTHY;
	container->health = health_status_name(health.status);
	return r == -ENOENT ? 0 : r;
}

static int log_read(const struct json *list, struct health *ret)
{
	json_foreach (item, list) {
		struct health_result *result = &ret->log[ret->count];
		const struct json *output = json_get(item, "Output");
		int64_t code = -1;
		if (ret->count == HEALTH_LOG_MAX ||
		    !json_string(json_get(item, "Start"), &result->start) ||
		    !json_string(json_get(item, "End"), &result->end) ||
		    !json_string(output, &result->output))
			return -EBADMSG;
		result->output_len = output->text_len;
		json_i64(json_get(item, "ExitCode"), &code);
		result->exit_code = (int)code;
		ret->count++;
	}
	return 0;
}

int health_read(int dir, struct arena *arena, const char *started, struct health *ret,
		struct masu_error *err)
{
	const struct json *status = NULL, *log = NULL;
	*ret = (struct health) { .status = HEALTH_STARTING };
	int r = record_read(dir, "health-log.json", arena, &log, err);
	if (r == 0)
		r = log_read(log, ret);
	if (r == 0)
		r = record_read(dir, "health.json", arena, &status, err);
	return r < 0 ? r : status_from_json(status, started, ret);
}

static void log_write(struct json_writer *w, const struct health *health)
{
	json_begin_array(w);
	for (size_t i = 0; i < health->count; i++) {
		json_begin_object(w);
		json_field_string(w, "Start", health->log[i].start);
		json_field_string(w, "End", health->log[i].end);
		json_field_i64(w, "ExitCode", health->log[i].exit_code);
		json_key(w, "Output");
		json_put_string_len(w, health->log[i].output, health->log[i].output_len);
		json_end_object(w);
	}
	json_end_array(w);
}

/* The log first: a status without the result that it comes of would not be understood. */
int health_write(int dir, const char *started, const struct health *health, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 1u << 20);
	json_writer_init(&w, &text, false);
	log_write(&w, health);
	int r = record_write(dir, "health-log.json", &text, false, err);
	if (r < 0)
		return r;
	buf_reset(&text);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_field_string(&w, "Status", health_status_name(health->status));
	json_field_i64(&w, "FailingStreak", health->streak);
	json_field_string(&w, "StartedAt", started);
	json_end_object(&w);
	return record_write(dir, "health.json", &text, false, err);
}

int health_inspect(struct json_writer *w, struct arena *arena, const struct container *container,
		   struct masu_error *err)
{
	struct health health;
	/* One that was never started has not begun to be checked. */
	if (!health_is_checked(&container->config) || container->status == CONTAINER_CREATED)
		return 0;
	int r = container->health
			? health_read(container->run_fd, arena, container->started, &health, err)
			: health_read(container->dir_fd, arena, NULL, &health, err);
	if (r < 0 && r != -ENOENT)
		return r;
	json_key(w, "Health");
	json_begin_object(w);
	json_field_string(w, "Status", container->health ? container->health : "unhealthy");
	json_field_i64(w, "FailingStreak", health.streak);
	json_key(w, "Log");
	log_write(w, &health);
	json_end_object(w);
	return 0;
}

const char *health_duration(int64_t ms, char ret[HEALTH_DURATION_MAX])
{
	char fraction[8] = "";
	int64_t seconds = ms / 1000;
	if (ms < 1000) {
		snprintf(ret, HEALTH_DURATION_MAX, ms ? "%dms" : "%ds", (int)ms);
		return ret;
	}
	if (ms % 1000) {
		snprintf(fraction, sizeof(fraction), ".%03d", (int)(ms % 1000));
		for (char *end = fraction + strlen(fraction) - 1; *end == '0'; end--)
			*end = '\0';
	}
	int hours = (int)(seconds / 3600), minutes = (int)(seconds / 60 % 60);
	int rest = (int)(seconds % 60);
	if (hours)
		snprintf(ret, HEALTH_DURATION_MAX, "%dh%dm%d%ss", hours, minutes, rest, fraction);
	else if (minutes)
		snprintf(ret, HEALTH_DURATION_MAX, "%dm%d%ss", minutes, rest, fraction);
	else
		snprintf(ret, HEALTH_DURATION_MAX, "%d%ss", rest, fraction);
	return ret;
}
