/* The WWW-Authenticate header of a registry's 401 (RFC 9110, section 11.6.1). */
#pragma once

#include <stdbool.h>

#define CHALLENGE_VALUE_MAX 1024

struct challenge {
	bool bearer, basic;
	char realm[CHALLENGE_VALUE_MAX], service[CHALLENGE_VALUE_MAX], scope[CHALLENGE_VALUE_MAX];
};

/*
 * Reads the first Bearer challenge with a realm, else the first Basic one, of a header's value.
 * -EBADMSG: neither is there, or it is malformed.
 */
int challenge_parse(const char *header, struct challenge *ret);

/*
 * Whether the token server @realm may be told the credentials for the registry at @base: over
 * HTTPS, or HTTP where the registry itself is, and on the same host or one of the same site (the
 * last two labels are the same: registry.gitlab.com and gitlab.com).
 */
bool challenge_realm_trusted(const char *realm, const char *base);
