/* From staging into the store: durable and visible, in an order that a crash may cut anywhere. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/trace.h"
#include "cold/image/build.h"
#include "cold/image/merge.h"
#include "engine/images.h"
#include "image/store.h"
#include "sys/fs.h"

static int blob_path(const char *digest, char ret[128])
{
	return str_format(ret, 128, IMAGES_BLOBS "/%s", digest + strlen("sha256:"));
}

/* A layer or blob that was there when the image was built may have been removed since. */
static int check_existing(struct image_builder *b, int images_fd, const struct built_image *image)
{
	for (size_t i = 0; i < image->layer_count; i++) {
		bool exists = false;
		char path[128];
		if (image->layers[i].stored && (blob_path(image->layers[i].blob.digest, path) < 0 ||
						faccessat(images_fd, path, F_OK, 0) < 0))
			return -EAGAIN;
		if (image->layers[i].unpacked || image->layers[i].shared)
			continue;
		int r = b->ops->layer_exists(b->storage, image->layers[i].chain_id, &exists);
		if (r < 0 || !exists)
			return r < 0 ? r : -EAGAIN;
	}
	return 0;
}

/*
 * A verified blob takes the place of one of the same name, which was damaged; or is that very file,
 * after staging_reuse(), and then this changes nothing.
 */
static int publish_blob(struct image_builder *b, int images_fd, const struct staged_blob *blob)
{
	char path[128];
	int r = blob_path(blob->digest, path);
	if (r < 0)
		return r;
	if (renameat(b->staging.fd, blob->name, images_fd, path) == 0)
		return 0;
	/* Two images of one archive share it: the first took it. */
	return errno == ENOENT && faccessat(images_fd, path, F_OK, 0) == 0 ? 0 : -errno;
}

static int publish_blobs(struct image_builder *b, int images_fd, const struct built_image *images,
			 size_t count)
{
	int r = syncfs(b->staging.fd) < 0 ? -errno : 0;
	trace_mark("synced");
	for (size_t i = 0; i < count && r == 0; i++) {
		for (size_t k = 0; k < images[i].layer_count && r == 0; k++)
			if (!images[i].layers[k].stored)
				r = publish_blob(b, images_fd, &images[i].layers[k].blob);
		if (r == 0)
			r = publish_blob(b, images_fd, &images[i].config);
		if (r == 0)
			r = publish_blob(b, images_fd, &images[i].manifest);
		if (r == 0 && images[i].original.digest[0])
			r = publish_blob(b, images_fd, &images[i].original);
	}
	if (r < 0)
		return r;
	_cleanup_close_ int dir = openat(images_fd, IMAGES_BLOBS, O_RDONLY | O_DIRECTORY);
	return dir < 0 ? -errno : fs_fsync_dir(dir);
}

static struct storage_layer describe_layer(const struct image_builder *b,
					   const struct built_layer *layer)
{
	return (struct storage_layer) {
		.chain_id = layer->chain_id,
		.parent = *layer->parent ? layer->parent : NULL,
		.size = layer->size,
		.tar_digest = *layer->index_digest ? layer->diff_id : NULL,
		.index_digest = *layer->index_digest ? layer->index_digest : NULL,
		.sealed = b->ops->layer_seal != NULL,
	};
}

/* What the layers have on the disk is complete before the one sync that is for all of them. */
static int seal_layers(struct image_builder *b, const struct built_image *image,
		       struct masu_error *err)
{
	int r = 0;
	for (size_t i = 0; i < image->layer_count && r == 0 && b->ops->layer_seal; i++) {
		const struct built_layer *layer = &image->layers[i];
		const struct storage_layer sealed = describe_layer(b, layer);
		if (layer->unpacked)
			r = b->ops->layer_seal(b->storage, &sealed, layer->staging, err);
	}
	return r;
}

static int publish_layers(struct image_builder *b, struct built_image *image,
			  struct masu_error *err)
{
	for (size_t i = 0; i < image->layer_count; i++) {
		struct built_layer *layer = &image->layers[i];
		if (!layer->unpacked)
			continue;
		const struct storage_layer commit = describe_layer(b, layer);
		int r = b->ops->layer_commit(b->storage, &commit, layer->staging, err);
		if (r < 0)
			return r;
		layer->unpacked = false;
		cleanup_close(&layer->lock_fd);
	}
	return 0;
}

/* Before the lock is taken: this reads what the store has already. */
static void reuse_blobs(struct image_builder *b, const struct built_image *images, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < images[i].layer_count; k++)
			if (!images[i].layers[k].stored)
				staging_reuse(&b->staging, &images[i].layers[k].blob);
		staging_reuse(&b->staging, &images[i].config);
		staging_reuse(&b->staging, &images[i].manifest);
		if (images[i].original.digest[0])
			staging_reuse(&b->staging, &images[i].original);
	}
}

static int index_image(struct image_index *index, const struct built_image *image)
{
	uint64_t unpacked = 0;
	for (size_t i = 0; i < image->layer_count; i++)
		unpacked += image->layers[i].size;
	const char *const *reference = image->references;
	struct image_entry entry = {
		.media_type = image->media_type ? image->media_type : MEDIA_TYPE_MANIFEST,
		.digest = image->manifest.digest,
		.size = image->manifest.size,
		.unpacked_size = unpacked,
		.original = image->original.digest[0] ? image->original.digest : NULL,
		.remote = image->remote,
		.parent = image->parent,
	};
	int r = *reference ? 0 : image_index_put(index, &entry);
	for (; *reference && r == 0; reference++) {
		entry.reference = *reference;
		r = image_index_put(index, &entry);
	}
	return r;
}

static int check_all(struct image_builder *b, int images_fd, const struct built_image *images,
		     size_t count, struct masu_error *err)
{
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++)
		r = check_existing(b, images_fd, &images[i]);
	return r < 0 && r != -EAGAIN ? error_errno(err, r, "layer") : r;
}

static int publish(struct image_builder *b, int images_fd, struct image_index *index,
		   struct built_image *images, size_t count, struct masu_error *err)
{
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++)
		r = seal_layers(b, &images[i], err);
	if (r < 0)
		return r;
	r = publish_blobs(b, images_fd, images, count);
	if (r < 0)
		return error_errno(err, r, "images: blobs cannot be written");
	for (size_t i = 0; i < count && r == 0; i++)
		r = publish_layers(b, &images[i], err);
	if (r == 0 && b->ops->layer_settle && b->ops->layer_settle(b->storage) < 0)
		r = error_errno(err, -EIO, "layers: cannot be committed");
	for (size_t i = 0; i < count && r == 0; i++)
		if (index_image(index, &images[i]) < 0)
			r = error_set(err, -ENOMEM, "out of memory");
	trace_mark("layers committed");
	if (r == 0)
		r = image_index_save(images_fd, index, err);
	trace_mark("index saved");
	return r;
}

int image_commit(struct image_builder *b, struct built_image *images, size_t count,
		 struct masu_error *err)
{
	struct image_index index;
	_cleanup_close_ int images_fd = -1;
	reuse_blobs(b, images, count);
	int r = image_store_lock(b->root_fd, &images_fd, err);
	if (r == 0)
		r = image_index_load(images_fd, b->arena, &index, err);
	/* This may collect what an interrupted command left, layers that this one found among it.
	 */
	if (r == 0)
		r = engine_images_begin(b->root_fd, images_fd, b->ops, b->storage, err);
	if (r < 0)
		return r;
	r = check_all(b, images_fd, images, count, err);
	if (r == 0)
		r = publish(b, images_fd, &index, images, count, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		image_merge(b, &images[i]);
	/*
	 * What cannot be taken back now stays pending, and the next command takes it back; so does
	 * what the name had before and nobody has now.
	 */
	if ((r == 0 && !index.orphans) ||
	    engine_images_collect(b->root_fd, images_fd, b->ops, b->storage, NULL, NULL, NULL) == 0)
		engine_images_end(images_fd);
	return r;
}
