#include "cli/time_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

#define NS_PER_SECOND INT64_C(1000000000)

/* Digits with an optional fraction, in units of @unit nanoseconds. Returns what follows, or NULL.
 */
static const char *parse_decimal(const char *p, int64_t unit, int64_t *ret)
{
	const char *start = p;
	int64_t value = 0;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(value, (int64_t)10, &value) ||
		    __builtin_add_overflow(value, (int64_t)(*p - '0'), &value))
			return NULL;
	if (p == start || __builtin_mul_overflow(value, unit, &value))
		return NULL;
	if (*p == '.') {
		int64_t part = unit;
		for (p++; *p >= '0' && *p <= '9'; p++) {
			part /= 10;
			value += part * (*p - '0');
		}
	}
	*ret = value;
	return p;
}

int time_parse_duration(const char *text, int64_t *ret_ns)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = { { "ns", 1 },
		      { "us", 1000 },
		      { "ms", 1000000 },
		      { "s", NS_PER_SECOND },
		      { "m", 60 * NS_PER_SECOND },
		      { "h", 3600 * NS_PER_SECOND } };
	int64_t total = 0;
	if (!*text)
		return -EINVAL;
	while (*text) {
		int64_t value = 0;
		size_t number = strspn(text, "0123456789."), best = ARRAY_SIZE(units), best_len = 0;
		for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
			size_t len = strlen(units[i].name);
			if (strncmp(text + number, units[i].name, len) == 0 && len > best_len) {
				best = i;
				best_len = len;
			}
		}
		if (best == ARRAY_SIZE(units) ||
		    parse_decimal(text, units[best].ns, &value) != text + number ||
		    __builtin_add_overflow(total, value, &total))
			return -EINVAL;
		text += number + best_len;
	}
	*ret_ns = total;
	return 0;
}

/* "+02:00", "-0530", "Z" or nothing (UTC). */
static int parse_zone(const char *p, int64_t *ret_seconds)
{
	int hours, minutes, used = 0;
	*ret_seconds = 0;
	if (!*p || streq(p, "Z"))
		return 0;
	if (sscanf(p + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || p[1 + used])
		return -EINVAL;
	*ret_seconds = (hours * 3600 + minutes * 60) * (*p == '-' ? -1 : 1);
	return *p == '+' || *p == '-' ? 0 : -EINVAL;
}

/* "2006-01-02[T15:04[:05[.999]]][zone]" */
static int parse_date(const char *text, int64_t *ret_ns)
{
	struct tm tm = { 0 };
	int used = 0;
	int64_t fraction = 0, zone;
	if (sscanf(text, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &used) != 3)
		return -EINVAL;
	const char *p = text + used;
	if (*p == 'T') {
		used = 0;
		if (sscanf(p, "T%2d:%2d%n", &tm.tm_hour, &tm.tm_min, &used) != 2)
			return -EINVAL;
		p += used;
		if (*p == ':') {
			int64_t ns = 0;
			p = parse_decimal(p + 1, NS_PER_SECOND, &ns);
			if (!p)
				return -EINVAL;
			tm.tm_sec = (int)(ns / NS_PER_SECOND);
			fraction = ns % NS_PER_SECOND;
		}
	}
	if (parse_zone(p, &zone) < 0)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	time_t seconds = timegm(&tm);
	int64_t ns;
	if (__builtin_mul_overflow((int64_t)seconds - zone, NS_PER_SECOND, &ns) ||
	    __builtin_add_overflow(ns, fraction, ret_ns))
		return -EINVAL;
	return 0;
}

int time_parse_ns(const char *text, int64_t *ret_ns, struct masu_error *err)
{
	int64_t ns, duration;
	const char *rest = parse_decimal(text, NS_PER_SECOND, &ns);
	if (!rest || *rest) {
		if (time_parse_duration(text, &duration) == 0) {
			struct timespec now;
			clock_gettime(CLOCK_REALTIME, &now);
			ns = now.tv_sec * NS_PER_SECOND + now.tv_nsec - duration;
		} else if (parse_date(text, &ns) < 0) {
			return error_set(err, -EINVAL,
					 "invalid value for \"since\" or \"until\": %.100s", text);
		}
	}
	*ret_ns = ns;
	return 0;
}

int time_parse_point(struct arena *arena, const char *text, const char **ret,
		     struct masu_error *err)
{
	int64_t ns;
	int r = time_parse_ns(text, &ns, err);
	if (r < 0)
		return r;
	time_t seconds = (time_t)(ns / NS_PER_SECOND);
	struct tm tm;
	char date[40];
	if (ns < 0 || !gmtime_r(&seconds, &tm) ||
	    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return error_set(err, -EINVAL, "time out of range: %.100s", text);
	*ret = arena_printf(arena, "%s.%09lldZ", date, (long long)(ns % NS_PER_SECOND));
	return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}
