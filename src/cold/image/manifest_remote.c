#include "cold/image/manifest_remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/document.h"
#include "cold/image/unpack.h"
#include "image/store.h"
#include "json/json.h"

#define DOCUMENT_MEMORY (64u << 20)

/* ---- in the sandbox ---- */

struct document {
	const char *text;
	size_t len;
};

/* The platform of a config, a line a fact: os, architecture, variant, os.version, os.features. */
static int describe_platform(void *opaque, struct buf *out, struct masu_error *err)
{
	static const char *const keys[] = { "os", "architecture", "variant", "os.version" };
	_cleanup_arena_ struct arena arena;
	const struct document *config = opaque;
	const struct json *document;
	arena_init(&arena, DOCUMENT_MEMORY);
	int r = json_parse(&arena, config->text, config->len, &document, err);
	if (r < 0)
		return error_wrap(err, "config");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *text = "";
		json_string(json_get(document, keys[i]), &text);
		buf_printf(out, "%s\n", strpbrk(text, "\r\n") ? "" : text);
	}
	json_foreach (feature, json_get(document, "os.features")) {
		const char *text;
		if (json_string(feature, &text) && *text && !strpbrk(text, "\r\n"))
			buf_printf(out, "%s\n", text);
	}
	return buf_error(out);
}

/* The writer indents with blanks; no string of JSON holds a line's end. */
static int indent(void *opaque, struct buf *out, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_buf_ struct buf text;
	const struct document *source = opaque;
	const struct json *document;
	struct json_writer w;
	bool line_start = true;
	arena_init(&arena, DOCUMENT_MEMORY);
	buf_init(&text, 0);
	int r = json_parse(&arena, source->text, source->len, &document, err);
	if (r < 0)
		return r;
	json_writer_init(&w, &text, true);
	w.indent_width = 1;
	json_put_value(&w, document);
	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];
		line_start = c == '\n' || (line_start && c == ' ');
		buf_putc(out, line_start && c == ' ' ? '\t' : c);
	}
	return buf_error(&text) < 0 ? buf_error(&text) : buf_error(out);
}

int manifest_indent(const char *text, size_t len, struct buf *ret, struct masu_error *err)
{
	struct document document = { text, len };
	return sandboxed_run(indent, &document, 4 * IMAGE_MAX_DOCUMENT, ret, err);
}

/* ---- a member ---- */

/* Takes the next line off *text; "" where there is none. */
static char *take_line(char **text)
{
	char *line = *text, *end = strchr(line, '\n');
	if (end)
		*end = '\0';
	*text = end ? end + 1 : line + strlen(line);
	return line;
}

static int read_platform(struct arena *arena, const char *config, size_t len,
			 struct list_member *ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf facts;
	struct document document = { config, len };
	buf_init(&facts, 0);
	int r = sandboxed_run(describe_platform, &document, 1u << 20, &facts, err);
	if (r < 0)
		return r;
	char *text = arena_strdup(arena, buf_str(&facts));
	ret->os_features = arena_array(arena, const char *, facts.len + 1);
	if (!text || !ret->os_features)
		return error_set(err, -ENOMEM, "out of memory");
	ret->os = take_line(&text);
	ret->architecture = take_line(&text);
	ret->variant = take_line(&text);
	ret->os_version = take_line(&text);
	for (size_t i = 0; *text; i++)
		ret->os_features[i] = take_line(&text);
	return 0;
}

static bool is_index(const char *media_type)
{
	return streq(media_type, MEDIA_TYPE_INDEX) || streq(media_type, MEDIA_TYPE_DOCKER_INDEX);
}

static int refuse_index(const char *name, struct masu_error *err)
{
	return error_set(err, -EINVAL, "%s is a manifest list; name one of its images by digest",
			 name);
}

/* Config and layers of a manifest, whoever wrote it. */
static int read_manifest(struct arena *arena, const char *text, size_t len, const char *media_type,
			 const char *name, struct remote_manifest *ret, struct masu_error *err)
{
	struct platform platform;
	if (is_index(media_type))
		return refuse_index(name, err);
	int r = platform_parse(arena, NULL, &platform, err);
	if (r == 0)
		r = remote_manifest_read(arena, text, len, media_type, &platform, ret, err);
	if (r < 0)
		return error_wrap(err, "%s", name);
	return ret->index ? refuse_index(name, err) : 0;
}

static int find_remote(const struct manifest_task *task, const struct image_reference *reference,
		       const char *full, struct found_manifest *ret, struct masu_error *err)
{
	_cleanup_remote_ struct remote remote = { 0 };
	struct remote_document document, config;
	struct remote_manifest manifest;
	int r = manifest_open_remote(task, reference, false, &remote, err);
	if (r == 0)
		r = remote_get(&remote, "manifests",
			       reference->digest ? reference->digest : reference->tag, "",
			       &document, err);
	if (r == 0)
		r = read_manifest(task->arena, document.text, document.len, document.media_type,
				  full, &manifest, err);
	if (r == 0)
		r = remote_get_blob(&remote, manifest.config.digest, manifest.config.size, &config,
				    err);
	if (r == 0)
		r = read_platform(task->arena, config.text, config.len, &ret->member, err);
	if (r < 0)
		return r;
	ret->member.source = full;
	ret->member.digest = arena_strdup(task->arena, document.digest);
	ret->member.media_type = manifest.config.media_type;
	ret->member.size = document.len;
	ret->text = document.text;
	ret->len = document.len;
	return ret->member.digest ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int open_images(int root_fd)
{
	int fd = openat(root_fd, IMAGES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int find_stored(const struct manifest_task *task, const char *name, const char *full,
		       struct found_manifest *ret, struct masu_error *err)
{
	struct image image;
	struct remote_manifest manifest;
	const char *config;
	size_t config_len;
	int r = image_find(task->root_fd, task->arena, name, &image, err);
	if (r < 0)
		return r;
	_cleanup_close_ int images_fd = open_images(task->root_fd);
	if (images_fd < 0)
		return error_errno(err, images_fd, "images");
	/* What a push of the image sends, whatever the store keeps it as. */
	r = image_blob_read(images_fd, task->arena, image.original_digest, IMAGE_MAX_DOCUMENT,
			    &ret->text, &ret->len, err);
	if (r == 0)
		r = image_blob_read(images_fd, task->arena, image.id, IMAGE_MAX_DOCUMENT, &config,
				    &config_len, err);
	if (r == 0)
		r = read_manifest(task->arena, ret->text, ret->len, "", full, &manifest, err);
	if (r == 0)
		r = read_platform(task->arena, config, config_len, &ret->member, err);
	if (r < 0)
		return r;
	ret->member.source = full;
	ret->member.digest = arena_strdup(task->arena, image.original_digest);
	ret->member.media_type = manifest.config.media_type;
	ret->member.size = ret->len;
	return ret->member.digest ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int manifest_find(const struct manifest_task *task, const char *text, struct found_manifest *ret,
		  struct masu_error *err)
{
	struct image_reference reference;
	struct masu_error why = { 0 };
	int r = image_reference_parse(task->arena, text, &reference, err);
	const char *full = r < 0 ? NULL : image_reference_full(task->arena, &reference);
	if (r < 0 || !full)
		return r < 0 ? r : error_set(err, -ENOMEM, "out of memory");
	r = find_remote(task, &reference, full, ret, &why);
	if (r == 0 || (r != -ENOENT && r != -EACCES && r != -EIO)) {
		if (r < 0 && err)
			*err = why;
		return r;
	}
	if (find_stored(task, text, full, ret, NULL) == 0)
		return 0;
	if (r == -ENOENT)
		return error_set(err, r, "No such manifest: %s", full);
	return error_set(err, r, "%s", why.message);
}

int manifest_open_remote(const struct manifest_task *task, const struct image_reference *reference,
			 bool push, struct remote *ret, struct masu_error *err)
{
	*ret = (struct remote) { .arena = task->arena, .reference = *reference, .push = push };
	int r = registry_open(task->arena, reference, &ret->registry, err);
	if (r == 0 && push)
		registry_drop_mirrors(&ret->registry);
	if (r == 0 && task->insecure)
		r = registry_allow_insecure(task->arena, &ret->registry, err);
	return r < 0 ? r : fetcher_open(&ret->registry, &ret->fetcher, err);
}

/* ---- sending ---- */

static int open_stored(int images_fd, const struct remote_blob *blob)
{
	char path[128];
	struct stat st;
	int r = str_format(path, sizeof(path), IMAGES_BLOBS "/%s",
			   blob->digest + strlen("sha256:"));
	_cleanup_close_ int fd =
		r < 0 || images_fd < 0 ? -1
				       : openat(images_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size != blob->size)
		return -ENOENT;
	return take_fd(&fd);
}

static int send_blob(struct remote *remote, int images_fd, const struct image_reference *source,
		     const struct remote_blob *blob, struct masu_error *err)
{
	_cleanup_close_ int fd = open_stored(images_fd, blob);
	if (fd >= 0)
		return remote_put_blob(remote, blob->digest, fd, blob->size, err);
	if (!streq(source->domain, remote->reference.domain))
		return error_set(err, -EXDEV,
				 "cannot use source images from a different registry than the "
				 "target image: %s != %s; pull the image first",
				 source->domain, remote->reference.domain);
	return remote_mount_blob(remote, blob->digest, blob->size, source->path, err);
}

int manifest_send(const struct manifest_task *task, struct remote *remote,
		  const struct manifest_list *list, const struct list_member *member,
		  bool *ret_sent, struct masu_error *err)
{
	bool exists;
	const char *text;
	size_t len;
	char digest[DIGEST_MAX];
	struct image_reference source;
	struct remote_manifest manifest;
	struct remote_document there;
	int r = remote_stat(remote, member->digest, &exists, &there, err);
	*ret_sent = r == 0 && !exists;
	if (r < 0 || exists)
		return r;
	r = manifest_list_read(task->root_fd, task->arena, list->name, member->digest, &text, &len,
			       err);
	if (r == 0)
		r = read_manifest(task->arena, text, len, member->media_type, member->source,
				  &manifest, err);
	if (r == 0)
		r = image_reference_parse(task->arena, member->source, &source, err);
	if (r < 0)
		return r;
	_cleanup_close_ int images_fd = open_images(task->root_fd);
	for (size_t i = 0; i < manifest.layer_count && r == 0; i++)
		r = send_blob(remote, images_fd, &source, &manifest.layers[i], err);
	if (r == 0)
		r = send_blob(remote, images_fd, &source, &manifest.config, err);
	return r < 0 ? r
		     : remote_put_manifest(remote, NULL, member->media_type, text, len, digest,
					   NULL, err);
}
