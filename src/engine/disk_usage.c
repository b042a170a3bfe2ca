#include "engine/disk_usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/internal.h"
#include "engine/volume_users.h"
#include "image/store.h"
#include "storage/usage.h"

/* Instead of an image's number: a container's own use, and that of a name which is no image's. */
#define BY_CONTAINER SIZE_MAX
#define BY_OTHERS    (SIZE_MAX - 1)

/* That an image or a container has a layer or a blob. */
struct use {
	const char *hex;
	bool blob;
	size_t image;
};

struct uses {
	struct arena *arena;
	struct use *list;
	size_t count, capacity;
};

static int use_add(struct uses *uses, const char *hex, bool blob, size_t image)
{
	if (uses->count == uses->capacity) {
		size_t capacity = uses->capacity ? uses->capacity * 2 : 256;
		struct use *grown = arena_array(uses->arena, struct use, capacity);
		if (!grown)
			return -ENOMEM;
		if (uses->count)
			memcpy(grown, uses->list, uses->count * sizeof(*grown));
		uses->list = grown;
		uses->capacity = capacity;
	}
	uses->list[uses->count++] = (struct use) { hex, blob, image };
	return 0;
}

static int compare_things(const struct use *left, const struct use *right)
{
	return left->blob != right->blob ? left->blob - right->blob : strcmp(left->hex, right->hex);
}

static int compare_uses(const void *a, const void *b)
{
	const struct use *left = a, *right = b;
	int order = compare_things(left, right);
	return order ? order : (left->image > right->image) - (left->image < right->image);
}

static int use_blob(struct uses *uses, const char *digest, size_t image)
{
	const char *hex = str_after(digest, "sha256:");
	const char *kept = hex ? arena_strdup(uses->arena, hex) : NULL;
	if (!kept)
		return hex ? -ENOMEM : -EINVAL;
	return use_add(uses, kept, true, image);
}

struct reached {
	struct uses *uses;
	size_t image;
};

static int use_reached(void *data, const char *hex, bool blob)
{
	const struct reached *reached = data;
	return use_add(reached->uses, hex, blob, reached->image);
}

static int newest_first(const void *a, const void *b)
{
	const struct disk_usage_image *left = a, *right = b;
	int order =
		strncmp(right->image.created, left->image.created, strlen("2006-01-02T15:04:05"));
	return order ? order : strcmp(left->image.id, right->image.id);
}

static size_t find_image(const struct disk_usage *usage, const char *id)
{
	size_t at = 0;
	while (at < usage->image_sum.count && !streq(usage->images[at].image.id, id))
		at++;
	return at;
}

/*
 * What @entry has: an image, or an artifact or index that another tool has put there; one that
 * cannot be read is left out, as by `masu images`.
 */
static int add_image(int images_fd, const struct image_entry *entry, struct uses *uses,
		     struct disk_usage *usage)
{
	struct masu_error why = { 0 };
	struct image image;
	struct reached reached = { uses, BY_OTHERS };
	int loaded = image_load(images_fd, uses->arena, entry, &image, NULL, NULL);
	if (error_is_shortage(loaded))
		return loaded;
	if (loaded == 0)
		reached.image = find_image(usage, image.id);
	if (reached.image == usage->image_sum.count)
		usage->images[usage->image_sum.count++].image = image;
	int r = image_reach(images_fd, uses->arena, entry->digest, use_reached, &reached, &why);
	if (r < 0) {
		log_warn("image %.19s left out: %s", entry->digest, why.message);
		return error_is_shortage(r) ? r : 0;
	}
	return entry->original ? use_blob(uses, entry->original, reached.image) : 0;
}

static int add_images(struct engine *engine, struct uses *uses, struct disk_usage *usage,
		      struct masu_error *err)
{
	struct image_index index = { .arena = uses->arena };
	_cleanup_close_ int images_fd =
		openat(engine->root_fd, IMAGES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images_fd < 0)
		return errno == ENOENT ? 0 : error_errno(err, -errno, "images");
	int r = image_index_load(images_fd, uses->arena, &index, err);
	if (r < 0)
		return r;
	usage->images = arena_array(uses->arena, struct disk_usage_image, index.count + 1);
	r = usage->images ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < index.count; i++)
		r = add_image(images_fd, &index.entries[i], uses, usage);
	return r < 0 ? error_errno(err, r, "images") : 0;
}

/* Of a layer that is kept as its tar. A tar that is a blob, too, is counted there. */
static bool indexed_size(const struct storage_ops *ops, struct storage *storage, const char *hex,
			 uint64_t *ret)
{
	static const bool files[] = { true, false };
	uint64_t bytes = 0;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct stat st;
		_cleanup_close_ int fd = -1;
		if (ops->layer_file(storage, hex, files[i], &fd) < 0 || fstat(fd, &st) < 0)
			return false;
		bytes += files[i] || st.st_nlink == 1 ? (uint64_t)st.st_size : 0;
	}
	*ret = bytes;
	return true;
}

static uint64_t size_of_layer(const struct storage_ops *ops, struct storage *storage,
			      const char *hex)
{
	uint64_t bytes = 0;
	if (ops->layer_file && indexed_size(ops, storage, hex, &bytes))
		return bytes;
	return ops->layer_size && ops->layer_size(storage, hex, &bytes) == 0 ? bytes : 0;
}

static uint64_t size_of(struct engine *engine, const struct storage_ops *ops,
			struct storage *storage, const struct use *use)
{
	struct stat st;
	char path[128];
	if (!use->blob)
		return size_of_layer(ops, storage, use->hex);
	if (str_format(path, sizeof(path), IMAGES_DIR "/" IMAGES_BLOBS "/%s", use->hex) < 0 ||
	    fstatat(engine->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return (uint64_t)st.st_size;
}

/* One layer or blob, used @count times, by each image at most once after this. */
static void add_thing(struct disk_usage *usage, const struct use *uses, size_t count,
		      uint64_t bytes)
{
	size_t images = 0;
	bool active = false;
	for (size_t i = 0; i < count; i++) {
		if (uses[i].image == BY_CONTAINER)
			active = true;
		else if (i == 0 || uses[i].image != uses[i - 1].image)
			images++;
	}
	for (size_t i = 0; i < count; i++) {
		if (uses[i].image >= BY_OTHERS || (i > 0 && uses[i].image == uses[i - 1].image))
			continue;
		struct disk_usage_image *image = &usage->images[uses[i].image];
		image->bytes += bytes;
		image->shared += images > 1 ? bytes : 0;
		active |= image->containers > 0;
	}
	usage->image_sum.bytes += bytes;
	usage->image_sum.reclaimable += active ? 0 : bytes;
}

static int sum_images(struct engine *engine, struct uses *uses, struct disk_usage *usage,
		      struct masu_error *err)
{
	const struct storage_ops *ops;
	struct storage *storage;
	int r = engine_storage(engine, &ops, &storage, err);
	if (r < 0)
		return r;
	if (uses->count)
		qsort(uses->list, uses->count, sizeof(*uses->list), compare_uses);
	for (size_t i = 0, next; i < uses->count; i = next) {
		for (next = i + 1; next < uses->count; next++)
			if (compare_things(&uses->list[i], &uses->list[next]) != 0)
				break;
		add_thing(usage, &uses->list[i], next - i,
			  size_of(engine, ops, storage, &uses->list[i]));
	}
	for (size_t i = 0; i < usage->image_sum.count; i++)
		usage->image_sum.active += usage->images[i].containers > 0;
	if (usage->image_sum.count)
		qsort(usage->images, usage->image_sum.count, sizeof(*usage->images), newest_first);
	return 0;
}

static int add_containers(struct engine *engine, struct uses *uses, struct disk_usage *usage,
			  struct masu_error *err)
{
	struct container *list;
	size_t count;
	int r = engine_list(engine, uses->arena, true, &list, &count, err);
	if (r < 0)
		return r;
	usage->containers = arena_array(uses->arena, struct disk_usage_container, count + 1);
	if (!usage->containers)
		return error_set(err, -ENOMEM, "out of memory");
	usage->container_sum.count = count;
	for (size_t i = 0; i < count; i++) {
		uint64_t bytes = 0, total;
		bool active = container_is_alive(&list[i]);
		size_t image = find_image(usage, list[i].image_id);
		/* One that is removed meanwhile takes nothing. */
		engine_size(engine, uses->arena, &list[i], &bytes, &total, NULL);
		usage->containers[i] = (struct disk_usage_container) { list[i], bytes, active };
		usage->container_sum.bytes += bytes;
		usage->container_sum.active += active;
		usage->container_sum.reclaimable += active ? 0 : bytes;
		if (image < usage->image_sum.count)
			usage->images[image].containers++;
		for (const char **chain = list[i].chain_ids; *chain; chain++)
			if (use_add(uses, *chain, false, BY_CONTAINER) < 0)
				return error_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

static unsigned count_users(const struct disk_usage *usage, const char *volume)
{
	unsigned users = 0;
	for (size_t i = 0; i < usage->container_sum.count; i++)
		users += volume_is_mounted_by(&usage->containers[i].container, volume);
	return users;
}

static uint64_t below_volume(const struct engine *engine, const char *name, const char *what)
{
	char path[300];
	uint64_t bytes = 0, inodes;
	if (str_format(path, sizeof(path), "volumes/%s/%s", name, what) < 0 ||
	    storage_usage(engine->root_fd, path, &bytes, &inodes) < 0)
		return 0;
	return bytes;
}

uint64_t disk_usage_of_volume(const struct engine *engine, const char *name)
{
	return below_volume(engine, name, "_data") + below_volume(engine, name, "snapshots");
}

static int add_volumes(struct engine *engine, struct arena *arena, struct disk_usage *usage,
		       struct masu_error *err)
{
	struct volume *list;
	size_t count;
	int r = volume_list(engine->root_fd, engine->root, arena, &list, &count, err);
	if (r < 0)
		return r;
	usage->volumes = arena_array(arena, struct disk_usage_volume, count + 1);
	if (!usage->volumes)
		return error_set(err, -ENOMEM, "out of memory");
	usage->volume_sum.count = count;
	for (size_t i = 0; i < count; i++) {
		unsigned users = count_users(usage, list[i].name);
		uint64_t bytes = disk_usage_of_volume(engine, list[i].name);
		usage->volumes[i] = (struct disk_usage_volume) { list[i], bytes, users };
		usage->volume_sum.bytes += bytes;
		usage->volume_sum.active += users > 0;
		usage->volume_sum.reclaimable += users ? 0 : bytes;
	}
	return 0;
}

int engine_disk_usage(struct engine *engine, struct arena *arena, struct disk_usage *ret,
		      struct masu_error *err)
{
	struct uses uses = { .arena = arena };
	struct disk_usage usage = { 0 };
	int r = add_images(engine, &uses, &usage, err);
	if (r == 0)
		r = add_containers(engine, &uses, &usage, err);
	if (r == 0)
		r = sum_images(engine, &uses, &usage, err);
	if (r == 0)
		r = add_volumes(engine, arena, &usage, err);
	if (r == 0)
		*ret = usage;
	return r;
}

int engine_image_bytes(struct engine *engine, struct arena *arena, uint64_t *ret,
		       struct masu_error *err)
{
	struct uses uses = { .arena = arena };
	struct disk_usage usage = { 0 };
	int r = add_images(engine, &uses, &usage, err);
	if (r == 0)
		r = sum_images(engine, &uses, &usage, err);
	if (r == 0)
		*ret = usage.image_sum.bytes;
	return r;
}
