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
#include "base/str.h"
#include "cold/registry/answer.h"
#include "sys/fs.h"

#define STALL_BYTES_PER_S 10L
#define STALL_S		  60L
#define BUFFER_SIZE	  262144L

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

static size_t take_header(char *line, size_t size, size_t count, void *opaque)
{
	struct transfer *t = opaque;
	char number[16] = "";
	size_t len = size * count;
	if (len > 5 && strncasecmp(line, "HTTP/", 5) == 0) { /* of the next hop */
		t->media_type[0] = t->challenge[0] = '\0';
		t->retry_after_ms = 0;
	}
	copy_header(line, len, "Content-Type:", t->media_type, sizeof(t->media_type));
	copy_header(line, len, "WWW-Authenticate:", t->challenge, sizeof(t->challenge));
	copy_header(line, len, "Location:", t->location, sizeof(t->location));
	copy_header(line, len, "Retry-After:", number, sizeof(number));
	if (number[0])
		t->retry_after_ms = atol(number) * 1000;
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
		curl_easy_pause(t->easy, CURLPAUSE_CONT);
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
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!is_success(status) || !t->hasher) {
		size_t room = sizeof(t->body) - 1 - t->body_len;
		memcpy(t->body + t->body_len, data, len < room ? len : room);
		t->body_len += len < room ? len : room;
		return whole;
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

static size_t give_body(char *data, size_t size, size_t count, void *opaque)
{
	struct transfer *t = opaque;
	ssize_t n = read(t->file, data, size * count);
	if (n < 0) {
		t->failure = -errno;
		return CURL_READFUNC_ABORT;
	}
	t->bytes += (uint64_t)n;
	return (size_t)n;
}

/* A body that has to be sent again, after a redirect or a 401 in between. */
static int rewind_body(void *opaque, curl_off_t offset, int origin)
{
	struct transfer *t = opaque;
	t->bytes = (uint64_t)offset;
	return origin == SEEK_SET && lseek(t->file, offset, SEEK_SET) == offset
		       ? CURL_SEEKFUNC_OK
		       : CURL_SEEKFUNC_FAIL;
}

/* ---- an attempt ---- */

/* What came of a document before a cut is worth nothing. */
static int start_over(struct transfer *t)
{
	hasher_free(t->hasher);
	t->hasher = NULL;
	t->bytes = 0;
	if (t->file >= 0 && (ftruncate(t->file, 0) < 0 || lseek(t->file, 0, SEEK_SET) < 0))
		return -errno;
	return hasher_new(&t->hasher);
}

static int prepare_get(struct transfer *t)
{
	char range[32];
	if (t->request.kind == FETCH_PING)
		return 0;
	if (t->request.kind == FETCH_DOCUMENT) {
		t->headers = curl_slist_append(t->headers, accept_images);
		return start_over(t);
	}
	if (!t->hasher)
		return start_over(t);
	t->ranged = t->bytes > 0;
	if (t->ranged) {
		str_format(range, sizeof(range), "%llu-", (unsigned long long)t->bytes);
		curl_easy_setopt(t->easy, CURLOPT_RANGE, range);
	}
	return 0;
}

static void prepare_upload(struct transfer *t)
{
	char header[FETCH_TYPE_MAX + 16];
	str_format(header, sizeof(header), "Content-Type: %s",
		   t->request.type[0] ? t->request.type : "application/octet-stream");
	t->headers = curl_slist_append(t->headers, header);
	t->bytes = 0;
	lseek(t->file, 0, SEEK_SET);
	curl_easy_setopt(t->easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)t->request.size);
	curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, give_body);
	curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_SEEKFUNCTION, rewind_body);
	curl_easy_setopt(t->easy, CURLOPT_SEEKDATA, t);
}

static int prepare_kind(struct transfer *t)
{
	switch ((enum fetch_kind)t->request.kind) {
	case FETCH_PING:
	case FETCH_DOCUMENT:
	case FETCH_BLOB:
		return prepare_get(t);
	case FETCH_EXISTS:
		curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
		t->headers = curl_slist_append(t->headers, accept_images);
		return 0;
	case FETCH_MOUNT:
		curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, "");
		return 0;
	case FETCH_UPLOAD:
		if (t->located)
			prepare_upload(t);
		else
			curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, "");
		return 0;
	case FETCH_PUT:
		prepare_upload(t);
		return 0;
	case FETCH_DELETE:
		curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, "DELETE");
		return 0;
	}
	return -EINVAL;
}

/* The place an upload was given may be relative, and has a query already or not. */
static int upload_url(const struct transfer *t, const char *base, char *ret, size_t size)
{
	const char *slash = *t->location == '/' ? base : "";
	return str_format(ret, size, "%s%s%cdigest=%s", slash, t->location,
			  strchr(t->location, '?') ? '&' : '?', t->request.digest);
}

int transfer_begin(struct session *session, struct transfer *t)
{
	char url[sizeof(t->location) + 256];
	const struct registry_endpoint *at = &session->registry->endpoints[t->endpoint];
	int r = t->located ? upload_url(t, at->base, url, sizeof(url))
			   : str_format(url, sizeof(url), "%s%s", at->base, t->request.path);
	if (r < 0)
		return r;
	t->easy = curl_easy_init();
	if (!t->easy)
		return -ENOMEM;
	session_prepare(t->easy, at, url);
	session_authorize(session, t->easy, t->endpoint, t->request.scope);
	t->headers = NULL;
	t->body_len = 0;
	t->failure = 0;
	t->skip = 0;
	t->ranged = false;
	t->begun_at = t->bytes;
	t->media_type[0] = t->challenge[0] = '\0';
	if (!t->located)
		t->location[0] = '\0';
	r = prepare_kind(t);
	curl_easy_setopt(t->easy, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES_PER_S);
	curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, STALL_S);
	return r;
}

enum transfer_next transfer_end(struct session *session, struct transfer *t, CURLcode result,
				struct fetch_reply *reply)
{
	long status = 0;
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	t->easy = NULL;
	t->headers = NULL;
	t->body[t->body_len] = '\0';
	if (result == CURLE_OK && t->request.kind == FETCH_UPLOAD && !t->located &&
	    (status == 202 || status == 201) && t->location[0]) {
		t->located = true;
		t->answered = 0;
		return TRANSFER_AGAIN;
	}
	return answer_judge(session, t, result, status, reply);
}

void transfer_free(struct transfer *t)
{
	if (t->easy)
		curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	hasher_free(t->hasher);
	cleanup_close(&t->file);
	cleanup_close(&t->pipe);
	free(t);
}
