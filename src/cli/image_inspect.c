/* `masu image inspect`: what an image's documents say, in docker's form. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/human.h"
#include "base/str.h"
#include "base/table.h"
#include "cli/images.h"
#include "cli/inspect.h"
#include "image/store.h"
#include "json/json.h"
#include "state/record.h"
#include "storage/storage.h"

/* An image, its config document and all its names. */
struct inspected {
	struct image image;
	const struct json *config;
	const char **names;   /* "busybox:latest", NULL-terminated */
	const char **digests; /* "busybox@sha256:…", what registries know it by */
	const char *parent;   /* id of one that is still there; "" */
};

static int read_config(int images_fd, struct arena *arena, const char *digest,
		       const struct json **ret, struct masu_error *err)
{
	const char *text;
	size_t len;
	int r = image_blob_read(images_fd, arena, digest, IMAGE_MAX_DOCUMENT, &text, &len, err);
	return r < 0 ? r : json_parse(arena, text, len, ret, err);
}

static bool contains(const char *const *list, const char *text)
{
	for (; *list; list++)
		if (streq(*list, text))
			return true;
	return false;
}

static int add_name(struct arena *arena, const struct image_entry *entry, const char **names,
		    const char **digests)
{
	struct image_reference reference;
	if (!entry->reference ||
	    image_reference_parse(arena, entry->reference, &reference, NULL) < 0)
		return 0;
	const char *repository = image_reference_familiar(arena, &reference);
	const char *digest =
		repository ? arena_printf(arena, "%s@%s", repository, image_entry_remote(entry))
			   : NULL;
	const char *name = image_reference_familiar_full(arena, &reference);
	if (!digest || !name)
		return -ENOMEM;
	if (!reference.digest)
		names[strv_length((char *const *)names)] = name;
	if (!contains(digests, digest))
		digests[strv_length((char *const *)digests)] = digest;
	return 0;
}

static int collect_names(struct arena *arena, const struct image_index *index, const char *manifest,
			 struct inspected *ret)
{
	ret->names = arena_array(arena, const char *, index->count + 1);
	ret->digests = arena_array(arena, const char *, index->count + 1);
	int r = ret->names && ret->digests ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < index->count; i++)
		if (streq(index->entries[i].digest, manifest))
			r = add_name(arena, &index->entries[i], ret->names, ret->digests);
	return r;
}

static int inspect(int root_fd, struct arena *arena, const char *name, struct inspected *ret,
		   struct masu_error *err)
{
	struct image_index index;
	const struct image_entry *entry;
	_cleanup_close_ int images_fd =
		openat(root_fd, IMAGES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images_fd < 0)
		return error_errno(err, -errno, "images");
	int r = image_index_load(images_fd, arena, &index, err);
	if (r == 0)
		r = image_index_find(images_fd, &index, name, &entry, err);
	if (r == 0)
		r = image_load(images_fd, arena, entry, &ret->image, NULL, err);
	if (r == 0)
		r = read_config(images_fd, arena, ret->image.id, &ret->config, err);
	if (r == 0 && collect_names(arena, &index, entry->digest, ret) < 0)
		r = error_set(err, -ENOMEM, "out of memory");
	if (r < 0)
		return r;
	ret->parent = "";
	if (entry->parent && image_index_find(images_fd, &index, entry->parent, &entry, NULL) == 0)
		ret->parent = ret->image.parent;
	return 0;
}

static void put_strings(struct json_writer *w, const char *key, const char *const *list)
{
	json_key(w, key);
	json_begin_array(w);
	for (; list && *list; list++)
		json_put_string(w, *list);
	json_end_array(w);
}

static void write_rootfs(struct json_writer *w, const struct image *image)
{
	json_key(w, "RootFS");
	json_begin_object(w);
	json_field_string(w, "Type", "layers");
	put_strings(w, "Layers", image->diff_ids);
	json_end_object(w);
}

/* Docker's "Config" of an image: what the image says, and Docker's value for what it leaves out. */
static void write_config(struct json_writer *w, const struct json *config)
{
	static const struct {
		const char *name, *otherwise; /* NULL: left out */
	} members[] = {
		{ "Hostname", "\"\"" },	     { "Domainname", "\"\"" },
		{ "User", "\"\"" },	     { "AttachStdin", "false" },
		{ "AttachStdout", "false" }, { "AttachStderr", "false" },
		{ "ExposedPorts", NULL },    { "Tty", "false" },
		{ "OpenStdin", "false" },    { "StdinOnce", "false" },
		{ "Env", "null" },	     { "Cmd", "null" },
		{ "Healthcheck", NULL },     { "ArgsEscaped", NULL },
		{ "Image", "\"\"" },	     { "Volumes", "null" },
		{ "WorkingDir", "\"\"" },    { "Entrypoint", "null" },
		{ "OnBuild", "null" },	     { "Labels", "null" },
		{ "StopSignal", NULL },	     { "Shell", NULL },
	};
	json_key(w, "Config");
	json_begin_object(w);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const struct json *value = json_get(config, members[i].name);
		if (!value && !members[i].otherwise)
			continue;
		json_key(w, members[i].name);
		if (value)
			json_put_value(w, value);
		else
			json_put_raw(w, members[i].otherwise, strlen(members[i].otherwise));
	}
	json_end_object(w);
}

static const char *format_of(const struct storage_ops *ops, struct storage *storage,
			     struct arena *arena, const char *chain_id)
{
	enum storage_format format;
	struct storage_layer layer;
	if (ops->layer_format(storage, chain_id, arena, &format, &layer) < 0)
		return "missing";
	return format == STORAGE_EROFS ? "erofs" : "dir";
}

/* One word a layer, in the order of the directories: whether it is one or its tar with an index. */
static void write_formats(struct json_writer *w, struct arena *arena, const struct engine *engine,
			  const struct image *image)
{
	_cleanup_buf_ struct buf formats;
	struct storage *storage;
	const struct storage_ops *ops = storage_driver(engine->storage_driver);
	buf_init(&formats, 0);
	if (!ops || !ops->layer_format || ops->open(engine->root_fd, &storage, NULL) < 0)
		return;
	for (size_t i = image->layer_count; i-- > 0;)
		buf_printf(&formats, "%s%s", formats.len ? ":" : "",
			   format_of(ops, storage, arena, image->chain_ids[i]));
	ops->close(storage);
	if (buf_error(&formats) == 0)
		json_field_string(w, "LayerFormats", buf_str(&formats));
}

/* The topmost layer is what a writable layer would be; the others are below it. */
static void write_graph_driver(struct json_writer *w, struct arena *arena,
			       const struct engine *engine, const struct image *image)
{
	const struct storage_ops *ops = storage_driver(engine->storage_driver);
	struct storage_paths paths;
	json_key(w, "GraphDriver");
	json_begin_object(w);
	json_key(w, "Data");
	json_begin_object(w);
	if (ops && ops->paths &&
	    ops->paths(engine->root, "", image->chain_ids, arena, &paths) == 0) {
		const char *colon = strchr(paths.lower, ':');
		size_t len = colon ? (size_t)(colon - paths.lower) : strlen(paths.lower);
		if (colon)
			json_field_string(w, "LowerDir", colon + 1);
		json_key(w, "UpperDir");
		json_put_string_len(w, paths.lower, len);
	}
	write_formats(w, arena, engine, image);
	json_end_object(w);
	json_field_string(w, "Name", engine->storage_driver);
	json_end_object(w);
}

/* What the last step of its history says. */
static const char *comment_of(const struct json *config)
{
	const char *comment = "";
	json_foreach (step, json_get(config, "history")) {
		comment = "";
		json_string(json_get(step, "comment"), &comment);
	}
	return comment;
}

static void write_image(struct json_writer *w, struct arena *arena, const struct engine *engine,
			const struct inspected *i)
{
	const char *author = "", *variant = NULL;
	json_string(json_get(i->config, "author"), &author);
	json_begin_object(w);
	json_field_string(w, "Id", i->image.id);
	put_strings(w, "RepoTags", i->names);
	put_strings(w, "RepoDigests", i->digests);
	json_field_string(w, "Parent", i->parent);
	json_field_string(w, "Comment", comment_of(i->config));
	json_field_string(w, "Created", i->image.created);
	json_field_string(w, "DockerVersion", "");
	json_field_string(w, "Author", author);
	write_config(w, json_get(i->config, "config"));
	json_field_string(w, "Architecture", i->image.architecture);
	if (json_string(json_get(i->config, "variant"), &variant))
		json_field_string(w, "Variant", variant);
	json_field_string(w, "Os", i->image.os);
	json_field_u64(w, "Size", i->image.size);
	json_field_u64(w, "VirtualSize", i->image.size);
	write_graph_driver(w, arena, engine, &i->image);
	write_rootfs(w, &i->image);
	json_key(w, "Metadata");
	json_begin_object(w);
	json_field_string(w, "LastTagTime", "0001-01-01T00:00:00Z");
	json_end_object(w);
	json_end_object(w);
}

int image_inspect_write(struct engine *engine, struct arena *arena, const char *name,
			struct json_writer *w, struct masu_error *err)
{
	struct inspected inspected;
	int r = inspect(engine->root_fd, arena, name, &inspected, err);
	if (r == 0)
		write_image(w, arena, engine, &inspected);
	return r;
}

static const struct cli_option inspect_options[] = {
	CLI_OPT(struct inspect_request, format, "format", 'f', CLI_STRING, "string",
		"Format output using a custom template: json, or a Go template"),
};

static int run_inspect(struct cli_context *context, void *pointer, int argc, char **argv,
		       struct masu_error *err)
{
	struct inspect_request *request = pointer;
	request->type = "image";
	return inspect_objects(context, request, argc, argv, err);
}

const struct cli_command image_inspect_command = {
	.name = "inspect",
	.synopsis = "[OPTIONS] IMAGE [IMAGE...]",
	.summary = "Display detailed information on one or more images",
	.options = inspect_options,
	.option_count = ARRAY_SIZE(inspect_options),
	.options_size = sizeof(struct inspect_request),
	CLI_MORE(run_inspect),
	.min_args = 1,
	.max_args = -1,
};
