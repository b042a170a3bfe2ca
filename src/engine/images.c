#include "engine/images.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "image/store.h"
#include "json/json.h"
#include "sys/fs.h"

#define PENDING	  IMAGES_PRIVATE "/pending"
#define ARTIFACTS IMAGES_PRIVATE "/artifacts"
/* Some layers are only kept because containers use them: whoever removes one is to collect. */
#define ORPHANS	     IMAGES_PRIVATE "/orphans"
#define RECORD_LIMIT (8u << 20)

/* A set of digests in hex, sorted before it is asked. */
struct keep {
	struct arena *arena;
	const char **items;
	size_t count, capacity;
};

static int keep_add(struct keep *keep, const char *hex)
{
	if (keep->count == keep->capacity) {
		size_t capacity = keep->capacity ? keep->capacity * 2 : 256;
		const char **grown = arena_array(keep->arena, const char *, capacity);
		if (!grown)
			return -ENOMEM;
		if (keep->count)
			memcpy(grown, keep->items, keep->count * sizeof(*grown));
		keep->items = grown;
		keep->capacity = capacity;
	}
	keep->items[keep->count++] = hex;
	return 0;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void keep_sort(struct keep *keep)
{
	if (keep->count)
		qsort(keep->items, keep->count, sizeof(*keep->items), compare_strings);
}

static bool keep_has(const struct keep *keep, const char *hex)
{
	return keep->count &&
	       bsearch(&hex, keep->items, keep->count, sizeof(*keep->items), compare_strings);
}

/* What one container's record says about images. */
struct user {
	char id[ID_LENGTH + 1];
	const char *image;
	const struct json *layers;
};
typedef int (*user_visitor)(void *data, const struct user *user);

static int read_user(int containers_fd, struct arena *arena, struct user *user)
{
	_cleanup_buf_ struct buf text;
	const struct json *record;
	char path[ID_LENGTH + 32];
	buf_init(&text, 2 * RECORD_LIMIT);
	int r = str_format(path, sizeof(path), "%s/container.json", user->id);
	if (r == 0)
		r = fs_read_at(containers_fd, path, RECORD_LIMIT, &text);
	if (r < 0)
		return r;
	const char *copy = arena_strndup(arena, text.data ? text.data : "", text.len);
	r = copy ? json_parse(arena, copy, text.len, &record, NULL) : -ENOMEM;
	if (r < 0)
		return r;
	user->layers = json_get(record, "Layers");
	return json_string(json_get(record, "Image"), &user->image) ? 0 : -EINVAL;
}

/* Every container; one without a record yet is being made or removed, and uses no layer. */
static int for_each_user(int root_fd, struct arena *arena, user_visitor visit, void *data,
			 struct masu_error *err)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(root_fd, "containers");
	if (!dir)
		return errno == ENOENT ? 0 : error_errno(err, -errno, "containers");
	struct dirent *entry;
	while ((entry = readdir(dir))) {
		struct user user = { 0 };
		if (strlen(entry->d_name) != ID_LENGTH || !id_prefix_valid(entry->d_name))
			continue;
		memcpy(user.id, entry->d_name, ID_LENGTH + 1);
		int r = read_user(dirfd(dir), arena, &user);
		if (r == -ENOENT)
			continue;
		if (r == 0)
			r = visit(data, &user);
		if (r < 0)
			return error_errno(err, r,
					   "container %.12s: its record cannot be read, so what it "
					   "uses is unknown",
					   user.id);
	}
	return 0;
}

static int keep_user_layers(void *data, const struct user *user)
{
	int r = 0;
	json_foreach (item, user->layers) {
		const char *chain_id;
		if (!json_string(item, &chain_id))
			return -EINVAL;
		if (r == 0)
			r = keep_add(data, chain_id);
	}
	return r;
}

struct kept {
	struct keep *blobs, *layers;
};

static int keep_reached(void *data, const char *hex, bool blob)
{
	const struct kept *kept = data;
	return keep_add(blob ? kept->blobs : kept->layers, hex);
}

static int keep_image(int images_fd, const struct image_entry *entry, struct keep *blobs,
		      struct keep *layers, struct masu_error *err)
{
	struct kept kept = { blobs, layers };
	int r = image_reach(images_fd, blobs->arena, entry->digest, keep_reached, &kept, err);
	if (r < 0)
		return error_wrap(err, "image %.19s", entry->digest);
	r = entry->original ? keep_add(blobs, entry->original + strlen("sha256:")) : 0;
	return r < 0 ? error_set(err, r, "out of memory") : 0;
}

static int collect_blobs(int images_fd, const struct keep *keep)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(images_fd, IMAGES_BLOBS);
	if (!dir)
		return -errno;
	struct dirent *entry;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && !keep_has(keep, entry->d_name))
			unlinkat(dirfd(dir), entry->d_name, 0);
	return 0;
}

static void report_layer(engine_images_report report, void *data, const char *chain_id)
{
	char name[DIGEST_MAX];
	struct engine_images_event event = { .name = name };
	str_format(name, sizeof(name), "sha256:%s", chain_id);
	if (report)
		report(data, &event);
}

/* What is attached to an image lies in a directory of the image's name (cold/image/artifacts.h). */
static int collect_artifacts(int images_fd, const struct keep *keep)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(images_fd, ARTIFACTS);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	int r = 0;
	struct dirent *entry;
	while (r == 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && !keep_has(keep, entry->d_name))
			r = fs_remove_tree(dirfd(dir), entry->d_name);
	return r;
}

/*
 * A container that is being created has found its image before the index changed and writes its
 * record before it mounts. So the layers go out of the way first and the records are read again
 * then: a record that is there brings its layers back, one that comes later finds them missing and
 * fails, with a message, before anything runs.
 */
static int collect_layers(int root_fd, struct arena *arena, const struct keep *own,
			  const struct keep *keep, const struct storage_ops *ops,
			  struct storage *storage, engine_images_report report, void *data,
			  bool *ret_orphans, struct masu_error *err)
{
	const char **chain_ids;
	struct keep used = { .arena = arena };
	int r = ops->layer_list(storage, arena, &chain_ids);
	if (r < 0)
		return error_errno(err, r, "layers");
	size_t moved = 0;
	*ret_orphans = false;
	for (const char **id = chain_ids; *id; id++) {
		if (keep_has(keep, *id)) {
			*ret_orphans |= !keep_has(own, *id);
			continue;
		}
		r = ops->layer_remove(storage, *id, err);
		if (r < 0)
			return r;
		chain_ids[moved++] = *id;
	}
	if (moved == 0)
		return 0;
	r = for_each_user(root_fd, arena, keep_user_layers, &used, err);
	keep_sort(&used);
	for (size_t i = 0; i < moved; i++) {
		bool back = r < 0 || keep_has(&used, chain_ids[i]);
		if (back)
			ops->layer_restore(storage, chain_ids[i]);
		else
			report_layer(report, data, chain_ids[i]);
		*ret_orphans |= back;
	}
	return r;
}

/* On the disk before the edit is over: else a power cut could leave layers that nobody looks for.
 */
static int note_orphans(int images_fd, bool any, struct masu_error *err)
{
	bool noted = faccessat(images_fd, ORPHANS, F_OK, 0) == 0;
	int r = 0;
	if (any && !noted)
		r = fs_write_atomic(images_fd, ORPHANS, "", 0, 0600, true);
	else if (!any && noted && unlinkat(images_fd, ORPHANS, 0) < 0)
		r = -errno;
	return r < 0 ? error_errno(err, r, "images/" ORPHANS) : 0;
}

int engine_images_collect(int root_fd, int images_fd, const struct storage_ops *ops,
			  struct storage *storage, engine_images_report report, void *data,
			  struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	struct image_index index;
	arena_init(&arena, 256u << 20);
	struct keep blobs = { .arena = &arena }, layers = { .arena = &arena };
	struct keep own = { .arena = &arena };
	bool orphans = false;
	int r = image_index_load(images_fd, &arena, &index, err);
	for (size_t i = 0; r == 0 && i < index.count; i++)
		r = keep_image(images_fd, &index.entries[i], &blobs, &layers, err);
	for (size_t i = 0; r == 0 && i < layers.count; i++)
		if (keep_add(&own, layers.items[i]) < 0)
			r = error_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = for_each_user(root_fd, &arena, keep_user_layers, &layers, err);
	if (r < 0)
		return r;
	keep_sort(&blobs);
	keep_sort(&own);
	keep_sort(&layers);
	r = collect_artifacts(images_fd, &blobs);
	if (r == 0)
		r = collect_blobs(images_fd, &blobs);
	if (r < 0)
		return error_errno(err, r, "images: blobs");
	r = collect_layers(root_fd, &arena, &own, &layers, ops, storage, report, data, &orphans,
			   err);
	int noted = note_orphans(images_fd, orphans || r < 0, r == 0 ? err : NULL);
	return r < 0 ? r : noted;
}

void engine_images_collect_orphans(int root_fd, const char *storage_driver_name)
{
	_cleanup_close_ int images_fd = -1;
	const struct storage_ops *ops = storage_driver(storage_driver_name);
	struct storage *storage;
	if (faccessat(root_fd, ENGINE_ORPHANS, F_OK, 0) < 0 || !ops ||
	    image_store_lock(root_fd, &images_fd, NULL) < 0 ||
	    ops->open(root_fd, &storage, NULL) < 0)
		return;
	/* What fails stays noted. */
	engine_images_collect(root_fd, images_fd, ops, storage, NULL, NULL, NULL);
	ops->close(storage);
}

int engine_images_begin(int root_fd, int images_fd, const struct storage_ops *ops,
			struct storage *storage, struct masu_error *err)
{
	struct masu_error why = { 0 };
	if (faccessat(images_fd, PENDING, F_OK, 0) == 0 &&
	    engine_images_collect(root_fd, images_fd, ops, storage, NULL, NULL, &why) < 0)
		log_warn("images: what an interrupted command left is kept: %s", why.message);
	/* Whether it survives power loss is as good as the rest: everything after it is synced. */
	int r = fs_write_atomic(images_fd, PENDING, "", 0, 0600, false);
	return r < 0 ? error_errno(err, r, "images/" PENDING) : 0;
}

void engine_images_end(int images_fd)
{
	unlinkat(images_fd, PENDING, 0);
}

/* rmi */

struct removal {
	int root_fd, images_fd;
	const struct storage_ops *ops;
	struct storage *storage;
	struct arena *arena;
	struct image_index index;
	const struct image_entry *entry;
	struct image image;
	const char *name; /* as the user gave it */
	unsigned flags;
	engine_images_report report;
	void *data;
	struct masu_error *err;
};

struct user_search {
	const char *image;
	char found[ID_LENGTH + 1];
};

static int match_user(void *data, const struct user *user)
{
	struct user_search *search = data;
	if (streq(user->image, search->image))
		memcpy(search->found, user->id, sizeof(search->found));
	return 0;
}

static void report(const struct removal *rm, bool untagged, const char *name)
{
	const struct engine_images_event event = { .untagged = untagged,
						   .name = name,
						   .image = &rm->image };
	if (rm->report)
		rm->report(rm->data, &event);
}

static const char *familiar(const struct removal *rm, const char *full)
{
	struct image_reference reference;
	if (image_reference_parse(rm->arena, full, &reference, NULL) < 0)
		return full;
	const char *text = image_reference_familiar_full(rm->arena, &reference);
	return text ? text : full;
}

/* Whether the user named the image by a name of it, not by its id. */
static int named_by_reference(const struct removal *rm, bool *ret)
{
	struct image_reference reference;
	*ret = false;
	int r = image_reference_parse(rm->arena, rm->name, &reference, rm->err);
	if (r < 0 || reference.digest)
		return r == -ENOMEM ? r : 0;
	const char *full = image_reference_full(rm->arena, &reference);
	*ret = full && image_index_get(&rm->index, full);
	return full ? 0 : error_set(rm->err, -ENOMEM, "out of memory");
}

static size_t count_names(const struct removal *rm)
{
	size_t names = 0;
	for (size_t i = 0; i < rm->index.count; i++)
		names += rm->index.entries[i].reference &&
			 streq(rm->index.entries[i].digest, rm->entry->digest);
	return names;
}

/* Whether a container uses the image; without force that is an error. */
static int check_users(const struct removal *rm, bool by_reference, bool *ret_used)
{
	struct user_search search = { .image = rm->image.id };
	int r = for_each_user(rm->root_fd, rm->arena, match_user, &search, rm->err);
	*ret_used = search.found[0] != '\0';
	if (r < 0 || !*ret_used || (rm->flags & ENGINE_IMAGE_FORCE))
		return r;
	const char *short_id = rm->image.id + strlen("sha256:");
	if (by_reference)
		return error_set(rm->err, -EBUSY,
				 "conflict: unable to remove repository reference \"%s\" (must "
				 "force) - container %.12s is using its referenced image %.12s",
				 rm->name, search.found, short_id);
	return error_set(rm->err, -EBUSY,
			 "conflict: unable to delete %.12s (must be forced) - image is being used "
			 "by container %.12s",
			 short_id, search.found);
}

/* Only the name goes. */
static int remove_name(struct removal *rm)
{
	const char *full = rm->entry->reference;
	int r = 0;
	image_index_untag(&rm->index, full);
	/* The manifest that only this name had goes with it. */
	const bool orphans = rm->index.orphans;
	if (orphans)
		r = engine_images_begin(rm->root_fd, rm->images_fd, rm->ops, rm->storage, rm->err);
	if (r == 0)
		r = image_index_save(rm->images_fd, &rm->index, rm->err);
	if (r < 0)
		return r;
	report(rm, true, familiar(rm, full));
	if (orphans && engine_images_collect(rm->root_fd, rm->images_fd, rm->ops, rm->storage, NULL,
					     NULL, NULL) == 0)
		engine_images_end(rm->images_fd);
	return 0;
}

static int remove_image(struct removal *rm)
{
	struct masu_error why = { 0 };
	const char *digest = arena_strdup(rm->arena, rm->entry->digest);
	const char **names = arena_array(rm->arena, const char *, rm->index.count + 1);
	size_t count = 0;
	if (!digest || !names)
		return error_set(rm->err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < rm->index.count; i++)
		if (rm->index.entries[i].reference && streq(rm->index.entries[i].digest, digest))
			names[count++] = familiar(rm, rm->index.entries[i].reference);
	image_index_remove(&rm->index, digest);
	int r = engine_images_begin(rm->root_fd, rm->images_fd, rm->ops, rm->storage, rm->err);
	if (r == 0)
		r = image_index_save(rm->images_fd, &rm->index, rm->err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		report(rm, true, names[i]);
	report(rm, false, rm->image.id);
	/* The image is gone whatever happens to its bytes. */
	if (engine_images_collect(rm->root_fd, rm->images_fd, rm->ops, rm->storage, rm->report,
				  rm->data, &why) < 0)
		log_warn("image %s is removed, its layers are kept: %s", rm->name, why.message);
	else
		engine_images_end(rm->images_fd); /* else the next edit tries again */
	return 0;
}

static int remove_found(struct removal *rm)
{
	bool by_reference, used;
	size_t names = count_names(rm);
	int r = named_by_reference(rm, &by_reference);
	if (r < 0)
		return r;
	if (by_reference && names > 1)
		return remove_name(rm);
	if (!by_reference && names > 1 && !(rm->flags & ENGINE_IMAGE_FORCE))
		return error_set(rm->err, -EBUSY,
				 "conflict: unable to delete %.12s (must be forced) - image is "
				 "referenced in multiple repositories",
				 rm->image.id + strlen("sha256:"));
	r = check_users(rm, by_reference, &used);
	if (r < 0)
		return r;
	/* A name that is forced off an image in use leaves the image, without a name. */
	return by_reference && used ? remove_name(rm) : remove_image(rm);
}

/* One whose documents are damaged can go too; it is known by its manifest only then. */
static int load_to_remove(struct removal *rm)
{
	int r = image_load(rm->images_fd, rm->arena, rm->entry, &rm->image, NULL, rm->err);
	if (r == 0 || error_is_shortage(r))
		return r;
	str_format(rm->image.id, sizeof(rm->image.id), "%s", rm->entry->digest);
	return 0;
}

int engine_image_remove(int root_fd, const char *storage_driver_name, const char *name,
			unsigned flags, engine_images_report report_to, void *data,
			struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_close_ int images_fd = -1;
	arena_init(&arena, 256u << 20);
	struct removal rm = { .root_fd = root_fd,
			      .ops = storage_driver(storage_driver_name),
			      .arena = &arena,
			      .name = name,
			      .flags = flags,
			      .report = report_to,
			      .data = data,
			      .err = err };
	if (!rm.ops)
		return error_set(err, -EINVAL, "storage driver \"%s\": unknown",
				 storage_driver_name);
	int r = image_store_lock(root_fd, &images_fd, err);
	rm.images_fd = images_fd;
	if (r == 0)
		r = image_index_load(images_fd, &arena, &rm.index, err);
	if (r == 0)
		r = image_index_find(images_fd, &rm.index, name, &rm.entry, err);
	if (r == 0)
		r = load_to_remove(&rm);
	if (r == 0)
		r = rm.ops->open(root_fd, &rm.storage, err);
	if (r < 0)
		return r;
	r = remove_found(&rm);
	rm.ops->close(rm.storage);
	return r;
}
