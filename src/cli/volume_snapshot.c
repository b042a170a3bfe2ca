/* Volumes that travel: `masu volume snapshot`, `snapshots`, `restore`, `clone`, `export`, `import`.
 */
#include "volume/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/output_file.h"
#include "cli/session.h"
#include "cli/volume.h"
#include "engine/events.h"
#include "engine/volume_users.h"
#include "sys/project_quota.h"

/* One verb at work on one volume. */
struct work {
	struct engine engine;
	struct arena *arena;
	const char *text; /* "VOLUME[@SNAPSHOT]" as it was typed */
	const char *volume, *snapshot;
};

/* With the volumes locked: @exclusive where nobody may begin to use them. Ended by engine_close().
 */
static int work_begin(struct cli_context *context, const char *text, bool exclusive,
		      struct work *work, struct masu_error *err)
{
	*work = (struct work) { .engine = ENGINE_CLOSED, .arena = context->arena, .text = text };
	int r = volume_reference(work->arena, text, &work->volume, &work->snapshot, err);
	if (r == 0)
		r = session_open(context, &work->engine, err);
	if (r == 0)
		r = engine_volumes_lock(&work->engine, exclusive, err);
	return r;
}

static void work_end(struct work *work)
{
	engine_volumes_unlock(&work->engine);
	engine_close(&work->engine);
}
#define _cleanup_work_ __attribute__((cleanup(work_end)))

/* A snapshot that is read does not change anyway. */
static int stand_still(struct work *work, bool pause, struct volume_users *users,
		       struct masu_error *err)
{
	*users = (struct volume_users) { 0 };
	if (!pause || work->snapshot)
		return 0;
	return volume_users_pause(&work->engine, work->arena, work->volume, users, err);
}

struct pause_options {
	bool pause, quiet;
	const char *output;
};

static void pause_defaults(void *options)
{
	((struct pause_options *)options)->pause = true;
}

#define PAUSE_OPTION                                                                               \
	CLI_OPT(struct pause_options, pause, "pause", 'p', CLI_BOOL, NULL,                         \
		"Pause the containers that write to it meanwhile")

/* ---- snapshot ---- */

static const struct cli_option snapshot_options[] = {
	PAUSE_OPTION,
};

static const char *snapshot_name(struct arena *arena)
{
	char text[32];
	time_t now = time(NULL);
	struct tm tm;
	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y%m%dT%H%M%SZ", &tm);
	return arena_strdup(arena, text);
}

static int snapshot_run(struct cli_context *context, void *pointer, int argc, char **argv,
			struct masu_error *err)
{
	const struct pause_options *options = pointer;
	_cleanup_work_ struct work work;
	struct volume_users users = { 0 };
	const char *name = NULL;
	int r = work_begin(context, argv[0], false, &work, err);
	if (r == 0 && work.snapshot && argc > 1)
		r = error_set(err, -EINVAL, "%s: a snapshot of a snapshot; use `volume clone`",
			      argv[0]);
	if (r == 0) {
		name = argc > 1	       ? argv[1]
		       : work.snapshot ? work.snapshot
				       : snapshot_name(work.arena);
		if (!name || !name_valid(name))
			r = error_set(err, -EINVAL,
				      "\"%.200s\" is no name for a snapshot; only "
				      "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed",
				      name ? name : "");
	}
	work.snapshot = NULL;
	if (r == 0)
		r = stand_still(&work, options->pause, &users, err);
	if (r == 0)
		r = volume_snapshot_make(work.engine.root_fd, work.engine.root, work.arena,
					 work.volume, name, err);
	volume_users_resume(&work.engine, &users);
	if (r == 0) {
		event_volume(&work.engine, work.volume, "snapshot");
		printf("%s@%s\n", work.volume, name);
	}
	return r;
}

const struct cli_command volume_snapshot_command = {
	.name = "snapshot",
	.synopsis = "[OPTIONS] VOLUME [NAME]",
	.summary = "Keep a volume's files as they are now, as VOLUME@NAME",
	.options = snapshot_options,
	.option_count = ARRAY_SIZE(snapshot_options),
	.options_size = sizeof(struct pause_options),
	.defaults = pause_defaults,
	CLI_MORE(snapshot_run),
	.min_args = 1,
	.max_args = 2,
};

/* ---- snapshots ---- */

struct list_options {
	bool quiet;
};

static const struct cli_option list_options[] = {
	CLI_OPT(struct list_options, quiet, "quiet", 'q', CLI_BOOL, NULL,
		"Only display VOLUME@NAME"),
};

static int list_one(struct engine *engine, struct arena *arena, const char *volume, bool quiet,
		    struct masu_error *err)
{
	struct volume_snapshot *list;
	size_t count;
	int r = volume_snapshot_list(engine->root_fd, engine->root, arena, volume, &list, &count,
				     err);
	for (size_t i = 0; r == 0 && i < count; i++)
		if (quiet)
			printf("%s@%s\n", volume, list[i].name);
		else
			printf("%-20s   %-20s   %s\n", volume, list[i].name, list[i].created);
	return r;
}

static int list_all(struct engine *engine, struct arena *arena, bool quiet, struct masu_error *err)
{
	struct volume *volumes;
	size_t count;
	int r = volume_list(engine->root_fd, engine->root, arena, &volumes, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = list_one(engine, arena, volumes[i].name, quiet, err);
	return r;
}

static int snapshots_run(struct cli_context *context, void *pointer, int argc, char **argv,
			 struct masu_error *err)
{
	const struct list_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	int r = session_open(context, &engine, err);
	if (r == 0 && !options->quiet)
		printf("%-20s   %-20s   %s\n", "VOLUME", "SNAPSHOT", "CREATED");
	if (r == 0 && argc == 0)
		r = list_all(&engine, context->arena, options->quiet, err);
	for (int i = 0; r == 0 && i < argc; i++)
		r = list_one(&engine, context->arena, argv[i], options->quiet, err);
	return r;
}

const struct cli_command volume_snapshots_command = {
	.name = "snapshots",
	.synopsis = "[OPTIONS] [VOLUME...]",
	.summary = "List the snapshots of all or some volumes",
	.options = list_options,
	.option_count = ARRAY_SIZE(list_options),
	.options_size = sizeof(struct list_options),
	CLI_MORE(snapshots_run),
	.max_args = -1,
};

/* ---- restore ---- */

static int restore_run(struct cli_context *context, void *pointer, int argc, char **argv,
		       struct masu_error *err)
{
	_cleanup_work_ struct work work;
	struct volume_users users = { 0 };
	int r = work_begin(context, argv[0], true, &work, err);
	if (r == 0 && !work.snapshot)
		r = error_set(err, -EINVAL,
			      "%s: which snapshot? VOLUME@NAME; `volume snapshots %s` lists them",
			      argv[0], argv[0]);
	if (r == 0)
		r = volume_users_hold(&work.engine, work.arena, work.volume, &users, err);
	if (r == 0)
		r = volume_restore(work.engine.root_fd, work.engine.root, work.arena, work.volume,
				   work.snapshot, err);
	volume_users_release(&users);
	if (r == 0) {
		event_volume(&work.engine, work.volume, "restore");
		puts(work.volume);
		fflush(stdout);
		engine_tidy_behind(&work.engine);
	}
	return r;
}

const struct cli_command volume_restore_command = {
	.name = "restore",
	.synopsis = "VOLUME@NAME",
	.summary = "Give a volume the files of its snapshot again",
	CLI_MORE(restore_run),
	.min_args = 1,
	.max_args = 1,
};

/* ---- clone ---- */

static int clone_run(struct cli_context *context, void *pointer, int argc, char **argv,
		     struct masu_error *err)
{
	const struct pause_options *options = pointer;
	_cleanup_work_ struct work work;
	struct volume_users users = { 0 };
	int r = work_begin(context, argv[0], false, &work, err);
	if (r == 0)
		r = stand_still(&work, options->pause, &users, err);
	if (r == 0)
		r = volume_clone(work.engine.root_fd, work.engine.root, work.arena, work.text,
				 argv[1], err);
	volume_users_resume(&work.engine, &users);
	if (r == 0) {
		event_volume(&work.engine, argv[1], "create");
		puts(argv[1]);
	}
	return r;
}

const struct cli_command volume_clone_command = {
	.name = "clone",
	.synopsis = "[OPTIONS] VOLUME[@NAME] NEW_VOLUME",
	.summary = "Make a volume with the files of another one or of a snapshot",
	.options = snapshot_options,
	.option_count = ARRAY_SIZE(snapshot_options),
	.options_size = sizeof(struct pause_options),
	.defaults = pause_defaults,
	CLI_MORE(clone_run),
	.min_args = 2,
	.max_args = 2,
};

/* ---- export, import ---- */

static const struct cli_option export_options[] = {
	CLI_OPT(struct pause_options, output, "output", 'o', CLI_STRING, "string",
		"Write to a file, instead of STDOUT"),
	PAUSE_OPTION,
};

static int export_to(void *data, int fd, struct masu_error *err)
{
	struct work *work = data;
	return volume_export(work->engine.root_fd, work->engine.root, work->arena, work->text, fd,
			     err);
}

static int export_run(struct cli_context *context, void *pointer, int argc, char **argv,
		      struct masu_error *err)
{
	const struct pause_options *options = pointer;
	_cleanup_work_ struct work work;
	struct volume_users users = { 0 };
	int r = work_begin(context, argv[0], false, &work, err);
	if (r == 0)
		r = stand_still(&work, options->pause, &users, err);
	if (r == 0)
		r = output_write(work.arena, options->output, export_to, &work, err);
	volume_users_resume(&work.engine, &users);
	return r;
}

const struct cli_command volume_export_command = {
	.name = "export",
	.synopsis = "[OPTIONS] VOLUME[@NAME]",
	.summary = "Write a volume's files as a tar archive",
	.options = export_options,
	.option_count = ARRAY_SIZE(export_options),
	.options_size = sizeof(struct pause_options),
	.defaults = pause_defaults,
	CLI_MORE(export_run),
	.min_args = 1,
	.max_args = 1,
};

static int import_run(struct cli_context *context, void *pointer, int argc, char **argv,
		      struct masu_error *err)
{
	_cleanup_work_ struct work work;
	_cleanup_close_ int file = -1;
	int r = work_begin(context, argv[0], false, &work, err);
	if (r == 0 && work.snapshot)
		r = error_set(err, -EROFS, "%s: a snapshot does not change", argv[0]);
	/* The archive is held to the volume's size as its containers are. */
	if (r == 0 && (r = project_quota_obey()) < 0)
		error_errno(err, r, "capabilities");
	if (r == 0 && !streq(argv[1], "-")) {
		file = open(argv[1], O_RDONLY | O_CLOEXEC);
		if (file < 0)
			r = error_errno(err, -errno, "%s", argv[1]);
	}
	return r < 0 ? r
		     : volume_import(work.engine.root_fd, work.engine.root, work.arena, work.volume,
				     file >= 0 ? file : STDIN_FILENO, err);
}

const struct cli_command volume_import_command = {
	.name = "import",
	.synopsis = "VOLUME FILE|-",
	.summary = "Unpack a tar archive into a volume that exists",
	CLI_MORE(import_run),
	.min_args = 2,
	.max_args = 2,
};
