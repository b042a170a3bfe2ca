/*
 * The layers of a commit. A process of its own reads the container and makes a tar of it; the
 * sandboxed encoder compresses that; this process hashes what comes and writes it into staging. So
 * the processors read, compress and hash at once.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/commit.h"
#include "cold/image/staged_tree.h"
#include "cold/image/unpack.h"
#include "tree/tar_write.h"

/* Of the tar without an entry. */
#define EMPTY_TAR "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

struct reading {
	struct commit *commit;
	const struct snapshot_volume *volume; /* NULL: what the container changed */
};

static int tell(void *data, int out, struct masu_error *err)
{
	const struct reading *reading = data;
	struct snapshot *snapshot = &reading->commit->snapshot;
	_cleanup_tar_writer_ struct tar_writer *writer = NULL;
	int r = tar_writer_new(out, &writer, err);
	if (r < 0)
		return r;
	struct tree_sink *sink = tar_writer_sink(writer);
	return reading->volume ? snapshot_volume(snapshot, reading->volume, sink, err)
			       : snapshot_changes(snapshot, sink, err);
}

static int stage(struct commit *commit, const struct snapshot_volume *volume,
		 struct commit_layer *ret, struct masu_error *err)
{
	struct reading reading = { .commit = commit, .volume = volume };
	int r = staged_tree(&commit->builder->staging, tell, &reading, &ret->blob, ret->diff_id,
			    &ret->bytes, err);
	ret->volume = volume;
	return r;
}

static int stage_all(struct commit *commit, struct masu_error *err)
{
	const struct snapshot *snapshot = &commit->snapshot;
	struct commit_layer *at = commit->layers;
	int r = stage(commit, NULL, at, err);
	commit->unchanged = r == 0 && streq(at->diff_id, EMPTY_TAR);
	at += !commit->unchanged;
	for (size_t i = 0; i < snapshot->volume_count && r == 0; i++)
		r = stage(commit, &snapshot->volumes[i], at++, err);
	commit->layer_count = (size_t)(at - commit->layers);
	return r;
}

int commit_read(struct commit *commit, struct masu_error *err)
{
	commit->layers =
		arena_array(commit->arena, struct commit_layer, commit->snapshot.volume_count + 1);
	if (!commit->layers)
		return error_set(err, -ENOMEM, "out of memory");
	int r = stage_all(commit, err);
	return r < 0 ? r : snapshot_end(&commit->snapshot, err);
}

/* What the layer is called in an OCI manifest; the bytes are the same under Docker's name. */
static const char *oci_media_type(const char *type)
{
	if (strstr(type, "zstd"))
		return MEDIA_TYPE_LAYER_ZSTD;
	return strstr(type, "gzip") ? MEDIA_TYPE_LAYER_GZIP : MEDIA_TYPE_LAYER;
}

/* A layer that is in the store, which image_commit() looks at again. */
static int take_base_layer(struct commit *commit, size_t i, struct built_layer *layer)
{
	const struct image *base = &commit->base;
	const struct image_layer *from = &commit->base_manifest.layers[i];
	struct image_builder *b = commit->builder;
	*layer = (struct built_layer) { .media_type = oci_media_type(from->media_type),
					.stored = true,
					.lock_fd = -1 };
	layer->blob.size = from->size;
	str_format(layer->blob.digest, sizeof(layer->blob.digest), "%s", from->digest);
	str_format(layer->diff_id, sizeof(layer->diff_id), "%s", base->diff_ids[i]);
	str_format(layer->chain_id, sizeof(layer->chain_id), "%s", base->chain_ids[i]);
	str_format(layer->parent, sizeof(layer->parent), "%s", i ? base->chain_ids[i - 1] : "");
	return b->ops->layer_size(b->storage, layer->chain_id, &layer->size);
}

int commit_build_layers(struct commit *commit, struct built_image *image, struct masu_error *err)
{
	size_t below = commit->base.layer_count, count = below + commit->layer_count;
	if (count > STORAGE_MAX_LAYERS)
		return error_set(err, -E2BIG,
				 "the image would have %zu layers, and %d are allowed; export the "
				 "container and import it as one layer",
				 count, STORAGE_MAX_LAYERS);
	image->layers = arena_array(commit->arena, struct built_layer, count + 1);
	if (!image->layers)
		return error_set(err, -ENOMEM, "out of memory");
	image->layer_count = count;
	for (size_t i = 0; i < count; i++)
		image->layers[i].lock_fd = -1;
	for (size_t i = 0; i < below; i++) {
		int r = take_base_layer(commit, i, &image->layers[i]);
		if (r < 0)
			return error_errno(err, r, "layer %.12s of the container's image",
					   commit->base.chain_ids[i]);
	}
	int r = 0;
	for (size_t i = 0; i < commit->layer_count && r == 0; i++) {
		struct built_layer *layer = &image->layers[below + i];
		layer->blob = commit->layers[i].blob;
		layer->media_type = MEDIA_TYPE_LAYER_GZIP;
		r = image_build_layer(commit->builder, image->layers, below + i,
				      commit->layers[i].diff_id, layer, err);
	}
	return r;
}
