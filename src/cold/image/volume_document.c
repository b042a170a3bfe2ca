#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/unpack.h"
#include "cold/image/volume_artifact.h"
#include "image/store.h"
#include "json/json.h"

#define DOCUMENT_MEMORY (128u << 20)
#define FACTS_MAX	(8u << 20)
#define EMPTY_ARCHIVE	1024 /* bytes of the shortest tar */

/* ---- written ---- */

int volume_config_write(const struct volume_config *config, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, false);
	json_begin_object(&w);
	json_field_string(&w, "name", config->name);
	json_field_string(&w, "tar", config->tar);
	json_field_u64(&w, "size", config->size);
	if (config->limit)
		json_field_u64(&w, "limit", config->limit);
	json_key(&w, "labels");
	json_begin_object(&w);
	for (size_t i = 0; i < config->label_count; i++)
		json_field_string(&w, config->labels[i].key, config->labels[i].value);
	json_end_object(&w);
	json_end_object(&w);
	return buf_error(out);
}

static void put_descriptor(struct json_writer *w, const char *type, const struct volume_chunk *blob)
{
	json_begin_object(w);
	json_field_string(w, "mediaType", type);
	json_field_string(w, "digest", blob->digest);
	json_field_u64(w, "size", blob->size);
	json_end_object(w);
}

int volume_manifest_write(const struct volume_artifact *artifact, const char *name, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, false);
	json_begin_object(&w);
	json_field_u64(&w, "schemaVersion", 2);
	json_field_string(&w, "mediaType", MEDIA_TYPE_MANIFEST);
	json_field_string(&w, "artifactType", VOLUME_ARTIFACT_TYPE);
	json_key(&w, "config");
	put_descriptor(&w, VOLUME_CONFIG_TYPE, &artifact->config);
	json_key(&w, "layers");
	json_begin_array(&w);
	for (size_t i = 0; i < artifact->count; i++)
		put_descriptor(&w, VOLUME_CHUNK_TYPE, &artifact->chunks[i]);
	json_end_array(&w);
	json_key(&w, "annotations");
	json_begin_object(&w);
	json_field_string(&w, "org.opencontainers.image.title", name);
	json_end_object(&w);
	json_end_object(&w);
	return buf_error(out);
}

/* ---- in the sandbox: facts, each ended by a NUL ---- */

/* No text of a document may look like the next fact. */
static int put_fact(struct buf *out, const char *text)
{
	int r = buf_append(out, text, strlen(text));
	return r < 0 ? r : buf_putc(out, '\0');
}

static int describe_blob(const struct json *item, const char *type, struct buf *out,
			 struct masu_error *err)
{
	uint64_t size;
	const char *digest = json_text(item, "digest");
	if (!streq(json_text(item, "mediaType"), type))
		return error_set(err, -EBADMSG, "no volume of masu: it has a blob of type %.100s",
				 json_text(item, "mediaType"));
	if (!image_digest_valid(digest) || !json_u64(json_get(item, "size"), &size) ||
	    json_get(item, "urls"))
		return error_set(err, -EBADMSG, "a descriptor is not what it should be");
	int r = buf_printf(out, "%s %llu", digest, (unsigned long long)size);
	return r < 0 ? r : buf_putc(out, '\0');
}

int volume_describe_manifest(void *opaque, struct buf *out, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct volume_task *task = opaque;
	const struct json *document;
	arena_init(&arena, DOCUMENT_MEMORY);
	int r = json_parse(&arena, task->text, task->len, &document, err);
	if (r < 0)
		return r;
	if (json_get(document, "manifests") ||
	    !streq(json_text(document, "mediaType"), MEDIA_TYPE_MANIFEST) ||
	    !streq(json_text(document, "artifactType"), VOLUME_ARTIFACT_TYPE))
		return error_set(
			err, -EBADMSG,
			"that is no volume, but %.100s; images are pulled with `masu pull`",
			*json_text(document, "artifactType") ? json_text(document, "artifactType")
							     : json_text(document, "mediaType"));
	r = describe_blob(json_get(document, "config"), VOLUME_CONFIG_TYPE, out, err);
	const struct json *layers = json_get(document, "layers");
	if (r == 0 && (!layers || layers->type != JSON_ARRAY || layers->count == 0 ||
		       layers->count > VOLUME_CHUNKS_MAX))
		return error_set(err, -E2BIG, "a volume of no chunks, or more than %d",
				 VOLUME_CHUNKS_MAX);
	json_foreach (layer, r == 0 ? layers : NULL)
		if (r == 0)
			r = describe_blob(layer, VOLUME_CHUNK_TYPE, out, err);
	return r < 0 ? r : buf_error(out);
}

int volume_describe_config(void *opaque, struct buf *out, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct volume_task *task = opaque;
	const struct json *document;
	uint64_t size, limit = 0;
	arena_init(&arena, DOCUMENT_MEMORY);
	int r = json_parse(&arena, task->text, task->len, &document, err);
	if (r < 0)
		return r;
	const struct json *labels = json_get(document, "labels");
	if (!json_u64(json_get(document, "size"), &size) ||
	    (json_get(document, "limit") && !json_u64(json_get(document, "limit"), &limit)) ||
	    !image_digest_valid(json_text(document, "tar")))
		return error_set(err, -EBADMSG, "the volume's config is not what it should be");
	if (labels && (labels->type != JSON_OBJECT || labels->count > VOLUME_LABELS_MAX))
		return error_set(err, -E2BIG, "more than %d labels", VOLUME_LABELS_MAX);
	r = put_fact(out, json_text(document, "name"));
	if (r == 0)
		r = put_fact(out, json_text(document, "tar"));
	if (r == 0)
		r = buf_printf(out, "%llu %llu", (unsigned long long)size,
			       (unsigned long long)limit);
	if (r == 0)
		r = buf_putc(out, '\0');
	json_foreach (label, labels) {
		const char *value;
		if (!json_string(label, &value))
			return error_set(err, -EBADMSG, "a label that is no string");
		if (r == 0)
			r = put_fact(out, label->key);
		if (r == 0)
			r = put_fact(out, value);
	}
	return r < 0 ? r : buf_error(out);
}

/* ---- outside: the facts, checked ---- */

struct facts {
	const char *at, *end;
};

/* NULL: there are no more. */
static const char *next_fact(struct facts *f)
{
	const char *fact = f->at;
	const char *nul = fact < f->end ? memchr(fact, '\0', (size_t)(f->end - fact)) : NULL;
	if (!nul)
		return NULL;
	f->at = nul + 1;
	return fact;
}

static int ask(struct arena *arena, sandboxed_job job, const char *text, size_t len,
	       struct facts *ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf out;
	struct volume_task task = { .text = text, .len = len };
	buf_init(&out, FACTS_MAX);
	int r = sandboxed_run(job, &task, FACTS_MAX, &out, err);
	if (r < 0)
		return r;
	char *copy = arena_alloc(arena, out.len + 1);
	if (!copy)
		return error_set(err, -ENOMEM, "out of memory");
	if (out.len)
		memcpy(copy, out.data, out.len);
	*ret = (struct facts) { copy, copy + out.len };
	return 0;
}

static int nonsense(struct masu_error *err)
{
	return error_set(err, -EPROTO, "the decoder's answer about a volume");
}

/* "sha256:… SIZE" */
static bool read_blob(const char *fact, struct volume_chunk *ret)
{
	const char *space = fact ? strchr(fact, ' ') : NULL;
	return space &&
	       str_format(ret->digest, sizeof(ret->digest), "%.*s", (int)(space - fact), fact) ==
		       0 &&
	       image_digest_valid(ret->digest) && str_to_u64(space + 1, &ret->size) == 0;
}

int volume_manifest_read(struct arena *arena, const char *text, size_t len,
			 struct volume_artifact *ret, struct masu_error *err)
{
	struct facts facts;
	struct volume_artifact artifact = { 0 };
	const char *fact;
	int r = ask(arena, volume_describe_manifest, text, len, &facts, err);
	if (r < 0)
		return r;
	artifact.chunks = arena_array(arena, struct volume_chunk, VOLUME_CHUNKS_MAX);
	if (!artifact.chunks)
		return error_set(err, -ENOMEM, "out of memory");
	if (!read_blob(next_fact(&facts), &artifact.config))
		return nonsense(err);
	while ((fact = next_fact(&facts)))
		if (artifact.count == VOLUME_CHUNKS_MAX ||
		    !read_blob(fact, &artifact.chunks[artifact.count++]))
			return nonsense(err);
	*ret = artifact;
	return 0;
}

/* "SIZE LIMIT" */
static bool read_sizes(const char *fact, struct volume_config *ret)
{
	char size[24];
	const char *space = fact ? strchr(fact, ' ') : NULL;
	return space && str_format(size, sizeof(size), "%.*s", (int)(space - fact), fact) == 0 &&
	       str_to_u64(size, &ret->size) == 0 && str_to_u64(space + 1, &ret->limit) == 0;
}

int volume_config_read(struct arena *arena, const char *text, size_t len, struct volume_config *ret,
		       struct masu_error *err)
{
	struct facts facts;
	struct volume_config config = { 0 };
	int r = ask(arena, volume_describe_config, text, len, &facts, err);
	if (r < 0)
		return r;
	config.labels = arena_array(arena, struct oci_pair, VOLUME_LABELS_MAX);
	config.name = next_fact(&facts);
	config.tar = next_fact(&facts);
	const char *sizes = next_fact(&facts), *key;
	if (!config.labels)
		return error_set(err, -ENOMEM, "out of memory");
	if (!read_sizes(sizes, &config) || !image_digest_valid(config.tar) ||
	    config.size < EMPTY_ARCHIVE)
		return nonsense(err);
	while ((key = next_fact(&facts))) {
		const char *value = next_fact(&facts);
		if (!value || config.label_count == VOLUME_LABELS_MAX)
			return nonsense(err);
		config.labels[config.label_count++] = (struct oci_pair) { key, value };
	}
	if (!name_valid(config.name))
		return error_set(err, -EBADMSG, "the volume's name \"%.100s\" is none",
				 config.name);
	*ret = config;
	return 0;
}
