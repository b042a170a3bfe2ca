/* What a manifest or an index names, sent before it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cold/image/document.h"
#include "cold/image/push.h"

#define INDEX_IMAGES_MAX 256

static int read_document(struct push *push, const char *digest, const char **ret_text,
			 size_t *ret_len, const struct json **ret, struct masu_error *err)
{
	int r = image_blob_read(push->images_fd, push->arena, digest, IMAGE_MAX_DOCUMENT, ret_text,
				ret_len, err);
	if (r == 0)
		r = json_parse(push->arena, *ret_text, *ret_len, ret, err);
	return r;
}

/* What the document calls itself; OCI's need not. */
static const char *document_type(const struct json *document)
{
	const char *type = NULL;
	json_string(json_get(document, "mediaType"), &type);
	if (type)
		return type;
	return json_get(document, "manifests") ? MEDIA_TYPE_INDEX : MEDIA_TYPE_MANIFEST;
}

static bool is_stored(const struct push *push, const char *digest)
{
	char path[128];
	return str_format(path, sizeof(path), IMAGES_BLOBS "/%s", digest + strlen("sha256:")) ==
		       0 &&
	       faccessat(push->images_fd, path, F_OK, 0) == 0;
}

/* ---- one image ---- */

static bool manifest_has(const struct image_manifest *manifest, const char *digest)
{
	bool has = streq(manifest->config_digest, digest);
	for (size_t i = 0; i < manifest->layer_count && !has; i++)
		has = streq(manifest->layers[i].digest, digest);
	return has;
}

/* Another repository of the registry that an image here is named by, which has the blob. */
static const char *find_source(struct push *push, const char *digest)
{
	const struct image_reference *own = &push->remote.reference;
	for (size_t i = 0; i < push->index.count; i++) {
		const struct image_entry *entry = &push->index.entries[i];
		struct image_reference other;
		struct image image;
		struct image_manifest manifest;
		if (!entry->reference ||
		    image_reference_parse(push->arena, entry->reference, &other, NULL) < 0 ||
		    !streq(other.domain, own->domain) || streq(other.path, own->path))
			continue;
		if (image_load(push->images_fd, push->arena, entry, &image, &manifest, NULL) == 0 &&
		    manifest_has(&manifest, digest))
			return other.path;
	}
	return NULL;
}

static bool is_listed(const struct push *push, const char *digest)
{
	for (size_t i = 0; i < push->count; i++)
		if (streq(push->blobs[i].digest, digest))
			return true;
	return false;
}

static int add_blob(struct push *push, const char *digest, uint64_t size, const char *name)
{
	if (is_listed(push, digest))
		return 0;
	struct push_blob *blob = &push->blobs[push->count++];
	*blob = (struct push_blob) { .digest = digest,
				     .size = size,
				     .name = name + strlen("sha256:"),
				     .from = find_source(push, digest),
				     .fd = -1 };
	blob->text = blob->from ? arena_printf(push->arena, "Mounted from %s", blob->from) : "";
	return blob->text ? 0 : -ENOMEM;
}

static int other_platform(struct push *push, struct masu_error *err)
{
	return error_set(
		err, -ENOENT,
		"image with reference %s was found but does not provide the specified platform "
		"(%s)",
		image_reference_familiar_full(push->arena, &push->remote.reference),
		push->platform);
}

/* An image that is no index is for one platform. */
static int check_platform(struct push *push, const struct image *image, struct masu_error *err)
{
	struct platform platform;
	if (!push->platform)
		return 0;
	int r = platform_parse(push->arena, push->platform, &platform, err);
	if (r < 0)
		return r;
	bool same = streq_null(image->os, platform.os) &&
		    streq_null(image->architecture, platform.architecture);
	return same ? 0 : other_platform(push, err);
}

/* The layers' diff_ids, where the config has them: an artifact's has not. */
static int read_diff_ids(struct push *push, const struct image_manifest *manifest,
			 const char *const **ret, struct masu_error *err)
{
	struct image image = { 0 };
	const struct json *config;
	const char *text;
	size_t len;
	*ret = NULL;
	if (manifest->config_size > IMAGE_MAX_DOCUMENT)
		return 0;
	int r = image_blob_read(push->images_fd, push->arena, manifest->config_digest,
				IMAGE_MAX_DOCUMENT, &text, &len, err);
	if (r == 0 && json_parse(push->arena, text, len, &config, NULL) == 0 &&
	    image_config_parse(push->arena, config, &image, NULL) == 0 &&
	    image.layer_count == manifest->layer_count)
		*ret = image.diff_ids;
	return r < 0 ? r : check_platform(push, &image, err);
}

/* The topmost first, as docker shows them; the config last, which nobody is shown. */
static int list_blobs(struct push *push, const struct image_manifest *manifest,
		      struct masu_error *err)
{
	const char *const *diff_ids;
	int r = read_diff_ids(push, manifest, &diff_ids, err);
	if (r < 0)
		return r;
	push->count = 0;
	push->blobs = arena_array(push->arena, struct push_blob, manifest->layer_count + 1);
	r = push->blobs ? 0 : -ENOMEM;
	for (size_t i = manifest->layer_count; i-- > 0 && r == 0;) {
		const struct image_layer *layer = &manifest->layers[i];
		r = add_blob(push, layer->digest, layer->size,
			     diff_ids ? diff_ids[i] : layer->digest);
	}
	push->shown = push->count;
	if (r == 0)
		r = add_blob(push, manifest->config_digest, manifest->config_size,
			     manifest->config_digest);
	return r < 0 ? error_set(err, r, "out of memory") : 0;
}

static void blob_line(const void *opaque, size_t i, struct progress_line *ret)
{
	static const char *const texts[] = {
		[PUSH_WAITING] = "Preparing",
		[PUSH_SENDING] = "Pushing",
		[PUSH_SENT] = "Pushed",
		[PUSH_PRESENT] = "Layer already exists",
	};
	const struct push *push = opaque;
	const struct push_blob *blob = &push->blobs[i];
	bool mounted = blob->phase == PUSH_MOUNTED;
	*ret = (struct progress_line) { .name = blob->name,
					.text = mounted ? blob->text : texts[blob->phase],
					.moving = blob->phase == PUSH_SENDING,
					.bytes = blob->bytes,
					.size = blob->size };
}

static int put(struct push *push, const char *name, const struct json *document, const char *text,
	       size_t len, char ret_digest[DIGEST_MAX], uint64_t *ret_size, struct masu_error *err)
{
	int r = remote_put_manifest(&push->remote, name, document_type(document), text, len,
				    ret_digest, NULL, err);
	if (r == 0)
		*ret_size = len;
	return r;
}

static int push_image(struct push *push, const char *name, const struct json *document,
		      const char *text, size_t len, char ret_digest[DIGEST_MAX], uint64_t *ret_size,
		      struct masu_error *err)
{
	struct image_manifest manifest;
	int r = image_manifest_parse(push->arena, document, &manifest, err);
	if (r == 0)
		r = list_blobs(push, &manifest, err);
	if (r < 0)
		return r;
	push->progress = (struct progress) {
		.count = push->shown, .line = blob_line, .opaque = push, .quiet = push->quiet
	};
	progress_begin(&push->progress);
	r = push_blobs(push, err);
	progress_end(&push->progress);
	return r < 0 ? r : put(push, name, document, text, len, ret_digest, ret_size, err);
}

/* ---- an index ---- */

struct choice {
	const char *present[INDEX_IMAGES_MAX]; /* digests of the manifests that are here */
	size_t count;
	bool whole;	    /* all of them are */
	const char *wanted; /* that of the platform asked for */
};

/* Whether a manifest is here with everything that it names. */
static bool is_complete(struct push *push, const char *digest)
{
	const struct json *document;
	const char *text;
	size_t len;
	struct image_manifest manifest;
	if (!is_stored(push, digest) ||
	    read_document(push, digest, &text, &len, &document, NULL) < 0 ||
	    image_manifest_parse(push->arena, document, &manifest, NULL) < 0 ||
	    !is_stored(push, manifest.config_digest))
		return false;
	for (size_t i = 0; i < manifest.layer_count; i++)
		if (!is_stored(push, manifest.layers[i].digest))
			return false;
	return true;
}

static int choose(struct push *push, const struct json *index, struct choice *ret,
		  struct masu_error *err)
{
	struct platform platform;
	*ret = (struct choice) { .whole = true };
	int r = platform_parse(push->arena, push->platform, &platform, err);
	if (r < 0)
		return r;
	json_foreach (item, json_get(index, "manifests")) {
		const char *digest;
		if (!json_string(json_get(item, "digest"), &digest) || !image_digest_valid(digest))
			return error_set(err, -EINVAL, "index: a manifest is no descriptor");
		if (!is_complete(push, digest)) {
			ret->whole = false;
			continue;
		}
		if (ret->count == INDEX_IMAGES_MAX)
			return error_set(err, -E2BIG, "index: more than %d images",
					 INDEX_IMAGES_MAX);
		ret->present[ret->count++] = digest;
		if (!ret->wanted && !image_is_artifact(item) && platform_matches(item, &platform))
			ret->wanted = digest;
	}
	return 0;
}

/* Not the index: one of its images gets the name. */
static int push_one(struct push *push, const char *name, const struct choice *choice,
		    char ret_digest[DIGEST_MAX], uint64_t *ret_size, struct masu_error *err)
{
	const char *digest = push->platform	  ? choice->wanted
			     : choice->count == 1 ? choice->present[0]
						  : NULL;
	if (push->platform && !digest)
		return other_platform(push, err);
	if (!digest)
		return error_set(err, -ENOENT,
				 "%zu of the index's images are in the store, not all; name one "
				 "with --platform",
				 choice->count);
	if (!push->platform && !push->quiet)
		printf("Not all multiplatform-content is present and only the available "
		       "single-platform image is pushed: %s\n",
		       digest);
	return push_manifest(push, digest, name, ret_digest, ret_size, err);
}

static int push_index(struct push *push, const char *name, const struct json *document,
		      const char *text, size_t len, char ret_digest[DIGEST_MAX], uint64_t *ret_size,
		      struct masu_error *err)
{
	struct choice choice;
	int r = choose(push, document, &choice, err);
	if (r < 0)
		return r;
	if (push->platform || !choice.whole)
		return push_one(push, name, &choice, ret_digest, ret_size, err);
	for (size_t i = 0; i < choice.count && r == 0; i++)
		r = push_manifest(push, choice.present[i], NULL, ret_digest, ret_size, err);
	return r < 0 ? r : put(push, name, document, text, len, ret_digest, ret_size, err);
}

int push_manifest(struct push *push, const char *digest, const char *name,
		  char ret_digest[DIGEST_MAX], uint64_t *ret_size, struct masu_error *err)
{
	const struct json *document;
	const char *text;
	size_t len;
	int r = read_document(push, digest, &text, &len, &document, err);
	if (r < 0)
		return r;
	bool index = json_get(document, "manifests") != NULL;
	if (index && (json_get(document, "config") || json_get(document, "layers")))
		return error_set(err, -EINVAL, "an index that is also a manifest is ambiguous");
	return index ? push_index(push, name, document, text, len, ret_digest, ret_size, err)
		     : push_image(push, name, document, text, len, ret_digest, ret_size, err);
}
