/*
 * What an archive's documents say. archive_describe() reads them in a sandbox and answers in
 * numbers and names; archive_plan() checks the answer, because the documents were somebody's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cold/image/archive.h"
#include "cold/image/document.h"
#include "cold/image/policy.h"
#include "cold/image/unpack.h"
#include "image/store.h"

#define ANSWER_LIMIT (16u << 20)

struct describer {
	const struct archive *archive;
	struct arena arena;
	struct buf *out;
	struct masu_error *err;
	struct platform platform; /* that an index is asked for */
	size_t images, artifacts;
};

static int parse_member(struct describer *d, const struct archive_member *member,
			const struct json **ret)
{
	if (!member->document)
		return error_set(d->err, -EBADMSG,
				 "\"%.200s\" is not a JSON document, or is too big to be one",
				 member->path);
	int r = json_parse(&d->arena, member->document, member->document_len, ret, d->err);
	return r < 0 ? error_wrap(d->err, "\"%.200s\"", member->path) : 0;
}

static int require(struct describer *d, const char *path, const struct archive_member **ret)
{
	const char *clean, *reason;
	int r = tree_clean_path(&d->arena, path, &clean, &reason);
	*ret = r < 0 ? NULL : archive_find(d->archive, clean);
	if (!*ret)
		return error_set(d->err, -EBADMSG, "the archive has no \"%.200s\"", path);
	return 0;
}

static size_t number_of(const struct describer *d, const struct archive_member *member)
{
	return (size_t)(member - d->archive->members);
}

static int parse_config(struct describer *d, const struct archive_member *member, struct image *ret)
{
	const struct json *document;
	int r = parse_member(d, member, &document);
	if (r == 0)
		r = image_config_parse(&d->arena, document, ret, d->err);
	return r < 0 ? error_wrap(d->err, "\"%.100s\"", member->path) : 0;
}

/* Begins an image; its layers follow. */
static int put_image(struct describer *d, const struct archive_member *manifest,
		     const struct archive_member *config, struct image *image, size_t layers)
{
	int r = parse_config(d, config, image);
	if (r < 0)
		return r;
	if (image->layer_count != layers)
		return error_set(d->err, -EBADMSG, "\"%.100s\": %zu layers, but the image has %zu",
				 config->path, image->layer_count, layers);
	if (d->archive->platform && (!streq(image->os, d->platform.os) ||
				     !streq(image->architecture, d->platform.architecture)))
		return error_set(d->err, -ENOENT, "an image of the archive is for %.50s/%.50s",
				 image->os, image->architecture);
	if (++d->images > ARCHIVE_MAX_IMAGES)
		return error_set(d->err, -E2BIG, "more than %u images", ARCHIVE_MAX_IMAGES);
	if (manifest)
		buf_printf(d->out, "image %zu %zu\n", number_of(d, manifest), number_of(d, config));
	else
		buf_printf(d->out, "image - %zu\n", number_of(d, config));
	return 0;
}

static void put_layer(struct describer *d, const struct archive_member *member, const char *diff_id)
{
	buf_printf(d->out, "layer %zu %s\n", number_of(d, member), diff_id);
}

static int put_name(struct describer *d, const char *text)
{
	struct image_reference reference;
	int r = image_reference_parse(&d->arena, text, &reference, d->err);
	if (r == 0 && reference.digest)
		r = error_set(d->err, -EBADMSG, "image name \"%.200s\" is a digest", text);
	if (r == 0)
		buf_printf(d->out, "name %s\n", image_reference_full(&d->arena, &reference));
	return r;
}

/* One element of manifest.json: {"Config","RepoTags","Layers"}. */
static int describe_docker_image(struct describer *d, const struct json *item)
{
	const struct archive_member *config, *layer;
	const struct json *layers = json_get(item, "Layers");
	const char *path;
	struct image image = { 0 };
	if (!json_string(json_get(item, "Config"), &path) ||
	    (layers && layers->type != JSON_ARRAY && layers->type != JSON_NULL))
		return error_set(d->err, -EBADMSG, "manifest.json: an image without Config");
	int r = require(d, path, &config);
	if (r == 0)
		r = put_image(d, NULL, config, &image, layers ? layers->count : 0);
	size_t at = 0;
	if (r < 0)
		return r;
	json_foreach (layer_item, layers) {
		if (!json_string(layer_item, &path))
			return error_set(d->err, -EBADMSG, "manifest.json: Layers are paths");
		r = require(d, path, &layer);
		if (r < 0)
			return r;
		put_layer(d, layer, image.diff_ids[at++]);
	}
	json_foreach (tag, json_get(item, "RepoTags")) {
		if (!json_string(tag, &path))
			return error_set(d->err, -EBADMSG, "manifest.json: RepoTags are names");
		r = put_name(d, path);
		if (r < 0)
			return r;
	}
	return 0;
}

static int describe_docker(struct describer *d, const struct archive_member *member)
{
	const struct json *document;
	int r = parse_member(d, member, &document);
	if (r < 0)
		return r;
	if (document->type != JSON_ARRAY)
		return error_set(d->err, -EBADMSG, "manifest.json is not a list of images");
	json_foreach (item, document) {
		r = describe_docker_image(d, item);
		if (r < 0)
			return r;
	}
	return 0;
}

static int blob_member_path(struct describer *d, const char *digest, const char **ret)
{
	if (!image_digest_valid(digest))
		return error_set(d->err, -EBADMSG, "\"%.100s\" is not a sha256 digest", digest);
	*ret = arena_printf(&d->arena, "blobs/sha256/%s", digest + strlen("sha256:"));
	return *ret ? 0 : error_set(d->err, -ENOMEM, "out of memory");
}

/* The file that holds a blob, which must have the digest it is named by. */
static int require_blob(struct describer *d, const char *digest, const struct archive_member **ret)
{
	const char *path;
	int r = blob_member_path(d, digest, &path);
	if (r == 0)
		r = require(d, path, ret);
	if (r < 0)
		return r;
	if (!streq((*ret)->blob.digest, digest))
		return error_set(d->err, -EBADMSG,
				 "blob %s: its content has the digest %s; the archive is damaged",
				 digest, (*ret)->blob.digest);
	return 0;
}

static bool layer_type_known(const char *type)
{
	static const char *const known[] = {
		MEDIA_TYPE_LAYER,
		MEDIA_TYPE_LAYER_GZIP,
		MEDIA_TYPE_LAYER_ZSTD,
		"application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.docker.image.rootfs.diff.tar.gzip",
	};
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (streq(type, known[i]))
			return true;
	return false;
}

static bool is_docker_manifest(const struct json *document)
{
	const char *type;
	return json_string(json_get(document, "mediaType"), &type) &&
	       streq(type, MEDIA_TYPE_DOCKER_MANIFEST);
}

static int describe_manifest(struct describer *d, const struct archive_member *member,
			     const struct json *document, struct image_manifest *ret)
{
	struct image_manifest manifest;
	struct image image = { 0 };
	const struct archive_member *config, *layer;
	int r = image_manifest_parse(&d->arena, document, &manifest, d->err);
	if (r == 0)
		r = require_blob(d, manifest.config_digest, &config);
	if (r == 0)
		r = put_image(d, member, config, &image, manifest.layer_count);
	for (size_t i = 0; i < manifest.layer_count && r == 0; i++) {
		if (!layer_type_known(manifest.layers[i].media_type))
			return error_set(d->err, -EOPNOTSUPP, "layers of type %.200s",
					 manifest.layers[i].media_type);
		r = require_blob(d, manifest.layers[i].digest, &layer);
		if (r == 0)
			put_layer(d, layer, image.diff_ids[i]);
	}
	if (r == 0 && is_docker_manifest(document))
		buf_puts(d->out, "docker\n");
	if (r == 0)
		*ret = manifest;
	return r;
}

static bool same_content(const struct image_manifest *a, const struct image_manifest *b)
{
	bool same = streq(a->config_digest, b->config_digest) && a->layer_count == b->layer_count;
	for (size_t i = 0; same && i < a->layer_count; i++)
		same = streq(a->layers[i].digest, b->layers[i].digest);
	return same;
}

/* The manifest that `masu save` says the image came with; other tools may have left it out. */
static int put_original(struct describer *d, const struct json *descriptor,
			const struct image_manifest *manifest)
{
	const struct json *document;
	const struct archive_member *member;
	struct image_manifest original;
	const char *digest, *path;
	if (!json_string(json_get(json_get(descriptor, "annotations"), IMAGE_ORIGINAL), &digest))
		return 0;
	int r = blob_member_path(d, digest, &path);
	if (r < 0 || !archive_find(d->archive, path))
		return r;
	r = require_blob(d, digest, &member);
	if (r == 0)
		r = parse_member(d, member, &document);
	if (r == 0)
		r = image_manifest_parse(&d->arena, document, &original, d->err);
	if (r < 0)
		return r;
	if (!same_content(manifest, &original))
		return error_set(d->err, -EBADMSG,
				 "manifest %s is not of the image that it is said to be of",
				 digest);
	buf_printf(d->out, "original %zu\n", number_of(d, member));
	return 0;
}

/*
 * The name a descriptor gives its image: containerd's annotation, or the image spec's where it has
 * the form of a name. A bare tag ("latest") names nothing.
 */
static int put_annotated_name(struct describer *d, const struct json *descriptor)
{
	const struct json *annotations = json_get(descriptor, "annotations");
	const char *name;
	if (json_string(json_get(annotations, "io.containerd.image.name"), &name))
		return put_name(d, name);
	if (json_string(json_get(annotations, "org.opencontainers.image.ref.name"), &name) &&
	    strpbrk(name, ":/"))
		return put_name(d, name);
	return 0;
}

/* What other tools call an image, old docker among them, has one of these. */
static bool is_image_config(const char *type)
{
	return !*type || streq(type, MEDIA_TYPE_CONFIG) || streq(type, MEDIA_TYPE_DOCKER_CONFIG) ||
	       streq(type, "application/octet-stream");
}

static bool is_artifact(const struct json *document)
{
	return image_is_artifact(document) ||
	       !is_image_config(json_text(json_get(document, "config"), "mediaType"));
}

static int put_part(struct describer *d, const struct json *descriptor)
{
	const struct archive_member *member;
	int r = require_blob(d, json_text(descriptor, "digest"), &member);
	if (r == 0)
		buf_printf(d->out, "part %zu\n", number_of(d, member));
	return r;
}

/* The type is shown to people; the answer's lines are words. */
static const char *artifact_type(const struct json *document)
{
	const char *type = json_text(document, "artifactType");
	if (!*type)
		type = json_text(json_get(document, "config"), "mediaType");
	size_t len = strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "!#$&-^_.+/");
	return *type && len == strlen(type) && len < 128 ? type : "unknown";
}

static int describe_artifact(struct describer *d, const struct archive_member *member,
			     const struct json *document)
{
	const struct json *layers = json_get(document, "layers");
	const char *subject = json_text(json_get(document, "subject"), "digest");
	if (++d->artifacts > ARCHIVE_MAX_ARTIFACTS ||
	    (layers && layers->count >= ARCHIVE_MAX_ARTIFACT_BLOBS))
		return error_set(d->err, -E2BIG,
				 "more than %u artifacts, or one of more than %u blobs",
				 ARCHIVE_MAX_ARTIFACTS, ARCHIVE_MAX_ARTIFACT_BLOBS);
	buf_printf(d->out, "artifact %zu %s %s\n", number_of(d, member),
		   image_digest_valid(subject) ? subject : "-", artifact_type(document));
	int r = put_part(d, json_get(document, "config"));
	json_foreach (layer, layers)
		if (r == 0)
			r = put_part(d, layer);
	return r;
}

static int describe_oci_image(struct describer *d, const struct json *descriptor)
{
	const struct archive_member *member;
	const struct json *document;
	struct image_manifest manifest = { 0 };
	const char *digest = "";
	json_string(json_get(descriptor, "digest"), &digest);
	int r = require_blob(d, digest, &member);
	if (r == 0)
		r = parse_member(d, member, &document);
	if (r == 0 && json_get(document, "manifests")) {
		if (json_get(document, "config") || json_get(document, "layers"))
			return error_set(d->err, -EBADMSG,
					 "an index that is also a manifest is ambiguous");
		const struct json *chosen = platform_choose(document, &d->platform);
		if (!chosen)
			return error_set(d->err, -ENOENT, "no image for %s/%s%s%s in the archive",
					 d->platform.os, d->platform.architecture,
					 d->platform.variant ? "/" : "",
					 d->platform.variant ? d->platform.variant : "");
		r = require_blob(d, json_text(chosen, "digest"), &member);
		if (r == 0)
			r = parse_member(d, member, &document);
	}
	if (r == 0 && is_artifact(document))
		return describe_artifact(d, member, document);
	if (r == 0)
		r = describe_manifest(d, member, document, &manifest);
	if (r == 0)
		r = put_original(d, descriptor, &manifest);
	return r < 0 ? r : put_annotated_name(d, descriptor);
}

static int describe_oci(struct describer *d, const struct archive_member *member)
{
	const struct json *document;
	int r = parse_member(d, member, &document);
	if (r < 0)
		return r;
	json_foreach (item, json_get(document, "manifests")) {
		r = describe_oci_image(d, item);
		if (r < 0)
			return r;
	}
	return 0;
}

int archive_describe(const struct archive *archive, struct buf *out, struct masu_error *err)
{
	struct describer d = { .archive = archive, .out = out, .err = err };
	if (archive->platform)
		d.platform = *archive->platform;
	else
		d.platform = (struct platform) { "linux", image_architecture(), NULL };
	const struct archive_member *docker = archive_find(archive, "manifest.json");
	const struct archive_member *oci = archive_find(archive, "index.json");
	arena_init(&d.arena, 256u << 20);
	/* Where both are, as in what docker and masu save, the layout has the manifest. */
	int r = oci ? describe_oci(&d, oci)
		: docker
			? describe_docker(&d, docker)
			: error_set(err, -EBADMSG,
				    "neither a docker archive (manifest.json) nor an OCI image "
				    "layout (index.json); for a root filesystem use `masu import`");
	arena_free(&d.arena);
	if (r == 0 && d.images == 0 && d.artifacts == 0)
		r = error_set(err, -ENODATA, "no image in the archive");
	return r;
}

static int describe_job(void *data, struct buf *out, struct masu_error *err)
{
	return archive_describe(data, out, err);
}

/* The answer's lines. */
struct reader {
	const struct archive *archive;
	struct archive_image *images;
	size_t count, capacity;
	struct archive_artifact *artifacts;
	size_t artifact_count;
};

static const struct archive_member *member_at(const struct reader *rd, const char *text)
{
	uint64_t number;
	if (!text || str_to_u64(text, &number) < 0 || number >= rd->archive->count ||
	    rd->archive->members[number].link)
		return NULL;
	return &rd->archive->members[number];
}

static int read_image(struct reader *rd, const char *manifest, const char *config)
{
	struct arena *arena = rd->archive->arena;
	if (rd->count == rd->capacity) {
		size_t capacity = rd->capacity ? rd->capacity * 2 : 16;
		struct archive_image *grown = arena_array(arena, struct archive_image, capacity);
		if (!grown)
			return -ENOMEM;
		if (rd->count)
			memcpy(grown, rd->images, rd->count * sizeof(*grown));
		rd->images = grown;
		rd->capacity = capacity;
	}
	struct archive_image *image = &rd->images[rd->count];
	bool has_manifest = manifest && !streq(manifest, "-");
	*image = (struct archive_image) {
		.config = member_at(rd, config),
		.manifest = has_manifest ? member_at(rd, manifest) : NULL,
		.layers = arena_array(arena, const struct archive_member *, IMAGE_MAX_LAYERS),
		.diff_ids = arena_array(arena, const char *, IMAGE_MAX_LAYERS),
		.references = arena_array(arena, const char *, 1),
	};
	rd->count++;
	if (!image->layers || !image->diff_ids || !image->references)
		return -ENOMEM;
	return image->config && (image->manifest || !has_manifest) ? 0 : -EPROTO;
}

static int read_layer(struct archive_image *image, const struct archive_member *member,
		      const char *diff_id)
{
	if (!member || !diff_id || !image_digest_valid(diff_id) ||
	    image->layer_count == IMAGE_MAX_LAYERS)
		return -EPROTO;
	image->layers[image->layer_count] = member;
	image->diff_ids[image->layer_count++] = diff_id;
	return 0;
}

static int read_name(struct reader *rd, struct archive_image *image, const char *name)
{
	struct arena *arena = rd->archive->arena;
	struct image_reference reference;
	size_t count = strv_length((char *const *)image->references);
	const char **grown = arena_array(arena, const char *, count + 2);
	if (!grown)
		return -ENOMEM;
	if (!name || image_reference_parse(arena, name, &reference, NULL) < 0 || reference.digest)
		return -EPROTO;
	if (count)
		memcpy(grown, image->references, count * sizeof(*grown));
	grown[count] = image_reference_full(arena, &reference);
	image->references = grown;
	return grown[count] ? 0 : -ENOMEM;
}

static int read_artifact(struct reader *rd, const struct archive_member *manifest,
			 const char *subject, const char *type)
{
	struct arena *arena = rd->archive->arena;
	if (rd->artifact_count == ARCHIVE_MAX_ARTIFACTS || !manifest || !type ||
	    !(streq(subject, "-") || image_digest_valid(subject)))
		return -EPROTO;
	if (!rd->artifacts)
		rd->artifacts = arena_array(arena, struct archive_artifact, ARCHIVE_MAX_ARTIFACTS);
	if (!rd->artifacts)
		return -ENOMEM;
	struct archive_artifact *artifact = &rd->artifacts[rd->artifact_count];
	*artifact = (struct archive_artifact) {
		.manifest = manifest,
		.subject = streq(subject, "-") ? NULL : subject,
		.type = type,
		.blobs = arena_array(arena, const struct archive_member *,
				     ARCHIVE_MAX_ARTIFACT_BLOBS),
	};
	rd->artifact_count++;
	return artifact->blobs ? 0 : -ENOMEM;
}

static int read_part(struct reader *rd, const struct archive_member *member)
{
	struct archive_artifact *artifact =
		rd->artifact_count ? &rd->artifacts[rd->artifact_count - 1] : NULL;
	if (!artifact || !member || artifact->blob_count == ARCHIVE_MAX_ARTIFACT_BLOBS)
		return -EPROTO;
	artifact->blobs[artifact->blob_count++] = member;
	return 0;
}

static int read_line(struct reader *rd, char *line)
{
	char *save;
	const char *what = strtok_r(line, " ", &save);
	const char *first = strtok_r(NULL, " ", &save);
	const char *second = strtok_r(NULL, " ", &save);
	struct archive_image *image = rd->count ? &rd->images[rd->count - 1] : NULL;
	if (what && streq(what, "image"))
		return read_image(rd, first, second);
	if (what && second && streq(what, "artifact"))
		return read_artifact(rd, member_at(rd, first), second, strtok_r(NULL, " ", &save));
	if (what && streq(what, "part"))
		return read_part(rd, member_at(rd, first));
	if (what && image && streq(what, "layer"))
		return read_layer(image, member_at(rd, first), second);
	if (what && image && streq(what, "original")) {
		image->original = member_at(rd, first);
		return image->original ? 0 : -EPROTO;
	}
	if (what && image && streq(what, "docker")) {
		image->foreign = image->manifest != NULL;
		return 0;
	}
	if (what && image && streq(what, "name"))
		return read_name(rd, image, first);
	return -EPROTO;
}

int archive_plan(const struct archive *archive, struct archive_plan *ret, struct masu_error *err)
{
	struct buf answer;
	struct reader rd = { .archive = archive };
	buf_init(&answer, 2 * ANSWER_LIMIT);
	image_architecture(); /* which has to ask the system, once */
	int r = sandboxed_run(describe_job, (void *)archive, ANSWER_LIMIT, &answer, err);
	char *text = r == 0 ? arena_strndup(archive->arena, buf_str(&answer), answer.len) : NULL;
	buf_free(&answer);
	if (r < 0)
		return r;
	if (!text)
		return error_set(err, -ENOMEM, "out of memory");
	char *save;
	for (char *line = strtok_r(text, "\n", &save); line && r == 0;
	     line = strtok_r(NULL, "\n", &save))
		r = read_line(&rd, line);
	if (r < 0)
		return error_errno(err, r, "the decoder's answer");
	*ret = (struct archive_plan) { rd.images, rd.count, rd.artifacts, rd.artifact_count };
	return 0;
}
