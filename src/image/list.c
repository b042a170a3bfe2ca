/* All images, and giving one of them another name. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "image/internal.h"

/* Newest first; RFC 3339 in UTC sorts as text as long as the precision is alike. */
static int compare_images(const void *a, const void *b)
{
	const struct image *left = a, *right = b;
	int order = strncmp(right->created, left->created, strlen("2006-01-02T15:04:05"));
	if (order == 0)
		order = strcmp(left->id, right->id);
	if (order == 0 && left->reference && right->reference)
		order = strcmp(left->reference, right->reference);
	return order;
}

int image_list(int root_fd, struct arena *arena, struct image **ret, size_t *ret_count,
	       struct masu_error *err)
{
	struct image_index index = { .arena = arena };
	_cleanup_close_ int images_fd =
		openat(root_fd, IMAGES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images_fd < 0 && errno != ENOENT)
		return error_errno(err, -errno, "images");
	int r = images_fd < 0 ? 0 : image_index_load(images_fd, arena, &index, err);
	if (r < 0)
		return r;
	struct image *list = arena_array(arena, struct image, index.count + 1);
	size_t count = 0;
	if (!list)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < index.count; i++) {
		struct masu_error why = { 0 };
		r = image_load(images_fd, arena, &index.entries[i], &list[count], NULL, &why);
		if (r < 0 && error_is_shortage(r))
			return error_set(err, r, "image %s: %s", index.entries[i].digest,
					 why.message);
		if (r == 0)
			count++;
		else
			log_warn("image %s left out: %s", index.entries[i].digest, why.message);
	}
	qsort(list, count, sizeof(*list), compare_images);
	*ret = list;
	*ret_count = count;
	return 0;
}

static bool same_repository(struct arena *arena, const char *full,
			    const struct image_reference *other)
{
	struct image_reference own;
	return image_reference_parse(arena, full, &own, NULL) == 0 &&
	       streq(own.domain, other->domain) && streq(own.path, other->path);
}

int image_tag(int root_fd, const char *source, const char *target, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_close_ int images_fd = -1;
	struct image_index index;
	struct image_reference reference;
	const struct image_entry *entry;
	arena_init(&arena, 0);
	int r = image_reference_parse(&arena, target, &reference, err);
	if (r == 0 && reference.digest)
		r = error_set(err, -EINVAL, "refusing to create a tag with a digest reference");
	if (r == 0)
		r = image_store_lock(root_fd, &images_fd, err);
	if (r == 0)
		r = image_index_load(images_fd, &arena, &index, err);
	if (r == 0)
		r = image_index_find(images_fd, &index, source, &entry, err);
	if (r < 0)
		return r;
	struct image_entry copy = *entry; /* the list moves when it grows */
	/* What it is known by at one repository, another knows nothing of. */
	if (!entry->reference || !same_repository(&arena, entry->reference, &reference))
		copy.remote = NULL;
	copy.reference = image_reference_full(&arena, &reference);
	if (!copy.reference || image_index_put(&index, &copy) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	return image_index_save(images_fd, &index, err);
}
