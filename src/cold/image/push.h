/* Pushing: what the steps of `masu push` share. */
#pragma once

#include "cold/image/document.h"
#include "cold/image/progress.h"
#include "cold/registry/remote.h"
#include "image/store.h"

enum push_phase { PUSH_WAITING, PUSH_SENDING, PUSH_SENT, PUSH_PRESENT, PUSH_MOUNTED };

struct push_blob {
	const char *digest, *name; /* name: the layer's diff_id as docker shows it */
	uint64_t size, bytes;
	enum push_phase phase;
	const char *from; /* a repository of this registry that has it, or NULL */
	const char *text; /* what is shown of it */
	int fd;
};

struct push {
	struct arena *arena;
	int images_fd;
	struct image_index index;
	struct remote remote;
	bool artifacts, quiet;
	const char *platform; /* "os/architecture[/variant]" or NULL */
	struct progress progress;
	struct push_blob *blobs; /* of the manifest that is being pushed; the shown ones first */
	size_t count, shown;
};

/*
 * Sends push->blobs, several at once; what the repository has is not sent. The blobs' files are
 * opened first, so that an `rmi` meanwhile takes nothing away. push_blobs.c
 */
int push_blobs(struct push *push, struct masu_error *err);

/*
 * Sends the manifest or index @digest of the store with all that it names, under @name (a tag;
 * NULL: its digest). Of an index whose images are not all in the store only the one that
 * push->platform or being alone names goes, as docker has it. @ret_digest: what now has the name.
 * push_manifest.c
 */
int push_manifest(struct push *push, const char *digest, const char *name,
		  char ret_digest[DIGEST_MAX], uint64_t *ret_size, struct masu_error *err);
