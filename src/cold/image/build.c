#include "cold/image/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/flusher.h"
#include "cold/image/layer_index.h"
#include "cold/image/stream.h"
#include "cold/image/unpack.h"
#include "image/store.h"
#include "storage/config.h"
#include "sys/fs.h"

#define PARALLEL 4 /* layers unpacked at once */

int image_builder_open(int root_fd, const char *wanted, struct arena *arena,
		       struct image_builder *ret, struct masu_error *err)
{
	struct storage_config config;
	int r = storage_choose(root_fd, wanted, &config, err);
	if (r < 0)
		return r;
	struct image_builder builder = { .root_fd = root_fd,
					 .arena = arena,
					 .ops = storage_driver(config.driver),
					 .automatic = true,
					 .staging = { .fd = -1 } };
	const char *reason;
	if (!builder.ops)
		return error_set(err, -EINVAL, "storage driver \"%s\": unknown", config.driver);
	if (!builder.ops->supported(root_fd, &reason))
		return error_set(err, -EOPNOTSUPP, "storage driver %s: %s", config.driver, reason);
	r = builder.ops->open(root_fd, &builder.storage, err);
	if (r < 0)
		return r;
	builder.ops->layer_sweep(builder.storage);
	r = staging_open(root_fd, &builder.staging, err);
	if (r < 0) {
		builder.ops->close(builder.storage);
		return r;
	}
	*ret = builder;
	return 0;
}

void image_builder_close(struct image_builder *builder)
{
	if (!builder->ops)
		return;
	staging_close(&builder->staging);
	builder->ops->close(builder->storage);
	builder->ops = NULL;
}

static int detect_media_type(int fd, const char **ret, struct masu_error *err)
{
	static const char *const types[] = {
		[STREAM_PLAIN] = MEDIA_TYPE_LAYER,
		[STREAM_GZIP] = MEDIA_TYPE_LAYER_GZIP,
		[STREAM_ZSTD] = MEDIA_TYPE_LAYER_ZSTD,
		[STREAM_OTHER] = NULL,
	};
	uint8_t magic[8];
	ssize_t got = pread(fd, magic, sizeof(magic), 0);
	if (got < 0)
		return error_errno(err, -errno, "images: layer");
	*ret = types[stream_detect(magic, (size_t)got)];
	return 0;
}

int image_blob_media_type(struct image_builder *builder, const struct staged_blob *blob,
			  const char **ret, struct masu_error *err)
{
	_cleanup_close_ int fd = staging_read(&builder->staging, blob);
	return fd < 0 ? error_errno(err, fd, "images: staging") : detect_media_type(fd, ret, err);
}

/* The digest of what is in a compressed blob, without unpacking it. */
static int hash_content(int blob_fd, char ret_digest[DIGEST_MAX], struct masu_error *err)
{
	struct decoder_process *process;
	struct hasher *hasher;
	int fd;
	_cleanup_free_ char *buffer = malloc(1 << 20);
	if (!buffer || hasher_new(&hasher) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	int r = decoder_start(DECODER_PLAIN, blob_fd, &process, &fd, err);
	if (r < 0) {
		hasher_free(hasher);
		return r;
	}
	ssize_t got;
	while ((got = read(fd, buffer, 1 << 20)) != 0) {
		if (got > 0)
			hasher_update(hasher, buffer, (size_t)got);
		else if (errno != EINTR)
			break;
	}
	close(fd);
	r = decoder_finish(process, got < 0 ? -EIO : 0, err);
	int h = hasher_finish(hasher, ret_digest);
	return r < 0 ? r : h < 0 ? error_errno(err, h, "SHA-256") : 0;
}

static const struct built_layer *find_unpacked(const struct image_builder *b, const char *chain_id)
{
	const struct built_layer *layer = b->unpacked;
	while (layer && !(layer->unpacked && streq(layer->chain_id, chain_id)))
		layer = layer->next;
	return layer;
}

static int check_diff_id(const char *expected, const char *actual, struct masu_error *err)
{
	if (!expected || streq(expected, actual))
		return 0;
	return error_set(err, -EBADMSG,
			 "layer: its content is %s, but the image's config says %s; the archive is "
			 "damaged",
			 actual, expected);
}

/* The layer is there already: the blob must still be what the config says it is. */
static int use_existing(int fd, const char *expected, struct built_layer *layer,
			struct masu_error *err)
{
	char digest[DIGEST_MAX];
	memcpy(digest, layer->proven ? expected : layer->blob.digest, sizeof(digest));
	if (!layer->proven && !streq(layer->media_type, MEDIA_TYPE_LAYER)) {
		int r = hash_content(fd, digest, err);
		if (r < 0)
			return r;
	}
	memcpy(layer->diff_id, digest, sizeof(digest));
	return check_diff_id(expected, digest, err);
}

/* What the driver calls the layer: its chain id, or its name in staging until the commit. */
static const char *storage_name(const struct image_builder *b, const struct built_layer *layer)
{
	const struct built_layer *staged = layer;
	if (layer->shared)
		staged = find_unpacked(b, layer->chain_id);
	return staged && staged->unpacked ? staged->staging : layer->chain_id;
}

/* Opens the files of all layers below. */
static int open_below(struct image_builder *b, const struct built_layer *below, size_t count,
		      int *fds, size_t *ret_opened)
{
	int r = 0;
	size_t first = 0;
	/* Below a tree that is whole nothing is looked for. */
	for (size_t i = 0; b->ops->whole_layers && i < count; i++)
		if (streq(storage_name(b, &below[i]), below[i].chain_id))
			first = i;
	*ret_opened = 0;
	for (size_t i = first; i < count && r == 0; i++, *ret_opened += r == 0)
		r = b->ops->layer_open(b->storage, storage_name(b, &below[i]), &fds[*ret_opened]);
	return r;
}

/* A place for what comes out of @in_fd, which the caller gives back or commits. */
static int prepare_layer(struct image_builder *b, const struct built_layer *top, int in_fd,
			 struct built_layer *layer, struct masu_error *err)
{
	layer->index_digest[0] = '\0';
	layer->indexed.open = false;
	int r = b->ops->layer_prepare(b->storage, top ? storage_name(b, top) : NULL,
				      &layer->lock_fd, layer->staging, err);
	if (r < 0)
		return r;
	layer->unpacked = true;
	layer->next = b->unpacked;
	b->unpacked = layer;
	return layer_index_wanted(b, layer) ? layer_index_prepare(b, in_fd, layer, err) : 0;
}

static int begin_unpacking(int in_fd, struct built_layer *layer, struct masu_error *err)
{
	/* The digest of an uncompressed blob is the layer's: once is enough. */
	bool known = layer->hashed && streq(layer->media_type, MEDIA_TYPE_LAYER);
	const struct unpack_target target = {
		.directory_fd = layer->indexed.open ? -1 : layer->lock_fd,
		.tar_fd = layer->indexed.open ? layer->indexed.tar_fd : -1,
		.index_fd = layer->indexed.open ? layer->indexed.index_fd : -1,
		.tar_is_there = layer->indexed.linked,
		.digest = known ? layer->blob.digest : NULL,
	};
	return unpack_begin(in_fd, &target, &layer->unpacking, err);
}

/* Waits for layer->unpacking, and holds what came out against what was promised. */
static int finish_layer(struct image_builder *b, const struct built_layer *below,
			size_t below_count, const char *expected, struct built_layer *layer,
			struct masu_error *err)
{
	int fds[IMAGE_MAX_LAYERS] = { 0 };
	size_t opened;
	struct unpacked_layer unpacked;
	const char *parent = below_count ? below[below_count - 1].chain_id : NULL;
	int r = open_below(b, below, below_count, fds, &opened);
	if (r < 0) {
		error_errno(err, r, "layers below");
		unpack_abort(layer->unpacking);
	} else {
		r = unpack_end(layer->unpacking, fds, opened, &unpacked, err);
	}
	layer->unpacking = NULL;
	for (size_t i = 0; i < opened; i++)
		close(fds[i]);
	if (r == 0)
		r = check_diff_id(expected, unpacked.diff_id, err);
	if (r == 0)
		r = layer_index_finish(b, layer, err);
	layer_index_close(layer);
	if (r < 0)
		return r;
	memcpy(layer->diff_id, unpacked.diff_id, sizeof(layer->diff_id));
	layer->size = unpacked.size;
	r = image_chain_id(parent, layer->diff_id, layer->chain_id);
	return r < 0 ? error_errno(err, r, "layer") : 0;
}

static int unpack_new(struct image_builder *b, int fd, const struct built_layer *below,
		      size_t below_count, const char *expected, struct built_layer *layer,
		      struct masu_error *err)
{
	int r = prepare_layer(b, below_count ? &below[below_count - 1] : NULL, fd, layer, err);
	if (r == 0)
		r = begin_unpacking(fd, layer, err);
	return r < 0 ? r : finish_layer(b, below, below_count, expected, layer, err);
}

void image_layer_abort(struct image_builder *b, struct built_layer *layer)
{
	if (layer->unpacking)
		unpack_abort(layer->unpacking);
	layer->unpacking = NULL;
	layer_index_close(layer);
	if (!layer->unpacked)
		return;
	struct built_layer **at = &b->unpacked;
	while (*at && *at != layer)
		at = &(*at)->next;
	if (*at)
		*at = layer->next;
	b->ops->layer_abort(b->storage, layer->staging);
	cleanup_close(&layer->lock_fd);
	layer->unpacked = false;
}

/* Whether the layer that the blob would become is there, on disk or waiting for the commit. */
static int find_layer(struct image_builder *b, const struct built_layer *below, const char *diff_id,
		      struct built_layer *layer, bool *ret)
{
	int r = image_chain_id(below ? below->chain_id : NULL, diff_id, layer->chain_id);
	if (r == 0)
		r = b->ops->layer_exists(b->storage, layer->chain_id, ret);
	if (r < 0)
		return r;
	if (*ret)
		return b->ops->layer_size(b->storage, layer->chain_id, &layer->size);
	const struct built_layer *same = find_unpacked(b, layer->chain_id);
	if (same) {
		layer->size = same->size;
		layer->shared = *ret = true;
	}
	return 0;
}

int image_build_layer(struct image_builder *b, const struct built_layer *below, size_t below_count,
		      const char *expected, struct built_layer *layer, struct masu_error *err)
{
	bool exists = false;
	const struct built_layer *top = below_count ? &below[below_count - 1] : NULL;
	const char *known = expected;
	/* Before a layer is made that shares the file. */
	staging_reuse(&b->staging, &layer->blob);
	_cleanup_close_ int fd = staging_read(&b->staging, &layer->blob);
	if (fd < 0)
		return error_errno(err, fd, "images: staging");
	layer->lock_fd = -1;
	layer->shared = false;
	str_format(layer->parent, sizeof(layer->parent), "%s", top ? top->chain_id : "");
	if (!known && streq(layer->media_type, MEDIA_TYPE_LAYER))
		known = layer->blob.digest;
	if (known) {
		int r = find_layer(b, top, known, layer, &exists);
		if (r < 0)
			return error_errno(err, r, "layer");
	}
	if (exists)
		return use_existing(fd, expected, layer, err);
	int r = unpack_new(b, fd, below, below_count, expected, layer, err);
	if (r < 0)
		image_layer_abort(b, layer);
	if (!image_layer_falls_back(b, layer, r))
		return r;
	r = lseek(fd, 0, SEEK_SET) < 0
		    ? error_errno(err, -errno, "images: staging")
		    : unpack_new(b, fd, below, below_count, expected, layer, err);
	if (r < 0)
		image_layer_abort(b, layer);
	return r;
}

int image_layer_begin(struct image_builder *b, const struct built_layer *below, size_t below_count,
		      const char *expected, int in_fd, struct built_layer *layer,
		      struct masu_error *err)
{
	bool exists;
	const struct built_layer *top = below_count ? &below[below_count - 1] : NULL;
	layer->lock_fd = -1;
	layer->shared = false;
	layer->unpacking = NULL;
	str_format(layer->parent, sizeof(layer->parent), "%s", top ? top->chain_id : "");
	str_format(layer->diff_id, sizeof(layer->diff_id), "%s", expected);
	int r = find_layer(b, top, expected, layer, &exists);
	if (r < 0)
		return error_errno(err, r, "layer");
	if (exists)
		return 0;
	r = prepare_layer(b, top, in_fd, layer, err);
	if (r == 0)
		r = begin_unpacking(in_fd, layer, err);
	if (r < 0)
		image_layer_abort(b, layer);
	return r;
}

int image_layer_end(struct image_builder *b, const struct built_layer *below, size_t below_count,
		    const char *expected, struct built_layer *layer, struct masu_error *err)
{
	int r = layer->unpacking ? finish_layer(b, below, below_count, expected, layer, err) : 0;
	if (r < 0)
		image_layer_abort(b, layer);
	return r;
}

/* What is there already is only looked at, when its turn to end has come. */
static int begin_staged(struct image_builder *b, struct built_layer *layers, size_t i,
			const char *expected, struct masu_error *err)
{
	staging_reuse(&b->staging, &layers[i].blob);
	_cleanup_close_ int fd = staging_read(&b->staging, &layers[i].blob);
	if (fd < 0)
		return error_errno(err, fd, "images: staging");
	return image_layer_begin(b, layers, i, expected, fd, &layers[i], err);
}

static int end_staged(struct image_builder *b, struct built_layer *layers, size_t i,
		      const char *expected, struct masu_error *err)
{
	if (layers[i].unpacking) {
		int r = image_layer_end(b, layers, i, expected, &layers[i], err);
		if (!image_layer_falls_back(b, &layers[i], r))
			return r;
	}
	return image_build_layer(b, layers, i, expected, &layers[i], err);
}

int image_build_layers(struct image_builder *b, struct built_layer *layers, size_t count,
		       const char *const *expected, struct masu_error *err)
{
	size_t begun = 0, at = 0;
	uint64_t bytes = 0;
	int r = 0;
	_cleanup_flusher_ struct flusher *flusher = flusher_start(b->root_fd);
	for (size_t i = 0; i < count; i++)
		bytes += layers[i].blob.size;
	flusher_tell(flusher, bytes);
	for (size_t ended = 0; ended < count && r == 0; ended++) {
		for (; begun < count && begun - ended < PARALLEL && r == 0; begun++) {
			at = begun;
			r = begin_staged(b, layers, at, expected[at], err);
		}
		if (r < 0)
			break;
		at = ended;
		r = end_staged(b, layers, at, expected[at], err);
		bytes += layers[at].size;
		flusher_tell(flusher, bytes);
	}
	return r < 0 ? error_wrap(err, "layer %zu of %zu", at + 1, count) : 0;
}

static void write_descriptor(struct json_writer *w, const char *media_type,
			     const struct staged_blob *blob)
{
	json_begin_object(w);
	json_field_string(w, "mediaType", media_type);
	json_field_string(w, "digest", blob->digest);
	json_field_u64(w, "size", blob->size);
	json_end_object(w);
}

int image_build_manifest(struct image_builder *b, struct built_image *image, struct masu_error *err)
{
	_cleanup_buf_ struct buf out;
	struct json_writer w;
	buf_init(&out, IMAGE_MAX_DOCUMENT);
	json_writer_init(&w, &out, false);
	json_begin_object(&w);
	json_field_u64(&w, "schemaVersion", 2);
	json_field_string(&w, "mediaType", MEDIA_TYPE_MANIFEST);
	json_key(&w, "config");
	write_descriptor(&w, MEDIA_TYPE_CONFIG, &image->config);
	json_key(&w, "layers");
	json_begin_array(&w);
	for (size_t i = 0; i < image->layer_count; i++)
		write_descriptor(&w, image->layers[i].media_type, &image->layers[i].blob);
	json_end_array(&w);
	json_end_object(&w);
	if (buf_error(&out) < 0)
		return error_errno(err, buf_error(&out), "manifest");
	return staging_store_bytes(&b->staging, out.data, out.len, &image->manifest, err);
}

/* What its bytes are: the name that Docker's manifest has for them need not be true. */
static int name_layer(struct image_builder *b, struct built_layer *layer, struct masu_error *err)
{
	char path[128];
	int r = str_format(path, sizeof(path), IMAGES_BLOBS "/%s",
			   layer->blob.digest + strlen("sha256:"));
	if (r < 0)
		return error_errno(err, r, "layer");
	_cleanup_close_ int images_fd =
		openat(b->root_fd, IMAGES_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = layer->stored ? openat(images_fd, path, O_RDONLY | O_CLOEXEC)
					       : staging_read(&b->staging, &layer->blob);
	if (fd < 0)
		return error_errno(err, layer->stored ? -errno : fd, "images/%s", path);
	r = detect_media_type(fd, &layer->media_type, err);
	if (r == 0 && !layer->media_type)
		r = error_set(err, -EOPNOTSUPP,
			      "layer %.19s: compressed with something that the image spec does not "
			      "know",
			      layer->blob.digest);
	return r;
}

int image_translate_manifest(struct image_builder *b, struct built_image *image,
			     struct masu_error *err)
{
	int r = 0;
	for (size_t i = 0; i < image->layer_count && r == 0; i++)
		r = name_layer(b, &image->layers[i], err);
	if (r < 0)
		return r;
	image->original = image->manifest;
	image->media_type = MEDIA_TYPE_MANIFEST;
	return image_build_manifest(b, image, err);
}

void built_image_abort(struct image_builder *b, struct built_image *image)
{
	for (size_t i = 0; i < image->layer_count; i++)
		image_layer_abort(b, &image->layers[i]);
}
