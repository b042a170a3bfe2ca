#include "base/human.h"

#include <errno.h>
#include <stdbool.h>
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

/* @pattern has "0" for each digit, which are the @numbers in turn, and else what stands there; "T"
 * is also "t" or a blank. What follows, or NULL. */
static const char *take_numbers(const char *text, const char *pattern, int *numbers)
{
	for (; *pattern; text++, pattern++) {
		bool digit = *text >= '0' && *text <= '9';
		if (*pattern == '0' && digit)
			*numbers = *numbers * 10 + (*text - '0');
		else if (*pattern == '0' || (*text != *pattern &&
					     !(*pattern == 'T' && (*text == 't' || *text == ' '))))
			return NULL;
		if (*pattern == '0' && pattern[1] != '0')
			numbers++;
	}
	return text;
}

int time_parse_rfc3339(const char *text, int64_t *ret_seconds)
{
	int n[6] = { 0 }, offset[2] = { 0 };
	const char *zone = take_numbers(text, "0000-00-00T00:00:00", n);
	if (!zone)
		return -EINVAL;
	struct tm tm = { .tm_year = n[0] - 1900,
			 .tm_mon = n[1] - 1,
			 .tm_mday = n[2],
			 .tm_hour = n[3],
			 .tm_min = n[4],
			 .tm_sec = n[5] };
	if (*zone == '.')
		zone += 1 + strspn(zone + 1, "0123456789");
	int64_t seconds = timegm(&tm);
	if ((*zone == '+' || *zone == '-') && take_numbers(zone + 1, "00:00", offset))
		seconds -= (*zone == '+' ? 1 : -1) * (offset[0] * 3600 + offset[1] * 60);
	else if ((*zone != 'Z' && *zone != 'z') || zone[1])
		return -EINVAL;
	*ret_seconds = seconds;
	return 0;
}
