#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/artifacts.h"
#include "cold/image/unpack.h"
#include "image/store.h"
#include "json/json.h"

#define DOCUMENT_MEMORY (128u << 20)
#define ITEMS_MAX	1024 /* of an index, whatever they are: each is compared with all */

/* ---- in the sandbox ---- */

static int put_descriptor(const struct json *item, struct buf *out, struct masu_error *err)
{
	uint64_t size;
	const char *digest = json_text(item, "digest");
	if (!image_digest_valid(digest) || !json_u64(json_get(item, "size"), &size))
		return error_set(err, -EBADMSG, "an artifact has something that is no descriptor");
	return buf_printf(out, "%s %llu\n", digest, (unsigned long long)size);
}

int artifacts_describe_list(void *opaque, struct buf *out, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct artifacts_task *task = opaque;
	const struct json *document;
	arena_init(&arena, DOCUMENT_MEMORY);
	int r = json_parse(&arena, task->texts->text, task->texts->len, &document, err);
	json_foreach (item, r == 0 ? json_get(document, "manifests") : NULL)
		if (r == 0 && streq(json_text(item, "mediaType"), MEDIA_TYPE_MANIFEST))
			r = put_descriptor(item, out, err);
	return r < 0 ? r : buf_error(out);
}

int artifacts_describe_blobs(void *opaque, struct buf *out, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct artifacts_task *task = opaque;
	const struct json *document;
	arena_init(&arena, DOCUMENT_MEMORY);
	int r = json_parse(&arena, task->texts->text, task->texts->len, &document, err);
	if (r < 0)
		return r;
	if (task->subject &&
	    !streq(json_text(json_get(document, "subject"), "digest"), task->subject))
		return error_set(err, -EBADMSG, "an artifact says that it is attached to another");
	r = put_descriptor(json_get(document, "config"), out, err);
	json_foreach (layer, json_get(document, "layers"))
		if (r == 0)
			r = put_descriptor(layer, out, err);
	return r < 0 ? r : buf_error(out);
}

/* Whether one of the items before @item, of this index or one before, has its digest. */
static bool is_repeated(const struct json *const *documents, size_t at, const struct json *item)
{
	const char *digest = json_text(item, "digest");
	for (size_t i = 0; i <= at; i++)
		json_foreach (other, json_get(documents[i], "manifests")) {
			if (other == item)
				return false;
			if (streq(json_text(other, "digest"), digest))
				return true;
		}
	return false;
}

static bool is_wanted(const struct artifacts_task *task, const struct json *item)
{
	const char *const *digest = task->digests;
	while (digest && *digest && !streq(*digest, json_text(item, "digest")))
		digest++;
	return !digest || *digest;
}

int artifacts_describe_merged(void *opaque, struct buf *out, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct artifacts_task *task = opaque;
	struct json_writer w;
	size_t items = 0;
	int r = 0;
	arena_init(&arena, DOCUMENT_MEMORY);
	const struct json **documents = arena_array(&arena, const struct json *, task->count + 1);
	if (!documents)
		return -ENOMEM;
	json_writer_init(&w, out, false);
	json_begin_object(&w);
	json_field_u64(&w, "schemaVersion", 2);
	json_field_string(&w, "mediaType", MEDIA_TYPE_INDEX);
	json_key(&w, "manifests");
	json_begin_array(&w);
	for (size_t i = 0; i < task->count && r == 0; i++) {
		r = json_parse(&arena, task->texts[i].text, task->texts[i].len, &documents[i], err);
		const struct json *manifests = r < 0 ? NULL : json_get(documents[i], "manifests");
		items += manifests ? manifests->count : 0;
		if (items > ITEMS_MAX)
			return error_set(err, -E2BIG, "more than %d artifacts", ITEMS_MAX);
		json_foreach (item, manifests)
			if (!is_repeated(documents, i, item) && is_wanted(task, item))
				json_put_value(&w, item);
	}
	json_end_array(&w);
	json_end_object(&w);
	return r < 0 ? r : buf_error(out);
}

/* ---- outside ---- */

static int read_descriptors(struct arena *arena, sandboxed_job job, struct artifacts_task *task,
			    size_t most, struct artifact_blob *ret, size_t *ret_count,
			    struct masu_error *err)
{
	_cleanup_buf_ struct buf facts;
	char *save = NULL;
	size_t count = 0;
	buf_init(&facts, 0);
	int r = sandboxed_run(job, task, 1u << 20, &facts, err);
	char *copy = r < 0 ? NULL : arena_strdup(arena, buf_str(&facts));
	if (r < 0 || !copy)
		return r < 0 ? r : error_set(err, -ENOMEM, "out of memory");
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *size = strchr(line, ' ');
		if (count == most)
			return error_set(err, -E2BIG, "more than %zu; that is refused", most);
		if (!size)
			return error_set(err, -EPROTO, "the decoder's answer about artifacts");
		*size = '\0';
		ret[count].digest = line;
		if (!image_digest_valid(line) || str_to_u64(size + 1, &ret[count].size) < 0)
			return error_set(err, -EPROTO, "the decoder's answer about artifacts");
		count++;
	}
	*ret_count = count;
	return 0;
}

int artifacts_list(struct arena *arena, const char *text, size_t len, struct artifact_blob *ret,
		   size_t *ret_count, struct masu_error *err)
{
	const struct artifacts_text source = { text, len };
	struct artifacts_task task = { .texts = &source, .count = 1 };
	int r = read_descriptors(arena, artifacts_describe_list, &task, ARTIFACTS_MAX, ret,
				 ret_count, err);
	return r < 0 ? error_wrap(err, "artifacts") : 0;
}

int artifact_blobs(struct arena *arena, const char *text, size_t len, const char *subject,
		   struct artifact_blob *ret, size_t *ret_count, struct masu_error *err)
{
	const struct artifacts_text source = { text, len };
	struct artifacts_task task = { .texts = &source, .count = 1, .subject = subject };
	return read_descriptors(arena, artifacts_describe_blobs, &task, ARTIFACT_BLOBS_MAX, ret,
				ret_count, err);
}

int artifacts_merge(const struct artifacts_text *texts, size_t count, struct buf *out,
		    struct masu_error *err)
{
	struct artifacts_task task = { .texts = texts, .count = count };
	return sandboxed_run(artifacts_describe_merged, &task, IMAGE_MAX_DOCUMENT, out, err);
}

int artifacts_select(const struct artifacts_text *from, const char *const *digests, struct buf *out,
		     struct masu_error *err)
{
	struct artifacts_task task = { .texts = from, .count = 1, .digests = digests };
	return sandboxed_run(artifacts_describe_merged, &task, IMAGE_MAX_DOCUMENT, out, err);
}
