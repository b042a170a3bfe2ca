/* Volumes as objects, for `masu volume` and `masu inspect`. */
#pragma once

#include "cli/command.h"
#include "engine/engine.h"
#include "json/json.h"

/* Docker's document of a volume. -ENOENT: there is none. */
int volume_inspect_write(struct engine *engine, struct arena *arena, const char *name,
			 struct json_writer *w, struct masu_error *err);

/* Prints inspected objects: docker's indented array, or one line each by @format (inspect.c). */
int inspect_print(struct arena *arena, const char *format, const struct json *const *objects,
		  size_t count, struct masu_error *err);

/* Docker's mark of a volume that nobody named. */
#define VOLUME_ANONYMOUS_LABEL "com.docker.volume.anonymous"

/* The first of @list that mounts the volume, or a snapshot of it, or NULL. */
const struct container *volume_user(const struct container *list, size_t count, const char *volume);

/* Verbs of `masu volume` in files of their own. */
extern const struct cli_command volume_ls_command, volume_rename_command;
extern const struct cli_command volume_snapshot_command, volume_snapshots_command,
	volume_restore_command, volume_clone_command, volume_export_command, volume_import_command;
