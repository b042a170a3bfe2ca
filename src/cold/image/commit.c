/*
 * `masu commit`: an image of what a container has become. What the container changed, and its
 * volumes where asked for, are read into staging while it is held still; then it goes on, and what
 * was read is built and committed as what import and load bring in.
 */
#include "cold/image/commit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/human.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/session.h"
#include "cold/image/verbs.h"
#include "engine/events.h"
#include "state/trash.h"

#define ATTEMPTS 4 /* of a commit whose base somebody removes and brings back */

/* The image that the container was made from, with its documents. */
static int find_base(struct commit *commit, struct masu_error *err)
{
	struct image_index index;
	const struct image_entry *entry;
	const char *text, *id = commit->snapshot.container.image_id;
	size_t len;
	_cleanup_close_ int images_fd =
		openat(commit->builder->root_fd, IMAGES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = images_fd < 0 ? error_errno(err, -errno, "images")
			      : image_index_load(images_fd, commit->arena, &index, err);
	if (r < 0)
		return r;
	r = image_index_find(images_fd, &index, id, &entry, err);
	if (r == 0)
		r = image_load(images_fd, commit->arena, entry, &commit->base,
			       &commit->base_manifest, err);
	if (r == 0)
		r = image_blob_read(images_fd, commit->arena, commit->base.id, IMAGE_MAX_DOCUMENT,
				    &text, &len, err);
	if (r == 0)
		r = json_parse(commit->arena, text, len, &commit->base_config, err);
	return r < 0 ? error_wrap(err,
				  "the image that the container was made from; load or pull it "
				  "again")
		     : 0;
}

static int build_and_commit(struct commit *commit, struct built_image *image,
			    struct masu_error *err)
{
	int r = -EAGAIN;
	for (int attempt = 0; attempt < ATTEMPTS && r == -EAGAIN; attempt++) {
		r = find_base(commit, err);
		if (r == 0)
			r = commit_build_layers(commit, image, err);
		if (r == 0 && attempt == 0)
			r = commit_write_config(commit, image, err);
		if (r == 0)
			r = image_build_manifest(commit->builder, image, err);
		image->parent = commit->base.id;
		if (r == 0)
			r = image_commit(commit->builder, image, 1, err);
		if (r < 0)
			built_image_abort(commit->builder, image);
	}
	if (r == -EAGAIN)
		r = error_set(err, -ENOENT,
			      "a layer of the container's image is missing; load or pull the image "
			      "%.19s again",
			      commit->base.id);
	return r;
}

static void tell_volumes(const struct commit *commit)
{
	char size[HUMAN_MAX];
	const struct snapshot *snapshot = &commit->snapshot;
	for (size_t i = 0; i < snapshot->in_memory_count; i++)
		log_warn("volume %s is in memory, and not put into the image",
			 snapshot->in_memory[i]);
	for (size_t i = 0; i < commit->layer_count && !commit->options->quiet; i++) {
		const struct commit_layer *layer = &commit->layers[i];
		if (layer->volume)
			fprintf(stderr, "volume %s: /%s, %s\n", layer->volume->name,
				layer->volume->path, human_size(layer->bytes, size));
	}
}

static void tell_events(const struct cli_context *context, struct commit *commit,
			const struct built_image *image, const char *reference)
{
	const struct oci_pair attributes[] = {
		{ "comment", commit->options->message ? commit->options->message : "" },
		{ "imageID", image->config.digest },
		{ "imageRef", reference ? reference : "" },
	};
	if (reference)
		tell_image(context, commit->builder->root_fd, "tag", image->config.digest,
			   reference);
	event_container(commit->snapshot.engine, &commit->snapshot.container, "commit", attributes,
			ARRAY_SIZE(attributes));
}

static int make_image(struct cli_context *context, struct commit *commit, const char *id,
		      const char *reference, struct masu_error *err)
{
	const char *references[2] = { reference };
	struct built_image image = { .references = references };
	struct engine *engine = commit->snapshot.engine;
	unsigned flags = (commit->options->pause ? SNAPSHOT_PAUSE : 0) |
			 (commit->options->include_volumes ? SNAPSHOT_VOLUMES : 0);
	int r = snapshot_open(engine, commit->arena, id, flags, &commit->snapshot, err);
	if (r == 0)
		r = commit_read(commit, err);
	if (r == 0)
		r = build_and_commit(commit, &image, err);
	if (r < 0)
		return r;
	tell_volumes(commit);
	tell_events(context, commit, &image, reference);
	printf("%s\n", image.config.digest);
	fflush(stdout);
	return 0;
}

static int run(struct cli_context *context, void *data, int argc, char **argv,
	       struct masu_error *err)
{
	const char *reference = NULL;
	char id[65];
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	_cleanup_image_builder_ struct image_builder builder = { 0 };
	struct commit commit = { .builder = &builder,
				 .arena = context->arena,
				 .options = data,
				 .snapshot = SNAPSHOT_CLOSED };
	int r = argc > 1 ? parse_target(context->arena, argv[1], "commit to a", &reference, err)
			 : 0;
	if (r == 0)
		r = session_open(context, &engine, err);
	if (r == 0)
		r = engine_resolve(&engine, argv[0], id, err);
	if (r == 0)
		r = image_builder_open(engine.root_fd, engine.storage_driver, context->arena,
				       &builder, err);
	if (r < 0)
		return r;
	commit.snapshot.engine = &engine;
	r = make_image(context, &commit, id, reference, err);
	snapshot_close(&commit.snapshot);
	trash_empty(engine.root_fd, 0); /* what killed commands left in staging */
	return r < 0 ? error_wrap(err, "commit %s", argv[0]) : 0;
}

const struct cli_command commit_command = { COMMIT_COMMAND, .run = run };
