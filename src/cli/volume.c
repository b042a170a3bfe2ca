/* `masu volume`. */
#include "volume/volume.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/human.h"
#include "base/id.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/parse.h"
#include "cli/session.h"
#include "cli/system.h"
#include "cli/volume.h"
#include "cli/volume_registry.h"
#include "engine/events.h"
#include "engine/volume_users.h"
#include "volume/snapshot.h"

static void put_pairs(struct json_writer *w, const char *key, const struct oci_pair *pairs,
		      size_t count)
{
	json_key(w, key);
	json_begin_object(w);
	for (size_t i = 0; i < count; i++)
		json_field_string(w, pairs[i].key, pairs[i].value);
	json_end_object(w);
}

/* Beyond docker's document, and only where there are any. */
static int put_snapshots(struct engine *engine, struct arena *arena, const struct volume *volume,
			 struct json_writer *w, struct masu_error *err)
{
	struct volume_snapshot *list = NULL;
	size_t count = 0;
	int r = volume->snapshot ? 0
				 : volume_snapshot_list(engine->root_fd, engine->root, arena,
							volume->name, &list, &count, err);
	if (r < 0 || count == 0)
		return r;
	json_key(w, "Snapshots");
	json_begin_array(w);
	for (size_t i = 0; i < count; i++) {
		json_begin_object(w);
		json_field_string(w, "CreatedAt", list[i].created);
		json_field_string(w, "Name", list[i].name);
		json_end_object(w);
	}
	json_end_array(w);
	return 0;
}

static int put_volume(struct engine *engine, struct arena *arena, const struct volume *volume,
		      struct json_writer *w, struct masu_error *err)
{
	json_begin_object(w);
	json_field_string(w, "CreatedAt", volume->created);
	json_field_string(w, "Driver", volume->driver);
	json_key(w, "Labels");
	json_begin_object(w);
	if (volume->anonymous)
		json_field_string(w, VOLUME_ANONYMOUS_LABEL, "");
	for (size_t i = 0; i < volume->label_count; i++)
		json_field_string(w, volume->labels[i].key, volume->labels[i].value);
	json_end_object(w);
	json_field_string(w, "Mountpoint", volume->mountpoint);
	json_field_string(w, "Name", volume->name);
	put_pairs(w, "Options", volume->options, volume->option_count);
	json_field_string(w, "Scope", "local");
	int r = put_snapshots(engine, arena, volume, w, err);
	json_end_object(w);
	return r;
}

int volume_inspect_write(struct engine *engine, struct arena *arena, const char *name,
			 struct json_writer *w, struct masu_error *err)
{
	struct volume volume;
	int r = volume_open(engine->root_fd, engine->root, arena, name, &volume, NULL, err);
	return r < 0 ? r : put_volume(engine, arena, &volume, w, err);
}

/* The value of a volume as the templates see it. */
static int to_json(struct engine *engine, struct arena *arena, const struct volume *volume,
		   const struct json **ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 0);
	json_writer_init(&w, &text, false);
	int r = put_volume(engine, arena, volume, &w, err);
	if (r < 0)
		return r;
	return json_parse_written(arena, &text, ret, err);
}

/* ---- create ---- */

struct create_options {
	const char *driver;
	struct cli_list label, opt;
};

static const struct cli_option create_options[] = {
	CLI_OPT(struct create_options, driver, "driver", 'd', CLI_STRING, "string",
		"Specify volume driver name (default \"local\")"),
	CLI_OPT(struct create_options, label, "label", 0, CLI_LIST, "list",
		"Set metadata for a volume"),
	CLI_OPT(struct create_options, opt, "opt", 'o', CLI_LIST, "map",
		"Set driver specific options"),
};

static int create_run(struct cli_context *context, void *pointer, int argc, char **argv,
		      struct masu_error *err)
{
	const struct create_options *options = pointer;
	const struct cli_list none = { 0 };
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct volume request = { .driver = options->driver ? options->driver : "local" }, made;
	char id[ID_LENGTH + 1];
	bool is_new;
	if (!streq(request.driver, "local"))
		return error_set(err, -ENOTSUP,
				 "volume driver \"%.100s\" is not supported; \"local\" is",
				 request.driver);
	int r = argc ? 0 : id_random(id);
	request.name = argc ? argv[0] : id;
	request.anonymous = argc == 0;
	if (r == 0)
		r = parse_labels(context->arena, &none, &options->label, &request.labels,
				 &request.label_count, err);
	if (r == 0)
		r = parse_pairs(context->arena, "--opt", &options->opt, &request.options,
				&request.option_count, err);
	if (r == 0)
		r = session_open(context, &engine, err);
	if (r == 0)
		r = volume_ensure(engine.root_fd, engine.root, context->arena, &request, &made,
				  &is_new, err);
	if (r == 0 && is_new)
		event_volume(&engine, made.name, "create");
	if (r == 0)
		puts(made.name);
	return r;
}

static const struct cli_command create = {
	.name = "create",
	.synopsis = "[OPTIONS] [VOLUME]",
	.summary = "Create a volume",
	.options = create_options,
	.option_count = ARRAY_SIZE(create_options),
	.options_size = sizeof(struct create_options),
	CLI_MORE(create_run),
	.max_args = 1,
};

/* ---- which are in use ---- */

const struct container *volume_user(const struct container *list, size_t count, const char *volume)
{
	for (size_t i = 0; i < count; i++)
		if (volume_is_mounted_by(&list[i], volume))
			return &list[i];
	return NULL;
}

/* ---- inspect ---- */

struct inspect_options {
	const char *format;
};

static const struct cli_option inspect_options[] = {
	CLI_OPT(struct inspect_options, format, "format", 'f', CLI_STRING, "string",
		"Format output using a custom template: json, or a Go template"),
};

static int inspect_run(struct cli_context *context, void *pointer, int argc, char **argv,
		       struct masu_error *err)
{
	const struct inspect_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	const struct json **objects =
		arena_array(context->arena, const struct json *, (size_t)argc + 1);
	size_t found = 0;
	int status = 0;
	int r = objects ? session_open(context, &engine, err)
			: error_set(err, -ENOMEM, "out of memory");
	for (int i = 0; i < argc && r == 0; i++) {
		struct masu_error why = { 0 };
		struct volume volume;
		if (volume_open(engine.root_fd, engine.root, context->arena, argv[i], &volume, NULL,
				&why) == 0) {
			r = to_json(&engine, context->arena, &volume, &objects[found++], err);
		} else {
			session_report(&why);
			status = 1;
		}
	}
	if (r == 0)
		r = inspect_print(context->arena, options->format, objects, found, err);
	return r < 0 ? r : status;
}

static const struct cli_command inspect = {
	.name = "inspect",
	.synopsis = "[OPTIONS] VOLUME [VOLUME...]",
	.summary = "Display detailed information on one or more volumes",
	.options = inspect_options,
	.option_count = ARRAY_SIZE(inspect_options),
	.options_size = sizeof(struct inspect_options),
	CLI_MORE(inspect_run),
	.min_args = 1,
	.max_args = -1,
};

/* ---- rm ---- */

struct remove_options {
	bool force;
};

static const struct cli_option rm_options[] = {
	CLI_OPT(struct remove_options, force, "force", 'f', CLI_BOOL, NULL,
		"Force the removal of one or more volumes"),
};

static int remove_unused(struct engine *engine, struct arena *arena, const struct container *list,
			 size_t count, const char *name, struct masu_error *err)
{
	const struct container *user = volume_user(list, count, name);
	if (user)
		return error_set(err, -EBUSY, "remove %.200s: volume is in use - [%s]", name,
				 user->id);
	const char *volume, *snapshot;
	int r = volume_reference(arena, name, &volume, &snapshot, err);
	if (r == 0 && snapshot)
		return volume_snapshot_remove(engine->root_fd, engine->root, arena, volume,
					      snapshot, err);
	if (r == 0)
		r = volume_remove(engine->root_fd, name, err);
	if (r == 0)
		event_volume(engine, name, "destroy");
	return r;
}

/* The data of removed volumes is deleted when the reply is out. */
static void delete_behind(struct engine *engine)
{
	fflush(stdout);
	engine_tidy_behind(engine);
}

static int rm_run(struct cli_context *context, void *pointer, int argc, char **argv,
		  struct masu_error *err)
{
	const struct remove_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct container *list = NULL;
	size_t count = 0;
	int status = 0;
	int r = session_open(context, &engine, err);
	if (r == 0)
		r = engine_volumes_lock(&engine, true, err);
	if (r == 0)
		r = engine_list(&engine, context->arena, true, &list, &count, err);
	for (int i = 0; i < argc && r == 0; i++) {
		struct masu_error why = { 0 };
		int removed = remove_unused(&engine, context->arena, list, count, argv[i], &why);
		if (removed == 0 || (removed == -ENOENT && options->force)) {
			puts(argv[i]);
			continue;
		}
		session_report(&why);
		status = 1;
	}
	engine_volumes_unlock(&engine);
	delete_behind(&engine);
	return r < 0 ? r : status;
}

static const struct cli_command rm = {
	.name = "rm",
	.aliases = "remove",
	.synopsis = "[OPTIONS] VOLUME[@SNAPSHOT]...",
	.summary = "Remove volumes, or snapshots of them, that no container uses",
	.options = rm_options,
	.option_count = ARRAY_SIZE(rm_options),
	.options_size = sizeof(struct remove_options),
	CLI_MORE(rm_run),
	.min_args = 1,
	.max_args = -1,
};

/* clang-format off */
static const struct cli_command *const volume_verbs[] = {
	&volume_clone_command,
	&create,
	&volume_export_command,
	&volume_import_command,
	&inspect,
	&volume_ls_command,
	&volume_prune_command,
	&volume_pull_command,
	&volume_push_command,
	&volume_rename_command,
	&volume_restore_command,
	&rm,
	&volume_snapshot_command,
	&volume_snapshots_command,
	NULL,
};
/* clang-format on */

const struct cli_command volume_command = {
	.name = "volume",
	.synopsis = "COMMAND",
	.summary = "Manage volumes",
	.subcommands = volume_verbs,
};
