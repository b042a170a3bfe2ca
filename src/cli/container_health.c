/* The options of `run` and `create` about health checks. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "cli/container_options.h"
#include "cli/parse.h"
#include "cli/time_text.h"

/* Go's duration; what docker's client refuses of it is refused in its words. */
static int parse_time(const char *flag, const char *value, int64_t *ret, struct masu_error *err)
{
	if (!value)
		return 0;
	bool negative = *value == '-';
	if (time_parse_duration(value + (negative || *value == '+'), ret) < 0)
		return parse_refuse(err, flag, value, "time: invalid duration \"%.100s\"", value);
	if (negative && *ret)
		return error_set(err, -EINVAL, "%s cannot be negative", flag);
	return 0;
}

static int parse_retries(const char *value, int *ret, struct masu_error *err)
{
	int64_t number = 0;
	if (!value)
		return 0;
	if (str_to_i64(value, &number) < 0 || number > INT32_MAX)
		return parse_refuse(err, "--health-retries", value,
				    "strconv.ParseInt: parsing \"%.100s\": invalid syntax", value);
	if (number < 0)
		return error_set(err, -EINVAL, "--health-retries cannot be negative");
	*ret = (int)number;
	return 0;
}

/* podman's; "none" is what no option is. */
static int parse_action(const char *value, const char **ret, struct masu_error *err)
{
	static const char *const actions[] = { "kill", "restart", "stop" };
	if (!value || !*value || streq(value, "none"))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (streq(value, actions[i])) {
			*ret = actions[i];
			return 0;
		}
	}
	return error_set(
		err, -EINVAL,
		"invalid on-failure action \"%.100s\" for health check: supported actions are "
		"none,kill,restart,stop",
		value);
}

int container_health_fill(struct arena *arena, const struct container_options *o,
			  struct container_config *config, struct masu_error *err)
{
	struct image_healthcheck check = { 0 };
	int r = parse_time("--health-interval", o->health_interval, &check.interval_ns, err);
	if (r == 0)
		r = parse_time("--health-timeout", o->health_timeout, &check.timeout_ns, err);
	if (r == 0)
		r = parse_time("--health-start-period", o->health_start_period,
			       &check.start_period_ns, err);
	if (r == 0)
		r = parse_time("--health-start-interval", o->health_start_interval,
			       &check.start_interval_ns, err);
	if (r == 0)
		r = parse_retries(o->health_retries, &check.retries, err);
	if (r == 0)
		r = parse_action(o->health_on_failure, &config->health_on_failure, err);
	if (r < 0)
		return r;
	check.present = (o->health_cmd && *o->health_cmd) || check.interval_ns ||
			check.timeout_ns || check.start_period_ns || check.start_interval_ns ||
			check.retries;
	if (o->no_healthcheck && check.present)
		return error_set(err, -EINVAL,
				 "--no-healthcheck conflicts with --health-* options");
	if (o->health_cmd && *o->health_cmd) {
		check.test = arena_array(arena, char *, 3);
		if (!check.test)
			return error_set(err, -ENOMEM, "out of memory");
		check.test[0] = (char *)"CMD-SHELL";
		check.test[1] = (char *)o->health_cmd;
	}
	config->no_healthcheck = o->no_healthcheck;
	config->healthcheck = check;
	return 0;
}
