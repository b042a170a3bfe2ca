/*
 * `masu save`: images as one tar that is a docker archive and an OCI layout at once, as docker's
 * own has been since version 25: manifest.json and index.json name the same blobs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/image_options.h"
#include "cli/output_file.h"
#include "cold/image/artifacts.h"
#include "cold/image/save.h"
#include "cold/image/staging.h"
#include "tree/tar.h"
#include "cold/image/verbs.h"
#include "image/store.h"
#include "sys/fs.h"

#define COPY_SIZE     (1u << 20)
#define OCTAL_MAXIMUM ((1ull << 33) - 1) /* what 11 octal digits hold */

struct saved_image {
	struct image image;
	struct image_manifest manifest;
	const struct image_entry *found;
	struct image_entry entry; /* as it is saved */
	const char **names;	  /* full forms, NULL-terminated */
	size_t name_count;
	bool whole; /* the entry is an index, all of which is in the store */
	struct artifacts_kept artifacts;
};

struct saver {
	struct arena *arena;
	int images_fd, out;
	struct saved_image *images;
	size_t count;
	const char **done; /* digests that are in the archive */
	size_t done_count, done_capacity;
	const struct save_more *more; /* NULL: nothing else */
	bool artifacts;		      /* what is attached to the images, too */
	struct masu_error *err;
};

static int put(struct saver *s, const void *data, size_t len)
{
	int r = fs_write_all(s->out, data, len);
	return r < 0 ? error_errno(s->err, r, "writing the archive") : 0;
}

static int put_padding(struct saver *s, uint64_t size)
{
	static const uint8_t zeroes[TAR_BLOCK];
	return put(s, zeroes, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

/* A ustar header of a file that is the same whoever saves it when. */
static int put_header(struct saver *s, const char *name, uint64_t size)
{
	char block[TAR_BLOCK] = { 0 };
	unsigned sum = 0;
	if (str_format(block, 100, "%s", name) < 0)
		return error_set(s->err, -ENAMETOOLONG, "%s", name);
	memcpy(block + 100,
	       "0000644\0"
	       "0000000\0"
	       "0000000",
	       24);
	if (size <= OCTAL_MAXIMUM) {
		snprintf(block + 124, 12, "%011llo", (unsigned long long)size);
	} else { /* GNU's base-256 */
		block[124] = (char)0x80;
		for (unsigned i = 0; i < 8; i++)
			block[128 + i] = (char)(size >> (56 - 8 * i));
	}
	memcpy(block + 136, "00000000000", 12);
	memset(block + 148, ' ', 8);
	block[156] = '0';
	memcpy(block + 257,
	       "ustar\0"
	       "00",
	       8);
	for (size_t i = 0; i < sizeof(block); i++)
		sum += (unsigned char)block[i];
	snprintf(block + 148, 8, "%06o", sum);
	block[155] = ' ';
	return put(s, block, sizeof(block));
}

static int put_document(struct saver *s, const char *name, const struct buf *text)
{
	if (buf_error(text) < 0)
		return error_errno(s->err, buf_error(text), "%s", name);
	int r = put_header(s, name, text->len);
	if (r == 0)
		r = put(s, buf_str(text), text->len);
	return r < 0 ? r : put_padding(s, text->len);
}

/* Copies @size bytes and checks that they are what the digest says. */
static int copy_checked(struct saver *s, int fd, uint64_t size, const char *digest)
{
	struct hasher *hasher;
	char actual[DIGEST_MAX];
	_cleanup_free_ char *buffer = malloc(COPY_SIZE);
	if (!buffer || hasher_new(&hasher) < 0)
		return error_set(s->err, -ENOMEM, "out of memory");
	int r = 0;
	for (uint64_t left = size; left > 0 && r == 0;) {
		ssize_t got = read(fd, buffer, left < COPY_SIZE ? (size_t)left : COPY_SIZE);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			r = error_errno(s->err, got < 0 ? -errno : -EIO, "blob %s", digest);
			break;
		}
		hasher_update(hasher, buffer, (size_t)got);
		left -= (uint64_t)got;
		r = put(s, buffer, (size_t)got);
	}
	int h = hasher_finish(hasher, actual);
	if (r == 0 && (h < 0 || !streq(actual, digest)))
		r = error_set(s->err, -EBADMSG,
			      "blob %s is damaged; load or import the image again", digest);
	return r;
}

static bool already_done(const struct saver *s, const char *digest)
{
	for (size_t i = 0; i < s->done_count; i++)
		if (streq(s->done[i], digest))
			return true;
	return false;
}

static int note_done(struct saver *s, const char *digest)
{
	if (s->done_count == s->done_capacity) {
		size_t capacity = s->done_capacity ? s->done_capacity * 2 : 64;
		const char **grown = arena_array(s->arena, const char *, capacity);
		if (!grown)
			return error_set(s->err, -ENOMEM, "out of memory");
		for (size_t i = 0; i < s->done_count; i++)
			grown[i] = s->done[i];
		s->done = grown;
		s->done_capacity = capacity;
	}
	s->done[s->done_count++] = digest;
	return 0;
}

static int put_blob_of(struct saver *s, int layout_fd, const char *digest)
{
	char path[128];
	struct stat st;
	if (already_done(s, digest))
		return 0;
	int r = str_format(path, sizeof(path), IMAGES_BLOBS "/%s", digest + strlen("sha256:"));
	_cleanup_close_ int fd =
		r < 0 ? r : openat(layout_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(s->err, -errno, "images/%s", path);
	r = put_header(s, path, (uint64_t)st.st_size);
	if (r == 0)
		r = copy_checked(s, fd, (uint64_t)st.st_size, digest);
	if (r == 0)
		r = put_padding(s, (uint64_t)st.st_size);
	return r < 0 ? r : note_done(s, digest);
}

static int put_blob(struct saver *s, const char *digest)
{
	return put_blob_of(s, s->images_fd, digest);
}

static int put_reached(void *data, const char *hex, bool blob)
{
	struct saver *s = data;
	const char *digest = blob ? arena_printf(s->arena, "sha256:%s", hex) : NULL;
	if (!blob)
		return 0;
	return digest ? put_blob(s, digest) : error_set(s->err, -ENOMEM, "out of memory");
}

/* The error that put_reached() has set says more than that the visit has failed. */
static int put_whole(struct saver *s, const struct saved_image *image)
{
	struct masu_error why = { 0 };
	int r = image_reach(s->images_fd, s->arena, image->entry.digest, put_reached, s, &why);
	if (r < 0 && s->err && !*s->err->message)
		error_set(s->err, r, "%s", why.message);
	return r;
}

static int put_artifacts(struct saver *s, const struct artifacts_kept *artifacts)
{
	int r = 0;
	for (size_t i = 0; i < artifacts->count && r == 0; i++)
		r = put_blob_of(s, artifacts->fd, artifacts->blobs[i].digest);
	return r;
}

static int put_blobs(struct saver *s)
{
	int r = 0;
	for (size_t i = 0; i < s->count && r == 0; i++) {
		const struct saved_image *image = &s->images[i];
		for (size_t k = 0; k < image->manifest.layer_count && r == 0; k++)
			r = put_blob(s, image->manifest.layers[k].digest);
		if (r == 0)
			r = put_blob(s, image->image.id);
		if (r == 0)
			r = put_blob(s, image->image.manifest_digest);
		if (r == 0)
			r = put_blob(s, image->image.original_digest);
		if (r == 0 && image->whole)
			r = put_whole(s, image);
		if (r == 0)
			r = put_artifacts(s, &image->artifacts);
	}
	return r;
}

static const char *blob_path(struct saver *s, const char *digest)
{
	return arena_printf(s->arena, IMAGES_BLOBS "/%s", digest + strlen("sha256:"));
}

/* NULL: out of memory. */
static const char *familiar(struct saver *s, const char *full)
{
	struct image_reference reference;
	int r = image_reference_parse(s->arena, full, &reference, NULL);
	return r == 0 ? image_reference_familiar_full(s->arena, &reference) : NULL;
}

/* @text NULL: out of memory. */
static int put_text(struct saver *s, struct json_writer *w, const char *text)
{
	if (!text)
		return error_set(s->err, -ENOMEM, "out of memory");
	json_put_string(w, text);
	return 0;
}

static int put_docker_image(struct saver *s, struct json_writer *w, const struct saved_image *image)
{
	json_begin_object(w);
	json_key(w, "Config");
	int r = put_text(s, w, blob_path(s, image->image.id));
	json_key(w, "RepoTags");
	json_begin_array(w);
	for (const char *const *name = image->names; *name && r == 0; name++)
		r = put_text(s, w, familiar(s, *name));
	json_end_array(w);
	json_key(w, "Layers");
	json_begin_array(w);
	for (size_t k = 0; k < image->manifest.layer_count && r == 0; k++)
		r = put_text(s, w, blob_path(s, image->manifest.layers[k].digest));
	json_end_array(w);
	json_end_object(w);
	return r;
}

static int put_docker_manifest(struct saver *s)
{
	_cleanup_buf_ struct buf out;
	struct json_writer w;
	int r = 0;
	buf_init(&out, IMAGE_MAX_DOCUMENT);
	json_writer_init(&w, &out, false);
	json_begin_array(&w);
	for (size_t i = 0; i < s->count && r == 0; i++)
		r = put_docker_image(s, &w, &s->images[i]);
	json_end_array(&w);
	return r < 0 ? r : put_document(s, "manifest.json", &out);
}

/* The images; as the store makes its own. */
static int write_index(struct saver *s, struct buf *out)
{
	struct image_index index = { .arena = s->arena };
	for (size_t i = 0; i < s->count; i++) {
		/* What is known of this store and of registries is of no use to others. */
		struct image_entry entry = s->images[i].entry;
		const char *const *name = s->images[i].names;
		entry.unpacked_size = 0;
		entry.remote = NULL;
		do {
			entry.reference = *name;
			if (image_index_put(&index, &entry) < 0)
				return error_set(s->err, -ENOMEM, "out of memory");
		} while (*name && *++name);
	}
	int r = image_index_write(&index, out);
	return r < 0 ? error_errno(s->err, r, "index.json") : 0;
}

/* What is attached to the images is listed after them. */
static int put_index(struct saver *s)
{
	_cleanup_buf_ struct buf images;
	_cleanup_buf_ struct buf all;
	struct artifacts_text *texts = arena_array(s->arena, struct artifacts_text, s->count + 1);
	size_t count = 1;
	buf_init(&images, IMAGE_MAX_DOCUMENT);
	buf_init(&all, IMAGE_MAX_DOCUMENT);
	int r = texts ? write_index(s, &images) : error_set(s->err, -ENOMEM, "out of memory");
	if (r < 0)
		return r;
	texts[0] = (struct artifacts_text) { buf_str(&images), images.len };
	for (size_t i = 0; i < s->count; i++)
		if (s->images[i].artifacts.count)
			texts[count++] = s->images[i].artifacts.index;
	if (count == 1)
		return put_document(s, "index.json", &images);
	r = artifacts_merge(texts, count, &all, s->err);
	return r < 0 ? r : put_document(s, "index.json", &all);
}

static int put_layout(struct saver *s)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, 0);
	buf_puts(&text, IMAGES_LAYOUT);
	return put_document(s, "oci-layout", &text);
}

static int put_staged(struct saver *s, const struct staged_blob *blob)
{
	char path[128];
	_cleanup_close_ int fd = staging_read(s->more->staging, blob);
	if (fd < 0)
		return error_errno(s->err, fd, "images: staging");
	str_format(path, sizeof(path), IMAGES_BLOBS "/%s", blob->digest + strlen("sha256:"));
	if (already_done(s, blob->digest))
		return 0;
	int r = put_header(s, path, blob->size);
	if (r == 0)
		r = copy_checked(s, fd, blob->size, blob->digest);
	if (r == 0)
		r = put_padding(s, blob->size);
	return r < 0 ? r : note_done(s, blob->digest);
}

static int put_more(struct saver *s)
{
	int r = 0;
	for (size_t i = 0; i < s->more->count && r == 0; i++)
		r = put_staged(s, &s->more->blobs[i]);
	return r < 0 ? r : put_document(s, s->more->name, s->more->document);
}

static int put_archive(struct saver *s)
{
	static const uint8_t end[2 * TAR_BLOCK];
	int r = put_blobs(s);
	if (r == 0)
		r = put_layout(s);
	if (r == 0)
		r = put_index(s);
	if (r == 0)
		r = put_docker_manifest(s);
	if (r == 0 && s->more)
		r = put_more(s);
	return r < 0 ? r : put(s, end, sizeof(end));
}

/* ---- which images ---- */

struct presence {
	int images_fd;
	bool whole;
};

static int look_for(void *data, const char *hex, bool blob)
{
	char path[128];
	struct presence *presence = data;
	if (blob)
		presence->whole &= str_format(path, sizeof(path), IMAGES_BLOBS "/%s", hex) == 0 &&
				   faccessat(presence->images_fd, path, F_OK, 0) == 0;
	return 0;
}

/* An index goes with all that it names, as with `push`; or else this machine's image alone. */
static int settle_index(struct saver *s, const char *name, struct saved_image *image)
{
	struct presence presence = { s->images_fd, true };
	const struct json *document;
	const char *text;
	size_t len;
	int r = image_reach(s->images_fd, s->arena, image->entry.digest, look_for, &presence,
			    s->err);
	image->whole = presence.whole;
	if (r < 0 || image->whole)
		return r;
	const char *digest = arena_strdup(s->arena, image->image.manifest_digest);
	r = digest ? image_blob_read(s->images_fd, s->arena, digest, IMAGE_MAX_DOCUMENT, &text,
				     &len, s->err)
		   : error_set(s->err, -ENOMEM, "out of memory");
	if (r == 0)
		r = json_parse(s->arena, text, len, &document, s->err);
	if (r < 0)
		return r;
	image->entry.digest = digest;
	image->entry.size = len;
	image->entry.media_type = json_text(document, "mediaType");
	if (!*image->entry.media_type)
		image->entry.media_type = MEDIA_TYPE_MANIFEST;
	log_warn("save: %s: the store has not all images of this index; saved is the one for this "
		 "machine",
		 name);
	return 0;
}

static int load_image(struct saver *s, const char *name, const struct image_entry *entry,
		      size_t name_limit, struct saved_image *image)
{
	*image = (struct saved_image) { .found = entry,
					.entry = *entry,
					.artifacts = { .fd = -1 },
					.names = arena_array(s->arena, const char *,
							     name_limit + 1) };
	if (!image->names)
		return error_set(s->err, -ENOMEM, "out of memory");
	int r = image_load(s->images_fd, s->arena, entry, &image->image, &image->manifest, s->err);
	if (r == 0 && !streq(entry->digest, image->image.manifest_digest))
		r = settle_index(s, name, image);
	if (r == 0 && s->artifacts)
		r = artifacts_kept(s->images_fd, s->arena, image->image.original_digest,
				   &image->artifacts, s->err);
	return r < 0 ? error_wrap(s->err, "image %s", name) : 0;
}

/* The image that @name names; the name goes with it unless it is an id. */
static int add_image(struct saver *s, const struct image_index *index, const char *name,
		     size_t name_limit)
{
	const struct image_entry *entry;
	struct image_reference reference;
	int r = image_index_find(s->images_fd, index, name, &entry, s->err);
	if (r < 0)
		return r;
	size_t at = 0;
	while (at < s->count && !streq(s->images[at].found->digest, entry->digest))
		at++;
	struct saved_image *image = &s->images[at];
	if (at == s->count) {
		r = load_image(s, name, entry, name_limit, image);
		if (r < 0)
			return r;
		s->count++;
	}
	r = image_reference_parse(s->arena, name, &reference, NULL);
	const char *full = r < 0 ? NULL : image_reference_full(s->arena, &reference);
	if (r == -ENOMEM || (r == 0 && !full))
		return error_set(s->err, -ENOMEM, "out of memory");
	if (full && streq_null(full, entry->reference))
		image->names[image->name_count++] = full;
	return 0;
}

static int collect(struct saver *s, int argc, char **argv)
{
	struct image_index index;
	int r = image_index_load(s->images_fd, s->arena, &index, s->err);
	s->images = arena_array(s->arena, struct saved_image, (size_t)argc);
	if (r == 0 && !s->images)
		return error_set(s->err, -ENOMEM, "out of memory");
	for (int i = 0; i < argc && r == 0; i++)
		r = add_image(s, &index, argv[i], (size_t)argc);
	return r;
}

int save_image(struct arena *arena, int images_fd, const char *image, const struct save_more *more,
	       int out, struct masu_error *err)
{
	struct saver s = {
		.arena = arena, .images_fd = images_fd, .out = out, .more = more, .err = err
	};
	char *name = (char *)image;
	int r = collect(&s, 1, &name);
	return r < 0 ? r : put_archive(&s);
}

static int save_to(void *data, int fd, struct masu_error *err)
{
	struct saver *s = data;
	s->out = fd;
	return put_archive(s);
}

static int run(struct cli_context *context, void *data, int argc, char **argv,
	       struct masu_error *err)
{
	const struct save_options *o = data;
	struct saver s = { .arena = context->arena, .artifacts = o->artifacts, .err = err };
	_cleanup_close_ int root_fd = -1;
	if (!o->output && isatty(STDOUT_FILENO))
		return error_set(err, -EINVAL,
				 "save: stdout is a terminal; use -o FILE or redirect");
	int r = open_root(context, &root_fd, err);
	if (r < 0)
		return r;
	_cleanup_close_ int images_fd =
		openat(root_fd, IMAGES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images_fd < 0)
		return error_errno(err, -errno, "images");
	s.images_fd = images_fd;
	r = collect(&s, argc, argv);
	if (r == 0)
		r = output_write(s.arena, o->output, save_to, &s, err);
	for (size_t i = 0; i < s.count; i++) {
		if (r == 0)
			image_event(context->runroot, "save", &s.images[i].image, NULL);
		cleanup_close(&s.images[i].artifacts.fd);
	}
	return r;
}

const struct cli_command save_command = { SAVE_COMMAND, .run = run };
