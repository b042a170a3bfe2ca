#include "cold/image/merge.h"

#include <errno.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cold/image/layer_index.h"
#include "cold/image/unpack.h"
#include "tree/tar_write.h"
#include "tree/walk.h"

/* In a process of its own: what the layers come to, as a tar. */
static int tell(void *data, int out, struct masu_error *err)
{
	const int *root = data;
	const struct tree_walk_options walk = { .name = "", .sorted = true };
	_cleanup_tar_writer_ struct tar_writer *writer = NULL;
	int r = tar_writer_new(out, &writer, err);
	return r < 0 ? r : tree_scan(*root, &walk, tar_writer_sink(writer), err);
}

static int unpack(int *root, const struct built_layer *layer, struct masu_error *err)
{
	const struct unpack_target target = { .directory_fd = -1,
					      .tar_fd = layer->indexed.tar_fd,
					      .index_fd = layer->indexed.index_fd };
	struct unpacked_layer unpacked;
	struct unpacking *unpacking;
	struct decoder_process *producer;
	int tar;
	int r = producer_start(tell, root, &producer, &tar, err);
	if (r < 0)
		return r;
	r = unpack_begin(tar, &target, &unpacking, err);
	close(tar);
	if (r == 0)
		r = unpack_end(unpacking, NULL, 0, &unpacked, err);
	return decoder_finish(producer, r, err);
}

static int make(struct image_builder *b, const struct built_image *image, struct built_layer *layer,
		struct masu_error *err)
{
	const char *top = image->layers[image->layer_count - 1].chain_id;
	const char **chain_ids = arena_array(b->arena, const char *, image->layer_count);
	_cleanup_close_ int root = -1;
	if (!chain_ids)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < image->layer_count; i++)
		chain_ids[i] = image->layers[i].chain_id;
	const struct storage_mount_request request = { .container_id = top,
						       .container_fd = -1,
						       .chain_ids = chain_ids,
						       .chain_count = image->layer_count,
						       .flags = STORAGE_READONLY };
	int r = b->ops->mount(b->storage, &request, &root, err);
	if (r == 0)
		r = b->ops->layer_indexed(b->storage, layer->staging, -1, &layer->indexed, err);
	if (r == 0)
		r = unpack(&root, layer, err);
	if (r == 0)
		r = layer_index_finish(b, layer, err);
	if (r == 0 && (r = b->ops->layer_merge(b->storage, top, layer->staging)) < 0)
		error_errno(err, r, "layer %.12s", top);
	return r;
}

/* One layer that has an index is in one piece. */
static bool is_one_piece(struct image_builder *b, const struct built_image *image)
{
	enum storage_format format;
	struct storage_layer layer;
	return image->layer_count == 1 &&
	       b->ops->layer_format(b->storage, image->layers[0].chain_id, b->arena, &format,
				    &layer) == 0 &&
	       format == STORAGE_EROFS;
}

void image_merge(struct image_builder *b, const struct built_image *image)
{
	struct built_layer layer = { .lock_fd = -1 };
	struct masu_error why = { 0 };
	bool there = false;
	if (!b->ops->layer_merge || image->layer_count == 0 || is_one_piece(b, image))
		return;
	const char *top = image->layers[image->layer_count - 1].chain_id;
	int r = b->ops->layer_merged(b->storage, top, &there);
	if (r < 0 || there)
		return;
	r = b->ops->layer_prepare(b->storage, NULL, &layer.lock_fd, layer.staging, &why);
	if (r < 0) {
		log_warn("image %.19s: its layers are not merged: %s", image->config.digest,
			 why.message);
		return;
	}
	r = make(b, image, &layer, &why);
	layer_index_close(&layer);
	if (r < 0) {
		log_warn("image %.19s: its layers are not merged: %s", image->config.digest,
			 why.message);
		b->ops->layer_abort(b->storage, layer.staging);
	}
	cleanup_close(&layer.lock_fd);
}
