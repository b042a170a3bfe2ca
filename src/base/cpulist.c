#include "base/cpulist.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 5

static int parse_number(const char **at, unsigned *ret)
{
	size_t digits = strspn(*at, "0123456789");
	if (digits == 0 || digits > DIGITS_MAX)
		return -EINVAL;
	*ret = (unsigned)strtoul(*at, NULL, 10);
	*at += digits;
	return *ret < CPULIST_MAX ? 0 : -EINVAL;
}

static int parse(const char *list, uint8_t bits[CPULIST_MAX / 8])
{
	memset(bits, 0, CPULIST_MAX / 8);
	for (const char *p = list;;) {
		unsigned first, last;
		int r = parse_number(&p, &first);
		last = first;
		if (r == 0 && *p == '-') {
			p++;
			r = parse_number(&p, &last);
		}
		if (r < 0 || last < first)
			return -EINVAL;
		for (unsigned n = first; n <= last; n++)
			bits[n / 8] |= (uint8_t)(1u << n % 8);
		if (!*p)
			return 0;
		if (*p++ != ',')
			return -EINVAL;
	}
}

int cpulist_within(const char *list, const char *available)
{
	uint8_t wanted[CPULIST_MAX / 8], there[CPULIST_MAX / 8];
	int r = parse(list, wanted);
	if (r < 0)
		return r;
	if (parse(available, there) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(wanted); i++)
		if (wanted[i] & ~there[i])
			return 0;
	return 1;
}
