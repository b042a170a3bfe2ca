/*
 * Blobs against their names, images against their blobs and layers, layers against their records.
 * Blobs are hashed without a lock, for they never change; what is compared with the index, and all
 * that is mended, is under the store's lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sha256.h"
#include "base/str.h"
#include "engine/check_internal.h"
#include "engine/images.h"
#include "engine/storage.h"
#include "image/store.h"
#include "state/trash.h"
#include "storage/usage.h"

#define BLOBS	  IMAGES_DIR "/" IMAGES_BLOBS
#define BLOB_PATH 128

/* Names of blobs or layers. */
struct names {
	struct arena *arena;
	const char **items;
	size_t count, capacity;
};

struct images_check {
	struct check *check;
	const struct storage_ops *ops;
	struct storage *storage;
	int images_fd;
	struct image_index index;
	struct names damaged, blobs, layers; /* blobs and layers: that an image has */
	struct names unpack;		     /* images whose layers are to be unpacked again */
	struct names changed;		     /* layers whose tar or index is not what it was */
	bool as_directory;		     /* what is to be unpacked again was a directory */
	bool images_known;
};

static int add(struct names *names, const char *name)
{
	if (names->count == names->capacity) {
		size_t capacity = names->capacity ? names->capacity * 2 : 64;
		const char **grown = arena_array(names->arena, const char *, capacity);
		if (!grown)
			return -ENOMEM;
		if (names->count)
			memcpy(grown, names->items, names->count * sizeof(*grown));
		names->items = grown;
		names->capacity = capacity;
	}
	names->items[names->count] = arena_strdup(names->arena, name);
	return names->items[names->count++] ? 0 : -ENOMEM;
}

static bool has(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (streq(names->items[i], name))
			return true;
	return false;
}

/* ---- blobs ---- */

/* 1 where the content is what the name says, 0 where it is not. */
static int blob_matches(struct images_check *c, int blobs_fd, const char *name)
{
	_cleanup_close_ int fd = openat(blobs_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX + 1];
	if (fd < 0)
		return -errno;
	int r = c->check->hash(fd, digest);
	/* A disk that cannot read it has lost it. */
	if (r < 0)
		return error_is_shortage(r) ? r : 0;
	sha256_to_hex(digest, hex);
	return streq(hex, name);
}

static int check_blobs(struct images_check *c, struct masu_error *err)
{
	int fd = openat(c->check->engine->root_fd, BLOBS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : error_errno(err, -errno, BLOBS);
	_cleanup_closedir_ DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return error_set(err, -ENOMEM, "out of memory");
	}
	struct dirent *entry;
	while ((entry = readdir(dir))) {
		char path[BLOB_PATH + 256];
		if (entry->d_name[0] == '.')
			continue;
		int r = blob_matches(c, fd, entry->d_name);
		if (r == 1 || r == -ENOENT) /* removed since */
			continue;
		if (error_is_shortage(r))
			return error_errno(err, r, BLOBS);
		if (add(&c->damaged, entry->d_name) < 0)
			return error_set(err, -ENOMEM, "out of memory");
		if (str_format(path, sizeof(path), BLOBS "/%s", entry->d_name) < 0)
			continue;
		if (c->check->repair)
			r = trash_move(c->check->engine->root_fd, fd, entry->d_name,
				       "damaged-blob");
		check_mended(c->check, path, "it is removed; load or pull its image again",
			     c->check->repair ? r : 0, "its content is not what its name says");
	}
	return 0;
}

/* ---- layers that are kept as their tar ---- */

/* Whether a file of the layer is what its record says; a disk that cannot read it has lost it. */
static bool file_matches(struct images_check *c, const char *chain_id, bool index,
			 const char *digest)
{
	uint8_t hash[SHA256_SIZE];
	char hex[SHA256_HEX + 1];
	_cleanup_close_ int fd = -1;
	const char *expected = str_after(digest, "sha256:");
	if (!expected || c->ops->layer_file(c->storage, chain_id, index, &fd) < 0 ||
	    c->check->hash(fd, hash) < 0)
		return false;
	sha256_to_hex(hash, hex);
	return streq(hex, expected);
}

/* As with blobs, without a lock: they never change. A layer that goes meanwhile is none. */
static int check_layer_files(struct images_check *c)
{
	const char **chain_ids;
	int r = 0;
	if (!c->ops->layer_format ||
	    c->ops->layer_list(c->storage, &c->check->arena, &chain_ids) < 0)
		return 0;
	for (; *chain_ids && r == 0; chain_ids++) {
		enum storage_format format;
		struct storage_layer layer;
		bool there = false;
		if (c->ops->layer_format(c->storage, *chain_ids, &c->check->arena, &format,
					 &layer) < 0 ||
		    format != STORAGE_EROFS ||
		    (file_matches(c, *chain_ids, true, layer.index_digest) &&
		     file_matches(c, *chain_ids, false, layer.tar_digest)))
			continue;
		if (c->ops->layer_exists(c->storage, *chain_ids, &there) == 0 && there)
			r = add(&c->changed, *chain_ids);
	}
	return r;
}

/* ---- images ---- */

static const char *shown_name(struct images_check *c, const struct image_entry *entry)
{
	struct image_reference reference;
	const char *name = NULL;
	if (entry->reference &&
	    image_reference_parse(&c->check->arena, entry->reference, &reference, NULL) == 0)
		name = image_reference_familiar_full(&c->check->arena, &reference);
	return name ? name : entry->digest;
}

#define ANY_SIZE UINT64_MAX

static bool blob_is_there(struct images_check *c, const char *digest, uint64_t size)
{
	struct stat st;
	char path[BLOB_PATH];
	const char *hex = str_after(digest, "sha256:");
	return hex && !has(&c->damaged, hex) &&
	       str_format(path, sizeof(path), IMAGES_BLOBS "/%s", hex) == 0 &&
	       fstatat(c->images_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       (size == ANY_SIZE || (uint64_t)st.st_size == size);
}

/* A container that runs on the layer; NULL: none. */
static const struct container *running_on(const struct check *check, const char *chain_id)
{
	for (size_t i = 0; i < check->container_count; i++) {
		const struct container *container = &check->containers[i];
		if (!container->pid && !container->monitor_pid)
			continue;
		for (const char **chain = container->chain_ids; *chain; chain++)
			if (streq(*chain, chain_id))
				return container;
	}
	return NULL;
}

/* Why a layer cannot be used, NULL where it can. */
static const char *layer_fault(struct images_check *c, const char *chain_id)
{
	uint64_t recorded, bytes, inodes;
	bool there = false;
	_cleanup_close_ int fd = -1;
	if (c->ops->layer_exists(c->storage, chain_id, &there) < 0 || !there)
		return "is missing";
	if (c->ops->layer_size(c->storage, chain_id, &recorded) < 0)
		return "has no record that can be read";
	if (has(&c->changed, chain_id))
		return "has another tar or index than was made";
	const char *fault = NULL;
	if (c->ops->layer_verify)
		return c->ops->layer_verify(c->storage, chain_id, &fault) < 0 ? "cannot be read"
									      : fault;
	if (c->ops->layer_open(c->storage, chain_id, &fd) < 0)
		return "has no files";
	if (storage_usage(fd, ".", &bytes, &inodes) < 0 || bytes != recorded)
		return "has not the files that were unpacked";
	return NULL;
}

/*
 * Takes a damaged layer out of the way, so that it is unpacked again; -EBUSY where it is in use.
 * Who runs on one that is a tar keeps that, which is mounted for it.
 */
static int drop_layer(struct images_check *c, const char *chain_id)
{
	bool there = false;
	enum storage_format format;
	struct storage_layer layer;
	bool known =
		c->ops->layer_format &&
		c->ops->layer_format(c->storage, chain_id, &c->check->arena, &format, &layer) == 0;
	if (running_on(c->check, chain_id) && !(known && format == STORAGE_EROFS))
		return -EBUSY;
	c->as_directory |= known && format == STORAGE_DIRECTORY;
	if (c->ops->layer_exists(c->storage, chain_id, &there) == 0 && there)
		return c->ops->layer_remove(c->storage, chain_id, NULL);
	return 0;
}

static int check_layers_of(struct images_check *c, const struct image_entry *entry,
			   const struct image *image, const struct image_manifest *manifest)
{
	const char *name = shown_name(c, entry);
	bool whole = true, faults = false;
	int r = 0;
	for (size_t i = 0; i < manifest->layer_count; i++) {
		const struct image_layer *layer = &manifest->layers[i];
		if (blob_is_there(c, layer->digest, layer->size))
			continue;
		whole = false;
		check_found(c->check, name, "load or pull it again; its containers run on",
			    "it has lost data: layer blob %.19s is missing or damaged",
			    layer->digest);
	}
	for (size_t i = 0; i < image->layer_count && r == 0; i++) {
		const char *fault = layer_fault(c, image->chain_ids[i]);
		if (!fault || (whole && has(&c->layers, image->chain_ids[i])))
			continue;
		faults = true;
		/* A tar that is damaged would pass for the layer when the image comes again. */
		bool drop = whole || has(&c->changed, image->chain_ids[i]);
		int dropped = c->check->repair && drop ? drop_layer(c, image->chain_ids[i]) : 0;
		if (drop)
			check_mended(c->check, name,
				     whole ? "it is unpacked again from its blob"
					   : "it is removed; load or pull the image again",
				     dropped, "layer %.12s %s", image->chain_ids[i], fault);
		else
			check_found(c->check, name, "load or pull it again", "layer %.12s %s",
				    image->chain_ids[i], fault);
	}
	for (size_t i = 0; i < image->layer_count && r == 0; i++)
		r = add(&c->layers, image->chain_ids[i]);
	/* A name goes along when it is unpacked again, and is an image's then, no more an index's.
	 */
	bool named = entry->reference && streq(entry->digest, image->manifest_digest);
	if (r == 0 && faults && whole)
		r = add(&c->unpack, named ? name : image->id);
	return r;
}

static int note_blob(void *data, const char *hex, bool blob)
{
	struct images_check *c = data;
	return blob ? add(&c->blobs, hex) : 0;
}

/*
 * What another tool has put there: an artifact, or an index without an image for this machine. Of
 * an index anything may have been left out.
 */
static int check_other(struct images_check *c, const struct image_entry *entry, size_t first)
{
	bool index = streq(entry->media_type, MEDIA_TYPE_INDEX) ||
		     streq(entry->media_type, MEDIA_TYPE_DOCKER_INDEX);
	for (size_t i = first; i < c->blobs.count && !index; i++) {
		char digest[DIGEST_MAX];
		str_format(digest, sizeof(digest), "sha256:%s", c->blobs.items[i]);
		if (!blob_is_there(c, digest, ANY_SIZE))
			check_found(c->check, shown_name(c, entry), "get it again where it is from",
				    "it has lost data: blob %.19s is missing or damaged", digest);
	}
	return 0;
}

static int check_image(struct images_check *c, const struct image_entry *entry)
{
	struct image image;
	struct image_manifest manifest;
	struct masu_error why = { 0 };
	size_t first = c->blobs.count;
	int r = image_reach(c->images_fd, &c->check->arena, entry->digest, note_blob, c, &why);
	if (r == 0) {
		r = image_load(c->images_fd, &c->check->arena, entry, &image, &manifest, &why);
		if (r < 0 && !error_is_shortage(r))
			return check_other(c, entry, first);
	}
	if (r < 0) {
		c->images_known = false;
		if (error_is_shortage(r))
			return r;
		check_found(c->check, shown_name(c, entry), "load or pull it again",
			    "it has lost data: %s", why.message);
		return 0;
	}
	if (!blob_is_there(c, image.original_digest, ANY_SIZE))
		check_found(c->check, shown_name(c, entry), "pull it again; its containers run on",
			    "it has lost data: the registry's manifest %.19s is missing or damaged",
			    image.original_digest);
	r = add(&c->blobs, image.original_digest + strlen("sha256:"));
	return r < 0 ? r : check_layers_of(c, entry, &image, &manifest);
}

/* ---- what no image has ---- */

static size_t count_unused_blobs(const struct images_check *c)
{
	size_t unused = 0;
	struct dirent *entry;
	int fd = openat(c->images_fd, IMAGES_BLOBS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((entry = readdir(dir)))
		unused += entry->d_name[0] != '.' && !has(&c->blobs, entry->d_name) &&
			  !has(&c->damaged, entry->d_name);
	return unused;
}

static size_t count_unused_layers(struct images_check *c)
{
	const char **chain_ids;
	size_t unused = 0;
	if (c->ops->layer_list(c->storage, &c->check->arena, &chain_ids) < 0)
		return 0;
	for (; *chain_ids; chain_ids++) {
		bool used = has(&c->layers, *chain_ids);
		for (size_t i = 0; i < c->check->container_count && !used; i++)
			for (const char **own = c->check->containers[i].chain_ids; *own; own++)
				used |= streq(*own, *chain_ids);
		unused += !used;
	}
	return unused;
}

static int collect(struct images_check *c)
{
	int root_fd = c->check->engine->root_fd;
	int r = engine_images_begin(root_fd, c->images_fd, c->ops, c->storage, NULL);
	if (r == 0)
		r = engine_images_collect(root_fd, c->images_fd, c->ops, c->storage, NULL, NULL,
					  NULL);
	if (r == 0)
		engine_images_end(c->images_fd);
	return r;
}

/* Where an image or a container cannot be read, nobody knows what is unused. */
static void check_unused(struct images_check *c)
{
	if (!c->images_known || !c->check->containers_known)
		return;
	size_t blobs = count_unused_blobs(c), layers = count_unused_layers(c);
	if (blobs == 0 && layers == 0)
		return;
	check_mended(c->check, IMAGES_DIR, "they are removed", c->check->repair ? collect(c) : 0,
		     "%zu blobs and %zu layers that neither an image nor a container has", blobs,
		     layers);
}

static void check_containers_layers(struct images_check *c)
{
	for (size_t i = 0; i < c->check->container_count; i++) {
		const struct container *container = &c->check->containers[i];
		for (const char **chain = container->chain_ids; *chain; chain++) {
			const char *fault = layer_fault(c, *chain);
			if (fault && !has(&c->layers, *chain))
				check_found(c->check, container->name,
					    "load its image again, or remove the container",
					    "its layer %.12s %s", *chain, fault);
		}
	}
}

/* ---- unpacking again ---- */

static void unpack_all(struct images_check *c)
{
	for (size_t i = 0; c->check->repair && i < c->unpack.count; i++)
		if (engine_unpack_again(c->check->engine, c->unpack.items[i], c->as_directory) < 0)
			check_found(c->check, c->unpack.items[i], "load or pull it again",
				    "its layers could not be unpacked again");
}

/* ---- all of it ---- */

static int check_index(struct images_check *c, struct masu_error *err)
{
	_cleanup_close_ int images_fd = -1;
	struct masu_error why = { 0 };
	int r = image_store_lock(c->check->engine->root_fd, &images_fd, err);
	if (r < 0)
		return r;
	c->images_fd = images_fd;
	c->index.arena = &c->check->arena;
	c->images_known = true;
	r = image_index_load(images_fd, &c->check->arena, &c->index, &why);
	if (r < 0) {
		check_found(c->check, IMAGES_DIR "/index.json", "put it back from a backup",
			    "it cannot be read: %s", why.message);
		return 0;
	}
	for (size_t i = 0; i < c->index.count && r == 0; i++)
		r = check_image(c, &c->index.entries[i]);
	if (r < 0)
		return error_errno(err, r, "images");
	check_containers_layers(c);
	check_unused(c);
	return 0;
}

/* What a driver has beside layers. */
static void fault_found(void *opaque, const char *what, const char *remedy, bool mended, int result)
{
	struct images_check *c = opaque;
	if (mended)
		check_mended(c->check, "storage", remedy, result, "%s", what);
	else
		check_found(c->check, "storage", remedy, "%s", what);
}

int check_images(struct check *check, struct masu_error *err)
{
	struct images_check c = { .check = check };
	c.damaged.arena = c.blobs.arena = c.layers.arena = c.unpack.arena = c.changed.arena =
		&check->arena;
	int r = engine_storage(check->engine, &c.ops, &c.storage, err);
	if (r == 0)
		r = check_blobs(&c, err);
	if (r == 0 && check_layer_files(&c) < 0)
		r = error_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = check_index(&c, err);
	if (r == 0 && c.ops->check)
		r = c.ops->check(c.storage, check->repair, fault_found, &c, err);
	/* Without the lock, which load takes. */
	if (r == 0)
		unpack_all(&c);
	return r;
}
