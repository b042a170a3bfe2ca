#include "cold/image/manifest_list.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sha256.h"
#include "base/str.h"
#include "image/store.h"
#include "sys/fs.h"

#define LISTS  IMAGES_DIR "/" IMAGES_PRIVATE "/lists"
#define SOURCE "masu.source"

/* Where a list lives: any name has one of 64 characters. */
static void list_path(const char *name, const char *below, char ret[256])
{
	char hex[SHA256_HEX + 1];
	sha256_hex(name, strlen(name), hex);
	str_format(ret, 256, LISTS "/%s%s", hex, below);
}

int manifest_list_name(struct arena *arena, const char *text, const char **ret,
		       struct masu_error *err)
{
	struct image_reference reference;
	int r = image_reference_parse(arena, text, &reference, err);
	if (r < 0)
		return r;
	if (reference.digest)
		return error_set(err, -EINVAL, "%.200s: a manifest list has a name, not a digest",
				 text);
	*ret = image_reference_full(arena, &reference);
	return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

bool manifest_list_exists(int root_fd, const char *name)
{
	char path[256];
	list_path(name, "/index.json", path);
	return faccessat(root_fd, path, F_OK, 0) == 0;
}

/* ---- reading ---- */

static int read_member(struct arena *arena, const struct json *item, struct list_member *ret)
{
	const struct json *platform = json_get(item, "platform");
	const struct json *features = json_get(platform, "os.features");
	struct list_member member = {
		.source = json_text(json_get(item, "annotations"), SOURCE),
		.digest = json_text(item, "digest"),
		.media_type = json_text(item, "mediaType"),
		.os = json_text(platform, "os"),
		.architecture = json_text(platform, "architecture"),
		.variant = json_text(platform, "variant"),
		.os_version = json_text(platform, "os.version"),
	};
	size_t count = 0;
	member.os_features =
		arena_array(arena, const char *, (features ? features->count : 0) + 1u);
	if (!member.os_features)
		return -ENOMEM;
	json_foreach (feature, features)
		count += json_string(feature, &member.os_features[count]);
	if (!json_u64(json_get(item, "size"), &member.size) || !image_digest_valid(member.digest))
		return -EBADMSG;
	*ret = member;
	return 0;
}

int manifest_list_load(int root_fd, struct arena *arena, const char *name,
		       struct manifest_list *ret, struct masu_error *err)
{
	char path[256], *text;
	size_t len;
	const struct json *document;
	list_path(name, "/index.json", path);
	int r = fs_read_arena(root_fd, path, IMAGE_MAX_DOCUMENT, arena, &text, &len);
	if (r == -ENOENT)
		return error_set(err, r, "No such manifest: %s", name);
	if (r == 0)
		r = json_parse(arena, text, len, &document, err);
	if (r < 0)
		return error_errno(err, r, "manifest list %s", name);
	*ret = (struct manifest_list) { .arena = arena, .name = name };
	json_foreach (item, json_get(document, "manifests")) {
		if (ret->count == LIST_MEMBERS_MAX)
			return error_set(err, -E2BIG, "manifest list %s: damaged", name);
		r = read_member(arena, item, &ret->members[ret->count++]);
		if (r < 0)
			return error_errno(err, r, "manifest list %s", name);
	}
	return 0;
}

int manifest_list_read(int root_fd, struct arena *arena, const char *name, const char *digest,
		       const char **ret_text, size_t *ret_len, struct masu_error *err)
{
	char directory[256], path[400], hex[SHA256_HEX + 1], *text;
	list_path(name, "/blobs/sha256/", directory);
	int r = str_format(path, sizeof(path), "%s%s", directory, digest + strlen("sha256:"));
	if (r == 0)
		r = fs_read_arena(root_fd, path, IMAGE_MAX_DOCUMENT, arena, &text, ret_len);
	if (r < 0)
		return error_errno(err, r, "manifest list %s: manifest %s", name, digest);
	sha256_hex(text, *ret_len, hex);
	if (!streq(hex, digest + strlen("sha256:")))
		return error_set(err, -EBADMSG, "manifest list %s: manifest %s is damaged", name,
				 digest);
	*ret_text = text;
	return 0;
}

/* ---- writing ---- */

static void write_platform(struct json_writer *w, const struct list_member *m)
{
	json_key(w, "platform");
	json_begin_object(w);
	json_field_string(w, "architecture", m->architecture);
	json_field_string(w, "os", m->os);
	if (*m->os_version)
		json_field_string(w, "os.version", m->os_version);
	if (*m->os_features) {
		json_key(w, "os.features");
		json_begin_array(w);
		for (const char **feature = m->os_features; *feature; feature++)
			json_put_string(w, *feature);
		json_end_array(w);
	}
	if (*m->variant)
		json_field_string(w, "variant", m->variant);
	json_end_object(w);
}

static void write_member(struct json_writer *w, const struct list_member *m, bool sources)
{
	json_begin_object(w);
	json_field_string(w, "mediaType", m->media_type);
	json_field_u64(w, "size", m->size);
	json_field_string(w, "digest", m->digest);
	write_platform(w, m);
	if (sources) {
		json_key(w, "annotations");
		json_begin_object(w);
		json_field_string(w, SOURCE, m->source);
		json_end_object(w);
	}
	json_end_object(w);
}

int manifest_list_write(const struct manifest_list *list, bool sources, struct buf *out,
			const char **ret_type)
{
	struct json_writer w;
	bool docker = list->count && streq(list->members[0].media_type, MEDIA_TYPE_DOCKER_MANIFEST);
	const char *type = docker ? MEDIA_TYPE_DOCKER_INDEX : MEDIA_TYPE_INDEX;
	json_writer_init(&w, out, true);
	w.indent_width = 3; /* as docker's own, so that the same list has the same digest */
	json_begin_object(&w);
	json_field_u64(&w, "schemaVersion", 2);
	json_field_string(&w, "mediaType", type);
	json_key(&w, "manifests");
	json_begin_array(&w);
	for (size_t i = 0; i < list->count; i++)
		write_member(&w, &list->members[i], sources);
	json_end_array(&w);
	json_end_object(&w);
	if (ret_type)
		*ret_type = type;
	return buf_error(out);
}

static int open_list(int root_fd, const char *name, const char *below, struct masu_error *err)
{
	char path[256];
	list_path(name, below, path);
	int r = fs_mkdirs(root_fd, path, 0700);
	int fd = r < 0 ? r : openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, r < 0 ? r : -errno, "manifest list %s", name);
	return fd;
}

int manifest_list_keep(int root_fd, const char *name, const char *digest, const char *text,
		       size_t len, struct masu_error *err)
{
	_cleanup_close_ int fd = open_list(root_fd, name, "/blobs/sha256", err);
	if (fd < 0)
		return fd;
	int r = fs_write_atomic(fd, digest + strlen("sha256:"), text, len, 0600, true);
	return r < 0 ? error_errno(err, r, "manifest list %s", name) : 0;
}

int manifest_list_save(int root_fd, const struct manifest_list *list, struct masu_error *err)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, IMAGE_MAX_DOCUMENT);
	_cleanup_close_ int fd = open_list(root_fd, list->name, "", err);
	if (fd < 0)
		return fd;
	int r = manifest_list_write(list, true, &out, NULL);
	if (r == 0)
		r = fs_write_atomic(fd, "oci-layout", IMAGES_LAYOUT, strlen(IMAGES_LAYOUT), 0600,
				    false);
	if (r == 0)
		r = fs_write_atomic(fd, "index.json", out.data, out.len, 0600, true);
	return r < 0 ? error_errno(err, r, "manifest list %s", list->name) : 0;
}

int manifest_list_remove(int root_fd, const char *name, struct masu_error *err)
{
	char path[256];
	if (!manifest_list_exists(root_fd, name))
		return error_set(err, -ENOENT, "No such manifest: %s", name);
	_cleanup_close_ int lists = openat(root_fd, LISTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lists < 0)
		return error_errno(err, -errno, "manifest lists");
	list_path(name, "/index.json", path);
	/* The index first: without it there is no list, whatever comes then. */
	if (unlinkat(root_fd, path, 0) < 0)
		return error_errno(err, -errno, "manifest list %s", name);
	list_path(name, "", path);
	int r = fs_remove_tree(lists, strrchr(path, '/') + 1);
	if (r == 0)
		r = fs_fsync_dir(lists);
	return r < 0 ? error_errno(err, r, "manifest list %s", name) : 0;
}

/* ---- members ---- */

struct list_member *manifest_list_member(struct manifest_list *list, const char *text)
{
	struct image_reference reference;
	const char *full = NULL, *at = strchr(text, '@');
	const char *digest = image_digest_valid(text) ? text : at ? at + 1 : NULL;
	if (image_reference_parse(list->arena, text, &reference, NULL) == 0)
		full = image_reference_full(list->arena, &reference);
	for (size_t i = 0; i < list->count; i++) {
		struct list_member *member = &list->members[i];
		if (streq_null(member->source, full) || streq_null(member->digest, digest))
			return member;
	}
	return NULL;
}

int manifest_list_put(struct manifest_list *list, const struct list_member *member,
		      struct masu_error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		struct list_member *other = &list->members[i];
		if (streq(other->digest, member->digest) || streq(other->source, member->source)) {
			*other = *member;
			return 0;
		}
	}
	if (list->count == LIST_MEMBERS_MAX)
		return error_set(err, -E2BIG, "manifest list %s: more than %d manifests",
				 list->name, LIST_MEMBERS_MAX);
	list->members[list->count++] = *member;
	return 0;
}
