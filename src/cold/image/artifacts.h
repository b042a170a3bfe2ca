/*
 * What is attached to an image: artifacts (signatures, bills of materials …) whose manifests name
 * its manifest as their subject (image spec 1.1). The store keeps them in
 * images/.masu/artifacts/<hex of the subject's digest>/, an image layout by itself: index.json
 * lists them as a registry's referrers API does, blobs/sha256/ has what they are made of. They go
 * with the image (engine/images.c). What is attached to an index stays in the registry.
 */
#pragma once

#include "cold/image/staging.h"
#include "cold/registry/remote.h"

#define ARTIFACTS_DIR	    IMAGES_DIR "/" IMAGES_PRIVATE "/artifacts"
#define ARTIFACTS_MAX	    64
#define ARTIFACT_BLOBS_MAX  64
#define ARTIFACT_BLOB_LIMIT (1ull << 30) /* bytes */

/*
 * Fetches all that is attached to the manifest @subject, by the referrers API or, where the
 * registry has none, the referrers tag; takes the place of what was kept. @staging: for what is on
 * the way. *ret_count: how many there are.
 */
int artifacts_pull(struct staging *staging, struct arena *arena,
		   const struct image_reference *reference, const char *subject, size_t *ret_count,
		   struct masu_error *err);

/* Sends what is kept for @subject, which the repository has, and lists it where the registry does
 * not. */
int artifacts_push(int root_fd, struct remote *remote, const char *subject, size_t *ret_count,
		   struct masu_error *err);

/* ---- artifacts_document.c: documents of registries, read in a box ---- */

struct artifact_blob {
	const char *digest;
	uint64_t size;
};

/* The manifests that an index of referrers lists; other kinds are left out. */
int artifacts_list(struct arena *arena, const char *text, size_t len, struct artifact_blob *ret,
		   size_t *ret_count, struct masu_error *err);
/* Config and layers of an artifact's manifest; -EBADMSG where its subject is another. */
int artifact_blobs(struct arena *arena, const char *text, size_t len, const char *subject,
		   struct artifact_blob *ret, size_t *ret_count, struct masu_error *err);
/* One index of all that @count indexes list, each once. */
struct artifacts_text {
	const char *text;
	size_t len;
};
int artifacts_merge(const struct artifacts_text *texts, size_t count, struct buf *out,
		    struct masu_error *err);

/* The sandboxed halves, for fuzzing: lines of digest and size; the merged index. */
struct artifacts_task {
	const struct artifacts_text *texts;
	size_t count;
	const char *subject; /* of describe_blobs */
};
int artifacts_describe_list(void *task, struct buf *out, struct masu_error *err);
int artifacts_describe_blobs(void *task, struct buf *out, struct masu_error *err);
int artifacts_describe_merged(void *task, struct buf *out, struct masu_error *err);
