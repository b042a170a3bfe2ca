/* Pulling: what the steps of `masu pull` share. */
#pragma once

#include "cli/image_options.h"
#include "cold/image/build.h"
#include "cold/image/document.h"
#include "cold/image/progress.h"
#include "cold/registry/fetch.h"

enum pull_phase {
	PULL_WAITING, /* in the queue */
	PULL_FETCHING,
	PULL_UNPACKING, /* everything has come */
	PULL_COMPLETE,
	PULL_EXISTS /* nothing to do */
};

struct pull_layer {
	struct remote_blob blob;
	enum pull_phase phase;
	uint64_t bytes;
	bool refetched; /* what was unpacked while it came was something else */
	int lock_fd;	/* nobody else fetches this blob meanwhile; -1: not fetched */
};

struct pull {
	struct image_builder *builder;
	struct arena *arena;
	struct image_reference reference;
	struct platform platform;
	struct registry registry;
	struct fetcher *fetcher;
	const char *runroot;
	bool all_tags, artifacts, quiet;
	bool distrust; /* blobs of the store are fetched again: one was damaged */
	/* What is pulled. */
	char digest[DIGEST_MAX]; /* of what the reference names: an index or a manifest */
	struct staged_blob manifest, config;
	const char *media_type; /* of the manifest */
	struct pull_layer *layers;
	const char **diff_ids;
	size_t layer_count;
	struct progress progress;
};

/*
 * Layers: fetched, verified and unpacked, several at once; image->layers is filled. -EAGAIN without
 * a message: a blob of the store was damaged and must be fetched; once more. pull_layers.c
 */
int pull_layers(struct pull *pull, struct built_image *image, struct masu_error *err);
/* Lets go of the downloads, which wait for the commit so that others find them in the store. */
void pull_unlock(struct pull *pull);
