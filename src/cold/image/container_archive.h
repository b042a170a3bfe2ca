/*
 * A container on its way to another machine: an OCI image layout with its image, as `save` writes
 * it, and beside that CONTAINER_DOCUMENT, which says what the container is and which of the blobs
 * are what it changed and what is in its volumes. Both are gzipped tar archives.
 */
#pragma once

#include "cold/image/staging.h"
#include "cold/image/unpack.h"
#include "json/json.h"
#include "oci/runtime_spec.h"

#define CONTAINER_DOCUMENT	  "masu-container.json"
#define CONTAINER_VOLUMES_MAX	  256
#define CONTAINER_LABELS_MAX	  1024
#define CONTAINER_ARCHIVE_VERSION 1

/* A tree of files in the archive: a blob, and what it is uncompressed. */
struct container_tree {
	char digest[DIGEST_MAX], tar[DIGEST_MAX];
};

struct container_volume {
	const char *name;
	bool anonymous;
	struct oci_pair *labels;
	size_t label_count;
	uint64_t limit; /* what it may hold, in bytes; 0: as much as there is */
	struct container_tree tree;
};

struct container_archive {
	const struct json *record; /* container.json */
	const char *image_id;
	struct container_tree changes;
	bool changed; /* there are changes */
	struct container_volume *volumes;
	size_t volume_count;
};

int container_archive_write(const struct container_archive *archive, struct buf *out);
/*
 * What an archive says, read in a box: -EBADMSG with a message where it is not what
 * container_archive_write() could have written. Volumes are sorted by their names, each of which is
 * there once. The record is still what the archive says it is. In the arena.
 */
int container_archive_read(struct arena *arena, const char *text, size_t len,
			   struct container_archive *ret, struct masu_error *err);

/* What the sandboxed process runs; for tests and fuzzing. */
struct container_task {
	const char *text;
	size_t len;
};
int container_archive_describe(void *task, struct buf *out, struct masu_error *err);
