#include "base/human.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static double scaled(uint64_t bytes, double base, unsigned *ret_unit)
{
	double size = (double)bytes;
	*ret_unit = 0;
	while (size >= base && *ret_unit < 6) {
		size /= base;
		++*ret_unit;
	}
	return size;
}

static const char *decimal(uint64_t bytes, int digits, char ret[HUMAN_MAX])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	unsigned unit;
	double size = scaled(bytes, 1000, &unit);
	snprintf(ret, HUMAN_MAX, "%.*g%s", digits, size, units[unit]);
	return ret;
}

const char *human_size(uint64_t bytes, char ret[HUMAN_MAX])
{
	return decimal(bytes, 3, ret);
}

const char *human_size_long(uint64_t bytes, char ret[HUMAN_MAX])
{
	return decimal(bytes, 4, ret);
}

const char *human_binary(uint64_t bytes, char ret[HUMAN_MAX])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned unit;
	double size = scaled(bytes, 1024, &unit);
	snprintf(ret, HUMAN_MAX, "%.4g%s", size, units[unit]);
	return ret;
}

const char *human_duration(int64_t seconds, char ret[HUMAN_MAX])
{
	int64_t minutes = seconds / 60, hours = (seconds + 1800) / 3600;
	if (seconds < 1)
		return "Less than a second";
	if (seconds == 1)
		return "1 second";
	if (minutes == 1)
		return "About a minute";
	if (minutes >= 60 && hours == 1)
		return "About an hour";
	if (seconds < 60)
		snprintf(ret, HUMAN_MAX, "%d seconds", (int)seconds);
	else if (minutes < 60)
		snprintf(ret, HUMAN_MAX, "%d minutes", (int)minutes);
	else if (hours < 48)
		snprintf(ret, HUMAN_MAX, "%d hours", (int)hours);
	else if (hours < 24 * 7 * 2)
		snprintf(ret, HUMAN_MAX, "%d days", (int)(hours / 24));
	else if (hours < 24 * 30 * 2)
		snprintf(ret, HUMAN_MAX, "%d weeks", (int)(hours / 24 / 7));
	else if (hours < 24 * 365 * 2)
		snprintf(ret, HUMAN_MAX, "%d months", (int)(hours / 24 / 30));
	else
		snprintf(ret, HUMAN_MAX, "%lld years", (long long)(seconds / 3600 / 24 / 365));
	return ret;
}

int time_parse_rfc3339(const char *text, int64_t *ret_seconds)
{
	struct tm tm = { 0 };
	int end = 0, hours, minutes;
	if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end) != 6 ||
	    end == 0)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	const char *zone = text + end;
	if (*zone == '.')
		zone += 1 + strspn(zone + 1, "0123456789");
	int64_t seconds = timegm(&tm);
	if ((*zone == '+' || *zone == '-') && sscanf(zone + 1, "%2d:%2d", &hours, &minutes) == 2)
		seconds -= (*zone == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);
	else if ((*zone != 'Z' && *zone != 'z') || zone[1])
		return -EINVAL;
	*ret_seconds = seconds;
	return 0;
}
