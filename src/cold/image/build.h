/*
 * Putting an image together and making it part of the store: what import and load have in common.
 *
 * Everything is prepared in staging, without a lock: blobs in images/.masu/staging, layers in the
 * storage driver's. image_commit() then, under the store's lock, makes it durable and visible in an
 * order in which a crash leaves either the image or garbage that the next command removes.
 */
#pragma once

#include "cold/image/staging.h"
#include "storage/storage.h"

struct image_builder {
	int root_fd;
	struct arena *arena; /* everything below lives in it */
	const struct storage_ops *ops;
	struct storage *storage;
	struct staging staging;
	enum storage_format format;   /* of layers that are made … */
	bool automatic, tried;	      /* … which the first that is made finds out: tried */
	struct built_layer *unpacked; /* those that wait for a commit, last first */
};

struct unpacking;

struct built_layer {
	struct staged_blob blob;
	const char *media_type;
	char diff_id[DIGEST_MAX];
	char chain_id[65], parent[65]; /* parent "" for the lowest */
	bool unpacked;		       /* in the driver's staging; else the layer existed … */
	bool shared;		       /* … or another image of the same commit has it */
	char staging[STORAGE_STAGING_MAX];
	bool stored;	   /* the blob is in the store already, and there is none in staging */
	bool as_directory; /* an index has no room for it */
	bool hashed;	   /* this process made blob.digest of the bytes in staging */
	bool proven;	   /* an image of the store pairs this blob with this diff_id */
	struct unpacking *unpacking; /* between image_layer_begin() and image_layer_end() */
	int lock_fd;		     /* keeps the staging locked */
	/* STORAGE_EROFS: open between begin and end; index_digest "" where it is a directory. */
	struct storage_indexed indexed;
	char index_digest[DIGEST_MAX];
	uint64_t size;
	struct built_layer *next; /* of builder->unpacked */
};

struct built_image {
	const char *media_type; /* of the manifest; NULL: OCI's */
	struct staged_blob config, manifest;
	struct staged_blob original; /* that manifest was translated from; digest "": none */
	const char *remote; /* what the registry's reference names where it is no manifest */
	struct built_layer *layers;
	size_t layer_count;
	const char **references; /* full forms, NULL-terminated; empty: untagged */
	const char *parent;	 /* id of the image it was made on; NULL: none */
};

int image_builder_open(int root_fd, const char *driver, struct arena *arena,
		       struct image_builder *ret, struct masu_error *err);
/*
 * Which layers it makes: "dir" or "erofs". -EOPNOTSUPP with a message where the kernel does not
 * mount EROFS from files of this root. NULL, and without this call: each layer is kept as its tar
 * where that can be, else as a directory.
 */
int image_builder_format(struct image_builder *builder, const char *format, struct masu_error *err);
void image_builder_close(struct image_builder *builder);
#define _cleanup_image_builder_ __attribute__((cleanup(image_builder_close)))

/*
 * Unpacks layer->blob on top of the @below_count layers of @below, lowest first, unless the driver
 * has that layer already, and fills the rest of *layer. @expected: the diff_id that the image's
 * config claims, which is checked in any case; NULL: whatever comes out.
 */
int image_build_layer(struct image_builder *builder, const struct built_layer *below,
		      size_t below_count, const char *expected, struct built_layer *layer,
		      struct masu_error *err);

/*
 * Whether @r says that @layer did not fit into an index and may be a directory: it will be, if it
 * is built again.
 */
bool image_layer_falls_back(const struct image_builder *builder, struct built_layer *layer, int r);

/*
 * image_build_layer() in two halves, for a layer whose diff_id @expected is known and that comes
 * through @in_fd: begin finds the layer (then layer->unpacking is NULL and there is nothing to end)
 * or starts to unpack it; to be called from the lowest layer up, and to be ended in that order.
 */
int image_layer_begin(struct image_builder *builder, const struct built_layer *below,
		      size_t below_count, const char *expected, int in_fd,
		      struct built_layer *layer, struct masu_error *err);
int image_layer_end(struct image_builder *builder, const struct built_layer *below,
		    size_t below_count, const char *expected, struct built_layer *layer,
		    struct masu_error *err);

/*
 * All layers of an image, several at once: layers[i].blob is staged, @expected[i] its diff_id.
 */
int image_build_layers(struct image_builder *builder, struct built_layer *layers, size_t count,
		       const char *const *expected, struct masu_error *err);

/* What the blob is compressed with, in OCI's words; NULL for what OCI has no word for. */
int image_blob_media_type(struct image_builder *builder, const struct staged_blob *blob,
			  const char **ret, struct masu_error *err);

/* Writes the manifest of image->config and image->layers into staging as image->manifest. */
int image_build_manifest(struct image_builder *builder, struct built_image *image,
			 struct masu_error *err);

/*
 * For an image that came with a manifest that is not OCI's: that becomes image->original, and
 * image->manifest one that says the same in OCI's words. The layers are there, in staging or in
 * the store.
 */
int image_translate_manifest(struct image_builder *builder, struct built_image *image,
			     struct masu_error *err);

/* In the place of image_layer_end(), where what came was something else: as if never begun. */
void image_layer_abort(struct image_builder *builder, struct built_layer *layer);

/*
 * Durable and visible, or nothing. -EAGAIN without a message: a layer that existed was removed in
 * the meantime; build again.
 */
int image_commit(struct image_builder *builder, struct built_image *images, size_t count,
		 struct masu_error *err);

/* Gives back what image_build_layer() staged and was not committed. */
void built_image_abort(struct image_builder *builder, struct built_image *image);
