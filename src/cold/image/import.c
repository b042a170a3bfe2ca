/* `masu import`: an image of one layer from a tar archive. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/image_options.h"
#include "cold/image/build.h"
#include "cold/image/flusher.h"
#include "cold/image/config.h"
#include "cold/image/unpack.h"
#include "cold/image/verbs.h"
#include "image/store.h"
#include "state/trash.h"

static int open_source(const char *source, struct masu_error *err)
{
	if (streq(source, "-")) {
		if (isatty(STDIN_FILENO))
			return error_set(err, -EINVAL,
					 "import -: stdin is a terminal; give it an archive");
		return STDIN_FILENO;
	}
	if (strstr(source, "://"))
		return error_set(err, -EOPNOTSUPP,
				 "import %s: URLs are not supported; download the file first",
				 source);
	int fd = open(source, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0)
		return error_errno(err, -errno, "import %s", source);
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		close(fd);
		return error_set(err, -EISDIR,
				 "import %s: is a directory; pipe it: tar -C %s -c . | masu import "
				 "- NAME",
				 source, source);
	}
	return fd;
}

/* "linux/arm64/v8" */
static int set_platform(struct config_builder *c, const char *platform, struct masu_error *err)
{
	const char *parts[4] = { NULL };
	char *copy = arena_strdup(c->arena, platform), *save = NULL;
	size_t count = 0;
	if (!copy)
		return error_set(err, -ENOMEM, "out of memory");
	for (char *part = strtok_r(copy, "/", &save); part && count < ARRAY_SIZE(parts);
	     part = strtok_r(NULL, "/", &save))
		parts[count++] = part;
	for (size_t i = 0; i < count; i++)
		for (const char *p = parts[i]; *p; p++)
			if (!name_char_valid(*p))
				count = 0;
	if (count == 0 || count > 3)
		return error_set(err, -EINVAL,
				 "--platform %s: write it as os/architecture or "
				 "os/architecture/variant",
				 platform);
	if (!streq(parts[0], "linux"))
		return error_set(err, -EOPNOTSUPP, "--platform %s: only linux images are supported",
				 platform);
	if (count > 1)
		c->architecture = parts[1];
	c->variant = parts[2];
	return 0;
}

static int prepare_config(struct config_builder *c, struct arena *arena,
			  const struct import_options *o, const char *source,
			  struct masu_error *err)
{
	struct config_step *step = arena_new(arena, struct config_step);
	image_config_init(c, arena);
	if (!step)
		return error_set(err, -ENOMEM, "out of memory");
	step->comment = o->message ? o->message : arena_printf(arena, "Imported from %s", source);
	if (!step->comment)
		return error_set(err, -ENOMEM, "out of memory");
	c->steps = step;
	c->step_count = 1;
	int r = o->platform ? set_platform(c, o->platform, err) : 0;
	for (size_t i = 0; i < o->change.count && r == 0; i++)
		r = image_config_change(c, o->change.items[i], err);
	return r;
}

/* What OCI has no media type for is kept uncompressed. */
static int uncompress_blob(struct image_builder *b, struct staged_blob *blob,
			   struct masu_error *err)
{
	struct decoder_process *process;
	struct staged_blob plain;
	int out;
	_cleanup_close_ int fd = staging_read(&b->staging, blob);
	if (fd < 0)
		return error_errno(err, fd, "images: staging");
	int r = decoder_start(DECODER_PLAIN, fd, &process, &out, err);
	if (r < 0)
		return r;
	r = staging_store(&b->staging, out, &plain, err);
	close(out);
	r = decoder_finish(process, r, err);
	if (r < 0)
		return r;
	unlinkat(b->staging.fd, blob->name, 0);
	*blob = plain;
	return 0;
}

static int take_archive(struct image_builder *b, int fd, struct built_layer *layer,
			struct masu_error *err)
{
	int r = staging_store(&b->staging, fd, &layer->blob, err);
	layer->hashed = true;
	if (r == 0 && layer->blob.size == 0)
		r = error_set(err, -ENODATA, "the archive is empty");
	if (r == 0)
		r = image_blob_media_type(b, &layer->blob, &layer->media_type, err);
	if (r == 0 && !layer->media_type) {
		r = uncompress_blob(b, &layer->blob, err);
		layer->media_type = MEDIA_TYPE_LAYER;
	}
	return r;
}

/*
 * The same archive with the same options under the same name is the same image: where the image
 * that has the name differs in nothing but its date, its date is kept, and so is its id.
 */
static int write_config(struct image_builder *b, struct config_builder *c, const char *reference,
			const char *diff_id, struct staged_blob *ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct image existing;
	buf_init(&text, IMAGE_MAX_DOCUMENT);
	if (reference && image_find(b->root_fd, b->arena, reference, &existing, NULL) == 0) {
		struct staged_blob blob;
		c->created = existing.created;
		int r = image_config_write(c, &diff_id, 1, &text);
		if (r == 0)
			r = staging_store_bytes(&b->staging, text.data, text.len, &blob, err);
		if (r < 0)
			return r;
		if (streq(blob.digest, existing.id)) {
			*ret = blob;
			return 0;
		}
		buf_reset(&text);
	}
	int r = image_config_time(b->arena, &c->created);
	if (r == 0)
		r = image_config_write(c, &diff_id, 1, &text);
	if (r < 0)
		return error_errno(err, r, "config");
	return staging_store_bytes(&b->staging, text.data, text.len, ret, err);
}

static int build_and_commit(struct image_builder *b, int fd, struct config_builder *c,
			    const char *reference, struct built_image *image,
			    struct masu_error *err)
{
	struct built_layer *layer = image->layers;
	_cleanup_flusher_ struct flusher *flusher = flusher_start(b->root_fd);
	int r = take_archive(b, fd, layer, err);
	if (r == 0)
		flusher_tell(flusher, layer->blob.size);
	if (r == 0)
		r = image_build_layer(b, NULL, 0, NULL, layer, err);
	if (r == 0)
		r = write_config(b, c, reference, layer->diff_id, &image->config, err);
	if (r == 0)
		r = image_build_manifest(b, image, err);
	if (r < 0)
		return r;
	r = image_commit(b, image, 1, err);
	while (r == -EAGAIN) {
		/* The layer was there, and somebody removed it meanwhile. */
		r = image_build_layer(b, NULL, 0, NULL, layer, err);
		if (r == 0)
			r = image_commit(b, image, 1, err);
	}
	return r;
}

static int run(struct cli_context *context, void *data, int argc, char **argv,
	       struct masu_error *err)
{
	struct import_options *o = data;
	struct arena *arena = context->arena;
	struct config_builder config;
	struct built_layer layer = { .lock_fd = -1 };
	const char *references[2] = { NULL };
	struct built_image image = { .layers = &layer, .layer_count = 1, .references = references };
	_cleanup_close_ int root_fd = -1; /* closed after the builder is */
	_cleanup_image_builder_ struct image_builder builder = { 0 };
	int r = argc > 1 ? parse_target(arena, argv[1], "import", &references[0], err) : 0;
	if (r == 0)
		r = prepare_config(&config, arena, o, argv[0], err);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = open_source(argv[0], err);
	if (fd < 0)
		return fd;
	r = open_root(context, &root_fd, err);
	if (r == 0)
		r = image_builder_open(root_fd, context->storage_driver, arena, &builder, err);
	if (r == 0)
		r = image_builder_format(&builder, o->layer_format, err);
	if (r < 0)
		return r;
	r = build_and_commit(&builder, fd, &config, references[0], &image, err);
	if (r < 0) {
		built_image_abort(&builder, &image);
		trash_empty(root_fd, 0); /* on a full disk nothing else would make room */
		return error_wrap(err, "import %s", argv[0]);
	}
	if (references[0])
		tell_image(context, root_fd, "tag", image.config.digest, references[0]);
	tell_image(context, root_fd, "import", image.config.digest, NULL);
	printf("%s\n", image.config.digest);
	fflush(stdout);
	trash_empty(root_fd, 0); /* what killed commands left in staging */
	return 0;
}

const struct cli_command import_command = { IMPORT_COMMAND, .run = run };
