/* Manifests and configs: what the documents of an image say (image-spec manifest.md, config.md). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sha256.h"
#include "base/str.h"
#include "image/internal.h"
#include "sys/fs.h"

int image_document_read(int dirfd, const char *path, struct arena *arena, const char **ret_text,
			size_t *ret_len)
{
	_cleanup_close_ int fd =
		openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > IMAGE_MAX_DOCUMENT)
		return -EFBIG;
	char *text = arena_alloc(arena, (size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	ssize_t len = fs_read_full(fd, text, (size_t)st.st_size);
	if (len < 0)
		return (int)len;
	*ret_text = text;
	*ret_len = (size_t)len;
	return 0;
}

int image_json_strings(struct arena *arena, const struct json *array, const char ***ret)
{
	*ret = NULL;
	if (!array || array->type == JSON_NULL)
		return 0;
	if (array->type != JSON_ARRAY)
		return -EINVAL;
	const char **list = arena_array(arena, const char *, (size_t)array->count + 1);
	if (!list)
		return -ENOMEM;
	size_t at = 0;
	json_foreach (item, array) {
		if (!json_string(item, &list[at++]))
			return -EINVAL;
	}
	*ret = list;
	return 0;
}

int image_blob_read(int images_fd, struct arena *arena, const char *digest, size_t limit,
		    const char **ret_text, size_t *ret_len, struct masu_error *err)
{
	char path[128], hex[SHA256_HEX + 1];
	const char *text;
	size_t len;
	if (!image_digest_valid(digest))
		return error_set(err, -EINVAL, "\"%.100s\" is not a sha256 digest", digest);
	int r = str_format(path, sizeof(path), IMAGES_BLOBS "/%s", digest + strlen("sha256:"));
	if (r == 0)
		r = image_document_read(images_fd, path, arena, &text, &len);
	if (r == 0 && len > limit)
		r = -EFBIG;
	if (r < 0)
		return error_errno(err, r, "images/%s", path);
	sha256_hex(text, len, hex);
	if (!streq(hex, digest + strlen("sha256:")))
		return error_set(err, -EBADMSG,
				 "images/%s: damaged, its digest is %s; load or pull the image "
				 "again",
				 path, hex);
	*ret_text = text;
	*ret_len = len;
	return 0;
}

static int parse_descriptor(const struct json *item, struct image_layer *ret)
{
	if (!json_string(json_get(item, "mediaType"), &ret->media_type) ||
	    !json_string(json_get(item, "digest"), &ret->digest) ||
	    !image_digest_valid(ret->digest) || !json_u64(json_get(item, "size"), &ret->size))
		return -EINVAL;
	return 0;
}

int image_manifest_parse(struct arena *arena, const struct json *document,
			 struct image_manifest *ret, struct masu_error *err)
{
	struct image_manifest manifest = { 0 };
	struct image_layer config;
	const struct json *layers = json_get(document, "layers");
	/* A document that reads as both means different things to different tools. */
	if (json_get(document, "manifests"))
		return error_set(err, -EINVAL, "a manifest that is also an index is ambiguous");
	if (parse_descriptor(json_get(document, "config"), &config) < 0)
		return error_set(err, -EINVAL, "manifest: config is no descriptor");
	if (!layers || layers->type != JSON_ARRAY)
		return error_set(err, -EINVAL, "manifest: layers is no list");
	if (layers->count > IMAGE_MAX_LAYERS)
		return error_set(err, -E2BIG, "manifest: %u layers, at most %d are allowed",
				 layers->count, IMAGE_MAX_LAYERS);
	manifest.config_digest = config.digest;
	manifest.config_size = config.size;
	manifest.layers = arena_array(arena, struct image_layer, (size_t)layers->count + 1);
	if (!manifest.layers)
		return error_set(err, -ENOMEM, "out of memory");
	json_foreach (item, layers) {
		if (parse_descriptor(item, &manifest.layers[manifest.layer_count++]) < 0)
			return error_set(err, -EINVAL, "manifest: layer %zu is no descriptor",
					 manifest.layer_count);
	}
	*ret = manifest;
	return 0;
}

/* The members' names of an object ({"80/tcp":{}}) as a list. */
static int parse_keys(struct arena *arena, const struct json *object, const char ***ret)
{
	*ret = NULL;
	if (!object || object->type == JSON_NULL)
		return 0;
	if (object->type != JSON_OBJECT)
		return -EINVAL;
	const char **list = arena_array(arena, const char *, (size_t)object->count + 1);
	if (!list)
		return -ENOMEM;
	size_t at = 0;
	json_foreach (item, object) {
		list[at++] = item->key;
	}
	*ret = list;
	return 0;
}

static int parse_labels(struct arena *arena, const struct json *object, struct image_config *ret)
{
	if (!object || object->type == JSON_NULL)
		return 0;
	if (object->type != JSON_OBJECT)
		return -EINVAL;
	ret->labels = arena_array(arena, struct oci_label, (size_t)object->count + 1);
	if (!ret->labels)
		return -ENOMEM;
	json_foreach (item, object) {
		struct oci_label *label = &ret->labels[ret->label_count++];
		label->key = item->key;
		if (!json_string(item, &label->value))
			return -EINVAL;
	}
	return 0;
}

/* Absent and null leave @ret alone. */
static int optional_string(const struct json *value, const char **ret)
{
	if (!value || value->type == JSON_NULL)
		return 0;
	return json_string(value, ret) ? 0 : -EINVAL;
}

static int optional_i64(const struct json *value, int64_t *ret)
{
	if (!value || value->type == JSON_NULL)
		return 0;
	return json_i64(value, ret) ? 0 : -EINVAL;
}

static int parse_healthcheck(struct arena *arena, const struct json *object,
			     struct image_healthcheck *ret)
{
	struct image_healthcheck check = { .present = true };
	int64_t retries = 0;
	const char **test;
	if (!object || object->type == JSON_NULL)
		return 0;
	if (object->type != JSON_OBJECT)
		return -EINVAL;
	int r = image_json_strings(arena, json_get(object, "Test"), &test);
	check.test = (char **)test;
	if (r == 0)
		r = optional_i64(json_get(object, "Interval"), &check.interval_ns);
	if (r == 0)
		r = optional_i64(json_get(object, "Timeout"), &check.timeout_ns);
	if (r == 0)
		r = optional_i64(json_get(object, "StartPeriod"), &check.start_period_ns);
	if (r == 0)
		r = optional_i64(json_get(object, "StartInterval"), &check.start_interval_ns);
	if (r == 0)
		r = optional_i64(json_get(object, "StartInterval"), &check.start_interval_ns);
	if (r == 0)
		r = optional_i64(json_get(object, "Retries"), &retries);
	if (r == 0 && (retries < 0 || retries > INT32_MAX))
		r = -EINVAL;
	check.retries = (int)retries;
	if (r == 0)
		*ret = check;
	return r;
}

/* One member of the config object; which one is wrong is the user's only question. */
static int parse_member(struct arena *arena, const struct json *item, struct image_config *config)
{
	const char *key = item->key;
	if (streq(key, "User"))
		return optional_string(item, &config->user);
	if (streq(key, "WorkingDir"))
		return optional_string(item, &config->working_dir);
	if (streq(key, "StopSignal"))
		return optional_string(item, &config->stop_signal);
	if (streq(key, "Env"))
		return image_json_strings(arena, item, (const char ***)&config->env);
	if (streq(key, "Entrypoint"))
		return image_json_strings(arena, item, (const char ***)&config->entrypoint);
	if (streq(key, "Cmd"))
		return image_json_strings(arena, item, (const char ***)&config->cmd);
	if (streq(key, "Shell"))
		return image_json_strings(arena, item, (const char ***)&config->shell);
	if (streq(key, "Volumes"))
		return parse_keys(arena, item, &config->volumes);
	if (streq(key, "ExposedPorts"))
		return parse_keys(arena, item, &config->exposed_ports);
	if (streq(key, "Labels"))
		return parse_labels(arena, item, config);
	if (streq(key, "Healthcheck"))
		return parse_healthcheck(arena, item, &config->healthcheck);
	return 0;
}

static int parse_layers(struct arena *arena, const struct json *document, struct image *image,
			struct masu_error *err)
{
	const struct json *rootfs = json_get(document, "rootfs");
	const char **diff_ids;
	int r = image_json_strings(arena, json_get(rootfs, "diff_ids"), &diff_ids);
	if (r < 0)
		return error_set(err, r, "config: rootfs.diff_ids is no list of digests");
	size_t count = strv_length((char *const *)diff_ids);
	if (count > IMAGE_MAX_LAYERS)
		return error_set(err, -E2BIG, "config: %zu layers, at most %d are allowed", count,
				 IMAGE_MAX_LAYERS);
	image->chain_ids = arena_array(arena, const char *, count + 1);
	image->diff_ids = diff_ids ? diff_ids : arena_array(arena, const char *, 1);
	if (!image->chain_ids || !image->diff_ids)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		char *chain = arena_alloc(arena, SHA256_HEX + 1);
		if (!chain)
			return error_set(err, -ENOMEM, "out of memory");
		if (image_chain_id(i ? image->chain_ids[i - 1] : NULL, diff_ids[i], chain) < 0)
			return error_set(err, -EINVAL, "config: \"%.100s\" is not a sha256 digest",
					 diff_ids[i]);
		image->chain_ids[i] = chain;
	}
	image->layer_count = count;
	return 0;
}

int image_config_parse(struct arena *arena, const struct json *document, struct image *ret,
		       struct masu_error *err)
{
	struct image_config config = { .user = "", .working_dir = "", .stop_signal = "" };
	const struct json *object = json_get(document, "config");
	ret->created = ret->architecture = ret->os = "";
	if (!document || document->type != JSON_OBJECT ||
	    (object && object->type != JSON_OBJECT && object->type != JSON_NULL))
		return error_set(err, -EINVAL, "config: not a JSON object");
	if (optional_string(json_get(document, "created"), &ret->created) < 0 ||
	    optional_string(json_get(document, "architecture"), &ret->architecture) < 0 ||
	    optional_string(json_get(document, "os"), &ret->os) < 0)
		return error_set(err, -EINVAL, "config: created, architecture and os are strings");
	json_foreach (item, object) {
		int r = parse_member(arena, item, &config);
		if (r == -ENOMEM)
			return error_set(err, r, "out of memory");
		if (r < 0)
			return error_set(err, r, "config: %.100s is not what the image spec says",
					 item->key);
	}
	ret->config = config;
	return parse_layers(arena, document, ret, err);
}

const char *image_architecture(void)
{
	static const struct {
		const char *machine, *go;
	} names[] = {
		{ "x86_64", "amd64" },	  { "aarch64", "arm64" }, { "armv7l", "arm" },
		{ "armv6l", "arm" },	  { "i686", "386" },	  { "riscv64", "riscv64" },
		{ "ppc64le", "ppc64le" }, { "s390x", "s390x" },	  { "loongarch64", "loong64" },
	};
	static struct utsname host;
	/* Asked once: the sandbox that a caller may be in by then has no uname(2). */
	if (!*host.machine && uname(&host) < 0)
		return "unknown";
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(host.machine, names[i].machine))
			return names[i].go;
	return host.machine;
}

bool image_is_artifact(const struct json *item)
{
	const char *type = json_text(item, "artifactType");
	return *type && !streq(type, MEDIA_TYPE_CONFIG);
}

/* The entry of an index that is meant for this machine. */
static int select_platform(const struct json *document, const char **ret_digest,
			   struct masu_error *err)
{
	if (json_get(document, "config") || json_get(document, "layers"))
		return error_set(err, -EINVAL, "an index that is also a manifest is ambiguous");
	json_foreach (item, json_get(document, "manifests")) {
		const struct json *platform = json_get(item, "platform");
		const char *os = "linux", *architecture = image_architecture();
		struct image_layer descriptor;
		if (image_is_artifact(item))
			continue;
		json_string(json_get(platform, "os"), &os);
		json_string(json_get(platform, "architecture"), &architecture);
		if (streq(os, "linux") && streq(architecture, image_architecture()) &&
		    parse_descriptor(item, &descriptor) == 0) {
			*ret_digest = descriptor.digest;
			return 0;
		}
	}
	return error_set(err, -ENOENT, "no manifest for linux/%s in the image's index",
			 image_architecture());
}

static int read_json_blob(int images_fd, struct arena *arena, const char *digest,
			  const struct json **ret, struct masu_error *err)
{
	const char *text;
	size_t len;
	int r = image_blob_read(images_fd, arena, digest, IMAGE_MAX_DOCUMENT, &text, &len, err);
	if (r < 0)
		return r;
	r = json_parse(arena, text, len, ret, err);
	return r < 0 ? error_wrap(err, "%.19s", digest) : 0;
}

int image_load_document(int images_fd, struct arena *arena, const struct image_entry *entry,
			struct image *ret, struct image_manifest *ret_manifest,
			const struct json **ret_config, struct masu_error *err)
{
	struct image image = { .reference = entry->reference, .parent = entry->parent };
	struct image_manifest manifest;
	const struct json *document = NULL, *config;
	const char *digest = entry->digest;
	int r = read_json_blob(images_fd, arena, digest, &document, err);
	if (r == 0 && json_get(document, "manifests")) {
		r = select_platform(document, &digest, err);
		if (r == 0)
			r = read_json_blob(images_fd, arena, digest, &document, err);
	}
	if (r == 0)
		r = image_manifest_parse(arena, document, &manifest, err);
	if (r == 0)
		r = read_json_blob(images_fd, arena, manifest.config_digest, &config, err);
	if (r == 0)
		r = image_config_parse(arena, config, &image, err);
	if (r == 0 && manifest.layer_count != image.layer_count)
		r = error_set(err, -EINVAL, "manifest has %zu layers, its config %zu",
			      manifest.layer_count, image.layer_count);
	if (r == -EINVAL && image_is_artifact(document))
		r = error_set(err, r, "an artifact (%.100s), no image",
			      json_text(document, "artifactType"));
	if (r < 0)
		return r;
	str_format(image.id, sizeof(image.id), "%s", manifest.config_digest);
	str_format(image.manifest_digest, sizeof(image.manifest_digest), "%s", digest);
	str_format(image.original_digest, sizeof(image.original_digest), "%s",
		   entry->original ? entry->original : digest);
	str_format(image.remote_digest, sizeof(image.remote_digest), "%s",
		   entry->remote ? entry->remote : image.original_digest);
	image.size = entry->unpacked_size;
	for (size_t i = 0; i < manifest.layer_count && !entry->unpacked_size; i++)
		image.size += manifest.layers[i].size;
	*ret = image;
	if (ret_manifest)
		*ret_manifest = manifest;
	*ret_config = config;
	return 0;
}

int image_load(int images_fd, struct arena *arena, const struct image_entry *entry,
	       struct image *ret, struct image_manifest *ret_manifest, struct masu_error *err)
{
	const struct json *config;
	return image_load_document(images_fd, arena, entry, ret, ret_manifest, &config, err);
}
