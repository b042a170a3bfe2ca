#include "cold/registry/answer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "json/json.h"

#define ATTEMPTS_MAX	 6
#define CHALLENGES_MAX	 2
#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS	 10000
#define RETRY_AFTER_MAX	 60000

/* The registry's own words (distribution spec, "Error Codes"); NULL: none that are to be shown. */
static const char *registry_message(struct arena *arena, const struct transfer *t)
{
	const struct json *document, *first;
	const char *code = "", *message = "";
	if (json_parse(arena, t->body, t->body_len, &document, NULL) < 0)
		return NULL;
	const struct json *errors = json_get(document, "errors");
	first = errors && errors->type == JSON_ARRAY ? errors->child : NULL;
	if (!first)
		return NULL;
	json_string(json_get(first, "code"), &code);
	json_string(json_get(first, "message"), &message);
	char *text = arena_printf(arena, "%.64s: %.300s", code, message);
	/* "MANIFEST_UNKNOWN: …" is "manifest unknown: …", as docker shows it. */
	for (char *p = text; p && *p && *p != ':'; p++)
		*p = *p == '_' ? ' ' : *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
	return text;
}

static enum transfer_next fail(struct fetch_reply *reply, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static enum transfer_next fail(struct fetch_reply *reply, int code, const char *fmt, ...)
{
	va_list args;
	reply->code = code;
	va_start(args, fmt);
	vsnprintf(reply->message, sizeof(reply->message), fmt, args);
	va_end(args);
	return TRANSFER_DONE;
}

static enum transfer_next refused(const struct session *session, const struct transfer *t,
				  long status, struct fetch_reply *reply)
{
	_cleanup_arena_ struct arena arena;
	arena_init(&arena, 1u << 20);
	const char *base = session->registry->endpoints[t->endpoint].base;
	const char *message = registry_message(&arena, t);
	int code = status == 404 ? -ENOENT : status == 401 || status == 403 ? -EACCES : -EIO;
	if (message)
		return fail(reply, code, "%s", message);
	return fail(reply, code, "%s%.300s: status %ld", base, t->request.path, status);
}

/* The next endpoint that may be asked this; false: that was the last. */
static bool next_endpoint(const struct session *session, struct transfer *t)
{
	/* What was begun at one place goes on there. */
	if (t->bytes > 0 || t->located || t->endpoint + 1 >= session->registry->count)
		return false;
	t->endpoint++;
	t->attempt = 0;
	t->answered = 0;
	t->due_ms = 0;
	return true;
}

/* Once more, later: after a cut, a full server, or a network that is away for a moment. */
static bool again_later(struct transfer *t)
{
	if (t->bytes > t->begun_at)
		t->attempt = 0; /* it goes on, if in small steps */
	if (++t->attempt >= ATTEMPTS_MAX)
		return false;
	int64_t wait = BACKOFF_FIRST_MS << (t->attempt - 1);
	if (wait > BACKOFF_MAX_MS)
		wait = BACKOFF_MAX_MS;
	if (t->retry_after_ms > wait)
		wait = t->retry_after_ms < RETRY_AFTER_MAX ? t->retry_after_ms : RETRY_AFTER_MAX;
	t->due_ms = clock_ms() + wait;
	/* A place for an upload is good for one attempt. */
	t->located = false;
	return true;
}

static bool never_connected(CURLcode result)
{
	return result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST ||
	       result == CURLE_COULDNT_RESOLVE_PROXY || result == CURLE_SSL_CONNECT_ERROR ||
	       result == CURLE_PEER_FAILED_VERIFICATION;
}

static enum transfer_next broken(struct session *session, struct transfer *t, CURLcode result,
				 struct fetch_reply *reply)
{
	const char *base = session->registry->endpoints[t->endpoint].base;
	if (t->failure == -EFBIG)
		return fail(reply, -EFBIG, "%s%.300s: the registry sends more than %llu bytes",
			    base, t->request.path,
			    (unsigned long long)(t->request.kind == FETCH_BLOB
							 ? t->request.size
							 : FETCH_DOCUMENT_MAX));
	if (t->failure < 0)
		return fail(reply, t->failure, "%.300s: %s", t->request.path,
			    strerror(-t->failure));
	if (result == CURLE_TOO_MANY_REDIRECTS)
		return fail(reply, -ELOOP, "%s%.300s: redirected too often", base, t->request.path);
	if (result == CURLE_UNSUPPORTED_PROTOCOL)
		return fail(reply, -EPERM, "%s%.300s: redirected away from HTTPS", base,
			    t->request.path);
	if (never_connected(result) && next_endpoint(session, t))
		return TRANSFER_AGAIN;
	if ((!never_connected(result) || t->bytes > 0) && again_later(t))
		return TRANSFER_AGAIN;
	return fail(reply, -EIO, "%s: %s", base, curl_easy_strerror(result));
}

static enum transfer_next challenged(struct session *session, struct transfer *t,
				     struct fetch_reply *reply)
{
	struct masu_error err = { 0 };
	if (t->answered++ >= CHALLENGES_MAX || !t->challenge[0])
		return refused(session, t, 401, reply);
	int r = session_answer(session, t->endpoint, t->challenge, t->request.scope, &err);
	if (r == -EAGAIN && again_later(t))
		return TRANSFER_AGAIN;
	if (r < 0 && session->registry->endpoints[t->endpoint].mirror && next_endpoint(session, t))
		return TRANSFER_AGAIN;
	return r < 0 ? fail(reply, r, "%s", err.message) : TRANSFER_AGAIN;
}

static enum transfer_next complete(struct session *session, struct transfer *t,
				   struct fetch_reply *reply)
{
	char digest[FETCH_DIGEST_MAX] = "";
	const char *base = session->registry->endpoints[t->endpoint].base;
	if (t->request.kind == FETCH_BLOB && t->bytes < t->request.size) {
		if (again_later(t))
			return TRANSFER_AGAIN;
		return fail(reply, -EIO, "%s: %.80s: only %llu of %llu bytes come", base,
			    t->request.digest, (unsigned long long)t->bytes,
			    (unsigned long long)t->request.size);
	}
	if (t->hasher) {
		int r = hasher_finish(t->hasher, digest);
		t->hasher = NULL;
		if (r < 0)
			return fail(reply, r, "SHA-256: %s", strerror(-r));
	}
	if (t->request.kind == FETCH_BLOB && !streq(digest, t->request.digest))
		return fail(reply, -EBADMSG,
			    "%s: what comes for %.80s is %s: the registry's copy is damaged or "
			    "forged",
			    base, t->request.digest, digest);
	reply->code = 0;
	reply->bytes = t->bytes;
	str_format(reply->digest, sizeof(reply->digest), "%s", digest);
	t->media_type[strcspn(t->media_type, "; ")] = '\0';
	str_format(reply->media_type, sizeof(reply->media_type), "%s", t->media_type);
	return TRANSFER_DONE;
}

enum transfer_next answer_judge(struct session *session, struct transfer *t, CURLcode result,
				long status, struct fetch_reply *reply)
{
	*reply = (struct fetch_reply) { .id = t->request.id,
					.type = FETCH_DONE,
					.status = (int32_t)status,
					.bytes = t->bytes };
	bool mirror = session->registry->endpoints[t->endpoint].mirror;
	t->due_ms = 0;
	if (result != CURLE_OK && result != CURLE_HTTP_RETURNED_ERROR)
		return broken(session, t, result, reply);
	if (status >= 200 && status < 300)
		return complete(session, t, reply);
	if (status == 401)
		return challenged(session, t, reply);
	if (status == 404 && t->request.kind == FETCH_EXISTS && !mirror)
		return TRANSFER_DONE; /* an answer, too */
	if (mirror && next_endpoint(session, t))
		return TRANSFER_AGAIN;
	if ((status == 429 || status >= 500) && again_later(t))
		return TRANSFER_AGAIN;
	return refused(session, t, status, reply);
}
