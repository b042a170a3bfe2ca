/*
 * Images, read side: references, the OCI image layout on disk, manifests and configs.
 * Hot: resolving a name is one stat and one small file. Everything that writes blobs or unpacks
 * layers is in libexec/masu/masu-image.
 *
 * <root>/images/ is an OCI image layout (oci-layout, index.json, blobs/sha256/). A tag is an entry
 * of index.json with two annotations: org.opencontainers.image.ref.name is the name as the user
 * types it, with its tag ("busybox:local"), which is what `skopeo inspect oci:<dir>:<name>` and
 * `umoci stat --image <dir>:<name>` look for; io.containerd.image.name is the full name
 * ("docker.io/library/busybox:local"). <root>/images/.masu/ is masu's own: resolved/ is a derived
 * cache that may be deleted any time, pending says that an edit of the store is under way.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "json/json.h"

#define DIGEST_MAX 72 /* "sha256:" + 64 + NUL */

#define IMAGE_MAX_DOCUMENT (8u << 20) /* bytes of a manifest, config or index.json */
#define IMAGE_MAX_LAYERS   512
#define IMAGE_MAX_TAGS	   65536

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
/* What docker shows under REPOSITORY: "busybox", without default domain, library/ and tag. */
const char *image_reference_familiar(struct arena *arena, const struct image_reference *ref);
/* Whether a name as the user typed it has a tag: a colon behind the last slash. */
bool image_reference_has_tag(const char *text);
/* "busybox:local" or "busybox@sha256:…". */
const char *image_reference_familiar_full(struct arena *arena, const struct image_reference *ref);

/* Docker's grammar of a tag. */
bool image_tag_valid(const char *tag);

/* True for "sha256:" and 64 lower-case hex digits. */
bool image_digest_valid(const char *digest);

/*
 * The chain id (64 hex digits) of a layer on top of @parent (NULL: none), image-spec config.md.
 * @diff_id is "sha256:…".
 */
int image_chain_id(const char *parent, const char *diff_id, char ret[65]);

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
	char id[DIGEST_MAX];		  /* digest of the config, as docker shows it */
	char manifest_digest[DIGEST_MAX]; /* of the store's own */
	char original_digest[DIGEST_MAX]; /* of the manifest as it came, which may be Docker's */
	char remote_digest[DIGEST_MAX];	  /* what registries know it by: that, or an index's */
	const char *reference;		  /* as found, full form; NULL when found by id */
	const char *parent;		  /* id of the image it was committed on; NULL: unknown */
	struct image_config config;
	const char *created; /* RFC 3339, "" when absent */
	const char *architecture, *os;
	const char **chain_ids; /* lowest first, 64 hex digits each, NULL-terminated */
	const char **diff_ids;
	size_t layer_count;
	uint64_t size; /* bytes of all unpacked layers; of the stored ones where that is unknown */
};

/*
 * Finds an image by reference, full id or unique id prefix, in docker's order: names come before id
 * prefixes. -ENOENT with docker's message ("No such image: x:latest") where there is none.
 * Everything in the arena.
 */
int image_find(int root_fd, struct arena *arena, const char *name, struct image *ret,
	       struct masu_error *err);

/* Every tagged or dangling image, newest first; one that cannot be read is left out and logged. */
int image_list(int root_fd, struct arena *arena, struct image **ret, size_t *ret_count,
	       struct masu_error *err);

/* index.json edits under the store's lock, atomic and durable. */
int image_tag(int root_fd, const char *source, const char *target, struct masu_error *err);

/*
 * Tells `masu events` what happened to an image (state/event_log.h). @name NULL: its id, as docker
 * has it for everything but "tag". What cannot be written is lost; nothing else comes of it.
 */
void image_event(const char *runroot, const char *action, const struct image *image,
		 const char *name);

/* The same with another id, as docker's pull and push have: the name with its tag. */
void image_event_named(const char *runroot, const char *action, const struct image *image,
		       const char *id, const char *name);

/* "amd64", "arm64" …: this machine in Go's words, which image configs use. */
const char *image_architecture(void);
