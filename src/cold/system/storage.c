/* `masu storage ls|info|migrate|prune`. */
#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "base/human.h"
#include "base/str.h"
#include "cli/format.h"
#include "cli/session.h"
#include "cold/system/verbs.h"
#include "engine/images.h"
#include "engine/storage.h"
#include "state/trash.h"
#include "storage/storage.h"

/* ---- ls ---- */

static const char *const summaries[][2] = {
	{ "aufs", "overlay's predecessor, for kernels patched with it" },
	{ "btrfs", "a subvolume for each layer, a snapshot for each container" },
	{ "devicemapper", "a thin device for each layer, a snapshot for each container" },
	{ "erofs", "an image is one read-only EROFS, overlay on top" },
	{ "fuse-overlayfs", "overlay by a process for each container" },
	{ "overlay", "the kernel's overlay: layers are shared" },
	{ "vfs", "a copy for each layer and each container" },
};

static const char *summary_of(const char *driver)
{
	for (size_t i = 0; i < ARRAY_SIZE(summaries); i++)
		if (streq(summaries[i][0], driver))
			return summaries[i][1];
	return "";
}

static int put_driver(struct arena *arena, const struct engine *engine, const char *driver,
		      const struct json **ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	const char *reason = "it does not work here";
	bool works = storage_driver(driver)->supported(engine->root_fd, &reason);
	buf_init(&text, 65536);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	json_field_string(&w, "Driver", driver);
	json_field_string(&w, "Available", works ? "yes" : "no");
	json_field_string(&w, "Used", streq(driver, engine->storage_driver) ? "*" : "");
	json_field_string(&w, "Description", works ? summary_of(driver) : reason);
	json_end_object(&w);
	return json_parse_written(arena, &text, ret, err);
}

static int ls_run(struct cli_context *context, void *pointer, int argc, char **argv,
		  struct masu_error *err)
{
	static const struct format_heading headings[] = { { "Driver", "DRIVER" },
							  { "Used", "USED" },
							  { "Available", "AVAILABLE" },
							  { "Description", "DESCRIPTION" },
							  { NULL, NULL } };
	const struct storage_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	const struct json *rows[16];
	size_t count = 0;
	int r = session_open(context, &engine, err);
	for (const char *const *name = storage_driver_names();
	     r == 0 && *name && count < ARRAY_SIZE(rows); name++)
		r = put_driver(context->arena, &engine, *name, &rows[count++], err);
	return r < 0 ? r
		     : format_rows(context->arena, options->format,
				   "{{.Driver}}\t{{.Used}}\t{{.Available}}\t{{.Description}}",
				   headings, rows, count, err);
}

const struct cli_command storage_ls_command = { STORAGE_LS_COMMAND, .run = ls_run };

/* ---- info ---- */

static size_t count_layers(struct arena *arena, const struct storage_ops *ops,
			   struct storage *storage, uint64_t *ret_bytes)
{
	const char **chain_ids;
	size_t count = 0;
	*ret_bytes = 0;
	if (ops->layer_list(storage, arena, &chain_ids) < 0)
		return 0;
	for (; *chain_ids; chain_ids++, count++) {
		uint64_t bytes = 0;
		if (ops->layer_size(storage, *chain_ids, &bytes) == 0)
			*ret_bytes += bytes;
	}
	return count;
}

static void put_filesystem(struct json_writer *w, int root_fd)
{
	struct statvfs fs;
	char text[HUMAN_MAX];
	if (fstatvfs(root_fd, &fs) < 0)
		return;
	json_field_string(w, "Free", human_size((uint64_t)fs.f_bavail * fs.f_frsize, text));
	json_field_string(w, "Size", human_size((uint64_t)fs.f_blocks * fs.f_frsize, text));
}

static int put_pool(struct json_writer *w, const struct storage_ops *ops, struct storage *storage,
		    const struct storage_config *config, struct masu_error *err)
{
	struct storage_pool pool;
	char text[HUMAN_MAX];
	/* One that is not there yet. */
	int r = config->recorded ? ops->pool(storage, &pool, err) : -ENOENT;
	json_field_string(w, "Pool", r == 0 ? pool.name : "");
	if (r < 0)
		return config->recorded ? r : 0;
	json_field_string(w, "PoolFilesystem", pool.filesystem);
	json_field_string(w, "DataUsed", human_size(pool.data_used, text));
	json_field_string(w, "DataTotal", human_size(pool.data_total, text));
	json_field_string(w, "MetadataUsed", human_size(pool.metadata_used, text));
	json_field_string(w, "MetadataTotal", human_size(pool.metadata_total, text));
	return 0;
}

static int write_info(struct json_writer *w, struct arena *arena, struct engine *engine,
		      struct masu_error *err)
{
	const struct storage_ops *ops = storage_driver(engine->storage_driver);
	struct storage_config config;
	struct storage *storage;
	char text[HUMAN_MAX];
	uint64_t bytes;
	int r = storage_would_choose(engine->root_fd, &config, err);
	if (r < 0)
		return r;
	ops = storage_driver(config.driver);
	if (!ops)
		return error_set(err, -EINVAL, "storage driver \"%s\": unknown", config.driver);
	json_field_string(w, "Driver", config.driver);
	json_field_string(w, "Reason", config.reason);
	json_field_string(w, "Leaving", config.leaving);
	json_field_string(w, "Root", engine->root);
	r = ops->open(engine->root_fd, &storage, err);
	if (r < 0)
		return r;
	json_field_u64(w, "Layers", count_layers(arena, ops, storage, &bytes));
	json_field_string(w, "LayerSize", human_size(bytes, text));
	if (ops->pool)
		r = put_pool(w, ops, storage, &config, err);
	else
		json_field_string(w, "Pool", "");
	ops->close(storage);
	put_filesystem(w, engine->root_fd);
	return r;
}

static int info_run(struct cli_context *context, void *pointer, int argc, char **argv,
		    struct masu_error *err)
{
	static const char form[] =
		"Driver: {{.Driver}}\nChosen because: {{.Reason}}\n"
		"{{if .Leaving}}Migration not finished, from: {{.Leaving}}\n{{end}}"
		"Root: {{.Root}}\nLayers: {{.Layers}} ({{.LayerSize}})\n"
		"{{if .Pool}}Pool: {{.Pool}}, {{.PoolFilesystem}}\n"
		"Pool data: {{.DataUsed}} used of {{.DataTotal}}\n"
		"Pool metadata: {{.MetadataUsed}} used of {{.MetadataTotal}}\n{{end}}"
		"Filesystem: {{.Free}} free of {{.Size}}";
	const struct storage_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	const struct json *object;
	buf_init(&text, 65536);
	json_writer_init(&w, &text, false);
	json_begin_object(&w);
	int r = session_open(context, &engine, err);
	if (r == 0)
		r = write_info(&w, context->arena, &engine, err);
	json_end_object(&w);
	if (r == 0)
		r = json_parse_written(context->arena, &text, &object, err);
	return r < 0 ? r
		     : format_object(context->arena, options->format ? options->format : form,
				     object, err);
}

const struct cli_command storage_info_command = { STORAGE_INFO_COMMAND, .run = info_run };

/* ---- prune, migrate ---- */

static int prune_run(struct cli_context *context, void *pointer, int argc, char **argv,
		     struct masu_error *err)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct storage *storage;
	int r = session_open(context, &engine, err);
	if (r < 0)
		return r;
	const struct storage_ops *ops = storage_driver(engine.storage_driver);
	r = ops->open(engine.root_fd, &storage, err);
	if (r < 0)
		return r;
	r = ops->layer_sweep(storage);
	ops->close(storage);
	if (r < 0)
		return error_errno(err, r, "staging");
	engine_images_collect_orphans(engine.root_fd, engine.storage_driver);
	engine_tidy_behind(&engine);
	r = trash_empty(engine.root_fd, 0);
	return r < 0 ? error_errno(err, r, "%s/trash", engine.root) : 0;
}

const struct cli_command storage_prune_command = { STORAGE_PRUNE_COMMAND, .run = prune_run };

static void tell(void *opaque, const char *what, const char *name)
{
	const struct storage_options *options = opaque;
	if (options->quiet)
		return;
	printf("Moving %s %.19s\n", what, name);
	fflush(stdout);
}

static int migrate_run(struct cli_context *context, void *pointer, int argc, char **argv,
		       struct masu_error *err)
{
	const struct storage_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	_cleanup_buf_ struct buf words;
	buf_init(&words, STORAGE_OPTIONS_MAX);
	for (size_t i = 0; i < options->storage_opts.count; i++)
		buf_printf(&words, "%s%s", i ? "\n" : "", options->storage_opts.items[i]);
	if (buf_error(&words))
		return error_set(err, -E2BIG, "--storage-opt: too long");
	int r = session_open(context, &engine, err);
	if (r == 0)
		r = engine_storage_migrate(&engine, argv[0], buf_str(&words), tell, pointer, err);
	if (r < 0)
		return r;
	fflush(stdout);
	trash_empty(engine.root_fd, 0);
	return 0;
}

const struct cli_command storage_migrate_command = { STORAGE_MIGRATE_COMMAND, .run = migrate_run };
