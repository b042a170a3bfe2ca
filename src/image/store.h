/*
 * The image store from the inside: index.json as a list, its lock, manifests. For this module, for
 * masu-image, which adds images, and for the engine, which removes them. Everybody else wants
 * image.h.
 *
 * Every edit of the store happens under image_store_lock(): load, change the list, save. Readers
 * take no lock: index.json is replaced by rename(2), blobs never change.
 */
#pragma once

#include "image/image.h"

#define IMAGES_DIR     "images"
#define IMAGES_BLOBS   "blobs/sha256"
#define IMAGES_PRIVATE ".masu"
#define IMAGES_LAYOUT  "{\"imageLayoutVersion\":\"1.0.0\"}" /* content of oci-layout */

#define MEDIA_TYPE_MANIFEST   "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_TYPE_INDEX      "application/vnd.oci.image.index.v1+json"
#define MEDIA_TYPE_CONFIG     "application/vnd.oci.image.config.v1+json"
#define MEDIA_TYPE_LAYER      "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_TYPE_LAYER_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define MEDIA_TYPE_LAYER_ZSTD "application/vnd.oci.image.layer.v1.tar+zstd"

/* Docker's names for the same things; what masu reads and keeps, but never makes. */
#define MEDIA_TYPE_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_TYPE_DOCKER_INDEX	   "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_TYPE_DOCKER_CONFIG   "application/vnd.docker.container.image.v1+json"

#define IMAGE_ORIGINAL "masu.original-manifest" /* the annotation of image_entry.original */

struct image_entry {
	const struct json *raw; /* as read; NULL for one that is new or changed */
	const char *media_type, *digest;
	uint64_t size;		/* of the document that the digest names */
	uint64_t unpacked_size; /* of all layers' files, 0: unknown */
	const char *reference;	/* full form; NULL: dangling */
	/*
	 * The manifest as it came, where that was not OCI's: a blob of the store, which @digest is
	 * the translation of. NULL: @digest came, or was made here.
	 */
	const char *original;
	/* What the reference names at its registry where that is neither, an index. NULL: it is. */
	const char *remote;
	const char *parent; /* id of the image that a commit was made on; NULL: none */
};

struct image_index {
	struct arena *arena;
	struct image_entry *entries;
	size_t count, capacity;
	bool orphans; /* an edit has left an original manifest that no entry has any more */
};

/*
 * Makes <root>/images an image layout where it is none yet, and locks it; waits for the lock. The
 * returned directory fd holds it until closed.
 */
int image_store_lock(int root_fd, int *ret_images_fd, struct masu_error *err);

/* An index that does not exist is an empty one. */
int image_index_load(int images_fd, struct arena *arena, struct image_index *ret,
		     struct masu_error *err);
/* The document that index.json is. 0 or -errno. */
int image_index_write(const struct image_index *index, struct buf *ret);
/* Atomic and durable; drops the derived cache. Only under the lock. */
int image_index_save(int images_fd, const struct image_index *index, struct masu_error *err);

/*
 * Makes entry->reference (full form; NULL: none) name the image of @entry. What the reference named
 * before stays in the index as a dangling image unless it has another name. 0 or -ENOMEM.
 */
int image_index_put(struct image_index *index, const struct image_entry *entry);
/* The digest that a registry knows the image of @entry by: remote, original or digest. */
const char *image_entry_remote(const struct image_entry *entry);
/* Takes the name away; its image stays, dangling where this was the last. False: no such name. */
bool image_index_untag(struct image_index *index, const char *reference);
/* Removes every entry of that manifest. */
void image_index_remove(struct image_index *index, const char *digest);
/* The entry of that full reference, or NULL. */
const struct image_entry *image_index_get(const struct image_index *index, const char *reference);

/* As image_find(), but only the entry. */
int image_index_find(int images_fd, const struct image_index *index, const char *name,
		     const struct image_entry **ret, struct masu_error *err);

/*
 * Reads a blob of at most @limit bytes and checks it against its digest. -EBADMSG with a message
 * where it does not match.
 */
int image_blob_read(int images_fd, struct arena *arena, const char *digest, size_t limit,
		    const char **ret_text, size_t *ret_len, struct masu_error *err);

/* What a manifest says, checked for form: digests, counts, no index in disguise. */
struct image_manifest {
	const char *config_digest;
	uint64_t config_size;
	size_t layer_count;
	struct image_layer {
		const char *media_type, *digest;
		uint64_t size;
	} * layers;
};
int image_manifest_parse(struct arena *arena, const struct json *document,
			 struct image_manifest *ret, struct masu_error *err);

/*
 * Whether a manifest, or a descriptor of an index, says that it is something else than an image
 * (image spec: artifactType), whatever platform it is said to be for.
 */
bool image_is_artifact(const struct json *item);

/*
 * Fills what an image's config document says: config, created, platform, diff_ids and chain_ids.
 * Strings stay where @document has them.
 */
int image_config_parse(struct arena *arena, const struct json *document, struct image *ret,
		       struct masu_error *err);

/* Reads the manifest and config of @entry, following an index to this machine's platform. */
int image_load(int images_fd, struct arena *arena, const struct image_entry *entry,
	       struct image *ret, struct image_manifest *ret_manifest, struct masu_error *err);

/*
 * Everything that the manifest or index @digest leads to: tells the digest in hex of each blob that
 * descriptors name (configs, layers, an artifact's content, an index's manifests whatever their
 * platform, subjects, and what those name), itself first, and the chain id of each layer that an
 * image among them has. The same thing may be told more than once. Only the first document has to
 * be here: of an index others may have left out what they had no use for. -errno with a message
 * where a document that is here cannot be read, and where @visitor fails, for which only memory may
 * be short. Strings in the arena.
 */
typedef int (*image_visitor)(void *data, const char *hex, bool blob);
int image_reach(int images_fd, struct arena *arena, const char *digest, image_visitor visitor,
		void *data, struct masu_error *err);
