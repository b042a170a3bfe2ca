/*
 * Images, read side: references, the OCI image layout on disk, manifests and configs.
 * Hot: resolving a name to layers and config opens three small files. Everything that writes blobs
 * or unpacks layers is in libexec/masu/masu-image.
 *
 * <root>/images/ is an OCI image layout (oci-layout, index.json, blobs/sha256/). A tag is an entry
 * of index.json with the annotation org.opencontainers.image.ref.name holding the full reference
 * ("docker.io/library/busybox:local", shown as docker shows it: "busybox:local"). A derived cache,
 * <root>/images/.masu/resolved/<config digest>, holds what `run` needs; it may be deleted any time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "json/json.h"

#define DIGEST_MAX 72 /* "sha256:" + 64 + NUL */

struct image_reference {
	const char *domain; /* "docker.io" */
	const char *path;   /* "library/busybox" */
	const char *tag;    /* "latest" by default; NULL with a digest alone */
	const char *digest; /* NULL or "sha256:…" */
};

/* Docker's grammar and normalisation (distribution/reference). */
int image_reference_parse(struct arena *arena, const char *text, struct image_reference *ret,
			  struct masu_error *err);
/* "docker.io/library/busybox:local" */
const char *image_reference_full(struct arena *arena, const struct image_reference *ref);
/* What docker shows: "busybox" without default domain, library/ and tag. */
const char *image_reference_familiar(struct arena *arena, const struct image_reference *ref);

struct image_healthcheck {
	bool present;
	char **test; /* NULL-terminated */
	int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns;
	int retries;
};

/* config of an image that containers inherit (image-spec config.md + Docker's extensions). */
struct image_config {
	const char *user;		 /* "" when absent */
	const char *working_dir;	 /* "" when absent */
	char **env, **entrypoint, **cmd; /* NULL-terminated; NULL when absent */
	struct oci_label {
		const char *key, *value;
	} * labels;
	size_t label_count;
	const char **volumes; /* NULL-terminated */
	const char **exposed_ports;
	const char *stop_signal; /* "" when absent */
	struct image_healthcheck healthcheck;
	char **shell;
};

struct image {
	char id[DIGEST_MAX]; /* digest of the config, as docker shows it */
	char manifest_digest[DIGEST_MAX];
	const char *reference; /* as found, full form; NULL when found by id */
	struct image_config config;
	const char *created; /* RFC 3339, "" when absent */
	const char *architecture, *os;
	const char **chain_ids; /* lowest first, 64 hex digits each, NULL-terminated */
	const char **diff_ids;
	size_t layer_count;
	uint64_t size; /* bytes of all unpacked layers */
};

/*
 * Finds an image by reference, full id or unique id prefix. -ENOENT with docker's message
 * ("No such image: x:latest") where there is none. Everything in the arena.
 */
int image_find(int root_fd, struct arena *arena, const char *name, struct image *ret,
	       struct masu_error *err);

/* Every tagged or dangling image, newest first. */
int image_list(int root_fd, struct arena *arena, struct image **ret, size_t *ret_count,
	       struct masu_error *err);

/* index.json edits under the store's lock, atomic and durable. */
int image_tag(int root_fd, const char *source, const char *target, struct masu_error *err);
