/* Tokens and credentials (distribution's token and oauth2 authentication specifications). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "cold/registry/transfer.h"
#include "json/json.h"

#define TOKEN_ANSWER_MAX     (1u << 20)
#define TOKEN_LIFE_DEFAULT_S 60
#define TOKEN_LIFE_MAX_S     86400
#define CONNECT_TIMEOUT_S    30L
#define TOKEN_TIMEOUT_S	     60L
#define REDIRECTS_MAX	     5L

static void set_blob(CURL *easy, CURLoption option, const char *data, size_t len)
{
	struct curl_blob blob = { (void *)data, len, CURL_BLOB_NOCOPY };
	if (data)
		curl_easy_setopt(easy, option, &blob);
}

void session_prepare(CURL *easy, const struct registry_endpoint *endpoint, const char *url)
{
	/* Nobody is led from HTTPS to something that anyone on the way can change. */
	const char *protocols = str_after(endpoint->base, "http://") ? "http,https" : "https";
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, protocols);
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "masu/" MASU_VERSION);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	if (endpoint->insecure) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	set_blob(easy, CURLOPT_CAINFO_BLOB, endpoint->ca, endpoint->ca_len);
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

static void keep_token(struct session *session, unsigned endpoint, const char *scope,
		       const char *text, int64_t life_s)
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
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, token->token);
		return token->number;
	}
	if (!session->basic[endpoint] || !known->username)
		return 0;
	curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
	curl_easy_setopt(easy, CURLOPT_USERNAME, known->username);
	curl_easy_setopt(easy, CURLOPT_PASSWORD, known->password);
	return SESSION_BASIC;
}

/* ---- the token server ---- */

static size_t take_answer(char *data, size_t size, size_t count, void *opaque)
{
	struct buf *answer = opaque;
	buf_append(answer, data, size * count);
	return buf_error(answer) < 0 ? 0 : size * count;
}

static void append_parameter(CURL *easy, struct buf *out, const char *name, const char *value)
{
	char *escaped = curl_easy_escape(easy, value, 0);
	if (*value && escaped)
		buf_printf(out, "%s%s=%s", out->len && out->data[out->len - 1] != '?' ? "&" : "",
			   name, escaped);
	curl_free(escaped);
}

/* Several scopes are separated by spaces, and each is a parameter of its own. */
static void append_scopes(CURL *easy, struct buf *out, const char *scopes)
{
	char one[CHALLENGE_VALUE_MAX];
	while (*scopes) {
		size_t len = strcspn(scopes, " ");
		if (len < sizeof(one)) {
			memcpy(one, scopes, len);
			one[len] = '\0';
			append_parameter(easy, out, "scope", one);
		}
		scopes += len + (scopes[len] == ' ');
	}
}

/* GET with the name and password, or POST with a refresh token. */
static void build_request(CURL *easy, const struct challenge *challenge, const char *scopes,
			  const struct registry_credentials *known, struct buf *url,
			  struct buf *form)
{
	buf_printf(url, "%s", challenge->realm);
	if (known && known->identity_token) {
		append_parameter(easy, form, "grant_type", "refresh_token");
		append_parameter(easy, form, "service", challenge->service);
		append_parameter(easy, form, "client_id", "masu");
		append_parameter(easy, form, "scope", scopes);
		append_parameter(easy, form, "refresh_token", known->identity_token);
		curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, buf_str(form));
		return;
	}
	if (!strchr(challenge->realm, '?'))
		buf_printf(url, "?");
	append_parameter(easy, url, "service", challenge->service);
	append_scopes(easy, url, scopes);
	if (known && known->username) {
		append_parameter(easy, url, "account", known->username);
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(easy, CURLOPT_USERNAME, known->username);
		curl_easy_setopt(easy, CURLOPT_PASSWORD, known->password);
	}
}

static int read_token(struct session *session, unsigned endpoint, const char *scope,
		      const struct buf *answer, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct json *document;
	const char *token = NULL;
	int64_t life = 0;
	arena_init(&arena, TOKEN_ANSWER_MAX * 16);
	int r = json_parse(&arena, answer->data, answer->len, &document, NULL);
	if (r == 0 && !json_string(json_get(document, "token"), &token))
		json_string(json_get(document, "access_token"), &token);
	if (r < 0 || !token || !*token || strpbrk(token, "\r\n"))
		return error_set(err, -EBADMSG, "the token server's answer holds no token");
	if (!json_i64(json_get(document, "expires_in"), &life) || life < TOKEN_LIFE_DEFAULT_S)
		life = TOKEN_LIFE_DEFAULT_S;
	if (life > TOKEN_LIFE_MAX_S)
		life = TOKEN_LIFE_MAX_S;
	keep_token(session, endpoint, scope, token, life);
	return 0;
}

static int ask_token_server(struct session *session, unsigned endpoint,
			    const struct challenge *challenge, const char *scope, bool trusted,
			    struct masu_error *err)
{
	const struct registry_endpoint *at = &session->registry->endpoints[endpoint];
	const struct registry_credentials *known = trusted ? &at->credentials : NULL;
	_cleanup_buf_ struct buf url, form, answer;
	long status = 0;
	buf_init(&url, 65536);
	buf_init(&form, 65536);
	buf_init(&answer, TOKEN_ANSWER_MAX);
	CURL *easy = curl_easy_init();
	if (!easy)
		return error_set(err, -ENOMEM, "out of memory");
	build_request(easy, challenge, *scope ? scope : challenge->scope, known, &url, &form);
	struct registry_endpoint server = *at;
	if (!trusted)
		server.cert = server.key = NULL;
	session_prepare(easy, &server, buf_str(&url));
	/* Whoever is redirected here would carry what it was told elsewhere. */
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, TOKEN_TIMEOUT_S);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer);
	CURLcode result = curl_easy_perform(easy);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(easy);
	if (result != CURLE_OK)
		return error_set(err, -EIO, "token server %.200s: %s", challenge->realm,
				 curl_easy_strerror(result));
	if (status == 401 || status == 403)
		return error_set(err, -EACCES, "unauthorized: the token server %.200s says %ld%s",
				 challenge->realm, status,
				 known && known->username ? ": wrong user name or password"
							  : "; log in with: masu login");
	if (status != 200)
		return error_set(err, status == 429 || status >= 500 ? -EAGAIN : -EIO,
				 "token server %.200s: status %ld", challenge->realm, status);
	return read_token(session, endpoint, scope, &answer, err);
}

int session_answer(struct session *session, unsigned endpoint, const char *header,
		   const char *scope, struct masu_error *err)
{
	struct challenge challenge;
	const struct registry_endpoint *at = &session->registry->endpoints[endpoint];
	const struct registry_credentials *known = &at->credentials;
	if (challenge_parse(header, &challenge) < 0)
		return error_set(err, -EACCES, "%s: it asks for a login that masu does not know",
				 at->base);
	if (!challenge.bearer) {
		if (!known->username || session->basic[endpoint])
			return error_set(err, -EACCES,
					 known->username
						 ? "%s: unauthorized: wrong user name or password"
						 : "%s: unauthorized; log in with: masu login",
					 at->base);
		session->basic[endpoint] = true;
		return 0;
	}
	bool has = known->username || known->identity_token;
	bool trusted = challenge_realm_trusted(challenge.realm, at->base);
	int r = ask_token_server(session, endpoint, &challenge, scope, trusted, err);
	if (r == -EACCES && has && !trusted)
		return error_set(err, r,
				 "%s sends to the token server %.200s, which is not its own: the "
				 "credentials were not sent there",
				 at->base, challenge.realm);
	return r;
}

void session_free(struct session *session)
{
	for (size_t i = 0; i < SESSION_TOKENS_MAX; i++)
		free(session->tokens[i].token);
}
