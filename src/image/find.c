/* From what a user calls an image to the image. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "base/sha256.h"
#include "image/internal.h"

static int no_such_image(struct arena *arena, const char *name,
			 const struct image_reference *reference, struct masu_error *err)
{
	const char *shown = reference ? image_reference_familiar_full(arena, reference) : name;
	return error_set(err, -ENOENT, "No such image: %s", shown ? shown : name);
}

/* The config digest of an entry's manifest, which is the image's id. NULL: it is damaged. */
static int entry_id(int images_fd, struct arena *arena, const struct image_entry *entry,
		    const char **ret, struct masu_error *err)
{
	struct image image;
	*ret = NULL;
	int r = image_load(images_fd, arena, entry, &image, NULL, err);
	if (r < 0)
		return error_is_shortage(r) ? r : 0;
	*ret = arena_strdup(arena, image.id);
	return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* By full id ("sha256:…" or 64 digits) or by a prefix that only one image has. */
static int find_by_id(int images_fd, const struct image_index *index, const char *prefix,
		      const struct image_entry **ret, struct masu_error *err)
{
	const char *found_id = NULL;
	const struct image_entry *found = NULL;
	for (size_t i = 0; i < index->count; i++) {
		const char *id;
		int r = entry_id(images_fd, index->arena, &index->entries[i], &id, err);
		if (r < 0)
			return r;
		if (!id || !str_after(id + strlen("sha256:"), prefix) ||
		    (found_id && streq(found_id, id)))
			continue;
		if (found_id)
			return error_set(err, -EINVAL,
					 "multiple IDs found with provided prefix: %s", prefix);
		found_id = id;
		found = &index->entries[i];
	}
	*ret = found;
	return 0;
}

/* repository@sha256:…, where the digest is the manifest's, here or at the registry. */
static const struct image_entry *find_by_digest(const struct image_index *index,
						const struct image_reference *wanted)
{
	for (size_t i = 0; i < index->count; i++) {
		const struct image_entry *entry = &index->entries[i];
		struct image_reference have;
		bool same = streq(entry->digest, wanted->digest) ||
			    streq_null(entry->original, wanted->digest) ||
			    streq_null(entry->remote, wanted->digest);
		if (same && entry->reference &&
		    image_reference_parse(index->arena, entry->reference, &have, NULL) == 0 &&
		    streq(have.domain, wanted->domain) && streq(have.path, wanted->path))
			return entry;
	}
	return NULL;
}

static const char *id_prefix(const char *name)
{
	const char *hex = str_after(name, "sha256:");
	if (!hex)
		hex = name;
	return id_prefix_valid(hex) ? hex : NULL;
}

int image_index_find(int images_fd, const struct image_index *index, const char *name,
		     const struct image_entry **ret, struct masu_error *err)
{
	struct image_reference reference;
	const struct image_entry *entry = NULL;
	const char *prefix = id_prefix(name);
	bool only_id = prefix && (prefix != name || strlen(prefix) == SHA256_HEX);
	int r = 0;
	if (!only_id) {
		r = image_reference_parse(index->arena, name, &reference, err);
		if (r < 0)
			return r;
		const char *full = image_reference_full(index->arena, &reference);
		if (!full)
			return error_set(err, -ENOMEM, "out of memory");
		/* What was pulled by digest has that name; its digest may be an index's. */
		entry = image_index_get(index, full);
		if (!entry && reference.digest)
			entry = find_by_digest(index, &reference);
	}
	if (!entry && prefix)
		r = find_by_id(images_fd, index, prefix, &entry, err);
	if (r == 0 && !entry)
		r = no_such_image(index->arena, name, only_id ? NULL : &reference, err);
	if (r == 0)
		*ret = entry;
	return r;
}

static int find_slowly(int root_fd, struct arena *arena, const char *name, struct image *ret,
		       struct masu_error *err)
{
	char stamp[IMAGE_STAMP_MAX];
	struct image_index index = { .arena = arena };
	const struct image_entry *entry;
	const struct json *config;
	struct image image;
	int r = 0;
	_cleanup_close_ int images_fd =
		openat(root_fd, IMAGES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images_fd < 0 && errno != ENOENT)
		return error_errno(err, -errno, "images");
	/* Before the index is read: an edit in between makes the cache entry old, never wrong. */
	bool stamped = image_index_stamp(root_fd, stamp) == 0;
	if (images_fd >= 0)
		r = image_index_load(images_fd, arena, &index, err);
	if (r == 0)
		r = image_index_find(images_fd, &index, name, &entry, err);
	if (r < 0)
		return r;
	r = image_load_document(images_fd, arena, entry, &image, NULL, &config, err);
	if (r < 0)
		return error_wrap(err, "image %s", name);
	if (stamped)
		image_resolved_write(root_fd, stamp, name, &image, config);
	*ret = image;
	return 0;
}

int image_find(int root_fd, struct arena *arena, const char *name, struct image *ret,
	       struct masu_error *err)
{
	if (image_resolved_read(root_fd, arena, name, ret) == 0)
		return 0;
	return find_slowly(root_fd, arena, name, ret, err);
}
