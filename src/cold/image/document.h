/*
 * Manifests, indexes and configs that come from a registry: read in a sandboxed process, which says
 * what it found in lines that its parent can check.
 */
#pragma once

#include "cold/image/staging.h"

struct remote_blob {
	const char *digest, *media_type;
	uint64_t size;
};

struct remote_manifest {
	bool index; /* an index: @target is the manifest for the platform asked for */
	struct remote_blob target, config;
	struct remote_blob *layers;
	size_t layer_count;
};

/* "linux/arm64/v8"; the parts that are NULL are not asked for. */
struct platform {
	const char *os, *architecture, *variant;
};

/* Parses "[os/]architecture[/variant]"; NULL or "": this machine's. -EINVAL. */
int platform_parse(struct arena *arena, const char *text, struct platform *ret,
		   struct masu_error *err);

/* Whether the descriptor @item of an index is for @wanted; a wish without a variant takes any. */
bool platform_matches(const struct json *item, const struct platform *wanted);
/* The descriptor of an index's image that serves @wanted best; NULL: none does. */
const struct json *platform_choose(const struct json *index, const struct platform *wanted);

/*
 * Reads @text, which the registry sent as @media_type ("": it did not say). What is neither OCI's
 * nor Docker's schema 2, is both a manifest and an index, calls itself something else than the
 * header, or has foreign layers is refused by name. -ENOENT: the index has nothing for @platform.
 * Strings in the arena.
 */
int remote_manifest_read(struct arena *arena, const char *text, size_t len, const char *media_type,
			 const struct platform *platform, struct remote_manifest *ret,
			 struct masu_error *err);

/* The diff_ids of a config document, which must be @count. */
int remote_config_read(struct arena *arena, const char *text, size_t len, size_t count,
		       const char ***ret_diff_ids, struct masu_error *err);

/* What the sandboxed processes run; for tests and fuzzing. */
struct document_task {
	const char *text, *media_type;
	size_t len, count;
	const struct platform *platform;
};
int document_describe_manifest(void *task, struct buf *out, struct masu_error *err);
int document_describe_config(void *task, struct buf *out, struct masu_error *err);
