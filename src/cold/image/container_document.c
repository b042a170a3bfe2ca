#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/container_archive.h"

#define DOCUMENT_MEMORY (128u << 20)
#define DOCUMENT_MAX	(8u << 20)

static void put_tree(struct json_writer *w, const struct container_tree *tree)
{
	json_begin_object(w);
	json_field_string(w, "digest", tree->digest);
	json_field_string(w, "tar", tree->tar);
	json_end_object(w);
}

static void put_volume(struct json_writer *w, const struct container_volume *volume)
{
	json_begin_object(w);
	json_field_string(w, "name", volume->name);
	json_field_bool(w, "anonymous", volume->anonymous);
	json_key(w, "labels");
	json_begin_object(w);
	for (size_t i = 0; i < volume->label_count; i++)
		json_field_string(w, volume->labels[i].key, volume->labels[i].value);
	json_end_object(w);
	if (volume->limit)
		json_field_u64(w, "limit", volume->limit);
	json_key(w, "files");
	put_tree(w, &volume->tree);
	json_end_object(w);
}

int container_archive_write(const struct container_archive *archive, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, false);
	json_begin_object(&w);
	json_field_u64(&w, "version", CONTAINER_ARCHIVE_VERSION);
	json_field_string(&w, "image", archive->image_id);
	json_key(&w, "container");
	json_put_value(&w, archive->record);
	if (archive->changed) {
		json_key(&w, "changes");
		put_tree(&w, &archive->changes);
	}
	json_key(&w, "volumes");
	json_begin_array(&w);
	for (size_t i = 0; i < archive->volume_count; i++)
		put_volume(&w, &archive->volumes[i]);
	json_end_array(&w);
	json_end_object(&w);
	return buf_error(out);
}

/* ---- in the sandbox: what is not JSON does not come out of it ---- */

int container_archive_describe(void *opaque, struct buf *out, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct container_task *task = opaque;
	const struct json *document;
	struct json_writer w;
	arena_init(&arena, DOCUMENT_MEMORY);
	int r = json_parse(&arena, task->text, task->len, &document, err);
	if (r < 0)
		return r;
	json_writer_init(&w, out, false);
	json_put_value(&w, document);
	return buf_error(out);
}

/* ---- outside ---- */

static int bad(struct masu_error *err, const char *what)
{
	return error_set(err, -EBADMSG, CONTAINER_DOCUMENT ": \"%s\" is not what it should be",
			 what);
}

static bool read_digest(const struct json *object, const char *key, char ret[DIGEST_MAX])
{
	const char *text = "";
	json_string(json_get(object, key), &text);
	return image_digest_valid(text) && str_format(ret, DIGEST_MAX, "%s", text) == 0;
}

static bool read_tree(const struct json *object, struct container_tree *ret)
{
	return object && read_digest(object, "digest", ret->digest) &&
	       read_digest(object, "tar", ret->tar);
}

static int read_labels(struct arena *arena, const struct json *object, struct container_volume *ret)
{
	size_t count = 0;
	if (!object || object->type != JSON_OBJECT || object->count > CONTAINER_LABELS_MAX)
		return -EBADMSG;
	ret->labels = arena_array(arena, struct oci_pair, object->count + 1);
	if (!ret->labels)
		return -ENOMEM;
	json_foreach (label, object) {
		ret->labels[count].key = label->key;
		if (!json_string(label, &ret->labels[count++].value))
			return -EBADMSG;
	}
	ret->label_count = count;
	return 0;
}

static int read_volume(struct arena *arena, const struct json *item, struct container_volume *ret)
{
	if (json_get(item, "limit") && !json_u64(json_get(item, "limit"), &ret->limit))
		return -EBADMSG;
	if (!json_string(json_get(item, "name"), &ret->name) || !name_valid(ret->name) ||
	    !json_bool(json_get(item, "anonymous"), &ret->anonymous) ||
	    !read_tree(json_get(item, "files"), &ret->tree))
		return -EBADMSG;
	return read_labels(arena, json_get(item, "labels"), ret);
}

static int by_name(const void *a, const void *b)
{
	const struct container_volume *left = a, *right = b;
	return strcmp(left->name, right->name);
}

static int read_volumes(struct arena *arena, const struct json *list, struct container_archive *ret,
			struct masu_error *err)
{
	if (!list || list->type != JSON_ARRAY || list->count > CONTAINER_VOLUMES_MAX)
		return bad(err, "volumes");
	ret->volumes = arena_array(arena, struct container_volume, list->count + 1);
	if (!ret->volumes)
		return error_set(err, -ENOMEM, "out of memory");
	json_foreach (item, list)
		if (read_volume(arena, item, &ret->volumes[ret->volume_count++]) < 0)
			return bad(err, "volumes");
	qsort(ret->volumes, ret->volume_count, sizeof(*ret->volumes), by_name);
	for (size_t i = 1; i < ret->volume_count; i++)
		if (streq(ret->volumes[i - 1].name, ret->volumes[i].name))
			return bad(err, "volumes");
	return 0;
}

int container_archive_read(struct arena *arena, const char *text, size_t len,
			   struct container_archive *ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf out;
	struct container_task task = { .text = text, .len = len };
	struct container_archive archive = { 0 };
	const struct json *document;
	uint64_t version;
	buf_init(&out, DOCUMENT_MAX);
	int r = sandboxed_run(container_archive_describe, &task, DOCUMENT_MAX, &out, err);
	if (r == 0)
		r = json_parse_written(arena, &out, &document, err);
	if (r < 0)
		return r;
	if (!json_u64(json_get(document, "version"), &version) ||
	    version != CONTAINER_ARCHIVE_VERSION)
		return error_set(err, -EOPNOTSUPP,
				 CONTAINER_DOCUMENT ": of another version than %d",
				 CONTAINER_ARCHIVE_VERSION);
	archive.record = json_get(document, "container");
	if (!archive.record || archive.record->type != JSON_OBJECT)
		return bad(err, "container");
	if (!json_string(json_get(document, "image"), &archive.image_id) ||
	    !image_digest_valid(archive.image_id))
		return bad(err, "image");
	archive.changed = json_get(document, "changes") != NULL;
	if (archive.changed && !read_tree(json_get(document, "changes"), &archive.changes))
		return bad(err, "changes");
	r = read_volumes(arena, json_get(document, "volumes"), &archive, err);
	if (r == 0)
		*ret = archive;
	return r;
}
