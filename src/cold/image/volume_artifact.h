/*
 * Volumes in registries: an artifact (image spec 1.1) whose layers are the chunks (chunk.h) of the
 * volume's files as a tar archive, in their order. The chunks' blobs one after the other are that
 * archive, compressed with zstd:
 *
 *	for d in $(jq -r '.layers[].digest'); do GET blobs/$d; done | zstd -d | tar -t
 *
 * The same files give the same manifest. Its config says what the volume is called and what the
 * whole archive hashes to.
 */
#pragma once

#include "cold/image/staging.h"
#include "cold/registry/remote.h"
#include "oci/runtime_spec.h"

#define VOLUME_ARTIFACT_TYPE "application/vnd.masu.volume.v1"
#define VOLUME_CONFIG_TYPE   "application/vnd.masu.volume.config.v1+json"
#define VOLUME_CHUNK_TYPE    "application/vnd.masu.volume.chunk.v1.tar+zstd"
#define VOLUME_CHUNKS_MAX    20000 /* what a manifest of 4 MiB has room for */
#define VOLUME_LABELS_MAX    1024

struct volume_chunk {
	char digest[DIGEST_MAX];
	uint64_t size;
};

struct volume_artifact {
	struct volume_chunk config;
	struct volume_chunk *chunks;
	size_t count;
};

struct volume_config {
	const char *name;
	const char *tar; /* "sha256:…" of the whole archive */
	uint64_t size;	 /* of it, in bytes */
	uint64_t limit;	 /* what the volume may hold, in bytes; 0: as much as there is */
	struct oci_pair *labels;
	size_t label_count;
};

int volume_config_write(const struct volume_config *config, struct buf *out);
int volume_manifest_write(const struct volume_artifact *artifact, const char *name,
			  struct buf *out);

/*
 * What a registry sent, read in a box. -EBADMSG or -E2BIG with a message where it is no volume, or
 * not one that volume_manifest_write() could have written. In the arena.
 */
int volume_manifest_read(struct arena *arena, const char *text, size_t len,
			 struct volume_artifact *ret, struct masu_error *err);
int volume_config_read(struct arena *arena, const char *text, size_t len, struct volume_config *ret,
		       struct masu_error *err);

/* What the sandboxed processes run; for tests and fuzzing. */
struct volume_task {
	const char *text;
	size_t len;
};
int volume_describe_manifest(void *task, struct buf *out, struct masu_error *err);
int volume_describe_config(void *task, struct buf *out, struct masu_error *err);
