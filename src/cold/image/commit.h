/* `masu commit`: what its steps share. */
#pragma once

#include "cli/image_options.h"
#include "cold/image/build.h"
#include "cold/image/config.h"
#include "engine/snapshot.h"
#include "image/store.h"

/* The config label that says which of an image's layers are volumes. */
#define VOLUMES_LABEL "masu.volumes"

/* A layer that is new: of the container's changes (volume NULL), or of a volume. */
struct commit_layer {
	const struct snapshot_volume *volume;
	struct staged_blob blob;
	char diff_id[DIGEST_MAX];
	uint64_t bytes; /* uncompressed */
};

struct commit {
	struct image_builder *builder;
	struct arena *arena;
	const struct commit_options *options;
	struct snapshot snapshot;
	/* The container's image. */
	struct image base;
	struct image_manifest base_manifest;
	const struct json *base_config;
	struct commit_layer *layers; /* the new ones, lowest first; one without a change is none */
	size_t layer_count;
	bool unchanged; /* the container's root is as its image's */
};

/* ---- commit_layers.c ---- */

/* Reads the container and its volumes into staged blobs: commit->layers. */
int commit_read(struct commit *commit, struct masu_error *err);
/* The image's layers: the base's, which are in the store, and the new ones, unpacked. */
int commit_build_layers(struct commit *commit, struct built_image *image, struct masu_error *err);

/* ---- commit_config.c ---- */

/* Writes the image's config into staging. */
int commit_write_config(struct commit *commit, struct built_image *image, struct masu_error *err);
