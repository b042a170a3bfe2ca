/* What every request of the fetcher has: options, and the credentials or the token that are kept.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "cold/registry/token.h"

#define CONNECT_TIMEOUT_S 30L
#define REDIRECTS_MAX	  5L

static void set_blob(CURL *easy, CURLoption option, const char *data, size_t len)
{
	struct curl_blob blob = { (void *)data, len, CURL_BLOB_NOCOPY };
	if (data)
		libcurl.easy_setopt(easy, option, &blob);
}

/*
 * Reading the system's bundle of authorities, 140 of them, takes OpenSSL 3 some 20 ms of processor
 * time for each connection; its directory, where they are named by a hash, it asks for the one that
 * it needs. Where that does not lead to belief, because the directory is not hashed or not all that
 * is believed is in it, the bundle has the last word (session_believe_more()).
 */
static bool bundle_wanted;
#define IN_DIRECTORY "directory" /* CURLOPT_PRIVATE; for an endpoint's own authorities, those */

static void set_authorities(CURL *easy, const struct registry_endpoint *endpoint)
{
	bool directory = !bundle_wanted && libcurl.version_info(CURLVERSION_NOW)->capath;
	if (endpoint->ca)
		set_blob(easy, CURLOPT_CAINFO_BLOB, endpoint->ca,
			 directory ? endpoint->ca_own_len : endpoint->ca_len);
	else if (directory)
		libcurl.easy_setopt(easy, CURLOPT_CAINFO, NULL);
	if (directory)
		libcurl.easy_setopt(easy, CURLOPT_PRIVATE,
				    endpoint->ca ? endpoint->ca : IN_DIRECTORY);
}

bool session_believe_more(const struct session *session, CURL *easy)
{
	char *mark = NULL;
	libcurl.easy_getinfo(easy, CURLINFO_PRIVATE, &mark);
	if (!mark)
		return false;
	bundle_wanted = true;
	libcurl.easy_setopt(easy, CURLOPT_PRIVATE, NULL);
	for (size_t i = 0; i < session->registry->count; i++) {
		const struct registry_endpoint *endpoint = &session->registry->endpoints[i];
		if (endpoint->ca == mark) {
			set_blob(easy, CURLOPT_CAINFO_BLOB, endpoint->ca, endpoint->ca_len);
			return true;
		}
	}
	libcurl.easy_setopt(easy, CURLOPT_CAINFO, libcurl.version_info(CURLVERSION_NOW)->cainfo);
	return true;
}

void session_prepare(CURL *easy, const struct registry_endpoint *endpoint, const char *url)
{
	/* Nobody is led from HTTPS to something that anyone on the way can change. */
	const char *protocols = str_after(endpoint->base, "http://") ? "http,https" : "https";
	libcurl.easy_setopt(easy, CURLOPT_URL, url);
	libcurl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	libcurl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, protocols);
	libcurl.easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
	libcurl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	libcurl.easy_setopt(easy, CURLOPT_USERAGENT, "masu/" MASU_VERSION);
	libcurl.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
	libcurl.easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	libcurl.easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	if (endpoint->insecure) {
		libcurl.easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		libcurl.easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	set_authorities(easy, endpoint);
	set_blob(easy, CURLOPT_SSLCERT_BLOB, endpoint->cert, endpoint->cert_len);
	set_blob(easy, CURLOPT_SSLKEY_BLOB, endpoint->key, endpoint->key_len);
}

static struct session_token *find_token(struct session *session, unsigned endpoint,
					const char *scope)
{
	for (size_t i = 0; i < SESSION_TOKENS_MAX; i++) {
		struct session_token *token = &session->tokens[i];
		if (token->token && token->endpoint == endpoint && streq(token->scope, scope) &&
		    token->expires_ms > clock_ms())
			return token;
	}
	return NULL;
}

void session_keep(struct session *session, unsigned endpoint, const char *scope, const char *text,
		  int64_t life_s)
{
	struct session_token *slot = &session->tokens[0];
	for (size_t i = 0; i < SESSION_TOKENS_MAX; i++) {
		struct session_token *token = &session->tokens[i];
		bool same =
			token->token && token->endpoint == endpoint && streq(token->scope, scope);
		if (same || !token->token || token->expires_ms < slot->expires_ms)
			slot = token;
		if (same)
			break;
	}
	free(slot->token);
	slot->token = strdup(text);
	slot->endpoint = endpoint;
	str_format(slot->scope, sizeof(slot->scope), "%s", scope);
	/* Asked for again a little early, since a blob is long under way. */
	slot->expires_ms = clock_ms() + life_s * 900;
	slot->number = ++session->numbers;
}

unsigned session_token(struct session *session, unsigned endpoint, const char *scope)
{
	const struct session_token *token = find_token(session, endpoint, scope);
	return token ? token->number : session->basic[endpoint] ? SESSION_BASIC : 0;
}

unsigned session_authorize(struct session *session, CURL *easy, unsigned endpoint,
			   const char *scope)
{
	const struct registry_credentials *known =
		&session->registry->endpoints[endpoint].credentials;
	const struct session_token *token = find_token(session, endpoint, scope);
	if (token) {
		/* libcurl sends neither of these to another host after a redirect. */
		libcurl.easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		libcurl.easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, token->token);
		return token->number;
	}
	if (session->basic[endpoint] && known->registry_token) {
		libcurl.easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		libcurl.easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, known->registry_token);
		return SESSION_BASIC;
	}
	if (!session->basic[endpoint] || !known->username)
		return 0;
	libcurl.easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
	libcurl.easy_setopt(easy, CURLOPT_USERNAME, known->username);
	libcurl.easy_setopt(easy, CURLOPT_PASSWORD, known->password);
	return SESSION_BASIC;
}

void session_free(struct session *session)
{
	for (size_t i = 0; i < SESSION_TOKENS_MAX; i++)
		free(session->tokens[i].token);
	for (size_t i = 0; i < REGISTRY_ENDPOINTS_MAX; i++)
		free(session->refresh[i]);
	token_free_all(session);
}
