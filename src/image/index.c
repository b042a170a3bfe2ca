/* index.json: the list of images and their names. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "image/internal.h"
#include "image/store.h"
#include "state/record.h"
#include "sys/fs.h"

#define REF_NAME      "org.opencontainers.image.ref.name"
#define FULL_NAME     "io.containerd.image.name"
#define UNPACKED_SIZE "masu.unpacked-size"
#define REMOTE	      "masu.registry-digest"
#define PARENT	      "masu.parent"

static int make_layout(int root_fd, struct masu_error *err)
{
	int r = fs_mkdirs(root_fd, IMAGES_DIR "/" IMAGES_BLOBS, 0755);
	if (r == 0)
		r = fs_mkdirs(root_fd, IMAGES_DIR "/" IMAGES_PRIVATE "/" IMAGES_RESOLVED, 0700);
	if (r < 0)
		return error_errno(err, r, "images: cannot be made");
	return 0;
}

/* Under the lock: an image layout has its marker and an index from the beginning. */
static int complete_layout(int images_fd, struct masu_error *err)
{
	static const char empty[] = "{\"schemaVersion\":2,\"manifests\":[]}";
	if (faccessat(images_fd, "oci-layout", F_OK, 0) == 0)
		return 0;
	int r = 0;
	if (faccessat(images_fd, "index.json", F_OK, 0) < 0)
		r = fs_write_atomic(images_fd, "index.json", empty, strlen(empty), 0644, true);
	if (r == 0)
		r = fs_write_atomic(images_fd, "oci-layout", IMAGES_LAYOUT, strlen(IMAGES_LAYOUT),
				    0644, true);
	return r < 0 ? error_errno(err, r, "images/oci-layout") : 0;
}

/* What a killed editor left of fs_write_atomic(): under the lock nobody else can be at it. */
static void sweep_temporary(int images_fd, const char *path)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(images_fd, path);
	if (!dir)
		return;
	struct dirent *entry;
	while ((entry = readdir(dir)))
		if (str_after(entry->d_name, ".tmp-"))
			unlinkat(dirfd(dir), entry->d_name, 0);
}

int image_store_lock(int root_fd, int *ret_images_fd, struct masu_error *err)
{
	int r = make_layout(root_fd, err);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = openat(root_fd, IMAGES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, -errno, "images");
	do
		r = flock(fd, LOCK_EX) < 0 ? -errno : 0;
	while (r == -EINTR);
	if (r < 0)
		return error_errno(err, r, "images: cannot be locked");
	sweep_temporary(fd, ".");
	sweep_temporary(fd, IMAGES_PRIVATE);
	r = complete_layout(fd, err);
	if (r < 0)
		return r;
	*ret_images_fd = take_fd(&fd);
	return 0;
}

static int reserve(struct image_index *index)
{
	if (index->count < index->capacity)
		return 0;
	size_t capacity = index->capacity ? index->capacity * 2 : 16;
	struct image_entry *grown = arena_array(index->arena, struct image_entry, capacity);
	if (!grown)
		return -ENOMEM;
	if (index->count)
		memcpy(grown, index->entries, index->count * sizeof(*grown));
	index->entries = grown;
	index->capacity = capacity;
	return 0;
}

/* The full name that an entry's annotations give it; NULL where it has none that is a name. */
static int entry_reference(struct arena *arena, const struct json *annotations, const char **ret)
{
	const char *name;
	struct image_reference ref;
	*ret = NULL;
	if (!json_string(json_get(annotations, REF_NAME), &name))
		return 0;
	int r = image_reference_parse(arena, name, &ref, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	/* A name that is lost here would be lost for good with the next edit. */
	*ret = image_reference_full(arena, &ref);
	return *ret ? 0 : -ENOMEM;
}

/* A digest among the annotations; one that is none counts as absent. */
static const char *digest_annotation(const struct json *annotations, const char *key)
{
	const char *digest;
	return json_string(json_get(annotations, key), &digest) && image_digest_valid(digest)
		       ? digest
		       : NULL;
}

static int add_parsed(struct image_index *index, const struct json *item)
{
	struct image_entry entry = { .raw = item };
	const struct json *annotations = json_get(item, "annotations");
	const char *size;
	if (!json_string(json_get(item, "mediaType"), &entry.media_type) ||
	    !json_string(json_get(item, "digest"), &entry.digest) ||
	    !image_digest_valid(entry.digest) || !json_u64(json_get(item, "size"), &entry.size))
		return -EINVAL;
	int r = entry_reference(index->arena, annotations, &entry.reference);
	if (r < 0)
		return r;
	if (json_string(json_get(annotations, UNPACKED_SIZE), &size))
		str_to_u64(size, &entry.unpacked_size);
	entry.original = digest_annotation(annotations, IMAGE_ORIGINAL);
	entry.remote = digest_annotation(annotations, REMOTE);
	entry.parent = digest_annotation(annotations, PARENT);
	r = reserve(index);
	if (r == 0)
		index->entries[index->count++] = entry;
	return r;
}

int image_index_load(int images_fd, struct arena *arena, struct image_index *ret,
		     struct masu_error *err)
{
	struct image_index index = { .arena = arena };
	const struct json *document;
	const char *text;
	size_t len;
	int r = image_document_read(images_fd, "index.json", arena, &text, &len);
	if (r == -ENOENT) {
		*ret = index;
		return 0;
	}
	if (r < 0)
		return error_errno(err, r, "images/index.json");
	r = json_parse(arena, text, len, &document, err);
	if (r < 0)
		return error_wrap(err, "images/index.json");
	const struct json *manifests = json_get(document, "manifests");
	if (manifests && manifests->count > IMAGE_MAX_TAGS)
		return error_set(err, -E2BIG, "images/index.json: more than %d entries",
				 IMAGE_MAX_TAGS);
	json_foreach (item, manifests) {
		r = add_parsed(&index, item);
		if (r < 0)
			return error_errno(err, r, "images/index.json: entry %zu", index.count);
	}
	*ret = index;
	return 0;
}

static int write_names(struct json_writer *w, const struct image_index *index,
		       const struct image_entry *entry)
{
	struct image_reference ref;
	int r = image_reference_parse(index->arena, entry->reference, &ref, NULL);
	if (r < 0)
		return r;
	const char *familiar = image_reference_familiar_full(index->arena, &ref);
	if (!familiar)
		return -ENOMEM;
	json_field_string(w, REF_NAME, familiar);
	json_field_string(w, FULL_NAME, entry->reference);
	return 0;
}

static int write_annotations(struct json_writer *w, const struct image_index *index,
			     const struct image_entry *entry)
{
	char size[24];
	int r = 0;
	json_key(w, "annotations");
	json_begin_object(w);
	if (entry->reference)
		r = write_names(w, index, entry);
	str_format(size, sizeof(size), "%llu", (unsigned long long)entry->unpacked_size);
	if (entry->unpacked_size)
		json_field_string(w, UNPACKED_SIZE, size);
	if (entry->original)
		json_field_string(w, IMAGE_ORIGINAL, entry->original);
	if (entry->remote)
		json_field_string(w, REMOTE, entry->remote);
	if (entry->parent)
		json_field_string(w, PARENT, entry->parent);
	json_end_object(w);
	return r;
}

static int write_entry(struct json_writer *w, const struct image_index *index,
		       const struct image_entry *entry)
{
	int r = 0;
	if (entry->raw) {
		json_put_value(w, entry->raw);
		return 0;
	}
	json_begin_object(w);
	json_field_string(w, "mediaType", entry->media_type);
	json_field_string(w, "digest", entry->digest);
	json_field_u64(w, "size", entry->size);
	if (entry->reference || entry->unpacked_size || entry->original || entry->remote ||
	    entry->parent)
		r = write_annotations(w, index, entry);
	json_end_object(w);
	return r;
}

int image_index_write(const struct image_index *index, struct buf *ret)
{
	struct json_writer w;
	int r = 0;
	json_writer_init(&w, ret, true);
	json_begin_object(&w);
	json_field_u64(&w, "schemaVersion", 2);
	json_key(&w, "manifests");
	json_begin_array(&w);
	for (size_t i = 0; i < index->count && r == 0; i++)
		r = write_entry(&w, index, &index->entries[i]);
	json_end_array(&w);
	json_end_object(&w);
	return r < 0 ? r : buf_error(ret);
}

int image_index_save(int images_fd, const struct image_index *index, struct masu_error *err)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, IMAGE_MAX_DOCUMENT);
	int r = image_index_write(index, &out);
	if (r == 0)
		r = fs_write_atomic(images_fd, "index.json", out.data, out.len, 0644, true);
	if (r < 0)
		return error_errno(err, r, "images/index.json: cannot be written");
	image_resolved_clear(images_fd);
	return 0;
}

const struct image_entry *image_index_get(const struct image_index *index, const char *reference)
{
	/* The last one wins where a foreign tool wrote a name twice. */
	for (size_t i = index->count; i-- > 0;)
		if (streq_null(index->entries[i].reference, reference))
			return &index->entries[i];
	return NULL;
}

static bool has_original(const struct image_index *index, const char *digest)
{
	for (size_t i = 0; i < index->count; i++)
		if (streq_null(index->entries[i].original, digest))
			return true;
	return false;
}

static void remove_at(struct image_index *index, size_t at)
{
	const char *original = index->entries[at].original;
	index->count--;
	memmove(&index->entries[at], &index->entries[at + 1],
		(index->count - at) * sizeof(*index->entries));
	index->orphans |= original && !has_original(index, original);
}

static size_t count_digest(const struct image_index *index, const char *digest)
{
	size_t count = 0;
	for (size_t i = 0; i < index->count; i++)
		count += streq(index->entries[i].digest, digest);
	return count;
}

bool image_index_untag(struct image_index *index, const char *reference)
{
	bool found = false;
	for (size_t i = index->count; i-- > 0;) {
		struct image_entry *entry = &index->entries[i];
		if (!entry->reference || !streq(entry->reference, reference))
			continue;
		found = true;
		entry->reference = NULL;
		entry->raw = NULL;
		if (count_digest(index, entry->digest) > 1)
			remove_at(index, i);
	}
	return found;
}

void image_index_remove(struct image_index *index, const char *digest)
{
	for (size_t i = index->count; i-- > 0;)
		if (streq(index->entries[i].digest, digest))
			remove_at(index, i);
}

/* What the same image is known as elsewhere is worth no less than its name. */
static bool same_entry(const struct image_entry *a, const struct image_entry *b)
{
	return streq(a->digest, b->digest) && streq_null(a->original, b->original) &&
	       streq_null(a->remote, b->remote);
}

int image_index_put(struct image_index *index, const struct image_entry *entry)
{
	if (!entry->reference && count_digest(index, entry->digest) > 0)
		return 0;
	const struct image_entry *named =
		entry->reference ? image_index_get(index, entry->reference) : NULL;
	if (named && same_entry(named, entry))
		return 0;
	const char *parent = entry->parent;
	for (size_t i = 0; i < index->count && !parent; i++)
		if (streq(index->entries[i].digest, entry->digest))
			parent = index->entries[i].parent;
	if (entry->reference)
		image_index_untag(index, entry->reference);
	for (size_t i = index->count; i-- > 0;)
		if (!index->entries[i].reference && streq(index->entries[i].digest, entry->digest))
			remove_at(index, i);
	int r = reserve(index);
	if (r < 0)
		return r;
	index->entries[index->count] = *entry;
	index->entries[index->count].parent = parent;
	index->entries[index->count++].raw = NULL;
	return 0;
}

const char *image_entry_remote(const struct image_entry *entry)
{
	return entry->remote ? entry->remote : entry->original ? entry->original : entry->digest;
}
