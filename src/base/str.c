#include "base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

bool str_ends_with(const char *s, const char *suffix)
{
	size_t len = strlen(s), tail = strlen(suffix);
	return len >= tail && memcmp(s + len - tail, suffix, tail) == 0;
}

static int str_to_u64_base(const char *s, unsigned base, uint64_t *ret)
{
	uint64_t value = 0;
	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s >= (char)('0' + base))
			return -EINVAL;
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
			return -ERANGE;
	}
	*ret = value;
	return 0;
}

int str_to_u64(const char *s, uint64_t *ret)
{
	return str_to_u64_base(s, 10, ret);
}

int str_to_u32(const char *s, uint32_t *ret)
{
	uint64_t value;
	int r = str_to_u64(s, &value);
	if (r < 0)
		return r;
	if (value > UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)value;
	return 0;
}

int str_to_i64(const char *s, int64_t *ret)
{
	bool negative = *s == '-';
	uint64_t value;
	int r = str_to_u64(s + negative, &value);
	if (r < 0)
		return r;
	if (value > (uint64_t)INT64_MAX + negative)
		return -ERANGE;
	*ret = negative ? (int64_t)(0 - value) : (int64_t)value;
	return 0;
}

int str_to_mode(const char *s, uint32_t *ret)
{
	uint64_t value;
	if (s[0] == '0' && s[1] == 'o')
		s += 2;
	int r = str_to_u64_base(s, 8, &value);
	if (r < 0)
		return r;
	if (value > 07777)
		return -ERANGE;
	*ret = (uint32_t)value;
	return 0;
}

static int unit_shift(const char *unit)
{
	static const char units[] = "bkmgtp";
	char c = *unit >= 'A' && *unit <= 'Z' ? (char)(*unit + 32) : *unit;
	if (!c)
		return 0;
	const char *found = strchr(units, c);
	if (!found)
		return -EINVAL;
	const char *rest = unit + 1;
	if (c != 'b') {
		if ((*rest == 'i' || *rest == 'I') && (rest[1] == 'b' || rest[1] == 'B'))
			rest += 2;
		else if (*rest == 'b' || *rest == 'B')
			rest++;
	}
	return *rest ? -EINVAL : (int)(found - units) * 10;
}

int str_to_bytes(const char *s, uint64_t *ret)
{
	char digits[32];
	size_t whole = strspn(s, "0123456789");
	if (whole == 0 || whole >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, s, whole);
	digits[whole] = '\0';
	uint64_t value;
	int r = str_to_u64(digits, &value);
	if (r < 0)
		return r;
	const char *unit = s + whole;
	uint64_t numerator = 0, denominator = 1;
	if (*unit == '.') {
		size_t frac = strspn(++unit, "0123456789");
		if (frac == 0)
			return -EINVAL;
		for (size_t i = 0; i < frac && i < 6; i++) {
			numerator = numerator * 10 + (uint64_t)(unit[i] - '0');
			denominator *= 10;
		}
		unit += frac;
	}
	if (*unit == ' ')
		unit++;
	int shift = unit_shift(unit);
	if (shift < 0)
		return shift;
	if (value > (UINT64_MAX >> shift))
		return -ERANGE;
	uint64_t fraction = (uint64_t)(((unsigned __int128)numerator << shift) / denominator);
	if (__builtin_add_overflow(value << shift, fraction, ret))
		return -ERANGE;
	return 0;
}

int str_format(char *dst, size_t size, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(dst, size, fmt, ap);
	va_end(ap);
	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

size_t str_utf8_length(const char *text, size_t left)
{
	const unsigned char *s = (const unsigned char *)text;
	if (left >= 2 && s[0] >= 0xc2 && s[0] <= 0xdf && (s[1] & 0xc0) == 0x80)
		return 2;
	if (left >= 3 && (s[0] & 0xf0) == 0xe0 && (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80) {
		bool overlong = s[0] == 0xe0 && s[1] < 0xa0;
		bool surrogate = s[0] == 0xed && s[1] > 0x9f;
		return overlong || surrogate ? 0 : 3;
	}
	if (left >= 4 && s[0] >= 0xf0 && s[0] <= 0xf4 && (s[1] & 0xc0) == 0x80 &&
	    (s[2] & 0xc0) == 0x80 && (s[3] & 0xc0) == 0x80) {
		bool overlong = s[0] == 0xf0 && s[1] < 0x90;
		bool beyond = s[0] == 0xf4 && s[1] > 0x8f;
		return overlong || beyond ? 0 : 4;
	}
	return 0;
}

/* Of a well-formed sequence: U+0080-9F, U+200E-200F, U+202A-202E, U+2066-2069. */
static bool drives_terminal(const unsigned char *s, size_t len)
{
	if (len == 2)
		return s[0] == 0xc2 && s[1] < 0xa0;
	if (len != 3 || s[0] != 0xe2)
		return false;
	return (s[1] == 0x80 && (s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xaa && s[2] <= 0xae))) ||
	       (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9);
}

void str_make_printable(char *s, bool lines)
{
	size_t left = strlen(s);
	while (left) {
		const unsigned char *c = (const unsigned char *)s;
		size_t len = *c < 0x80 ? 1 : str_utf8_length(s, left);
		bool harmless = len == 1 ? (*c >= 0x20 && *c != 0x7f) || (lines && *c == '\n')
					 : len > 1 && !drives_terminal(c, len);
		if (len == 0)
			len = 1;
		if (!harmless)
			memset(s, '?', len);
		s += len;
		left -= len;
	}
}

size_t strv_length(char *const *v)
{
	size_t n = 0;
	while (v && v[n])
		n++;
	return n;
}

bool strv_contains(const char *const *v, const char *s)
{
	for (; v && *v; v++)
		if (streq(*v, s))
			return true;
	return false;
}

bool name_char_valid(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '.' || c == '-';
}

bool name_valid(const char *name)
{
	size_t len = strlen(name);
	if (len < 2 || len > 255 || !name_char_valid(*name) || strchr("_.-", *name))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!name_char_valid(name[i]))
			return false;
	return true;
}
