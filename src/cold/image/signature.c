#include "cold/image/signature.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/unpack.h"
#include "image/store.h"

#define ANNOTATION	"dev.cosignproject.cosign/signature"
#define PAYLOAD_KIND	"cosign container image signature"
#define NO_DATE		"0001-01-01T00:00:00Z"
#define SIGNATURE_LIMIT 1024
#define DOCUMENT_MEMORY (64u << 20)

int signature_tag(const char *image_digest, char ret[96])
{
	return str_format(ret, 96, "sha256-%s.sig", image_digest + strlen("sha256:"));
}

/* ---- payloads ---- */

int signature_payload(const char *reference, const char *image_digest, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, false);
	json_begin_object(&w);
	json_key(&w, "critical");
	json_begin_object(&w);
	json_key(&w, "identity");
	json_begin_object(&w);
	json_field_string(&w, "docker-reference", reference);
	json_end_object(&w);
	json_key(&w, "image");
	json_begin_object(&w);
	json_field_string(&w, "docker-manifest-digest", image_digest);
	json_end_object(&w);
	json_field_string(&w, "type", PAYLOAD_KIND);
	json_end_object(&w);
	json_key(&w, "optional");
	json_put_null(&w);
	json_end_object(&w);
	return buf_error(out);
}

int signature_payload_check(struct arena *arena, const char *text, size_t len,
			    const char *image_digest, const struct image_reference *wanted,
			    struct masu_error *err)
{
	const struct json *document;
	struct image_reference signed_as;
	int r = json_parse(arena, text, len, &document, err);
	if (r < 0)
		return r;
	const struct json *critical = json_get(document, "critical");
	const char *name = json_text(json_get(critical, "identity"), "docker-reference");
	const char *digest = json_text(json_get(critical, "image"), "docker-manifest-digest");
	if (!streq(json_text(critical, "type"), PAYLOAD_KIND))
		return error_set(err, -EBADMSG, "it is no signature of an image");
	if (!streq(digest, image_digest))
		return error_set(err, -EBADMSG, "it is of another image, %.80s", digest);
	if (image_reference_parse(arena, name, &signed_as, NULL) < 0 ||
	    !streq(signed_as.domain, wanted->domain) || !streq(signed_as.path, wanted->path))
		return error_set(err, -EBADMSG, "it is of the image as %.200s", name);
	if (!wanted->digest && wanted->tag && image_reference_has_tag(name) &&
	    !streq_null(signed_as.tag, wanted->tag))
		return error_set(err, -EBADMSG, "it is of the image as %.200s", name);
	return 0;
}

/* ---- manifests, in the box ---- */

static int parse_manifest(struct arena *arena, const char *text, size_t len,
			  const struct json **ret_layers, struct masu_error *err)
{
	const struct json *document;
	int r = json_parse(arena, text, len, &document, err);
	if (r < 0)
		return r;
	*ret_layers = json_get(document, "layers");
	if (!*ret_layers || (*ret_layers)->type != JSON_ARRAY || json_get(document, "manifests"))
		return error_set(err, -EBADMSG, "what the tag names is no manifest of signatures");
	if ((*ret_layers)->count >= SIGNATURES_MAX)
		return error_set(err, -E2BIG, "more than %d signatures", SIGNATURES_MAX - 1);
	return 0;
}

/* A line a layer: digest, size, the signature or "-". */
int signatures_describe(void *opaque, struct buf *out, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct signatures_text *source = opaque;
	const struct json *layers;
	arena_init(&arena, DOCUMENT_MEMORY);
	int r = parse_manifest(&arena, source->text, source->len, &layers, err);
	if (r < 0)
		return r;
	json_foreach (layer, layers) {
		uint64_t size;
		const char *digest = json_text(layer, "digest");
		const char *signature = json_text(json_get(layer, "annotations"), ANNOTATION);
		bool valid = streq(json_text(layer, "mediaType"), SIGNATURE_PAYLOAD_TYPE) &&
			     *signature && strlen(signature) < SIGNATURE_LIMIT &&
			     !strpbrk(signature, " \r\n");
		if (!image_digest_valid(digest) || !json_u64(json_get(layer, "size"), &size))
			return error_set(err, -EBADMSG, "signatures: a layer is no descriptor");
		buf_printf(out, "%s %llu %s\n", digest, (unsigned long long)size,
			   valid ? signature : "-");
	}
	return buf_error(out);
}

static void write_layer(struct json_writer *w, const struct signature *s)
{
	json_begin_object(w);
	json_field_string(w, "mediaType", SIGNATURE_PAYLOAD_TYPE);
	json_field_u64(w, "size", s->size);
	json_field_string(w, "digest", s->digest);
	json_key(w, "annotations");
	json_begin_object(w);
	json_field_string(w, ANNOTATION, s->text);
	json_end_object(w);
	json_end_object(w);
}

static bool is_among(const struct json *layers, const struct json *wanted)
{
	json_foreach (layer, layers)
		if (streq(json_text(layer, "digest"), json_text(wanted, "digest")) &&
		    streq(json_text(json_get(layer, "annotations"), ANNOTATION),
			  json_text(json_get(wanted, "annotations"), ANNOTATION)))
			return true;
	return false;
}

static int merge(void *opaque, struct buf *out, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct signatures_manifest *m = opaque;
	const struct json *layers = NULL, *more = NULL;
	struct json_writer w;
	arena_init(&arena, DOCUMENT_MEMORY);
	int r = m->old ? parse_manifest(&arena, m->old, m->old_len, &layers, err) : 0;
	if (r == 0 && m->more)
		r = parse_manifest(&arena, m->more, m->more_len, &more, err);
	if (r < 0)
		return r;
	json_writer_init(&w, out, false);
	json_begin_object(&w);
	json_field_u64(&w, "schemaVersion", 2);
	json_field_string(&w, "mediaType", MEDIA_TYPE_MANIFEST);
	json_key(&w, "config");
	json_begin_object(&w);
	json_field_string(&w, "mediaType", MEDIA_TYPE_CONFIG);
	json_field_u64(&w, "size", m->config_size);
	json_field_string(&w, "digest", m->config_digest);
	json_end_object(&w);
	json_key(&w, "layers");
	json_begin_array(&w);
	json_foreach (layer, layers)
		json_put_value(&w, layer);
	json_foreach (layer, more)
		if (!is_among(layers, layer))
			json_put_value(&w, layer);
	if (m->added)
		write_layer(&w, m->added);
	json_end_array(&w);
	json_end_object(&w);
	return buf_error(out);
}

/* ---- outside ---- */

int signatures_write(struct signatures_manifest *manifest, struct buf *out, struct masu_error *err)
{
	return sandboxed_run(merge, manifest, IMAGE_MAX_DOCUMENT, out, err);
}

static int read_line(struct arena *arena, char *line, struct signature *ret)
{
	char *save = NULL;
	const char *digest = strtok_r(line, " ", &save), *size = strtok_r(NULL, " ", &save);
	const char *text = strtok_r(NULL, " ", &save);
	if (!text || !image_digest_valid(digest) || str_to_u64(size, &ret->size) < 0 ||
	    strlen(text) >= SIGNATURE_LIMIT)
		return -EPROTO;
	ret->digest = arena_strdup(arena, digest);
	ret->text = arena_strdup(arena, streq(text, "-") ? "" : text);
	return ret->digest && ret->text ? 0 : -ENOMEM;
}

int signatures_read(struct arena *arena, const char *text, size_t len, struct signature **ret,
		    size_t *ret_count, struct masu_error *err)
{
	_cleanup_buf_ struct buf facts;
	struct signatures_text source = { text, len };
	char *save = NULL;
	size_t count = 0;
	buf_init(&facts, 0);
	int r = sandboxed_run(signatures_describe, &source, 1u << 20, &facts, err);
	if (r < 0)
		return r;
	char *copy = arena_strdup(arena, buf_str(&facts));
	struct signature *list = arena_array(arena, struct signature, SIGNATURES_MAX);
	if (!copy || !list)
		return error_set(err, -ENOMEM, "out of memory");
	for (char *line = strtok_r(copy, "\n", &save); line && r == 0;
	     line = strtok_r(NULL, "\n", &save))
		r = count < SIGNATURES_MAX ? read_line(arena, line, &list[count++]) : -EPROTO;
	if (r < 0)
		return error_errno(err, r, "the decoder's answer about the signatures");
	*ret = list;
	*ret_count = count;
	return 0;
}

int signatures_config(const struct signature *signatures, size_t count, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, false);
	json_begin_object(&w);
	json_field_string(&w, "architecture", "");
	json_field_string(&w, "created", NO_DATE);
	json_key(&w, "history");
	json_begin_array(&w);
	for (size_t i = 0; i < count; i++) {
		json_begin_object(&w);
		json_field_string(&w, "created", NO_DATE);
		json_end_object(&w);
	}
	json_end_array(&w);
	json_field_string(&w, "os", "");
	json_key(&w, "rootfs");
	json_begin_object(&w);
	json_field_string(&w, "type", "layers");
	json_key(&w, "diff_ids");
	json_begin_array(&w);
	for (size_t i = 0; i < count; i++)
		json_put_string(&w, signatures[i].digest);
	json_end_array(&w);
	json_end_object(&w);
	json_key(&w, "config");
	json_begin_object(&w);
	json_end_object(&w);
	json_end_object(&w);
	return buf_error(out);
}
