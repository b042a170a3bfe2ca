/*
 * One repository of a registry, for small things one at a time: manifests, lists of tags, an
 * artifact's blobs. Layers go several at once through fetch.h. What comes is somebody else's:
 * hashed here, read as JSON in a box (sandboxed_run()).
 */
#pragma once

#include "cold/registry/fetch.h"
#include "image/image.h"

struct remote {
	struct arena *arena;
	struct image_reference reference;
	struct registry registry;
	struct fetcher *fetcher;
	bool push;
};

/*
 * Opens the repository of @reference (its tag and digest say nothing here) for reading, or with
 * @push for both, then without mirrors. Nothing is asked yet.
 */
int remote_open(struct arena *arena, const struct image_reference *reference, bool push,
		struct remote *ret, struct masu_error *err);
/* Safe on one that was never opened. */
void remote_close(struct remote *remote);
#define _cleanup_remote_ __attribute__((cleanup(remote_close)))

struct remote_document {
	const char *text; /* in the arena; NULL from remote_stat() */
	size_t len;
	char digest[DIGEST_MAX]; /* of text; from remote_stat() what the registry says */
	char media_type[FETCH_TYPE_MAX];
	char next[FETCH_PATH_MAX]; /* path of a list's next page, "": none */
};

/*
 * GET @collection/@name ("manifests", tag or digest; "referrers", digest; "tags", "list"), at most
 * FETCH_DOCUMENT_MAX bytes. @accept "": every image document. A @name that is a digest of a
 * manifest is what the content must have: -EBADMSG. -ENOENT, -EACCES with the registry's words.
 */
int remote_get(struct remote *remote, const char *collection, const char *name, const char *accept,
	       struct remote_document *ret, struct masu_error *err);
/* The same for a path, that of a list's next page. */
int remote_get_path(struct remote *remote, const char *path, const char *accept,
		    struct remote_document *ret, struct masu_error *err);
/* A blob of exactly @size bytes, at most FETCH_DOCUMENT_MAX. */
int remote_get_blob(struct remote *remote, const char *digest, uint64_t size,
		    struct remote_document *ret, struct masu_error *err);
/* HEAD of a manifest: *ret_exists, and what the registry says it is. */
int remote_stat(struct remote *remote, const char *name, bool *ret_exists,
		struct remote_document *ret, struct masu_error *err);

/* Sends the @size bytes of @fd, which are @digest, unless the repository has them. */
int remote_put_blob(struct remote *remote, const char *digest, int fd, uint64_t size,
		    struct masu_error *err);
/*
 * A blob that is not here: -ENOENT unless the repository has it or the registry takes it from its
 * repository @from.
 */
int remote_mount_blob(struct remote *remote, const char *digest, uint64_t size, const char *from,
		      struct masu_error *err);
/* As remote_put_blob() for bytes in memory; their digest to @ret_digest. */
int remote_put_bytes(struct remote *remote, const void *data, size_t len,
		     char ret_digest[DIGEST_MAX], struct masu_error *err);
/*
 * PUT of a manifest under @name, a tag or its digest (NULL: its digest). What it refers to must be
 * there. *ret_subject (may be NULL): the registry keeps the list of its subject's referrers; where
 * it does not, the referrers' tag is the caller's to write (distribution spec, "Referrers Tag
 * Schema").
 */
int remote_put_manifest(struct remote *remote, const char *name, const char *media_type,
			const void *text, size_t len, char ret_digest[DIGEST_MAX],
			bool *ret_subject, struct masu_error *err);
