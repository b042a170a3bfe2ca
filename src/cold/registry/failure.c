#include "cold/registry/failure.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* The name of the endpoint's directory in certs.d. */
static const char *directory_of(const struct registry_endpoint *at)
{
	const char *location = strstr(at->base, "://");
	location = location ? location + 3 : at->base;
	return streq(location, "registry-1.docker.io") ? "docker.io" : location;
}

/* The variable that names the proxy for the endpoint; NULL: none does. */
static const char *proxy_variable(const struct registry_endpoint *at)
{
	static const char *const secure[] = { "https_proxy", "HTTPS_PROXY", "all_proxy",
					      "ALL_PROXY" };
	if (str_after(at->base, "http://"))
		return getenv("http_proxy") ? "HTTP_PROXY" : NULL;
	for (size_t i = 0; i < ARRAY_SIZE(secure); i++)
		if (getenv(secure[i]))
			return secure[i];
	return NULL;
}

static enum failure proxy_refused(const struct registry_endpoint *at, long status, char *ret,
				  size_t size)
{
	const char *name = proxy_variable(at);
	name = name ? name : "HTTPS_PROXY";
	str_format(ret, size,
		   status == 407
			   ? "%s: the proxy wants a user name and password (status %ld); "
			     "%s=http://USER:PASSWORD@HOST:PORT has them"
			   : "%s: the proxy does not connect to it: status %ld; NO_PROXY names "
			     "what is reached without %s",
		   at->base, status, name);
	return status >= 500 ? FAILURE_UNREACHED : FAILURE_CERTAIN;
}

/* What the other side says of our certificate, or of there being none (RFC 8446, section 6.2). */
static bool is_about_certificate(const char *reason)
{
	return strstr(reason, "alert") &&
	       (strstr(reason, "certificate") || strstr(reason, "unknown ca"));
}

/* "Failed to connect to HOST port PORT …" is about the endpoint itself, not about a proxy. */
static bool names(const char *reason, const struct registry_endpoint *at)
{
	char text[512];
	const char *host = strstr(at->base, "://");
	host = host ? host + 3 : at->base;
	size_t len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
	const char *port = host[len] == ':' ? host + len + 1 : NULL;
	if (!port)
		port = str_after(at->base, "http://") ? "80" : "443";
	int r = str_format(text, sizeof(text), "Failed to connect to %.*s port %.*s ", (int)len,
			   host, (int)strcspn(port, "/"), port);
	return r == 0 && str_after(reason, text);
}

enum failure failure_judge(const struct registry_endpoint *at, CURLcode result, const char *reason,
			   long proxy_status, char *ret, size_t size)
{
	const char *place = directory_of(at), *variable = proxy_variable(at);
	if (!*reason)
		reason = libcurl.easy_strerror(result);
	if (proxy_status >= 300)
		return proxy_refused(at, proxy_status, ret, size);
	if (is_about_certificate(reason)) {
		str_format(ret, size,
			   at->cert ? "%s: it does not accept the client certificate in "
				      "/etc/docker/certs.d/%s: %.120s"
				    : "%s: it wants a client certificate: client.cert and "
				      "client.key in /etc/docker/certs.d/%s (%.120s)",
			   at->base, place, reason);
		return FAILURE_CERTAIN;
	}
	if (result == CURLE_SSL_CERTPROBLEM) {
		str_format(ret, size,
			   "%s: the client certificate and key in /etc/docker/certs.d/%s are not "
			   "usable: %.120s",
			   at->base, place, reason);
		return FAILURE_CERTAIN;
	}
	if (result == CURLE_PEER_FAILED_VERIFICATION) {
		str_format(ret, size,
			   "%s: %.160s; an authority of one's own is trusted by "
			   "/etc/docker/certs.d/%s/ca.crt",
			   at->base, reason, place);
		return FAILURE_UNREACHED;
	}
	bool proxy = variable && result == CURLE_COULDNT_CONNECT && !names(reason, at);
	str_format(ret, size, "%s: %s%s%s%.200s", at->base, proxy ? "the proxy of " : "",
		   proxy ? variable : "", proxy ? ": " : "", reason);
	return proxy || result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST ||
			       result == CURLE_COULDNT_RESOLVE_PROXY ||
			       result == CURLE_SSL_CONNECT_ERROR
		       ? FAILURE_UNREACHED
	       : result == CURLE_UNSUPPORTED_PROTOCOL || result == CURLE_URL_MALFORMAT
		       ? FAILURE_CERTAIN
		       : FAILURE_CUT;
}
