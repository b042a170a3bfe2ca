/* `masu pull`: an image from a registry (distribution spec 1.1). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sha256.h"
#include "base/str.h"
#include "base/trace.h"
#include "cli/image_options.h"
#include "cold/image/artifacts.h"
#include "cold/image/pull.h"
#include "cold/image/tags.h"
#include "cold/image/verbs.h"
#include "image/store.h"
#include "state/trash.h"
#include "sys/fs.h"

/* ---- documents ---- */

static void request_init(const struct pull *pull, struct fetch_request *request,
			 enum fetch_kind kind, const char *collection, const char *name)
{
	*request = (struct fetch_request) { .kind = kind };
	str_format(request->path, sizeof(request->path), "/v2/%s/%s/%s", pull->reference.path,
		   collection, name);
	str_format(request->scope, sizeof(request->scope), "repository:%s:pull",
		   pull->reference.path);
}

static int read_staged(struct pull *pull, const struct staged_blob *blob, size_t limit, char **ret,
		       size_t *ret_len, struct masu_error *err)
{
	int r = fs_read_arena(pull->builder->staging.fd, blob->name, limit, pull->arena, ret,
			      ret_len);
	return r < 0 ? error_errno(err, r, "images: staging") : 0;
}

/*
 * Fetches a document into staging and hashes it here, whatever the fetcher says. @blob->digest:
 * what it must be, "" where it is what it is.
 */
static int fetch_document(struct pull *pull, struct fetch_request *request,
			  struct staged_blob *blob, char **ret_text, char *ret_type,
			  struct masu_error *err)
{
	struct fetch_reply reply;
	char hex[SHA256_HEX + 1], digest[DIGEST_MAX], expected[DIGEST_MAX];
	size_t len;
	str_format(expected, sizeof(expected), "%s", blob->digest);
	_cleanup_close_ int file = staging_create(&pull->builder->staging, blob, err);
	if (file < 0)
		return file;
	str_format(request->digest, sizeof(request->digest), "%s", expected);
	int r = fetcher_call(pull->fetcher, request, file, &reply, err);
	if (r == 0)
		r = read_staged(pull, blob, IMAGE_MAX_DOCUMENT, ret_text, &len, err);
	if (r < 0)
		return r;
	sha256_hex(*ret_text, len, hex);
	str_format(digest, sizeof(digest), "sha256:%s", hex);
	if (*expected && !streq(expected, digest))
		return error_set(err, -EBADMSG, "%s: the registry sent %s in its place", expected,
				 digest);
	memcpy(blob->digest, digest, sizeof(digest));
	blob->size = len;
	if (ret_type)
		str_format(ret_type, FETCH_TYPE_MAX, "%s", reply.media_type);
	return 0;
}

/* What docker says where a registry does not tell "no such image" from "not for you". */
static int explain(const struct pull *pull, int code, struct masu_error *err)
{
	const char *familiar = image_reference_familiar(pull->arena, &pull->reference);
	const char *full = image_reference_full(pull->arena, &pull->reference);
	char message[MASU_ERROR_MAX];
	if (!err || !familiar || !full)
		return code;
	str_format(message, sizeof(message), "%s", err->message);
	if (code == -EACCES && strstr(message, "denied"))
		return error_set(err, code,
				 "pull access denied for %.200s, repository does not exist or may "
				 "require 'masu login': %.400s",
				 familiar, message);
	if (code == -ENOENT && strstr(message, "manifest unknown"))
		return error_set(err, code, "manifest for %.200s not found: %.400s",
				 image_reference_familiar_full(pull->arena, &pull->reference),
				 message);
	return code;
}

/* The layers' blobs that the manifest @digest names, in the length that it says. */
static bool blobs_are_stored(const struct pull *pull, int images_fd, const char *digest)
{
	struct image_manifest manifest;
	const struct json *document;
	struct stat st;
	const char *text;
	char path[128];
	size_t len;
	bool stored = image_blob_read(images_fd, pull->arena, digest, IMAGE_MAX_DOCUMENT, &text,
				      &len, NULL) == 0 &&
		      json_parse(pull->arena, text, len, &document, NULL) == 0 &&
		      image_manifest_parse(pull->arena, document, &manifest, NULL) == 0;
	for (size_t i = 0; stored && i < manifest.layer_count; i++) {
		const struct image_layer *layer = &manifest.layers[i];
		stored = str_format(path, sizeof(path), IMAGES_BLOBS "/%s",
				    layer->digest + strlen("sha256:")) == 0 &&
			 fstatat(images_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			 (uint64_t)st.st_size == layer->size;
	}
	return stored;
}

/* What was lost is fetched again. */
static bool is_stored(const struct pull *pull, const struct image *image)
{
	const char *text;
	size_t len;
	_cleanup_close_ int images_fd =
		openat(pull->builder->root_fd, IMAGES_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return image_blob_read(images_fd, pull->arena, pull->manifest.digest, IMAGE_MAX_DOCUMENT,
			       &text, &len, NULL) == 0 &&
	       blobs_are_stored(pull, images_fd, image->manifest_digest);
}

/* Whether the reference names this manifest already, with all its layers. */
static bool is_up_to_date(struct pull *pull, const char *full)
{
	struct image image;
	struct image_builder *b = pull->builder;
	if (image_find(b->root_fd, pull->arena, full, &image, NULL) < 0 ||
	    !streq(image.original_digest, pull->manifest.digest) ||
	    !streq(image.remote_digest, pull->digest) || !is_stored(pull, &image))
		return false;
	for (size_t i = 0; i < image.layer_count; i++) {
		bool exists;
		if (b->ops->layer_exists(b->storage, image.chain_ids[i], &exists) < 0 || !exists)
			return false;
	}
	return true;
}

/*
 * The manifest of the reference, through an index where it is one. *ret_known: it is the one that
 * the image here came with, and was read then.
 */
static int fetch_manifest(struct pull *pull, const char *full, struct remote_manifest *ret,
			  bool *ret_known, struct masu_error *err)
{
	struct fetch_request request;
	char type[FETCH_TYPE_MAX], *text;
	const struct image_reference *reference = &pull->reference;
	const char *wanted = reference->digest ? reference->digest : "";
	request_init(pull, &request, FETCH_DOCUMENT, "manifests",
		     *wanted ? wanted : reference->tag);
	for (int depth = 0;; depth++) {
		str_format(pull->manifest.digest, sizeof(pull->manifest.digest), "%s", wanted);
		int r = fetch_document(pull, &request, &pull->manifest, &text, type, err);
		if (r < 0)
			return depth ? r : explain(pull, r, err);
		if (depth == 0)
			memcpy(pull->digest, pull->manifest.digest, sizeof(pull->digest));
		*ret_known = depth == 0 && is_up_to_date(pull, full);
		if (*ret_known)
			return 0;
		r = remote_manifest_read(pull->arena, text, pull->manifest.size, type,
					 &pull->platform, ret, err);
		if (r < 0 || !ret->index)
			return r < 0 ? error_wrap(err, "%s", reference->path) : 0;
		if (depth > 0)
			return error_set(err, -EOPNOTSUPP, "%s: an index in an index",
					 reference->path);
		wanted = ret->target.digest;
		request_init(pull, &request, FETCH_DOCUMENT, "manifests", wanted);
	}
}

static int fetch_config(struct pull *pull, const struct remote_manifest *manifest,
			struct masu_error *err)
{
	struct fetch_request request;
	char *text;
	if (manifest->config.size > IMAGE_MAX_DOCUMENT)
		return error_set(err, -EFBIG,
				 "%s: its config has %llu bytes, at most %u are allowed",
				 pull->reference.path, (unsigned long long)manifest->config.size,
				 IMAGE_MAX_DOCUMENT);
	request_init(pull, &request, FETCH_BLOB, "blobs", manifest->config.digest);
	request.size = manifest->config.size;
	str_format(pull->config.digest, sizeof(pull->config.digest), "%s", manifest->config.digest);
	int r = fetch_document(pull, &request, &pull->config, &text, NULL, err);
	return r < 0 ? r
		     : remote_config_read(pull->arena, text, pull->config.size,
					  manifest->layer_count, &pull->diff_ids, err);
}

/* ---- the image ---- */

static int build(struct pull *pull, const char *full, struct built_image *image,
		 struct masu_error *err)
{
	const char **references = arena_array(pull->arena, const char *, 2);
	image->layers = arena_array(pull->arena, struct built_layer, pull->layer_count + 1);
	if (!references || !image->layers)
		return error_set(err, -ENOMEM, "out of memory");
	references[0] = full;
	image->references = references;
	image->manifest = pull->manifest;
	image->config = pull->config;
	image->media_type = pull->media_type;
	image->layer_count = pull->layer_count;
	if (!streq(pull->digest, pull->manifest.digest))
		image->remote = pull->digest;
	int r = pull_layers(pull, image, err);
	if (r == 0 && streq(image->media_type, MEDIA_TYPE_DOCKER_MANIFEST))
		r = image_translate_manifest(pull->builder, image, err);
	return r < 0 ? r : image_commit(pull->builder, image, 1, err);
}

static int adopt_manifest(struct pull *pull, const struct remote_manifest *manifest,
			  struct masu_error *err)
{
	pull->media_type = manifest->config.media_type;
	pull->layer_count = manifest->layer_count;
	pull->layers = arena_array(pull->arena, struct pull_layer, manifest->layer_count + 1);
	if (!pull->layers)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < manifest->layer_count; i++)
		pull->layers[i] =
			(struct pull_layer) { .blob = manifest->layers[i], .lock_fd = -1 };
	return 0;
}

static void layer_line(const void *opaque, size_t i, struct progress_line *ret)
{
	static const char *const texts[] = {
		[PULL_WAITING] = "Pulling fs layer",	[PULL_FETCHING] = "Downloading",
		[PULL_UNPACKING] = "Download complete", [PULL_COMPLETE] = "Pull complete",
		[PULL_EXISTS] = "Already exists",
	};
	const struct pull *pull = opaque;
	const struct pull_layer *layer = &pull->layers[i];
	*ret = (struct progress_line) { .name = layer->blob.digest + strlen("sha256:"),
					.text = texts[layer->phase],
					.moving = layer->phase == PULL_FETCHING,
					.bytes = layer->bytes,
					.size = layer->blob.size };
}

static void show_begin(struct pull *pull)
{
	const struct image_reference *reference = &pull->reference;
	pull->progress = (struct progress) {
		.count = pull->layer_count, .line = layer_line, .opaque = pull, .quiet = pull->quiet
	};
	if (!pull->quiet)
		printf("%s: Pulling from %s\n", reference->tag ? reference->tag : reference->digest,
		       reference->path);
	progress_begin(&pull->progress);
}

/* Of the reference, or of all tags of its repository. */
static void print_status(const struct pull *pull, const struct image_reference *reference,
			 bool fresh)
{
	if (!pull->quiet)
		printf("Status: %s for %s\n",
		       fresh ? "Downloaded newer image" : "Image is up to date",
		       image_reference_familiar_full(pull->arena, reference));
	printf("%s\n", image_reference_full(pull->arena, reference));
}

/* One reference of an opened registry. *ret_fresh: it was not here as it is there. */
static int pull_one(struct pull *pull, bool *ret_fresh, struct masu_error *err)
{
	struct remote_manifest manifest;
	const char *full = image_reference_full(pull->arena, &pull->reference);
	if (!full)
		return error_set(err, -ENOMEM, "out of memory");
	bool known = false;
	int r = fetch_manifest(pull, full, &manifest, &known, err);
	if (r == 0 && !known)
		r = adopt_manifest(pull, &manifest, err);
	if (r < 0)
		return r;
	trace_mark("manifest");
	bool fresh = !known && !is_up_to_date(pull, full);
	if (fresh)
		r = fetch_config(pull, &manifest, err);
	else
		pull->layer_count = 0;
	if (r < 0)
		return r;
	trace_mark(fresh ? "config" : "compared");
	if (!fresh && !pull->all_tags)
		fetcher_stop(pull->fetcher);
	show_begin(pull);
	while (fresh) { /* again where something in the store was damaged or has gone meanwhile */
		struct built_image image = { 0 };
		r = build(pull, full, &image, err);
		pull_unlock(pull);
		if (r < 0)
			built_image_abort(pull->builder, &image);
		if (r != -EAGAIN)
			break;
		/* What is in flight belongs to the failed try. */
		fetcher_close(pull->fetcher);
		pull->fetcher = NULL;
		r = fetcher_open(&pull->registry, &pull->fetcher, err);
		if (r == 0)
			r = fetch_config(pull, &manifest, err);
		if (r < 0)
			return r;
		r = adopt_manifest(pull, &manifest, err);
		if (r < 0)
			return r;
	}
	progress_end(&pull->progress);
	if (r == 0 && !pull->quiet)
		printf("Digest: %s\n", pull->digest);
	*ret_fresh = fresh;
	return r;
}

static void tell(const struct pull *pull)
{
	struct image image;
	struct arena *arena = pull->arena;
	const struct image_reference *reference = &pull->reference;
	if (image_find(pull->builder->root_fd, arena, image_reference_full(arena, reference),
		       &image, NULL) == 0)
		image_event_named(pull->runroot, "pull", &image,
				  image_reference_familiar_full(arena, reference),
				  image_reference_familiar(arena, reference));
}

/* After the image, which stays also where this fails. */
static int pull_artifacts(struct pull *pull, struct masu_error *err)
{
	size_t count;
	const char *name = image_reference_familiar_full(pull->arena, &pull->reference);
	int r = artifacts_pull(&pull->builder->staging, pull->arena, &pull->reference,
			       pull->manifest.digest, &count, err);
	if (r < 0)
		return error_wrap(err, "what is attached to %s", name);
	if (!pull->quiet)
		printf("Artifacts: %zu of %s\n", count, name);
	return 0;
}

/* The image of one name, told of, and what is attached to it. */
static int pull_named(struct pull *pull, bool *ret_fresh, struct masu_error *err)
{
	if (pull->reference.tag && !pull->reference.digest &&
	    artifact_tag_valid(pull->reference.tag))
		return error_set(err, -EINVAL,
				 "%s is no image but belongs to one: image verify reads it, pull "
				 "--artifacts of the image takes it along",
				 image_reference_familiar_full(pull->arena, &pull->reference));
	int r = pull_one(pull, ret_fresh, err);
	if (r == 0)
		tell(pull);
	return r == 0 && pull->artifacts ? pull_artifacts(pull, err) : r;
}

/* "sha256-<digest>", and with ".sig" and the like: lists and signatures of an image, none by
 * itself. */
static bool is_of_an_image(const char *tag)
{
	const char *hex = str_after(tag, "sha256-");
	return hex && strspn(hex, "0123456789abcdef") == SHA256_HEX;
}

/* Each tag as if it had been named, in the registry's order; the first that fails is the end. */
static int pull_tags(struct pull *pull, bool *ret_fresh, struct masu_error *err)
{
	struct remote remote = { .arena = pull->arena,
				 .reference = pull->reference,
				 .registry = pull->registry,
				 .fetcher = pull->fetcher };
	const char **tags;
	size_t count;
	int r = remote_tags(&remote, &tags, &count, err);
	if (r < 0)
		return explain(pull, r, err);
	*ret_fresh = false;
	for (; *tags && r == 0; tags++) {
		bool fresh = false;
		if (is_of_an_image(*tags))
			continue;
		pull->reference.tag = *tags;
		r = pull_named(pull, &fresh, err);
		*ret_fresh |= fresh;
	}
	return r;
}

/* Before the store is opened: the fetcher's process gets ready meanwhile. */
static int connect_registry(struct pull *pull, const struct pull_options *o, struct masu_error *err)
{
	int r = platform_parse(pull->arena, o->platform, &pull->platform, err);
	if (r == 0)
		r = registry_open(pull->arena, &pull->reference, &pull->registry, err);
	trace_mark("registry known");
	return r < 0 ? r : fetcher_open(&pull->registry, &pull->fetcher, err);
}

/*
 * Pulls what is asked for into the store, and tells `masu events`. Prints as docker does, when
 * quiet only the full reference.
 */
static int pull_all(struct pull *pull, struct masu_error *err)
{
	const struct image_reference reference = pull->reference;
	bool fresh = false;
	int r = pull->all_tags ? pull_tags(pull, &fresh, err) : pull_named(pull, &fresh, err);
	if (r == 0)
		print_status(pull, &reference, fresh);
	if (pull->fetcher)
		fetcher_stop(pull->fetcher);
	return r;
}

static void pull_close(struct pull *pull)
{
	if (pull->fetcher)
		fetcher_close(pull->fetcher);
}

static int run(struct cli_context *context, void *data, int argc, char **argv,
	       struct masu_error *err)
{
	struct pull_options *o = data;
	__attribute__((cleanup(pull_close))) struct pull pull = { .arena = context->arena,
								  .all_tags = o->all_tags,
								  .artifacts = o->artifacts,
								  .quiet = o->quiet,
								  .runroot = context->runroot };
	_cleanup_close_ int root_fd = -1; /* closed after the builder is */
	_cleanup_image_builder_ struct image_builder builder = { 0 };
	int r = image_reference_parse(context->arena, argv[0], &pull.reference, err);
	bool named = r == 0 && (pull.reference.digest || image_reference_has_tag(argv[0]));
	if (r == 0 && o->all_tags && named)
		r = error_set(err, -EINVAL, "tag can't be used with --all-tags/-a");
	if (r == 0)
		r = connect_registry(&pull, o, err);
	if (r == 0)
		r = open_root(context, &root_fd, err);
	if (r == 0)
		r = image_builder_open(root_fd, context->storage_driver, context->arena, &builder,
				       err);
	if (r == 0)
		r = image_builder_format(&builder, o->layer_format, err);
	if (r < 0)
		return r;
	trace_mark("store opened");
	pull.builder = &builder;
	if (o->all_tags)
		pull.reference.tag = NULL;
	else if (!o->quiet && !named)
		printf("Using default tag: latest\n");
	r = pull_all(&pull, err);
	fflush(stdout);
	trash_empty(root_fd, 0); /* what killed commands left in staging */
	return r;
}

const struct cli_command pull_command = { PULL_COMMAND, .run = run };
