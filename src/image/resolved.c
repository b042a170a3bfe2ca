/*
 * The derived cache of resolved names: images/.masu/resolved/<hash of the name>, one small JSON
 * document with everything image_find() answers. It is valid while index.json is the same file
 * (inode, size, change time), which image_index_save() ends by replacing it. Written without
 * fsync: what power loss leaves of it either is not JSON, or is right.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/str.h"
#include "image/internal.h"
#include "sys/fs.h"

#define RESOLVED IMAGES_DIR "/" IMAGES_PRIVATE "/" IMAGES_RESOLVED

int image_index_stamp(int root_fd, char ret[IMAGE_STAMP_MAX])
{
	struct stat st;
	if (fstatat(root_fd, IMAGES_DIR "/index.json", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return str_format(ret, IMAGE_STAMP_MAX, "%llu.%lld.%lld.%09ld",
			  (unsigned long long)st.st_ino, (long long)st.st_size,
			  (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

static void cache_name(const char *name, char ret[17])
{
	str_format(ret, 17, "%016llx",
		   (unsigned long long)hash_bytes(HASH_SEED, name, strlen(name)));
}

static bool matches(const struct json *document, const char *key, const char *value)
{
	const char *text;
	return json_string(json_get(document, key), &text) && streq(text, value);
}

static int copy_digest(const struct json *document, const char *key, char ret[DIGEST_MAX])
{
	const char *text;
	if (!json_string(json_get(document, key), &text))
		return -EINVAL;
	return str_format(ret, DIGEST_MAX, "%s", text);
}

int image_resolved_read(int root_fd, struct arena *arena, const char *name, struct image *ret)
{
	char stamp[IMAGE_STAMP_MAX], hash[17], path[128];
	const struct json *document;
	const char *text;
	size_t len;
	struct image image = { 0 };
	int r = image_index_stamp(root_fd, stamp);
	if (r < 0)
		return r;
	cache_name(name, hash);
	r = str_format(path, sizeof(path), RESOLVED "/%s", hash);
	if (r == 0)
		r = image_document_read(root_fd, path, arena, &text, &len);
	if (r == 0)
		r = json_parse(arena, text, len, &document, NULL);
	if (r < 0)
		return r;
	if (!matches(document, "name", name) || !matches(document, "index", stamp))
		return -ENOENT;
	r = copy_digest(document, "id", image.id);
	if (r == 0)
		r = copy_digest(document, "manifest", image.manifest_digest);
	if (r == 0)
		r = copy_digest(document, "original", image.original_digest);
	if (r == 0)
		r = copy_digest(document, "remote", image.remote_digest);
	if (r == 0 && !json_u64(json_get(document, "size"), &image.size))
		r = -EINVAL;
	if (r == 0)
		r = image_config_parse(arena, json_get(document, "image"), &image, NULL);
	if (r < 0)
		return r;
	json_string(json_get(document, "reference"), &image.reference);
	*ret = image;
	return 0;
}

/* The members of the config that image_config_parse() reads: no history, no comments. */
static void write_config(struct json_writer *w, const struct json *document)
{
	static const char *const members[] = { "created", "architecture", "os", "config",
					       "rootfs" };
	json_begin_object(w);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const struct json *value = json_get(document, members[i]);
		if (!value)
			continue;
		json_key(w, members[i]);
		json_put_value(w, value);
	}
	json_end_object(w);
}

void image_resolved_write(int root_fd, const char *stamp, const char *name,
			  const struct image *image, const struct json *config_document)
{
	char hash[17];
	_cleanup_buf_ struct buf out;
	struct json_writer w;
	buf_init(&out, IMAGE_MAX_DOCUMENT);
	_cleanup_close_ int dir = openat(root_fd, RESOLVED, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return;
	json_writer_init(&w, &out, false);
	json_begin_object(&w);
	json_field_string(&w, "name", name);
	json_field_string(&w, "index", stamp);
	json_field_string(&w, "id", image->id);
	json_field_string(&w, "manifest", image->manifest_digest);
	json_field_string(&w, "original", image->original_digest);
	json_field_string(&w, "remote", image->remote_digest);
	if (image->reference)
		json_field_string(&w, "reference", image->reference);
	json_field_u64(&w, "size", image->size);
	json_key(&w, "image");
	write_config(&w, config_document);
	json_end_object(&w);
	cache_name(name, hash);
	/* A cache: where it cannot be written, the next lookup is as slow as this one. */
	if (buf_error(&out) == 0)
		fs_write_atomic(dir, hash, out.data, out.len, 0600, false);
}

void image_resolved_clear(int images_fd)
{
	_cleanup_closedir_ DIR *dir = fs_opendir_at(images_fd, IMAGES_PRIVATE "/" IMAGES_RESOLVED);
	if (!dir)
		return;
	struct dirent *entry;
	while ((entry = readdir(dir)))
		if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
			unlinkat(dirfd(dir), entry->d_name, 0);
}
