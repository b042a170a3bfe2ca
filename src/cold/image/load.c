/* `masu load`: images from a docker or OCI archive or directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/image_options.h"
#include "cold/image/archive.h"
#include "cold/image/artifacts.h"
#include "cold/image/build.h"
#include "cold/image/document.h"
#include "cold/image/load.h"
#include "cold/image/verbs.h"
#include "image/store.h"
#include "state/trash.h"

static int open_input(const char *input, struct masu_error *err)
{
	if (!input || streq(input, "-")) {
		if (isatty(STDIN_FILENO))
			return error_set(err, -EINVAL,
					 "load: stdin is a terminal; use -i FILE or redirect an "
					 "archive");
		return STDIN_FILENO;
	}
	int fd = open(input, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? error_errno(err, -errno, "load: %s", input) : fd;
}

static int take_apart(struct archive *archive, int fd, struct masu_error *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_errno(err, -errno, "load");
	return S_ISDIR(st.st_mode) ? archive_read_directory(archive, fd, err)
				   : archive_read(archive, fd, err);
}

/* The store has this very manifest: which blob is which layer was checked when it came. */
static bool is_stored(const struct image_builder *b, const struct archive_image *from)
{
	struct image image;
	return from->manifest &&
	       image_find(b->root_fd, b->arena, from->config->blob.digest, &image, NULL) == 0 &&
	       (streq(image.manifest_digest, from->manifest->blob.digest) ||
		streq(image.original_digest, from->manifest->blob.digest));
}

static int build_layers(struct image_builder *b, const struct archive_image *from,
			struct built_image *image, struct masu_error *err)
{
	bool proven = is_stored(b, from);
	for (size_t i = 0; i < image->layer_count; i++) {
		struct built_layer *layer = &image->layers[i];
		layer->blob = from->layers[i]->blob;
		layer->proven = proven;
		layer->hashed = true;
		int r = image_blob_media_type(b, &layer->blob, &layer->media_type, err);
		if (r == 0 && !layer->media_type)
			r = error_set(err, -EOPNOTSUPP,
				      "layer %.19s: compressed with something that the image spec "
				      "does not know",
				      layer->blob.digest);
		if (r < 0)
			return error_wrap(err, "layer %zu of %zu", i + 1, image->layer_count);
	}
	return image_build_layers(b, image->layers, image->layer_count, from->diff_ids, err);
}

/* An image that came with a manifest keeps it, and so its digest. */
static int build_image(struct image_builder *b, const struct archive_image *from,
		       struct built_image *image, struct masu_error *err)
{
	image->config = from->config->blob;
	image->references = from->references;
	image->layer_count = from->layer_count;
	image->layers = arena_array(b->arena, struct built_layer, from->layer_count + 1);
	if (!image->layers)
		return error_set(err, -ENOMEM, "out of memory");
	int r = build_layers(b, from, image, err);
	if (r < 0)
		return r;
	if (!from->manifest)
		return image_build_manifest(b, image, err);
	image->manifest = from->manifest->blob;
	if (from->foreign)
		return image_translate_manifest(b, image, err);
	if (from->original)
		image->original = from->original->blob;
	return 0;
}

static int build_all(struct image_builder *b, const struct archive_image *from, size_t count,
		     struct built_image *images, struct masu_error *err)
{
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++)
		r = build_image(b, &from[i], &images[i], err);
	return r;
}

static void print_loaded(struct arena *arena, const struct built_image *images, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *const *name = images[i].references;
		if (!*name)
			printf("Loaded image ID: %s\n", images[i].config.digest);
		for (; *name; name++) {
			struct image_reference reference;
			const char *text = NULL;
			if (image_reference_parse(arena, *name, &reference, NULL) == 0)
				text = image_reference_familiar_full(arena, &reference);
			printf("Loaded image: %s\n", text ? text : *name);
		}
	}
}

int load_images(struct image_builder *b, const struct archive_image *from, size_t count,
		struct built_image **ret, struct masu_error *err)
{
	int r;
	struct built_image *images = arena_array(b->arena, struct built_image, count);
	if (!images)
		return error_set(err, -ENOMEM, "out of memory");
	do { /* again where a layer that was there has been removed meanwhile */
		r = build_all(b, from, count, images, err);
		if (r == 0)
			r = image_commit(b, images, count, err);
		for (size_t i = 0; i < count && r < 0; i++)
			built_image_abort(b, &images[i]);
	} while (r == -EAGAIN);
	*ret = images;
	return r;
}

static int load(const struct cli_context *context, struct image_builder *b, int fd,
		const struct load_options *o, struct masu_error *err)
{
	struct platform platform;
	struct archive archive = { .arena = b->arena, .staging = &b->staging };
	struct archive_plan plan;
	struct built_image *images = NULL;
	int r = platform_parse(b->arena, o->platform, &platform, err);
	if (o->platform)
		archive.platform = &platform;
	if (r == 0)
		r = take_apart(&archive, fd, err);
	if (r == 0)
		r = archive_plan(&archive, &plan, err);
	if (r < 0)
		return r;
	if (plan.count)
		r = load_images(b, plan.images, plan.count, &images, err);
	for (size_t i = 0; i < plan.count && r == 0; i++)
		tell_image(context, b->root_fd, "load", images[i].config.digest, NULL);
	if (r == 0 && !o->quiet)
		print_loaded(b->arena, images, plan.count);
	return r < 0 ? r : artifacts_load(&b->staging, &archive, &plan, o->quiet, err);
}

static int run(struct cli_context *context, void *data, int argc, char **argv,
	       struct masu_error *err)
{
	struct load_options *o = data;
	_cleanup_close_ int root_fd = -1; /* closed after the builder is */
	_cleanup_image_builder_ struct image_builder builder = { 0 };
	_cleanup_close_ int fd = open_input(o->input, err);
	if (fd < 0)
		return fd;
	int r = open_root(context, &root_fd, err);
	if (r == 0)
		r = image_builder_open(root_fd, context->storage_driver, context->arena, &builder,
				       err);
	if (r == 0)
		r = image_builder_format(&builder, o->layer_format, err);
	if (r < 0)
		return r;
	r = load(context, &builder, fd, o, err);
	fflush(stdout);
	trash_empty(root_fd, 0); /* what killed commands left in staging */
	return r < 0 ? error_wrap(err, "load") : 0;
}

const struct cli_command load_command = { LOAD_COMMAND, .run = run };
