/* What a connection that failed means, and in words what to do. Private to the fetcher. */
#pragma once

#include <stddef.h>

#include "cold/registry/libcurl.h"
#include "cold/registry/registry.h"

enum failure {
	FAILURE_CUT,	   /* of the network: worth another attempt */
	FAILURE_UNREACHED, /* nobody is there, or is not believed: the next endpoint may be */
	FAILURE_CERTAIN	   /* as it would be next time, and over HTTP */
};

/*
 * @reason: libcurl's own (CURLOPT_ERRORBUFFER). @proxy_status: what a proxy said to CONNECT, 0:
 * none was asked. The message goes to @ret.
 */
enum failure failure_judge(const struct registry_endpoint *at, CURLcode result, const char *reason,
			   long proxy_status, char *ret, size_t size);
