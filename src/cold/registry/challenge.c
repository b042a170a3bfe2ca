#include "cold/registry/challenge.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

static bool is_token(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip_space(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* A token or a quoted string with backslash escapes; NULL where there is none or it is too long. */
static const char *take_value(const char *p, char ret[CHALLENGE_VALUE_MAX])
{
	size_t len = 0;
	bool quoted = *p == '"';
	if (quoted)
		p++;
	for (; *p && (quoted ? *p != '"' : is_token(*p)); p++) {
		if (quoted && *p == '\\' && p[1])
			p++;
		if (len + 1 >= CHALLENGE_VALUE_MAX || (unsigned char)*p < ' ')
			return NULL;
		ret[len++] = *p;
	}
	ret[len] = '\0';
	if (quoted && *p != '"')
		return NULL;
	return quoted ? p + 1 : p;
}

/* The parameters of one challenge; stops where the next one's scheme begins. */
static const char *take_parameters(const char *p, struct challenge *ret)
{
	char value[CHALLENGE_VALUE_MAX];
	for (;;) {
		p = skip_space(p);
		while (*p == ',')
			p = skip_space(p + 1);
		const char *name = p;
		while (is_token(*p))
			p++;
		size_t len = (size_t)(p - name);
		const char *equals = skip_space(p);
		if (len == 0 || *equals != '=')
			return *name ? name : p;
		p = take_value(skip_space(equals + 1), value);
		if (!p)
			return NULL;
		char *target = len == 5 && strncasecmp(name, "realm", len) == 0	    ? ret->realm
			       : len == 7 && strncasecmp(name, "service", len) == 0 ? ret->service
			       : len == 5 && strncasecmp(name, "scope", len) == 0   ? ret->scope
										    : NULL;
		if (target)
			memcpy(target, value, strlen(value) + 1);
	}
}

int challenge_parse(const char *header, struct challenge *ret)
{
	struct challenge basic = { 0 };
	const char *p = skip_space(header);
	while (p && *p) {
		struct challenge one = { 0 };
		const char *scheme = p;
		while (is_token(*p))
			p++;
		size_t len = (size_t)(p - scheme);
		if (len == 0)
			return -EBADMSG;
		one.bearer = len == 6 && strncasecmp(scheme, "bearer", len) == 0;
		one.basic = len == 5 && strncasecmp(scheme, "basic", len) == 0;
		const char *next = take_parameters(p, &one);
		if (!next || next == scheme)
			return -EBADMSG;
		p = next;
		if (one.bearer && one.realm[0]) {
			*ret = one;
			return 0;
		}
		if (one.basic && !basic.basic)
			basic = one;
	}
	if (!basic.basic)
		return -EBADMSG;
	*ret = basic;
	return 0;
}

/* The host of a URL of the scheme @scheme ("https://"); its length in *ret_len, NULL: another. */
static const char *url_host(const char *url, const char *scheme, size_t *ret_len)
{
	const char *host = str_after(url, scheme);
	if (!host)
		return NULL;
	size_t len = strcspn(host, "/?#");
	/* Who is asked to authenticate in the URL itself hides where it leads. */
	if (memchr(host, '@', len) || memchr(host, '\\', len))
		return NULL;
	*ret_len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
	return *ret_len && *ret_len <= len ? host : NULL;
}

/*
 * The part of a name that one owner has: the last two labels, or three below what looks like
 * "co.uk"; the whole of an address.
 */
static const char *site(const char *host, size_t *len)
{
	unsigned dots = 0, wanted = 2;
	size_t end = *len, last = 0;
	bool numeric = true;
	for (size_t i = 0; i < *len; i++)
		numeric &= isdigit((unsigned char)host[i]) || host[i] == '.';
	if (numeric || *host == '[')
		return host;
	for (size_t i = *len; i > 0; i--) {
		if (host[i - 1] != '.')
			continue;
		dots++;
		if (dots == 1)
			last = end - i;
		else if (dots == 2 && last == 2 && end - last - 1 - i <= 3)
			wanted = 3;
		if (dots < wanted)
			continue;
		*len -= i;
		return host + i;
	}
	return host;
}

bool challenge_realm_trusted(const char *realm, const char *base)
{
	size_t realm_len = 0, base_len = 0;
	const char *host = url_host(base, "https://", &base_len);
	bool plain = !host;
	if (plain)
		host = url_host(base, "http://", &base_len);
	const char *other = url_host(realm, "https://", &realm_len);
	if (!other && plain)
		other = url_host(realm, "http://", &realm_len);
	if (!host || !other)
		return false;
	host = site(host, &base_len);
	other = site(other, &realm_len);
	return base_len == realm_len && strncasecmp(host, other, base_len) == 0;
}
