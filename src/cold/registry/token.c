#include "cold/registry/token.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "cold/registry/failure.h"
#include "json/json.h"

#define ANSWER_MAX     (1u << 20)
#define HEADERS_MAX    (256u << 10)
#define TOKEN_MAX      (64u << 10)
#define LIFE_DEFAULT_S 60
#define LIFE_MAX_S     86400
#define TIMEOUT_S      60L

static size_t take_answer(char *data, size_t size, size_t count, void *opaque)
{
	struct buf *answer = opaque;
	buf_append(answer, data, size * count);
	return buf_error(answer) < 0 ? 0 : size * count;
}

static size_t take_header(char *data, size_t size, size_t count, void *opaque)
{
	struct token_request *request = opaque;
	request->headers += size * count;
	return request->headers > HEADERS_MAX ? 0 : size * count;
}

/* ---- the question ---- */

static void append_parameter(CURL *easy, struct buf *out, const char *name, const char *value)
{
	char *escaped = libcurl.easy_escape(easy, value, 0);
	if (*value && escaped)
		buf_printf(out, "%s%s=%s", out->len && out->data[out->len - 1] != '?' ? "&" : "",
			   name, escaped);
	libcurl.free(escaped);
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

/* What was given here last is good instead of what the files have. */
static const char *refresh_token(const struct session *session, const struct token_request *request)
{
	const struct registry_credentials *known =
		&session->registry->endpoints[request->endpoint].credentials;
	if (!request->trusted)
		return NULL;
	return session->refresh[request->endpoint] ? session->refresh[request->endpoint]
						   : known->identity_token;
}

/* GET with the name and password, or POST with a refresh token. */
static int build(const struct session *session, struct token_request *request, struct buf *url,
		 struct buf *form)
{
	CURL *easy = request->easy;
	const struct challenge *challenge = &request->challenge;
	const struct registry_credentials *known =
		&session->registry->endpoints[request->endpoint].credentials;
	const char *refresh = refresh_token(session, request);
	const char *scopes = *request->scope ? request->scope : challenge->scope;
	buf_printf(url, "%s", challenge->realm);
	if (refresh) {
		append_parameter(easy, form, "grant_type", "refresh_token");
		append_parameter(easy, form, "service", challenge->service);
		append_parameter(easy, form, "client_id", "masu");
		append_parameter(easy, form, "scope", scopes);
		append_parameter(easy, form, "refresh_token", refresh);
		libcurl.easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, buf_str(form));
		return buf_error(form) < 0 ? buf_error(form) : buf_error(url);
	}
	if (!strchr(challenge->realm, '?'))
		buf_printf(url, "?");
	append_parameter(easy, url, "service", challenge->service);
	append_scopes(easy, url, scopes);
	if (request->trusted && known->username) {
		append_parameter(easy, url, "account", known->username);
		libcurl.easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		libcurl.easy_setopt(easy, CURLOPT_USERNAME, known->username);
		libcurl.easy_setopt(easy, CURLOPT_PASSWORD, known->password);
	}
	if (request->offline) {
		append_parameter(easy, url, "client_id", "masu");
		append_parameter(easy, url, "offline_token", "true");
	}
	return buf_error(url);
}

static int prepare(const struct session *session, struct token_request *request)
{
	_cleanup_buf_ struct buf url, form;
	struct registry_endpoint server = session->registry->endpoints[request->endpoint];
	CURL *easy = request->easy = fault_allocation() ? NULL : libcurl.easy_init();
	buf_init(&url, 65536);
	buf_init(&form, 2 * TOKEN_MAX);
	if (!easy)
		return -ENOMEM;
	int r = build(session, request, &url, &form);
	if (r < 0)
		return r;
	if (!request->trusted)
		server.cert = server.key = NULL;
	session_prepare(easy, &server, buf_str(&url));
	/* Whoever is redirected here would carry what it was told elsewhere. */
	libcurl.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	libcurl.easy_setopt(easy, CURLOPT_TIMEOUT, TIMEOUT_S);
	libcurl.easy_setopt(easy, CURLOPT_ERRORBUFFER, request->reason);
	libcurl.easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	libcurl.easy_setopt(easy, CURLOPT_HEADERDATA, request);
	libcurl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
	libcurl.easy_setopt(easy, CURLOPT_WRITEDATA, &request->answer);
	return 0;
}

static int ask_server(struct session *session, struct transfer *t,
		      const struct challenge *challenge, struct masu_error *err)
{
	const struct registry_endpoint *at = &session->registry->endpoints[t->endpoint];
	for (struct token_request *other = session->asking; other; other = other->next)
		if (other->endpoint == t->endpoint && streq(other->scope, t->scope)) {
			t->asks = other;
			return 1;
		}
	struct token_request *request = calloc(1, sizeof(*request));
	if (!request)
		return error_set(err, -ENOMEM, "out of memory");
	request->endpoint = t->endpoint;
	request->challenge = *challenge;
	request->trusted = challenge_realm_trusted(challenge->realm, at->base);
	request->offline = t->request.kind == FETCH_PING && t->file >= 0 && request->trusted;
	str_format(request->scope, sizeof(request->scope), "%s", t->scope);
	buf_init(&request->answer, ANSWER_MAX);
	request->next = session->asking;
	session->asking = request;
	int r = prepare(session, request);
	if (r < 0) {
		token_free(session, request);
		return error_errno(err, r, "token server %.200s", challenge->realm);
	}
	t->asks = request;
	return 1;
}

int token_ask(struct session *session, struct transfer *t, struct masu_error *err)
{
	struct challenge challenge;
	const struct registry_endpoint *at = &session->registry->endpoints[t->endpoint];
	const struct registry_credentials *known = &at->credentials;
	if (challenge_parse(t->challenge, &challenge) < 0)
		return error_set(err, -EACCES, "%s: it asks for a login that masu does not know",
				 at->base);
	if (challenge.bearer && !known->registry_token)
		return ask_server(session, t, &challenge, err);
	if (session->basic[t->endpoint] || (!known->username && !known->registry_token))
		return error_set(err, -EACCES,
				 known->registry_token ? "%s: unauthorized: it does not take the "
							 "registrytoken of config.json"
				 : known->username ? "%s: unauthorized: wrong user name or password"
						   : "%s: unauthorized; log in with: masu login",
				 at->base);
	session->basic[t->endpoint] = true;
	return 0;
}

/* ---- the answer ---- */

struct token_request *token_find(const struct session *session, const CURL *easy)
{
	struct token_request *request = session->asking;
	while (request && request->easy != easy)
		request = request->next;
	return request;
}

static bool is_clean(const char *token)
{
	size_t len = strlen(token);
	for (size_t i = 0; i < len; i++)
		if (token[i] <= ' ' || token[i] > '~')
			return false;
	return len > 0 && len <= TOKEN_MAX;
}

static int read_token(struct session *session, const struct token_request *request,
		      struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct json *document;
	const char *token = NULL, *refresh = NULL;
	const unsigned endpoint = request->endpoint;
	int64_t life = 0;
	arena_init(&arena, ANSWER_MAX * 16);
	int r = json_parse(&arena, request->answer.data, request->answer.len, &document, NULL);
	if (r == 0 && !json_string(json_get(document, "token"), &token))
		json_string(json_get(document, "access_token"), &token);
	if (r < 0 || !token || !is_clean(token))
		return error_set(err, -EBADMSG, "token server %.200s: its answer holds no token",
				 request->challenge.realm);
	if (!json_i64(json_get(document, "expires_in"), &life) || life < LIFE_DEFAULT_S)
		life = LIFE_DEFAULT_S;
	if (life > LIFE_MAX_S)
		life = LIFE_MAX_S;
	session_keep(session, endpoint, request->scope, token, life);
	if (request->trusted && json_string(json_get(document, "refresh_token"), &refresh) &&
	    is_clean(refresh)) {
		free(session->refresh[endpoint]);
		session->refresh[endpoint] = strdup(refresh);
	}
	return 0;
}

static int refused(const struct session *session, const struct token_request *request, long status,
		   struct masu_error *err)
{
	const struct registry_endpoint *at = &session->registry->endpoints[request->endpoint];
	const struct registry_credentials *known = &at->credentials;
	const char *realm = request->challenge.realm;
	if (!request->trusted && (known->username || known->identity_token))
		return error_set(err, -EACCES,
				 "%s sends to the token server %.200s, which is not its own: the "
				 "credentials were not sent there",
				 at->base, realm);
	return error_set(err, -EACCES, "unauthorized: the token server %.200s says %ld%s", realm,
			 status,
			 refresh_token(session, request)
				 ? ": the login is no longer good; log in again with: masu login"
			 : known->username ? ": wrong user name or password"
					   : "; log in with: masu login");
}

static int not_answered(const struct session *session, const struct token_request *request,
			CURLcode result, struct masu_error *err)
{
	char text[MASU_ERROR_MAX];
	long proxy = 0;
	const char *realm = request->challenge.realm;
	const struct registry_endpoint *at = &session->registry->endpoints[request->endpoint];
	if (result == CURLE_WRITE_ERROR)
		return error_set(err, -EBADMSG, "token server %.200s: its answer has no end",
				 realm);
	libcurl.easy_getinfo(request->easy, CURLINFO_HTTP_CONNECTCODE, &proxy);
	enum failure failure =
		failure_judge(at, result, request->reason, proxy, text, sizeof(text));
	return error_set(
		err, failure == FAILURE_CUT && result != CURLE_OPERATION_TIMEDOUT ? -EAGAIN : -EIO,
		"token server %.200s: %s", realm,
		*request->reason ? request->reason : libcurl.easy_strerror(result));
}

int token_end(struct session *session, struct token_request *request, CURLcode result,
	      struct masu_error *err)
{
	long status = 0;
	const char *realm = request->challenge.realm;
	libcurl.easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	if (result != CURLE_OK)
		return not_answered(session, request, result, err);
	/* RFC 6749, section 5.2: 400 is also what a refresh token gets that is no longer good. */
	if (status == 401 || status == 403 || (status == 400 && refresh_token(session, request)))
		return refused(session, request, status, err);
	if (status >= 300 && status < 400)
		return error_set(
			err, -EIO,
			"token server %.200s: it redirects elsewhere (status %ld), which is "
			"not followed",
			realm, status);
	if (status != 200)
		return error_set(err, status == 429 || status >= 500 ? -EAGAIN : -EIO,
				 "token server %.200s: status %ld", realm, status);
	return read_token(session, request, err);
}

void token_free(struct session *session, struct token_request *request)
{
	struct token_request **link = &session->asking;
	while (*link && *link != request)
		link = &(*link)->next;
	if (*link)
		*link = request->next;
	if (request->easy)
		libcurl.easy_cleanup(request->easy);
	buf_free(&request->answer);
	free(request);
}

void token_free_all(struct session *session)
{
	while (session->asking)
		token_free(session, session->asking);
}
