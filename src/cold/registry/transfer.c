#include "cold/registry/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "cold/registry/answer.h"
#include "cold/registry/upload.h"
#include "sys/fs.h"

#define STALL_BYTES_PER_S 10L
#define STALL_S		  60L
#define BUFFER_SIZE	  262144L
#define RETRY_AFTER_MAX_S 3600
#define UNWANTED_MAX	  (1u << 20) /* bytes of an answer that nobody asked for */

static const char accept_images[] =
	"Accept: application/vnd.oci.image.index.v1+json, "
	"application/vnd.docker.distribution.manifest.list.v2+json, "
	"application/vnd.oci.image.manifest.v1+json, "
	"application/vnd.docker.distribution.manifest.v2+json, "
	"application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.1";

static bool is_success(long status)
{
	return status >= 200 && status < 300;
}

/* ---- what comes ---- */

static void copy_header(const char *line, size_t len, const char *name, char *dst, size_t size)
{
	size_t name_len = strlen(name);
	if (len <= name_len || strncasecmp(line, name, name_len) != 0)
		return;
	line += name_len;
	len -= name_len;
	while (len && (*line == ' ' || *line == '\t'))
		line++, len--;
	while (len && strchr("\r\n \t", line[len - 1]))
		len--;
	if (len >= size)
		len = 0; /* what does not fit is not what it should be */
	memcpy(dst, line, len);
	dst[len] = '\0';
}

/* <path?last=x>; rel="next" */
static void copy_link(struct transfer *t, const char *line, size_t len)
{
	char text[sizeof(t->link)] = "";
	copy_header(line, len, "Link:", text, sizeof(text));
	char *end = strchr(text, '>');
	if (text[0] != '<' || !end || !strstr(end, "next"))
		return;
	*end = '\0';
	str_format(t->link, sizeof(t->link), "%s", text + 1);
}

static void forget_headers(struct transfer *t)
{
	t->media_type[0] = t->challenge[0] = t->location[0] = '\0';
	t->range[0] = t->digest[0] = t->least_part[0] = t->link[0] = '\0';
	t->subject = false;
	t->retry_after_ms = 0;
	t->length = 0;
}

static size_t take_header(char *line, size_t size, size_t count, void *opaque)
{
	struct transfer *t = opaque;
	char number[24] = "", subject[FETCH_DIGEST_MAX] = "";
	uint64_t seconds;
	size_t len = size * count;
	t->unwanted += len;
	if (t->unwanted > UNWANTED_MAX) {
		t->failure = -EMSGSIZE;
		return 0;
	}
	if (len > 5 && strncasecmp(line, "HTTP/", 5) == 0) /* of the next hop */
		forget_headers(t);
	copy_header(line, len, "Content-Type:", t->media_type, sizeof(t->media_type));
	copy_header(line, len, "WWW-Authenticate:", t->challenge, sizeof(t->challenge));
	copy_header(line, len, "Location:", t->location, sizeof(t->location));
	copy_header(line, len, "Range:", t->range, sizeof(t->range));
	copy_header(line, len, "Docker-Content-Digest:", t->digest, sizeof(t->digest));
	copy_header(line, len, "OCI-Chunk-Min-Length:", t->least_part, sizeof(t->least_part));
	copy_header(line, len, "OCI-Subject:", subject, sizeof(subject));
	t->subject |= subject[0] != '\0';
	copy_link(t, line, len);
	copy_header(line, len, "Retry-After:", number, sizeof(number));
	if (number[0] && str_to_u64(number, &seconds) == 0)
		t->retry_after_ms = seconds < RETRY_AFTER_MAX_S ? (long)seconds * 1000
								: RETRY_AFTER_MAX_S * 1000L;
	number[0] = '\0';
	copy_header(line, len, "Content-Length:", number, sizeof(number));
	if (number[0] && str_to_u64(number, &t->length) < 0)
		t->length = 0;
	return len;
}

/* Bytes the pipe took; -EPIPE where its reader is gone. */
static ssize_t feed(struct transfer *t, const char *data, size_t len)
{
	size_t done = 0;
	while (done < len && !t->pipe_gone) {
		ssize_t n = write(t->pipe, data + done, len - done);
		if (n > 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			return (ssize_t)done;
		else if (errno != EINTR)
			t->pipe_gone = true; /* its master learns why from the reader */
	}
	return t->pipe_gone ? (ssize_t)len : (ssize_t)done;
}

bool transfer_flush(struct transfer *t)
{
	if (t->pending_len) {
		size_t n = (size_t)feed(t, t->pending + t->pending_at, t->pending_len);
		t->pending_at += n;
		t->pending_len -= n;
	}
	if (t->pending_len)
		return false;
	if (t->paused && t->easy) {
		t->paused = false;
		libcurl.easy_pause(t->easy, CURLPAUSE_CONT);
	}
	return true;
}

static int pass_on(struct transfer *t, const char *data, size_t len)
{
	uint64_t most = t->request.kind == FETCH_BLOB ? t->request.size : FETCH_DOCUMENT_MAX;
	if (len > most - t->bytes)
		return -EFBIG;
	int r = t->file >= 0 ? fs_write_all(t->file, data, len) : 0;
	if (r < 0)
		return r;
	hasher_update(t->hasher, data, len);
	t->bytes += len;
	if (t->pipe < 0)
		return 0;
	size_t n = (size_t)feed(t, data, len);
	while (len - n > sizeof(t->pending)) { /* more than libcurl says it hands over */
		struct pollfd wait = { .fd = t->pipe, .events = POLLOUT };
		poll(&wait, 1, -1);
		n += (size_t)feed(t, data + n, len - n);
	}
	memcpy(t->pending, data + n, len - n);
	t->pending_at = 0;
	t->pending_len = len - n;
	return 0;
}

static size_t take_body(char *data, size_t size, size_t count, void *opaque)
{
	struct transfer *t = opaque;
	size_t len = size * count, whole = len;
	long status = 0;
	libcurl.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!is_success(status) || !t->hasher) {
		size_t room = sizeof(t->body) - 1 - t->body_len;
		memcpy(t->body + t->body_len, data, len < room ? len : room);
		t->body_len += len < room ? len : room;
		t->unwanted += len;
		if (t->unwanted > UNWANTED_MAX)
			t->failure = -EMSGSIZE;
		return t->failure < 0 ? 0 : whole;
	}
	if (t->pending_len && !transfer_flush(t)) {
		t->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (t->ranged && status == 200) {
		t->ranged = false;
		t->skip = t->bytes;
	}
	if (t->skip) {
		size_t drop = t->skip < len ? (size_t)t->skip : len;
		t->skip -= drop;
		data += drop;
		len -= drop;
	}
	t->failure = len ? pass_on(t, data, len) : 0;
	return t->failure < 0 ? 0 : whole;
}

/* ---- an attempt ---- */

/* What came of a document before a cut is worth nothing. */
static int start_over(struct transfer *t)
{
	hasher_free(t->hasher);
	t->hasher = NULL;
	/* A file cut to nothing is written to the disk when it is closed: ext4 takes it for one
	 * that is replaced. */
	if (t->bytes > 0 && t->file >= 0 &&
	    (ftruncate(t->file, 0) < 0 || lseek(t->file, 0, SEEK_SET) < 0))
		return -errno;
	t->bytes = 0;
	return hasher_new(&t->hasher);
}

int transfer_restart(struct transfer *t)
{
	if (t->bytes > 0 && t->pipe >= 0) {
		cleanup_close(&t->pipe);
		t->pending_len = 0;
		t->paused = false;
		t->restarted = true;
	}
	t->mirrored = false;
	return start_over(t);
}

static int prepare_get(struct transfer *t)
{
	char range[32];
	if (t->request.kind == FETCH_PING)
		return 0;
	if (t->request.kind == FETCH_DOCUMENT) {
		char accept[FETCH_TYPE_MAX + 16];
		str_format(accept, sizeof(accept), "Accept: %s", t->request.type);
		t->headers = libcurl.slist_append(t->headers,
						  t->request.type[0] ? accept : accept_images);
		return start_over(t);
	}
	if (!t->hasher)
		return start_over(t);
	t->ranged = t->bytes > 0;
	if (t->ranged) {
		str_format(range, sizeof(range), "%llu-", (unsigned long long)t->bytes);
		libcurl.easy_setopt(t->easy, CURLOPT_RANGE, range);
	}
	return 0;
}

static int prepare_kind(struct transfer *t)
{
	switch ((enum fetch_kind)t->request.kind) {
	case FETCH_PING:
	case FETCH_DOCUMENT:
	case FETCH_BLOB:
		return prepare_get(t);
	case FETCH_EXISTS:
		libcurl.easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
		t->headers = libcurl.slist_append(t->headers, accept_images);
		return 0;
	case FETCH_UPLOAD:
	case FETCH_PUT:
		return upload_prepare(t);
	}
	return -EINVAL;
}

/* Passes over endpoints where nobody answered before. */
static void choose_endpoint(const struct session *session, struct transfer *t)
{
	unsigned at = t->endpoint;
	if ((t->bytes > 0 && !t->mirrored) || t->target[0])
		return;
	while (at + 1 < session->registry->count && session->gone[at])
		at++;
	if (!session->gone[at])
		t->endpoint = at;
}

static int address(struct transfer *t, const struct registry_endpoint *at)
{
	int r = registry_translate(at, "/v2/", t->request.path, false, t->path, sizeof(t->path));
	if (r == 0 && upload_sends(t))
		return upload_address(t, at);
	if (r == 0)
		r = t->target[0] ? str_format(t->url, sizeof(t->url), "%s", t->target)
				 : str_format(t->url, sizeof(t->url), "%s%s", at->base, t->path);
	return r < 0 ? r
		     : registry_translate(at, "repository:", t->request.scope, false, t->scope,
					  sizeof(t->scope));
}

/*
 * Who is at another place than the registry's own is shown no certificate. What a registry believes
 * in is good for what it keeps elsewhere and for reading, where a digest says what must come.
 */
static struct registry_endpoint elsewhere(const struct transfer *t,
					  const struct registry_endpoint *at)
{
	struct registry_endpoint other = { .base = at->base };
	if (upload_sends(t))
		return other;
	other.insecure = at->insecure;
	other.ca = at->ca;
	other.ca_len = at->ca_len;
	other.ca_own_len = at->ca_own_len;
	return other;
}

static void forget_answer(struct transfer *t)
{
	forget_headers(t);
	t->body_len = t->unwanted = 0;
	t->reason[0] = '\0';
	t->failure = 0;
	t->skip = 0;
	t->ranged = false;
	t->begun_at = t->bytes;
}

int transfer_begin(struct session *session, struct transfer *t)
{
	choose_endpoint(session, t);
	const struct registry_endpoint *at = &session->registry->endpoints[t->endpoint];
	const struct registry_endpoint other = elsewhere(t, at);
	int r = address(t, at);
	if (r < 0)
		return r;
	t->easy = fault_allocation() ? NULL : libcurl.easy_init();
	if (!t->easy)
		return -ENOMEM;
	session_prepare(t->easy, t->foreign ? &other : at, t->url);
	/* Whoever has a certificate shows it to all that libcurl is led to. */
	if (at->cert)
		libcurl.easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 0L);
	libcurl.easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->reason);
	t->token = t->foreign ? 0 : session_authorize(session, t->easy, t->endpoint, t->scope);
	libcurl.easy_setopt(t->easy, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES_PER_S);
	libcurl.easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, STALL_S);
	t->headers = NULL;
	forget_answer(t);
	r = prepare_kind(t);
	libcurl.easy_setopt(t->easy, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
	libcurl.easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
	libcurl.easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, take_header);
	libcurl.easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
	libcurl.easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, take_body);
	libcurl.easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	return r;
}

enum transfer_next transfer_end(struct session *session, struct transfer *t, CURLcode result,
				struct fetch_reply *reply)
{
	long status = 0;
	libcurl.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	libcurl.easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &t->proxy_status);
	libcurl.easy_cleanup(t->easy);
	libcurl.slist_free_all(t->headers);
	t->easy = NULL;
	t->headers = NULL;
	t->body[t->body_len] = '\0';
	return answer_judge(session, t, result, status, reply);
}

void transfer_free(struct transfer *t)
{
	if (t->easy)
		libcurl.easy_cleanup(t->easy);
	libcurl.slist_free_all(t->headers);
	hasher_free(t->hasher);
	cleanup_close(&t->file);
	cleanup_close(&t->pipe);
	free(t);
}
