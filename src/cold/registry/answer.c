#include "cold/registry/answer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "cold/registry/failure.h"
#include "cold/registry/token.h"
#include "cold/registry/upload.h"
#include "json/json.h"
#include "sys/fs.h"

#define ATTEMPTS_MAX	   6
#define ATTEMPTS_AT_MIRROR 2
#define CHALLENGES_MAX	   2
#define BACKOFF_FIRST_MS   250
#define BACKOFF_MAX_MS	   10000
#define RETRY_AFTER_MAX	   60000

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

enum transfer_next answer_fail(struct fetch_reply *reply, int code, const char *fmt, ...)
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
	/* Nobody on the way is as likely to have changed it as the disk. */
	if (message && t->request.kind == FETCH_UPLOAD && str_after(message, "digest invalid"))
		return answer_fail(reply, code,
				   "%s; is the store's copy damaged? masu system check", message);
	if (message)
		return answer_fail(reply, code, "%s", message);
	return answer_fail(reply, code, "%s%.300s: status %ld", base, t->request.path, status);
}

/* The next endpoint that may be asked this; false: that was the last. */
static bool next_endpoint(const struct session *session, struct transfer *t)
{
	const struct registry_endpoint *at = &session->registry->endpoints[t->endpoint];
	/* What was begun at one place goes on there, or where the mirror has it from. */
	bool bound = upload_sends(t) || (!at->mirror && !t->mirrored);
	bool begun = t->target[0] || (t->bytes > 0 && bound);
	if (begun || t->endpoint + 1 >= session->registry->count)
		return false;
	t->mirrored |= t->bytes > 0;
	t->endpoint++;
	t->attempt = 0;
	t->answered = 0;
	t->due_ms = 0;
	return true;
}

/* What a GET was redirected to is good for one attempt: such addresses are signed for minutes. */
static void forget_redirect(struct transfer *t)
{
	if (upload_sends(t))
		return;
	t->target[0] = '\0';
	t->foreign = false;
	t->redirects = 0;
}

/*
 * What a mirror has sent, all of it or its beginning, cannot be what was asked for: once more from
 * the beginning, at the next endpoint. False: no mirror was in it, or nobody is left.
 */
static bool begin_elsewhere(const struct session *session, struct transfer *t)
{
	bool mirror = session->registry->endpoints[t->endpoint].mirror;
	bool reading = t->request.kind == FETCH_BLOB || t->request.kind == FETCH_DOCUMENT;
	if (!reading || (!mirror && !t->mirrored) ||
	    (mirror && t->endpoint + 1 >= session->registry->count))
		return false;
	t->endpoint += mirror;
	t->attempt = t->answered = 0;
	t->due_ms = 0;
	return transfer_restart(t) == 0;
}

/*
 * Once more, later: after a cut, a full server, or a network that is away for a moment. A mirror
 * has one more attempt, since there is somebody else to ask.
 */
static bool again_later(const struct session *session, struct transfer *t)
{
	const struct registry_endpoint *at = &session->registry->endpoints[t->endpoint];
	/* It goes on, if in small steps; what is sent counts when the registry has it. */
	if (t->bytes > t->begun_at && !upload_sends(t))
		t->attempt = 0;
	if (++t->attempt >= (at->mirror ? ATTEMPTS_AT_MIRROR : ATTEMPTS_MAX))
		return false;
	int64_t wait = BACKOFF_FIRST_MS << (t->attempt - 1);
	if (wait > BACKOFF_MAX_MS)
		wait = BACKOFF_MAX_MS;
	if (t->retry_after_ms > wait)
		wait = t->retry_after_ms < RETRY_AFTER_MAX ? t->retry_after_ms : RETRY_AFTER_MAX;
	t->due_ms = clock_ms() + wait;
	upload_retreat(t);
	return true;
}

/* What the attempt itself gave up at; false: it was the network. */
static bool gave_up(const struct session *session, const struct transfer *t, CURLcode result,
		    struct fetch_reply *reply)
{
	const char *base = session->registry->endpoints[t->endpoint].base;
	const char *path = t->request.path;
	uint64_t most = t->request.kind == FETCH_BLOB ? t->request.size : FETCH_DOCUMENT_MAX;
	if (t->failure == -EFBIG)
		answer_fail(reply, -EFBIG, "%s%.300s: the registry sends more than %llu bytes",
			    base, path, (unsigned long long)most);
	else if (t->failure == -EMSGSIZE)
		answer_fail(reply, -EFBIG, "%s%.300s: the registry's answer has no end", base,
			    path);
	else if (t->failure == -ENODATA)
		answer_fail(reply, -EBADMSG,
			    "%.300s: the blob is shorter than the manifest says: it is damaged; "
			    "load or pull the image again",
			    path);
	else if (t->failure < 0)
		answer_fail(reply, t->failure, "%.300s: %s", path, strerror(-t->failure));
	else if (result == CURLE_TOO_MANY_REDIRECTS)
		answer_fail(reply, -ELOOP, "%s%.300s: redirected too often", base, path);
	else if (result == CURLE_UNSUPPORTED_PROTOCOL)
		answer_fail(reply, -EPERM, "%s%.300s: redirected away from HTTPS", base, path);
	else
		return false;
	return true;
}

static enum transfer_next broken(struct session *session, struct transfer *t, CURLcode result,
				 struct fetch_reply *reply)
{
	const struct registry_endpoint *at = &session->registry->endpoints[t->endpoint];
	char why[MASU_ERROR_MAX];
	bool redirected = t->target[0] != '\0', begun = t->bytes > 0 || redirected;
	forget_redirect(t);
	if (gave_up(session, t, result, reply)) {
		bool theirs = t->failure == 0 || t->failure == -EFBIG || t->failure == -EMSGSIZE;
		return theirs && begin_elsewhere(session, t) ? TRANSFER_AGAIN : TRANSFER_DONE;
	}
	enum failure failure =
		failure_judge(at, result, t->reason, t->proxy_status, why, sizeof(why));
	session->gone[t->endpoint] |= failure == FAILURE_UNREACHED && !redirected;
	if ((failure == FAILURE_UNREACHED || (failure == FAILURE_CERTAIN && at->mirror)) &&
	    next_endpoint(session, t))
		return TRANSFER_AGAIN;
	if ((failure == FAILURE_CUT || (failure == FAILURE_UNREACHED && begun)) &&
	    again_later(session, t))
		return TRANSFER_AGAIN;
	if (at->mirror && next_endpoint(session, t))
		return TRANSFER_AGAIN;
	return answer_fail(reply, -EIO, "%s", why);
}

/* What another transfer got for the same challenge is good for this one, too. */
static bool has_new_token(struct session *session, const struct transfer *t)
{
	unsigned number = session_token(session, t->endpoint, t->scope);
	return number && number != t->token;
}

/* The end of asking who one is. */
static enum transfer_next authorized(struct session *session, struct transfer *t, int code,
				     const struct masu_error *err, struct fetch_reply *reply)
{
	if (code == -EAGAIN && again_later(session, t)) {
		t->answered--; /* that was no answer */
		return TRANSFER_AGAIN;
	}
	if (code == -EACCES && t->mountable && t->step == UPLOAD_START) {
		t->mountable = false; /* who may not read the one may still write the other */
		return TRANSFER_AGAIN;
	}
	if (code < 0 && session->registry->endpoints[t->endpoint].mirror &&
	    next_endpoint(session, t))
		return TRANSFER_AGAIN;
	return code < 0 ? answer_fail(reply, code, "%s", err->message) : TRANSFER_AGAIN;
}

static enum transfer_next challenged(struct session *session, struct transfer *t,
				     struct fetch_reply *reply)
{
	struct masu_error err = { 0 };
	if (t->answered++ >= CHALLENGES_MAX || !t->challenge[0])
		return refused(session, t, 401, reply);
	if (has_new_token(session, t))
		return TRANSFER_AGAIN;
	int r = token_ask(session, t, &err);
	return r > 0 ? TRANSFER_ASKS : authorized(session, t, r, &err, reply);
}

static void reply_init(const struct transfer *t, long status, struct fetch_reply *reply)
{
	*reply = (struct fetch_reply) { .id = t->request.id,
					.type = FETCH_DONE,
					.status = (int32_t)status,
					.bytes = t->bytes };
}

enum transfer_next transfer_answered(struct session *session, struct transfer *t, int code,
				     const struct masu_error *err, struct fetch_reply *reply)
{
	reply_init(t, 401, reply);
	t->asks = NULL;
	return authorized(session, t, code, err, reply);
}

/* A login keeps a refresh token in the place of the password, where it gets one. */
static enum transfer_next complete_ping(const struct session *session, struct transfer *t,
					struct fetch_reply *reply)
{
	const char *refresh = session->refresh[t->endpoint];
	int r = t->file >= 0 && refresh ? fs_write_all(t->file, refresh, strlen(refresh)) : 0;
	return r < 0 ? answer_fail(reply, r, "login: %s", strerror(-r)) : TRANSFER_DONE;
}

static enum transfer_next complete_blob(const struct session *session, struct transfer *t,
					const char *digest, struct fetch_reply *reply)
{
	if (streq(digest, t->request.digest))
		return TRANSFER_DONE;
	if (begin_elsewhere(session, t))
		return TRANSFER_AGAIN;
	return answer_fail(reply, -EBADMSG,
			   "%s: what comes for %.80s is %s: the registry's copy is damaged or "
			   "forged",
			   session->registry->endpoints[t->endpoint].base, t->request.digest,
			   digest);
}

/* The digest that the registry keeps the manifest under is what others will ask for. */
static enum transfer_next complete_put(const struct session *session, struct transfer *t,
				       struct fetch_reply *reply)
{
	reply->subject = t->subject;
	if (!t->digest[0] || !t->request.digest[0] || streq(t->digest, t->request.digest))
		return TRANSFER_DONE;
	return answer_fail(reply, -EBADMSG, "%s: the registry keeps %.80s as %.80s",
			   session->registry->endpoints[t->endpoint].base, t->request.digest,
			   t->digest);
}

/* The next page's path; one that is elsewhere is none. */
static void copy_link(const struct session *session, const struct transfer *t,
		      struct fetch_reply *reply)
{
	const struct registry_endpoint *at = &session->registry->endpoints[t->endpoint];
	const char *path = str_after(t->link, at->base);
	if (!path)
		path = t->link;
	if (path[0] == '/' && path[1] != '/')
		registry_translate(at, "/v2/", path, true, reply->link, sizeof(reply->link));
	else if (path[0])
		str_format(reply->link, sizeof(reply->link), "-");
}

static enum transfer_next complete(struct session *session, struct transfer *t,
				   struct fetch_reply *reply)
{
	char digest[FETCH_DIGEST_MAX] = "";
	const char *base = session->registry->endpoints[t->endpoint].base;
	if (t->request.kind == FETCH_BLOB && t->bytes < t->request.size) {
		if (again_later(session, t) || next_endpoint(session, t))
			return TRANSFER_AGAIN;
		return answer_fail(reply, -EIO, "%s: %.80s: only %llu of %llu bytes come", base,
				   t->request.digest, (unsigned long long)t->bytes,
				   (unsigned long long)t->request.size);
	}
	if (t->hasher) {
		int r = hasher_finish(t->hasher, digest);
		t->hasher = NULL;
		if (r < 0)
			return answer_fail(reply, r, "SHA-256: %s", strerror(-r));
	}
	/* What the registry itself sends for it is its master's to judge. */
	if (t->request.kind == FETCH_DOCUMENT && t->request.digest[0] &&
	    !streq(digest, t->request.digest) && begin_elsewhere(session, t))
		return TRANSFER_AGAIN;
	reply->code = 0;
	reply->restarted = t->restarted;
	bool head = t->request.kind == FETCH_EXISTS;
	reply->bytes = head ? t->length : t->bytes;
	str_format(reply->digest, sizeof(reply->digest), "%s", head ? t->digest : digest);
	t->media_type[strcspn(t->media_type, "; ")] = '\0';
	str_format(reply->media_type, sizeof(reply->media_type), "%s", t->media_type);
	copy_link(session, t, reply);
	return t->request.kind == FETCH_BLOB   ? complete_blob(session, t, digest, reply)
	       : t->request.kind == FETCH_PUT  ? complete_put(session, t, reply)
	       : t->request.kind == FETCH_PING ? complete_ping(session, t, reply)
					       : TRANSFER_DONE;
}

/* What came before is gone, or does not fit: an upload starts over, a few times. */
static bool upload_lost(const struct transfer *t, long status)
{
	return t->request.kind == FETCH_UPLOAD && t->step >= UPLOAD_WHOLE &&
	       (status == 404 || status == 416);
}

enum transfer_next answer_judge(struct session *session, struct transfer *t, CURLcode result,
				long status, struct fetch_reply *reply)
{
	reply_init(t, status, reply);
	bool mirror = session->registry->endpoints[t->endpoint].mirror;
	t->due_ms = 0;
	enum transfer_next next;
	if (result != CURLE_OK && result != CURLE_HTTP_RETURNED_ERROR)
		return broken(session, t, result, reply);
	if (upload_sends(t) && upload_judge(session, t, status, reply, &next))
		return next;
	/* Where libcurl does not follow by itself. */
	if (status >= 300 && status < 400 && t->location[0] && !upload_sends(t))
		return upload_redirected(t, status, session->registry->endpoints[t->endpoint].base,
					 reply);
	forget_redirect(t);
	if (status >= 200 && status < 300)
		return complete(session, t, reply);
	if (status == 401)
		return challenged(session, t, reply);
	if (status == 404 && t->request.kind == FETCH_EXISTS && !mirror)
		return TRANSFER_DONE; /* an answer, too */
	if (mirror && next_endpoint(session, t))
		return TRANSFER_AGAIN;
	if ((status == 429 || status >= 500 || upload_lost(t, status)) && again_later(session, t))
		return TRANSFER_AGAIN;
	return refused(session, t, status, reply);
}
