/*
 * What a name leads to. Documents of other tools may name anything (image spec: image-index.md,
 * artifacts-guidance.md), so this follows descriptors wherever they stand and believes no media
 * type more than it has to.
 */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "image/store.h"

#define DEPTH_MAX     8
#define DOCUMENTS_MAX 16384

struct seen {
	const char *digest;
	struct seen *next;
};

struct walk {
	int images_fd;
	struct arena *arena;
	struct seen *seen;
	size_t count;
	image_visitor visit;
	void *data;
	struct masu_error *err;
};

static int no_memory(const struct walk *w)
{
	return error_set(w->err, -ENOMEM, "out of memory");
}

static int visit(struct walk *w, const char *hex, bool blob)
{
	return w->visit(w->data, hex, blob) < 0 ? no_memory(w) : 0;
}

/* NULL where it is no JSON or no document by its size; or not here, which only @optional may be. */
static int read_document(struct walk *w, const char *digest, bool optional, const struct json **ret)
{
	const char *text;
	size_t len;
	*ret = NULL;
	int r = image_blob_read(w->images_fd, w->arena, digest, IMAGE_MAX_DOCUMENT, &text, &len,
				w->err);
	if (r == -EFBIG || (r == -ENOENT && optional))
		return 0;
	if (r < 0)
		return r;
	return json_parse(w->arena, text, len, ret, NULL) == -ENOMEM ? no_memory(w) : 0;
}

static bool is_image_type(const char *type)
{
	return streq(type, MEDIA_TYPE_CONFIG) || streq(type, MEDIA_TYPE_DOCKER_CONFIG);
}

/* Manifest and config, where they are an image's. -EINVAL, -E2BIG: they are not. */
static int parse_image(struct walk *w, const struct json *document, bool optional,
		       struct image *ret, struct masu_error *why)
{
	struct image_manifest manifest;
	const struct json *config;
	int r = image_manifest_parse(w->arena, document, &manifest, why);
	if (r < 0)
		return r;
	r = read_document(w, manifest.config_digest, optional, &config);
	if (r < 0)
		return error_set(why, r == -EINVAL ? -EIO : r, "%s", w->err ? w->err->message : "");
	r = image_config_parse(w->arena, config, ret, why);
	if (r == 0 && ret->layer_count != manifest.layer_count)
		r = error_set(why, -EINVAL, "manifest has %zu layers, its config %zu",
			      manifest.layer_count, ret->layer_count);
	return r;
}

/* The layers that an image's config makes of its blobs; an artifact has none. */
static int visit_layers(struct walk *w, const struct json *document, unsigned depth)
{
	struct image image = { 0 };
	struct masu_error why = { 0 };
	const char *type = json_text(json_get(document, "config"), "mediaType");
	int r = parse_image(w, document, depth > 0, &image, &why);
	/* What is named as an image and cannot be read: who knows which layers it has. */
	bool unknown = depth == 0 && is_image_type(type);
	if ((r == -EINVAL || r == -E2BIG) && !unknown)
		return 0;
	if (r < 0)
		return error_set(w->err, r, "%s", why.message);
	for (size_t i = 0; r == 0 && i < image.layer_count; i++)
		r = visit(w, image.chain_ids[i], false);
	return r;
}

static int visit_leaf(struct walk *w, const struct json *descriptor)
{
	const char *digest = json_text(descriptor, "digest");
	return image_digest_valid(digest) ? visit(w, digest + strlen("sha256:"), true) : 0;
}

static int visit_leaves(struct walk *w, const struct json *list)
{
	int r = 0;
	json_foreach (item, list)
		if (r == 0)
			r = visit_leaf(w, item);
	return r;
}

static int note_seen(struct walk *w, const char *digest)
{
	struct seen *seen = arena_new(w->arena, struct seen);
	if (!seen)
		return no_memory(w);
	if (++w->count > DOCUMENTS_MAX)
		return error_set(w->err, -E2BIG, "more than %d documents", DOCUMENTS_MAX);
	*seen = (struct seen) { digest, w->seen };
	w->seen = seen;
	return 0;
}

static bool is_seen(const struct walk *w, const char *digest)
{
	const struct seen *seen = w->seen;
	while (seen && !streq(seen->digest, digest))
		seen = seen->next;
	return seen;
}

static int walk(struct walk *w, const char *digest, unsigned depth)
{
	const struct json *document;
	if (!image_digest_valid(digest) || is_seen(w, digest))
		return 0;
	if (depth > DEPTH_MAX)
		return error_set(w->err, -ELOOP, "an index is more than %d deep", DEPTH_MAX);
	int r = note_seen(w, digest);
	if (r == 0)
		r = visit(w, digest + strlen("sha256:"), true);
	if (r == 0)
		r = read_document(w, digest, depth > 0, &document);
	if (r < 0 || !document)
		return r;
	r = visit_leaf(w, json_get(document, "config"));
	if (r == 0)
		r = visit_leaves(w, json_get(document, "layers"));
	if (r == 0)
		r = visit_leaves(w, json_get(document, "blobs"));
	if (r == 0 && json_get(document, "config"))
		r = visit_layers(w, document, depth);
	if (r == 0)
		r = walk(w, json_text(json_get(document, "subject"), "digest"), depth + 1);
	json_foreach (item, json_get(document, "manifests"))
		if (r == 0)
			r = walk(w, json_text(item, "digest"), depth + 1);
	return r;
}

int image_reach(int images_fd, struct arena *arena, const char *digest, image_visitor visitor,
		void *data, struct masu_error *err)
{
	struct walk w = {
		.images_fd = images_fd, .arena = arena, .visit = visitor, .data = data, .err = err
	};
	return walk(&w, digest, 0);
}
