/* `masu diff`, and what of that `masu inspect --io` shows. */
#include <stdio.h>
#include <unistd.h>

#include "base/human.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/inspect.h"
#include "cli/session.h"
#include "engine/copy.h"

/* Names are the container's: on a terminal they must not be able to do anything. */
static void print_path(const char *path, bool terminal)
{
	for (; *path; path++)
		putchar(terminal && ((unsigned char)*path < ' ' || *path == 127) ? '?' : *path);
	putchar('\n');
}

struct diff_options {
	bool copyups;
};

static const struct cli_option diff_options[] = {
	CLI_OPT(struct diff_options, copyups, "copyups", 0, CLI_BOOL, NULL,
		"Tell which of the image's files were copied for it, how many bytes and how long "
		"that took"),
};

/* ---- copy-ups ---- */

struct sums {
	uint64_t bytes, shared;
	size_t metadata_only;
};

static struct sums add_up(const struct storage_copyup *list, size_t count)
{
	struct sums sums = { 0 };
	for (size_t i = 0; i < count; i++) {
		sums.bytes += list[i].bytes;
		sums.shared += list[i].shared;
		sums.metadata_only += list[i].metadata_only;
	}
	return sums;
}

static void print_copyup(const struct storage_copyup *c, bool terminal)
{
	char bytes[HUMAN_MAX], shared[HUMAN_MAX], took[32] = "-";
	if (c->took_ns >= 0)
		str_format(took, sizeof(took), "%s%.1f ms",
			   c->took_exact ? "" : "<=", (double)c->took_ns / 1e6);
	printf("%10s %10s %14s  ", c->metadata_only ? "metadata" : human_size(c->bytes, bytes),
	       human_size(c->shared, shared), took);
	print_path(c->path, terminal);
}

static int print_copyups(struct engine *engine, struct arena *arena, const char *id,
			 struct masu_error *err)
{
	struct storage_copyup *list;
	size_t count;
	char bytes[HUMAN_MAX], shared[HUMAN_MAX];
	int r = engine_copyups(engine, arena, id, &list, &count, err);
	if (r < 0)
		return r;
	const struct sums sums = add_up(list, count);
	printf("%10s %10s %14s  %s\n", "COPIED", "SHARED", "TOOK", "PATH");
	for (size_t i = 0; i < count; i++)
		print_copyup(&list[i], isatty(STDOUT_FILENO));
	printf("%10s %10s %14s  %zu files, %zu of them metadata only\n",
	       human_size(sums.bytes, bytes), human_size(sums.shared, shared), "", count,
	       sums.metadata_only);
	return 0;
}

int copyups_write(struct engine *engine, struct arena *arena, const char *id, struct json_writer *w,
		  struct masu_error *err)
{
	struct storage_copyup *list;
	size_t count;
	int r = engine_copyups(engine, arena, id, &list, &count, err);
	if (r < 0)
		return r;
	const struct sums sums = add_up(list, count);
	json_begin_object(w);
	json_field_u64(w, "Files", count);
	json_field_u64(w, "MetadataOnly", sums.metadata_only);
	json_field_u64(w, "Bytes", sums.bytes);
	json_field_u64(w, "SharedBytes", sums.shared);
	json_key(w, "List");
	json_begin_array(w);
	for (size_t i = 0; i < count; i++) {
		json_begin_object(w);
		json_field_string(w, "Path", list[i].path);
		json_field_u64(w, "Size", list[i].size);
		json_field_u64(w, "Bytes", list[i].bytes);
		json_field_u64(w, "SharedBytes", list[i].shared);
		json_field_bool(w, "MetadataOnly", list[i].metadata_only);
		json_field_i64(w, "TookNanoseconds", list[i].took_ns);
		json_field_bool(w, "TookExactly", list[i].took_exact);
		json_end_object(w);
	}
	json_end_array(w);
	json_end_object(w);
	return 0;
}

static int diff_run(struct cli_context *context, void *pointer, int argc, char **argv,
		    struct masu_error *err)
{
	const struct diff_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct storage_change *changes = NULL;
	size_t count = 0;
	char id[65];
	bool terminal = isatty(STDOUT_FILENO);
	int r = session_resolve(context, argv[0], &engine, id, err);
	if (r == 0 && options->copyups)
		return print_copyups(&engine, context->arena, id, err);
	if (r == 0)
		r = engine_diff(&engine, context->arena, id, &changes, &count, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		printf("%c ", changes[i].kind);
		print_path(changes[i].path, terminal);
	}
	return r;
}

const struct cli_command diff_command = {
	.name = "diff",
	.synopsis = "[OPTIONS] CONTAINER",
	.summary = "Inspect changes to files or directories on a container's filesystem",
	.options = diff_options,
	.option_count = ARRAY_SIZE(diff_options),
	.options_size = sizeof(struct diff_options),
	CLI_MORE(diff_run),
	.min_args = 1,
	.max_args = 1,
};
