#include "cold/registry/upload.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/str.h"
#include "cold/registry/answer.h"

#define REDIRECTS_MAX 5
#define PART_FIRST    (16u << 20) /* where all at once is too much */
#define PART_LEAST    (1u << 20)
#define SLOW_S	      300L /* what a registry may take to check and keep what it got */

/* ---- where to ---- */

/* The path is the blob's own: "/v2/a/b/blobs/sha256:…". */
static int start_url(const struct transfer *t, const char *base, const char *from, char *ret,
		     size_t size)
{
	const char *wanted = t->request.digest;
	size_t path = strlen(t->path), digest = strlen(wanted);
	if (path <= digest || !streq(t->path + path - digest, wanted))
		return -EINVAL;
	int len = (int)(path - digest);
	if (t->mountable)
		return str_format(ret, size, "%s%.*suploads/?mount=%s&from=%s", base, len, t->path,
				  wanted, from);
	return str_format(ret, size, "%s%.*suploads/", base, len, t->path);
}

/* The place that was named, with the digest that ends an upload. */
static int closing_url(const struct transfer *t, char *ret, size_t size)
{
	char parameter[FETCH_DIGEST_MAX + 16], *text = NULL;
	str_format(parameter, sizeof(parameter), "digest=%s", t->request.digest);
	CURLU *url = libcurl.url();
	int r = url && libcurl.url_set(url, CURLUPART_URL, t->target, 0) == CURLUE_OK &&
				libcurl.url_set(url, CURLUPART_QUERY, parameter,
						CURLU_APPENDQUERY) == CURLUE_OK &&
				libcurl.url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK
			? str_format(ret, size, "%s", text)
			: -EINVAL;
	libcurl.free(text);
	libcurl.url_cleanup(url);
	return r;
}

int upload_address(struct transfer *t, const struct registry_endpoint *at)
{
	char own[FETCH_PATH_MAX], from[FETCH_PATH_MAX];
	const struct fetch_request *request = &t->request;
	bool upload = request->kind == FETCH_UPLOAD;
	bool starts = upload && t->step == UPLOAD_START;
	int r = registry_translate(at, "repository:", request->scope, false, own, sizeof(own));
	if (r == 0)
		r = registry_translate(at, "", request->from, false, from, sizeof(from));
	if (r == 0)
		r = starts && t->mountable
			    ? str_format(t->scope, sizeof(t->scope), "%s%srepository:%s:pull", own,
					 own[0] ? " " : "", from)
			    : str_format(t->scope, sizeof(t->scope), "%s", own);
	if (r < 0)
		return r;
	if (t->target[0] && upload && (t->step == UPLOAD_WHOLE || t->step == UPLOAD_CLOSE))
		return closing_url(t, t->url, sizeof(t->url));
	if (t->target[0])
		return str_format(t->url, sizeof(t->url), "%s", t->target);
	if (starts)
		return start_url(t, at->base, from, t->url, sizeof(t->url));
	return str_format(t->url, sizeof(t->url), "%s%s", at->base, t->path);
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char *left = NULL, *right = NULL;
	bool same = libcurl.url_get(a, part, &left, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		    libcurl.url_get(b, part, &right, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		    strcasecmp(left, right) == 0;
	libcurl.free(left);
	libcurl.free(right);
	return same;
}

static bool has_part(CURLU *url, CURLUPart part)
{
	char *text = NULL;
	bool has = libcurl.url_get(url, part, &text, 0) == CURLUE_OK;
	libcurl.free(text);
	return has;
}

/* The answer's Location, which may be relative to what was asked, becomes the target. */
static bool take_place(struct transfer *t, const char *base)
{
	char *text = NULL;
	CURLU *place = libcurl.url(), *own = libcurl.url();
	bool ok = place && own && t->location[0] &&
		  libcurl.url_set(place, CURLUPART_URL, t->url, 0) == CURLUE_OK &&
		  libcurl.url_set(place, CURLUPART_URL, t->location, 0) == CURLUE_OK &&
		  libcurl.url_set(place, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
		  libcurl.url_set(own, CURLUPART_URL, base, 0) == CURLUE_OK &&
		  /* A name in the URL would be sent as one's own. */
		  !has_part(place, CURLUPART_USER) && !has_part(place, CURLUPART_PASSWORD) &&
		  libcurl.url_get(place, CURLUPART_URL, &text, 0) == CURLUE_OK &&
		  str_format(t->target, sizeof(t->target), "%s", text) == 0;
	if (ok)
		t->foreign = !same_part(place, own, CURLUPART_SCHEME) ||
			     !same_part(place, own, CURLUPART_HOST) ||
			     !same_part(place, own, CURLUPART_PORT);
	libcurl.free(text);
	libcurl.url_cleanup(place);
	libcurl.url_cleanup(own);
	return ok;
}

/* ---- what is sent ---- */

static size_t give_body(char *data, size_t size, size_t count, void *opaque)
{
	struct transfer *t = opaque;
	size_t room = size * count;
	if (room > t->end - t->bytes)
		room = (size_t)(t->end - t->bytes);
	if (room == 0)
		return 0;
	ssize_t n = pread(t->file, data, room, (off_t)t->bytes);
	if (n <= 0) {
		t->failure = n < 0 ? -errno : -ENODATA;
		return CURL_READFUNC_ABORT;
	}
	t->bytes += (uint64_t)n;
	t->sent = true;
	return (size_t)n;
}

/* A body that libcurl has to send again. */
static int rewind_body(void *opaque, curl_off_t offset, int origin)
{
	struct transfer *t = opaque;
	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->end - t->begun_at)
		return CURL_SEEKFUNC_FAIL;
	t->bytes = t->begun_at + (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static void add_header(struct transfer *t, const char *name, const char *value)
{
	char header[FETCH_TYPE_MAX + 64];
	str_format(header, sizeof(header), "%s: %s", name, value);
	t->headers = libcurl.slist_append(t->headers, header);
}

/* From t->bytes up to t->end. */
static void prepare_body(struct transfer *t)
{
	add_header(t, "Content-Type",
		   t->request.type[0] ? t->request.type : "application/octet-stream");
	t->begun_at = t->bytes;
	libcurl.easy_setopt(t->easy, CURLOPT_UPLOAD, 1L);
	libcurl.easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)(t->end - t->bytes));
	libcurl.easy_setopt(t->easy, CURLOPT_READFUNCTION, give_body);
	libcurl.easy_setopt(t->easy, CURLOPT_READDATA, t);
	libcurl.easy_setopt(t->easy, CURLOPT_SEEKFUNCTION, rewind_body);
	libcurl.easy_setopt(t->easy, CURLOPT_SEEKDATA, t);
	libcurl.easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, SLOW_S);
}

static void prepare_part(struct transfer *t)
{
	char range[64];
	t->bytes = t->confirmed;
	t->end = t->request.size;
	if (t->part && t->end - t->bytes > t->part)
		t->end = t->bytes + t->part;
	str_format(range, sizeof(range), "%llu-%llu", (unsigned long long)t->bytes,
		   (unsigned long long)t->end - 1);
	add_header(t, "Content-Range", range);
	prepare_body(t);
	libcurl.easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, "PATCH");
}

int upload_prepare(struct transfer *t)
{
	/* Where to and with what method is decided here, answer by answer. */
	libcurl.easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 0L);
	if (t->request.kind == FETCH_PUT) {
		t->bytes = 0;
		t->end = t->request.size;
		prepare_body(t);
		return 0;
	}
	switch (t->step) {
	case UPLOAD_CHECK:
		libcurl.easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 1L);
		libcurl.easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
		return 0;
	case UPLOAD_START:
		libcurl.easy_setopt(t->easy, CURLOPT_POSTFIELDS, "");
		return 0;
	case UPLOAD_ASK:
		return 0;
	case UPLOAD_WHOLE:
		t->bytes = 0;
		t->end = t->request.size;
		prepare_body(t);
		return 0;
	case UPLOAD_PART:
		prepare_part(t);
		return 0;
	case UPLOAD_CLOSE:
		t->bytes = t->end = t->request.size;
		prepare_body(t);
		return 0;
	}
	return -EINVAL;
}

/* ---- what came back ---- */

static void go(struct transfer *t, enum upload_step step)
{
	t->step = step;
	t->answered = 0;
	t->redirects = 0;
	if (step <= UPLOAD_START) {
		t->target[0] = '\0';
		t->foreign = false;
		t->confirmed = t->bytes = 0;
	}
}

/* "0-1023" (the spec's) or "bytes=0-1023": bytes that have come. "0-0" is nothing, or one. */
static bool read_range(const char *text, uint64_t *ret)
{
	uint64_t last;
	const char *rest = str_after(text, "bytes=");
	const char *digits = str_after(rest ? rest : text, "0-");
	if (!digits || str_to_u64(digits, &last) < 0 || last == UINT64_MAX)
		return false;
	*ret = last ? last + 1 : 0;
	return true;
}

/* So much is there, says the registry: the rest follows. */
static bool go_on_from(struct transfer *t, uint64_t confirmed)
{
	if (confirmed > t->request.size)
		return false;
	t->confirmed = confirmed;
	if (confirmed > t->best) {
		t->best = confirmed;
		t->attempt = 0;
	}
	go(t, confirmed == t->request.size ? UPLOAD_CLOSE : UPLOAD_PART);
	return true;
}

/* As much at once as was refused is too much. False: less makes no sense. */
static bool make_parts_smaller(struct transfer *t)
{
	uint64_t least = PART_LEAST, wanted;
	if (str_to_u64(t->least_part, &wanted) == 0 && wanted > least)
		least = wanted;
	uint64_t tried = t->end - t->begun_at, part = t->part ? 0 : PART_FIRST;
	if (part == 0 || part >= tried)
		part = tried / 4;
	if (part < least)
		part = least;
	if (part >= tried)
		return false;
	t->part = part;
	return true;
}

static enum transfer_next nonsense(const char *base, const struct transfer *t, const char *what,
				   struct fetch_reply *reply)
{
	return answer_fail(reply, -EPROTO, "%s: %.80s: %s", base, t->request.digest, what);
}

static enum transfer_next uploaded(enum fetch_upload how, struct fetch_reply *reply)
{
	reply->code = 0;
	reply->upload = how;
	return TRANSFER_DONE;
}

static enum transfer_next started(struct transfer *t, long status, const char *base,
				  struct fetch_reply *reply)
{
	if (status == 201 && t->mountable)
		return uploaded(FETCH_MOUNTED, reply);
	if (status != 202 || !take_place(t, base))
		return nonsense(base, t, "the registry names no place for the upload", reply);
	if (t->file < 0)
		return answer_fail(reply, -ENOENT,
				   "%s: %.80s is not in the repository, and cannot be mounted "
				   "from %.200s",
				   base, t->request.digest, t->request.from);
	t->mountable = false;
	t->confirmed = t->bytes = 0;
	t->step = t->part ? UPLOAD_PART : UPLOAD_WHOLE;
	t->answered = t->redirects = 0;
	return TRANSFER_AGAIN;
}

static enum transfer_next part_taken(struct transfer *t, const char *base,
				     struct fetch_reply *reply)
{
	uint64_t confirmed = t->end;
	if (t->location[0] && !take_place(t, base))
		return nonsense(base, t, "the registry names no place for the upload", reply);
	if (t->range[0] && (!read_range(t->range, &confirmed) || confirmed <= t->confirmed))
		return nonsense(base, t, "the registry does not keep what it takes", reply);
	if (!go_on_from(t, confirmed))
		return nonsense(base, t, "the registry has more than was sent", reply);
	return TRANSFER_AGAIN;
}

static enum transfer_next told_how_much(struct transfer *t, const char *base)
{
	uint64_t confirmed;
	if ((t->location[0] && !take_place(t, base)) || !read_range(t->range, &confirmed) ||
	    !go_on_from(t, confirmed))
		go(t, UPLOAD_CHECK);
	return TRANSFER_AGAIN;
}

static enum transfer_next succeeded(struct transfer *t, long status, const char *base,
				    struct fetch_reply *reply)
{
	switch (t->step) {
	case UPLOAD_CHECK:
		/* The answer to the blob itself may have been lost. */
		return uploaded(t->sent ? FETCH_UPLOADED : FETCH_PRESENT, reply);
	case UPLOAD_START:
		return started(t, status, base, reply);
	case UPLOAD_ASK:
		return told_how_much(t, base);
	case UPLOAD_PART:
		return part_taken(t, base, reply);
	case UPLOAD_WHOLE:
	case UPLOAD_CLOSE:
		return uploaded(FETCH_UPLOADED, reply);
	}
	return TRANSFER_DONE;
}

/* A refusal that another step gets around. */
static bool get_around(struct transfer *t, long status)
{
	switch (t->step) {
	case UPLOAD_CHECK: /* why not, is in the answer to what has a body */
		go(t, UPLOAD_START);
		return true;
	case UPLOAD_START:
		if (!t->mountable)
			return false;
		t->mountable = false;
		return true;
	case UPLOAD_ASK: /* the registry forgets what breaks off */
		go(t, UPLOAD_CHECK);
		return true;
	case UPLOAD_WHOLE:
	case UPLOAD_PART:
		if (status == 413 && make_parts_smaller(t)) {
			go(t, UPLOAD_START);
			return true;
		}
		return false;
	case UPLOAD_CLOSE:
		return false;
	}
	return false;
}

/* 307 and 308 keep the method and the body; the others make a GET of it. */
enum transfer_next upload_redirected(struct transfer *t, long status, const char *base,
				     struct fetch_reply *reply)
{
	if (upload_sends(t) && status != 307 && status != 308)
		return answer_fail(reply, -EPROTO,
				   "%s%.300s: status %ld: a redirect that loses what is sent; name "
				   "the registry as it wants to be called",
				   base, t->request.path, status);
	if (++t->redirects > REDIRECTS_MAX)
		return answer_fail(reply, -ELOOP, "%s%.300s: redirected too often", base,
				   t->request.path);
	if (!take_place(t, base))
		return answer_fail(reply, -EPROTO, "%s%.300s: redirected to nowhere", base,
				   t->request.path);
	return TRANSFER_AGAIN;
}

bool upload_judge(const struct session *session, struct transfer *t, long status,
		  struct fetch_reply *reply, enum transfer_next *ret)
{
	const char *base = session->registry->endpoints[t->endpoint].base;
	bool upload = t->request.kind == FETCH_UPLOAD;
	if (status == 401 && t->foreign) {
		*ret = answer_fail(reply, -EACCES,
				   "%s sends the upload to another host, which asks for "
				   "credentials; they are not sent there",
				   base);
		return true;
	}
	if (status >= 300 && status < 400 && !(upload && t->step == UPLOAD_ASK)) {
		*ret = upload_redirected(t, status, base, reply);
		return true;
	}
	if (!upload || status == 401 || status == 429 || status >= 500)
		return false;
	if (status >= 200 && status < 300) {
		*ret = succeeded(t, status, base, reply);
		return true;
	}
	*ret = TRANSFER_AGAIN;
	return get_around(t, status);
}

void upload_retreat(struct transfer *t)
{
	if (t->request.kind != FETCH_UPLOAD)
		return;
	go(t, t->step >= UPLOAD_WHOLE && t->step != UPLOAD_ASK && t->target[0] ? UPLOAD_ASK
									       : UPLOAD_CHECK);
}
