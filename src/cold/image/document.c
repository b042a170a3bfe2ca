#include "cold/image/document.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/unpack.h"
#include "image/store.h"

#define DESCRIPTION_MAX (1u << 20)
#define TYPE_MAX	128
#define DOCUMENT_MEMORY (64u << 20)

/* ---- in the sandbox ---- */

static bool is_index_type(const char *type)
{
	return streq(type, MEDIA_TYPE_INDEX) || streq(type, MEDIA_TYPE_DOCKER_INDEX);
}

static bool is_manifest_type(const char *type)
{
	return streq(type, MEDIA_TYPE_MANIFEST) || streq(type, MEDIA_TYPE_DOCKER_MANIFEST);
}

static bool type_is_word(const char *type)
{
	return *type && strlen(type) < TYPE_MAX && !strpbrk(type, " \t\r\n");
}

/* What the document is, from what it says itself and what the registry said. */
static int document_type(const struct json *document, const char *header, const char **ret,
			 struct masu_error *err)
{
	const char *own = NULL;
	bool manifests = json_get(document, "manifests") != NULL;
	bool layers = json_get(document, "layers") || json_get(document, "config");
	json_string(json_get(document, "mediaType"), &own);
	if (json_get(document, "fsLayers") || json_get(document, "signatures"))
		return error_set(
			err, -EOPNOTSUPP,
			"the registry only has a schema 1 manifest, which is obsolete; push "
			"the image again");
	if (manifests && layers)
		return error_set(err, -EINVAL, "a manifest that is also an index is ambiguous");
	bool known_header = is_index_type(header) || is_manifest_type(header);
	if (own && known_header && !streq(own, header))
		return error_set(err, -EINVAL,
				 "the registry calls \"%.100s\" what calls itself \"%.100s\"",
				 header, own);
	*ret = own	      ? own
	       : known_header ? header
	       : manifests    ? MEDIA_TYPE_INDEX
			      : MEDIA_TYPE_MANIFEST;
	if (is_index_type(*ret) != manifests || !(is_index_type(*ret) || is_manifest_type(*ret)))
		return error_set(err, -EOPNOTSUPP, "unsupported manifest media type \"%.100s\"",
				 *ret);
	return 0;
}

static bool platform_fits(const struct json *item, const struct platform *wanted, bool strict)
{
	const char *os = "", *architecture = "", *variant = "";
	const struct json *platform = json_get(item, "platform");
	json_string(json_get(platform, "os"), &os);
	json_string(json_get(platform, "architecture"), &architecture);
	json_string(json_get(platform, "variant"), &variant);
	if (!streq(os, wanted->os) || !streq(architecture, wanted->architecture))
		return false;
	/* Plain arm64 is v8; a wish without a variant takes any, one without first. */
	if (streq(architecture, "arm64") && streq(variant, "v8"))
		variant = "";
	const char *asked = wanted->variant ? wanted->variant : "";
	if (streq(architecture, "arm64") && streq(asked, "v8"))
		asked = "";
	return streq(variant, asked) || (!strict && !wanted->variant);
}

bool platform_matches(const struct json *item, const struct platform *wanted)
{
	return platform_fits(item, wanted, false);
}

const struct json *platform_choose(const struct json *index, const struct platform *wanted)
{
	for (int strict = 1; strict >= 0; strict--)
		json_foreach (item, json_get(index, "manifests"))
			if (!image_is_artifact(item) && platform_fits(item, wanted, strict))
				return item;
	return NULL;
}

static int describe_index(const struct json *document, const struct platform *platform,
			  struct buf *out, struct masu_error *err)
{
	const char *digest = "", *type = MEDIA_TYPE_MANIFEST;
	uint64_t size;
	const struct json *item = platform_choose(document, platform);
	if (!item)
		return error_set(err, -ENOENT,
				 "no matching manifest for %s/%s%s%s in the manifest list entries",
				 platform->os, platform->architecture, platform->variant ? "/" : "",
				 platform->variant ? platform->variant : "");
	json_string(json_get(item, "mediaType"), &type);
	if (!json_string(json_get(item, "digest"), &digest) || !image_digest_valid(digest) ||
	    !json_u64(json_get(item, "size"), &size) || !type_is_word(type))
		return error_set(err, -EINVAL, "index: a manifest is no descriptor");
	return buf_printf(out, "index %s %llu %s\n", digest, (unsigned long long)size, type);
}

static int check_layer(const struct image_layer *layer, struct masu_error *err)
{
	if (strstr(layer->media_type, "foreign") || strstr(layer->media_type, "nondistributable"))
		return error_set(err, -EOPNOTSUPP,
				 "layer %.19s is a foreign layer (%.100s), which only its vendor "
				 "distributes; such images are not supported",
				 layer->digest, layer->media_type);
	if (!type_is_word(layer->media_type) || strstr(layer->media_type, "tar") == NULL)
		return error_set(err, -EOPNOTSUPP,
				 "layer %.19s is \"%.100s\", no file system layer: an artifact, no "
				 "image",
				 layer->digest, layer->media_type);
	return 0;
}

int document_describe_manifest(void *opaque, struct buf *out, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct document_task *task = opaque;
	const struct json *document;
	const char *type = "";
	struct image_manifest manifest;
	arena_init(&arena, DOCUMENT_MEMORY);
	int r = json_parse(&arena, task->text, task->len, &document, err);
	if (r < 0)
		return error_wrap(err, "manifest");
	r = document_type(document, task->media_type, &type, err);
	if (r == 0 && is_index_type(type))
		return describe_index(document, task->platform, out, err);
	if (r == 0)
		r = image_manifest_parse(&arena, document, &manifest, err);
	if (r < 0)
		return r;
	buf_printf(out, "manifest %s %llu %s\n", manifest.config_digest,
		   (unsigned long long)manifest.config_size, type);
	for (size_t i = 0; i < manifest.layer_count; i++) {
		const struct image_layer *layer = &manifest.layers[i];
		r = check_layer(layer, err);
		if (r < 0)
			return r;
		buf_printf(out, "layer %s %llu %s\n", layer->digest,
			   (unsigned long long)layer->size, layer->media_type);
	}
	return buf_error(out);
}

int document_describe_config(void *opaque, struct buf *out, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct document_task *task = opaque;
	const struct json *document;
	struct image image = { 0 };
	arena_init(&arena, DOCUMENT_MEMORY);
	int r = json_parse(&arena, task->text, task->len, &document, err);
	if (r == 0)
		r = image_config_parse(&arena, document, &image, err);
	if (r < 0)
		return error_wrap(err, "config");
	if (image.layer_count != task->count)
		return error_set(err, -EINVAL, "manifest has %zu layers, its config %zu",
				 task->count, image.layer_count);
	for (size_t i = 0; i < image.layer_count; i++)
		buf_printf(out, "diff %s 0 -\n", image.diff_ids[i]);
	return buf_error(out);
}

/* ---- outside ---- */

/* One line of a description: a word, a digest, a size, a type. */
static int read_fact(struct arena *arena, char *line, const char *word, struct remote_blob *ret)
{
	char *save = NULL;
	const char *first = strtok_r(line, " ", &save), *digest = strtok_r(NULL, " ", &save);
	const char *size = strtok_r(NULL, " ", &save), *type = strtok_r(NULL, " ", &save);
	if (!type || !streq(first, word) || !image_digest_valid(digest) ||
	    str_to_u64(size, &ret->size) < 0)
		return -EPROTO;
	ret->digest = arena_strdup(arena, digest);
	ret->media_type = arena_strdup(arena, type);
	return ret->digest && ret->media_type ? 0 : -ENOMEM;
}

static size_t count_lines(const char *text)
{
	size_t count = 0;
	for (; *text; text++)
		count += *text == '\n';
	return count;
}

static int read_facts(struct arena *arena, char *text, struct remote_manifest *ret)
{
	char *save = NULL;
	char *line = strtok_r(text, "\n", &save);
	if (!line)
		return -EPROTO;
	ret->index = str_after(line, "index ") != NULL;
	if (ret->index)
		return read_fact(arena, line, "index", &ret->target);
	int r = read_fact(arena, line, "manifest", &ret->config);
	while (r == 0 && (line = strtok_r(NULL, "\n", &save)))
		r = read_fact(arena, line, "layer", &ret->layers[ret->layer_count++]);
	return r;
}

int remote_manifest_read(struct arena *arena, const char *text, size_t len, const char *media_type,
			 const struct platform *platform, struct remote_manifest *ret,
			 struct masu_error *err)
{
	_cleanup_buf_ struct buf facts;
	struct document_task task = {
		.text = text, .len = len, .media_type = media_type, .platform = platform
	};
	struct remote_manifest manifest = { 0 };
	buf_init(&facts, DESCRIPTION_MAX);
	int r = sandboxed_run(document_describe_manifest, &task, DESCRIPTION_MAX, &facts, err);
	if (r < 0)
		return r;
	size_t lines = count_lines(buf_str(&facts));
	char *copy = arena_strdup(arena, buf_str(&facts));
	manifest.layers = arena_array(arena, struct remote_blob, lines + 1);
	if (!copy || !manifest.layers)
		return error_set(err, -ENOMEM, "out of memory");
	r = lines > IMAGE_MAX_LAYERS + 1 ? -EPROTO : read_facts(arena, copy, &manifest);
	if (r < 0)
		return error_errno(err, r, "the decoder's answer about the manifest");
	*ret = manifest;
	return 0;
}

int remote_config_read(struct arena *arena, const char *text, size_t len, size_t count,
		       const char ***ret_diff_ids, struct masu_error *err)
{
	_cleanup_buf_ struct buf facts;
	struct document_task task = { .text = text, .len = len, .count = count };
	char *save = NULL;
	buf_init(&facts, DESCRIPTION_MAX);
	int r = sandboxed_run(document_describe_config, &task, DESCRIPTION_MAX, &facts, err);
	if (r < 0)
		return r;
	const char **list = arena_array(arena, const char *, count + 1);
	char *copy = arena_strdup(arena, buf_str(&facts));
	if (!list || !copy)
		return error_set(err, -ENOMEM, "out of memory");
	r = count_lines(copy) == count ? 0 : -EPROTO;
	char *line = strtok_r(copy, "\n", &save);
	for (size_t i = 0; i < count && r == 0; i++) {
		struct remote_blob fact;
		r = line ? read_fact(arena, line, "diff", &fact) : -EPROTO;
		list[i] = r == 0 ? fact.digest : NULL;
		line = strtok_r(NULL, "\n", &save);
	}
	if (r < 0)
		return error_errno(err, r, "the decoder's answer about the config");
	*ret_diff_ids = list;
	return 0;
}

/* ---- platforms ---- */

static const char *architecture_name(const char *name)
{
	static const char *const names[][2] = { { "x86_64", "amd64" },	{ "x86-64", "amd64" },
						{ "aarch64", "arm64" }, { "i386", "386" },
						{ "i686", "386" },	{ "armhf", "arm" } };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(name, names[i][0]))
			return names[i][1];
	return name;
}

int platform_parse(struct arena *arena, const char *text, struct platform *ret,
		   struct masu_error *err)
{
	struct platform platform = { .os = "linux", .architecture = image_architecture() };
	char *parts[3] = { 0 }, *save = NULL;
	size_t count = 0;
	char *copy = arena_strdup(arena, text ? text : "");
	if (!copy)
		return error_set(err, -ENOMEM, "out of memory");
	for (char *part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		if (count == ARRAY_SIZE(parts))
			return error_set(err, -EINVAL,
					 "\"%.100s\": invalid platform; os/architecture/variant",
					 text);
		parts[count++] = part;
	}
	if (count == 1 && streq(parts[0], "linux")) {
		*ret = platform;
		return 0;
	}
	if (count == 1) {
		platform.architecture = architecture_name(parts[0]);
	} else if (count > 1) {
		platform.os = parts[0];
		platform.architecture = architecture_name(parts[1]);
		platform.variant = parts[2];
	}
	*ret = platform;
	return 0;
}
