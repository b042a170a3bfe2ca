/*
 * What is attached to an image: artifacts (signatures, bills of materials …) whose manifests name
 * its manifest as their subject (image spec 1.1). The store keeps them in
 * images/.masu/artifacts/<hex of the subject's digest>/, an image layout by itself: index.json
 * lists them as a registry's referrers API does, blobs/sha256/ has what they are made of. What
 * cosign keeps beside an image under tags made of its digest (sha256-<hex>.sig and the like) is in
 * tags/: a file a suffix, which says the manifest's digest. All of it goes with the image
 * (engine/images.c). What is attached to an index stays in the registry.
 */
#pragma once

#include "cold/image/staging.h"
#include "cold/registry/remote.h"

#define ARTIFACTS_DIR	    IMAGES_DIR "/" IMAGES_PRIVATE "/artifacts"
#define ARTIFACTS_MAX	    64
#define ARTIFACT_BLOBS_MAX  64
#define ARTIFACT_BLOB_LIMIT (1ull << 30) /* bytes */

struct artifact_blob {
	const char *digest;
	uint64_t size;
};

/* An index that lists artifacts. */
struct artifacts_text {
	const char *text;
	size_t len;
};

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

/*
 * What both pull and load do: an empty layout in staging (its fd or -errno); the list @index
 * written there, when the blobs are; and whole and durable in the place of what was kept for
 * @subject, or nothing where the image has gone meanwhile. @any false: nothing is attached any
 * more.
 */
int artifacts_stage(const struct staging *staging, struct masu_error *err);
int artifacts_finish(int fd, const struct buf *index, struct masu_error *err);
int artifacts_publish(const struct staging *staging, const char *subject, bool any,
		      struct masu_error *err);

struct archive;
struct archive_plan;
/*
 * Keeps those artifacts of an archive whose subject the store has, after its images; others are
 * left out with a warning, -EOPNOTSUPP where there was nothing else.
 */
int artifacts_load(struct staging *staging, const struct archive *archive,
		   const struct archive_plan *plan, bool quiet, struct masu_error *err);

/* What is kept for an image: the index that lists it, and every blob of it, manifests too. */
struct artifacts_kept {
	int fd; /* the layout; -1: there is nothing. To be closed. */
	struct artifacts_text index;
	struct artifact_blob *blobs;
	size_t count;
};
int artifacts_kept(int images_fd, struct arena *arena, const char *subject,
		   struct artifacts_kept *ret, struct masu_error *err);

/* ---- artifacts_document.c: documents of registries, read in a box ---- */

/* The manifests that an index of referrers lists; other kinds are left out. */
int artifacts_list(struct arena *arena, const char *text, size_t len, struct artifact_blob *ret,
		   size_t *ret_count, struct masu_error *err);
/* Config and layers of an artifact's manifest; -EBADMSG where its subject is another than @subject
 * (NULL: it need not have one). */
int artifact_blobs(struct arena *arena, const char *text, size_t len, const char *subject,
		   struct artifact_blob *ret, size_t *ret_count, struct masu_error *err);
/* One index of all that @count indexes list, each once. */
int artifacts_merge(const struct artifacts_text *texts, size_t count, struct buf *out,
		    struct masu_error *err);
/* What of an index has one of these digests (NULL-terminated). */
int artifacts_select(const struct artifacts_text *from, const char *const *digests, struct buf *out,
		     struct masu_error *err);

/* ---- between artifacts.c and artifact_tags.c ---- */

struct artifact_place {
	struct remote *remote;
	const char *subject;
	int fd; /* of the layout */
};

/* The blobs of a manifest that came, and it, into the layout; @subject as for artifact_blobs(). */
int artifact_keep(const struct artifact_place *p, const struct remote_document *manifest,
		  const char *subject, struct masu_error *err);
/* A manifest of the layout @dir, checked against its digest. */
int artifact_read(int dir, struct arena *arena, const char *digest, char **ret_text,
		  size_t *ret_len, struct masu_error *err);
int artifact_send_blobs(const struct artifact_place *p, const char *text, size_t len,
			const char *subject, struct masu_error *err);

/* Takes what the registry has under cosign's tags into the layout. */
int artifact_tags_pull(const struct artifact_place *p, size_t *ret_count, struct masu_error *err);
/*
 * Sends what is in tags/. Signatures and attestations that a tag there has stay beside those that
 * come; a bill of materials that is there stays.
 */
int artifact_tags_push(const struct artifact_place *p, size_t *ret_count, struct masu_error *err);
/* Whether @tag is "sha256-<hex>" with one of cosign's suffixes: of an image, and none. */
bool artifact_tag_valid(const char *tag);

/* The sandboxed halves, for fuzzing: lines of digest and size; the merged index. */
struct artifacts_task {
	const struct artifacts_text *texts;
	size_t count;
	const char *subject;	    /* of describe_blobs */
	const char *const *digests; /* of describe_merged: only these; NULL: all */
};
int artifacts_describe_list(void *task, struct buf *out, struct masu_error *err);
int artifacts_describe_blobs(void *task, struct buf *out, struct masu_error *err);
int artifacts_describe_merged(void *task, struct buf *out, struct masu_error *err);
